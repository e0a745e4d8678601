//! Rows of an index file: a stream, a kept value or a tenant, with its name (FORMAT.md section 13).
//!
//! Owns their layout. Rows are of different lengths; each begins with its checksum and its length, which is bounded before it is
//! used.

use super::bytes::{at_most, padded, put_u16, put_u32, put_u64, same, u16_at, u32_at, u64_at};
use super::cell::{check, checksum};
use super::{ATTRIBUTES_BYTES_MAX, NAME_BYTES_MAX};
use crate::error::Fault;
use crate::types::NUMBER_MAX;
use std::ops::Range;

/// What every row begins with: checksum (8), length of the row (4), length of the name (2), flags (2), hash of the name (8).
pub(crate) const ROW_HEAD_BYTES: usize = 24;
const STREAM_BYTES: usize = 104;
const KEPT_BYTES: usize = 56;
const TENANT_BYTES: usize = 40;
/// Longest row, in bytes.
pub(crate) const ROW_BYTES_MAX: usize = padded(STREAM_BYTES + NAME_BYTES_MAX + ATTRIBUTES_BYTES_MAX);

const TOMBSTONED: u16 = 1;
const REGISTERED_HERE: u16 = 2;
const BOUND_HERE: u16 = 4;
const HAS_VALUE: u16 = 1;
const HAD_VALUE: u16 = 2;

/// The whole state of a stream at the end of a range of the log, and its runs in that range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamRow<'a> {
    pub(crate) id: &'a str,
    pub(crate) hash: u64,
    pub(crate) attributes: &'a [u8],
    pub(crate) tombstoned: bool,
    /// Registered in the range.
    pub(crate) registered_here: bool,
    /// Bound to its tenant in the range.
    pub(crate) bound_here: bool,
    /// Which tenant of the file, from 1; 0: none.
    pub(crate) tenant: u32,
    pub(crate) version: u64,
    pub(crate) first_kept: u64,
    pub(crate) created: u64,
    pub(crate) last_append: u64,
    pub(crate) creation_ordinal: u64,
    /// Position of the last event; 0 if there never was one.
    pub(crate) last_position: u64,
    /// The first of its runs in the file, how many there are, and how many there were before.
    pub(crate) first_run: u64,
    pub(crate) runs: u32,
    pub(crate) runs_before: u32,
    /// Version of the first event of those runs.
    pub(crate) first_version: u64,
}

/// Where the value of a name stands at the end of a range of the log, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptRow<'a> {
    pub(crate) name: &'a str,
    pub(crate) hash: u64,
    pub(crate) has_value: bool,
    /// There was a value before the range.
    pub(crate) had_value: bool,
    pub(crate) revision: u64,
    pub(crate) offset: u64,
    pub(crate) segment: u32,
    pub(crate) len: u32,
    pub(crate) id_checksum: u32,
}

/// A tenant, and which bindings of the file are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TenantRow<'a> {
    pub(crate) name: &'a str,
    pub(crate) hash: u64,
    pub(crate) first_binding: u64,
    pub(crate) bindings: u64,
}

/// What a row is, whoever's.
pub(crate) trait Row<'a>: Sized {
    const WHAT: &'static str;
    /// Everything before the name.
    const BYTES: usize;

    fn name(&self) -> &'a str;
    fn hash(&self) -> u64;
    fn flags(&self) -> u16;
    /// The row with room for its head.
    fn put(&self, out: &mut Vec<u8>);
    /// How many bytes follow the name.
    fn attributes_len(raw: &[u8]) -> usize;
    /// The numbers of a row, with its name and what follows that.
    fn get(raw: &[u8], name: &'a str, attributes: &'a [u8]) -> Result<Self, Fault>;
}

/// Appends a row that will stand at an offset of the file.
pub(crate) fn encode<'a, R: Row<'a>>(row: &R, salt: u64, offset: u64, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + ROW_HEAD_BYTES, 0);
    row.put(out);
    super::bytes::pad(out, start);
    let raw = &mut out[start..];
    let len = raw.len() as u32;
    put_u32(raw, 8, len);
    put_u16(raw, 12, row.name().len() as u16);
    put_u16(raw, 14, row.flags());
    put_u64(raw, 16, row.hash());
    let sum = checksum(&raw[8..], salt, offset);
    put_u64(raw, 0, sum);
}

/// The length of the row at the beginning of these bytes, if its checksum is right.
#[inline]
pub(crate) fn sound(raw: &[u8], salt: u64, offset: u64) -> Result<usize, Fault> {
    let len = u32_at(raw, 8) as usize;
    if len < ROW_HEAD_BYTES || len > ROW_BYTES_MAX.min(raw.len()) || !len.is_multiple_of(8) {
        return Err(Fault::Length { what: "length of a row", found: len as u64, max: raw.len() as u64 });
    }
    check("row", &raw[8..len], salt, offset, u64_at(raw, 0))?;
    Ok(len)
}

/// A sound row, from its bytes.
pub(crate) fn decode<'a, R: Row<'a>>(raw: &'a [u8]) -> Result<R, Fault> {
    let (name, attributes) = texts::<R>(raw)?;
    let name = std::str::from_utf8(name).map_err(|_| Fault::Utf8 { what: R::WHAT })?;
    R::get(raw, name, attributes)
}

/// The same, if it is the one with this name.
#[inline]
pub(crate) fn named<'a, R: Row<'a>>(raw: &'a [u8], name: &'a str) -> Result<Option<R>, Fault> {
    let (found, attributes) = texts::<R>(raw)?;
    same(found, name.as_bytes()).then(|| R::get(raw, name, attributes)).transpose()
}

/// Where the name of a row stands in its bytes.
#[inline]
pub(crate) fn name_range<'a, R: Row<'a>>(raw: &[u8]) -> Result<Range<usize>, Fault> {
    places::<R>(raw).map(|(name_end, _)| R::BYTES..name_end)
}

/// The name of a row, and what follows it.
#[inline]
fn texts<'a, R: Row<'a>>(raw: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Fault> {
    let (name_end, end) = places::<R>(raw)?;
    Ok((&raw[R::BYTES..name_end], &raw[name_end..end]))
}

/// Where the name of a row ends, and where what follows it does.
#[inline]
fn places<'a, R: Row<'a>>(raw: &[u8]) -> Result<(usize, usize), Fault> {
    let too_short = |end: usize| Fault::Length { what: R::WHAT, found: end as u64, max: raw.len() as u64 };
    let Some(head) = raw.get(..R::BYTES) else { return Err(too_short(R::BYTES)) };
    let name_end = R::BYTES + usize::from(u16_at(head, 12));
    let end = name_end.saturating_add(R::attributes_len(head));
    if end > raw.len() {
        return Err(too_short(end));
    }
    Ok((name_end, end))
}

/// No number of a log is larger than `NUMBER_MAX`, whose bits are all ones: who reckons with them rests on that.
#[inline]
fn bounded<const N: usize>(what: &'static str, numbers: [u64; N]) -> Result<(), Fault> {
    at_most(what, NUMBER_MAX, numbers.into_iter().fold(0, |all, number| all | number))
}

impl<'a> Row<'a> for StreamRow<'a> {
    const WHAT: &'static str = "row of a stream";
    const BYTES: usize = STREAM_BYTES;

    fn name(&self) -> &'a str {
        self.id
    }

    fn hash(&self) -> u64 {
        self.hash
    }

    fn flags(&self) -> u16 {
        let flag = |is, flag| if is { flag } else { 0 };
        flag(self.tombstoned, TOMBSTONED)
            | flag(self.registered_here, REGISTERED_HERE)
            | flag(self.bound_here, BOUND_HERE)
    }

    fn put(&self, out: &mut Vec<u8>) {
        let numbers = [
            self.version,
            self.first_kept,
            self.created,
            self.last_append,
            self.creation_ordinal,
            self.last_position,
            self.first_run,
            self.first_version,
        ];
        out.extend(numbers.into_iter().flat_map(u64::to_le_bytes));
        let small = [self.runs, self.runs_before, self.tenant, self.attributes.len() as u32];
        out.extend(small.into_iter().flat_map(u32::to_le_bytes));
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(self.attributes);
    }

    #[inline]
    fn attributes_len(raw: &[u8]) -> usize {
        u32_at(raw, 100) as usize
    }

    #[inline]
    fn get(raw: &[u8], id: &'a str, attributes: &'a [u8]) -> Result<Self, Fault> {
        let flags = u16_at(raw, 14);
        let row = StreamRow {
            id,
            hash: u64_at(raw, 16),
            attributes,
            tombstoned: flags & TOMBSTONED != 0,
            registered_here: flags & REGISTERED_HERE != 0,
            bound_here: flags & BOUND_HERE != 0,
            version: u64_at(raw, 24),
            first_kept: u64_at(raw, 32),
            created: u64_at(raw, 40),
            last_append: u64_at(raw, 48),
            creation_ordinal: u64_at(raw, 56),
            last_position: u64_at(raw, 64),
            first_run: u64_at(raw, 72),
            first_version: u64_at(raw, 80),
            runs: u32_at(raw, 88),
            runs_before: u32_at(raw, 92),
            tenant: u32_at(raw, 96),
        };
        let StreamRow { version, first_kept, first_version, .. } = row;
        bounded(Self::WHAT, [version, first_kept, first_version, row.first_run])?;
        bounded(Self::WHAT, [row.creation_ordinal, row.last_position])?;
        Ok(row)
    }
}

impl<'a> Row<'a> for KeptRow<'a> {
    const WHAT: &'static str = "row of a kept value";
    const BYTES: usize = KEPT_BYTES;

    fn name(&self) -> &'a str {
        self.name
    }

    fn hash(&self) -> u64 {
        self.hash
    }

    fn flags(&self) -> u16 {
        (if self.has_value { HAS_VALUE } else { 0 }) | (if self.had_value { HAD_VALUE } else { 0 })
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend([self.revision, self.offset].into_iter().flat_map(u64::to_le_bytes));
        let small = [self.segment, self.len, self.id_checksum, 0];
        out.extend(small.into_iter().flat_map(u32::to_le_bytes));
        out.extend_from_slice(self.name.as_bytes());
    }

    fn attributes_len(_: &[u8]) -> usize {
        0
    }

    fn get(raw: &[u8], name: &'a str, _: &'a [u8]) -> Result<Self, Fault> {
        let flags = u16_at(raw, 14);
        let row = KeptRow {
            name,
            hash: u64_at(raw, 16),
            has_value: flags & HAS_VALUE != 0,
            had_value: flags & HAD_VALUE != 0,
            revision: u64_at(raw, 24),
            offset: u64_at(raw, 32),
            segment: u32_at(raw, 40),
            len: u32_at(raw, 44),
            id_checksum: u32_at(raw, 48),
        };
        bounded(Self::WHAT, [row.revision, row.offset])?;
        Ok(row)
    }
}

impl<'a> Row<'a> for TenantRow<'a> {
    const WHAT: &'static str = "row of a tenant";
    const BYTES: usize = TENANT_BYTES;

    fn name(&self) -> &'a str {
        self.name
    }

    fn hash(&self) -> u64 {
        self.hash
    }

    fn flags(&self) -> u16 {
        0
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend([self.first_binding, self.bindings].into_iter().flat_map(u64::to_le_bytes));
        out.extend_from_slice(self.name.as_bytes());
    }

    fn attributes_len(_: &[u8]) -> usize {
        0
    }

    fn get(raw: &[u8], name: &'a str, _: &'a [u8]) -> Result<Self, Fault> {
        let (first_binding, bindings) = (u64_at(raw, 24), u64_at(raw, 32));
        bounded(Self::WHAT, [first_binding, bindings])?;
        Ok(TenantRow { name, hash: u64_at(raw, 16), first_binding, bindings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comes_back<'a, R: Row<'a> + PartialEq + std::fmt::Debug>(row: &R, raw: &'a mut Vec<u8>) {
        encode(row, 5, 80, raw);
        assert_eq!(sound(raw, 5, 80), Ok(raw.len()));
        assert!(sound(raw, 5, 88).is_err(), "in another place");
        for bit in 0..raw.len() * 8 {
            let mut flipped = raw.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(sound(&flipped, 5, 80).is_err(), "bit {bit}");
        }
        let raw: &'a Vec<u8> = raw;
        assert_eq!(decode::<R>(raw).as_ref(), Ok(row));
        assert_eq!(named::<R>(raw, row.name()).unwrap().as_ref(), Some(row));
        assert_eq!(named::<R>(raw, "another"), Ok(None));
        for len in 0..R::BYTES + row.name().len() {
            assert!(decode::<R>(&raw[..len]).is_err() && named::<R>(&raw[..len], row.name()).is_err());
        }
    }

    #[test]
    fn rows_come_back_and_show_every_flipped_bit() {
        let row = StreamRow {
            id: "order-1",
            hash: 1,
            attributes: b"abc",
            tombstoned: true,
            registered_here: false,
            bound_here: true,
            tenant: 2,
            version: 3,
            first_kept: 4,
            created: 5,
            last_append: 6,
            creation_ordinal: 7,
            last_position: 8,
            first_run: 9,
            runs: 10,
            runs_before: 11,
            first_version: 12,
        };
        comes_back(&row, &mut Vec::new());
        let row = KeptRow {
            name: "a/b",
            hash: 1,
            has_value: true,
            had_value: false,
            revision: 2,
            offset: 3,
            segment: 4,
            len: 5,
            id_checksum: 6,
        };
        comes_back(&row, &mut Vec::new());
        comes_back(&TenantRow { name: "shop", hash: 1, first_binding: 2, bindings: 3 }, &mut Vec::new());
    }

    #[test]
    fn numbers_that_no_log_has_are_refused() {
        let refused = |at: usize, row: &[u8], name: &str| {
            let mut raw = row.to_vec();
            put_u64(&mut raw, at, NUMBER_MAX);
            let most = decode::<StreamRow<'_>>(&raw).is_err() || named::<StreamRow<'_>>(&raw, name).is_err();
            put_u64(&mut raw, at, NUMBER_MAX + 1);
            let more = [decode::<StreamRow<'_>>(&raw).is_err(), named::<StreamRow<'_>>(&raw, name).is_err()];
            (most, more)
        };
        let mut raw = Vec::new();
        encode(&StreamRow { id: "a", ..stream_of_nothing() }, 0, 0, &mut raw);
        // But for the times.
        for at in [24, 32, 56, 64, 72, 80] {
            assert_eq!(refused(at, &raw, "a"), (false, [true, true]), "{at}");
        }
        let mut raw = [0; TENANT_BYTES];
        assert!(decode::<TenantRow<'_>>(&raw).is_ok());
        put_u64(&mut raw, 32, NUMBER_MAX + 1);
        assert!(decode::<TenantRow<'_>>(&raw).is_err());
        let mut raw = [0; KEPT_BYTES];
        put_u64(&mut raw, 24, 1 << 63);
        assert!(decode::<KeptRow<'_>>(&raw).is_err());
    }

    #[test]
    fn lengths_are_bounded_before_they_are_used() {
        let mut raw = Vec::new();
        let (id, attributes) = ("x".repeat(NAME_BYTES_MAX), [7; ATTRIBUTES_BYTES_MAX]);
        let row = StreamRow { id: &id, attributes: &attributes, ..stream_of_nothing() };
        encode(&row, 0, 0, &mut raw);
        assert_eq!((sound(&raw, 0, 0), decode(&raw)), (Ok(ROW_BYTES_MAX), Ok(row)));
        raw.resize(ROW_BYTES_MAX + 8, 0);
        // With the checksum that belongs to it, as far as there are bytes.
        for len in [0, 8, 16, 25, ROW_BYTES_MAX - 1, ROW_BYTES_MAX + 8, u32::MAX as usize] {
            put_u32(&mut raw, 8, len as u32);
            let sum = checksum(&raw[8..len.clamp(8, raw.len())], 0, 0);
            put_u64(&mut raw, 0, sum);
            assert!(sound(&raw, 0, 0).is_err(), "{len}");
        }
        assert!(sound(&raw[..ROW_HEAD_BYTES], 0, 0).is_err());
    }

    fn stream_of_nothing<'a>() -> StreamRow<'a> {
        StreamRow {
            id: "",
            hash: 0,
            attributes: &[],
            tombstoned: false,
            registered_here: false,
            bound_here: false,
            tenant: 0,
            version: 0,
            first_kept: 1,
            created: 0,
            last_append: 0,
            creation_ordinal: 0,
            last_position: 0,
            first_run: 0,
            runs: 0,
            runs_before: 0,
            first_version: 0,
        }
    }
}
