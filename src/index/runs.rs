//! The runs of a stream, across the parts of the index, and where versions and positions meet.
//!
//! Owns finding the part in which a version or a position lies. Versions have no gaps, so the parts' runs follow each other
//! as the parts do.

use crate::format::cell::{Mark, Run};
use crate::format::layer::Part;
use crate::format::row::StreamRow;
use crate::index::state::{Readable, StreamState};
use crate::index::{Index, Looked};
use crate::layer::{Damage, Layer};
use crate::types::Location;
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::Arc;

/// The runs of a stream in one part.
enum Piece<'a> {
    Memory(&'a [Run]),
    File { layer: &'a Layer, first: u64, count: u64, first_version: u64, last_version: u64 },
}

impl Piece<'_> {
    fn len(&self) -> u64 {
        match self {
            Piece::Memory(runs) => runs.len() as u64,
            Piece::File { count, .. } => *count,
        }
    }

    fn first_version(&self) -> u64 {
        match self {
            Piece::Memory(runs) => runs.first().map_or(0, |run| run.first_version),
            Piece::File { first_version, .. } => *first_version,
        }
    }

    fn run(&self, at: u64) -> Looked<Run> {
        match self {
            Piece::Memory(runs) => Ok(runs[at as usize]),
            Piece::File { layer, first, .. } => layer.run(first + at),
        }
    }

    /// Which run is the first one that does not end before a version.
    fn run_at(&self, version: u64) -> Looked<u64> {
        match self {
            Piece::Memory(runs) => Ok(runs.partition_point(|run| run.last_version() < version) as u64),
            Piece::File { layer, first, count, first_version, last_version } => {
                let versions = *first_version..=*last_version;
                Ok(layer.run_at((*first, *count), versions, version)? - first)
            }
        }
    }

    /// Which run is the first one that does not end before a position.
    fn run_at_position(&self, position: u64) -> Looked<u64> {
        match self {
            Piece::Memory(runs) => Ok(runs.partition_point(|run| run.last_position() < position) as u64),
            Piece::File { layer, first, count, .. } => {
                Ok(layer.run_at_position(*first, *count, position)? - first)
            }
        }
    }

    /// Tells the processor that the first runs will be copied soon.
    fn prefetch(&self) {
        if let Piece::File { layer, first, count, .. } = self {
            layer.prefetch_runs(*first, *count);
        }
    }

    fn copy(&self, from: u64, to: u64, out: &mut Vec<Run>) -> Looked<()> {
        match self {
            Piece::Memory(runs) => out.extend_from_slice(&runs[from as usize..to as usize]),
            Piece::File { layer, first, first_version, last_version, .. } => {
                let copied = out.len();
                layer.runs(first + from, to - from, out)?;
                // Where they do not ascend inside of what the row says, who goes on behind the last one may never come to an end.
                let mut least = (*first_version).max(1);
                for (run, at) in out[copied..].iter().zip(first + from..) {
                    if run.first_version < least || run.count == 0 || run.last_version() > *last_version {
                        return Err(layer.disordered(Part::Runs, at));
                    }
                    least = run.last_version() + 1;
                }
            }
        }
        Ok(())
    }

    /// The same, down from the one that holds a version, or from the last one before it.
    fn copy_down(&self, version: u64, max: usize, out: &mut Vec<Run>) -> Looked<()> {
        let at = self.run_at(version)?;
        // Behind a gap there is a run that does not hold the version: who goes on before it would come to it again.
        let holds = at < self.len() && self.run(at)?.first_version <= version;
        let end = if holds { at + 1 } else { at };
        self.copy(end.saturating_sub(max as u64), end, out)?;
        out.reverse();
        Ok(())
    }
}

/// A stream's rows in layers, the newest one first: what `look` takes out of each, and the piece of its runs, which may be empty.
struct InFiles<'a, F> {
    /// Those that were not asked yet.
    layers: &'a [Arc<Layer>],
    id: &'a str,
    hash: u64,
    look: F,
    is_asked: bool,
}

impl<'a, T, F: Fn(&StreamRow<'_>) -> T> InFiles<'a, F> {
    fn new(layers: &'a [Arc<Layer>], id: &'a str, hash: u64, look: F) -> InFiles<'a, F> {
        InFiles { layers, id, hash, look, is_asked: false }
    }

    #[inline]
    fn find(&mut self) -> Looked<Option<(T, Piece<'a>)>> {
        if !std::mem::replace(&mut self.is_asked, true) {
            // Mostly several of them are asked: their rows wait for memory together.
            self.layers.iter().for_each(|layer| layer.prefetch_row(self.hash));
        }
        while let Some((layer, rest)) = self.layers.split_last() {
            self.layers = rest;
            let found = layer.stream(self.id, self.hash, |row| {
                let StreamRow { first_run: first, runs, first_version, version, .. } = *row;
                let count = u64::from(runs);
                let piece = Piece::File { layer, first, count, first_version, last_version: version };
                (row.runs_before, (self.look)(row), piece)
            });
            if let Some((before, looked, piece)) = found? {
                if before == 0 {
                    self.layers = &[];
                }
                return Ok(Some((looked, piece)));
            }
        }
        Ok(None)
    }
}

impl<'a, T, F: Fn(&StreamRow<'_>) -> T> Iterator for InFiles<'a, F> {
    type Item = Looked<(T, Piece<'a>)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.find().transpose()
    }
}

/// Those of the pieces that have runs.
fn with_runs<'a>(pieces: impl Iterator<Item = Looked<Piece<'a>>>) -> impl Iterator<Item = Looked<Piece<'a>>> {
    pieces.filter(|piece| piece.as_ref().map_or(true, |piece| piece.len() > 0))
}

/// The newest piece of a stream's runs that `is_it` says yes of, or else the oldest one.
fn find_piece<'a>(
    pieces: impl Iterator<Item = Looked<Piece<'a>>>,
    is_it: impl Fn(&Piece<'a>) -> Looked<bool>,
) -> Looked<Option<Piece<'a>>> {
    let mut oldest = None;
    for piece in pieces {
        let piece = piece?;
        if is_it(&piece)? {
            return Ok(Some(piece));
        }
        oldest = Some(piece);
    }
    Ok(oldest)
}

/// Copies runs of a stream, `max` at most: from the one that holds the first of these versions on, or from the first one
/// behind it. Of parts that begin behind all of them none is copied.
fn copy_up<'a>(
    all: impl Iterator<Item = Looked<Piece<'a>>>,
    versions: Range<u64>,
    max: usize,
    out: &mut Vec<Run>,
) -> Looked<()> {
    let mut pieces: SmallVec<[Piece<'_>; 8]> = SmallVec::new();
    for piece in all {
        let piece = piece?;
        let first = piece.first_version();
        if first < versions.end {
            if first >= versions.start {
                piece.prefetch();
            }
            pieces.push(piece);
        }
        if first <= versions.start {
            break;
        }
    }
    let mut left: u64 = pieces.iter().map(Piece::len).sum();
    for piece in pieces.iter().rev() {
        let room = max.saturating_sub(out.len()) as u64;
        if room == 0 {
            break;
        }
        let at = piece.run_at(versions.start)?;
        // For all pieces, at the first one.
        out.reserve(room.min(left.saturating_sub(at)) as usize);
        left -= piece.len();
        piece.copy(at, at.saturating_add(room).min(piece.len()), out)?;
    }
    Ok(())
}

/// The same backward: from the one that holds a version down, or from the last one before it. As many as one part has.
fn copy_down<'a>(
    pieces: impl Iterator<Item = Looked<Piece<'a>>>,
    version: u64,
    max: usize,
    out: &mut Vec<Run>,
) -> Looked<()> {
    let piece = find_piece(pieces, |piece| Ok(piece.first_version() <= version))?;
    let Some(piece) = piece.filter(|piece| piece.first_version() <= version) else { return Ok(()) };
    piece.copy_down(version, max, out)
}

/// Either of them; for no versions, none.
fn copy<'a>(
    pieces: impl Iterator<Item = Looked<Piece<'a>>>,
    versions: Range<u64>,
    backward: bool,
    max: usize,
    out: &mut Vec<Run>,
) -> Looked<()> {
    if versions.is_empty() {
        Ok(())
    } else if backward {
        copy_down(pieces, versions.end - 1, max, out)
    } else {
        copy_up(pieces, versions, max, out)
    }
}

/// What a reader begins with, of a stream of which no part in memory speaks: what of it can be read, and the runs that come
/// first, `max` at most. `wanted` says which versions will be read.
pub(crate) fn begin_in(
    layers: &[Arc<Layer>],
    (id, hash): (&str, u64),
    wanted: impl Fn(Readable) -> Range<u64>,
    backward: bool,
    max: usize,
) -> Looked<Option<(Readable, Vec<Run>)>> {
    layers.iter().for_each(|layer| layer.prefetch(hash));
    let mut rows = InFiles::new(layers, id, hash, |row| StreamState::of(row).readable());
    let Some((readable, newest)) = rows.next().transpose()? else { return Ok(None) };
    let pieces = std::iter::once(Ok(newest)).chain(rows.map(|row| row.map(|(_, piece)| piece)));
    let mut runs = Vec::new();
    copy(with_runs(pieces), wanted(readable), backward, max, &mut runs)?;
    Ok(Some((readable, runs)))
}

impl Index {
    /// The pieces of a stream's runs, the newest one first.
    fn pieces<'a>(&'a self, id: &'a str, hash: u64) -> impl Iterator<Item = Looked<Piece<'a>>> {
        let entries = self.in_memory().filter_map(move |part| part.find(id, hash));
        let memory = entries.map(|entry| Ok(Piece::Memory(&entry.runs)));
        let files = InFiles::new(&self.layers, id, hash, |_| ());
        with_runs(memory.chain(files.map(|row| row.map(|((), piece)| piece))))
    }

    /// Copies runs of a stream, `max` at most. Forward, from the one that holds the first of these versions on, and none of parts
    /// that begin behind all of them; backward, from the one that holds the last of them down, as many as one part has.
    pub(crate) fn copy_runs(
        &self,
        (id, hash): (&str, u64),
        versions: Range<u64>,
        backward: bool,
        max: usize,
        out: &mut Vec<Run>,
    ) -> Looked<()> {
        copy(self.pieces(id, hash), versions, backward, max, out)
    }

    /// The version that a stream had before the event at a position: that of its last event before it.
    pub(crate) fn version_before(&self, id: &str, hash: u64, position: u64) -> Looked<u64> {
        let found = find_piece(self.pieces(id, hash), |piece| Ok(piece.run(0)?.first_position < position))?;
        let Some(piece) = found else {
            return Ok(self.state(id, hash)?.map_or(0, |state| state.version));
        };
        let at = piece.run_at_position(position)?;
        if at < piece.len() {
            let run = piece.run(at)?;
            let inside = position.saturating_sub(run.first_position);
            return Ok(run.first_version.saturating_sub(1).saturating_add(inside));
        }
        Ok(piece.run(at - 1)?.last_version())
    }

    /// The position of a version; 0 if the stream has none such.
    pub(crate) fn position_of(&self, id: &str, hash: u64, version: u64) -> Looked<u64> {
        let found = find_piece(self.pieces(id, hash), |piece| Ok(piece.first_version() <= version))?;
        let Some(piece) = found else { return Ok(0) };
        let at = piece.run_at(version)?;
        if at == piece.len() {
            return Ok(0);
        }
        let run = piece.run(at)?;
        Ok(version
            .checked_sub(run.first_version)
            .map_or(0, |inside| run.first_position.saturating_add(inside)))
    }

    /// How many runs a stream has, in all parts.
    pub(crate) fn run_count(&self, id: &str, hash: u64) -> Looked<u64> {
        let parts = self.in_memory().filter_map(|part| part.find(id, hash));
        let count: u64 = parts.map(|entry| entry.runs.len() as u64).sum();
        Ok(count + runs_in(&self.layers, id, hash)?)
    }

    /// The last mark of which `before` says yes, which ascends with the log; and the first of which it says no.
    fn marks_around(&self, before: impl Fn(&Mark) -> bool) -> Looked<(Option<Mark>, Option<Mark>)> {
        let mut next = None;
        let mut found = |around: (Option<Mark>, Option<Mark>)| {
            next = around.1.or(next);
            around.0.is_some().then_some((around.0, next))
        };
        for part in self.in_memory() {
            if let Some(found) = found(part.marks.around(&before)) {
                return Ok(found);
            }
        }
        for layer in self.in_files() {
            if let Some(found) = found(layer.marks_around(&before)?) {
                return Ok(found);
            }
        }
        Ok((None, next))
    }

    /// The last marked frame that does not begin behind `position`: the event stands there or later. `None` if the log begins
    /// behind it.
    pub(crate) fn mark_before(&self, position: u64) -> Result<Option<Location>, Damage> {
        Ok(self.marks_around(|mark| mark.position <= position)?.0.map(location))
    }

    /// The first marked frame that begins behind `position`, if there is one: the event stands before it.
    pub(crate) fn mark_behind(&self, position: u64) -> Result<Option<Location>, Damage> {
        Ok(self.marks_around(|mark| mark.position <= position)?.1.map(location))
    }

    /// The marked frame before this place, for walking backwards.
    pub(crate) fn mark_before_place(&self, place: Location) -> Result<Option<Location>, Damage> {
        Ok(self.marks_around(|mark| location(*mark) < place)?.0.map(location))
    }

    /// The first marked frame behind this place, for going on where a frame does not say how long it is.
    pub(crate) fn mark_behind_place(&self, place: Location) -> Result<Option<Mark>, Damage> {
        Ok(self.marks_around(|mark| location(*mark) <= place)?.1)
    }
}

fn location(mark: Mark) -> Location {
    Location { segment: u64::from(mark.segment), offset: mark.offset }
}

/// How many runs of a stream these layers have.
pub(crate) fn runs_in(layers: &[Arc<Layer>], id: &str, hash: u64) -> Looked<u64> {
    let all = |row: &StreamRow<'_>| u64::from(row.runs) + u64::from(row.runs_before);
    for layer in layers.iter().rev() {
        if let Some(runs) = layer.stream(id, hash, all)? {
            return Ok(runs);
        }
    }
    Ok(0)
}
