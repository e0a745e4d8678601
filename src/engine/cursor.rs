//! Cursors: events of one stream or of the whole log, forwards or backwards, lent or owned.
//!
//! Owns the reader's moving place. A cursor sees the log as it was when it was made: its end is fixed then, and everything
//! below it is durable and never changes. Holds no lock while the user looks at an event. After an error it yields nothing.

use crate::engine::ahead::Ahead;
use crate::engine::filter::Filter;
use crate::engine::frames::FrameSource;
use crate::engine::merge::MergeSource;
use crate::engine::place::{EventPlace, Extent, Found, Section};
use crate::engine::runs::RunSource;
use crate::engine::shared::Shared;
use crate::engine::view::Segments;
use crate::error::{Fault, ReadError};
use crate::event::{Event, RecordedEvent};
use crate::format::bytes::{expect, same};
use crate::format::record::{self, Record, record_len};
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The next event, the section it stands in, and its type as it stands there.
type Step<'a> = (Event<'a>, &'a Section, &'a [u8]);

/// A place in a stream or in the log that moves from event to event.
///
/// Lends events with [`Cursor::next`]: slices of the mapped segment, no copy, no allocation. Or gives them away: a `for` loop
/// over a cursor (or [`Cursor::into_iter`]) yields [`RecordedEvent`]s, which share the segment's bytes and can be kept.
///
/// A cursor ends at what was visible when it was made; events appended later are for the next cursor.
pub struct Cursor {
    pub(crate) extent: Extent,
    pub(crate) source: Source,
    /// Told at the first event: why there can be none.
    pub(crate) refused: Option<ReadError>,
    /// What to pass over, if anything.
    pub(crate) filter: Option<Box<Filter>>,
    /// Told at the end: what was asked for and is there no more.
    pub(crate) missing: Option<ReadError>,
    /// Whether checksums are compared.
    pub(crate) verify: bool,
    /// Whether the section may hold stubs: only rewritten segments do.
    pub(crate) stubs: bool,
    /// What is fetched while this section is read.
    pub(crate) ahead: Ahead,
    /// The section that the place is in.
    pub(crate) section: Option<Section>,
    /// Texts of the event in sight, validated once and copied: of its stream, and of its type.
    pub(crate) stream: String,
    pub(crate) event_type: String,
    /// The next event, and how many follow each other from there in the section.
    pub(crate) here: EventPlace,
    pub(crate) left: u32,
    /// Backward: the events of the section that are still to come, the next one last.
    pub(crate) places: Vec<EventPlace>,
}

pub(crate) enum Source {
    Stream(RunSource),
    Log(FrameSource),
    Merge(MergeSource),
    /// What is wanted is nowhere.
    Nothing,
    /// All was given, or an error was told.
    Over,
}

impl Cursor {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        segments: Segments,
        source: Source,
        backward: bool,
        wanted: Range<u64>,
    ) -> Cursor {
        Cursor {
            extent: Extent { shared: shared.clone(), segments, backward, wanted, owned: false },
            source,
            refused: None,
            filter: None,
            missing: None,
            verify: shared.options.verify_reads,
            stubs: false,
            ahead: Ahead::default(),
            section: None,
            stream: String::new(),
            event_type: String::new(),
            here: EventPlace::default(),
            left: 0,
            places: Vec::new(),
        }
    }

    /// The last place that the cursor could come to: a version (of a stream) or a position (of the log).
    pub(crate) fn end(&self) -> u64 {
        self.extent.wanted.end.saturating_sub(1)
    }

    /// Where a query that ran out of its limit or its budget has stopped: go on
    /// [`after`](crate::Query::after) this place, or backward [`before`](crate::Query::before) it. `None` while there is
    /// something left of both, and at the end of what there is to read.
    pub fn stopped_at(&self) -> Option<u64> {
        self.filter.as_ref()?.stopped_at()
    }

    /// The next event, lent until the next call; `None` at the end.
    ///
    /// In [`ReadMode::Map`](crate::ReadMode::Map) it makes no system call as long as what it reads is in memory and comes as
    /// fast. Else it may wait for the device to deliver a page, and asks for more that it will come to.
    ///
    /// # Errors
    /// See [`ReadError`]. After one, the cursor yields `None`.
    #[allow(clippy::should_implement_trait)] // it lends, which `Iterator` cannot
    #[inline]
    pub fn next(&mut self) -> Result<Option<Event<'_>>, ReadError> {
        if self.filter.is_some() && !self.seek_match()? {
            return Ok(None);
        }
        Ok(self.step()?.map(|(event, _, _)| event))
    }

    /// Moves to the next event that the filter lets through; `false` at the end.
    // Kept out of the way of cursors without a filter.
    #[inline(never)]
    fn seek_match(&mut self) -> Result<bool, ReadError> {
        loop {
            if !self.filter.as_mut().is_none_or(|filter| filter.may_go_on()) {
                self.stop();
                return Ok(false);
            }
            if (self.left == 0 || self.stubs && self.at_stub()) && !self.seek()? {
                return Ok(false);
            }
            let (Some(filter), Some(section)) = (&mut self.filter, &self.section) else { return Ok(true) };
            let EventPlace { at, version, position } = self.here;
            filter.looked_at(if matches!(self.source, Source::Stream(_)) { version } else { position });
            if !filter.has_types() {
                filter.matched();
                return Ok(true);
            }
            // Checked like one that is handed out: a damaged type must not hide an event.
            match section.record(at, self.verify) {
                Ok((record, _)) if record.removed > 0 || filter.wants_type(record.event_type) => {
                    filter.matched();
                    return Ok(true);
                }
                Ok((_, len)) => {
                    self.ahead.pass(&self.extent.segments, len);
                    self.here = self.here.behind(len);
                    self.left -= 1;
                }
                Err(error) => {
                    self.stop();
                    return Err(error);
                }
            }
        }
    }

    /// There is nothing more.
    #[cold]
    fn stop(&mut self) {
        stop(&mut self.left, &mut self.source, &mut self.missing, &mut self.places);
    }

    #[inline]
    fn step(&mut self) -> Result<Option<Step<'_>>, ReadError> {
        if (self.left == 0 || self.stubs && self.at_stub()) && !self.seek()? {
            return Ok(None);
        }
        let Some(section) = &self.section else { return Ok(None) };
        let at = self.here.at;
        let (record, len) = match section.record(at, self.verify) {
            Ok(decoded) => decoded,
            Err(error) => {
                stop(&mut self.left, &mut self.source, &mut self.missing, &mut self.places);
                return Err(error);
            }
        };
        if record.removed > 0 {
            let fault = Fault::Field { what: "stubs in a raw segment", expected: 0, found: 1 };
            let error = section.corrupt(at, fault);
            stop(&mut self.left, &mut self.source, &mut self.missing, &mut self.places);
            return Err(error);
        }
        // Most events are of the type of the one before: comparing is cheaper than validating again.
        if !same(record.event_type, self.event_type.as_bytes()) {
            match std::str::from_utf8(record.event_type) {
                Ok(event_type) => {
                    self.event_type.clear();
                    self.event_type.push_str(event_type);
                }
                Err(_) => {
                    let error = section.corrupt(at, Fault::Utf8 { what: "event type" });
                    stop(&mut self.left, &mut self.source, &mut self.missing, &mut self.places);
                    return Err(error);
                }
            }
        }
        self.ahead.pass(&self.extent.segments, len);
        let place = self.here;
        self.here = place.behind(len);
        self.left -= 1;
        let event = section.event(&record, (&self.stream, &self.event_type), place);
        Ok(Some((event, section, record.event_type)))
    }

    #[inline]
    fn at_stub(&self) -> bool {
        let bytes = self.section.as_ref().map_or(&[][..], Section::bytes);
        record::is_stub(bytes.get(self.here.at..).unwrap_or_default())
    }

    /// Moves to the next event that is not in sight yet; `false` at the end. After an error, there is nothing more.
    #[cold]
    fn seek(&mut self) -> Result<bool, ReadError> {
        if matches!(self.source, Source::Over) && self.refused.is_none() {
            return Ok(false);
        }
        let found = self.try_seek();
        if matches!(found, Ok(true)) {
            return found;
        }
        let missing = self.missing.take();
        self.stop();
        match (found, missing) {
            (Ok(false), Some(missing)) => Err(missing),
            // An index that broke meanwhile may not know of all that there is.
            (Ok(false), None) => self.extent.shared.view.read().broken.clone().map_or(Ok(false), Err),
            (found, _) => found,
        }
    }

    fn try_seek(&mut self) -> Result<bool, ReadError> {
        if let Some(error) = self.refused.take() {
            return Err(error);
        }
        loop {
            if let Some(place) = self.places.pop() {
                (self.here, self.left) = (place, 1);
                return Ok(true);
            }
            while self.left > 0 {
                if !self.stubs || !self.at_stub() {
                    return Ok(true);
                }
                self.skip_stub()?;
            }
            if !self.next_section()? {
                return Ok(false);
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
            let found = match &mut self.source {
                Source::Nothing | Source::Over => None,
                Source::Stream(runs) => runs.next(&self.extent)?,
                Source::Log(frames) => frames.next(&self.extent)?,
                Source::Merge(merge) => merge.next(&self.extent)?,
            };
            match found {
                None => return Ok(false),
                Some(found) => {
                    if let Some(filter) = &mut self.filter
                        && let Some(id) = found.section.bytes().get(found.section.id.clone())
                        && !filter.wants_stream(id, &self.extent.shared)?
                    {
                        let last = found.first_position + u64::from(found.count) - 1;
                        let end = self.extent.wanted.end - 1;
                        filter.looked_at(if self.extent.backward {
                            found.first_position
                        } else {
                            last.min(end)
                        });
                        if !filter.may_go_on() {
                            self.missing = None;
                            return Ok(false);
                        }
                        continue;
                    }
                    if self.enter(found)? {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Sets the place to the first wanted event of a section, if it has one.
    pub(crate) fn enter(&mut self, found: Found) -> Result<bool, ReadError> {
        let Found { section, first_at, first_version, first_position, count } = found;
        let by_version = matches!(self.source, Source::Stream(_));
        let first = if by_version { first_version } else { first_position };
        let skip = self.extent.wanted.start.saturating_sub(first);
        let end = self.extent.wanted.end.saturating_sub(first).min(u64::from(count));
        if skip >= end {
            return Ok(false);
        }
        self.places.clear();
        let bytes = section.bytes();
        let passed = if self.extent.backward { end } else { skip };
        let place = |at, i| EventPlace { at, version: first_version + i, position: first_position + i };
        let mut here = (first_at, 0);
        if passed > 0 {
            here = (bytes.len(), u64::from(count));
            let walked = walk(&section, first_at, count, |at, i, is_event| {
                if i >= passed {
                    here = here.min((at, i));
                } else if self.extent.backward && is_event && i >= skip {
                    self.places.push(place(at, i));
                }
            });
            walked.or_else(|seen| prove(&section, first_at, here, seen))?;
        }
        self.here = place(here.0, here.1);
        self.left = end.saturating_sub(here.1) as u32;
        self.stubs = section.segment.header.rewritten;
        match &self.source {
            Source::Stream(runs) => self.ahead = runs.ahead(),
            Source::Merge(merge) => self.ahead = merge.ahead(),
            Source::Log(_) if !self.extent.backward => {
                let header = &section.segment.header;
                self.ahead.follow(header.ordinal, section.range.start + here.0 as u64);
            }
            _ => {}
        }
        let id = section.bytes().get(section.id.clone()).unwrap_or_default();
        if !same(id, self.stream.as_bytes()) {
            let id = std::str::from_utf8(id).map_err(|_| section.corrupt(0, Fault::Utf8 { what: "id" }))?;
            self.stream.clear();
            self.stream.push_str(id);
        }
        self.section = Some(section);
        Ok(true)
    }
}

/// Shows where each record of a section stands, the how many-th event that is (of a stub, the first one), and whether it is one.
///
/// Lengths are all that is looked at, of all records: one that is wrong would lead to an event that is not the one it is taken
/// for, so they must add up.
fn walk(
    section: &Section,
    first_at: usize,
    count: u32,
    mut show: impl FnMut(usize, u64, bool),
) -> Result<(), ReadError> {
    let bytes = section.bytes();
    let rewritten = section.segment.header.rewritten;
    let (mut at, mut i) = (first_at, 0);
    while i < u64::from(count) {
        let rest = bytes.get(at..).unwrap_or_default();
        let corrupt = |fault| section.corrupt(at, fault);
        let is_stub = rewritten && record::is_stub(rest);
        show(at, i, !is_stub);
        let (len, events) = if is_stub {
            let (record, len) = Record::decode(rest, true).map_err(corrupt)?;
            (len, record.removed)
        } else {
            (record_len(rest).map_err(corrupt)?, 1)
        };
        (at, i) = (at + len, i + events);
    }
    expect("end of a section's events", bytes.len() as u64, at as u64)
        .and_then(|()| expect("number of events", u64::from(count), i))
        .map_err(|fault| section.corrupt(at, fault))
}

/// Where lengths do not add up: whether all records up to a place, and with it the place, are sound all the same. If not, the
/// error says which one is not.
#[cold]
fn prove(section: &Section, first_at: usize, place: (usize, u64), seen: ReadError) -> Result<(), ReadError> {
    let (mut at, mut i) = (first_at, 0);
    while at < place.0 {
        let rest = section.bytes().get(at..).unwrap_or_default();
        let (record, len) = Record::decode(rest, true).map_err(|fault| section.corrupt(at, fault))?;
        (at, i) = (at + len, i + record.removed.max(1));
    }
    if (at, i) == place { Ok(()) } else { Err(seen) }
}

/// What [`Cursor::stop`] does, while a section is lent.
#[cold]
#[inline(never)]
fn stop(left: &mut u32, source: &mut Source, missing: &mut Option<ReadError>, places: &mut Vec<EventPlace>) {
    (*left, *source, *missing) = (0, Source::Over, None);
    places.clear();
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("wanted", &self.extent.wanted)
            .field("backward", &self.extent.backward)
            .finish_non_exhaustive()
    }
}

impl IntoIterator for Cursor {
    type Item = Result<RecordedEvent, ReadError>;
    type IntoIter = Events;

    fn into_iter(mut self) -> Events {
        // What was lent so far stays so; from the next section on, bytes are shared.
        self.extent.owned = true;
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

impl Events {
    /// See [`Cursor::stopped_at`].
    pub fn stopped_at(&self) -> Option<u64> {
        self.cursor.stopped_at()
    }

    pub(crate) fn end(&self) -> u64 {
        self.cursor.end()
    }
}

impl Iterator for Events {
    type Item = Result<RecordedEvent, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.filter.is_some() {
            match self.cursor.seek_match() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        match self.cursor.step().transpose()? {
            Ok((event, section, event_type)) => {
                let bytes = section.bytes.as_ref().unwrap_or(&NO_BYTES);
                Some(Ok(RecordedEvent::new(bytes, section.id.clone(), event_type, &event)))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// What an owned section never is: without bytes of its own.
static NO_BYTES: Bytes = Bytes::new();

impl std::iter::FusedIterator for Events {}
