//! A layer, as the index asks it: streams, kept values, tenants and marks of a range of the log.
//!
//! Owns the questions. Rows are decoded where they stand and shown, not copied.

use crate::error::Fault;
use crate::format::cell::{Binding, CELL_BYTES, Entry, FrameSums, KeptAt, Mark, RowAt, Run, bucket_of};
use crate::format::layer::{LayerHeader, Part};
use crate::format::row::{KeptRow, StreamRow, TenantRow, decode, named};
use crate::layer::Damage;
use crate::layer::file::LayerFile;
use crate::storage::Storage;
use crate::types::ReadMode;
use std::ops::RangeInclusive;

/// The index of a range of the log, in a file.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) file: LayerFile,
}

impl Layer {
    pub(crate) fn open(storage: &dyn Storage, number: u64, mode: ReadMode) -> Result<Layer, Damage> {
        LayerFile::open(storage, number, mode).map(|file| Layer { file })
    }

    pub(crate) fn header(&self) -> &LayerHeader {
        &self.file.header
    }

    /// The checksum of its head, by which a checkpoint knows it.
    pub(crate) fn sum(&self) -> u64 {
        self.file.sum
    }

    /// The checksums of the frames of the last segment, if that was not sealed at the end of the range.
    pub(crate) fn frames(&self) -> Result<Vec<u8>, Damage> {
        let count = self.file.count(Part::Frames);
        let mut frames = Vec::new();
        self.file.raw_entries::<FrameSums>(Part::Frames, 0, count, |raw| frames.extend_from_slice(raw))?;
        Ok(frames)
    }

    /// Shows the row of a stream, if the range says anything about it.
    #[inline]
    pub(crate) fn stream<T>(
        &self,
        id: &str,
        hash: u64,
        look: impl Fn(&StreamRow<'_>) -> T,
    ) -> Result<Option<T>, Damage> {
        let is_it = |raw: &[u8]| Ok(named(raw, id)?.map(|row: StreamRow<'_>| look(&row)));
        self.file.find(Part::StreamBuckets, Part::Streams, hash, is_it)
    }

    /// Shows the row of a kept value, if the range says anything about it.
    pub(crate) fn kept<T>(
        &self,
        name: &str,
        hash: u64,
        look: impl Fn(&KeptRow<'_>) -> T,
    ) -> Result<Option<T>, Damage> {
        let is_it = |raw: &[u8]| Ok(named(raw, name)?.map(|row: KeptRow<'_>| look(&row)));
        self.file.find(Part::KeptBuckets, Part::Kept, hash, is_it)
    }

    /// Tells the processor that a stream will be looked up soon.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        let buckets = self.file.count(Part::StreamBuckets);
        self.file.prefetch_bucket(Part::StreamBuckets, bucket_of(hash, buckets));
    }

    /// The same of its row, by what its bucket says. A bucket that says nothing, or wrong things, is not told of here.
    #[inline]
    pub(crate) fn prefetch_row(&self, hash: u64) {
        self.file.prefetch_found(Part::StreamBuckets, Part::Streams, hash);
    }

    /// How many streams were registered in the range.
    pub(crate) fn registered(&self) -> u64 {
        self.file.count(Part::StreamOrder)
    }

    /// Shows one of the streams that were registered in the range, in the order of their ids.
    pub(crate) fn registered_at<T>(
        &self,
        at: u64,
        look: impl FnOnce(&StreamRow<'_>) -> T,
    ) -> Result<T, Damage> {
        let RowAt { offset } = self.file.entry(Part::StreamOrder, at)?;
        let raw = self.file.row(Part::Streams, offset)?;
        self.file.decoded(Part::Streams, offset, &raw).map(|row| look(&row))
    }

    /// Which of them is the first one that `before` says no of; it says yes of all those before that one.
    pub(crate) fn registered_from(&self, before: impl Fn(&str) -> bool) -> Result<u64, Damage> {
        self.file.first_not(Part::StreamOrder, 0, self.registered(), |RowAt { offset }| {
            let raw = self.file.row(Part::Streams, offset)?;
            self.file.decoded(Part::Streams, offset, &raw).map(|row: StreamRow<'_>| before(row.id))
        })
    }

    /// The entry with this number of a part in order does not belong where it stands.
    #[cold]
    pub(crate) fn disordered(&self, part: Part, at: u64) -> Damage {
        let in_cell = match part {
            Part::Runs => Run::IN_CELL,
            Part::KeptOrder => KeptAt::IN_CELL,
            Part::Bindings => Binding::IN_CELL,
            _ => RowAt::IN_CELL,
        };
        let fault = Fault::Field { what: "whether entries stand in their order", expected: 1, found: 0 };
        self.file.damage_in(part, at / in_cell * CELL_BYTES as u64, fault)
    }

    /// How many names of kept values the range says anything about.
    pub(crate) fn kept_count(&self) -> u64 {
        self.file.count(Part::KeptOrder)
    }

    /// Shows one of them, in the order of names.
    pub(crate) fn kept_at<T>(&self, at: u64, look: impl FnOnce(&KeptRow<'_>) -> T) -> Result<T, Damage> {
        let KeptAt { offset, .. } = self.file.entry(Part::KeptOrder, at)?;
        let raw = self.file.row(Part::Kept, offset)?;
        self.file.decoded(Part::Kept, offset, &raw).map(|row| look(&row))
    }

    /// Which of them is the first one that `before` says no of; it says yes of all those before that one.
    pub(crate) fn kept_from(&self, before: impl Fn(&str) -> bool) -> Result<u64, Damage> {
        self.file.first_not(Part::KeptOrder, 0, self.kept_count(), |KeptAt { offset, .. }| {
            let raw = self.file.row(Part::Kept, offset)?;
            self.file.decoded(Part::Kept, offset, &raw).map(|row: KeptRow<'_>| before(row.name))
        })
    }

    /// How many values there are more at the end of the range than before it, of names before one of them.
    pub(crate) fn kept_balance(&self, at: u64) -> Result<i64, Damage> {
        match at.checked_sub(1) {
            None => Ok(0),
            Some(last) if at >= self.kept_count() => {
                let KeptAt { balance, .. } = self.file.entry(Part::KeptOrder, last)?;
                let own = self.kept_at(last, |row| i64::from(row.has_value) - i64::from(row.had_value))?;
                Ok(balance.saturating_add(own))
            }
            Some(_) => self.file.entry(Part::KeptOrder, at).map(|KeptAt { balance, .. }| balance),
        }
    }

    /// How many tenants the range names.
    pub(crate) fn tenants(&self) -> u64 {
        self.file.count(Part::TenantOrder)
    }

    /// Shows one of them, in the order of names.
    pub(crate) fn tenant_at<T>(&self, at: u64, look: impl FnOnce(&TenantRow<'_>) -> T) -> Result<T, Damage> {
        let RowAt { offset } = self.file.entry(Part::TenantOrder, at)?;
        let raw = self.file.row(Part::Tenants, offset)?;
        self.file.decoded(Part::Tenants, offset, &raw).map(|row| look(&row))
    }

    /// The name of the tenant that a row of a stream names; `None` for none.
    pub(crate) fn tenant_name(&self, tenant: u32) -> Result<Option<String>, Damage> {
        let Some(at) = tenant.checked_sub(1) else { return Ok(None) };
        self.tenant_at(u64::from(at), |row| Some(row.name.to_owned()))
    }

    /// Which of them is the first whose name is not before this one; with `behind`, the first one behind it.
    pub(crate) fn tenant_from(&self, name: &str, behind: bool) -> Result<u64, Damage> {
        self.file.first_not(Part::TenantOrder, 0, self.tenants(), |RowAt { offset }| {
            let raw = self.file.row(Part::Tenants, offset)?;
            let row: TenantRow<'_> = self.file.decoded(Part::Tenants, offset, &raw)?;
            Ok(if behind { row.name <= name } else { row.name < name })
        })
    }

    /// Which bindings are those of a tenant: the first one, and how many.
    pub(crate) fn bindings(&self, tenant: &str) -> Result<(u64, u64), Damage> {
        let at = self.tenant_from(tenant, false)?;
        if at == self.tenants() {
            return Ok((0, 0));
        }
        let own =
            |row: &TenantRow<'_>| if row.name == tenant { (row.first_binding, row.bindings) } else { (0, 0) };
        self.tenant_at(at, own)
    }

    pub(crate) fn binding(&self, at: u64) -> Result<Binding, Damage> {
        self.file.entry(Part::Bindings, at)
    }

    /// The id of the stream that was bound so.
    pub(crate) fn bound(&self, binding: Binding) -> Result<String, Damage> {
        let found = self.file.find(Part::StreamBuckets, Part::Streams, binding.hash, |raw| {
            let row: StreamRow<'_> = decode(raw)?;
            let is_it = row.hash == binding.hash && row.creation_ordinal == binding.creation_ordinal;
            Ok(is_it.then(|| row.id.to_owned()))
        })?;
        found.ok_or_else(|| self.file.damage(0, Fault::Zeros { what: "the row of a binding" }))
    }

    /// Appends runs to `out`.
    pub(crate) fn runs(&self, first: u64, count: u64, out: &mut Vec<Run>) -> Result<(), Damage> {
        self.file.entries(Part::Runs, first, count, |run| out.push(run))
    }

    /// Tells the processor that these runs will be copied soon, of many the first ones.
    pub(crate) fn prefetch_runs(&self, first: u64, count: u64) {
        self.file.prefetch_cells::<Run>(Part::Runs, first, count.min(Run::IN_CELL));
    }

    /// Which of the runs `first..first + count`, which hold these versions, is the first one that does not end before a version.
    pub(crate) fn run_at(
        &self,
        (first, count): (u64, u64),
        versions: RangeInclusive<u64>,
        version: u64,
    ) -> Result<u64, Damage> {
        let Some(before) = version.checked_sub(*versions.start()).filter(|before| *before > 0 && count > 0)
        else {
            return Ok(first);
        };
        // Most streams have runs of one length: then this is the one, and one cell has to prove itself instead of many.
        let all = versions.end().saturating_sub(*versions.start()).saturating_add(1);
        let nth = (u128::from(before) * u128::from(count) / u128::from(all)) as u64;
        let (at, end) = (first.saturating_add(nth.min(count - 1)), first.saturating_add(count));
        let run = self.run(at)?;
        let (from, to) = match () {
            () if run.last_version() < version => (at + 1, end),
            () if run.first_version > version => (first, at),
            () => return Ok(at),
        };
        self.file.first_not(Part::Runs, from, to, |run: Run| Ok(run.last_version() < version))
    }

    /// The same for a position.
    pub(crate) fn run_at_position(&self, first: u64, count: u64, position: u64) -> Result<u64, Damage> {
        let end = first.saturating_add(count);
        self.file.first_not(Part::Runs, first, end, |run: Run| Ok(run.last_position() < position))
    }

    pub(crate) fn run(&self, at: u64) -> Result<Run, Damage> {
        self.file.entry(Part::Runs, at)
    }

    /// The last mark of which `before` says yes, which ascends with the log; and the first of which it says no.
    pub(crate) fn marks_around(
        &self,
        before: impl Fn(&Mark) -> bool,
    ) -> Result<(Option<Mark>, Option<Mark>), Damage> {
        let count = self.file.count(Part::Marks);
        let at = self.file.first_not(Part::Marks, 0, count, |mark: Mark| Ok(before(&mark)))?;
        let last = at.checked_sub(1).map(|at| self.file.entry(Part::Marks, at)).transpose()?;
        let next = (at < count).then(|| self.file.entry(Part::Marks, at)).transpose()?;
        Ok((last, next))
    }
}
