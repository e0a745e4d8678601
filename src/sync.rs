//! The primitives that waiting and waking rest on, in one place.
//!
//! Owns the choice, and how a thread gives way to others. A checker of interleavings compiles the files that use these with its
//! own in their place.

pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};
pub(crate) use std::sync::{Arc, OnceLock};

use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

/// How many times who waits lets others run before it sleeps. Where many do, a turn comes back when others had theirs; where a
/// processor is idle, all of them take a few microseconds.
pub(crate) const TURNS: u64 = 32;

/// Longer than a turn takes among those who give way themselves; shorter than the slice of time that a scheduler gives to who
/// does not.
const SOON: Duration = Duration::from_millis(1);

/// Lets other threads run before this one goes on. Whether its next turn came soon.
pub(crate) fn give_way() -> bool {
    let since = Instant::now();
    std::thread::yield_now();
    since.elapsed() < SOON
}

/// A number to sleep on: who waits for it to change sleeps in the kernel, and all are woken with one call.
#[derive(Debug, Default)]
pub(crate) struct Generation(AtomicU32);

impl Generation {
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    /// Changes the number; does not wake anybody yet.
    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Sleeps unless the number is another one already. May also return for no reason.
    pub(crate) fn wait_while(&self, seen: u32) {
        atomic_wait::wait(&self.0, seen);
    }

    pub(crate) fn wake_all(&self) {
        atomic_wait::wake_all(&self.0);
    }
}

/// A count of sleepers. Counting nobody leaves the memory that all of them share alone.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU32);

impl Count {
    pub(crate) fn add(&self, more: u32) {
        if more > 0 {
            self.0.fetch_add(more, Ordering::SeqCst);
        }
    }

    pub(crate) fn take(&self, fewer: u32) {
        if fewer > 0 {
            self.0.fetch_sub(fewer, Ordering::SeqCst);
        }
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}
