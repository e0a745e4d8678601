//! An append as the caller makes it ready, before any lock: checked, encoded, checksummed.
//!
//! Owns the limits that an append must keep and the encoding of its body. Knows no version, no position and no state of
//! the log: those are the sequencer's.

use crate::engine::parties::{Contradiction, Parties};
use crate::error::AppendError;
use crate::event::NewEvent;
use crate::format::bytes::crc32;
use crate::format::record;
use crate::format::section::{Control, IdBlock, SectionKind};
use crate::format::{ATTRIBUTES_BYTES_MAX, EVENT_TYPE_BYTES_MAX, NAME_BYTES_MAX, SECTIONS_MAX};
use crate::options::Options;
use crate::types::{ExpectedVersion, KeptCondition};
use std::cell::Cell;
use uuid::Uuid;

thread_local! {
    /// An append that is over, empty.
    static SPARE: Cell<Option<Box<Request>>> = const { Cell::new(None) };
}

/// The body, and the sections and parties, of an append whose memory is used again.
const SPARE_BYTES_MAX: usize = 1 << 20;
const SPARE_PARTS_MAX: usize = 1 << 10;

/// One section of the frame to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Draft {
    /// Index into the streams, or for kinds `Keep` and `Unkeep` into the kept values.
    pub(crate) party: u32,
    pub(crate) kind: SectionKind,
    pub(crate) events: u32,
    /// Where its bytes begin in the body.
    pub(crate) at: u32,
    pub(crate) len: u32,
    pub(crate) id_checksum: u32,
    /// The first version to keep, for `TruncateBefore`.
    pub(crate) number: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) streams: Parties<ExpectedVersion>,
    pub(crate) kept: Parties<KeptCondition>,
    pub(crate) drafts: Vec<Draft>,
    pub(crate) body: Vec<u8>,
    pub(crate) body_checksum: u32,
    pub(crate) events: u32,
    /// The ids that the caller gave, in order.
    pub(crate) ids: Vec<Uuid>,
    /// Whether the first event has one: then it is the key by which a repeat is known.
    pub(crate) has_key: bool,
    /// The first of the drafts that the log has added for a consumer: they say nothing about whether this is a repeat.
    pub(crate) own_from: Option<usize>,
    bytes_max: u64,
    kept_bytes_max: u64,
    /// The tenant that parts name from here on.
    tenant: Option<Box<str>>,
}

impl Request {
    /// An empty one, in the memory of the last one of this thread that is over.
    pub(crate) fn new(options: &Options) -> Box<Request> {
        // There is none while a thread ends.
        let mut request = SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default();
        (request.bytes_max, request.kept_bytes_max) = (options.append_bytes_max, options.kept_bytes_max);
        request
    }

    /// Leaves its memory to the next one of this thread: appending again and again asks for none.
    pub(crate) fn recycle(mut self: Box<Self>) {
        self.streams.clear();
        self.kept.clear();
        self.drafts.clear();
        self.body.clear();
        self.ids.clear();
        (self.tenant, self.own_from) = (None, None);
        (self.body_checksum, self.events, self.has_key) = (0, 0, false);
        // A large one must not pin its memory for ever, and an empty one has none to leave.
        let parts = [self.drafts.capacity(), self.streams.capacity(), self.kept.capacity()];
        if (1..=SPARE_BYTES_MAX).contains(&self.body.capacity())
            && parts.into_iter().all(|parts| parts <= SPARE_PARTS_MAX)
        {
            let _ = SPARE.try_with(|spare| spare.set(Some(self)));
        }
    }

    /// The parts that follow name this tenant.
    pub(crate) fn name_tenant(&mut self, tenant: &str) -> Result<(), AppendError> {
        check_len("tenant", tenant.len(), NAME_BYTES_MAX)?;
        self.tenant = Some(tenant.into());
        Ok(())
    }

    /// Adds events to a stream; without events, registers it.
    pub(crate) fn append(
        &mut self,
        stream: &str,
        expected: ExpectedVersion,
        events: &[NewEvent<'_>],
    ) -> Result<(), AppendError> {
        if events.is_empty() {
            return self.create(stream, expected, &[]);
        }
        let party = self.living_party(stream, expected)?;
        let tenant = self.tenant.as_deref().unwrap_or_default();
        let block = IdBlock { id: stream, tenant };
        let mut len = block.encoded_len() as u64;
        for event in events {
            check_len("event type", event.event_type.len(), EVENT_TYPE_BYTES_MAX)?;
            // Each part by itself first: their sum must not overflow.
            check_bytes("append", event.payload.len() as u64, self.bytes_max)?;
            check_bytes("append", event.metadata.len() as u64, self.bytes_max)?;
            len += record::encoded_len(event) as u64;
        }
        check_bytes("append", self.body.len() as u64 + len, self.bytes_max)?;
        self.body.reserve(len as usize);
        let at = self.body.len();
        let id_checksum = block.encode(&mut self.body);
        self.has_key |= self.events == 0 && events[0].id.is_some();
        for event in events {
            record::encode(event, &mut self.body);
            self.ids.extend(event.id);
        }
        self.events += events.len() as u32;
        self.draft(party, SectionKind::Events, events.len() as u32, at, id_checksum)
    }

    /// Registers a stream; its attributes are stored if it is new.
    pub(crate) fn create(
        &mut self,
        stream: &str,
        expected: ExpectedVersion,
        attributes: &[u8],
    ) -> Result<(), AppendError> {
        check_bytes("attributes", attributes.len() as u64, ATTRIBUTES_BYTES_MAX as u64)?;
        let party = self.living_party(stream, expected)?;
        self.control(party, stream, &Control::Create { attributes })
    }

    /// Demands something of a stream without writing to it.
    pub(crate) fn require(&mut self, stream: &str, expected: ExpectedVersion) -> Result<(), AppendError> {
        self.party(stream, expected, false).map(|_| ())
    }

    /// Ends a stream for good.
    pub(crate) fn tombstone(&mut self, stream: &str, expected: ExpectedVersion) -> Result<(), AppendError> {
        let party = self.living_party(stream, expected)?;
        self.streams.end(party);
        self.control(party, stream, &Control::Tombstone)
    }

    /// Removes the events of a stream with versions below `first`.
    pub(crate) fn truncate_before(
        &mut self,
        stream: &str,
        first: u64,
        expected: ExpectedVersion,
    ) -> Result<(), AppendError> {
        check_bytes("version", first, crate::types::NUMBER_MAX)?;
        let party = self.living_party(stream, expected)?;
        self.control(party, stream, &Control::TruncateBefore)?;
        if let Some(draft) = self.drafts.last_mut() {
            draft.number = first.max(1);
        }
        Ok(())
    }

    /// Sets a kept value, or deletes it.
    pub(crate) fn keep(
        &mut self,
        name: &str,
        condition: KeptCondition,
        value: Option<&[u8]>,
    ) -> Result<(), AppendError> {
        let party = self.kept_party(name, condition, true)?;
        match value {
            Some(value) => {
                check_bytes("kept value", value.len() as u64, self.kept_bytes_max)?;
                self.body.reserve(value.len() + name.len() + 32);
                self.control(party, name, &Control::Keep { value })
            }
            None => self.control(party, name, &Control::Unkeep),
        }
    }

    /// Demands something of a kept value without writing to it.
    pub(crate) fn require_kept(&mut self, name: &str, condition: KeptCondition) -> Result<(), AppendError> {
        self.kept_party(name, condition, false).map(|_| ())
    }

    /// Ends the encoding: after this, the body is fixed.
    pub(crate) fn seal(&mut self) -> Result<(), AppendError> {
        if self.streams.is_empty() && self.kept.is_empty() {
            return Err(AppendError::EmptyBatch);
        }
        if self.ids.len() > 1 {
            let mut sorted = self.ids.clone();
            sorted.sort_unstable();
            if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(AppendError::IdReused { id: pair[0] });
            }
        }
        self.body_checksum = crc32(&self.body);
        Ok(())
    }

    /// Whether nothing but registrations would be written.
    pub(crate) fn only_registers(&self) -> bool {
        self.drafts.iter().all(|draft| draft.kind == SectionKind::Create)
    }

    /// The streams that its parts are about, part by part.
    pub(crate) fn stream_parts(&self) -> impl Iterator<Item = &str> {
        let about_streams = self.drafts.iter().filter(|draft| !draft.kind.is_kept());
        about_streams.map(|draft| self.streams.id(&self.streams[draft.party as usize]))
    }

    /// The kept values that its parts are about, part by part.
    pub(crate) fn kept_parts(&self) -> impl Iterator<Item = &str> {
        let about_kept = self.drafts.iter().filter(|draft| draft.kind.is_kept());
        about_kept.map(|draft| self.kept.id(&self.kept[draft.party as usize]))
    }

    /// A party to be written, unless this very request ends it.
    fn living_party(&mut self, stream: &str, expected: ExpectedVersion) -> Result<u32, AppendError> {
        let party = self.party(stream, expected, true)?;
        if self.streams[party as usize].ended {
            return Err(AppendError::Gone { stream: stream.to_owned() });
        }
        Ok(party)
    }

    fn control(&mut self, party: u32, id: &str, control: &Control<'_>) -> Result<(), AppendError> {
        let at = self.body.len();
        let tenant = match control.kind() {
            kind if kind.is_kept() => "",
            _ => self.tenant.as_deref().unwrap_or_default(),
        };
        let id_checksum = IdBlock { id, tenant }.encode(&mut self.body);
        control.encode(&mut self.body);
        check_bytes("append", self.body.len() as u64, self.bytes_max)?;
        self.draft(party, control.kind(), 0, at, id_checksum)
    }

    fn draft(
        &mut self,
        party: u32,
        kind: SectionKind,
        events: u32,
        at: usize,
        id_checksum: u32,
    ) -> Result<(), AppendError> {
        check_bytes("sections", self.drafts.len() as u64 + 1, u64::from(SECTIONS_MAX))?;
        let len = (self.body.len() - at) as u32;
        self.drafts.push(Draft { party, kind, events, at: at as u32, len, id_checksum, number: 0 });
        Ok(())
    }

    fn party(&mut self, id: &str, expected: ExpectedVersion, written: bool) -> Result<u32, AppendError> {
        check_len("stream id", id.len(), NAME_BYTES_MAX)?;
        check_bytes("sections", self.streams.len() as u64, u64::from(SECTIONS_MAX))?;
        self.streams.add(id, expected, self.tenant.as_deref(), written).map_err(|contradiction| {
            let stream = id.to_owned();
            match contradiction {
                Contradiction::Condition => AppendError::ContradictoryConditions { stream },
                Contradiction::Tenant => {
                    AppendError::ForeignTenant { stream, named: self.tenant.as_deref().unwrap_or("").into() }
                }
            }
        })
    }

    fn kept_party(
        &mut self,
        name: &str,
        condition: KeptCondition,
        written: bool,
    ) -> Result<u32, AppendError> {
        check_len("kept name", name.len(), NAME_BYTES_MAX)?;
        check_bytes("sections", self.kept.len() as u64, u64::from(SECTIONS_MAX))?;
        self.kept
            .add(name, condition, None, written)
            .map_err(|_| AppendError::ContradictoryConditions { stream: name.to_owned() })
    }
}

/// A name or a type: not empty, not too long.
pub(crate) fn check_len(what: &'static str, len: usize, max: usize) -> Result<(), AppendError> {
    if len == 0 {
        return Err(AppendError::Empty { what });
    }
    check_bytes(what, len as u64, max as u64)
}

pub(crate) fn check_bytes(what: &'static str, len: u64, max: u64) -> Result<(), AppendError> {
    if len <= max { Ok(()) } else { Err(AppendError::TooLarge { what, len, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> NewEvent<'static> {
        NewEvent::new("T", b"payload")
    }

    fn request(append_bytes_max: u64) -> Box<Request> {
        Request::new(&Options::new().append_bytes_max(append_bytes_max))
    }

    #[test]
    fn a_stream_is_one_party_however_often_it_is_named() {
        let mut request = request(1 << 20);
        for id in ["a", "b", "a", "c", "b", "a"] {
            request.append(id, ExpectedVersion::Exact(3), &[event()]).unwrap();
        }
        assert_eq!(
            request.streams.iter().map(|p| request.streams.id(p)).collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
        assert_eq!(request.drafts.iter().map(|d| d.party).collect::<Vec<_>>(), [0, 1, 0, 2, 1, 0]);
        let wrong = request.require("b", ExpectedVersion::Any);
        assert_eq!(wrong, Err(AppendError::ContradictoryConditions { stream: "b".into() }));
    }

    #[test]
    fn limits_are_checked_before_anything_is_encoded() {
        let mut request = request(64 << 10);
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        let any = ExpectedVersion::Any;
        assert!(matches!(request.append("", any, &[event()]), Err(AppendError::Empty { what: "stream id" })));
        assert!(matches!(
            request.append(&long, any, &[event()]),
            Err(AppendError::TooLarge { max: 2048, .. })
        ));
        let untyped = NewEvent::new("", b"");
        assert!(matches!(
            request.append("s", any, &[untyped]),
            Err(AppendError::Empty { what: "event type" })
        ));
        let type_name = "t".repeat(EVENT_TYPE_BYTES_MAX + 1);
        let typed = NewEvent::new(&type_name, b"");
        assert!(matches!(request.append("s", any, &[typed]), Err(AppendError::TooLarge { max: 1024, .. })));
        let big = vec![0; 64 << 10];
        let heavy = NewEvent::new("T", &big);
        assert!(matches!(
            request.append("s", any, &[heavy]),
            Err(AppendError::TooLarge { what: "append", .. })
        ));
        assert!(matches!(
            request.create("s", any, &[0; 257]),
            Err(AppendError::TooLarge { what: "attributes", .. })
        ));
        assert!(request.body.is_empty() && request.drafts.is_empty());
        assert_eq!(Request::new(&Options::new()).seal(), Err(AppendError::EmptyBatch));
    }

    #[test]
    fn an_id_stands_once_in_an_append_and_the_first_one_is_its_key() {
        let ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let any = ExpectedVersion::Any;
        let [one, two] = ids.map(|id| event().with_id(id));
        let mut keyed = request(1 << 20);
        keyed.append("a", any, &[one, event()]).unwrap();
        keyed.append("b", any, &[two]).unwrap();
        assert_eq!((keyed.seal(), keyed.has_key, &keyed.ids[..]), (Ok(()), true, &ids[..]));
        keyed.append("b", any, &[one]).unwrap();
        assert_eq!(keyed.seal(), Err(AppendError::IdReused { id: ids[0] }));
        let mut keyless = request(1 << 20);
        keyless.append("a", any, &[event(), one]).unwrap();
        keyless.append("b", any, &[two]).unwrap();
        assert!(!keyless.has_key);
    }

    #[test]
    fn nothing_but_memory_is_left_to_the_next_one() {
        let any = ExpectedVersion::Any;
        let mut first = request(1 << 20);
        first.name_tenant("t").unwrap();
        first.append("a", any, &[event().with_id(Uuid::from_u128(1))]).unwrap();
        first.require("b", ExpectedVersion::NoStream).unwrap();
        first.keep("k", KeptCondition::Absent, Some(b"v")).unwrap();
        first.seal().unwrap();
        first.own_from = Some(1);
        let memory = first.body.capacity();
        first.recycle();
        let next = request(1 << 10);
        assert!(next.streams.is_empty() && next.kept.is_empty() && next.drafts.is_empty());
        assert!(next.body.is_empty() && next.ids.is_empty() && next.tenant.is_none() && !next.has_key);
        assert_eq!((next.events, next.body_checksum, next.bytes_max), (0, 0, 1 << 10));
        assert_eq!(next.own_from, None);
        assert_eq!(next.body.capacity(), memory);
        // What is large goes, whatever it is that is large.
        let mut large = request(1 << 30);
        large.append("a", any, &[NewEvent::new("T", &vec![0; SPARE_BYTES_MAX + 1])]).unwrap();
        large.recycle();
        let mut many = request(1 << 30);
        assert_eq!(many.body.capacity(), 0);
        many.append("a", any, &[event()]).unwrap();
        (0..=SPARE_PARTS_MAX).for_each(|i| many.require(&i.to_string(), any).unwrap());
        many.recycle();
        assert_eq!(request(1 << 20).body.capacity(), 0);
    }
}
