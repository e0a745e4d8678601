//! The primitives of `src/engine/sync.rs`, by the same names, as the checker has them.
//!
//! Owns what is believed of the real ones: locks exclude each other, accesses marked `SeqCst` have one order that all threads
//! agree on, and a sleeper on a number is never missed by a wake that comes after its last look at that number.

pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::Ordering;

pub(crate) use loom::sync::atomic::fence;

use loom::sync::atomic::AtomicU64 as Checked;
use loom::sync::{Condvar, MutexGuard};
use std::time::Duration;

/// A lock that is not poisoned by panics, as far as its users see.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
}

/// Loom gives a `SeqCst` load the newest of all `SeqCst` stores if it knows their order: so each of them is an exchange, and
/// the value at the beginning is one, too. Weaker orderings are as weak here as loom makes them.
#[derive(Debug)]
pub(crate) struct AtomicU64(Checked);

impl AtomicU64 {
    pub(crate) fn new(value: u64) -> AtomicU64 {
        let number = Checked::new(value);
        number.swap(value, Ordering::SeqCst);
        AtomicU64(number)
    }

    pub(crate) fn load(&self, ordering: Ordering) -> u64 {
        self.0.load(ordering)
    }

    pub(crate) fn store(&self, value: u64, ordering: Ordering) {
        match ordering {
            Ordering::SeqCst => _ = self.0.swap(value, ordering),
            _ => self.0.store(value, ordering),
        }
    }

    pub(crate) fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.0.compare_exchange(current, new, success, failure)
    }

    pub(crate) fn fetch_update(
        &self,
        success: Ordering,
        failure: Ordering,
        update: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, u64> {
        self.0.fetch_update(success, failure, update)
    }

    fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::SeqCst);
    }
}

impl Default for AtomicU64 {
    fn default() -> AtomicU64 {
        AtomicU64::new(0)
    }
}

/// Something that is made when it is first asked for, by one thread, while others wait.
#[derive(Debug)]
pub(crate) struct OnceLock<T> {
    /// What the real one guards itself; under it, the checker sees who made it before whom.
    turn: Mutex<()>,
    made: std::sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> OnceLock<T> {
        OnceLock { turn: Mutex::default(), made: std::sync::OnceLock::new() }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        let _turn = self.turn.lock();
        self.made.get()
    }

    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let _turn = self.turn.lock();
        self.made.get_or_init(make)
    }
}

/// Over after one turn, for each is one more thing that may come before or after all else.
#[derive(Debug)]
pub(crate) struct Patience {
    is_over: bool,
}

impl Patience {
    pub(crate) fn new() -> Patience {
        Patience { is_over: false }
    }

    /// Always soon: what is made of the other answer is a choice, on which nothing rests.
    pub(crate) fn give_way(&mut self) -> bool {
        loom::thread::yield_now();
        self.is_over = true;
        true
    }

    pub(crate) fn is_over(&self, _: Duration) -> bool {
        self.is_over
    }
}

/// A number to sleep on. What a kernel does: under a lock of its own it looks at the number and queues the sleeper, and under
/// the same lock it wakes all who are queued. The number itself changes outside of it.
#[derive(Debug, Default)]
pub(crate) struct Generation {
    number: AtomicU64,
    queue: Mutex<()>,
    bell: Condvar,
}

impl Generation {
    pub(crate) fn get(&self) -> u32 {
        self.number.load(Ordering::SeqCst) as u32
    }

    pub(crate) fn advance(&self) {
        self.number.add(1);
    }

    pub(crate) fn wait_while(&self, seen: u32) {
        let queue = self.queue.lock();
        if self.get() == seen {
            drop(self.bell.wait(queue).unwrap());
        }
    }

    pub(crate) fn wake_all(&self) {
        let queue = self.queue.lock();
        self.bell.notify_all();
        drop(queue);
    }
}

/// A count of sleepers.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u32) {
        if more > 0 {
            self.0.add(u64::from(more));
        }
    }

    pub(crate) fn take(&self, fewer: u32) {
        if fewer > 0 {
            self.0.add(u64::from(fewer).wrapping_neg());
        }
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst) as u32
    }
}
