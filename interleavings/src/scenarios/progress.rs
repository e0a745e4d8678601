//! Threads and tasks that wait for batches, against one that commits them: nobody sleeps for ever, nobody is told too much.

use crate::engine::progress::{Progress, Reached};
use crate::model::{Token, spawn};
use crate::sync::Ordering;
use crate::types::Durability::{self, Sequenced, Synced, Written};
use loom::sync::atomic::AtomicU64;
use loom::thread::JoinHandle;
use std::sync::Arc;
use std::time::Duration;

/// Progress, and the index that must show a batch before it is told: as weak an access as there is, so that a thread that is
/// told sees it only if being told orders the two.
struct Committer {
    progress: Progress,
    shown: AtomicU64,
}

impl Committer {
    fn new() -> Arc<Committer> {
        Arc::new(Committer { progress: Progress::new(0), shown: AtomicU64::new(0) })
    }

    /// What `drive` does with a batch that becomes durable.
    fn commit(&self, batch: u64) {
        self.progress.advance_written(batch);
        self.sync(batch);
    }

    fn sync(&self, batch: u64) {
        self.shown.store(batch, Ordering::Relaxed);
        self.progress.advance_durable(batch);
    }

    fn assert_shown(&self, batch: u64) {
        assert!(self.shown.load(Ordering::Relaxed) >= batch, "told, and not shown");
    }

    /// A thread that parks until the batch has reached the level or failed.
    fn waiter(self: &Arc<Self>, batch: u64, level: Durability) -> JoinHandle<Reached> {
        let this = self.clone();
        spawn(move || {
            let reached = this.progress.wait(batch, level);
            if (reached, level) == (Reached::Yes, Synced) {
                this.assert_shown(batch);
                assert_eq!(this.progress.level(batch), Synced);
            }
            reached
        })
    }

    /// A thread that polls, as the handle of an append does: asks to be woken once, looks again, sleeps.
    fn poller(self: &Arc<Self>, batch: u64) -> JoinHandle<Reached> {
        let this = self.clone();
        spawn(move || {
            let token = Token::new();
            let mut registered = false;
            loop {
                let mut reached = this.progress.reached(batch, Synced);
                if reached == Reached::NotYet && !registered {
                    this.progress.register(batch, &token.waker());
                    registered = true;
                    reached = this.progress.reached(batch, Synced);
                }
                match reached {
                    Reached::NotYet => token.park(),
                    Reached::Yes => {
                        this.assert_shown(batch);
                        return reached;
                    }
                    Reached::Failed { .. } => return reached,
                }
            }
        })
    }
}

pub(crate) fn sequenced_is_reached_at_once() {
    let committer = Committer::new();
    assert_eq!(committer.waiter(1, Sequenced).join().unwrap(), Reached::Yes);
    assert_eq!(committer.progress.level(1), Sequenced);
}

/// The write alone wakes who waits for the write: no sync comes.
pub(crate) fn written() {
    let committer = Committer::new();
    let waiter = committer.waiter(1, Written);
    committer.progress.advance_written(1);
    assert_eq!(waiter.join().unwrap(), Reached::Yes);
    assert_eq!(committer.progress.level(1), Written);
}

/// The sync comes, too, before or after the waiter has looked.
pub(crate) fn written_by_one_that_goes_on() {
    let committer = Committer::new();
    let waiter = committer.waiter(1, Written);
    committer.commit(1);
    assert_eq!(waiter.join().unwrap(), Reached::Yes);
}

pub(crate) fn synced() {
    let committer = Committer::new();
    let waiter = committer.waiter(1, Synced);
    committer.commit(1);
    assert_eq!(waiter.join().unwrap(), Reached::Yes);
}

pub(crate) fn two_levels_of_one_batch() {
    let committer = Committer::new();
    let (early, late) = (committer.waiter(1, Written), committer.waiter(1, Synced));
    committer.commit(1);
    assert_eq!(early.join().unwrap(), Reached::Yes);
    assert_eq!(late.join().unwrap(), Reached::Yes);
}

/// Who waits gives way first, while the batch becomes durable, and while whoever commits thinks better of it.
pub(crate) fn synced_for_one_awake() {
    let committer = Committer::new();
    committer.progress.stay_awake(Some(Duration::ZERO));
    let waiter = committer.waiter(1, Synced);
    committer.commit(1);
    committer.progress.stay_awake(None);
    assert_eq!(waiter.join().unwrap(), Reached::Yes);
}

pub(crate) fn failed_for_one_awake() {
    let committer = Committer::new();
    committer.progress.stay_awake(Some(Duration::ZERO));
    let (first, second) = (committer.waiter(1, Synced), committer.waiter(2, Synced));
    committer.progress.fail(1);
    assert_eq!(first.join().unwrap(), Reached::Failed { batch: 1 });
    assert_eq!(second.join().unwrap(), Reached::Failed { batch: 1 });
}

pub(crate) fn two_lanes() {
    let committer = Committer::new();
    let (first, second) = (committer.waiter(1, Synced), committer.waiter(2, Synced));
    committer.sync(1);
    committer.sync(2);
    assert_eq!(first.join().unwrap(), Reached::Yes);
    assert_eq!(second.join().unwrap(), Reached::Yes);
}

/// The batch before ends, in all its steps, while somebody waits for the next.
pub(crate) fn the_neighbour_ends_first() {
    let committer = Committer::new();
    let waiter = committer.waiter(2, Written);
    committer.commit(1);
    assert_eq!(committer.progress.next_batch(), 2);
    committer.progress.advance_written(2);
    assert_eq!(waiter.join().unwrap(), Reached::Yes);
}

/// Somebody who is woken, and it was not for him, sleeps on and is woken again: batch 1 shares its lane with batch 3.
pub(crate) fn woken_for_a_batch_before() {
    let committer = Committer::new();
    let waiter = committer.waiter(3, Synced);
    (1..=3).for_each(|batch| committer.sync(batch));
    assert_eq!(waiter.join().unwrap(), Reached::Yes);
}

/// A failed batch takes the next one along, whose waiters are in the other lane.
pub(crate) fn failed() {
    let committer = Committer::new();
    let (first, second) = (committer.waiter(1, Synced), committer.waiter(2, Written));
    committer.progress.fail(1);
    assert_eq!(first.join().unwrap(), Reached::Failed { batch: 1 });
    assert_eq!(second.join().unwrap(), Reached::Failed { batch: 1 });
}

/// The write succeeded, the sync did not: who waited for the write has it, even if the failure came while it looked.
pub(crate) fn failed_after_the_write() {
    let committer = Committer::new();
    let (early, late) = (committer.waiter(1, Written), committer.waiter(1, Synced));
    committer.progress.advance_written(1);
    committer.progress.fail(1);
    assert_eq!(early.join().unwrap(), Reached::Yes);
    assert_eq!(late.join().unwrap(), Reached::Failed { batch: 1 });
}

pub(crate) fn one_is_durable_the_next_fails() {
    let committer = Committer::new();
    let (first, second) = (committer.waiter(1, Synced), committer.waiter(2, Synced));
    committer.sync(1);
    committer.progress.fail(2);
    assert_eq!(first.join().unwrap(), Reached::Yes);
    assert_eq!(second.join().unwrap(), Reached::Failed { batch: 2 });
}

/// Another thread of the log panics while a batch is on its way, and fails what is not durable. The batch may get there
/// all the same; who waits for it is told one or the other, and nothing that comes after it gets anywhere.
pub(crate) fn a_panic_elsewhere_during_a_commit() {
    let committer = Committer::new();
    let (waiter, poller) = (committer.waiter(1, Synced), committer.poller(2));
    let panicking = committer.clone();
    let panicked = spawn(move || {
        let batch = panicking.progress.next_batch();
        panicking.progress.fail(batch);
        batch
    });
    committer.sync(1);
    let reached = waiter.join().unwrap();
    let failed = Reached::Failed { batch: panicked.join().unwrap() };
    assert!(reached == Reached::Yes || reached == failed && failed == Reached::Failed { batch: 1 });
    assert_eq!(poller.join().unwrap(), failed);
}

pub(crate) fn polled() {
    let committer = Committer::new();
    let poller = committer.poller(1);
    committer.sync(1);
    assert_eq!(poller.join().unwrap(), Reached::Yes);
}

pub(crate) fn polled_while_the_neighbour_ends() {
    let committer = Committer::new();
    let poller = committer.poller(2);
    committer.sync(1);
    committer.sync(2);
    assert_eq!(poller.join().unwrap(), Reached::Yes);
}

pub(crate) fn polled_and_failed() {
    let committer = Committer::new();
    let poller = committer.poller(2);
    committer.sync(1);
    committer.progress.fail(2);
    assert_eq!(poller.join().unwrap(), Reached::Failed { batch: 2 });
}

pub(crate) fn polled_by_two_tasks() {
    let committer = Committer::new();
    let (first, second) = (committer.poller(1), committer.poller(2));
    committer.sync(1);
    committer.sync(2);
    assert_eq!(first.join().unwrap(), Reached::Yes);
    assert_eq!(second.join().unwrap(), Reached::Yes);
}
