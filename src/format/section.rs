//! Sections: what one frame says about one stream, kept value or the log (FORMAT.md sections 3.1, 3.2 and 6).
//!
//! Owns the section table, the id block and the control records. Events themselves are `record.rs`.

use super::bytes::{
    at_most, crc32, crc32_of, expect, expect_checksum, is_zero, pad, padded, put_u16, put_u32, put_u64, same,
    u16_at, u32_at, u64_at,
};
use super::{ATTRIBUTES_BYTES_MAX, KEPT_BYTES_MAX, NAME_BYTES_MAX};
use crate::error::Fault;

pub(crate) const ENTRY_BYTES: usize = 24;
const ID_BLOCK_HEAD: usize = 4;
const CONTROL_HEAD: usize = 8;
const CARRY_STREAM_BYTES: usize = 40;
const LOG_STARTS_AT_BYTES: usize = 16;

/// FORMAT.md section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SectionKind {
    Events = 1,
    Create = 2,
    Tombstone = 3,
    TruncateBefore = 4,
    Keep = 5,
    Unkeep = 6,
    CarryStream = 7,
    CarryKept = 8,
    LogStartsAt = 9,
}

impl SectionKind {
    /// Whether it is about a kept value; all others are about a stream, or about the log.
    pub(crate) fn is_kept(self) -> bool {
        matches!(self, SectionKind::Keep | SectionKind::Unkeep | SectionKind::CarryKept)
    }

    fn decode(raw: u8) -> Result<Self, Fault> {
        Ok(match raw {
            1 => SectionKind::Events,
            2 => SectionKind::Create,
            3 => SectionKind::Tombstone,
            4 => SectionKind::TruncateBefore,
            5 => SectionKind::Keep,
            6 => SectionKind::Unkeep,
            7 => SectionKind::CarryStream,
            8 => SectionKind::CarryKept,
            9 => SectionKind::LogStartsAt,
            other => return Err(Fault::Kind { what: "section", found: u64::from(other) }),
        })
    }
}

/// One entry of the section table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SectionEntry {
    /// First version, or the number that FORMAT.md section 6 gives for the kind.
    pub(crate) number: u64,
    pub(crate) events: u32,
    pub(crate) len: u32,
    pub(crate) id_checksum: u32,
    pub(crate) kind: SectionKind,
}

impl SectionEntry {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut raw = [0; ENTRY_BYTES];
        put_u64(&mut raw, 0, self.number);
        put_u32(&mut raw, 8, self.events);
        put_u32(&mut raw, 12, self.len);
        put_u32(&mut raw, 16, self.id_checksum);
        raw[20] = self.kind as u8;
        out.extend_from_slice(&raw);
    }

    #[inline]
    pub(crate) fn decode(raw: &[u8; ENTRY_BYTES]) -> Result<Self, Fault> {
        let entry = SectionEntry {
            number: u64_at(raw, 0),
            events: u32_at(raw, 8),
            len: u32_at(raw, 12),
            id_checksum: u32_at(raw, 16),
            kind: SectionKind::decode(raw[20])?,
        };
        expect("zeros of the section entry", 1, u64::from(is_zero(&raw[21..24])))?;
        expect("section length modulo 8", 0, u64::from(entry.len % 8))?;
        at_most("version or number", crate::types::NUMBER_MAX, entry.number)?;
        if matches!(entry.kind, SectionKind::Create | SectionKind::LogStartsAt) {
            expect("number of a section that has none", 0, entry.number)?;
        }
        expect(
            "whether a section has events",
            u64::from(entry.kind == SectionKind::Events),
            u64::from(entry.events > 0),
        )?;
        Ok(entry)
    }
}

/// Who a section is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdBlock<'a> {
    pub(crate) id: &'a str,
    /// Empty if the append named none.
    pub(crate) tenant: &'a str,
}

impl<'a> IdBlock<'a> {
    /// Appends the block to `out`; returns the checksum for the section entry. Lengths were checked by the caller.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> u32 {
        let start = out.len();
        let mut head = [0; ID_BLOCK_HEAD];
        put_u16(&mut head, 0, self.id.len() as u16);
        put_u16(&mut head, 2, self.tenant.len() as u16);
        out.extend_from_slice(&head);
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(self.tenant.as_bytes());
        let checksum = crc32(&out[start..]);
        pad(out, start);
        checksum
    }

    /// The block at the start of a section, checked against the section entry, and the length it takes.
    pub(crate) fn decode(section: &'a [u8], entry: &SectionEntry) -> Result<(Self, usize), Fault> {
        let outside =
            |found: usize| Fault::Length { what: "id block", found: found as u64, max: section.len() as u64 };
        let head: &[u8; ID_BLOCK_HEAD] = section.first_chunk().ok_or_else(|| outside(ID_BLOCK_HEAD))?;
        let (id_len, tenant_len) = (usize::from(u16_at(head, 0)), usize::from(u16_at(head, 2)));
        at_most("length of an id", NAME_BYTES_MAX as u64, id_len as u64)?;
        at_most("length of a tenant", NAME_BYTES_MAX as u64, tenant_len as u64)?;
        let end = ID_BLOCK_HEAD + id_len + tenant_len;
        let used = section.get(..padded(end)).ok_or_else(|| outside(padded(end)))?;
        expect_checksum("id block", crc32(&used[..end]), entry.id_checksum)?;
        expect("padding of the id block", 1, u64::from(is_zero(&used[end..])))?;
        expect(
            "whether an id is empty",
            u64::from(entry.kind == SectionKind::LogStartsAt),
            u64::from(id_len == 0),
        )?;
        let text = |bytes: &'a [u8], what| std::str::from_utf8(bytes).map_err(|_| Fault::Utf8 { what });
        let id = text(&used[ID_BLOCK_HEAD..ID_BLOCK_HEAD + id_len], "id")?;
        let tenant = text(&used[ID_BLOCK_HEAD + id_len..end], "tenant")?;
        Ok((IdBlock { id, tenant }, used.len()))
    }

    /// The checksum of the block of a stream that is bound to no tenant.
    pub(crate) fn plain_sum(id: &str) -> u32 {
        let mut head = [0; ID_BLOCK_HEAD];
        put_u16(&mut head, 0, id.len() as u16);
        crc32_of([&head, id.as_bytes()])
    }

    /// Whether the block at the start of a section is that of this stream; the length it takes. For readers who know
    /// the id, and with it `plain_sum`: comparing it byte by byte is a better check than its checksum, which is compared for the
    /// sake of the lengths.
    #[inline]
    pub(crate) fn matches(section: &[u8], id: &str, plain_sum: u32, checksum: u32) -> Result<usize, Fault> {
        let outside =
            |found: usize| Fault::Length { what: "id block", found: found as u64, max: section.len() as u64 };
        let head: &[u8; ID_BLOCK_HEAD] = section.first_chunk().ok_or_else(|| outside(ID_BLOCK_HEAD))?;
        let (id_len, tenant_len) = (usize::from(u16_at(head, 0)), usize::from(u16_at(head, 2)));
        let end = ID_BLOCK_HEAD + id_len + tenant_len;
        let used = padded(end);
        at_most("id block", section.len() as u64, used as u64)?;
        let is_it = same(&section[Self::id_range(id_len)], id.as_bytes());
        expect("whether the section is of this stream", 1, u64::from(is_it))?;
        let sum = if tenant_len == 0 { plain_sum } else { crc32(&section[..end]) };
        expect_checksum("id block", sum, checksum)?;
        Ok(used)
    }

    /// Length of the block at the start of a section that this process encoded.
    pub(crate) fn skip(section: &[u8]) -> usize {
        let at = |at| section.get(at..at + 2).map_or(0, |raw| usize::from(u16_at(raw, 0)));
        padded(ID_BLOCK_HEAD + at(0) + at(2))
    }

    /// Where the id stands in a section.
    pub(crate) fn id_range(id_len: usize) -> std::ops::Range<usize> {
        ID_BLOCK_HEAD..ID_BLOCK_HEAD + id_len
    }

    /// Length of the encoded block.
    pub(crate) fn encoded_len(&self) -> usize {
        padded(ID_BLOCK_HEAD + self.id.len() + self.tenant.len())
    }
}

/// A control record: the body of every section that is not of kind `Events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control<'a> {
    Create { attributes: &'a [u8] },
    Tombstone,
    TruncateBefore,
    Keep { value: &'a [u8] },
    Unkeep,
    CarryStream(CarriedStream<'a>),
    CarryKept { value: &'a [u8] },
    LogStartsAt { ordinal: u64, position: u64 },
}

/// The whole state of a stream, carried out of a segment that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CarriedStream<'a> {
    pub(crate) first_kept: u64,
    pub(crate) created: u64,
    pub(crate) last_append: u64,
    pub(crate) creation_ordinal: u64,
    pub(crate) tombstoned: bool,
    pub(crate) attributes: &'a [u8],
}

impl<'a> Control<'a> {
    pub(crate) fn kind(&self) -> SectionKind {
        match self {
            Control::Create { .. } => SectionKind::Create,
            Control::Tombstone => SectionKind::Tombstone,
            Control::TruncateBefore => SectionKind::TruncateBefore,
            Control::Keep { .. } => SectionKind::Keep,
            Control::Unkeep => SectionKind::Unkeep,
            Control::CarryStream(_) => SectionKind::CarryStream,
            Control::CarryKept { .. } => SectionKind::CarryKept,
            Control::LogStartsAt { .. } => SectionKind::LogStartsAt,
        }
    }

    /// Appends the record, checksum first.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + CONTROL_HEAD, 0);
        match self {
            Control::Create { attributes } => out.extend_from_slice(attributes),
            Control::Keep { value } | Control::CarryKept { value } => out.extend_from_slice(value),
            Control::Tombstone | Control::TruncateBefore | Control::Unkeep => {}
            Control::CarryStream(stream) => {
                let mut raw = [0; CARRY_STREAM_BYTES];
                put_u64(&mut raw, 0, stream.first_kept);
                put_u64(&mut raw, 8, stream.created);
                put_u64(&mut raw, 16, stream.last_append);
                put_u64(&mut raw, 24, stream.creation_ordinal);
                put_u32(&mut raw, 32, u32::from(stream.tombstoned));
                put_u32(&mut raw, 36, stream.attributes.len() as u32);
                out.extend_from_slice(&raw);
                out.extend_from_slice(stream.attributes);
            }
            Control::LogStartsAt { ordinal, position } => {
                let mut raw = [0; LOG_STARTS_AT_BYTES];
                put_u64(&mut raw, 0, *ordinal);
                put_u64(&mut raw, 8, *position);
                out.extend_from_slice(&raw);
            }
        }
        let content = out.len() - start - CONTROL_HEAD;
        put_u32(out, start + 4, content as u32);
        pad(out, start);
        let checksum = crc32(&out[start + 4..]);
        put_u32(out, start, checksum);
    }

    /// The record that fills `bytes` (a section behind its id block) exactly.
    pub(crate) fn decode(kind: SectionKind, bytes: &'a [u8]) -> Result<Self, Fault> {
        let what = "control record";
        let outside = |found: usize| Fault::Length { what, found: found as u64, max: bytes.len() as u64 };
        let head: &[u8; CONTROL_HEAD] = bytes.first_chunk().ok_or_else(|| outside(CONTROL_HEAD))?;
        expect_checksum(what, crc32(&bytes[4..]), u32_at(head, 0))?;
        let end = (u32_at(head, 4) as usize).saturating_add(CONTROL_HEAD);
        let content = bytes.get(CONTROL_HEAD..end).ok_or_else(|| outside(end))?;
        expect("length of the control record", bytes.len() as u64, padded(end) as u64)?;
        expect("padding of the control record", 1, u64::from(is_zero(&bytes[end..])))?;
        let empty = || expect("length of an empty control record", 0, content.len() as u64);
        let kept = || at_most("length of a kept value", KEPT_BYTES_MAX as u64, content.len() as u64);
        let short = |bytes: &[u8]| {
            at_most("length of the attributes", ATTRIBUTES_BYTES_MAX as u64, bytes.len() as u64)
        };
        Ok(match kind {
            SectionKind::Events => return Err(Fault::Kind { what, found: kind as u64 }),
            SectionKind::Create => {
                short(content)?;
                Control::Create { attributes: content }
            }
            SectionKind::Tombstone => empty().map(|()| Control::Tombstone)?,
            SectionKind::TruncateBefore => empty().map(|()| Control::TruncateBefore)?,
            SectionKind::Unkeep => empty().map(|()| Control::Unkeep)?,
            SectionKind::Keep => kept().map(|()| Control::Keep { value: content })?,
            SectionKind::CarryKept => kept().map(|()| Control::CarryKept { value: content })?,
            SectionKind::CarryStream => {
                let (raw, attributes) = content
                    .split_first_chunk::<CARRY_STREAM_BYTES>()
                    .ok_or_else(|| outside(CARRY_STREAM_BYTES))?;
                short(attributes)?;
                expect("length of the attributes", attributes.len() as u64, u64::from(u32_at(raw, 36)))?;
                at_most("flags of a carried stream", 1, u64::from(u32_at(raw, 32)))?;
                at_most("first kept version", crate::types::NUMBER_MAX, u64_at(raw, 0))?;
                at_most("creation ordinal", crate::types::NUMBER_MAX, u64_at(raw, 24))?;
                Control::CarryStream(CarriedStream {
                    first_kept: u64_at(raw, 0),
                    created: u64_at(raw, 8),
                    last_append: u64_at(raw, 16),
                    creation_ordinal: u64_at(raw, 24),
                    tombstoned: u32_at(raw, 32) == 1,
                    attributes,
                })
            }
            SectionKind::LogStartsAt => {
                expect("length of log-starts-at", LOG_STARTS_AT_BYTES as u64, content.len() as u64)?;
                Control::LogStartsAt { ordinal: u64_at(content, 0), position: u64_at(content, 8) }
            }
        })
    }
}

/// A section's entry, its offset in the body, and its bytes.
pub(crate) type Section<'a> = (SectionEntry, usize, &'a [u8]);

/// Walks a section table beside its body: entries, each with its own bytes. Lengths and counts are summed and
/// bounded as it goes; whether they fill the frame exactly is told by the last item.
pub(crate) struct Sections<'a> {
    table: &'a [u8],
    body: &'a [u8],
    /// Offset of the next section in the body.
    at: usize,
    events_left: u32,
    failed: bool,
}

impl<'a> Sections<'a> {
    pub(crate) fn new(table: &'a [u8], body: &'a [u8], events: u32) -> Self {
        Sections { table, body, at: 0, events_left: events, failed: false }
    }

    fn step(&mut self) -> Result<Option<Section<'a>>, Fault> {
        let Some((raw, rest)) = self.table.split_first_chunk::<ENTRY_BYTES>() else {
            expect("sum of the section lengths", self.body.len() as u64, self.at as u64)?;
            expect("events left after the last section", 0, u64::from(self.events_left))?;
            return Ok(None);
        };
        self.table = rest;
        let entry = SectionEntry::decode(raw)?;
        let left = self.body.len() - self.at;
        at_most("length of a section", left as u64, u64::from(entry.len))?;
        at_most("events of a section", u64::from(self.events_left), u64::from(entry.events))?;
        self.events_left -= entry.events;
        let at = self.at;
        self.at += entry.len as usize;
        Ok(Some((entry, at, &self.body[at..self.at])))
    }
}

impl<'a> Iterator for Sections<'a> {
    type Item = Result<Section<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step().transpose();
        self.failed = !matches!(step, Some(Ok(_)));
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_control() -> Vec<Control<'static>> {
        vec![
            Control::Create { attributes: b"attributes" },
            Control::Create { attributes: b"" },
            Control::Tombstone,
            Control::TruncateBefore,
            Control::Keep { value: b"the value" },
            Control::Unkeep,
            Control::CarryStream(CarriedStream {
                first_kept: 5,
                created: 6,
                last_append: 7,
                creation_ordinal: 8,
                tombstoned: true,
                attributes: b"abc",
            }),
            Control::CarryKept { value: b"" },
            Control::LogStartsAt { ordinal: 4, position: 77 },
        ]
    }

    #[test]
    fn every_control_record_round_trips_and_sees_every_flipped_bit() {
        for control in every_control() {
            let mut bytes = Vec::new();
            control.encode(&mut bytes);
            assert_eq!(bytes.len() % 8, 0);
            assert_eq!(Control::decode(control.kind(), &bytes), Ok(control));
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(Control::decode(control.kind(), &flipped).is_err(), "{control:?} bit {bit}");
            }
            for len in 0..bytes.len() {
                assert!(Control::decode(control.kind(), &bytes[..len]).is_err(), "{control:?} cut {len}");
            }
        }
    }

    fn entry(kind: SectionKind, events: u32, len: u32, id_checksum: u32) -> SectionEntry {
        SectionEntry { number: 1, events, len, id_checksum, kind }
    }

    #[test]
    fn entries_round_trip_and_unknown_kinds_are_named() {
        let good = entry(SectionKind::Events, 3, 64, 0xFEED);
        let mut bytes = Vec::new();
        good.encode(&mut bytes);
        let mut raw: [u8; ENTRY_BYTES] = bytes.try_into().unwrap();
        assert_eq!(SectionEntry::decode(&raw), Ok(good));
        raw[20] = 10;
        assert_eq!(SectionEntry::decode(&raw), Err(Fault::Kind { what: "section", found: 10 }));
        raw[20] = 3;
        assert!(SectionEntry::decode(&raw).is_err(), "a control section has no events");
        raw[20] = 1;
        raw[23] = 1;
        assert!(SectionEntry::decode(&raw).is_err(), "zeros are checked");
    }

    #[test]
    fn id_blocks_round_trip_and_see_every_flipped_bit() {
        for (id, tenant) in [("k", ""), ("k/0000000000000001", "tenant"), ("nul\0/", "x"), ("ü", "ö")] {
            let block = IdBlock { id, tenant };
            let mut bytes = Vec::new();
            let checksum = block.encode(&mut bytes);
            assert_eq!(bytes.len(), block.encoded_len());
            let entry = entry(SectionKind::Events, 1, bytes.len() as u32, checksum);
            assert_eq!(IdBlock::decode(&bytes, &entry), Ok((block, bytes.len())));
            let matches = |bytes: &[u8], checksum| {
                IdBlock::matches(bytes, id, IdBlock::plain_sum(id), checksum)
                    .is_ok_and(|len| len == bytes.len())
            };
            assert!(matches(&bytes, checksum) && !matches(&bytes, checksum ^ 1));
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(IdBlock::decode(&flipped, &entry).is_err(), "{id} bit {bit}");
                // Who knows the id does not look at what it is filled up with.
                let is_filling = bit / 8 >= ID_BLOCK_HEAD + id.len() + tenant.len();
                assert_eq!(matches(&flipped, checksum), is_filling, "{id} bit {bit}");
            }
        }
    }

    #[test]
    fn sections_must_fill_the_body_and_the_event_count() {
        let table = |lens: &[(u32, u32)]| {
            let mut out = Vec::new();
            for (events, len) in lens {
                entry(SectionKind::Events, *events, *len, 0).encode(&mut out);
            }
            out
        };
        let body = [0; 48];
        let ok = |t: &[u8], events| {
            let places = Sections::new(t, &body, events).map(|s| s.map(|(_, at, bytes)| (at, bytes.len())));
            places.collect::<Result<Vec<_>, _>>()
        };
        assert_eq!(ok(&table(&[(1, 16), (2, 32)]), 3).unwrap(), [(0, 16), (16, 32)]);
        assert!(ok(&table(&[(1, 16), (2, 24)]), 3).is_err(), "body not filled");
        assert!(ok(&table(&[(1, 16), (2, 40)]), 3).is_err(), "beyond the body");
        assert!(ok(&table(&[(1, 16), (2, 32)]), 4).is_err(), "too few events");
        assert!(ok(&table(&[(1, 16), (2, 32)]), 2).is_err(), "too many events");
    }
}
