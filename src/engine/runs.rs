//! The sections of one stream, run by run, out of the index.
//!
//! Owns the walk over runs and the check that each of them is what the index says: no wrong index can serve a foreign event.

use crate::engine::ahead::Ahead;
use crate::engine::place::{Extent, Found, Section, fetch};
use crate::engine::view::segment_at;
use crate::error::{Corruption, Fault, ReadError};
use crate::format::bytes::expect;
use crate::format::cell::Run;
use crate::format::frame::FRAME_HEADER_BYTES;
use crate::format::section::{ENTRY_BYTES, IdBlock, SectionEntry, SectionKind};
use crate::segment::reader::Segment;
use crate::types::Location;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many runs are copied out of the index at once.
pub(crate) const RUNS_AT_ONCE: usize = 64;
/// Runs that begin within so many bytes of each other are close: on most devices, one may come with the other.
const NEAR_BYTES: u64 = 64 << 10;
/// What is read faster than this was in memory. Where it takes longer though it was there, some system calls are made in vain.
const IN_MEMORY: Duration = Duration::from_micros(20);
/// What stands less than this apart is brought in together.
const TOGETHER_BYTES: u64 = 16 << 10;
/// How much of a run is fetched as soon as it is known that it is the next one, in bytes; the rest follows bit by bit, see
/// [`Ahead`].
const NEXT_BYTES: u64 = 512;
/// The same of a run that is read now, with nothing before it.
const FIRST_BYTES: u64 = 2048;

/// The mapped section of a run.
pub(crate) struct Lent<'e> {
    pub(crate) segment: &'e Segment,
    pub(crate) bytes: &'e [u8],
    /// Where its first event begins.
    pub(crate) first_at: usize,
}

pub(crate) struct RunSource {
    id: Arc<str>,
    hash: u64,
    /// See [`IdBlock::plain_sum`].
    plain_sum: u32,
    /// Runs copied out of the index, and how many of them are used.
    runs: Vec<Run>,
    used: usize,
    /// The version to copy from; backward, the one to copy down from, 0 if there is none left.
    next: u64,
    /// Whether what is wanted is a range of positions, not of versions.
    by_position: bool,
    /// Whether they stand far from each other, for who reads them and nothing else.
    are_scattered: bool,
    /// Whether the first of them was not in memory; and how many of them were asked for then.
    is_cold: bool,
    asked: usize,
}

impl RunSource {
    /// The runs from the one with this version on; backward, from there down.
    pub(crate) fn new(id: Arc<str>, hash: u64, next: u64) -> RunSource {
        let plain_sum = IdBlock::plain_sum(&id);
        RunSource {
            id,
            hash,
            plain_sum,
            runs: Vec::new(),
            used: 0,
            next,
            by_position: false,
            are_scattered: false,
            is_cold: false,
            asked: 0,
        }
    }

    pub(crate) fn by_position(id: Arc<str>, hash: u64, next: u64) -> RunSource {
        RunSource { by_position: true, ..RunSource::new(id, hash, next) }
    }

    /// The next run of the stream, opened.
    pub(crate) fn next(&mut self, extent: &Extent) -> Result<Option<Found>, ReadError> {
        match self.next_run(extent)? {
            Some(run) => self.open(&run, extent).map(Some),
            None => Ok(None),
        }
    }

    #[inline]
    pub(crate) fn next_run(&mut self, extent: &Extent) -> Result<Option<Run>, ReadError> {
        loop {
            if self.used == self.runs.len() {
                if !self.by_position && !extent.wanted.contains(&self.next) {
                    return Ok(None);
                }
                self.copy_runs(extent)?;
            }
            let Some(run) = self.runs.get(self.used).copied() else { return Ok(None) };
            self.used += 1;
            self.prefetch(extent, NEXT_BYTES);
            let (first, last) = if self.by_position {
                (run.first_position, run.last_position())
            } else {
                (run.first_version, run.last_version())
            };
            if first < extent.wanted.end {
                return Ok((!extent.backward || last >= extent.wanted.start).then_some(run));
            }
            if !extent.backward {
                return Ok(None);
            }
            // Backward, runs that came after the cursor was made may be met first.
        }
    }

    /// Copies the next runs out of the index; none, if there are no more.
    fn copy_runs(&mut self, extent: &Extent) -> Result<(), ReadError> {
        let RunSource { id, hash, runs, next, by_position, .. } = self;
        // Forward, the cursor's end bounds what it reads; backward, it has passed all that is newer already.
        let versions = match () {
            () if extent.backward => 0..next.saturating_add(1),
            () if *by_position => *next..u64::MAX,
            () => *next..extent.wanted.end,
        };
        extent.shared.ask_whole(|view| {
            runs.clear();
            view.index.copy_runs((id, *hash), versions.clone(), extent.backward, RUNS_AT_ONCE, runs)
        })?;
        self.take_up(extent);
        Ok(())
    }

    /// Begins with runs that were copied already, [`RUNS_AT_ONCE`] at most: those that are read first, or none.
    pub(crate) fn begin(&mut self, runs: Vec<Run>, extent: &Extent) {
        self.runs = runs;
        self.take_up(extent);
    }

    /// The runs that were copied are the next ones.
    fn take_up(&mut self, extent: &Extent) {
        if let Some(last) = self.runs.last() {
            let (down, up) = (last.first_version.saturating_sub(1), last.last_version().saturating_add(1));
            self.next = if extent.backward { down } else { up };
        }
        (self.used, self.asked, self.is_cold) = (0, 0, false);
        // What is wanted by position may be merged with others, and stand close to those.
        self.are_scattered = !self.by_position && are_scattered(&self.runs);
        self.prefetch(extent, FIRST_BYTES);
    }

    /// The next run lies anywhere. Its entry and its first lines are fetched at once; they wait for memory together.
    #[inline]
    fn prefetch(&self, extent: &Extent, bytes: u64) {
        if let Some(next) = self.runs.get(self.used)
            && let Some(segment) = self.segment_of(next, extent)
        {
            segment.prefetch(entry_of(next));
            let section = section_of(next);
            segment.prefetch(section.start..section.end.min(section.start + bytes));
        }
    }

    /// What of the next run is not fetched yet.
    #[inline]
    pub(crate) fn ahead(&self) -> Ahead {
        ahead_of(self.runs.get(self.used), self.are_scattered)
    }

    /// The segment of a run, as it is best read.
    #[inline]
    fn segment_of<'e>(&self, run: &Run, extent: &'e Extent) -> Option<&'e Arc<Segment>> {
        let segment = segment_at(&extent.segments, u64::from(run.segment))?;
        Some(if self.are_scattered { segment.for_piece(u64::from(run.section_len)) } else { segment })
    }

    /// The entry of a run, as it stands there. How long it takes to come to that of the first of several tells whether this part
    /// of the log is in memory.
    #[inline]
    fn entry<'a>(
        &mut self,
        run: &Run,
        segment: &'a Segment,
        extent: &Extent,
        scratch: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], ReadError> {
        if self.is_cold {
            self.bring_in(extent);
        }
        let is_first = self.used == 1 && self.runs.len() > 1 && self.are_scattered;
        let begun = is_first.then(Instant::now);
        let raw = segment.bytes(entry_of(run), scratch)?;
        if let Some(begun) = begun {
            // What is mapped comes when it is looked at.
            std::hint::black_box(raw.first().copied());
            self.is_cold = begun.elapsed() > IN_MEMORY;
        }
        Ok(raw)
    }

    /// Has what will be read of this run and the next ones brought in from the device, side by side; of long ones, the beginning.
    /// The farther a reader has come, the more of them: most who want one event only want the first.
    #[cold]
    fn bring_in(&mut self, extent: &Extent) {
        let now = self.used.saturating_sub(1);
        if now == 0 || now < self.asked {
            return;
        }
        self.asked = 5 * now;
        // Runs that are wanted by position are never cold.
        let wanted = &extent.wanted;
        let is_wanted = |run: &&Run| run.first_version < wanted.end && run.last_version() >= wanted.start;
        for run in self.runs.iter().take(self.asked).skip(now).filter(is_wanted) {
            let Some(segment) = self.segment_of(run, extent) else { continue };
            let (entry, section) = (entry_of(run), section_of(run));
            let end = section.end.min(section.start.saturating_add(NEAR_BYTES));
            if section.start.saturating_sub(entry.end) < TOGETHER_BYTES {
                segment.bring_in(entry.start..end);
            } else {
                segment.bring_in(entry);
                segment.bring_in(section.start..end);
            }
        }
    }

    /// Where the section of a run stands, and the checksum of its id block. Its entry must say the same as the index; with
    /// [`RunSource::prove`], no wrong index can ever serve an event of another stream.
    #[inline]
    fn section(
        &mut self,
        run: &Run,
        segment: &Segment,
        extent: &Extent,
    ) -> Result<(Range<u64>, u32), ReadError> {
        let entry_at = entry_of(run).start;
        let mut scratch = Vec::new();
        let raw = self.entry(run, segment, extent, &mut scratch)?;
        let fault = |fault| segment.corrupt(entry_at, fault);
        let entry =
            raw.first_chunk().map(SectionEntry::decode).ok_or_else(|| missing(run))?.map_err(fault)?;
        expect("kind of the section", SectionKind::Events as u64, entry.kind as u64).map_err(fault)?;
        expect("first version", run.first_version, entry.number).map_err(fault)?;
        expect("number of events", u64::from(run.count), u64::from(entry.events)).map_err(fault)?;
        expect("length of the section", u64::from(run.section_len), u64::from(entry.len)).map_err(fault)?;
        Ok((section_of(run), entry.id_checksum))
    }

    /// Whether these bytes, which begin at an offset of a segment, are a section of the stream; where its first event begins.
    #[inline]
    fn prove(&self, bytes: &[u8], segment: &Segment, start: u64, checksum: u32) -> Result<usize, ReadError> {
        IdBlock::matches(bytes, &self.id, self.plain_sum, checksum)
            .map_err(|fault| segment.corrupt(start, fault).into())
    }

    /// The section of a run that the index names.
    pub(crate) fn open(&mut self, run: &Run, extent: &Extent) -> Result<Found, ReadError> {
        let segment = self.segment_of(run, extent).ok_or_else(|| missing(run))?;
        let (range, checksum) = self.section(run, segment, extent)?;
        let start = range.start;
        let section = fetch(segment, range, run.time, extent.owned)?;
        let first_at = self.prove(section.bytes(), segment, start, checksum)?;
        let section = Section { id: IdBlock::id_range(self.id.len()), ..section };
        let Run { first_version, first_position, count, .. } = *run;
        Ok(Found { section, first_at, first_version, first_position, count })
    }

    /// The same where it lies; `None` if it is not mapped, may hold stubs, or is not there.
    #[inline]
    pub(crate) fn lend<'e>(&mut self, run: &Run, extent: &'e Extent) -> Result<Option<Lent<'e>>, ReadError> {
        let lends = |segment: &&Arc<Segment>| segment.is_mapped() && !segment.header.rewritten;
        let Some(segment) = self.segment_of(run, extent).filter(lends) else { return Ok(None) };
        let (range, checksum) = self.section(run, segment, extent)?;
        let start = range.start;
        let Some(bytes) = segment.mapped(range) else { return Ok(None) };
        let first_at = self.prove(bytes, segment, start, checksum)?;
        Ok(Some(Lent { segment, bytes, first_at }))
    }
}

/// Whether it does not pay to bring in what stands around these runs, which are read in this order: few stand close to the one
/// before.
fn are_scattered(runs: &[Run]) -> bool {
    let is_near = |pair: &&[Run]| {
        let distance = pair[0].frame_offset.abs_diff(pair[1].frame_offset);
        pair[0].segment == pair[1].segment && distance < NEAR_BYTES
    };
    2 * runs.windows(2).filter(is_near).count() < runs.len()
}

/// What is not fetched yet of a run that was found out to be the next one.
#[inline]
pub(crate) fn ahead_of(next: Option<&Run>, are_scattered: bool) -> Ahead {
    let Some(next) = next else { return Ahead::default() };
    let Range { start, end } = section_of(next);
    let piece = are_scattered.then_some(end - start);
    Ahead::of(u64::from(next.segment), start + NEXT_BYTES..end, piece)
}

/// Where the entry of a run's section stands in its segment.
fn entry_of(run: &Run) -> Range<u64> {
    let start = run.frame_offset + (FRAME_HEADER_BYTES + run.section as usize * ENTRY_BYTES) as u64;
    start..start + ENTRY_BYTES as u64
}

/// Where the section of a run stands in its segment.
fn section_of(run: &Run) -> Range<u64> {
    let start = run.frame_offset + u64::from(run.section_at);
    start..start + u64::from(run.section_len)
}

/// The index names a run that is nowhere.
#[cold]
fn missing(run: &Run) -> Corruption {
    let at = Location { segment: u64::from(run.segment), offset: run.frame_offset };
    Corruption { at, fault: Fault::Zeros { what: "the segment of a run" } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_scattered_if_few_stand_close_to_the_one_before() {
        let runs = |places: &[(u32, u64)]| -> Vec<Run> {
            let run = |&(segment, frame_offset): &(u32, u64)| Run {
                first_version: 1,
                first_position: 1,
                time: 0,
                frame_offset,
                segment,
                section: 0,
                section_at: 96,
                section_len: 300,
                count: 1,
            };
            places.iter().map(run).collect()
        };
        let are = |places: &[(u32, u64)]| are_scattered(&runs(places));
        assert!(are(&[(1, 4096)]), "one that stands alone");
        assert!(!are(&[(1, 4096), (1, 4496)]));
        assert!(!are(&[(1, 4496), (1, 4096)]), "backward");
        assert!(are(&[(1, 4096), (2, 4096)]), "in different segments");
        assert!(are(&[(1, 4096), (1, 4096 + NEAR_BYTES)]));
        assert!(!are(&[(1, 4096), (1, 4400), (1, 9_000_000), (1, 9_000_400)]), "close by twos");
        assert!(are(&[(1, 0), (1, 1_000_000), (1, 1_000_400), (1, 3_000_000)]));
    }
}
