//! The checkpoint: a witness of where the log was durable (FORMAT.md section 9).
//!
//! Derived, and worth nothing by itself: a page that does not decode is ignored by whoever reads it.

use super::bytes::{at_most, expect, is_zero, put_u16, put_u32, put_u64, u16_at, u32_at, u64_at};
use super::segment::{check_page, seal_page, uuid_at};
use super::{FIRST_FRAME, PAGE_BYTES};
use crate::error::Fault;
use crate::types::Location;
use uuid::Uuid;

pub(crate) const CHECKPOINT_MAGIC: [u8; 8] = *b"ANNALCHK";
pub(crate) const CHECKPOINT_VERSION: u16 = 2;
/// The version before: without index files, and otherwise the same.
const VERSION_WITHOUT_LAYERS: u16 = 1;
const LAYERS_AT: usize = 88;
const LAYER_BYTES: usize = 16;
/// The most index files that a checkpoint can name.
pub(crate) const LAYERS_MAX: usize = 248;
const LAYERS_END: usize = LAYERS_AT + LAYERS_MAX * LAYER_BYTES;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) log_id: Uuid,
    pub(crate) place: DurablePlace,
    /// The index files that are in use, the oldest one first.
    pub(crate) layers: Vec<LayerRef>,
}

/// A place that was durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DurablePlace {
    /// Where a frame ended, or where the first of the segment begins.
    pub(crate) end: Location,
    pub(crate) salt: u64,
    pub(crate) last_position: u64,
    pub(crate) batch_number: u64,
    /// Frame checksum of the frame that ended there.
    pub(crate) checksum: u32,
}

/// An index file, and the checksum of its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerRef {
    pub(crate) number: u64,
    pub(crate) sum: u64,
}

impl Checkpoint {
    /// Of more index files than fit, only the first are named; what the others say is derived anew.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; PAGE_BYTES];
        page[0..8].copy_from_slice(&CHECKPOINT_MAGIC);
        put_u16(&mut page, 8, CHECKPOINT_VERSION);
        page[16..32].copy_from_slice(self.log_id.as_bytes());
        let DurablePlace { end, salt, last_position, batch_number, checksum } = self.place;
        put_u64(&mut page, 32, end.segment);
        put_u64(&mut page, 40, salt);
        put_u64(&mut page, 48, end.offset);
        put_u64(&mut page, 56, last_position);
        put_u64(&mut page, 64, batch_number);
        put_u32(&mut page, 72, checksum);
        let layers = &self.layers[..self.layers.len().min(LAYERS_MAX)];
        put_u32(&mut page, 76, layers.len() as u32);
        for (i, layer) in layers.iter().enumerate() {
            put_u64(&mut page, LAYERS_AT + i * LAYER_BYTES, layer.number);
            put_u64(&mut page, LAYERS_AT + i * LAYER_BYTES + 8, layer.sum);
        }
        seal_page(page)
    }

    pub(crate) fn decode(page: &[u8; PAGE_BYTES]) -> Result<Self, Fault> {
        check_page("checkpoint", &CHECKPOINT_MAGIC, page)?;
        let version = u16_at(page, 8);
        if version != VERSION_WITHOUT_LAYERS {
            expect("checkpoint version", u64::from(CHECKPOINT_VERSION), u64::from(version))?;
        }
        let count = u32_at(page, 76) as usize;
        let max = if version == VERSION_WITHOUT_LAYERS { 0 } else { LAYERS_MAX };
        at_most("number of index files", max as u64, count as u64)?;
        let layers_end = LAYERS_AT + count * LAYER_BYTES;
        let zeros = is_zero(&page[10..16])
            && is_zero(&page[80..LAYERS_AT])
            && is_zero(&page[layers_end..PAGE_BYTES - 4]);
        expect("zeros of the checkpoint", 1, u64::from(zeros))?;
        let end = Location { segment: u64_at(page, 32), offset: u64_at(page, 48) };
        expect(
            "whether the offset is a frame's end",
            1,
            u64::from(end.offset >= FIRST_FRAME && end.offset.is_multiple_of(8)),
        )?;
        let place = DurablePlace {
            end,
            salt: u64_at(page, 40),
            last_position: u64_at(page, 56),
            batch_number: u64_at(page, 64),
            checksum: u32_at(page, 72),
        };
        let layer = |raw: &[u8]| LayerRef { number: u64_at(raw, 0), sum: u64_at(raw, 8) };
        let layers = page[LAYERS_AT..layers_end].chunks_exact(LAYER_BYTES).map(layer).collect();
        Ok(Checkpoint { log_id: uuid_at(page, 16), place, layers })
    }
}

const _: () = assert!(LAYERS_END <= PAGE_BYTES - 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_every_flipped_bit() {
        let place = DurablePlace {
            end: Location { segment: 2, offset: 8200 },
            salt: 4,
            last_position: 5,
            batch_number: 6,
            checksum: 7,
        };
        let layers = (1..=LAYERS_MAX as u64).map(|number| LayerRef { number, sum: number * 7 }).collect();
        let mut checkpoint = Checkpoint { log_id: Uuid::from_u128(3), place, layers };
        let page: [u8; PAGE_BYTES] = checkpoint.encode().try_into().unwrap();
        assert_eq!(Checkpoint::decode(&page).as_ref(), Ok(&checkpoint));
        checkpoint.layers.push(LayerRef { number: 999, sum: 1 });
        assert_eq!(checkpoint.encode(), page, "one more than fit");
        checkpoint.layers.truncate(2);
        let page: [u8; PAGE_BYTES] = checkpoint.encode().try_into().unwrap();
        assert_eq!(Checkpoint::decode(&page).as_ref(), Ok(&checkpoint));
        for bit in 0..PAGE_BYTES * 8 {
            let mut flipped = page;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Checkpoint::decode(&flipped).is_err(), "bit {bit}");
        }
    }
}
