//! Mending the index: derived anew from the log, when a file of it turns out to be damaged.
//!
//! Owns the one way out of damage. Whoever meets it waits here until the index is whole again; nobody is ever given an answer
//! from a file that does not prove itself. If the log itself cannot be read either, it is poisoned, and its readers are told.

use crate::engine::frames::frames_end;
use crate::engine::layering::sealed_range;
use crate::engine::shared::Shared;
use crate::engine::view::{Segments, View};
use crate::error::{Fault, PoisonCause, ReadError};
use crate::format::FIRST_FRAME;
use crate::format::frame::{Chain, Frame};
use crate::index::Index;
use crate::index::replay::Rejected;
use crate::layer::Damage;
use crate::segment::scan::{SegmentSource, Stop, Walk};
use crate::types::Location;

/// An index on its way along the log.
struct Derived {
    index: Index,
    chain: Chain,
    /// Up to where it says what the log says.
    to: Location,
    walk: Option<Walk>,
}

impl Shared {
    /// Sees to it that the index does not rest on a damaged file any more. Blocks until then. The caller holds none of the
    /// locks that `shared.rs` puts in order.
    pub(crate) fn mend(&self, damage: &Damage) {
        let one_at_a_time = self.mending.lock();
        let is_it =
            |view: &View| view.index.layers.iter().any(|layer| layer.header().number == damage.number());
        let (segments, end) = {
            let view = self.view.read();
            if !is_it(&view) {
                // Somebody else has mended it.
                return;
            }
            (view.segments.clone(), view.visible.end)
        };
        let mut derived = Derived {
            index: Index::new(Vec::new()),
            chain: Chain::default(),
            to: Location { segment: 1, offset: FIRST_FRAME },
            walk: None,
        };
        let mut result = derived.advance(&segments, end, self.options.index_after_bytes);
        // With the sequencer: nothing is sequenced by an index that is broken before the log is poisoned.
        let seq = self.sequencer();
        let mut view = self.view.write();
        if result.is_ok() {
            // What became visible meanwhile: little enough to be done under the lock.
            let (segments, end) = (view.segments.clone(), view.visible.end);
            result = derived.advance(&segments, end, self.options.index_after_bytes);
        }
        let old: Vec<u64> = view.index.layers.iter().map(|layer| layer.header().number).collect();
        view.index = derived.index;
        view.broken = result.as_ref().err().cloned();
        drop(view);
        if let Err(error) = result {
            // Wakers are called now, one of which may hold the last handle: to close waits for who waits to mend.
            drop(one_at_a_time);
            self.poison(seq, self.progress.next_batch(), PoisonCause::Index(Box::new(error)));
            return;
        }
        self.release(seq);
        if let Some(_directory) = self.directory() {
            // Without it, the next open meets the damage again, and mends it again.
            let _ = self.note_layers(&old);
        }
        self.ring_indexing();
    }
}

impl Derived {
    /// Walks on up to `end`, which is visible.
    fn advance(&mut self, segments: &Segments, end: Location, freeze_after: u64) -> Result<(), ReadError> {
        let begun = self.to.segment;
        for segment in segments.iter().filter(|segment| segment.header.ordinal >= begun) {
            let header = segment.header;
            let Some(frames_end) = frames_end(segments, header.ordinal, end) else { return Ok(()) };
            let fresh = || Walk::start(&header, &self.chain);
            let mut walk = self.walk.take().filter(|walk| walk.end > FIRST_FRAME).unwrap_or_else(fresh);
            let mut source = SegmentSource { segment, scratch: Vec::new() };
            let index = &mut self.index;
            let mut visit = |frame: &Frame<'_>| match index.apply_frame(header.ordinal, frame) {
                Ok(()) => Ok(()),
                Err(Rejected::Frame(fault)) => Err(fault),
                // There are no files beneath this index.
                Err(Rejected::Index(_)) => Err(Fault::Zeros { what: "index" }),
            };
            walk.advance(&mut source, header.salt, frames_end, false, &mut visit)?;
            if let Stop::Invalid(fault) | Stop::Refused(fault) = &walk.stop {
                return Err(segment.corrupt(walk.end, fault.clone()).into());
            }
            self.chain = walk.chain;
            match segments.iter().find(|next| next.header.ordinal == header.ordinal + 1) {
                Some(next) if header.ordinal < end.segment => {
                    self.index.seal(walk.end, freeze_after, || sealed_range(&next.header, &self.chain));
                    self.to = Location { segment: header.ordinal + 1, offset: FIRST_FRAME };
                }
                _ => {
                    self.to = Location { segment: header.ordinal, offset: walk.end };
                    self.walk = Some(walk);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
