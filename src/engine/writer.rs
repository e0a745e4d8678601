//! The writer thread.
//!
//! Owns its life: it drives whatever nobody else does, writes the idle witness and what was set lazily, and sleeps. Must never
//! hold the sequencer while it waits.

use crate::engine::answer::Wait;
use crate::engine::gathering::Gathering;
use crate::engine::lazies::LAZY_WITHIN;
use crate::engine::sequencer::{Phase, Sequencer};
use crate::engine::shared::{Shared, now};
use crate::format::frame::FrameKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long the writer stays awake for the next append: about as long as two threads take to wake each other.
const AWAKE: Duration = Duration::from_micros(150);

/// Whether it pays to stay awake. To wake a thread costs as much as a quarter of a synced write, or more; a caller that awaits
/// each of its appends would pay it every time. Only one that came back soon is waited for, and only as long as it does.
struct Watch {
    possible: bool,
    keen: bool,
    idle_since: Option<Instant>,
}

impl Watch {
    fn new() -> Watch {
        // On one processor it would only keep the caller from going on.
        let possible = std::thread::available_parallelism().is_ok_and(|processors| processors.get() > 1);
        Watch { possible, keen: false, idle_since: None }
    }

    /// Under the sequencer, so that no hint of later work is lost.
    fn work_came(&mut self, hint: &AtomicBool) {
        hint.store(false, Ordering::Relaxed);
        let idle_since = self.idle_since.take();
        self.keen = self.possible && idle_since.is_some_and(|since| since.elapsed() < AWAKE);
    }

    /// All is done. Returns when there is a hint of more, or when it is time to sleep.
    fn keep(&mut self, hint: &AtomicBool) {
        let since = Instant::now();
        self.idle_since = Some(since);
        while self.keen && !hint.load(Ordering::Relaxed) && since.elapsed() < AWAKE {
            std::hint::spin_loop();
        }
    }
}

impl Shared {
    /// The life of the writer thread.
    pub(crate) fn run_writer(&self) {
        let mut watch = Watch::new();
        let mut gathering = Gathering::default();
        let mut seq = self.sequencer();
        loop {
            if !seq.driving && seq.has_work() {
                watch.work_came(&self.writer_hint);
                loop {
                    let begun = Instant::now();
                    seq = self.drive(seq);
                    // The role stays taken: who comes meanwhile waits for the commit that waits for the others.
                    self.release(seq);
                    self.progress.stay_awake(gathering.gather(&self.progress, begun.elapsed()));
                    seq = self.sequencer();
                    if !seq.has_work() {
                        break;
                    }
                }
                self.leave_role(seq);
                watch.keep(&self.writer_hint);
                seq = self.sequencer();
                continue;
            }
            if matches!(seq.phase, Phase::Closed) || seq.poisoned.is_some() && seq.phase != Phase::Open {
                return;
            }
            let witness_due = seq.unwitnessed_since.map(|since| since + self.options.idle_witness_after);
            let lazies_due = seq.lazy_since.map(|since| since + LAZY_WITHIN);
            let due = witness_due.into_iter().chain(lazies_due).min().filter(|_| seq.poisoned.is_none());
            match due {
                None => {
                    seq.writer_sleeps = true;
                    self.writer_bell.wait(&mut seq);
                    seq.writer_sleeps = false;
                }
                Some(due) if Instant::now() < due => {
                    self.writer_bell.wait_until(&mut seq, due);
                }
                // Somebody else commits just now; what that leaves is looked at later.
                Some(_) if seq.driving || seq.phase != Phase::Open => {
                    self.writer_bell.wait_for(&mut seq, self.options.idle_witness_after.min(LAZY_WITHIN / 4));
                }
                Some(due) if Some(due) == lazies_due => self.write_lazies(&mut seq),
                Some(_) => {
                    seq.witness(FrameKind::Idle, self.options.pad_commits);
                    if seq.open.is_empty() {
                        seq.unwitnessed_since = None;
                    }
                }
            }
        }
    }

    /// Puts what was set lazily into the open batch. What finds no room is tried again after the same while.
    fn write_lazies(&self, seq: &mut Sequencer) {
        if let Err(Wait::Space { bytes }) = seq.stamp_lazies(now(), &self.view)
            && !seq.has_queue()
        {
            seq.want_space(bytes);
            self.ring_maintenance();
        }
        if seq.lazy_since.is_some() {
            seq.lazy_since = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(idle_since: Option<Instant>) -> Watch {
        Watch { possible: true, keen: false, idle_since }
    }

    #[test]
    fn only_who_came_back_soon_is_waited_for() {
        let hint = AtomicBool::new(true);
        // Ahead of the clock: no time has passed, however slow this is.
        let now = Instant::now() + Duration::from_secs(60);
        for (idle_since, keen) in [(None, false), (Some(now), true), (Some(Instant::now() - AWAKE), false)] {
            let mut watch = watch(idle_since);
            watch.work_came(&hint);
            assert_eq!(watch.keen, keen, "{idle_since:?}");
            assert!(!hint.swap(true, Ordering::Relaxed), "a hint of work that is being done");
        }
        let mut alone = Watch { possible: false, ..watch(Some(now)) };
        alone.work_came(&hint);
        assert!(!alone.keen);
    }

    #[test]
    fn a_hint_ends_the_wait_and_so_does_time() {
        let hint = AtomicBool::new(true);
        let mut watch = Watch { keen: true, ..watch(None) };
        watch.keep(&hint);
        assert!(hint.load(Ordering::Relaxed) && watch.idle_since.is_some());
        hint.store(false, Ordering::Relaxed);
        let begun = Instant::now();
        watch.keep(&hint);
        assert!(begun.elapsed() >= AWAKE);
        watch.keen = false;
        watch.keep(&hint);
    }
}
