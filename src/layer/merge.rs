//! Merging layers whose ranges follow each other into one.
//!
//! Owns what becomes of a name that several speak of. Reads all of them at once in the order of names and writes as it goes:
//! each name is written once, however many layers there are, and memory does not grow with them, but for a number for each
//! tenant. Must never decide which layers are merged.

use crate::format::cell::{Binding, Entry, FrameSums, Mark, Run};
use crate::format::layer::Part;
use crate::format::row::{KeptRow, Row, StreamRow, TenantRow, name_range};
use crate::layer::file::Piece;
use crate::layer::{Damage, Layer, LayerWriter, MakeError, Meanwhile, Range, Sizes};
use crate::segment::name::MERGE_TEMPORARY;
use crate::storage::Storage;
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::sync::Arc;

/// How many entries of a part are read at once.
const AT_ONCE: u64 = 1024;

/// Makes one layer of several, the oldest one first.
pub(crate) fn merge(
    storage: &dyn Storage,
    number: u64,
    layers: &[Arc<Layer>],
    meanwhile: Meanwhile<'_>,
) -> Result<(), MakeError> {
    let [oldest, .., newest] = layers else { return Ok(()) };
    let count = |part: Part| layers.iter().map(|layer| layer.file.count(part)).sum();
    let bytes = |part: Part| layers.iter().map(|layer| layer.header().part(part).len).sum();
    let sizes = Sizes {
        streams: count(Part::Streams),
        stream_bytes: bytes(Part::Streams),
        runs: count(Part::Runs),
        kept: count(Part::Kept),
        kept_bytes: bytes(Part::Kept),
        tenants: count(Part::Tenants),
        tenant_bytes: bytes(Part::Tenants),
        bindings: count(Part::Bindings),
        marks: count(Part::Marks),
        frames: newest.file.count(Part::Frames),
    };
    let mut writer = LayerWriter::new(storage, MERGE_TEMPORARY, number, &sizes, meanwhile)?;
    for layer in layers {
        let marks = layer.file.count(Part::Marks);
        EntriesOf::<Mark>::new(layer, Part::Marks).take(0, marks, |marks| writer.copy_marks(marks))?;
    }
    EntriesOf::<FrameSums>::new(newest, Part::Frames)
        .take(0, sizes.frames, |sums| writer.copy_frames(sums))?;
    let numbers = merge_tenants(&mut writer, layers)?;
    merge_streams(&mut writer, layers, &numbers)?;
    merge_kept(&mut writer, layers)?;
    let (from, to) = (oldest.header(), newest.header());
    let range = Range {
        log_id: from.log_id,
        from: from.from,
        to: to.to,
        to_salt: to.to_salt,
        chain: to.chain,
        first_position: from.first_position,
        last_revision: to.last_revision,
        last_creation: to.last_creation,
        frames: to.frames,
        events: to.events,
        last_frame: to.last_frame,
    };
    writer.finish(storage, &range)
}

/// Entries of a part in the order in which they stand there, some read ahead: a cell proves itself once, not for each of its
/// entries. What they say is nobody's business here: most are copied as they are.
struct EntriesOf<'a, E> {
    layer: &'a Layer,
    part: Part,
    /// Number of the first entry that was read ahead.
    first: u64,
    ahead: Vec<u8>,
    entry: PhantomData<E>,
}

impl<'a, E: Entry> EntriesOf<'a, E> {
    fn new(layer: &'a Layer, part: Part) -> EntriesOf<'a, E> {
        EntriesOf { layer, part, first: 0, ahead: Vec::new(), entry: PhantomData }
    }

    /// Hands on so many entries from a number on, as they stand in cells, some at a time.
    fn take(
        &mut self,
        mut from: u64,
        count: u64,
        mut some: impl FnMut(&[u8]) -> Result<(), MakeError>,
    ) -> Result<(), MakeError> {
        let end = from.saturating_add(count);
        while from < end {
            let raw = self.raw(from, end - from)?;
            from += (raw.len() / E::BYTES) as u64;
            some(raw)?;
        }
        Ok(())
    }

    fn entry(&mut self, at: u64) -> Result<E, Damage> {
        self.raw(at, 1).map(E::get)
    }

    /// The entry with this number and those behind it, at most so many, as far as they have been read ahead.
    fn raw(&mut self, at: u64, count: u64) -> Result<&[u8], Damage> {
        let EntriesOf { layer, part, first, ahead, .. } = self;
        let known = |first: u64, ahead: &[u8]| at >= first && at - first < (ahead.len() / E::BYTES) as u64;
        if !known(*first, ahead) {
            ahead.clear();
            *first = at;
            layer.file.raw_entries::<E>(*part, at, AT_ONCE, |raw| ahead.extend_from_slice(raw))?;
            if ahead.is_empty() {
                return Err(layer.file.lacks(*part, at));
            }
        }
        let from = (at - *first) as usize * E::BYTES;
        let len = ahead.len() - from;
        Ok(&ahead[from..from + len.min(count.saturating_mul(E::BYTES as u64) as usize)])
    }
}

/// The rows of a part, one after the other.
struct RowsOf<'a> {
    layer: &'a Layer,
    part: Part,
    /// Offset of the row in sight.
    at: u64,
    raw: Option<Piece<'a>>,
}

impl<'a> RowsOf<'a> {
    fn look(&mut self) -> Result<(), Damage> {
        let more = self.at < self.layer.header().part(self.part).len;
        self.raw = more.then(|| self.layer.file.row(self.part, self.at)).transpose()?;
        Ok(())
    }

    fn advance(&mut self) -> Result<(), Damage> {
        self.at += self.raw.as_ref().map_or(0, |raw| raw.len() as u64);
        self.look()
    }

    /// The name of the row in sight; `None` at the end.
    fn name<'r, R: Row<'r>>(&self) -> Result<Option<&[u8]>, Damage> {
        let Some(raw) = &self.raw else { return Ok(None) };
        let range = name_range::<R>(raw);
        let range = range.map_err(|fault| self.layer.file.damage_in(self.part, self.at, fault))?;
        Ok(raw.get(range))
    }

    /// The row in sight; `None` at the end.
    fn row<'r, R: Row<'r>>(&'r self) -> Result<Option<R>, Damage> {
        self.raw.as_ref().map(|raw| self.layer.file.decoded(self.part, self.at, raw)).transpose()
    }
}

/// The rows of a part of all layers, name by name.
struct Names<'a> {
    sides: Vec<RowsOf<'a>>,
    /// Which of the layers speak of the name in sight, the oldest one first.
    turn: Vec<usize>,
}

impl<'a> Names<'a> {
    fn new(layers: &'a [Arc<Layer>], part: Part) -> Result<Names<'a>, Damage> {
        let side = |layer| RowsOf { layer, part, at: 0, raw: None };
        let mut sides: Vec<_> = layers.iter().map(|layer| side(layer)).collect();
        sides.iter_mut().try_for_each(RowsOf::look)?;
        Ok(Names { sides, turn: Vec::new() })
    }

    /// Moves on to the first name that was not in sight yet; `false` at the end.
    fn next<'r, R: Row<'r>>(&mut self) -> Result<bool, Damage> {
        for nth in self.turn.drain(..) {
            self.sides[nth].advance()?;
        }
        let mut least: Option<&[u8]> = None;
        for (nth, side) in self.sides.iter().enumerate() {
            let Some(name) = side.name::<R>()? else { continue };
            let order = least.map_or(Ordering::Less, |least| name.cmp(least));
            if order.is_lt() {
                self.turn.clear();
                least = Some(name);
            }
            if order.is_le() {
                self.turn.push(nth);
            }
        }
        Ok(least.is_some())
    }

    /// The rows of the name in sight and whose they are, the oldest one first.
    fn rows<'r, R: Row<'r>>(&'r self) -> impl Iterator<Item = Result<(usize, R), Damage>> {
        self.turn.iter().filter_map(|nth| Some(self.sides[*nth].row().transpose()?.map(|row| (*nth, row))))
    }
}

/// What the tenants of each of the layers are called in the new file, by their numbers.
fn merge_tenants(writer: &mut LayerWriter<'_>, layers: &[Arc<Layer>]) -> Result<Vec<Vec<u32>>, MakeError> {
    let mut names = Names::new(layers, Part::Tenants)?;
    let mut entries: Vec<_> = layers.iter().map(|layer| EntriesOf::new(layer, Part::Bindings)).collect();
    let mut numbers = vec![Vec::new(); layers.len()];
    // As of streams and their runs.
    let mut taken = vec![0; layers.len()];
    let mut number = 0;
    while names.next::<TenantRow<'_>>()? {
        number += 1;
        let mut bindings = Bindings { entries: &mut entries, sides: Vec::new() };
        let mut tenant = None;
        for row in names.rows() {
            let (nth, row): (usize, TenantRow<'_>) = row?;
            numbers[nth].push(number);
            if row.first_binding != taken[nth] {
                return Err(layers[nth].disordered(Part::Bindings, row.first_binding).into());
            }
            taken[nth] = row.first_binding.saturating_add(row.bindings);
            bindings.add(nth, &row)?;
            tenant = Some(row);
        }
        if let Some(row) = tenant {
            writer.tenant(row.name, row.hash, bindings)?;
        }
    }
    Ok(numbers)
}

/// The bindings of one tenant in one of the layers.
struct Side {
    /// Which layer.
    nth: usize,
    head: Binding,
    /// The number of the one in sight, and the one behind the last.
    at: u64,
    end: u64,
}

/// The bindings of one tenant out of all layers, in the order of creation.
struct Bindings<'e, 'a> {
    entries: &'e mut [EntriesOf<'a, Binding>],
    sides: Vec<Side>,
}

impl Bindings<'_, '_> {
    fn add(&mut self, nth: usize, row: &TenantRow<'_>) -> Result<(), Damage> {
        let (at, end) = (row.first_binding, row.first_binding.saturating_add(row.bindings));
        if at < end {
            let head = self.entries[nth].entry(at)?;
            self.sides.push(Side { nth, head, at, end });
        }
        Ok(())
    }

    fn next_binding(&mut self) -> Result<Option<Binding>, Damage> {
        let sides = self.sides.iter().enumerate();
        let Some((first, _)) = sides.min_by_key(|(_, side)| side.head.creation_ordinal) else {
            return Ok(None);
        };
        let side = &mut self.sides[first];
        let binding = side.head;
        side.at += 1;
        if side.at < side.end {
            side.head = self.entries[side.nth].entry(side.at)?;
        } else {
            self.sides.remove(first);
        }
        Ok(Some(binding))
    }
}

impl Iterator for Bindings<'_, '_> {
    type Item = Result<Binding, MakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_binding().map_err(MakeError::from).transpose()
    }
}

fn merge_streams(
    writer: &mut LayerWriter<'_>,
    layers: &[Arc<Layer>],
    numbers: &[Vec<u32>],
) -> Result<(), MakeError> {
    let mut names = Names::new(layers, Part::Streams)?;
    let mut runs: Vec<_> = layers.iter().map(|layer| EntriesOf::<Run>::new(layer, Part::Runs)).collect();
    // Each row has the runs behind those of the row before it, or one that is wrong could ask for the same ones again and again.
    let mut taken = vec![0; layers.len()];
    while names.next::<StreamRow<'_>>()? {
        let mut merged: Option<StreamRow<'_>> = None;
        for row in names.rows() {
            let (nth, row): (usize, StreamRow<'_>) = row?;
            if row.first_run != taken[nth] {
                return Err(layers[nth].disordered(Part::Runs, row.first_run).into());
            }
            taken[nth] += u64::from(row.runs);
            runs[nth].take(row.first_run, u64::from(row.runs), |runs| writer.copy_runs(runs))?;
            // A number that no tenant of its file has stands for none.
            let tenant = (row.tenant as usize).checked_sub(1).and_then(|at| numbers[nth].get(at));
            let row = StreamRow { tenant: tenant.copied().unwrap_or(0), ..row };
            merged = Some(match merged {
                Some(old) => followed(&old, row)?,
                None => row,
            });
        }
        merged.map_or(Ok(()), |row| writer.stream(row))?;
    }
    Ok(())
}

/// What two ranges that follow each other say of a stream.
fn followed<'a>(old: &StreamRow<'_>, new: StreamRow<'a>) -> Result<StreamRow<'a>, MakeError> {
    Ok(StreamRow {
        registered_here: old.registered_here || new.registered_here,
        bound_here: old.bound_here || new.bound_here,
        runs: old.runs.checked_add(new.runs).ok_or(MakeError::TooLarge)?,
        runs_before: old.runs_before,
        first_version: if old.runs > 0 { old.first_version } else { new.first_version },
        ..new
    })
}

fn merge_kept(writer: &mut LayerWriter<'_>, layers: &[Arc<Layer>]) -> Result<(), MakeError> {
    let mut names = Names::new(layers, Part::Kept)?;
    while names.next::<KeptRow<'_>>()? {
        let mut merged: Option<KeptRow<'_>> = None;
        for row in names.rows() {
            let (_, row): (usize, KeptRow<'_>) = row?;
            merged = Some(KeptRow { had_value: merged.map_or(row.had_value, |old| old.had_value), ..row });
        }
        // A value that came and went leaves nothing.
        if let Some(row) = merged.filter(|row| row.has_value || row.had_value) {
            writer.kept(&row)?;
        }
    }
    Ok(())
}
