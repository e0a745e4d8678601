//! One event as encoded (FORMAT.md section 4).
//!
//! Owns the record's layout, its checksum, and the rule that gives every event an id. Must never look at neighbours:
//! one record is checked by itself.

use super::EVENT_TYPE_BYTES_MAX;
use super::bytes::{
    at_most, crc32, expect, expect_checksum, is_zero, pad, padded, put_u16, put_u32, u16_at, u32_at, u64_at,
};
use crate::error::Fault;
use crate::event::NewEvent;

pub(crate) const RECORD_HEAD_BYTES: usize = 16;
pub(crate) const FLAG_ID: u16 = 1;
pub(crate) const FLAG_ATTRIBUTES: u16 = 1 << 1;
pub(crate) const FLAG_REMOVED: u16 = 1 << 15;
pub(crate) const ID_BYTES: usize = 16;

/// Attribute tags from here on change what the payload means.
const TAG_MUST_KNOW: u16 = 0x8000;
const TAG_KEY_ID: u16 = 2;
const TAG_CODEC: u16 = 3;

/// Appends an event, encoded. Its lengths were checked by the caller.
pub(crate) fn encode(event: &NewEvent<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    let mut head = [0; RECORD_HEAD_BYTES];
    put_u32(&mut head, 4, event.payload.len() as u32);
    put_u32(&mut head, 8, event.metadata.len() as u32);
    put_u16(&mut head, 12, event.event_type.len() as u16);
    put_u16(&mut head, 14, if event.id.is_some() { FLAG_ID } else { 0 });
    out.extend_from_slice(&head);
    if let Some(id) = &event.id {
        out.extend_from_slice(id.as_bytes());
    }
    out.extend_from_slice(event.event_type.as_bytes());
    out.extend_from_slice(event.metadata);
    out.extend_from_slice(event.payload);
    pad(out, start);
    let checksum = crc32(&out[start + 4..]);
    put_u32(out, start, checksum);
}

/// Length of an event once encoded, padding included.
pub(crate) fn encoded_len(event: &NewEvent<'_>) -> usize {
    let id = if event.id.is_some() { ID_BYTES } else { 0 };
    padded(RECORD_HEAD_BYTES + id + event.event_type.len() + event.metadata.len() + event.payload.len())
}

/// A record read from a segment: slices into its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) id: Option<&'a [u8; ID_BYTES]>,
    /// UTF-8 in every record that a writer made; for the reader to check.
    pub(crate) event_type: &'a [u8],
    pub(crate) metadata: &'a [u8],
    pub(crate) payload: &'a [u8],
    /// How many removed events this stub stands for; 0 for an event.
    pub(crate) removed: u64,
}

/// The length of the record at the start of `bytes`, padding included, read without checking anything but that it
/// stays inside: for walking over records that are not wanted.
#[inline]
pub(crate) fn record_len(bytes: &[u8]) -> Result<usize, Fault> {
    let head: &[u8; RECORD_HEAD_BYTES] =
        bytes.first_chunk().ok_or_else(|| too_long(RECORD_HEAD_BYTES as u64, bytes))?;
    let flags = u16_at(head, 14);
    let id_len = if flags & FLAG_ID != 0 { ID_BYTES } else { 0 };
    // In u64: three lengths from disk would overflow a 32-bit usize.
    let mut len = (RECORD_HEAD_BYTES + id_len + usize::from(u16_at(head, 12))) as u64
        + u64::from(u32_at(head, 4))
        + u64::from(u32_at(head, 8));
    if flags & FLAG_ATTRIBUTES != 0 {
        let at = RECORD_HEAD_BYTES + id_len;
        let raw = bytes.get(at..at + 4).ok_or_else(|| too_long((at + 4) as u64, bytes))?;
        len += 4 + u64::from(u32_at(raw, 0));
    }
    let len = (len + 7) & !7;
    if len > bytes.len() as u64 { Err(too_long(len, bytes)) } else { Ok(len as usize) }
}

/// Whether the record at the start of `bytes` claims to be a stub.
#[inline]
pub(crate) fn is_stub(bytes: &[u8]) -> bool {
    bytes.get(15).is_some_and(|high| high & 0x80 != 0)
}

fn too_long(len: u64, bytes: &[u8]) -> Fault {
    Fault::Length { what: "length of an event", found: len, max: bytes.len() as u64 }
}

impl<'a> Record<'a> {
    /// The record at the start of `bytes` and its length. Its checksum is compared only if `verify`; every length is
    /// bounded all the same.
    // A part of each loop over events: otherwise every record is handed over in memory, part by part.
    #[inline(always)]
    pub(crate) fn decode(bytes: &'a [u8], verify: bool) -> Result<(Self, usize), Fault> {
        let head: &[u8; RECORD_HEAD_BYTES] =
            bytes.first_chunk().ok_or_else(|| too_long(RECORD_HEAD_BYTES as u64, bytes))?;
        let flags = u16_at(head, 14);
        if flags & !FLAG_ID != 0 {
            return Self::decode_rare(bytes, verify);
        }
        // In u64: three lengths from disk would overflow a 32-bit usize.
        let type_at = RECORD_HEAD_BYTES + usize::from(flags) * ID_BYTES;
        let metadata_at = type_at + usize::from(u16_at(head, 12));
        let payload_at = metadata_at as u64 + u64::from(u32_at(head, 8));
        let end = payload_at + u64::from(u32_at(head, 4));
        let len = (end + 7) & !7;
        if len > bytes.len() as u64 {
            return Err(too_long(len, bytes));
        }
        let (payload_at, end, len) = (payload_at as usize, end as usize, len as usize);
        let bytes = &bytes[..len];
        if verify {
            expect_checksum("event", crc32(&bytes[4..]), u32_at(bytes, 0))?;
        }
        let type_len = metadata_at - type_at;
        if type_len == 0 || type_len > EVENT_TYPE_BYTES_MAX {
            let max = EVENT_TYPE_BYTES_MAX as u64;
            return Err(Fault::Length { what: "length of an event type", found: type_len as u64, max });
        }
        // The padding is the end of the last word.
        if end < len && u64_at(bytes, len - 8) >> (64 - 8 * (len - end)) != 0 {
            return Err(Fault::Field { what: "padding of an event", expected: 0, found: 1 });
        }
        let id = if flags == 0 { None } else { bytes[RECORD_HEAD_BYTES..].first_chunk() };
        let record = Record {
            id,
            event_type: &bytes[type_at..metadata_at],
            metadata: &bytes[metadata_at..payload_at],
            payload: &bytes[payload_at..end],
            removed: 0,
        };
        Ok((record, len))
    }

    /// Stubs, attributes, and flags that nobody knows.
    #[cold]
    fn decode_rare(bytes: &'a [u8], verify: bool) -> Result<(Self, usize), Fault> {
        let len = record_len(bytes)?;
        let bytes = &bytes[..len];
        if verify {
            expect_checksum("event", crc32(&bytes[4..]), u32_at(bytes, 0))?;
        }
        let flags = u16_at(bytes, 14);
        if flags & !(FLAG_ID | FLAG_ATTRIBUTES | FLAG_REMOVED) != 0 {
            return Err(Fault::Field { what: "flags of an event", expected: 0, found: u64::from(flags) });
        }
        // `record_len` added these up and found that they fit.
        let (payload_len, metadata_len) = (u32_at(bytes, 4) as usize, u32_at(bytes, 8) as usize);
        let type_len = usize::from(u16_at(bytes, 12));
        let mut at = RECORD_HEAD_BYTES;
        let mut id = None;
        if flags & FLAG_ID != 0 {
            id = bytes[at..].first_chunk();
            at += ID_BYTES;
        }
        if flags & FLAG_ATTRIBUTES != 0 {
            let attributes_len = u32_at(bytes, at) as usize;
            check_attributes(&bytes[at + 4..at + 4 + attributes_len])?;
            at += 4 + attributes_len;
        }
        let event_type = &bytes[at..at + type_len];
        let metadata = &bytes[at + type_len..at + type_len + metadata_len];
        let end = at + type_len + metadata_len + payload_len;
        let payload = &bytes[end - payload_len..end];
        if !is_zero(&bytes[end..]) {
            return Err(Fault::Field { what: "padding of an event", expected: 0, found: 1 });
        }
        let removed = if flags & FLAG_REMOVED == 0 {
            expect("whether an event type is empty", 0, u64::from(type_len == 0))?;
            at_most("length of an event type", EVENT_TYPE_BYTES_MAX as u64, type_len as u64)?;
            0
        } else {
            expect("length of a stub's type and metadata", 0, (type_len + metadata_len) as u64)?;
            expect("length of a stub's payload", 8, payload_len as u64)?;
            let count = u64_at(payload, 0);
            at_most("number of removed events", u64::from(u32::MAX), count)?;
            expect("whether a stub stands for nothing", 0, u64::from(count == 0))?;
            count
        };
        Ok((Record { id, event_type, metadata, payload, removed }, len))
    }
}

/// Attributes that this version does not know may be passed over, unless they change what the payload means.
fn check_attributes(mut bytes: &[u8]) -> Result<(), Fault> {
    while !bytes.is_empty() {
        let head: &[u8; 4] = bytes.first_chunk().ok_or_else(|| too_long(4, bytes))?;
        let (tag, len) = (u16_at(head, 0), usize::from(u16_at(head, 2)));
        if tag >= TAG_MUST_KNOW || tag == TAG_KEY_ID || tag == TAG_CODEC {
            return Err(Fault::Attribute { tag });
        }
        bytes = bytes.get(4 + len..).ok_or_else(|| too_long((4 + len) as u64, bytes))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn encoded(event: &NewEvent<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        encode(event, &mut out);
        assert_eq!(out.len(), encoded_len(event));
        out
    }

    const SAMPLE: NewEvent<'static> = NewEvent {
        id: Some(Uuid::from_u128(0x1234_5678)),
        event_type: "OrderPlaced",
        metadata: b"{}",
        payload: b"payload bytes",
    };

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let bytes = encoded(&SAMPLE);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(&flipped, true).is_err(), "bit {bit}");
            let _ = Record::decode(&flipped, false);
        }
        for len in 0..bytes.len() {
            assert!(Record::decode(&bytes[..len], true).is_err(), "cut {len}");
        }
    }

    #[test]
    fn lengths_from_disk_never_reach_outside() {
        for at in [4, 8, 12] {
            let mut bytes = encoded(&SAMPLE);
            for b in &mut bytes[at..at + 2] {
                *b = 0xFF;
            }
            assert!(matches!(Record::decode(&bytes, false), Err(Fault::Length { .. })), "length at {at}");
        }
    }

    fn with_flags(flags: u16, middle: &[u8], payload: &[u8], type_len: u16) -> Vec<u8> {
        let mut out = vec![0; RECORD_HEAD_BYTES];
        put_u32(&mut out, 4, payload.len() as u32);
        put_u16(&mut out, 12, type_len);
        put_u16(&mut out, 14, flags);
        out.extend_from_slice(middle);
        out.extend_from_slice(payload);
        pad(&mut out, 0);
        let checksum = crc32(&out[4..]);
        put_u32(&mut out, 0, checksum);
        out
    }

    #[test]
    fn stubs_tell_how_many_events_stood_there() {
        let stub = with_flags(FLAG_REMOVED, b"", &7u64.to_le_bytes(), 0);
        assert_eq!(Record::decode(&stub, true).unwrap().0.removed, 7);
        for bad in [
            with_flags(FLAG_REMOVED, b"", &0u64.to_le_bytes(), 0),
            with_flags(FLAG_REMOVED, b"", &u64::MAX.to_le_bytes(), 0),
            with_flags(FLAG_REMOVED, b"", b"123", 0),
            with_flags(FLAG_REMOVED, b"T", &7u64.to_le_bytes(), 1),
            with_flags(0, b"", b"an event without a type", 0),
            with_flags(1 << 5, b"T", b"unknown flag", 1),
        ] {
            assert!(Record::decode(&bad, true).is_err());
        }
    }

    #[test]
    fn attributes_may_be_passed_over_unless_they_change_the_meaning() {
        let block = |tag: u16| {
            let mut block = 6u32.to_le_bytes().to_vec();
            block.extend_from_slice(&tag.to_le_bytes());
            block.extend_from_slice(&2u16.to_le_bytes());
            block.extend_from_slice(b"ab");
            block.push(b'T');
            with_flags(FLAG_ATTRIBUTES, &block, b"payload", 1)
        };
        let bytes = block(1);
        let (record, len) = Record::decode(&bytes, true).unwrap();
        assert_eq!((record.payload, record.event_type, len), (&b"payload"[..], &b"T"[..], bytes.len()));
        for tag in [TAG_KEY_ID, TAG_CODEC, TAG_MUST_KNOW, u16::MAX] {
            assert_eq!(Record::decode(&block(tag), true), Err(Fault::Attribute { tag }));
        }
    }

    proptest! {
        #[test]
        fn any_event_round_trips(
            id in proptest::option::of(any::<u128>()),
            event_type in "[a-zA-Zäöü]{1,40}",
            metadata in proptest::collection::vec(any::<u8>(), 0..60),
            payload in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let id = id.map(Uuid::from_u128);
            let new = NewEvent { id, event_type: &event_type, metadata: &metadata, payload: &payload };
            let mut bytes = encoded(&new);
            let len = bytes.len();
            bytes.extend_from_slice(b"a neighbour");
            let (record, used) = Record::decode(&bytes, true).unwrap();
            prop_assert_eq!(used, len);
            let id = id.as_ref().map(Uuid::as_bytes);
            let event_type = event_type.as_bytes();
            prop_assert_eq!(record, Record { id, event_type, metadata: &metadata, payload: &payload, removed: 0 });
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::decode(&bytes, true);
            let _ = Record::decode(&bytes, false);
        }
    }
}
