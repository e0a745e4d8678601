//! Gathering: one sync for all who append again as soon as they have their answers.
//!
//! Owns the choice whether the next commit waits for them, and how long. Left alone, callers fall apart into two parties, each of
//! which waits for the sync of the other. Must never hold the sequencer meanwhile, and never wait long, or often, for who does
//! not come back, nor beside a program that keeps the processors to itself.

use crate::engine::progress::Progress;
use crate::sync::Patience;
use std::time::Duration;

/// The longest wait.
const LONGEST: Duration = Duration::from_micros(100);
/// Those who wait sleep through commits that take longer: what it takes to wake them is little beside.
const SLEPT_THROUGH: Duration = Duration::from_micros(300);
/// From how many on those who wait are better off awake, whether all come back in time or not: to put as many to sleep and to
/// wake them takes about as long as what they wait for.
const CROWD: u32 = 24;

/// After so many commits without a pause it is forgotten that there was one.
const FORGOTTEN: u32 = 256;

#[derive(Debug, Default)]
pub(crate) struct Gathering {
    /// Waiting for the others.
    waits: Pause<1, 63>,
    turns: Turns,
}

/// Whether those who stay awake get their turns soon. Where another program does not give way, each turn that is given to it
/// takes milliseconds.
#[derive(Debug, Default)]
struct Turns {
    pause: Pause<31, 4095>,
    /// How many slow ones had been counted at the last commit.
    counted: u32,
    /// What the slow ones weigh, less one for each turn that was waited for a commit.
    load: u64,
    /// How many commits there were since the last pause.
    since_pause: u32,
}

impl Turns {
    /// What a slow one weighs. Fewer than one in so many, of all turns that are waited for a commit, do not matter.
    const WEIGHT: u64 = 256;

    /// Counts a commit for which so many waited. Too slow is when all of them were at once, or some of them go on to be.
    fn are_soon(&mut self, slow: u32, waited: u32) -> bool {
        let more = slow.wrapping_sub(std::mem::replace(&mut self.counted, slow));
        if !self.pause.is_over() {
            return false;
        }
        self.load = (self.load + Self::WEIGHT * u64::from(more)).saturating_sub(waited.into());
        self.since_pause = self.since_pause.saturating_add(1);
        if self.load <= Self::WEIGHT * u64::from(waited.max(1)) {
            return true;
        }
        if self.since_pause >= FORGOTTEN {
            self.pause = Pause::default();
        }
        self.pause.begin();
        (self.load, self.since_pause) = (0, 0);
        false
    }
}

/// For how many commits something is left alone that did not pay: each time twice as many, up to `MOST`.
#[derive(Debug, Default)]
struct Pause<const LEAST: u32, const MOST: u32> {
    len: u32,
    left: u32,
}

impl<const LEAST: u32, const MOST: u32> Pause<LEAST, MOST> {
    /// Counts a commit.
    fn is_over(&mut self) -> bool {
        let is_over = self.left == 0;
        self.left = self.left.saturating_sub(1);
        is_over
    }

    fn begin(&mut self) {
        self.len = (self.len * 2 + 1).clamp(LEAST, MOST);
        self.left = self.len;
    }
}

impl Gathering {
    /// Waits until all who were waiting when the last commit was done are waiting again, if that has paid, or may. Half of the
    /// time that the last commit took is the most that it may take, and a turn. Says whether those who wait should stay awake,
    /// and how long at least.
    pub(crate) fn gather(&mut self, progress: &Progress, took: Duration) -> Option<Duration> {
        let expected = progress.expected();
        if !self.turns.are_soon(progress.slow_turns(), expected) {
            return None;
        }
        let is_whole = expected >= 2 && self.waits.is_over() && self.wait(progress, expected, limit(took));
        (is_whole || expected >= CROWD).then(|| patience(took))
    }

    fn wait(&mut self, progress: &Progress, expected: u32, limit: Duration) -> bool {
        let mut patience = Patience::new();
        loop {
            if progress.waiting() >= expected {
                self.waits = Pause::default();
                return true;
            }
            // This turn is everybody's.
            if patience.waited() >= limit || !progress.give_way(&mut patience, expected) {
                self.waits.begin();
                return false;
            }
        }
    }
}

/// How long it may take, by how long the last commit took: if all come, that much is won.
fn limit(took: Duration) -> Duration {
    LONGEST.min(took / 2)
}

/// How long who waits stays awake at least, by how long the last commit took: for the rest of one, and the next.
fn patience(took: Duration) -> Duration {
    if took <= SLEPT_THROUGH { 2 * took } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Durability::{Synced, Written};
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::time::Instant;

    #[test]
    fn what_was_in_vain_is_tried_ever_less_often() {
        let mut pause = Pause::<1, 7>::default();
        let mut passed = || {
            let passed = std::iter::from_fn(|| (!pause.is_over()).then_some(())).count();
            pause.begin();
            passed
        };
        assert_eq!([(); 6].map(|()| passed()), [0, 1, 3, 7, 7, 7]);
    }

    #[test]
    fn slow_turns_end_it_if_all_of_them_are_or_some_go_on_to_be() {
        let mut turns = Turns::default();
        let mut slow = 0;
        // Commits that four waited for.
        let mut commits = |more, times: u32| {
            let soon = (0..times).map(|_| {
                slow += more;
                turns.are_soon(slow, 4)
            });
            soon.filter(|soon| *soon).count()
        };
        // Nearly all at once are not too many, and forgotten soon.
        assert_eq!(commits(4, 1) + commits(0, 256) + commits(4, 1), 258);
        // A second time at once is too many, but what is counted in a pause makes it no longer.
        assert_eq!(commits(4, 32), 0);
        // Again soon after: twice as long.
        assert_eq!(commits(0, 99) + commits(5, 1) + commits(0, 63), 99);
        // One for each commit, and then none for a while: short again.
        assert_eq!(commits(1, 4) + commits(1, 1) + commits(0, 127), 4);
        assert_eq!(commits(0, 256) + commits(5, 1) + commits(0, 31), 256);
        // One in a hundred commits does not matter.
        assert_eq!((0..20).map(|_| commits(1, 1) + commits(0, 99)).sum::<usize>(), 2000);
    }

    #[test]
    fn a_turn_that_took_long_is_counted() {
        let progress = Progress::new(0);
        // Beside threads that do not give way, sooner or later one does.
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 * std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    while !done.load(Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let mut patience = Patience::new();
            while progress.give_way(&mut patience, 3) {}
            done.store(true, Relaxed);
        });
        assert_eq!(progress.slow_turns(), 3);
    }

    #[test]
    fn nobody_is_waited_for_longer_than_it_may_gain() {
        assert_eq!(limit(Duration::from_secs(3600)), LONGEST);
        assert_eq!(limit(Duration::from_micros(20)), Duration::from_micros(10));
    }

    #[test]
    fn long_commits_are_slept_through() {
        assert_eq!(patience(SLEPT_THROUGH), 2 * SLEPT_THROUGH);
        assert_eq!(patience(SLEPT_THROUGH + Duration::from_nanos(1)), Duration::ZERO);
    }

    #[test]
    fn a_crowd_stays_awake_whether_it_comes_back_or_not() {
        for (waiting, awake) in [(CROWD - 1, None), (CROWD, Some(Duration::ZERO))] {
            let progress = &Progress::new(0);
            std::thread::scope(|scope| {
                let _end = End(progress);
                for _ in 0..waiting {
                    scope.spawn(|| progress.wait(1, Synced));
                }
                until(|| progress.waiting() == waiting);
                progress.advance_durable(1);
            });
            assert_eq!(Gathering::default().gather(progress, LONG), awake, "{waiting}");
        }
    }

    /// How long a commit took, so that half of it is longer than a turn can take.
    const LONG: Duration = Duration::from_secs(20);

    /// However a test ends, nobody waits any more.
    struct End<'a>(&'a Progress);

    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.fail(0);
        }
    }

    fn until(is_so: impl Fn() -> bool) {
        let since = Instant::now();
        while !is_so() {
            assert!(since.elapsed() < Duration::from_secs(20), "it never comes to be so");
            std::thread::yield_now();
        }
    }

    #[test]
    fn who_waited_is_expected_again_and_given_up_in_time() {
        let progress = &Progress::new(0);
        let mut gathering = Gathering::default();
        // Nobody has waited for the last one.
        assert_eq!(gathering.gather(progress, LONG), None);
        assert_eq!((gathering.waits.len, gathering.waits.left), (0, 0));
        std::thread::scope(|scope| {
            let _end = End(progress);
            let wait_for = |batch, level| drop(scope.spawn(move || progress.wait(batch, level)));
            for (batch, level) in [(1, Synced), (1, Synced), (1, Written), (2, Synced)] {
                wait_for(batch, level);
            }
            until(|| (progress.waiting(), progress.waiting_for(2)) == (2, 1));
            progress.advance_durable(1);
            assert_eq!((progress.expected(), progress.waiting()), (3, 1));
            // They do not come back.
            let since = Instant::now();
            assert_eq!(gathering.gather(progress, LONG), None);
            assert!(since.elapsed() < LONG / 2);
            assert_eq!(gathering.waits.len, 1);
            // Now they do.
            wait_for(2, Synced);
            wait_for(2, Synced);
            until(|| progress.waiting() == 3);
            gathering.waits.left = 0;
            assert_eq!(gathering.gather(progress, LONG), Some(Duration::ZERO));
            assert_eq!(gathering.waits.len, 0);
            progress.advance_durable(2);
            assert_eq!((progress.expected(), progress.waiting()), (3, 0));
        });
    }
}
