//! Index files, made beside the log: frozen parts of the index into layers, layers into larger ones.
//!
//! Owns which layers there are, and when. The newest layers are merged into the one before them as soon as they have half of its
//! size, all at once, so that sizes ascend and the number of layers, like what each byte costs of merging, grows with the
//! logarithm of the log. A failure here never poisons: no acknowledged byte depends on it, and what is not in a file stays in
//! memory.

use crate::engine::frames::frame_sums;
use crate::engine::maintenance::write_checkpoint;
use crate::engine::shared::Shared;
use crate::error::IoFault;
use crate::format::FIRST_FRAME;
use crate::format::cell::Slot;
use crate::format::checkpoint::{Checkpoint, DurablePlace, LayerRef};
use crate::format::frame::Chain;
use crate::format::layer::{LayerHeader, Part};
use crate::format::segment::SegmentHeader;
use crate::index::Index;
use crate::index::build::build;
use crate::layer::{Damage, Layer, MakeError, Range, merge};
use crate::segment::name::{CHECKPOINT, CLOSED, INDEX_TEMPORARY, MERGE_TEMPORARY, index_name};
use crate::storage::Storage;
use crate::types::{Location, ReadMode};
use crossbeam_channel::Receiver;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The newest layers are merged into the one before them once that is not larger than so many times all of them.
const TIMES_LARGER: u64 = 2;
/// So many layers are merged at once at most: if there are more, the newest ones first.
const AT_ONCE: usize = 64;
/// A log is closed with its tail in an index file if that is larger than so manieth a part of what is written in one otherwise.
const COVER_PART: u64 = 16;

/// The range that ends with a sealed segment, as the header of the one behind it and the chain say.
pub(crate) fn sealed_range(next: &SegmentHeader, chain: &Chain) -> Range {
    let to = Location { segment: next.ordinal - 1, offset: next.previous.end };
    let chain = Chain { checksum: next.previous.checksum, next_position: next.base_position, ..*chain };
    Range::sealed(next.log_id, to, next.previous.salt, chain)
}

/// How large a layer is: all of it, and the largest part of it whose pieces must be counted in 32 bits, each as 8 bytes.
type Weight = (u64, u64);

/// How many of the newest layers are to be merged now, by the weights of all, the oldest one first. Fewer than two: none.
fn to_merge(weights: &[Weight]) -> usize {
    let (mut newer, mut rows, mut count) = (0u64, 0u64, 0);
    for (at, (weight, own_rows)) in weights.iter().rev().take(AT_ONCE).enumerate() {
        rows = rows.saturating_add(*own_rows);
        if rows > Slot::OFFSET_MAX {
            break;
        }
        // The second: a merge that was broken off is taken up again, whatever small layers came behind it.
        let follows = count == at && *weight <= newer.saturating_mul(TIMES_LARGER);
        if at == 0 || follows || *weight <= newer {
            count = at + 1;
        }
        newer = newer.saturating_add(*weight);
    }
    count
}

/// What has become of a try.
enum Step {
    Done,
    NothingToDo,
}

impl Shared {
    /// Does all that is to be done about index files, until it is done, told to stop, or fails. `merges`: not only what is in
    /// memory.
    pub(crate) fn settle_index(&self, stop: &AtomicBool, merges: bool) {
        while let Some(damage) = self.directory().and_then(|_directory| self.settle(stop, merges)) {
            self.mend(&damage);
        }
    }

    /// The same, up to a file that is damaged.
    fn settle(&self, stop: &AtomicBool, merges: bool) -> Option<Damage> {
        // Whoever is at it comes to what is new by itself.
        let mut next_number = self.making.try_lock()?;
        let next_number = Cell::from_mut(&mut *next_number);
        loop {
            let step = self.settle_step(next_number, stop, merges);
            if step.is_err() {
                // The space may be wanted for what comes next. What stays is removed by the next open, which would tell of it.
                for name in [INDEX_TEMPORARY, MERGE_TEMPORARY] {
                    let _ = self.storage.remove(name);
                }
            }
            match step {
                Ok(Step::Done) => *self.index_fault.lock() = None,
                Ok(Step::NothingToDo) | Err(MakeError::TooLarge | MakeError::Stopped) => return None,
                Err(MakeError::Damage(damage)) => return Some(damage),
                Err(MakeError::Io(fault)) => {
                    *self.index_fault.lock() = Some(fault);
                    return None;
                }
            }
        }
    }

    fn settle_step(
        &self,
        next_number: &Cell<u64>,
        stop: &AtomicBool,
        merges: bool,
    ) -> Result<Step, MakeError> {
        if self.settle_oldest(next_number, stop)? {
            return Ok(Step::Done);
        }
        let layers = self.view.read().index.layers.clone();
        let weights: Vec<Weight> = layers.iter().map(|layer| weight(layer.header())).collect();
        let range = layers.len() - to_merge(&weights)..layers.len();
        let old = &layers[range.clone()];
        if !merges || old.len() < 2 {
            return Ok(Step::NothingToDo);
        }
        let number = next_number.replace(next_number.get() + 1);
        // A large merge takes long, and what is frozen meanwhile would fill the memory.
        let meanwhile = || {
            while self.settle_oldest(next_number, stop)? {}
            go_on(stop)
        };
        merge(&*self.storage, number, old, &meanwhile)?;
        let layer = self.open_layer(number)?;
        {
            let mut view = self.view.write();
            // Newer ones may have come behind them. Mended meanwhile, the index may have other layers.
            let same = |now: &[Arc<Layer>]| now.iter().zip(old).all(|(now, old)| Arc::ptr_eq(now, old));
            if view.index.layers.get(range.clone()).is_some_and(same) {
                view.index.replace(range, layer);
            }
        }
        let concerned: Vec<u64> = old.iter().map(|layer| layer.header().number).chain([number]).collect();
        self.note_layers(&concerned)?;
        Ok(Step::Done)
    }

    /// Makes a layer of the oldest frozen part, if there is one.
    fn settle_oldest(&self, next_number: &Cell<u64>, stop: &AtomicBool) -> Result<bool, MakeError> {
        let (frozen, layers) = {
            let view = self.view.read();
            // What could not be derived whole stays out of the files.
            if view.broken.is_some() {
                return Ok(false);
            }
            let Some(frozen) = view.index.frozen.first().cloned() else { return Ok(false) };
            (frozen, view.index.layers.clone())
        };
        let number = next_number.replace(next_number.get() + 1);
        build(&*self.storage, number, &frozen, &layers, &|| go_on(stop))?;
        let layer = self.open_layer(number)?;
        {
            let mut view = self.view.write();
            // Mended meanwhile, the index may have other parts.
            if view.index.frozen.first().is_some_and(|first| Arc::ptr_eq(first, &frozen)) {
                view.index.settle(layer);
            }
        }
        self.note_layers(&[number])?;
        Ok(true)
    }

    /// Opens what was just made. If that fails, something is wrong with more than a file.
    fn open_layer(&self, number: u64) -> Result<Arc<Layer>, MakeError> {
        let layer = Layer::open(&*self.storage, number, self.options.read_mode);
        layer.map(Arc::new).map_err(|damage| MakeError::Io(damage.as_fault("open", &index_name(number))))
    }

    /// Writes down which layers there are, then removes those of these that are not among them.
    pub(crate) fn note_layers(&self, concerned: &[u64]) -> Result<(), MakeError> {
        let mut unused = concerned.to_vec();
        let noted = self.note(|checkpoint| {
            // Asked for while nobody else writes it down: an older list must not overtake a newer one.
            checkpoint.layers = refs(&self.view.read().index);
            unused.retain(|number| checkpoint.layers.iter().all(|layer| layer.number != *number));
        });
        noted.map_err(MakeError::Io)?;
        for number in unused {
            // What stays is removed by the next open.
            let _ = self.storage.remove(&index_name(number));
        }
        Ok(())
    }

    /// Changes the checkpoint, on disk first.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Checkpoint)) -> Result<(), IoFault> {
        let mut checkpoint = self.checkpoint.lock();
        let mut changed = checkpoint.clone();
        change(&mut changed);
        write_checkpoint(&*self.storage, CHECKPOINT, &changed)?;
        *checkpoint = changed;
        Ok(())
    }

    /// Says that the log was closed, and that this is its end: until the file with this name is gone, nothing is written to it.
    pub(crate) fn note_closed(&self, end: DurablePlace) -> Result<(), IoFault> {
        let mut checkpoint = self.checkpoint.lock();
        checkpoint.place = end;
        write_checkpoint(&*self.storage, CLOSED, &checkpoint)?;
        // If it stays, it is not asked; the next open replaces it.
        let _ = self.storage.remove(CHECKPOINT);
        Ok(())
    }

    /// At a close: puts what the index has in memory into files, if it is much, so that the next open need not read the log
    /// for it.
    pub(crate) fn cover(&self) {
        let live = self.live.lock().clone();
        let (to, chain, frames, events, sealed) = {
            let seq = self.sequencer();
            let to = Location { segment: live.header().ordinal, offset: seq.open.end() };
            (to, seq.tail.chain, seq.tail.frames, seq.tail.events, seq.tail.sealed)
        };
        {
            let view = self.view.read();
            let index = &view.index;
            let begun = if index.from.segment == to.segment { index.from.offset } else { FIRST_FRAME };
            let much = index.sealed_bytes + to.offset.saturating_sub(begun)
                >= self.options.index_after_bytes / COVER_PART;
            if index.starts_late || view.broken.is_some() || !much {
                return;
            }
        }
        let mut range = Range::sealed(self.log_id, to, live.header().salt, chain);
        let mut sums = Vec::new();
        if !sealed {
            // What cannot be read back is found when the log is opened.
            let Ok((found, last_frame)) = frame_sums(&live.segment, to.offset) else { return };
            (sums, range) = (found, Range { frames, events, last_frame, ..range });
        }
        // Once more if the index had to be mended, which derives all of it anew.
        for _ in 0..2 {
            {
                let mut view = self.view.write();
                if view.index.from == to {
                    return;
                }
                view.index.freeze(range, sums.clone());
            }
            while let Some(damage) = self.settle(&AtomicBool::new(false), false) {
                self.mend(&damage);
            }
        }
    }

    /// The life of the index thread: until its bell is taken away.
    pub(crate) fn run_indexing(&self, bell: &Receiver<()>) {
        // Ahead of the first append that needs them, which tries again if they cannot be read.
        let _ = self.learn_ids(&self.stop_indexing);
        loop {
            self.settle_index(&self.stop_indexing, true);
            if bell.recv().is_err() || self.stop_indexing.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    pub(crate) fn ring_indexing(&self) {
        if let Some(bell) = &*self.indexing_bell.lock() {
            // Full means that it is rung already.
            let _ = bell.try_send(());
        }
    }
}

/// Writes the oldest frozen part of an index that nobody else knows yet to a file.
pub(crate) fn write_oldest(
    storage: &dyn Storage,
    number: u64,
    index: &mut Index,
    mode: ReadMode,
) -> Result<(), MakeError> {
    if let Some(frozen) = index.frozen.first().cloned() {
        build(storage, number, &frozen, &index.layers, &|| Ok(()))?;
        index.settle(Arc::new(Layer::open(storage, number, mode)?));
    }
    Ok(())
}

/// Whether what is being made is still wanted.
fn go_on(stop: &AtomicBool) -> Result<(), MakeError> {
    if stop.load(Ordering::Relaxed) { Err(MakeError::Stopped) } else { Ok(()) }
}

fn weight(header: &LayerHeader) -> Weight {
    let rows = header.part(Part::Streams).len.max(header.part(Part::Kept).len);
    // All of them might be of one stream, whose row counts them.
    (header.weight(), rows.max(8 * header.part(Part::Runs).count))
}

/// The layers of an index, as a checkpoint names them.
pub(crate) fn refs(index: &Index) -> Vec<LayerRef> {
    index.layers.iter().map(|layer| LayerRef { number: layer.header().number, sum: layer.sum() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge_all(layers: &mut Vec<Weight>) -> u64 {
        let mut written = 0;
        loop {
            let nth = layers.len() - to_merge(layers);
            if layers.len() - nth < 2 {
                return written;
            }
            let merged = layers.drain(nth..).fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
            layers.push(merged);
            written += merged.0;
        }
    }

    #[test]
    fn layers_stay_few_and_each_is_merged_seldom() {
        let (mut layers, mut written, mut most) = (Vec::new(), 0, 0);
        for _ in 0..1000 {
            layers.push((1, 1));
            written += merge_all(&mut layers);
            most = most.max(layers.len());
        }
        assert_eq!(layers.iter().map(|layer| layer.0).sum::<u64>(), 1000);
        assert!(most <= 7, "{most} layers");
        assert!(written <= 7 * 1000, "{written}");
    }

    #[test]
    fn layers_that_have_piled_up_are_merged_at_once() {
        let mut layers = vec![(1000, 1000)];
        layers.resize(AT_ONCE, (1, 1));
        assert_eq!(to_merge(&layers), AT_ONCE - 1);
        layers.resize(100, (1, 1));
        assert_eq!(to_merge(&layers), AT_ONCE);
        assert!(merge_all(&mut layers) < 300);
        assert_eq!(layers.len(), 2);
    }

    #[test]
    fn a_merge_that_was_broken_off_is_taken_up_again() {
        let layers = |weights: &[u64]| weights.iter().map(|weight| (*weight, *weight)).collect::<Vec<_>>();
        assert_eq!(to_merge(&layers(&[9000, 400, 300, 300, 10])), 4);
        assert_eq!(to_merge(&layers(&[9000, 1300, 300, 300, 10])), 3);
        assert_eq!(to_merge(&layers(&[9000, 611, 300, 10])), 1, "nothing was broken off");
    }

    #[test]
    fn what_no_slot_could_point_into_is_not_made() {
        let half = Slot::OFFSET_MAX / 2;
        assert_eq!(to_merge(&[(half, half), (half, half)]), 2);
        assert_eq!(to_merge(&[(half, half), (half, half + 2)]), 1);
        assert_eq!((to_merge(&[]), to_merge(&[(1, 1)]), to_merge(&[(3, 0), (1, 0)])), (0, 1, 1));
    }
}
