//! Where a cursor is: a section whose bytes are at hand, and an event in it.
//!
//! Owns the difference between lent and shared bytes. What the sources of sections and the cursor that walks them have in common.

use crate::engine::shared::Shared;
use crate::engine::view::Segments;
use crate::error::{Fault, ReadError};
use crate::event::Event;
use crate::format::record::Record;
use crate::segment::reader::Segment;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use uuid::Uuid;

/// What a cursor ranges over. Fixed when it is made.
pub(crate) struct Extent {
    pub(crate) shared: Arc<Shared>,
    pub(crate) segments: Segments,
    pub(crate) backward: bool,
    /// Versions (of a stream) or positions (of the log) to yield.
    pub(crate) wanted: Range<u64>,
    /// Whether events are to be given away, so that their bytes must be shared.
    pub(crate) owned: bool,
}

/// A section that a source came to.
pub(crate) struct Found {
    pub(crate) section: Section,
    /// Where its first event begins.
    pub(crate) first_at: usize,
    pub(crate) first_version: u64,
    pub(crate) first_position: u64,
    pub(crate) count: u32,
}

/// An event inside the current section.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EventPlace {
    /// Offset in the section.
    pub(crate) at: usize,
    pub(crate) version: u64,
    pub(crate) position: u64,
}

impl EventPlace {
    /// The place behind an event of this length.
    #[inline]
    pub(crate) fn behind(self, len: usize) -> EventPlace {
        EventPlace { at: self.at + len, version: self.version + 1, position: self.position + 1 }
    }
}

/// A record as the event that it is: of a stream and a type, as texts, at a place.
#[inline]
pub(crate) fn event_of<'a>(
    record: &Record<'a>,
    (stream, event_type): (&'a str, &'a str),
    place: EventPlace,
    time: u64,
    log_id: &'a Uuid,
) -> Event<'a> {
    let EventPlace { version, position, .. } = place;
    let Record { metadata, payload, id: own_id, .. } = *record;
    Event { stream, event_type, metadata, payload, version, position, time, own_id, log_id }
}

/// One section whose bytes are at hand.
pub(crate) struct Section {
    pub(crate) segment: Arc<Segment>,
    pub(crate) range: Range<u64>,
    /// The bytes, if they are shared or copied; otherwise they are in the mapping.
    pub(crate) bytes: Option<Bytes>,
    /// Where the stream id stands in it.
    pub(crate) id: Range<usize>,
    pub(crate) time: u64,
}

impl Section {
    /// The record at a place, and its length.
    #[inline]
    pub(crate) fn record(&self, at: usize, verify: bool) -> Result<(Record<'_>, usize), ReadError> {
        let bytes = self.bytes().get(at..).unwrap_or_default();
        Record::decode(bytes, verify).map_err(|fault| self.corrupt(at, fault))
    }

    /// A record of it as the event that it is.
    #[inline]
    pub(crate) fn event<'a>(
        &'a self,
        record: &Record<'a>,
        texts: (&'a str, &'a str),
        place: EventPlace,
    ) -> Event<'a> {
        event_of(record, texts, place, self.time, &self.segment.header.log_id)
    }

    #[cold]
    pub(crate) fn corrupt(&self, at: usize, fault: Fault) -> ReadError {
        self.segment.corrupt(self.range.start + at as u64, fault).into()
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Some(bytes) => bytes,
            None => self.segment.mapped(self.range.clone()).unwrap_or_default(),
        }
    }
}

/// A section's bytes: in the mapping if they are only lent, else shared.
pub(crate) fn fetch(
    segment: &Arc<Segment>,
    range: Range<u64>,
    time: u64,
    owned: bool,
) -> Result<Section, ReadError> {
    let bytes = if owned || !segment.is_mapped() { Some(segment.shared(range.clone())?) } else { None };
    if bytes.is_none() {
        segment.check(&range)?;
    }
    Ok(Section { segment: segment.clone(), range, bytes, id: 0..0, time })
}
