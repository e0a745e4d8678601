//! What all handles, handles to appends and threads of one open log share.
//!
//! Owns the locks and their order: sequencer, then the lazily set values, then view; watchers, then view; checkpoint, then
//! view; `making`, `mending`, `learning`, the committer's `live` and the `spare` are taken with none of these held. User code (a
//! waker) is never called under any of them.

use crate::engine::lazies::Lazies;
use crate::engine::progress::Progress;
use crate::engine::sequencer::Sequencer;
use crate::engine::spare::Spare;
use crate::engine::view::View;
use crate::engine::wake::wake_all;
use crate::engine::watchers::{Over, Watchers};
use crate::error::{CloseError, IoFault, PoisonCause};
use crate::format::checkpoint::{Checkpoint, DurablePlace};
use crate::index::ids::IdTables;
use crate::index::versions::Versions;
use crate::options::Options;
use crate::segment::reader::Live;
use crate::storage::{Lock, Storage};
use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) log_id: Uuid,
    pub(crate) seq: Mutex<Sequencer>,
    pub(crate) view: RwLock<View>,
    /// Versions of the view's that are asked for again and again.
    pub(crate) versions: Versions,
    pub(crate) progress: Progress,
    /// Those who wait for events to come.
    pub(crate) watchers: Watchers,
    /// Kept values that the index does not show yet.
    pub(crate) lazies: Arc<Lazies>,
    /// Where ids of the callers' own stand; filled as far as somebody asked.
    pub(crate) id_tables: Mutex<IdTables>,
    /// Held, by consumer, from the look at its place until the place is written: it only moves forward.
    pub(crate) places: Mutex<HashMap<Box<str>, Arc<Mutex<()>>>>,
    /// Names that somebody has claimed.
    pub(crate) claims: Mutex<HashSet<Box<str>>>,
    /// The segment being written. Only who drives keeps it.
    pub(crate) live: Mutex<Live>,
    /// The next segment. Locked while it is being zeroed; taken out of here when it goes live.
    pub(crate) spare: Mutex<Option<Spare>>,
    /// A place to note as durable, for the maintenance to write down.
    pub(crate) checkpoint_due: Mutex<Option<DurablePlace>>,
    /// The checkpoint as it is on disk. Held while it is written.
    pub(crate) checkpoint: Mutex<Checkpoint>,
    /// Held by whoever reads the recent ids.
    pub(crate) learning: Mutex<()>,
    /// The number of the next index file. Held by whoever makes them.
    pub(crate) making: Mutex<u64>,
    /// The last try to make an index file failed, and how.
    pub(crate) index_fault: Mutex<Option<IoFault>>,
    /// Held by whoever mends the index.
    pub(crate) mending: Mutex<()>,
    /// Ends the making of index files.
    pub(crate) stop_indexing: AtomicBool,
    /// Held until the log is closed.
    pub(crate) lock: RwLock<Option<Lock>>,
    /// Wakes the writer thread; used with `seq`.
    pub(crate) writer_bell: Condvar,
    /// There may be work: for a writer that has not gone to sleep yet.
    pub(crate) writer_hint: AtomicBool,
    /// Wakes those who wait for the role or for the end of a close; used with `seq`.
    pub(crate) role_bell: Condvar,
    /// Wakes the maintenance thread; gone when there is none.
    pub(crate) maintenance_bell: Mutex<Option<Sender<()>>>,
    /// Wakes the index thread; gone when there is none.
    pub(crate) indexing_bell: Mutex<Option<Sender<()>>>,
    pub(crate) threads: Mutex<Vec<JoinHandle<()>>>,
    /// What the one who closed found.
    pub(crate) closed: Mutex<Result<(), CloseError>>,
}

/// How often the sequencer's lock is tried before it is waited for, which gives the processor away after a few tries. It is
/// mostly held for less than a microsecond; until 64 callers on two processors give it back takes far longer.
const SPINS: usize = 100;

impl Shared {
    /// Takes the sequencer.
    pub(crate) fn sequencer(&self) -> MutexGuard<'_, Sequencer> {
        for _ in 0..SPINS {
            if let Some(seq) = self.seq.try_lock() {
                return seq;
            }
            std::hint::spin_loop();
        }
        self.seq.lock()
    }

    /// Lets go of the sequencer, wakes those whose answers came while it was held, and has space found that is needed since.
    pub(crate) fn release(&self, mut seq: MutexGuard<'_, Sequencer>) {
        let wakers = std::mem::take(&mut seq.to_wake);
        let need_is_new = std::mem::take(&mut seq.need_is_new);
        drop(seq);
        if need_is_new {
            self.ring_maintenance();
        }
        wake_all(wakers);
    }

    /// The right to change files of the directory beside the last segment, held meanwhile. `None` from the end of the log on:
    /// what is there then is the next one's.
    pub(crate) fn directory(&self) -> Option<RwLockReadGuard<'_, Option<Lock>>> {
        let lock = self.lock.read();
        lock.is_some().then_some(lock)
    }

    /// Wakes the writer thread, or keeps it from going to sleep.
    pub(crate) fn ring_writer(&self) {
        self.writer_hint.store(true, Ordering::Relaxed);
        self.writer_bell.notify_one();
    }

    pub(crate) fn ring_maintenance(&self) {
        if let Some(bell) = &*self.maintenance_bell.lock() {
            // Full means that it is rung already.
            let _ = bell.try_send(());
        }
    }

    /// Refuses everything from now on, and tells all who wait. `batch` is the first one that is not durable yet; it may be
    /// on its way.
    pub(crate) fn poison(&self, mut seq: MutexGuard<'_, Sequencer>, batch: u64, cause: PoisonCause) {
        if seq.poisoned.is_none() {
            seq.poisoned = Some((batch, cause.clone()));
            self.lazies.end();
            // What is on its way may still come, and be seen: whoever drives it ends them.
            if !seq.driving {
                seq.to_wake.extend(self.watchers.end(Over::Poisoned(cause)));
            }
            if let Some(error) = seq.refusal() {
                seq.refuse_queue(&error);
            }
        }
        // Let go of first: a waiter that wakes asks the sequencer for the cause.
        self.release(seq);
        self.progress.fail(batch);
    }
}

/// Nanoseconds since 1970, by the system's clock; 0 for a clock before that.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
