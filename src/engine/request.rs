//! An append as the caller makes it ready, before any lock: checked, encoded, checksummed.
//!
//! Owns the limits that an append must keep and the encoding of its body. Knows no version, no position and no state of
//! the log: those are the sequencer's.

use crate::error::AppendError;
use crate::event::NewEvent;
use crate::format::bytes::crc32;
use crate::format::record;
use crate::format::section::{Control, IdBlock, SectionKind};
use crate::format::{EVENT_TYPE_BYTES_MAX, NAME_BYTES_MAX, SECTIONS_MAX};
use crate::types::ExpectedVersion;
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// A stream that the append writes to or checks, named once however often it occurs.
#[derive(Debug)]
pub(crate) struct Party {
    pub(crate) id: Box<str>,
    pub(crate) expected: ExpectedVersion,
    /// Whether the append writes to it; if not, it is only checked.
    pub(crate) written: bool,
}

/// One section of the frame to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draft {
    /// Index into the parties.
    pub(crate) party: u32,
    pub(crate) kind: SectionKind,
    pub(crate) events: u32,
    /// Where its bytes begin in the body.
    pub(crate) at: u32,
    pub(crate) len: u32,
    pub(crate) id_checksum: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) parties: Vec<Party>,
    pub(crate) drafts: Vec<Draft>,
    pub(crate) body: Vec<u8>,
    pub(crate) body_checksum: u32,
    pub(crate) events: u32,
    /// Parties by hash of the id; filled from the second one on.
    by_id: HashTable<u32>,
    bytes_max: u64,
    has_tombstone: bool,
}

impl Request {
    pub(crate) fn new(bytes_max: u64) -> Request {
        Request { bytes_max, ..Request::default() }
    }

    /// Adds events to a stream; without events, registers it.
    pub(crate) fn append(
        &mut self,
        stream: &str,
        expected: ExpectedVersion,
        events: &[NewEvent<'_>],
    ) -> Result<(), AppendError> {
        let party = self.living_party(stream, expected)?;
        if events.is_empty() {
            return self.control(party, stream, &Control::Create { attributes: &[] });
        }
        let block = IdBlock { id: stream, tenant: "" };
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
        for event in events {
            record::encode(event, &mut self.body);
        }
        self.events += events.len() as u32;
        self.draft(party, SectionKind::Events, events.len() as u32, at, id_checksum)
    }

    /// Demands something of a stream without writing to it.
    pub(crate) fn require(&mut self, stream: &str, expected: ExpectedVersion) -> Result<(), AppendError> {
        self.party(stream, expected, false).map(|_| ())
    }

    /// Ends a stream for good.
    pub(crate) fn tombstone(&mut self, stream: &str, expected: ExpectedVersion) -> Result<(), AppendError> {
        let party = self.living_party(stream, expected)?;
        self.has_tombstone = true;
        self.control(party, stream, &Control::Tombstone)
    }

    /// Ends the encoding: after this, the body is fixed.
    pub(crate) fn seal(&mut self) -> Result<(), AppendError> {
        if self.parties.is_empty() {
            return Err(AppendError::EmptyBatch);
        }
        self.body_checksum = crc32(&self.body);
        Ok(())
    }

    /// Whether nothing but registrations would be written.
    pub(crate) fn only_registers(&self) -> bool {
        self.drafts.iter().all(|draft| draft.kind == SectionKind::Create)
    }

    /// A party to be written, unless this very request ends it.
    fn living_party(&mut self, stream: &str, expected: ExpectedVersion) -> Result<u32, AppendError> {
        let party = self.party(stream, expected, true)?;
        let ends = |draft: &Draft| draft.party == party && draft.kind == SectionKind::Tombstone;
        if self.has_tombstone && self.drafts.iter().any(ends) {
            return Err(AppendError::Gone { stream: stream.to_owned() });
        }
        Ok(party)
    }

    fn control(&mut self, party: u32, stream: &str, control: &Control<'_>) -> Result<(), AppendError> {
        let at = self.body.len();
        let id_checksum = IdBlock { id: stream, tenant: "" }.encode(&mut self.body);
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
        self.drafts.push(Draft { party, kind, events, at: at as u32, len, id_checksum });
        Ok(())
    }

    /// The party with this id; a new one if there is none. Its condition must be the same each time it is named.
    fn party(&mut self, id: &str, expected: ExpectedVersion, written: bool) -> Result<u32, AppendError> {
        check_len("stream id", id.len(), NAME_BYTES_MAX)?;
        let known = match self.parties.len() {
            0 => None,
            1 => (&*self.parties[0].id == id).then_some(0),
            _ => {
                let hash = xxh3_64(id.as_bytes());
                self.by_id.find(hash, |i| &*self.parties[*i as usize].id == id).copied()
            }
        };
        if let Some(known) = known {
            let party = &mut self.parties[known as usize];
            if party.expected != expected {
                return Err(AppendError::ContradictoryConditions { stream: id.to_owned() });
            }
            party.written |= written;
            return Ok(known);
        }
        check_bytes("sections", self.parties.len() as u64 + 1, u64::from(SECTIONS_MAX))?;
        self.parties.push(Party { id: id.into(), expected, written });
        // A lone party needs no table; with the second one, both go in.
        let from = if self.parties.len() == 2 { 0 } else { self.parties.len() - 1 };
        if self.parties.len() > 1 {
            for i in from..self.parties.len() {
                let parties = &self.parties;
                let hash = |i: &u32| xxh3_64(parties[*i as usize].id.as_bytes());
                self.by_id.insert_unique(hash(&(i as u32)), i as u32, hash);
            }
        }
        Ok(self.parties.len() as u32 - 1)
    }
}

/// A name or a type: not empty, not too long.
pub(crate) fn check_len(what: &'static str, len: usize, max: usize) -> Result<(), AppendError> {
    if len == 0 {
        return Err(AppendError::Empty { what });
    }
    check_bytes(what, len as u64, max as u64)
}

fn check_bytes(what: &'static str, len: u64, max: u64) -> Result<(), AppendError> {
    if len <= max { Ok(()) } else { Err(AppendError::TooLarge { what, len, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> NewEvent<'static> {
        NewEvent::new("T", b"payload")
    }

    #[test]
    fn a_stream_is_one_party_however_often_it_is_named() {
        let mut request = Request::new(1 << 20);
        for id in ["a", "b", "a", "c", "b", "a"] {
            request.append(id, ExpectedVersion::Exact(3), &[event()]).unwrap();
        }
        assert_eq!(request.parties.iter().map(|p| &*p.id).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(request.drafts.iter().map(|d| d.party).collect::<Vec<_>>(), [0, 1, 0, 2, 1, 0]);
        let wrong = request.require("b", ExpectedVersion::Any);
        assert_eq!(wrong, Err(AppendError::ContradictoryConditions { stream: "b".into() }));
    }

    #[test]
    fn limits_are_checked_before_anything_is_encoded() {
        let mut request = Request::new(64 << 10);
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
        assert!(request.body.is_empty() && request.drafts.is_empty());
        assert_eq!(Request::new(1).seal(), Err(AppendError::EmptyBatch));
    }
}
