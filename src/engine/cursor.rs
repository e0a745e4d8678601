//! Cursors: events of one stream or of the whole log, forwards or backwards, lent or owned.
//!
//! Owns the reader's moving place. A cursor sees the log as it was when it was made: its end is fixed then, and everything
//! below it is durable and never changes. Holds no lock while the user looks at an event. After an error it yields nothing.

use crate::engine::shared::Shared;
use crate::engine::view::{Segments, segment_at};
use crate::error::{Corruption, Fault, ReadError};
use crate::event::{Event, RecordedEvent, Standing};
use crate::format::FIRST_FRAME;
use crate::format::bytes::expect;
use crate::format::frame::{FRAME_HEADER_BYTES, FrameFault, FrameHeader, FramePlace};
use crate::format::record::{self, Record, record_len};
use crate::format::section::{ENTRY_BYTES, IdBlock, SectionEntry, SectionKind};
use crate::index::streams::Run;
use crate::segment::reader::Segment;
use crate::types::Location;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// How many runs are copied out of the index at once.
const RUNS_AT_ONCE: usize = 64;
/// How many cache lines of the next run are fetched ahead; the processor fetches the rest as it reads along.
const PREFETCH_LINES: u64 = 4;

/// A place in a stream or in the log that moves from event to event.
///
/// Lends events with [`Cursor::next`]: slices of the mapped segment, no copy, no allocation. Or gives them away: a `for` loop
/// over a cursor (or [`Cursor::into_iter`]) yields [`RecordedEvent`]s, which share the segment's bytes and can be kept.
///
/// A cursor ends at what was visible when it was made; events appended later are for the next cursor.
pub struct Cursor {
    shared: Arc<Shared>,
    segments: Segments,
    source: Source,
    backward: bool,
    /// Versions (of a stream) or positions (of the log) to yield.
    wanted: Range<u64>,
    /// Told at the first event: why there can be none.
    refused: Option<ReadError>,
    done: bool,
    owned: bool,
    /// The section that the place is in.
    section: Option<Section>,
    /// Forward: the next event, and how many are left in the section.
    here: EventPlace,
    left: u32,
    /// Backward: the events of the section that are still to come, the next one last.
    places: Vec<EventPlace>,
}

/// An event inside the current section.
#[derive(Debug, Clone, Copy, Default)]
struct EventPlace {
    /// Offset in the section.
    at: usize,
    version: u64,
    position: u64,
}

enum Source {
    Stream {
        number: u32,
        id: Arc<str>,
        /// Runs copied out of the index, and how many of them are used; the first is number `runs_at` of the stream.
        runs: Vec<Run>,
        used: usize,
        runs_at: usize,
    },
    Log {
        /// The next frame; backward, the place that is reached already.
        at: Location,
        end: Location,
        /// Backward: the frames of the block before `at`, the next one last.
        block: Vec<Location>,
        frame: OpenFrame,
    },
    Nothing,
}

/// One section whose bytes are at hand.
struct Section {
    segment: Arc<Segment>,
    range: Range<u64>,
    /// The bytes, if they are shared or copied; otherwise they are in the mapping.
    bytes: Option<Bytes>,
    /// Where the stream id stands in it.
    id: Range<usize>,
    time: u64,
}

impl Section {
    /// The event at a place.
    #[inline]
    fn event(&self, place: EventPlace, verify: bool) -> Result<Event<'_>, ReadError> {
        let bytes = self.bytes();
        let fault = |fault| self.corrupt(place.at, fault);
        let (record, _) = Record::decode(bytes.get(place.at..).unwrap_or_default(), verify).map_err(fault)?;
        let id = bytes.get(self.id.clone()).unwrap_or_default();
        let stream = std::str::from_utf8(id).map_err(|_| self.corrupt(0, Fault::Utf8 { what: "id" }))?;
        let standing = Standing {
            version: place.version,
            position: place.position,
            time: self.time,
            log_id: self.segment.header.log_id,
        };
        Ok(Event {
            stream,
            standing,
            own_id: record.id,
            event_type: record.event_type,
            metadata: record.metadata,
            payload: record.payload,
        })
    }

    fn corrupt(&self, at: usize, fault: Fault) -> ReadError {
        self.segment.corrupt(self.range.start + at as u64, fault).into()
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Some(bytes) => bytes,
            None => self.segment.mapped(self.range.clone()).unwrap_or_default(),
        }
    }
}

/// A frame, and which of its sections are still to come.
#[derive(Default)]
struct OpenFrame {
    segment: Option<Arc<Segment>>,
    time: u64,
    sections: Vec<FrameSection>,
    next: usize,
}

#[derive(Clone, Copy)]
struct FrameSection {
    entry: SectionEntry,
    /// Offset in the segment.
    offset: u64,
    first_position: u64,
}

impl Cursor {
    fn new(
        shared: &Arc<Shared>,
        segments: Segments,
        source: Source,
        backward: bool,
        wanted: Range<u64>,
    ) -> Cursor {
        Cursor {
            shared: shared.clone(),
            segments,
            source,
            backward,
            wanted,
            refused: None,
            done: false,
            owned: false,
            section: None,
            here: EventPlace::default(),
            left: 0,
            places: Vec::new(),
        }
    }

    /// Versions above `after` and below `before`.
    pub(crate) fn stream(shared: &Arc<Shared>, id: &str, after: u64, before: u64, backward: bool) -> Cursor {
        let view = shared.view.read();
        let segments = view.segments.clone();
        let Some(number) = view.index.streams.find(id) else {
            return Cursor::new(shared, segments, Source::Nothing, backward, 0..0);
        };
        let stream = view.index.streams.get(number);
        let wanted = after.saturating_add(1)..before.min(stream.version + 1);
        let refused = if stream.tombstoned {
            Some(ReadError::Gone { stream: id.to_owned() })
        } else if wanted.start < stream.first_kept && !backward {
            Some(ReadError::Truncated { first: stream.first_kept })
        } else {
            None
        };
        let id = stream.id.clone();
        // Backward, a stream that was cut simply ends there.
        let wanted = wanted.start.max(stream.first_kept)..wanted.end;
        let runs_at = if backward {
            (stream.run_at(wanted.end.saturating_sub(1)) + 1).min(stream.runs.len())
        } else {
            stream.run_at(wanted.start)
        };
        drop(view);
        let source = if wanted.is_empty() {
            Source::Nothing
        } else {
            Source::Stream { number, id, runs: Vec::new(), used: 0, runs_at }
        };
        let mut cursor = Cursor::new(shared, segments, source, backward, wanted);
        cursor.refused = refused;
        cursor
    }

    /// Positions above `after` and below `before`.
    pub(crate) fn log(shared: &Arc<Shared>, after: u64, before: u64, backward: bool) -> Cursor {
        let view = shared.view.read();
        let segments = view.segments.clone();
        let end = view.visible.end;
        let first = view.index.starts_at.map_or(1, |(_, position)| position);
        let wanted = after.saturating_add(1)..before.min(view.visible.position + 1);
        let refused = (wanted.start < first && !backward).then_some(ReadError::Truncated { first });
        let wanted = wanted.start.max(first)..wanted.end;
        let at = if backward {
            view.index.marks.behind(wanted.end.saturating_sub(1)).unwrap_or(end)
        } else {
            view.index.marks.before(wanted.start).unwrap_or(end)
        };
        drop(view);
        let source = if wanted.is_empty() {
            Source::Nothing
        } else {
            Source::Log { at, end, block: Vec::new(), frame: OpenFrame::default() }
        };
        let mut cursor = Cursor::new(shared, segments, source, backward, wanted);
        cursor.refused = refused;
        cursor
    }

    /// The next event, lent until the next call; `None` at the end.
    ///
    /// In [`ReadMode::Map`](crate::ReadMode::Map) it makes no system call, but may wait for the device to deliver a page.
    ///
    /// # Errors
    /// See [`ReadError`]. After one, the cursor yields `None`.
    #[allow(clippy::should_implement_trait)] // it lends, which `Iterator` cannot
    #[inline]
    pub fn next(&mut self) -> Result<Option<Event<'_>>, ReadError> {
        let Some(place) = self.advance()? else { return Ok(None) };
        let Some(section) = &self.section else { return Ok(None) };
        match section.event(place, self.shared.options.verify_reads) {
            Ok(event) => Ok(Some(event)),
            Err(error) => {
                self.done = true;
                Err(error)
            }
        }
    }

    /// The place of the next event, which then lies behind the cursor.
    #[inline]
    fn advance(&mut self) -> Result<Option<EventPlace>, ReadError> {
        if self.done {
            return Ok(None);
        }
        let place = self.try_advance();
        self.done = !matches!(place, Ok(Some(_)));
        place
    }

    #[inline]
    fn try_advance(&mut self) -> Result<Option<EventPlace>, ReadError> {
        if let Some(error) = self.refused.take() {
            return Err(error);
        }
        loop {
            if let Some(section) = &self.section {
                if self.backward {
                    if let Some(place) = self.places.pop() {
                        return Ok(Some(place));
                    }
                } else if self.left > 0 {
                    let bytes = section.bytes().get(self.here.at..).unwrap_or_default();
                    if record::is_stub(bytes) {
                        self.skip_stub()?;
                        continue;
                    }
                    let place = self.here;
                    let len = record_len(bytes).map_err(|fault| section.corrupt(place.at, fault))?;
                    self.here = EventPlace {
                        at: place.at + len,
                        version: place.version + 1,
                        position: place.position + 1,
                    };
                    self.left -= 1;
                    return Ok(Some(place));
                }
                self.section = None;
            }
            if !self.next_section()? {
                return Ok(None);
            }
        }
    }

    /// Passes over a stub of removed events at the current place.
    fn skip_stub(&mut self) -> Result<(), ReadError> {
        let Some(section) = &self.section else { return Ok(()) };
        let bytes = section.bytes().get(self.here.at..).unwrap_or_default();
        let (record, len) =
            Record::decode(bytes, true).map_err(|fault| section.corrupt(self.here.at, fault))?;
        self.here.at += len;
        self.here.version += record.removed;
        self.here.position += record.removed;
        self.left = self.left.saturating_sub(record.removed as u32);
        Ok(())
    }

    /// Moves into the next section that holds something wanted; `false` at the end.
    fn next_section(&mut self) -> Result<bool, ReadError> {
        loop {
            let entered = match &mut self.source {
                Source::Nothing => return Ok(false),
                Source::Stream { .. } => match self.next_run() {
                    None => return Ok(false),
                    Some(run) => self.enter_run(&run)?,
                },
                Source::Log { .. } => match self.next_frame_section()? {
                    None => return Ok(false),
                    Some(section) => self.enter_frame_section(section)?,
                },
            };
            if entered {
                return Ok(true);
            }
        }
    }

    fn next_run(&mut self) -> Option<Run> {
        let Source::Stream { number, runs, used, runs_at, .. } = &mut self.source else { return None };
        if *used == runs.len() {
            let view = self.shared.view.read();
            let all = &view.index.streams.get(*number).runs;
            // Forward, the cursor's end bounds what it reads; backward, it has passed all that is newer already.
            let range = if self.backward {
                runs_at.saturating_sub(RUNS_AT_ONCE)..*runs_at
            } else {
                *runs_at..(*runs_at + RUNS_AT_ONCE).min(all.len())
            };
            *runs_at = if self.backward { range.start } else { range.end };
            runs.clear();
            runs.extend_from_slice(all.get(range).unwrap_or_default());
            if self.backward {
                runs.reverse();
            }
            *used = 0;
        }
        let run = *runs.get(*used)?;
        *used += 1;
        if let Some(next) = runs.get(*used)
            && let Some(segment) = segment_at(&self.segments, u64::from(next.segment))
        {
            // The next run lies anywhere; fetched now, it is there when this one is done.
            let section_at = next.frame_offset + u64::from(next.section_at);
            segment.prefetch(
                next.frame_offset + (FRAME_HEADER_BYTES + next.section as usize * ENTRY_BYTES) as u64,
            );
            for line in 0..PREFETCH_LINES {
                segment.prefetch(section_at + 64 * line);
            }
        }
        let beyond = if self.backward {
            run.last_version() < self.wanted.start
        } else {
            run.first_version >= self.wanted.end
        };
        (!beyond).then_some(run)
    }

    /// A run that the index names: the section entry and the stream id must say the same, so that no wrong index can ever
    /// serve an event of another stream.
    fn enter_run(&mut self, run: &Run) -> Result<bool, ReadError> {
        let Source::Stream { id, .. } = &self.source else { return Ok(false) };
        let missing = || corrupt_at(run, Fault::Zeros { what: "the segment of a run" });
        let segment = segment_at(&self.segments, u64::from(run.segment)).ok_or_else(missing)?;
        let entry_at = run.frame_offset + (FRAME_HEADER_BYTES + run.section as usize * ENTRY_BYTES) as u64;
        let mut scratch = Vec::new();
        let raw = segment.bytes(entry_at..entry_at + ENTRY_BYTES as u64, &mut scratch)?;
        let fault = |fault| segment.corrupt(entry_at, fault);
        let entry = raw.first_chunk().map(SectionEntry::decode).ok_or_else(missing)?.map_err(fault)?;
        expect("kind of the section", SectionKind::Events as u64, entry.kind as u64).map_err(fault)?;
        expect("first version", run.first_version, entry.number).map_err(fault)?;
        expect("number of events", u64::from(run.count), u64::from(entry.events)).map_err(fault)?;
        expect("length of the section", u64::from(run.section_len), u64::from(entry.len)).map_err(fault)?;
        let start = run.frame_offset + u64::from(run.section_at);
        let range = start..start + u64::from(run.section_len);
        let section = fetch(segment, range, run.time, self.owned)?;
        let used = IdBlock::matches(section.bytes(), id).map_err(|fault| segment.corrupt(start, fault))?;
        let section = Section { id: IdBlock::id_range(id.len()), ..section };
        self.enter(section, used, run.first_version, run.first_position, run.count)
    }

    fn enter_frame_section(&mut self, section: FrameSection) -> Result<bool, ReadError> {
        let Source::Log { frame, .. } = &self.source else { return Ok(false) };
        let Some(segment) = &frame.segment else { return Ok(false) };
        let range = section.offset..section.offset + u64::from(section.entry.len);
        let fetched = fetch(segment, range, frame.time, self.owned)?;
        let fault = |fault| segment.corrupt(section.offset, fault);
        let (block, used) = IdBlock::decode(fetched.bytes(), &section.entry).map_err(fault)?;
        let id = IdBlock::id_range(block.id.len());
        let entry = section.entry;
        self.enter(Section { id, ..fetched }, used, entry.number, section.first_position, entry.events)
    }

    /// Sets the place to the first wanted event of a section, if it has one.
    fn enter(
        &mut self,
        section: Section,
        first_at: usize,
        first_version: u64,
        first_position: u64,
        count: u32,
    ) -> Result<bool, ReadError> {
        let by_version = matches!(self.source, Source::Stream { .. });
        let first = if by_version { first_version } else { first_position };
        let skip = self.wanted.start.saturating_sub(first);
        let end = self.wanted.end.saturating_sub(first).min(u64::from(count));
        if skip >= end {
            return Ok(false);
        }
        self.places.clear();
        let bytes = section.bytes();
        let mut at = first_at;
        let mut i = 0;
        while i < if self.backward { end } else { skip } {
            let rest = bytes.get(at..).unwrap_or_default();
            let fault = |fault| section.segment.corrupt(section.range.start + at as u64, fault);
            let (len, events) = if record::is_stub(rest) {
                let (record, len) = Record::decode(rest, true).map_err(fault)?;
                (len, record.removed)
            } else {
                if self.backward && i >= skip {
                    self.places.push(EventPlace {
                        at,
                        version: first_version + i,
                        position: first_position + i,
                    });
                }
                (record_len(rest).map_err(fault)?, 1)
            };
            at += len;
            i += events;
        }
        self.here = EventPlace { at, version: first_version + i, position: first_position + i };
        self.left = end.saturating_sub(i) as u32;
        self.section = Some(section);
        Ok(true)
    }

    fn next_frame_section(&mut self) -> Result<Option<FrameSection>, ReadError> {
        loop {
            let Source::Log { frame, .. } = &mut self.source else { return Ok(None) };
            let next = if self.backward {
                frame.sections.pop()
            } else {
                frame.next += 1;
                frame.sections.get(frame.next - 1).copied()
            };
            if next.is_some() {
                return Ok(next);
            }
            if !self.next_frame()? {
                return Ok(None);
            }
        }
    }

    /// Opens the next frame that may hold something wanted.
    fn next_frame(&mut self) -> Result<bool, ReadError> {
        loop {
            let Some(place) = (if self.backward { self.previous_place()? } else { self.next_place() }) else {
                return Ok(false);
            };
            let Source::Log { at, frame, .. } = &mut self.source else { return Ok(false) };
            let segment = segment_at(&self.segments, place.segment).ok_or_else(|| missing_segment(place))?;
            let mut scratch = Vec::new();
            let (header, table) = read_header(segment, place.offset, &mut scratch)?;
            if !self.backward {
                *at = Location { offset: place.offset + header.frame_len(), ..place };
                if header.first_position >= self.wanted.end {
                    return Ok(false);
                }
            } else if header.next_position() <= self.wanted.start {
                return Ok(false);
            }
            let wanted = header.events > 0
                && header.next_position() > self.wanted.start
                && header.first_position < self.wanted.end;
            if !wanted {
                continue;
            }
            frame.sections.clear();
            let mut position = header.first_position;
            let mut offset = place.offset + header.body_at();
            for raw in table.as_chunks::<ENTRY_BYTES>().0 {
                let entry =
                    SectionEntry::decode(raw).map_err(|fault| segment.corrupt(place.offset, fault))?;
                if entry.kind == SectionKind::Events {
                    frame.sections.push(FrameSection { entry, offset, first_position: position });
                }
                position += u64::from(entry.events);
                offset += u64::from(entry.len);
            }
            expect("end of the sections", place.offset + header.frame_len(), offset)
                .map_err(|fault| segment.corrupt(place.offset, fault))?;
            frame.segment = Some(segment.clone());
            frame.time = header.time;
            frame.next = 0;
            return Ok(true);
        }
    }

    /// Where the next frame stands, forward.
    fn next_place(&mut self) -> Option<Location> {
        let Source::Log { at, end, .. } = &mut self.source else { return None };
        while *at < *end {
            match frames_end(&self.segments, at.segment, *end) {
                Some(frames_end) if at.offset < frames_end => return Some(*at),
                Some(_) => *at = Location { segment: at.segment + 1, offset: FIRST_FRAME },
                None => return None,
            }
        }
        None
    }

    /// Where the frame before stands. Frames can only be walked forwards, so a block of them is, from a mark.
    fn previous_place(&mut self) -> Result<Option<Location>, ReadError> {
        let Source::Log { at, end, block, .. } = &mut self.source else { return Ok(None) };
        loop {
            if let Some(place) = block.pop() {
                return Ok(Some(place));
            }
            let Some(mark) = self.shared.view.read().index.marks.before_place(*at) else { return Ok(None) };
            let segment = segment_at(&self.segments, mark.segment).ok_or_else(|| missing_segment(mark))?;
            let frames_end = frames_end(&self.segments, mark.segment, *end).unwrap_or(mark.offset);
            let block_end = if at.segment == mark.segment { at.offset } else { frames_end };
            let mut offset = mark.offset;
            let mut scratch = Vec::new();
            while offset < block_end {
                block.push(Location { offset, ..mark });
                offset += read_header(segment, offset, &mut scratch)?.0.frame_len();
            }
            *at = mark;
        }
    }
}

/// Where the frames of a segment end, for a cursor that ends at `end`.
fn frames_end(segments: &Segments, ordinal: u64, end: Location) -> Option<u64> {
    if ordinal == end.segment {
        return Some(end.offset);
    }
    segment_at(segments, ordinal + 1).map(|next| next.header.previous.end)
}

/// The frame header at a place that a walk came to, checked.
fn read_header<'a>(
    segment: &'a Segment,
    offset: u64,
    scratch: &'a mut Vec<u8>,
) -> Result<(FrameHeader, &'a [u8]), ReadError> {
    let end_max = segment.header.frames_end_max();
    let place = FramePlace { salt: segment.header.salt, offset, end_max };
    let fault = |fault| ReadError::from(segment.corrupt(offset, fault));
    let head_end = offset + FRAME_HEADER_BYTES as u64;
    let raw = segment.bytes(offset..head_end, scratch)?;
    let lengths = match raw.first_chunk() {
        Some(raw) => FrameHeader::check_lengths(raw, place).map_err(fault)?,
        None => return Err(fault(Fault::Length { what: "frame header", found: head_end, max: end_max })),
    };
    let head = segment.bytes(offset..offset + lengths.body_at, scratch)?;
    match FrameHeader::decode(head, place) {
        Ok((header, table, _)) => Ok((header, table)),
        Err(FrameFault::Invalid(wrong) | FrameFault::Refused(wrong)) => Err(fault(wrong)),
    }
}

/// A section's bytes: in the mapping if they are only lent, else shared.
fn fetch(segment: &Arc<Segment>, range: Range<u64>, time: u64, owned: bool) -> Result<Section, ReadError> {
    let bytes = if owned || !segment.is_mapped() { Some(segment.shared(range.clone())?) } else { None };
    if bytes.is_none() {
        segment.check(&range)?;
    }
    Ok(Section { segment: segment.clone(), range, bytes, id: 0..0, time })
}

fn corrupt_at(run: &Run, fault: Fault) -> ReadError {
    let at = Location { segment: u64::from(run.segment), offset: run.frame_offset };
    ReadError::Corrupt(Corruption { at, fault })
}

fn missing_segment(at: Location) -> ReadError {
    ReadError::Corrupt(Corruption { at, fault: Fault::Zeros { what: "the segment of a frame" } })
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("wanted", &self.wanted)
            .field("backward", &self.backward)
            .finish_non_exhaustive()
    }
}

impl IntoIterator for Cursor {
    type Item = Result<RecordedEvent, ReadError>;
    type IntoIter = Events;

    fn into_iter(mut self) -> Events {
        // What was lent so far stays so; from the next section on, bytes are shared.
        self.owned = true;
        if let Some(section) = &mut self.section
            && section.bytes.is_none()
        {
            match section.segment.shared(section.range.clone()) {
                Ok(bytes) => section.bytes = Some(bytes),
                Err(error) => self.refused = Some(error),
            }
        }
        Events { cursor: self }
    }
}

/// Events to keep: an iterator that owns its cursor, and whose events outlive both.
///
/// After an error it is at its end.
#[derive(Debug)]
pub struct Events {
    cursor: Cursor,
}

impl Iterator for Events {
    type Item = Result<RecordedEvent, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let place = match self.cursor.advance().transpose()? {
            Ok(place) => place,
            Err(error) => return Some(Err(error)),
        };
        let section = self.cursor.section.as_ref()?;
        let event = section.event(place, self.cursor.shared.options.verify_reads);
        let recorded =
            event.map(|event| RecordedEvent::new(section.bytes.as_ref().unwrap_or(&NO_BYTES), &event));
        self.cursor.done = recorded.is_err();
        Some(recorded)
    }
}

/// What an owned section never is: without bytes of its own.
static NO_BYTES: Bytes = Bytes::new();

impl std::iter::FusedIterator for Events {}
