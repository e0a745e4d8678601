//! How far the log has come, for those who wait: by parking a thread or by being polled.
//!
//! Owns the numbers of the batches that are written, durable or failed, and everybody who waits for one. `durable <= written`;
//! nobody waits for a batch at or above `failed`: none of them will be durable, but for the one that was on its way when
//! another thread poisoned the log, which may be. Must never be advanced before the index shows the batch.

use crate::engine::wake::wake_all;
use crate::sync::{AtomicU64, Count, Generation, Mutex, Ordering};
use crate::types::Durability;
use std::task::Waker;

/// What a waiter learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    Yes,
    NotYet,
    /// The batch in which everything ended: this one or an earlier one.
    Failed {
        batch: u64,
    },
}

#[derive(Debug)]
pub(crate) struct Progress {
    written: AtomicU64,
    durable: AtomicU64,
    failed: AtomicU64,
    /// By batch number modulo 2: only the open batch and the one in flight are waited for, so one batch's end wakes only
    /// those who wait for it.
    lanes: [Lane; 2],
    wakers: Mutex<Vec<(u64, Waker)>>,
}

#[derive(Debug, Default)]
struct Lane {
    /// Changes whenever a sleeper should look again.
    generation: Generation,
    sleepers: Count,
    /// Those among the sleepers who wait only for the write.
    early_sleepers: Count,
}

impl Lane {
    fn wake(&self) {
        self.generation.advance();
        if !self.sleepers.is_zero() {
            // One call for all: waking them one by one costs the committing thread more than a sync.
            self.generation.wake_all();
        }
    }
}

impl Progress {
    pub(crate) fn new(durable: u64) -> Progress {
        Progress {
            written: AtomicU64::new(durable),
            durable: AtomicU64::new(durable),
            failed: AtomicU64::new(u64::MAX),
            lanes: Default::default(),
            wakers: Mutex::default(),
        }
    }

    pub(crate) fn reached(&self, batch: u64, level: Durability) -> Reached {
        let bound = match level {
            Durability::Sequenced => return Reached::Yes,
            Durability::Written => &self.written,
            Durability::Synced => &self.durable,
        };
        // The failure first: whoever misses one here is woken by it, and a level that was reached counts in any case.
        let failed = self.failed.load(Ordering::SeqCst);
        if bound.load(Ordering::SeqCst) >= batch {
            return Reached::Yes;
        }
        if failed <= batch { Reached::Failed { batch: failed } } else { Reached::NotYet }
    }

    /// The level that a batch has reached by now.
    pub(crate) fn level(&self, batch: u64) -> Durability {
        [Durability::Synced, Durability::Written]
            .into_iter()
            .find(|level| self.reached(batch, *level) == Reached::Yes)
            .unwrap_or(Durability::Sequenced)
    }

    /// Parks the thread until the batch has reached the level or failed.
    pub(crate) fn wait(&self, batch: u64, level: Durability) -> Reached {
        let lane = &self.lanes[(batch & 1) as usize];
        loop {
            let generation = lane.generation.get();
            lane.sleepers.add(1);
            let early = u32::from(level < Durability::Synced);
            lane.early_sleepers.add(early);
            // Looked at after counting itself among the sleepers: whoever advances after this look sees the count.
            let reached = self.reached(batch, level);
            if reached == Reached::NotYet {
                lane.generation.wait_while(generation);
            }
            lane.early_sleepers.take(early);
            lane.sleepers.take(1);
            if reached != Reached::NotYet {
                return reached;
            }
        }
    }

    /// The first batch that is not durable.
    pub(crate) fn next_batch(&self) -> u64 {
        self.durable.load(Ordering::SeqCst) + 1
    }

    /// Asks to be woken when the batch is durable or has failed. The caller looks again after this call.
    pub(crate) fn register(&self, batch: u64, waker: &Waker) {
        // Not cloned under the lock: that is user code.
        let waker = waker.clone();
        self.wakers.lock().push((batch, waker));
    }

    pub(crate) fn advance_written(&self, batch: u64) {
        self.written.store(batch, Ordering::SeqCst);
        let lane = &self.lanes[(batch & 1) as usize];
        if !lane.early_sleepers.is_zero() {
            lane.wake();
        }
    }

    pub(crate) fn advance_durable(&self, batch: u64) {
        self.written.store(batch, Ordering::SeqCst);
        self.durable.store(batch, Ordering::SeqCst);
        self.lanes[(batch & 1) as usize].wake();
        self.wake_pollers(batch);
    }

    /// Nobody waits for this batch any more, or for one after it.
    pub(crate) fn fail(&self, batch: u64) {
        self.failed.store(batch, Ordering::SeqCst);
        self.lanes.iter().for_each(Lane::wake);
        self.wake_pollers(u64::MAX);
    }

    fn wake_pollers(&self, up_to: u64) {
        let ready: Vec<Waker> = {
            let mut wakers = self.wakers.lock();
            wakers.extract_if(.., |(batch, _)| *batch <= up_to).map(|(_, waker)| waker).collect()
        };
        wake_all(ready);
    }
}
