//! The threads of an open log, and its end.
//!
//! Owns starting, stopping and closing. A panic in a thread poisons the log and wakes everybody.

use crate::engine::answer::Wait;
use crate::engine::sequencer::Phase;
use crate::engine::shared::{Shared, now};
use crate::engine::watchers::Over;
use crate::error::{CloseError, PoisonCause};
use crate::format::checkpoint::DurablePlace;
use crate::format::frame::FrameKind;
use crate::segment::name::SPARE;
use crate::types::Location;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Shared {
    /// Starts the threads, if the options want them.
    pub(crate) fn start_threads(self: &Arc<Self>) -> io::Result<()> {
        if !self.options.background {
            self.maintain();
            self.settle_index(&self.stop_indexing, true);
            return Ok(());
        }
        let (bell, rung) = crossbeam_channel::bounded(1);
        *self.maintenance_bell.lock() = Some(bell);
        let shared = self.clone();
        self.spawn("annals-maintenance", move || shared.run_maintenance(&rung))?;
        let (bell, rung) = crossbeam_channel::bounded(1);
        *self.indexing_bell.lock() = Some(bell);
        let shared = self.clone();
        self.spawn("annals-index", move || shared.run_indexing(&rung))?;
        let shared = self.clone();
        self.spawn("annals-writer", move || shared.run_writer())
    }

    fn spawn(self: &Arc<Self>, name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let shared = self.clone();
        let guarded = move || {
            if catch_unwind(AssertUnwindSafe(body)).is_err() {
                shared.poison_after_panic();
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(guarded)?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// A thread of ours is gone: nothing that waits for it may wait for ever.
    fn poison_after_panic(&self) {
        let mut seq = self.sequencer();
        // Another thread that commits just now gives the role back itself: its write must end before the log is closed.
        if seq.is_driven_here() {
            seq.driving = false;
        }
        self.role_bell.notify_all();
        self.poison(seq, self.progress.next_batch(), PoisonCause::Panic);
    }

    /// Makes everything durable that was accepted, testifies to it, and lets the next one open the directory.
    pub(crate) fn close(&self) -> Result<(), CloseError> {
        // Those who close wait for the threads of the log, which for that reason do not wait for them.
        let waits = !self.is_own_thread();
        let mut seq = self.sequencer();
        match seq.phase {
            Phase::Closed | Phase::Closing => {
                while waits && !seq.left {
                    self.role_bell.wait(&mut seq);
                }
                return self.closed.lock().clone();
            }
            Phase::ReadOnly => {
                (seq.phase, seq.left) = (Phase::Closed, true);
                seq.to_wake.extend(self.watchers.end(Over::Closed));
                self.release(seq);
                return Ok(());
            }
            Phase::Open => seq.phase = Phase::Closing,
        }
        self.lazies.end();
        // 1. Finish what was accepted.
        let mut lazies_lost = None;
        loop {
            if seq.driving {
                self.role_bell.wait(&mut seq);
                continue;
            }
            if lazies_lost.is_none() && !seq.has_queue() {
                match seq.stamp_lazies(now(), &self.view) {
                    Err(Wait::Space { bytes }) => {
                        seq.want_space(bytes);
                        self.release(seq);
                        self.provide_space_guarded();
                        seq = self.sequencer();
                        lazies_lost = seq.disk_full.clone();
                        continue;
                    }
                    Ok(()) | Err(Wait::Turn) => {}
                }
            }
            if seq.has_work() {
                seq = self.drive(seq);
                seq.driving = false;
            } else if seq.needs_space.is_some() && seq.poisoned.is_none() {
                self.release(seq);
                self.provide_space_guarded();
                seq = self.sequencer();
            } else {
                break;
            }
        }
        // 2. Testify.
        if seq.poisoned.is_none() && !seq.says_closed {
            seq.witness(FrameKind::Closed, self.options.pad_commits);
            if seq.has_work() {
                seq = self.drive(seq);
                seq.driving = false;
            }
        }
        let result = match &seq.poisoned {
            Some((_, cause)) => Err(CloseError::Poisoned(cause.clone())),
            None => Ok(DurablePlace {
                end: Location { segment: seq.tail.header.ordinal, offset: seq.open.end() },
                salt: seq.tail.header.salt,
                last_position: seq.appended(),
                batch_number: seq.tail.chain.batch_number,
                checksum: seq.tail.chain.checksum,
            }),
        };
        let result = match (result, lazies_lost) {
            (Ok(_), Some(fault)) => Err(CloseError::LazyLost(fault)),
            (result, _) => result,
        };
        self.release(seq);
        // 3. The threads end before the checkpoint is written: the maintenance writes one, too.
        let mut lock = None;
        *self.maintenance_bell.lock() = None;
        self.stop_indexing.store(true, Ordering::Relaxed);
        *self.indexing_bell.lock() = None;
        self.writer_bell.notify_all();
        let mut finish = |place| {
            self.join("annals-maintenance");
            self.join("annals-index");
            // Waits for those who see to such things themselves, as appends do without threads. They find nothing to do now.
            lock = self.lock.write().take();
            self.cover();
            // A closed log keeps no space that it does not use. Whoever opens it makes another spare.
            if self.spare.lock().take().is_some() {
                let _ = self.storage.remove(SPARE);
            }
            self.note_closed(place).map_err(CloseError::Checkpoint)
        };
        let result = result.and_then(|place| {
            let finished = catch_unwind(AssertUnwindSafe(|| finish(place)));
            finished.unwrap_or(Err(CloseError::Poisoned(PoisonCause::Panic)))
        });
        // 4. Out.
        *self.closed.lock() = result.clone();
        let mut seq = self.sequencer();
        seq.phase = Phase::Closed;
        seq.to_wake.extend(self.watchers.end(Over::Closed));
        self.writer_bell.notify_all();
        self.role_bell.notify_all();
        self.release(seq);
        self.join("");
        *self.lock.write() = None;
        drop(lock);
        self.sequencer().left = true;
        self.role_bell.notify_all();
        result
    }

    /// A storage that panics must not keep the others who close.
    pub(crate) fn provide_space_guarded(&self) {
        if catch_unwind(AssertUnwindSafe(|| self.provide_space())).is_err() {
            self.poison_after_panic();
        }
    }

    /// Waits for the threads of this name, or for all. A thread never waits for itself.
    fn join(&self, name: &str) {
        let threads: Vec<_> = {
            let mut threads = self.threads.lock();
            threads.extract_if(.., |thread| name.is_empty() || thread.thread().name() == Some(name)).collect()
        };
        for thread in threads {
            if thread.thread().id() != std::thread::current().id() {
                // It panicked: then the log is poisoned, which is what its users are told.
                let _ = thread.join();
            }
        }
    }

    /// Whether the current thread is one of the log's own.
    pub(crate) fn is_own_thread(&self) -> bool {
        let current = std::thread::current().id();
        self.threads.lock().iter().any(|thread| thread.thread().id() == current)
    }
}
