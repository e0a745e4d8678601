//! Cursors: events of one stream or of the whole log, forwards or backwards, lent or owned.
//!
//! Owns the reader's moving place. A cursor sees the log as it was when it was made: its end is fixed then, and everything
//! below it is durable and never changes. Holds no lock while the user looks at an event. After an error it yields nothing.

use crate::engine::frames::FrameSource;
use crate::engine::place::{EventPlace, Extent, Found, Section};
use crate::engine::runs::RunSource;
use crate::engine::shared::Shared;
use crate::engine::view::Segments;
use crate::error::{Fault, ReadError};
use crate::event::{Event, RecordedEvent};
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
    extent: Extent,
    source: Source,
    /// Told at the first event: why there can be none.
    refused: Option<ReadError>,
    /// Whether checksums are compared.
    verify: bool,
    /// Whether the section may hold stubs: only rewritten segments do.
    stubs: bool,
    /// The section that the place is in.
    section: Option<Section>,
    /// Texts of the event in sight, validated once and copied: of its stream, and of its type.
    stream: String,
    event_type: String,
    /// The next event, and how many follow each other from there in the section.
    here: EventPlace,
    left: u32,
    /// Backward: the events of the section that are still to come, the next one last.
    places: Vec<EventPlace>,
}

enum Source {
    Stream(RunSource),
    Log(FrameSource),
    Nothing,
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
            extent: Extent { shared: shared.clone(), segments, backward, wanted, owned: false },
            source,
            refused: None,
            verify: shared.options.verify_reads,
            stubs: false,
            section: None,
            stream: String::new(),
            event_type: String::new(),
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
            Source::Stream(RunSource::new(number, id, runs_at))
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
        let source = if wanted.is_empty() { Source::Nothing } else { Source::Log(FrameSource::new(at, end)) };
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
        Ok(self.step()?.map(|(event, _, _)| event))
    }

    #[inline]
    fn step(&mut self) -> Result<Option<Step<'_>>, ReadError> {
        if (self.left == 0 || self.stubs && self.at_stub()) && !self.seek()? {
            return Ok(None);
        }
        let Some(section) = &self.section else { return Ok(None) };
        let EventPlace { at, version, position } = self.here;
        let (record, len) = match section.record(at, self.verify) {
            Ok(decoded) => decoded,
            Err(error) => {
                (self.left, self.source) = (0, Source::Nothing);
                self.places.clear();
                return Err(error);
            }
        };
        if record.removed > 0 {
            (self.left, self.source) = (0, Source::Nothing);
            self.places.clear();
            return Err(
                section.corrupt(at, Fault::Field { what: "stubs in a raw segment", expected: 0, found: 1 })
            );
        }
        // Most events are of the type of the one before: comparing is cheaper than validating again.
        if record.event_type != self.event_type.as_bytes() {
            match std::str::from_utf8(record.event_type) {
                Ok(event_type) => {
                    self.event_type.clear();
                    self.event_type.push_str(event_type);
                }
                Err(_) => {
                    (self.left, self.source) = (0, Source::Nothing);
                    self.places.clear();
                    return Err(section.corrupt(at, Fault::Utf8 { what: "event type" }));
                }
            }
        }
        self.here = EventPlace { at: at + len, version: version + 1, position: position + 1 };
        self.left -= 1;
        let event = Event {
            stream: &self.stream,
            event_type: &self.event_type,
            metadata: record.metadata,
            payload: record.payload,
            version,
            position,
            time: section.time,
            own_id: record.id,
            log_id: &section.segment.header.log_id,
        };
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
        let found = self.try_seek();
        if !matches!(found, Ok(true)) {
            (self.left, self.source) = (0, Source::Nothing);
            self.places.clear();
        }
        found
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
                Source::Nothing => None,
                Source::Stream(runs) => runs.next(&self.extent)?,
                Source::Log(frames) => frames.next(&self.extent)?,
            };
            match found {
                None => return Ok(false),
                Some(found) => {
                    if self.enter(found)? {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Sets the place to the first wanted event of a section, if it has one.
    fn enter(&mut self, found: Found) -> Result<bool, ReadError> {
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
        let mut at = first_at;
        let mut i = 0;
        while i < if self.extent.backward { end } else { skip } {
            let rest = bytes.get(at..).unwrap_or_default();
            let fault = |fault| section.segment.corrupt(section.range.start + at as u64, fault);
            let (len, events) = if section.segment.header.rewritten && record::is_stub(rest) {
                let (record, len) = Record::decode(rest, true).map_err(fault)?;
                (len, record.removed)
            } else {
                if self.extent.backward && i >= skip {
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
        self.stubs = section.segment.header.rewritten;
        let id = section.bytes().get(section.id.clone()).unwrap_or_default();
        if id != self.stream.as_bytes() {
            let id = std::str::from_utf8(id).map_err(|_| section.corrupt(0, Fault::Utf8 { what: "id" }))?;
            self.stream.clear();
            self.stream.push_str(id);
        }
        self.section = Some(section);
        Ok(true)
    }
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

impl Iterator for Events {
    type Item = Result<RecordedEvent, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
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
