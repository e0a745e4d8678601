//! How far the log has come, for those who wait: by parking a thread or by being polled.
//!
//! Owns the numbers of the batches that are written, durable or failed, and everybody who waits for one. `durable <= written`;
//! nobody waits for a batch at or above `failed`: none of them will be durable, but for the one that was on its way when
//! another thread poisoned the log, which may be. Must never be advanced before the index shows the batch.

use crate::engine::wake::wake_all;
use crate::sync::{AtomicU64, Count, Generation, Mutex, Ordering, Patience};
use crate::types::Durability;
use std::task::Waker;
use std::time::Duration;

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
    /// How many waited, for any batch, when the last one became durable.
    expected: AtomicU64,
    /// How long who waits gives way to other threads before it sleeps, at least: in nanoseconds, plus 1; 0: it sleeps at once.
    awake: AtomicU64,
    /// For how many that took long.
    slow_turns: Count,
    wakers: Mutex<Vec<(u64, Waker)>>,
}

#[derive(Debug, Default)]
struct Lane {
    /// Changes whenever a sleeper should look again.
    generation: Generation,
    /// How many have begun to wait for its next batch to be durable; for a choice, nothing rests on it.
    arrived: Count,
    /// Those who sleep or are about to.
    sleepers: Count,
    /// Those among the sleepers who wait only for the write.
    early_sleepers: Count,
}

impl Lane {
    fn wake(&self) {
        self.generation.advance();
        if self.sleepers.get() > 0 {
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
            expected: AtomicU64::new(0),
            awake: AtomicU64::new(0),
            slow_turns: Count::default(),
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

    /// Parks the thread until the batch has reached the level or failed. If that pays, it gives way to others before.
    pub(crate) fn wait(&self, batch: u64, level: Durability) -> Reached {
        let lane = self.lane(batch);
        lane.arrived.add(u32::from(level == Durability::Synced));
        loop {
            let generation = lane.generation.get();
            lane.sleepers.add(1);
            let early = u32::from(level < Durability::Synced);
            lane.early_sleepers.add(early);
            // Looked at after counting itself among the sleepers: whoever advances after this look sees the count.
            let reached = self.look(batch, level);
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

    /// How far it is; if that pays, after others had their turns.
    fn look(&self, batch: u64, level: Durability) -> Reached {
        let mut patience = None;
        loop {
            let reached = self.reached(batch, level);
            if reached != Reached::NotYet {
                return reached;
            }
            let Some(least) = self.awake.load(Ordering::Relaxed).checked_sub(1) else { return reached };
            let patience = patience.get_or_insert_with(Patience::new);
            if patience.is_over(Duration::from_nanos(least)) || !self.give_way(patience, 1) {
                return self.reached(batch, level);
            }
        }
    }

    /// Lets other threads run. Whether that took no longer than it should, for so many.
    pub(crate) fn give_way(&self, patience: &mut Patience, waiting: u32) -> bool {
        let is_soon = patience.give_way();
        if !is_soon {
            self.slow_turns.add(waiting);
        }
        is_soon
    }

    /// For how many, so far and modulo 2^32, it took long to give way: something else keeps the processors busy.
    pub(crate) fn slow_turns(&self) -> u32 {
        self.slow_turns.get()
    }

    fn lane(&self, batch: u64) -> &Lane {
        &self.lanes[(batch & 1) as usize]
    }

    /// How many waited, for any batch, when the last one became durable.
    pub(crate) fn expected(&self) -> u32 {
        self.expected.load(Ordering::Relaxed) as u32
    }

    /// How many have begun to wait for the first batch that is not durable.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting_for(self.next_batch())
    }

    pub(crate) fn waiting_for(&self, batch: u64) -> u32 {
        self.lane(batch).arrived.get()
    }

    /// Whether those who wait stay awake for a while, giving way to each other, and how long at least, or go to sleep at once.
    pub(crate) fn stay_awake(&self, least: Option<Duration>) {
        let nanos = least.map_or(0, |least| (least.as_nanos() as u64).saturating_add(1));
        self.awake.store(nanos, Ordering::Relaxed);
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
        let lane = self.lane(batch);
        if lane.early_sleepers.get() > 0 {
            lane.wake();
        }
    }

    pub(crate) fn advance_durable(&self, batch: u64) {
        let told = self.waiting_for(batch);
        self.lane(batch).arrived.take(told);
        self.expected.store(u64::from(told + self.waiting_for(batch + 1)), Ordering::Relaxed);
        self.written.store(batch, Ordering::SeqCst);
        self.durable.store(batch, Ordering::SeqCst);
        self.lane(batch).wake();
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
