//! The checkpoint: a witness of where the log was durable (FORMAT.md section 9).
//!
//! Derived, and worth nothing by itself: a page that does not decode is ignored by whoever reads it.

use super::bytes::{expect, is_zero, put_u16, put_u32, put_u64, u16_at, u32_at, u64_at};
use super::segment::{check_page, seal_page, uuid_at};
use super::{FIRST_FRAME, PAGE_BYTES};
use crate::error::Fault;
use crate::types::Location;
use uuid::Uuid;

pub(crate) const CHECKPOINT_MAGIC: [u8; 8] = *b"ANNALCHK";
pub(crate) const CHECKPOINT_VERSION: u16 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) log_id: Uuid,
    /// Where a frame ended, or where the first of the segment begins.
    pub(crate) end: Location,
    pub(crate) salt: u64,
    pub(crate) last_position: u64,
    pub(crate) batch_number: u64,
    /// Frame checksum of the frame that ended there.
    pub(crate) checksum: u32,
}

impl Checkpoint {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; PAGE_BYTES];
        page[0..8].copy_from_slice(&CHECKPOINT_MAGIC);
        put_u16(&mut page, 8, CHECKPOINT_VERSION);
        page[16..32].copy_from_slice(self.log_id.as_bytes());
        put_u64(&mut page, 32, self.end.segment);
        put_u64(&mut page, 40, self.salt);
        put_u64(&mut page, 48, self.end.offset);
        put_u64(&mut page, 56, self.last_position);
        put_u64(&mut page, 64, self.batch_number);
        put_u32(&mut page, 72, self.checksum);
        seal_page(page)
    }

    pub(crate) fn decode(page: &[u8; PAGE_BYTES]) -> Result<Self, Fault> {
        check_page("checkpoint", &CHECKPOINT_MAGIC, page)?;
        expect("checkpoint version", u64::from(CHECKPOINT_VERSION), u64::from(u16_at(page, 8)))?;
        expect("zeros of the checkpoint", 1, u64::from(is_zero(&page[76..PAGE_BYTES - 4])))?;
        let end = Location { segment: u64_at(page, 32), offset: u64_at(page, 48) };
        expect(
            "whether the offset is a frame's end",
            1,
            u64::from(end.offset >= FIRST_FRAME && end.offset.is_multiple_of(8)),
        )?;
        Ok(Checkpoint {
            log_id: uuid_at(page, 16),
            end,
            salt: u64_at(page, 40),
            last_position: u64_at(page, 56),
            batch_number: u64_at(page, 64),
            checksum: u32_at(page, 72),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_every_flipped_bit() {
        let checkpoint = Checkpoint {
            log_id: Uuid::from_u128(3),
            end: Location { segment: 2, offset: 8200 },
            salt: 4,
            last_position: 5,
            batch_number: 6,
            checksum: 7,
        };
        let page: [u8; PAGE_BYTES] = checkpoint.encode().try_into().unwrap();
        assert_eq!(Checkpoint::decode(&page), Ok(checkpoint));
        for bit in 0..PAGE_BYTES * 8 {
            let mut flipped = page;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Checkpoint::decode(&flipped).is_err(), "bit {bit}");
        }
    }
}
