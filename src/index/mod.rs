//! What the log says, arranged for questions: derived from the frames, rebuilt by reading them again.
//!
//! Owns the stack of parts: the overlay on top, which grows; frozen ones, which wait to be written; and the layers, in files.
//! Each part speaks of a range of the log, and the ranges follow each other. Must never take a lock, or be asked about frames
//! that are not durable: whoever applies a change has made it so before.

pub(crate) mod build;
pub(crate) mod ids;
pub(crate) mod kept;
pub(crate) mod listing;
pub(crate) mod marks;
pub(crate) mod overlay;
pub(crate) mod replay;
pub(crate) mod runs;
pub(crate) mod state;
pub(crate) mod streams;
pub(crate) mod tenants;
pub(crate) mod versions;
#[cfg(test)]
mod versions_tests;

use crate::format::FIRST_FRAME;
use crate::format::cell::FrameSums;
use crate::layer::{Damage, Layer, Range};
use crate::types::Location;
use overlay::{KeptChange, Overlay};
use state::StreamChange;
use std::sync::Arc;

/// What is asked may stand in a layer that turns out to be damaged.
pub(crate) type Looked<T> = Result<T, Damage>;

/// A part that does not grow any more.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) overlay: Overlay,
    pub(crate) range: Range,
    /// Of the frames of the last segment, if that is not sealed.
    pub(crate) frames: Vec<FrameSums>,
}

/// Everything that is derived from the visible part of the log.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) overlay: Overlay,
    /// Where the overlay begins, and its first position.
    pub(crate) from: Location,
    pub(crate) first_position: u64,
    /// How many bytes of sealed segments it speaks of.
    pub(crate) sealed_bytes: u64,
    /// The oldest one first.
    pub(crate) frozen: Vec<Arc<Frozen>>,
    /// The oldest one first. Shared, so that they can be asked while nobody is kept from changing the index.
    pub(crate) layers: Arc<Vec<Arc<Layer>>>,
    /// How many streams are registered, and the last creation ordinal and revision that were given.
    pub(crate) registered: u64,
    pub(crate) last_creation: u64,
    pub(crate) last_revision: u64,
    /// What a `log-starts-at` record says: the first segment's ordinal and the first position.
    pub(crate) starts_at: Option<(u64, u64)>,
    /// The log begins behind its first segment: a stream may first be met in its middle, its state carried later on.
    pub(crate) starts_late: bool,
}

impl Index {
    /// The index of a log up to the end of these layers: an empty one without any.
    pub(crate) fn new(layers: Vec<Arc<Layer>>) -> Index {
        let last = layers.last().map(|layer| layer.header());
        Index {
            overlay: Overlay::default(),
            from: last.map_or(Location { segment: 1, offset: FIRST_FRAME }, |last| last.to),
            first_position: last.map_or(1, |last| last.chain.next_position),
            sealed_bytes: 0,
            frozen: Vec::new(),
            registered: layers.iter().map(|layer| layer.registered()).sum(),
            last_creation: last.map_or(0, |last| last.last_creation),
            last_revision: last.map_or(0, |last| last.last_revision),
            layers: Arc::new(layers),
            starts_at: None,
            starts_late: false,
        }
    }

    /// The parts in memory, the newest one first.
    pub(crate) fn in_memory(&self) -> impl Iterator<Item = &Overlay> {
        std::iter::once(&self.overlay).chain(self.frozen.iter().rev().map(|frozen| &frozen.overlay))
    }

    /// The layers, the newest one first.
    pub(crate) fn in_files(&self) -> impl Iterator<Item = &Arc<Layer>> {
        self.layers.iter().rev()
    }

    pub(crate) fn apply(&mut self, id: &str, change: &StreamChange) {
        self.registered += u64::from(change.effect.registers);
        self.last_creation = self.last_creation.max(change.state.creation_ordinal);
        self.overlay.apply(id, change);
    }

    pub(crate) fn apply_kept(&mut self, change: &KeptChange) {
        self.last_revision = self.last_revision.max(change.revision);
        self.overlay.apply_kept(change);
    }

    /// A segment was sealed, with its frames ending at `end`: ends the overlay there, if it speaks of so many bytes.
    pub(crate) fn seal(&mut self, end: u64, freeze_after: u64, range: impl FnOnce() -> Range) {
        // A stream that is met in its middle cannot be completed from older layers.
        if self.starts_late {
            return;
        }
        let range = range();
        let begun = if self.from.segment == range.to.segment { self.from.offset } else { FIRST_FRAME };
        self.sealed_bytes += end.saturating_sub(begun);
        if self.sealed_bytes >= freeze_after {
            self.freeze(range, Vec::new());
            if let Some(last) = self.frozen.last() {
                self.overlay = last.overlay.next();
            }
        }
    }

    /// Ends the overlay at this place, to be written to a file; another one begins there. The range's beginning and its
    /// counts are filled in.
    pub(crate) fn freeze(&mut self, range: Range, frames: Vec<FrameSums>) {
        let range = Range {
            from: self.from,
            first_position: self.first_position,
            last_revision: self.last_revision,
            last_creation: self.last_creation,
            ..range
        };
        let overlay = std::mem::take(&mut self.overlay);
        (self.from, self.first_position, self.sealed_bytes) = (range.to, range.chain.next_position, 0);
        self.frozen.push(Arc::new(Frozen { overlay, range, frames }));
    }

    /// Puts a layer in the place of the oldest frozen part, which it was made of.
    pub(crate) fn settle(&mut self, layer: Arc<Layer>) {
        self.frozen.remove(0);
        let mut layers = self.layers.to_vec();
        layers.push(layer);
        self.layers = Arc::new(layers);
    }

    /// Puts one layer in the place of some that follow each other.
    pub(crate) fn replace(&mut self, range: std::ops::Range<usize>, layer: Arc<Layer>) {
        let mut layers = self.layers.to_vec();
        layers.splice(range, [layer]);
        self.layers = Arc::new(layers);
    }
}
