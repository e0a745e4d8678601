//! The parts of an index file: cells of entries, buckets of slots, and how each proves itself (FORMAT.md section 13).
//!
//! Owns their layout and their checksums. An index file is mapped and never read whole, so each piece that is looked at carries
//! a checksum of its own, mixed with the file's salt and the piece's place.

use super::bytes::{put_u32, put_u64, u32_at, u64_at};
use crate::error::Fault;
use std::num::NonZeroU32;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A cell: entries of one size, then a checksum.
pub(crate) const CELL_BYTES: usize = 512;
/// A bucket: slots, then a checksum. One line of the processor's cache.
pub(crate) const BUCKET_BYTES: usize = 64;
pub(crate) const BUCKET_SLOTS: usize = 7;
const CHECKSUM_BYTES: usize = 8;

/// The checksum of a piece of an index file at an offset of that file.
#[inline]
pub(crate) fn checksum(content: &[u8], salt: u64, offset: u64) -> u64 {
    xxh3_64_with_seed(content, salt ^ offset)
}

/// Fills in the checksum at the end of a cell or bucket.
pub(crate) fn seal(piece: &mut [u8], salt: u64, offset: u64) {
    let at = piece.len() - CHECKSUM_BYTES;
    let sum = checksum(&piece[..at], salt, offset);
    put_u64(piece, at, sum);
}

/// Whether a checksum is the one of these bytes.
#[inline]
pub(crate) fn check(
    what: &'static str,
    content: &[u8],
    salt: u64,
    offset: u64,
    stored: u64,
) -> Result<(), Fault> {
    let computed = checksum(content, salt, offset);
    if computed == stored {
        return Ok(());
    }
    // Half of it says as much: it is for people.
    Err(Fault::Checksum { what, expected: computed as u32, found: stored as u32 })
}

/// The content of a cell or bucket, if its checksum is right.
#[inline]
pub(crate) fn content<'a>(
    what: &'static str,
    piece: &'a [u8],
    salt: u64,
    offset: u64,
) -> Result<&'a [u8], Fault> {
    let content = &piece[..piece.len() - CHECKSUM_BYTES];
    check(what, content, salt, offset, u64_at(piece, content.len()))?;
    Ok(content)
}

/// What cells are filled with.
pub(crate) trait Entry: Copy {
    const BYTES: usize;
    /// How many stand in a cell.
    const IN_CELL: u64 = ((CELL_BYTES - CHECKSUM_BYTES) / Self::BYTES) as u64;
    const WHAT: &'static str;

    fn put(&self, out: &mut [u8]);
    fn get(raw: &[u8]) -> Self;

    /// The bits of all numbers that readers reckon with: together never more than `NUMBER_MAX`.
    #[inline]
    fn reckoned(&self) -> u64 {
        0
    }
}

/// Consecutive events of one stream in one section of one frame: what an index knows of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first_version: u64,
    pub(crate) first_position: u64,
    pub(crate) time: u64,
    pub(crate) frame_offset: u64,
    pub(crate) segment: u32,
    /// Which entry of the frame's section table.
    pub(crate) section: u32,
    /// From the frame's start to the section's bytes.
    pub(crate) section_at: u32,
    pub(crate) section_len: u32,
    pub(crate) count: u32,
}

impl Run {
    pub(crate) fn last_version(&self) -> u64 {
        self.first_version.saturating_add(u64::from(self.count)).saturating_sub(1)
    }

    pub(crate) fn last_position(&self) -> u64 {
        self.first_position.saturating_add(u64::from(self.count)).saturating_sub(1)
    }
}

impl Entry for Run {
    const BYTES: usize = 48;
    const WHAT: &'static str = "cell of runs";

    fn put(&self, out: &mut [u8]) {
        put_u64(out, 0, self.first_version);
        put_u64(out, 8, self.first_position);
        put_u64(out, 16, self.time);
        // Segments are at most 32 GiB long, and frames begin at multiples of 8.
        put_u32(out, 24, (self.frame_offset / 8) as u32);
        put_u32(out, 28, self.segment);
        put_u32(out, 32, self.section);
        put_u32(out, 36, self.section_at);
        put_u32(out, 40, self.section_len);
        put_u32(out, 44, self.count);
    }

    #[inline]
    fn get(raw: &[u8]) -> Run {
        Run {
            first_version: u64_at(raw, 0),
            first_position: u64_at(raw, 8),
            time: u64_at(raw, 16),
            frame_offset: u64::from(u32_at(raw, 24)) * 8,
            segment: u32_at(raw, 28),
            section: u32_at(raw, 32),
            section_at: u32_at(raw, 36),
            section_len: u32_at(raw, 40),
            count: u32_at(raw, 44),
        }
    }

    #[inline]
    fn reckoned(&self) -> u64 {
        self.first_version | self.first_position
    }
}

/// A frame whose place is known, for readers to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// First position of the frame (or of the next frame with an event).
    pub(crate) position: u64,
    pub(crate) offset: u64,
    pub(crate) segment: u32,
}

impl Entry for Mark {
    const BYTES: usize = 24;
    const WHAT: &'static str = "cell of marks";

    fn put(&self, out: &mut [u8]) {
        put_u64(out, 0, self.position);
        put_u64(out, 8, self.offset);
        put_u32(out, 16, self.segment);
    }

    fn get(raw: &[u8]) -> Mark {
        Mark { position: u64_at(raw, 0), offset: u64_at(raw, 8), segment: u32_at(raw, 16) }
    }

    #[inline]
    fn reckoned(&self) -> u64 {
        self.position | self.offset
    }
}

/// A stream of a tenant, bound to it in the range of the file: in the order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) creation_ordinal: u64,
    /// Hash of the stream's id.
    pub(crate) hash: u64,
}

impl Entry for Binding {
    const BYTES: usize = 16;
    const WHAT: &'static str = "cell of bindings";

    fn put(&self, out: &mut [u8]) {
        put_u64(out, 0, self.creation_ordinal);
        put_u64(out, 8, self.hash);
    }

    fn get(raw: &[u8]) -> Binding {
        Binding { creation_ordinal: u64_at(raw, 0), hash: u64_at(raw, 8) }
    }
}

/// The checksums of one frame of the last segment of the range, for the digest in that segment's footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameSums {
    pub(crate) frame: u32,
    pub(crate) body: u32,
}

impl Entry for FrameSums {
    const BYTES: usize = 8;
    const WHAT: &'static str = "cell of frame checksums";

    fn put(&self, out: &mut [u8]) {
        put_u32(out, 0, self.frame);
        put_u32(out, 4, self.body);
    }

    fn get(raw: &[u8]) -> FrameSums {
        FrameSums { frame: u32_at(raw, 0), body: u32_at(raw, 4) }
    }
}

/// Where a row stands in its part: in the order of the rows' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowAt {
    pub(crate) offset: u64,
}

impl Entry for RowAt {
    const BYTES: usize = 8;
    const WHAT: &'static str = "cell of rows in order";

    fn put(&self, out: &mut [u8]) {
        put_u64(out, 0, self.offset);
    }

    fn get(raw: &[u8]) -> RowAt {
        RowAt { offset: u64_at(raw, 0) }
    }
}

/// The same for a kept value, with the count of the names before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptAt {
    pub(crate) offset: u64,
    /// How many values there are more at the end of the range than before it, of the names before this one.
    pub(crate) balance: i64,
}

impl Entry for KeptAt {
    const BYTES: usize = 16;
    const WHAT: &'static str = "cell of kept values in order";

    fn put(&self, out: &mut [u8]) {
        put_u64(out, 0, self.offset);
        put_u64(out, 8, self.balance as u64);
    }

    fn get(raw: &[u8]) -> KeptAt {
        KeptAt { offset: u64_at(raw, 0), balance: u64_at(raw, 8) as i64 }
    }
}

/// A slot of a bucket: part of a hash, and where the row with that hash stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    tag: u32,
    /// Offset of the row in its part, in units of 8 bytes, plus 1; 0 would be an empty slot.
    place: NonZeroU32,
}

impl Slot {
    /// The largest offset that a slot can name.
    pub(crate) const OFFSET_MAX: u64 = (u32::MAX as u64 - 1) * 8;

    pub(crate) fn new(hash: u64, offset: u64) -> Slot {
        Slot { tag: hash as u32, place: NonZeroU32::MIN.saturating_add((offset / 8) as u32) }
    }

    pub(crate) fn put(&self, out: &mut [u8]) {
        put_u32(out, 0, self.place.get());
        put_u32(out, 4, self.tag);
    }
}

/// What a bucket says of a hash: where the rows stand whose hash may be this one.
#[derive(Debug)]
pub(crate) struct Hits<'a> {
    slots: &'a [u8],
    /// Bits, by number, of the slots that are left to be told of.
    left: u32,
    /// Whether all slots are in use: the next bucket may say more.
    pub(crate) is_full: bool,
}

impl Hits<'_> {
    /// Looks at all slots at once. At the slot that it is, a processor could only guess to stop; a wrong guess costs more than
    /// the other slots, and keeps it from going on with anything until the bucket has come from memory.
    #[inline]
    pub(crate) fn of(bucket: &[u8], hash: u64) -> Hits<'_> {
        let slots = &bucket[..8 * BUCKET_SLOTS];
        let (mut alike, mut used) = (0, 0);
        for at in 0..BUCKET_SLOTS {
            alike |= u32::from(u32_at(slots, 8 * at + 4) == hash as u32) << at;
            used |= u32::from(u32_at(slots, 8 * at) != 0) << at;
        }
        // Those in use come first.
        let first = used.trailing_ones();
        Hits { slots, left: alike & !(u32::MAX << first), is_full: first == BUCKET_SLOTS as u32 }
    }
}

/// The offsets of the rows.
impl Iterator for Hits<'_> {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        if self.left == 0 {
            return None;
        }
        let slot = self.left.trailing_zeros() as usize;
        self.left &= self.left - 1;
        Some(u64::from(u32_at(self.slots, 8 * slot).wrapping_sub(1)) * 8)
    }
}

/// Which bucket of so many a hash is to be looked for first in. The next ones follow, as long as they are full.
#[inline]
pub(crate) fn bucket_of(hash: u64, buckets: u64) -> u64 {
    ((u128::from(hash) * u128::from(buckets)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comes_back<E: Entry + PartialEq + std::fmt::Debug>(entry: E) {
        let mut raw = vec![0; E::BYTES];
        entry.put(&mut raw);
        assert_eq!(E::get(&raw), entry);
        assert!(E::IN_CELL as usize * E::BYTES + CHECKSUM_BYTES <= CELL_BYTES);
    }

    #[test]
    fn entries_come_back() {
        comes_back(Run {
            first_version: 1,
            first_position: 2,
            time: 3,
            frame_offset: (32 << 30) - 8,
            segment: 5,
            section: 6,
            section_at: 7,
            section_len: 8,
            count: 9,
        });
        comes_back(Mark { position: 1, offset: 2, segment: 3 });
        comes_back(Binding { creation_ordinal: 1, hash: u64::MAX });
        comes_back(FrameSums { frame: 1, body: 2 });
        comes_back(RowAt { offset: 8 });
        comes_back(KeptAt { offset: 8, balance: -3 });
    }

    #[test]
    fn a_piece_is_valid_in_its_place_only_and_with_every_bit() {
        let mut cell = [7; CELL_BYTES];
        seal(&mut cell, 11, 4096);
        assert!(content("cell", &cell, 11, 4096).is_ok());
        assert!(content("cell", &cell, 11, 4608).is_err() && content("cell", &cell, 12, 4096).is_err());
        for bit in 0..CELL_BYTES * 8 {
            let mut flipped = cell;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(content("cell", &flipped, 11, 4096).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn slots_are_found_by_their_hash() {
        let mut bucket = [0; BUCKET_BYTES];
        let offsets = |bucket: &[u8], hash| Hits::of(bucket, hash).collect::<Vec<_>>();
        Slot::new(0xAAAA_0000_1111, 0).put(&mut bucket[0..]);
        Slot::new(0xBBBB_0000_2222, Slot::OFFSET_MAX).put(&mut bucket[8..]);
        Slot::new(0xCCCC_0000_1111, 64).put(&mut bucket[16..]);
        assert_eq!(offsets(&bucket, 0x1111), [0, 64]);
        assert_eq!(offsets(&bucket, 0x2222), [Slot::OFFSET_MAX]);
        assert!(offsets(&bucket, 0).is_empty(), "what is not in use is nobody's");
        bucket[8..16].fill(0);
        assert_eq!(offsets(&bucket, 0x1111), [0], "behind an empty slot is nothing");
        let mut full = [0xFF; BUCKET_BYTES];
        assert!(Hits::of(&full, 0).is_full);
        seal(&mut full, 0, 0);
        assert_eq!(offsets(&full, u64::MAX).len(), BUCKET_SLOTS, "the checksum is no slot");
        for empty in 0..BUCKET_SLOTS {
            let mut bucket = full;
            bucket[8 * empty..8 * empty + 4].fill(0);
            assert_eq!((offsets(&bucket, u64::MAX).len(), Hits::of(&bucket, 0).is_full), (empty, false));
        }
        assert_eq!((bucket_of(0, 10), bucket_of(u64::MAX, 10), bucket_of(1 << 63, 10)), (0, 9, 5));
    }
}
