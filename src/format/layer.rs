//! The head of an index file: which range of the log it covers, and where its parts stand (FORMAT.md section 13).
//!
//! Owns that page. The parts are `cell.rs` and `row.rs`.

use super::bytes::{at_most, expect, is_zero, put_u16, put_u32, put_u64, u16_at, u32_at, u64_at};
use super::cell::{BUCKET_BYTES, CELL_BYTES, checksum};
use super::frame::Chain;
use super::segment::uuid_at;
use super::{FIRST_FRAME, PAGE_BYTES};
use crate::error::Fault;
use crate::types::{Location, NUMBER_MAX};
use uuid::Uuid;

pub(crate) const LAYER_MAGIC: [u8; 8] = *b"ANNALIDX";
pub(crate) const LAYER_VERSION: u16 = 1;
const PARTS_AT: usize = 192;
const PART_BYTES: usize = 24;
const PARTS_END: usize = PARTS_AT + PARTS * PART_BYTES;
const CHECKSUM_AT: usize = PAGE_BYTES - 8;

/// The parts of an index file, in the order in which the head lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Cells of marks, in log order.
    Marks,
    /// Rows of streams, in the order of their ids; all that the range says anything about.
    Streams,
    /// Buckets over the rows of streams.
    StreamBuckets,
    /// Cells of places of the rows of streams that were registered in the range, in the order of their ids.
    StreamOrder,
    /// Cells of runs, stream by stream in the order of the rows, each in the order of versions.
    Runs,
    /// Rows of kept values, in the order of their names; all that the range says anything about.
    Kept,
    /// Buckets over the rows of kept values.
    KeptBuckets,
    /// Cells of places of the rows of kept values, in the order of their names.
    KeptOrder,
    /// Rows of tenants, in the order of their names; all that a row of a stream names.
    Tenants,
    /// Cells of places of the rows of tenants, in the order of their names.
    TenantOrder,
    /// Cells of bindings, tenant by tenant in the order of the rows, each in the order of creation.
    Bindings,
    /// Cells of checksums of the frames of the last segment, if the range ends before that is sealed.
    Frames,
}

/// How many parts there are.
pub(crate) const PARTS: usize = 12;

/// Where a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PartPlace {
    pub(crate) offset: u64,
    /// Bytes that are in use.
    pub(crate) len: u64,
    /// How many rows, buckets, or entries of cells.
    pub(crate) count: u64,
}

/// What an index file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayerHeader {
    pub(crate) log_id: Uuid,
    pub(crate) number: u64,
    pub(crate) salt: u64,
    /// Where the range begins, and where it ends: behind a frame.
    pub(crate) from: Location,
    pub(crate) to: Location,
    /// Salt of the segment in which it ends.
    pub(crate) to_salt: u64,
    /// What the next frame must follow.
    pub(crate) chain: Chain,
    /// First position of the range.
    pub(crate) first_position: u64,
    /// The last revision, the last creation ordinal, and how many kept values there were, at the end of the range.
    pub(crate) last_revision: u64,
    pub(crate) last_creation: u64,
    /// How many frames and events the last segment has up to the end of the range.
    pub(crate) frames: u64,
    pub(crate) events: u64,
    /// Offset of the last of those frames; 0 if there is none, or if the segment is sealed.
    pub(crate) last_frame: u64,
    pub(crate) parts: [PartPlace; PARTS],
}

impl LayerHeader {
    pub(crate) fn part(&self, part: Part) -> PartPlace {
        self.parts[part as usize]
    }

    /// Bytes that are in use.
    pub(crate) fn weight(&self) -> u64 {
        self.parts.iter().map(|part| part.len).sum()
    }

    /// Offset behind the last part.
    pub(crate) fn end(&self) -> u64 {
        let used = self.parts.iter().filter(|part| part.len > 0);
        used.map(|part| part.offset + part.len).max().unwrap_or(0).max(PAGE_BYTES as u64)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; PAGE_BYTES];
        page[0..8].copy_from_slice(&LAYER_MAGIC);
        put_u16(&mut page, 8, LAYER_VERSION);
        page[16..32].copy_from_slice(self.log_id.as_bytes());
        let numbers = [
            self.number,
            self.salt,
            self.from.segment,
            self.from.offset,
            self.to.segment,
            self.to.offset,
            self.to_salt,
            self.chain.next_position,
            self.chain.time,
            self.chain.batch_number,
            self.chain.batch_start,
            self.first_position,
            self.last_revision,
            self.last_creation,
            self.frames,
            self.events,
            self.last_frame,
        ];
        for (i, number) in numbers.into_iter().enumerate() {
            put_u64(&mut page, 32 + i * 8, number);
        }
        put_u32(&mut page, 168, self.chain.checksum);
        for (i, part) in self.parts.iter().enumerate() {
            let at = PARTS_AT + i * PART_BYTES;
            put_u64(&mut page, at, part.offset);
            put_u64(&mut page, at + 8, part.len);
            put_u64(&mut page, at + 16, part.count);
        }
        let sum = checksum(&page[..CHECKSUM_AT], 0, 0);
        put_u64(&mut page, CHECKSUM_AT, sum);
        page
    }

    /// The header, and its checksum, by which a checkpoint knows it.
    pub(crate) fn decode(page: &[u8; PAGE_BYTES]) -> Result<(Self, u64), Fault> {
        let sum = u64_at(page, CHECKSUM_AT);
        super::cell::check("head of an index file", &page[..CHECKSUM_AT], 0, 0, sum)?;
        expect("magic of an index file", 1, u64::from(page[0..8] == LAYER_MAGIC))?;
        expect("version of an index file", u64::from(LAYER_VERSION), u64::from(u16_at(page, 8)))?;
        let zeros = [&page[10..16], &page[172..PARTS_AT], &page[PARTS_END..CHECKSUM_AT]];
        expect("zeros of an index file's head", 1, u64::from(zeros.into_iter().all(is_zero)))?;
        let number = |i: usize| u64_at(page, 32 + i * 8);
        let mut parts = [PartPlace::default(); PARTS];
        for (i, part) in parts.iter_mut().enumerate() {
            let at = PARTS_AT + i * PART_BYTES;
            *part = PartPlace {
                offset: u64_at(page, at),
                len: u64_at(page, at + 8),
                count: u64_at(page, at + 16),
            };
            let end = part.offset.saturating_add(part.len);
            at_most("end of a part of an index file", 1 << 62, end)?;
            // Whatever is counted takes eight bytes at least.
            at_most("count of a part of an index file", part.len / 8, part.count)?;
        }
        let header = LayerHeader {
            log_id: uuid_at(page, 16),
            number: number(0),
            salt: number(1),
            from: Location { segment: number(2), offset: number(3) },
            to: Location { segment: number(4), offset: number(5) },
            to_salt: number(6),
            chain: Chain {
                checksum: u32_at(page, 168),
                next_position: number(7),
                time: number(8),
                batch_number: number(9),
                batch_start: number(10),
            },
            first_position: number(11),
            last_revision: number(12),
            last_creation: number(13),
            frames: number(14),
            events: number(15),
            last_frame: number(16),
            parts,
        };
        // Two of them may be added up.
        let Chain { next_position, batch_number, .. } = header.chain;
        let log =
            [header.from.segment, header.to.segment, header.first_position, next_position, batch_number];
        let own = [header.number, header.last_revision, header.last_creation, header.frames, header.events];
        for number in log.into_iter().chain(own) {
            at_most("number in the head of an index file", NUMBER_MAX + 1, number)?;
        }
        let whole = |part: Part, piece: usize| header.part(part).len.is_multiple_of(piece as u64);
        let cells = [
            Part::Marks,
            Part::StreamOrder,
            Part::Runs,
            Part::KeptOrder,
            Part::TenantOrder,
            Part::Bindings,
            Part::Frames,
        ];
        let pieces = cells.into_iter().all(|part| whole(part, CELL_BYTES))
            && [Part::StreamBuckets, Part::KeptBuckets].into_iter().all(|part| whole(part, BUCKET_BYTES));
        expect("whether the parts of an index file are whole", 1, u64::from(pieces))?;
        let ordered = header.from <= header.to
            && header.from.offset >= FIRST_FRAME
            && header.to.offset >= FIRST_FRAME
            && header.first_position <= header.chain.next_position;
        expect("whether the range of an index file ascends", 1, u64::from(ordered))?;
        Ok((header, sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_every_flipped_bit() {
        let mut parts = [PartPlace::default(); PARTS];
        for (i, part) in parts.iter_mut().enumerate() {
            *part = PartPlace { offset: 4096 * (i as u64 + 1), len: 512 * i as u64, count: i as u64 };
        }
        let header = LayerHeader {
            log_id: Uuid::from_u128(7),
            number: 1,
            salt: 2,
            from: Location { segment: 3, offset: 4096 },
            to: Location { segment: 5, offset: 4104 },
            to_salt: 6,
            chain: Chain { checksum: 7, next_position: 8, time: 9, batch_number: 10, batch_start: 11 },
            first_position: 8,
            last_revision: 13,
            last_creation: 14,
            frames: 15,
            events: 16,
            last_frame: 17,
            parts,
        };
        let page: [u8; PAGE_BYTES] = header.encode().try_into().unwrap();
        let (decoded, sum) = LayerHeader::decode(&page).unwrap();
        assert_eq!((&decoded, sum), (&header, u64_at(&page, CHECKSUM_AT)));
        assert_eq!((header.weight(), header.end()), (512 * 66, 4096 * 12 + 512 * 11));
        for bit in 0..PAGE_BYTES * 8 {
            let mut flipped = page;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(LayerHeader::decode(&flipped).is_err(), "bit {bit}");
        }
        // Numbers that no log has, but for those that only have to be the same, and times.
        for at in [32, 48, 64, 88, 104, 120, 128, 136, 144, 152] {
            let mut forged = page;
            put_u64(&mut forged, at, 1 << 63);
            let sum = checksum(&forged[..CHECKSUM_AT], 0, 0);
            put_u64(&mut forged, CHECKSUM_AT, sum);
            assert!(LayerHeader::decode(&forged).is_err(), "{at}");
        }
    }
}
