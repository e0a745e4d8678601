//! Little-endian integers at fixed offsets, padding, CRC-32: the only place of the crate that knows byte order.
//!
//! Must never be handed an offset that comes from disk: offsets here are constants of a layout whose length the caller
//! has checked (a violation panics, it does not misread).

use crate::error::Fault;
use crc32fast::Hasher;
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
