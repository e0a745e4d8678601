//! Events: what a user hands in ([`NewEvent`]) and what a user gets back ([`Event`] lent, [`RecordedEvent`] owned).
//!
//! Owns the accessors, not the bytes: both forms point into a segment.

use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// An event to append. Borrows everything; the append copies it once, into the log's batch.
///
/// ```
/// use annals::NewEvent;
///
/// let payload = br#"{"total": 42}"#;
/// let event = NewEvent::new("OrderPlaced", payload).with_metadata(r#"{"user": "anna"}"#);
/// # let _ = event;
/// ```
#[derive(Clone, Copy)]
pub struct NewEvent<'a> {
    pub(crate) id: Option<Uuid>,
    pub(crate) event_type: &'a str,
    pub(crate) metadata: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl<'a> NewEvent<'a> {
    /// An event of a type (1..=1024 bytes) with a payload of any bytes, also none.
    pub fn new<P: AsRef<[u8]> + ?Sized>(event_type: &'a str, payload: &'a P) -> NewEvent<'a> {
        NewEvent { id: None, event_type, metadata: &[], payload: payload.as_ref() }
    }

    /// Gives the event an id of the caller's own, 16 bytes on disk. Without one, [`Event::id`] is derived from the log's
    /// id and the event's position, is just as unique and costs no byte.
    #[must_use]
    pub fn with_id(mut self, id: Uuid) -> NewEvent<'a> {
        self.id = Some(id);
        self
    }

    /// Bytes beside the payload: who, why, in which context.
    #[must_use]
    pub fn with_metadata<M: AsRef<[u8]> + ?Sized>(mut self, metadata: &'a M) -> NewEvent<'a> {
        self.metadata = metadata.as_ref();
        self
    }
}

impl fmt::Debug for NewEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewEvent")
            .field("event_type", &self.event_type)
            .field("metadata_len", &self.metadata.len())
            .field("payload_len", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// An event of the log, lent: its slices point into the mapped segment and live until the cursor moves on.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    pub(crate) stream: &'a str,
    pub(crate) event_type: &'a str,
    pub(crate) metadata: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) version: u64,
    pub(crate) position: u64,
    pub(crate) time: u64,
    /// The id that it carries, if it carries one.
    pub(crate) own_id: Option<&'a [u8; 16]>,
    pub(crate) log_id: &'a Uuid,
}

impl<'a> Event<'a> {
    /// The stream that it belongs to.
    pub fn stream(&self) -> &'a str {
        self.stream
    }

    /// Its number in the stream, from 1, without gaps.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Its number in the log, from 1, without gaps: the one global order.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// When it was appended: nanoseconds since 1970, never less than those of the event before in the log.
    pub fn time_nanos(&self) -> u64 {
        self.time
    }

    /// When it was appended.
    pub fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.time)
    }

    /// Its id: the one that the appender gave, or else one derived from the log's id and the position (FORMAT.md section
    /// 4). The same at every reading.
    pub fn id(&self) -> Uuid {
        match self.own_id {
            Some(id) => Uuid::from_bytes(*id),
            None => derived_id(*self.log_id, self.position),
        }
    }

    /// Its type.
    pub fn event_type(&self) -> &'a str {
        self.event_type
    }

    /// What was appended beside the payload.
    pub fn metadata(&self) -> &'a [u8] {
        self.metadata
    }

    /// What was appended.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("stream", &self.stream())
            .field("version", &self.version())
            .field("position", &self.position())
            .field("event_type", &self.event_type())
            .field("payload_len", &self.payload().len())
            .finish_non_exhaustive()
    }
}

/// An event of the log, owned: it holds its bytes in the segment by a count, copies nothing, and stays readable after
/// the log is closed.
#[derive(Clone)]
pub struct RecordedEvent {
    /// The section that the event stands in: its stream's id and its own record.
    section: Bytes,
    stream: Range<u32>,
    event_type: Range<u32>,
    metadata: Range<u32>,
    payload: Range<u32>,
    version: u64,
    position: u64,
    time: u64,
    id: Uuid,
}

impl RecordedEvent {
    /// `event` was decoded from `section`, in which its stream's id stands at `stream`; its texts may be copies.
    pub(crate) fn new(
        section: &Bytes,
        stream: Range<usize>,
        event_type: &[u8],
        event: &Event<'_>,
    ) -> RecordedEvent {
        let base = section.as_ptr() as usize;
        // Sections are at most 2^30 bytes long, and the parts lie inside.
        let range = |part: &[u8]| {
            let start = (part.as_ptr() as usize).wrapping_sub(base).min(section.len()) as u32;
            start..start + part.len() as u32
        };
        RecordedEvent {
            stream: stream.start as u32..stream.end as u32,
            event_type: range(event_type),
            metadata: range(event.metadata),
            payload: range(event.payload),
            version: event.version,
            position: event.position,
            time: event.time,
            id: event.id(),
            section: section.clone(),
        }
    }

    fn part(&self, range: &Range<u32>) -> &[u8] {
        self.section.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    fn text(&self, range: &Range<u32>) -> &str {
        // Checked when the event was decoded.
        std::str::from_utf8(self.part(range)).unwrap_or_default()
    }

    /// The same event, lent.
    pub fn as_event(&self) -> Event<'_> {
        Event {
            stream: self.stream(),
            event_type: self.event_type(),
            metadata: self.metadata(),
            payload: self.payload(),
            version: self.version,
            position: self.position,
            time: self.time,
            own_id: Some(self.id.as_bytes()),
            log_id: &self.id,
        }
    }

    /// See [`Event::stream`].
    pub fn stream(&self) -> &str {
        self.text(&self.stream)
    }

    /// See [`Event::version`].
    pub fn version(&self) -> u64 {
        self.version
    }

    /// See [`Event::position`].
    pub fn position(&self) -> u64 {
        self.position
    }

    /// See [`Event::time_nanos`].
    pub fn time_nanos(&self) -> u64 {
        self.time
    }

    /// See [`Event::time`].
    pub fn time(&self) -> SystemTime {
        self.as_event().time()
    }

    /// See [`Event::id`].
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// See [`Event::event_type`].
    pub fn event_type(&self) -> &str {
        self.text(&self.event_type)
    }

    /// See [`Event::metadata`].
    pub fn metadata(&self) -> &[u8] {
        self.part(&self.metadata)
    }

    /// See [`Event::payload`].
    pub fn payload(&self) -> &[u8] {
        self.part(&self.payload)
    }

    /// The payload as shared bytes: no copy, and valid for as long as they are held.
    pub fn payload_bytes(&self) -> Bytes {
        self.section.slice_ref(self.payload())
    }
}

impl fmt::Debug for RecordedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_event().fmt(f)
    }
}

/// The id of an event that carries none: a version-8 UUID made of the log's id and the position (FORMAT.md section 4).
pub(crate) fn derived_id(log_id: Uuid, position: u64) -> Uuid {
    let log = log_id.as_bytes();
    let mut raw = [0; 16];
    raw[..8].copy_from_slice(&log[..8]);
    raw[6] = 0x80 | (log[6] & 0x0F);
    raw[8..].copy_from_slice(&(1 << 63 | position).to_be_bytes());
    Uuid::from_bytes(raw)
}

/// The position that a derived id of this log stands for; `None` for other ids.
pub(crate) fn derived_position(log_id: Uuid, id: Uuid) -> Option<u64> {
    let (_, low) = id.as_u64_pair();
    let position = low & crate::types::NUMBER_MAX;
    (derived_id(log_id, position) == id).then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_are_version_8_and_follow_the_position() {
        let log = Uuid::from_u128(0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF);
        let id = derived_id(log, 5);
        assert_eq!(id.to_string(), "00112233-4455-8677-8000-000000000005");
        assert_eq!(id.get_version_num(), 8);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        assert!(derived_id(log, 6) > id);
        assert_eq!((derived_position(log, id), derived_position(Uuid::nil(), id)), (Some(5), None));
        assert_eq!(derived_id(log, crate::types::NUMBER_MAX).get_variant(), uuid::Variant::RFC4122);
    }
}
