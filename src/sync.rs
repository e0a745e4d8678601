//! The primitives that waiting and waking rest on, in one place.
//!
//! Owns the choice, and how a thread gives way to others. A checker of interleavings compiles the files that use these with its
//! own in their place.

pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};
pub(crate) use std::sync::{Arc, OnceLock};

use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

/// How many times who waits lets others run before it sleeps, at least. Where many do, a turn comes back when others had theirs;
/// where a processor is idle, all of them take a few microseconds.
const TURNS: u32 = 32;

/// Longer than a turn takes among those who give way themselves; shorter than the slice of time that a scheduler gives to who
/// does not.
const SOON: Duration = Duration::from_millis(1);

/// What a thread has given, awake, to what it waits for: time, and turns that it left to others.
#[derive(Debug)]
pub(crate) struct Patience {
    since: Instant,
    /// The beginning of this turn.
    turn: Instant,
    turns: u32,
}

impl Patience {
    pub(crate) fn new() -> Patience {
        let now = Instant::now();
        Patience { since: now, turn: now, turns: 0 }
    }

    /// Lets other threads run before this one goes on. Whether its next turn came soon.
    pub(crate) fn give_way(&mut self) -> bool {
        std::thread::yield_now();
        let before = std::mem::replace(&mut self.turn, Instant::now());
        self.turns = self.turns.saturating_add(1);
        self.turn.duration_since(before) < SOON
    }

    /// How long it has waited, up to this turn.
    pub(crate) fn waited(&self) -> Duration {
        self.turn.duration_since(self.since)
    }

    /// Whether it has given enough: so much time, and some turns.
    pub(crate) fn is_over(&self, least: Duration) -> bool {
        self.turns >= TURNS && self.waited() >= least
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_with_time_and_turns_both() {
        let mut patience = Patience::new();
        assert!(!patience.is_over(Duration::ZERO));
        let least = Duration::from_millis(1);
        while !patience.is_over(least) {
            patience.give_way();
        }
        assert!(patience.turns >= TURNS && patience.waited() >= least);
        assert!(!patience.is_over(Duration::MAX));
    }
}
