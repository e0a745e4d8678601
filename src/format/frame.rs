//! The frame: one atomic append, and its header (FORMAT.md section 3).
//!
//! Owns the envelope: lengths, chain and checksums. Knows no section's content. A [`FrameHeader`] that came out of
//! [`FrameHeader::decode`] has lengths that stay inside its segment and a frame checksum that covers its section table.

use super::bytes::{
    PartSums, at_most, crc32, crc32_of, expect, expect_checksum, is_zero, put_u32, put_u64, u32_at, u64_at,
};
use super::section::ENTRY_BYTES;
use super::{BODY_BYTES_MAX, FIRST_FRAME, SECTIONS_MAX};
use crate::error::Fault;

pub(crate) const FRAME_MAGIC: [u8; 4] = *b"AFrm";
pub(crate) const FRAME_HEADER_BYTES: usize = 72;
const CHECKSUM_AT: usize = 68;
/// What comes before the section table in the frame checksum: salt, offset and header.
const CHECKED_BYTES: usize = 16 + CHECKSUM_AT;

/// FORMAT.md section 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Append = 1,
    Idle = 2,
    Closed = 3,
    Pad = 4,
}

/// Why there is no frame at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FrameFault {
    /// The bytes are not a frame header: never written, torn, or damaged.
    Invalid(Fault),
    /// A header whose checksum is right, and which this version must refuse all the same. Never a torn write.
    Refused(Fault),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: FrameKind,
    pub(crate) sections: u32,
    pub(crate) events: u32,
    pub(crate) body_len: u64,
    pub(crate) first_position: u64,
    pub(crate) time: u64,
    pub(crate) batch_number: u64,
    pub(crate) batch_start: u64,
    /// Frame checksum of the frame before.
    pub(crate) previous: u32,
    pub(crate) body_checksum: u32,
}

/// Bounded lengths of a frame whose checksum is not yet known to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameLengths {
    /// Header and section table.
    pub(crate) body_at: u64,
    pub(crate) frame: u64,
}

/// Where the salt and the limits of a frame come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FramePlace {
    pub(crate) salt: u64,
    /// The frame's own offset.
    pub(crate) offset: u64,
    /// No frame reaches beyond this offset.
    pub(crate) end_max: u64,
}

impl FrameHeader {
    /// Bytes from the frame's start to its body.
    pub(crate) fn body_at(&self) -> u64 {
        (FRAME_HEADER_BYTES + self.sections as usize * ENTRY_BYTES) as u64
    }

    /// Length of the whole frame, in bytes.
    pub(crate) fn frame_len(&self) -> u64 {
        self.body_at() + self.body_len
    }

    /// The position that the next frame starts with.
    pub(crate) fn next_position(&self) -> u64 {
        self.first_position + u64::from(self.events)
    }

    /// Appends header and section table to `out`; returns the frame checksum.
    pub(crate) fn encode(&self, salt: u64, offset: u64, table: &[u8], out: &mut Vec<u8>) -> u32 {
        let mut raw = [0; FRAME_HEADER_BYTES];
        raw[0..4].copy_from_slice(&FRAME_MAGIC);
        raw[4] = self.kind as u8;
        put_u32(&mut raw, 8, self.sections);
        put_u32(&mut raw, 12, self.events);
        put_u64(&mut raw, 16, self.body_len);
        put_u64(&mut raw, 24, self.first_position);
        put_u64(&mut raw, 32, self.time);
        put_u64(&mut raw, 40, self.batch_number);
        put_u64(&mut raw, 48, self.batch_start);
        put_u32(&mut raw, 56, self.previous);
        put_u32(&mut raw, 60, self.body_checksum);
        let checksum = frame_checksum(salt, offset, &raw, table);
        put_u32(&mut raw, CHECKSUM_AT, checksum);
        out.extend_from_slice(&raw);
        out.extend_from_slice(table);
        checksum
    }

    /// Bounds every length in the first 72 bytes (FORMAT.md section 3, header rules (1) to (4)): afterwards they may be
    /// used to fetch the section table, and nothing else.
    pub(crate) fn check_lengths(
        raw: &[u8; FRAME_HEADER_BYTES],
        place: FramePlace,
    ) -> Result<FrameLengths, Fault> {
        if is_zero(raw) {
            return Err(Fault::Zeros { what: "frame" });
        }
        expect("frame magic", u64::from(u32_at(&FRAME_MAGIC, 0)), u64::from(u32_at(raw, 0)))?;
        let (sections, body_len, batch_start) = (u64::from(u32_at(raw, 8)), u64_at(raw, 16), u64_at(raw, 48));
        expect("offset modulo 8", 0, place.offset % 8)?;
        expect("body length modulo 8", 0, body_len % 8)?;
        at_most("body length", BODY_BYTES_MAX, body_len)?;
        at_most("number of sections", u64::from(SECTIONS_MAX), sections)?;
        let body_at = FRAME_HEADER_BYTES as u64 + sections * ENTRY_BYTES as u64;
        at_most("end of the frame", place.end_max, place.offset + body_at + body_len)?;
        at_most("batch start", place.offset, batch_start)?;
        at_most("offset of the first frame", batch_start, FIRST_FRAME)?;
        Ok(FrameLengths { body_at, frame: body_at + body_len })
    }

    /// A header that is valid by FORMAT.md section 3, with its section table and its frame checksum. `bytes` begin at
    /// the frame and may end anywhere: too few of them are a fault like any other.
    pub(crate) fn decode(bytes: &[u8], place: FramePlace) -> Result<(Self, &[u8], u32), FrameFault> {
        Self::decode_with(bytes, place, |raw, table| frame_checksum(place.salt, place.offset, raw, table))
    }

    fn decode_with(
        bytes: &[u8],
        place: FramePlace,
        checksum: impl FnOnce(&[u8; FRAME_HEADER_BYTES], &[u8]) -> u32,
    ) -> Result<(Self, &[u8], u32), FrameFault> {
        let too_short = |max: u64| {
            FrameFault::Invalid(Fault::Length { what: "frame header", found: max, max: bytes.len() as u64 })
        };
        let raw: &[u8; FRAME_HEADER_BYTES] =
            bytes.first_chunk().ok_or_else(|| too_short(FRAME_HEADER_BYTES as u64))?;
        let FrameLengths { body_at, .. } = Self::check_lengths(raw, place).map_err(FrameFault::Invalid)?;
        let table = bytes.get(FRAME_HEADER_BYTES..body_at as usize).ok_or_else(|| too_short(body_at))?;
        let stored = u32_at(raw, CHECKSUM_AT);
        expect_checksum("frame header", checksum(raw, table), stored).map_err(FrameFault::Invalid)?;
        let header = Self::fields(raw).map_err(FrameFault::Refused)?;
        Ok((header, table, stored))
    }

    /// The fields of a header whose checksum is right.
    fn fields(raw: &[u8; FRAME_HEADER_BYTES]) -> Result<Self, Fault> {
        let kind = match raw[4] {
            1 => FrameKind::Append,
            2 => FrameKind::Idle,
            3 => FrameKind::Closed,
            4 => FrameKind::Pad,
            other => return Err(Fault::Kind { what: "frame", found: u64::from(other) }),
        };
        expect("zeros of the frame header", 1, u64::from(is_zero(&raw[5..8]) && is_zero(&raw[64..68])))?;
        at_most("first position", crate::types::NUMBER_MAX, u64_at(raw, 24))?;
        at_most("batch number", crate::types::NUMBER_MAX, u64_at(raw, 40))?;
        let header = FrameHeader {
            kind,
            sections: u32_at(raw, 8),
            events: u32_at(raw, 12),
            body_len: u64_at(raw, 16),
            first_position: u64_at(raw, 24),
            time: u64_at(raw, 32),
            batch_number: u64_at(raw, 40),
            batch_start: u64_at(raw, 48),
            previous: u32_at(raw, 56),
            body_checksum: u32_at(raw, 60),
        };
        if kind != FrameKind::Append {
            expect(
                "sections and events of a frame without",
                0,
                u64::from(header.sections) + u64::from(header.events),
            )?;
        }
        Ok(header)
    }

    /// Batch start and batch number, if there is a header with a right checksum at this index, of whatever kind.
    pub(crate) fn batch_at(sums: &PartSums<'_>, at: usize, place: FramePlace) -> Option<(u64, u64)> {
        let bytes = sums.bytes().get(at..)?;
        let table_at = at + FRAME_HEADER_BYTES;
        let checksum = |raw: &_, table: &[u8]| {
            sums.of(&checked_with(place.salt, place.offset, raw), table_at..table_at + table.len())
        };
        match Self::decode_with(bytes, place, checksum) {
            Err(FrameFault::Invalid(_)) => None,
            _ => Some((u64_at(bytes, 48), u64_at(bytes, 40))),
        }
    }

    /// The body's checksum: wrong in a torn write, or by damage.
    pub(crate) fn check_body(&self, body: &[u8]) -> Result<(), Fault> {
        expect("length of the body", self.body_len, body.len() as u64)?;
        expect_checksum("frame body", crc32(body), self.body_checksum)
    }

    /// What the kind demands of a body whose checksum is right, or was: a violation is never a torn write.
    pub(crate) fn check_kind(&self, body: &[u8]) -> Result<(), Fault> {
        match self.kind {
            FrameKind::Append => Ok(()),
            FrameKind::Pad => expect("zeros of a pad frame", 1, u64::from(is_zero(body))),
            FrameKind::Idle | FrameKind::Closed => expect("body length of a witness frame", 0, self.body_len),
        }
    }

    /// "A frame follows": FORMAT.md section 3. `before` is the frame before this one in the same segment, if any.
    pub(crate) fn check_follows(&self, offset: u64, chain: &Chain) -> Result<(), Fault> {
        expect("checksum of the frame before", u64::from(chain.checksum), u64::from(self.previous))?;
        expect("first position", chain.next_position, self.first_position)?;
        at_most("time of the frame before", self.time, chain.time)?;
        let same_batch = self.batch_number == chain.batch_number && self.batch_start == chain.batch_start;
        if same_batch {
            return Ok(());
        }
        if self.batch_number <= chain.batch_number {
            let (expected, found) = (chain.batch_number + 1, self.batch_number);
            return Err(Fault::Field { what: "batch number", expected, found });
        }
        expect("batch start of a batch's first frame", offset, self.batch_start)
    }
}

/// One valid frame that follows the one before.
pub(crate) struct Frame<'a> {
    pub(crate) offset: u64,
    pub(crate) header: FrameHeader,
    pub(crate) table: &'a [u8],
    pub(crate) body: &'a [u8],
    pub(crate) checksum: u32,
}

/// What the next frame must follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Chain {
    pub(crate) checksum: u32,
    pub(crate) next_position: u64,
    pub(crate) time: u64,
    pub(crate) batch_number: u64,
    /// Of the last frame in this segment; 0 when the segment has none, which no frame can have.
    pub(crate) batch_start: u64,
}

impl Chain {
    /// The chain after this frame.
    pub(crate) fn after(header: &FrameHeader, checksum: u32) -> Chain {
        Chain {
            checksum,
            next_position: header.next_position(),
            time: header.time,
            batch_number: header.batch_number,
            batch_start: header.batch_start,
        }
    }
}

/// What comes before the section table in the frame checksum.
fn checked_with(salt: u64, offset: u64, raw: &[u8; FRAME_HEADER_BYTES]) -> [u8; CHECKED_BYTES] {
    let mut head = [0; CHECKED_BYTES];
    put_u64(&mut head, 0, salt);
    put_u64(&mut head, 8, offset);
    head[16..].copy_from_slice(&raw[..CHECKSUM_AT]);
    head
}

fn frame_checksum(salt: u64, offset: u64, raw: &[u8; FRAME_HEADER_BYTES], table: &[u8]) -> u32 {
    let head = checked_with(salt, offset, raw);
    let Some((first, others)) = table.split_first_chunk::<ENTRY_BYTES>() else { return crc32(&head) };
    // One buffer as far as one section: short inputs cost crc32fast more per call than per byte.
    let mut joined = [0; CHECKED_BYTES + ENTRY_BYTES];
    joined[..CHECKED_BYTES].copy_from_slice(&head);
    joined[CHECKED_BYTES..].copy_from_slice(first);
    crc32_of([&joined, others])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: FramePlace = FramePlace { salt: 42, offset: 4096, end_max: 60_000 };

    fn sample() -> (FrameHeader, Vec<u8>, Vec<u8>) {
        let body = vec![7; 64];
        let header = FrameHeader {
            kind: FrameKind::Append,
            sections: 2,
            events: 3,
            body_len: 64,
            first_position: 10,
            time: 1000,
            batch_number: 5,
            batch_start: 4096,
            previous: 0xAA,
            body_checksum: crc32(&body),
        };
        (header, vec![3; 2 * ENTRY_BYTES], body)
    }

    fn encoded() -> Vec<u8> {
        let (header, table, body) = sample();
        let mut out = Vec::new();
        header.encode(PLACE.salt, PLACE.offset, &table, &mut out);
        out.extend_from_slice(&body);
        out
    }

    fn decode_whole(bytes: &[u8], place: FramePlace) -> Result<FrameHeader, Fault> {
        let (header, _, _) = FrameHeader::decode(bytes, place).map_err(|fault| match fault {
            FrameFault::Invalid(fault) | FrameFault::Refused(fault) => fault,
        })?;
        let end = header.frame_len() as usize;
        let body = bytes.get(header.body_at() as usize..end).ok_or(Fault::Length {
            what: "body",
            found: end as u64,
            max: bytes.len() as u64,
        })?;
        header.check_body(body)?;
        Ok(header)
    }

    #[test]
    fn round_trip() {
        let (header, table, _) = sample();
        let bytes = encoded();
        assert_eq!(bytes.len() as u64, header.frame_len());
        let (back, back_table, checksum) = FrameHeader::decode(&bytes, PLACE).unwrap();
        assert_eq!((back, back_table), (header, &table[..]));
        assert_eq!(checksum, u32_at(&bytes, CHECKSUM_AT));
        assert_eq!(decode_whole(&bytes, PLACE), Ok(header));
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let bytes = encoded();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_whole(&flipped, PLACE).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_is_seen() {
        let bytes = encoded();
        for len in 0..bytes.len() {
            assert!(decode_whole(&bytes[..len], PLACE).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn a_frame_is_valid_only_in_its_place() {
        let bytes = encoded();
        assert!(FrameHeader::decode(&bytes, FramePlace { salt: 43, ..PLACE }).is_err());
        assert!(FrameHeader::decode(&bytes, FramePlace { offset: 4104, ..PLACE }).is_err());
        let tight = FramePlace { end_max: 4096 + bytes.len() as u64, ..PLACE };
        assert!(FrameHeader::decode(&bytes, tight).is_ok());
        assert!(FrameHeader::decode(&bytes, FramePlace { end_max: tight.end_max - 8, ..PLACE }).is_err());
    }

    #[test]
    fn lengths_are_bounded_before_they_are_used() {
        for (at, value) in [(8, u64::from(u32::MAX)), (16, u64::MAX - 7), (16, 1 << 40), (48, 4104), (48, 0)]
        {
            let mut bytes = encoded();
            if at == 8 {
                put_u32(&mut bytes, at, value as u32);
            } else {
                put_u64(&mut bytes, at, value);
            }
            let fault = FrameHeader::decode(&bytes, PLACE).unwrap_err();
            assert!(matches!(fault, FrameFault::Invalid(Fault::Length { .. })), "{at} {value}: {fault:?}");
        }
    }

    #[test]
    fn what_only_a_newer_writer_can_have_written_is_refused_and_not_taken_for_torn() {
        for (at, value) in [(4, 5), (5, 1), (64, 1), (31, 0x80)] {
            let mut bytes = encoded();
            bytes[at] = value;
            let raw: &[u8; FRAME_HEADER_BYTES] = bytes.first_chunk().unwrap();
            let table = &bytes[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + 2 * ENTRY_BYTES];
            let checksum = frame_checksum(PLACE.salt, PLACE.offset, raw, table);
            put_u32(&mut bytes, CHECKSUM_AT, checksum);
            assert!(matches!(FrameHeader::decode(&bytes, PLACE), Err(FrameFault::Refused(_))), "byte {at}");
            assert_eq!(
                FrameHeader::batch_at(&PartSums::new(&bytes), 0, PLACE),
                Some((4096, 5)),
                "still a witness"
            );
        }
    }

    #[test]
    fn follows_is_the_rule_of_the_format() {
        let (header, _, _) = sample();
        let chain =
            Chain { checksum: 0xAA, next_position: 10, time: 1000, batch_number: 4, batch_start: 4000 };
        assert_eq!(header.check_follows(4096, &chain), Ok(()));
        let in_batch = Chain { batch_number: 5, batch_start: 4096, ..chain };
        assert_eq!(header.check_follows(5000, &in_batch), Ok(()), "a later frame of the same batch");
        for (what, wrong) in [
            ("checksum", Chain { checksum: 1, ..chain }),
            ("position", Chain { next_position: 11, ..chain }),
            ("time", Chain { time: 1001, ..chain }),
            ("batch number", Chain { batch_number: 6, ..chain }),
            ("batch number again", Chain { batch_number: 5, ..chain }),
        ] {
            assert!(header.check_follows(4096, &wrong).is_err(), "{what}");
        }
        assert!(header.check_follows(5000, &chain).is_err(), "a new batch must start at itself");
    }
}
