//! Rows of an index file: a stream, a kept value or a tenant, with its name (FORMAT.md section 13).
//!
//! Owns their layout. Rows are of different lengths; each begins with its checksum and its length, which is bounded before it is
//! used.

use super::bytes::{at_most, expect, padded, put_u16, put_u32, put_u64, u16_at, u32_at, u64_at};
use super::cell::{check, checksum};
use super::{ATTRIBUTES_BYTES_MAX, NAME_BYTES_MAX};
use crate::error::Fault;

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

    fn name(&self) -> &'a str;
    fn hash(&self) -> u64;
    fn flags(&self) -> u16;
    /// The row with room for its head.
    fn put(&self, out: &mut Vec<u8>);
    /// From a whole row whose checksum is right.
    fn get(raw: &'a [u8]) -> Result<Self, Fault>;
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

/// The length of the row that begins with this head, bounded.
#[inline]
pub(crate) fn row_len(head: &[u8]) -> Result<usize, Fault> {
    let len = u32_at(head, 8) as usize;
    at_most("length of a row", ROW_BYTES_MAX as u64, len as u64)?;
    expect(
        "whether a row is as long as its head",
        1,
        u64::from(len >= ROW_HEAD_BYTES && len.is_multiple_of(8)),
    )?;
    Ok(len)
}

/// A row, from its bytes.
#[inline]
pub(crate) fn decode<'a, R: Row<'a>>(raw: &'a [u8], salt: u64, offset: u64) -> Result<R, Fault> {
    check(R::WHAT, &raw[8..], salt, offset, u64_at(raw, 0))?;
    R::get(raw)
}

/// The name that stands behind `at`, in a row that is long enough.
fn name_at(raw: &[u8], at: usize, more: usize) -> Result<(&str, &[u8]), Fault> {
    let len = u16_at(raw, 12) as usize;
    at_most("length of a name and what follows it", raw.len() as u64, (at + len + more) as u64)?;
    let name = std::str::from_utf8(&raw[at..at + len]).map_err(|_| Fault::Utf8 { what: "name of a row" })?;
    Ok((name, &raw[at + len..at + len + more]))
}

impl<'a> Row<'a> for StreamRow<'a> {
    const WHAT: &'static str = "row of a stream";

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
    fn get(raw: &'a [u8]) -> Result<Self, Fault> {
        at_most("length of a stream's row", raw.len() as u64, STREAM_BYTES as u64)?;
        let (id, attributes) = name_at(raw, STREAM_BYTES, u32_at(raw, 100) as usize)?;
        let flags = u16_at(raw, 14);
        Ok(StreamRow {
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
        })
    }
}

impl<'a> Row<'a> for KeptRow<'a> {
    const WHAT: &'static str = "row of a kept value";

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

    fn get(raw: &'a [u8]) -> Result<Self, Fault> {
        at_most("length of a kept value's row", raw.len() as u64, KEPT_BYTES as u64)?;
        let (name, _) = name_at(raw, KEPT_BYTES, 0)?;
        let flags = u16_at(raw, 14);
        Ok(KeptRow {
            name,
            hash: u64_at(raw, 16),
            has_value: flags & HAS_VALUE != 0,
            had_value: flags & HAD_VALUE != 0,
            revision: u64_at(raw, 24),
            offset: u64_at(raw, 32),
            segment: u32_at(raw, 40),
            len: u32_at(raw, 44),
            id_checksum: u32_at(raw, 48),
        })
    }
}

impl<'a> Row<'a> for TenantRow<'a> {
    const WHAT: &'static str = "row of a tenant";

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

    fn get(raw: &'a [u8]) -> Result<Self, Fault> {
        at_most("length of a tenant's row", raw.len() as u64, TENANT_BYTES as u64)?;
        let (name, _) = name_at(raw, TENANT_BYTES, 0)?;
        Ok(TenantRow {
            name,
            hash: u64_at(raw, 16),
            first_binding: u64_at(raw, 24),
            bindings: u64_at(raw, 32),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comes_back<'a, R: Row<'a> + PartialEq + std::fmt::Debug>(row: &R, raw: &'a mut Vec<u8>) {
        encode(row, 5, 80, raw);
        assert_eq!(row_len(raw), Ok(raw.len()));
        let raw: &'a Vec<u8> = raw;
        assert_eq!(decode::<R>(raw, 5, 80).as_ref(), Ok(row));
        assert!(decode::<R>(raw, 5, 88).is_err(), "in another place");
        for bit in 0..raw.len() * 8 {
            let mut flipped = raw.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Its length may be another one then; the rest is of the right one.
            let flipped: &'a [u8] = flipped.leak();
            let len = row_len(flipped).map_or(0, |len| len.min(flipped.len()));
            assert!(len < ROW_HEAD_BYTES || decode::<R>(&flipped[..len], 5, 80).is_err(), "bit {bit}");
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
    fn lengths_are_bounded_before_they_are_used() {
        let mut raw = Vec::new();
        let (id, attributes) = ("x".repeat(NAME_BYTES_MAX), [7; ATTRIBUTES_BYTES_MAX]);
        let row = StreamRow { id: &id, attributes: &attributes, ..stream_of_nothing() };
        encode(&row, 0, 0, &mut raw);
        assert_eq!((raw.len(), decode::<StreamRow<'_>>(&raw, 0, 0)), (ROW_BYTES_MAX, Ok(row)));
        put_u32(&mut raw, 8, ROW_BYTES_MAX as u32 + 8);
        assert!(row_len(&raw).is_err());
        put_u32(&mut raw, 8, 16);
        assert!(row_len(&raw).is_err());
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
