//! Merging two layers whose ranges follow each other into one.
//!
//! Owns what becomes of a name that both speak of. Reads both in the order of names and writes as it goes: memory does not
//! grow with them, but for a number for each tenant.

use crate::format::cell::{Binding, FrameSums, Mark, Run};
use crate::format::layer::Part;
use crate::format::row::{KeptRow, Row, StreamRow, TenantRow};
use crate::layer::file::Piece;
use crate::layer::{Damage, Layer, LayerWriter, MakeError, Range, Sizes};
use crate::storage::Storage;
use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How many runs or bindings are read at once.
const AT_ONCE: u64 = 1024;

/// Makes one layer of two, the older one first.
pub(crate) fn merge(
    storage: &dyn Storage,
    number: u64,
    old: &Layer,
    new: &Layer,
    stop: Arc<AtomicBool>,
) -> Result<(), MakeError> {
    let sum = |part: Part| old.file.count(part) + new.file.count(part);
    let bytes = |part: Part| old.header().part(part).len + new.header().part(part).len;
    let rows = |part: Part| sum(part);
    let sizes = Sizes {
        streams: rows(Part::Streams),
        stream_bytes: bytes(Part::Streams),
        runs: sum(Part::Runs),
        kept: rows(Part::Kept),
        kept_bytes: bytes(Part::Kept),
        tenants: rows(Part::Tenants),
        tenant_bytes: bytes(Part::Tenants),
        bindings: sum(Part::Bindings),
        marks: sum(Part::Marks),
        frames: new.file.count(Part::Frames),
    };
    let mut writer = LayerWriter::new(storage, number, &sizes, stop)?;
    for layer in [old, new] {
        copy(layer, Part::Marks, 0, layer.file.count(Part::Marks), |mark: Mark| writer.mark(mark))?;
    }
    copy(new, Part::Frames, 0, sizes.frames, |sums: FrameSums| writer.frame(sums))?;
    let numbers = merge_tenants(&mut writer, old, new)?;
    merge_streams(&mut writer, old, new, &numbers)?;
    merge_kept(&mut writer, old, new)?;
    let (from, to) = (old.header(), new.header());
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

/// Hands entries of a part on, some at a time.
fn copy<E: crate::format::cell::Entry>(
    layer: &Layer,
    part: Part,
    first: u64,
    count: u64,
    mut each: impl FnMut(E) -> Result<(), MakeError>,
) -> Result<(), MakeError> {
    let mut some = Vec::new();
    for at in (first..first + count).step_by(AT_ONCE as usize) {
        some.clear();
        layer.file.entries(part, at, AT_ONCE.min(first + count - at), |entry| some.push(entry))?;
        some.drain(..).try_for_each(&mut each)?;
    }
    Ok(())
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
    fn new(layer: &'a Layer, part: Part) -> Result<RowsOf<'a>, Damage> {
        let mut rows = RowsOf { layer, part, at: 0, raw: None };
        rows.look()?;
        Ok(rows)
    }

    fn look(&mut self) -> Result<(), Damage> {
        let more = self.at < self.layer.header().part(self.part).len;
        self.raw = more.then(|| self.layer.file.row(self.part, self.at)).transpose()?;
        Ok(())
    }

    fn advance(&mut self) -> Result<(), Damage> {
        self.at += self.raw.as_ref().map_or(0, |raw| raw.len() as u64);
        self.look()
    }

    /// The row in sight; `None` at the end.
    fn row<'r, R: Row<'r>>(&'r self) -> Result<Option<R>, Damage> {
        self.raw.as_ref().map(|raw| self.layer.file.decoded(self.part, self.at, raw)).transpose()
    }
}

/// Which of two rows comes first by name; none of both at the end.
fn first_of<'a, R: Row<'a>>(old: Option<&R>, new: Option<&R>) -> Option<Ordering> {
    match (old, new) {
        (None, None) => None,
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (Some(old), Some(new)) => Some(old.name().cmp(new.name())),
    }
}

/// What the tenants of each of the two are called in the new file, by their numbers.
struct Numbers {
    old: Vec<u32>,
    new: Vec<u32>,
}

fn merge_tenants(writer: &mut LayerWriter, old: &Layer, new: &Layer) -> Result<Numbers, MakeError> {
    let (mut olds, mut news) = (RowsOf::new(old, Part::Tenants)?, RowsOf::new(new, Part::Tenants)?);
    let mut numbers = Numbers { old: Vec::new(), new: Vec::new() };
    let mut number = 0;
    loop {
        let (old_row, new_row): (Option<TenantRow<'_>>, Option<TenantRow<'_>>) = (olds.row()?, news.row()?);
        let Some(order) = first_of(old_row.as_ref(), new_row.as_ref()) else { return Ok(numbers) };
        number += 1;
        let old_row = old_row.filter(|_| order.is_le());
        let new_row = new_row.filter(|_| order.is_ge());
        let Some(row) = old_row.or(new_row) else { return Ok(numbers) };
        let bindings = Bindings::new([(old, old_row), (new, new_row)]);
        writer.tenant(row.name, row.hash, bindings)?;
        if order.is_le() {
            numbers.old.push(number);
            olds.advance()?;
        }
        if order.is_ge() {
            numbers.new.push(number);
            news.advance()?;
        }
    }
}

/// The bindings of one tenant out of both, in the order of creation.
struct Bindings<'a> {
    /// Of each: the layer, the next binding, and the one behind the last.
    sides: [(&'a Layer, u64, u64); 2],
    heads: [Option<Binding>; 2],
}

impl<'a> Bindings<'a> {
    fn new(sides: [(&'a Layer, Option<TenantRow<'_>>); 2]) -> Bindings<'a> {
        let bounds = |row: Option<TenantRow<'_>>| {
            row.map_or((0, 0), |row| (row.first_binding, row.first_binding.saturating_add(row.bindings)))
        };
        let sides = sides.map(|(layer, row)| {
            let (from, to) = bounds(row);
            (layer, from, to)
        });
        Bindings { sides, heads: [None; 2] }
    }

    fn next_binding(&mut self) -> Result<Option<Binding>, Damage> {
        for ((layer, next, end), head) in self.sides.iter_mut().zip(&mut self.heads) {
            if head.is_none() && *next < *end {
                *head = Some(layer.binding(*next)?);
                *next += 1;
            }
        }
        let ordinal = |head: &Option<Binding>| head.map_or(u64::MAX, |binding| binding.creation_ordinal);
        let side = usize::from(ordinal(&self.heads[1]) < ordinal(&self.heads[0]));
        Ok(self.heads[side].take())
    }
}

impl Iterator for Bindings<'_> {
    type Item = Result<Binding, MakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_binding().map_err(MakeError::from).transpose()
    }
}

fn merge_streams(
    writer: &mut LayerWriter,
    old: &Layer,
    new: &Layer,
    numbers: &Numbers,
) -> Result<(), MakeError> {
    let (mut olds, mut news) = (RowsOf::new(old, Part::Streams)?, RowsOf::new(new, Part::Streams)?);
    // A number that no tenant of its file has stands for none.
    let renumbered = |numbers: &[u32], tenant: u32| {
        (tenant as usize).checked_sub(1).and_then(|at| numbers.get(at)).copied().unwrap_or(0)
    };
    loop {
        let (old_row, new_row): (Option<StreamRow<'_>>, Option<StreamRow<'_>>) = (olds.row()?, news.row()?);
        let Some(order) = first_of(old_row.as_ref(), new_row.as_ref()) else { return Ok(()) };
        let old_row = old_row
            .filter(|_| order.is_le())
            .map(|row| StreamRow { tenant: renumbered(&numbers.old, row.tenant), ..row });
        let new_row = new_row
            .filter(|_| order.is_ge())
            .map(|row| StreamRow { tenant: renumbered(&numbers.new, row.tenant), ..row });
        for (layer, row) in [(old, old_row), (new, new_row)] {
            if let Some(row) = row {
                copy(layer, Part::Runs, row.first_run, u64::from(row.runs), |run: Run| writer.run(run))?;
            }
        }
        let row = match (old_row, new_row) {
            (Some(old), Some(new)) => StreamRow {
                registered_here: old.registered_here || new.registered_here,
                bound_here: old.bound_here || new.bound_here,
                runs: old.runs.checked_add(new.runs).ok_or(MakeError::TooLarge)?,
                runs_before: old.runs_before,
                first_version: if old.runs > 0 { old.first_version } else { new.first_version },
                ..new
            },
            (Some(row), None) | (None, Some(row)) => row,
            (None, None) => return Ok(()),
        };
        writer.stream(row)?;
        if order.is_le() {
            olds.advance()?;
        }
        if order.is_ge() {
            news.advance()?;
        }
    }
}

fn merge_kept(writer: &mut LayerWriter, old: &Layer, new: &Layer) -> Result<(), MakeError> {
    let (mut olds, mut news) = (RowsOf::new(old, Part::Kept)?, RowsOf::new(new, Part::Kept)?);
    loop {
        let (old_row, new_row): (Option<KeptRow<'_>>, Option<KeptRow<'_>>) = (olds.row()?, news.row()?);
        let Some(order) = first_of(old_row.as_ref(), new_row.as_ref()) else { return Ok(()) };
        let row = match (old_row.filter(|_| order.is_le()), new_row.filter(|_| order.is_ge())) {
            (Some(old), Some(new)) => KeptRow { had_value: old.had_value, ..new },
            (Some(row), None) | (None, Some(row)) => row,
            (None, None) => return Ok(()),
        };
        // A value that came and went leaves nothing.
        if row.has_value || row.had_value {
            writer.kept(&row)?;
        }
        if order.is_le() {
            olds.advance()?;
        }
        if order.is_ge() {
            news.advance()?;
        }
    }
}
