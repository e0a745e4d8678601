//! The tail: the last segment as the sequencer sees it, up to the last frame that has its numbers.
//!
//! Owns the running counts and digest that its footer will state.

use crate::format::frame::Chain;
use crate::format::segment::{Digest, SegmentFooter, SegmentHeader};

/// The last segment as of the last frame that was sequenced.
pub(crate) struct Tail {
    pub(crate) header: SegmentHeader,
    pub(crate) chain: Chain,
    pub(crate) frames: u64,
    pub(crate) events: u64,
    pub(crate) digest: Digest,
    /// Has its footer, or will have it with the open batch.
    pub(crate) sealed: bool,
    /// Its space is reserved; without, nothing more may be written to it.
    pub(crate) reserved: bool,
}

impl Tail {
    /// A segment without a frame. `before` is the chain that goes on.
    pub(crate) fn fresh(header: SegmentHeader, before: &Chain) -> Tail {
        Tail {
            header,
            chain: Chain { batch_start: 0, ..*before },
            frames: 0,
            events: 0,
            digest: Digest::new(),
            sealed: false,
            reserved: true,
        }
    }

    pub(crate) fn footer(&self, end: u64) -> SegmentFooter {
        SegmentFooter {
            generation: 0,
            log_id: self.header.log_id,
            salt: self.header.salt,
            ordinal: self.header.ordinal,
            end,
            frames: self.frames,
            events: self.events,
            base_position: self.header.base_position,
            last_position: self.chain.next_position - 1,
            last_batch: self.chain.batch_number,
            last_time: if self.frames == 0 { 0 } else { self.chain.time },
            last_checksum: self.chain.checksum,
            digest: self.digest.value(),
        }
    }
}
