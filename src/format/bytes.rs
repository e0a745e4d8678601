//! Little-endian integers at fixed offsets, padding, CRC-32: the only place of the crate that knows byte order.
//!
//! Must never be handed an offset that comes from disk: offsets here are constants of a layout whose length the caller
//! has checked (a violation panics, it does not misread).

use super::PAGE_BYTES;
use crate::error::Fault;
use crc32fast::Hasher;
use std::cell::OnceCell;
use std::ops::Range;
use std::sync::LazyLock;

#[inline]
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let mut raw = [0; 2];
    raw.copy_from_slice(&bytes[at..at + 2]);
    u16::from_le_bytes(raw)
}

#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut raw = [0; 4];
    raw.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(raw)
}

#[inline]
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(raw)
}

#[inline]
pub(crate) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

#[inline]
pub(crate) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[inline]
pub(crate) fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// `len` rounded up to a multiple of 8.
pub(crate) const fn padded(len: usize) -> usize {
    (len + 7) & !7
}

/// Appends zeros until the length of `out`, counted from `start`, is a multiple of 8.
pub(crate) fn pad(out: &mut Vec<u8>, start: usize) {
    let end = start + padded(out.len() - start);
    out.resize(end, 0);
}

/// CRC-32 (IEEE 802.3, as in zlib) of `bytes`.
#[inline]
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    crc32_of([bytes])
}

/// CRC-32 of several pieces, as if they were one.
#[inline]
pub(crate) fn crc32_of<const N: usize>(pieces: [&[u8]; N]) -> u32 {
    // What the processor can do is found out once, not for every event.
    static EMPTY: LazyLock<Hasher> = LazyLock::new(Hasher::new);
    let mut hasher = EMPTY.clone();
    pieces.iter().for_each(|piece| hasher.update(piece));
    hasher.finalize()
}

/// Checksums of parts of some bytes, each for the price of about two pages, however long it is: who looks for something in bytes
/// that anybody may have written must not be made to read most of them again at each place.
pub(crate) struct PartSums<'a> {
    bytes: &'a [u8],
    /// Of all bytes before each page; once a part is asked for that is longer than a page.
    before: OnceCell<Vec<u32>>,
}

impl<'a> PartSums<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> PartSums<'a> {
        PartSums { bytes, before: OnceCell::new() }
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// CRC-32 of `head` and the bytes of `part` behind it, which must be some of these.
    pub(crate) fn of(&self, head: &[u8], part: Range<usize>) -> u32 {
        let (first, end) = (part.start.div_ceil(PAGE_BYTES), part.end / PAGE_BYTES);
        if first >= end {
            return crc32_of([head, &self.bytes[part]]);
        }
        let before = self.before.get_or_init(|| self.sum_pages());
        let mut sum = Hasher::new();
        sum.update(head);
        sum.update(&self.bytes[part.start..first * PAGE_BYTES]);
        // Checksums are linear: what comes before the pages, followed by as many zeros, is taken out of what ends with them.
        let len = ((end - first) * PAGE_BYTES) as u64;
        let mut zeros = Hasher::new_with_initial(before[first]);
        zeros.combine(&Hasher::new_with_initial_len(0, len));
        sum.combine(&Hasher::new_with_initial_len(before[end] ^ zeros.finalize(), len));
        sum.update(&self.bytes[end * PAGE_BYTES..part.end]);
        sum.finalize()
    }

    fn sum_pages(&self) -> Vec<u32> {
        let mut sum = Hasher::new();
        let mut before = vec![0];
        before.extend(self.bytes.chunks_exact(PAGE_BYTES).map(|page| {
            sum.update(page);
            sum.clone().finalize()
        }));
        before
    }
}

/// Whether both are the same: what `==` says, without a call where they are as long as most names.
#[inline]
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    // The first bytes and the last ones of each, which meet in the middle.
    if let (Some(first), Some(last)) = (a.first_chunk::<16>(), a.last_chunk::<16>())
        && a.len() <= 32
    {
        return b.first_chunk() == Some(first) && b.last_chunk() == Some(last);
    }
    if let (Some(first), Some(last)) = (a.first_chunk::<8>(), a.last_chunk::<8>())
        && a.len() <= 16
    {
        return b.first_chunk() == Some(first) && b.last_chunk() == Some(last);
    }
    a == b
}

#[inline]
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Chunks let the compiler compare wide; a tail scan looks at whole segments.
    let (chunks, rest) = bytes.as_chunks::<64>();
    chunks.iter().all(|c| c == &[0; 64]) && rest.iter().all(|b| *b == 0)
}

/// Fails unless `found` is `expected`.
#[inline]
pub(crate) fn expect(what: &'static str, expected: u64, found: u64) -> Result<(), Fault> {
    if expected == found { Ok(()) } else { Err(Fault::Field { what, expected, found }) }
}

/// Fails unless `found` is at most `max`.
#[inline]
pub(crate) fn at_most(what: &'static str, max: u64, found: u64) -> Result<(), Fault> {
    if found <= max { Ok(()) } else { Err(Fault::Length { what, found, max }) }
}

/// Fails unless the checksum stored beside some bytes is the one computed from them.
#[inline]
pub(crate) fn expect_checksum(what: &'static str, computed: u32, stored: u32) -> Result<(), Fault> {
    if computed == stored { Ok(()) } else { Err(Fault::Checksum { what, expected: computed, found: stored }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_is_the_ieee_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn the_same_is_what_equals() {
        for len in 0..40 {
            let bytes: Vec<u8> = (0..len).collect();
            assert!(same(&bytes, &bytes.clone()) && !same(&bytes, &[&bytes[..], &[0]].concat()));
            for at in 0..usize::from(len) {
                let mut other = bytes.clone();
                other[at] ^= 0x10;
                assert!(!same(&bytes, &other), "byte {at} of {len}");
            }
        }
    }

    #[test]
    fn sums_of_parts_are_those_of_their_bytes() {
        let bytes: Vec<u8> =
            (0..5 * 4096 + 100_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let sums = PartSums::new(&bytes);
        let places =
            [0, 1, 72, 4095, 4096, 4097, 8000, 8192, 8193, 12_288, 16_384, 20_479, 20_480, bytes.len()];
        for (head, start) in
            [b"".as_slice(), b"head"].iter().flat_map(|head| places.map(|start| (*head, start)))
        {
            for end in places.into_iter().filter(|end| *end >= start) {
                let whole = [head, &bytes[start..end]].concat();
                assert_eq!(sums.of(head, start..end), crc32(&whole), "{start}..{end}");
            }
        }
    }

    #[test]
    fn padding_reaches_the_next_multiple_of_eight() {
        for (len, want) in [(0, 0), (1, 8), (7, 8), (8, 8), (9, 16)] {
            assert_eq!(padded(len), want);
            let mut out = vec![1; 3 + len];
            pad(&mut out, 3);
            assert_eq!(out.len(), 3 + want);
        }
    }

    #[test]
    fn zero_check_sees_every_byte() {
        let mut bytes = vec![0; 200];
        assert!(is_zero(&bytes) && is_zero(&[]));
        for i in 0..200 {
            bytes[i] = 1;
            assert!(!is_zero(&bytes), "byte {i}");
            bytes[i] = 0;
        }
    }
}
