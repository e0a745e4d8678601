//! [`EventLog`]: the handle that users hold.
//!
//! Owns the calls and their contracts; what they do is in the files beside this one.

use crate::engine::answer::Wait;
use crate::engine::cursor::Cursor;
use crate::engine::pending::{self, Appended, FromAssigned, Names, Pending};
use crate::engine::progress::Progress;
use crate::engine::recent::RecentIds;
use crate::engine::recovery::{Recovered, open_fault, recover};
use crate::engine::report::RecoveryReport;
use crate::engine::request::Request;
use crate::engine::sequencer::{Entry, Phase, Sequencer};
use crate::engine::shared::{self, Shared};
use crate::engine::watchers::{Over, Watchers};
use crate::error::{AppendError, CloseError, OpenError, PoisonCause, ReadError};
use crate::event::{Event, NewEvent};
use crate::index::versions::Versions;
use crate::options::Options;
use crate::query::Query;
use crate::storage::Storage;
use crate::types::{Durability, ExpectedVersion};
use parking_lot::{Condvar, Mutex, RwLock};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use uuid::Uuid;

/// An open log: a cheap handle, to be cloned and shared between threads.
///
/// Blocking calls say so. None of them may be made on a thread that must not block, such as one of an async runtime; use
/// [`EventLog::submit`] there, and await what it returns.
///
/// Dropping the last handle closes the log as [`EventLog::close`] does, and waits for it, but cannot report an error.
#[derive(Clone)]
pub struct EventLog {
    handle: Arc<Handle>,
}

/// Closes the log when the last clone goes.
struct Handle {
    shared: Arc<Shared>,
    report: RecoveryReport,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.shared.is_own_thread() || self.shared.sequencer().is_driven_here() {
            // A waker dropped the last handle on a thread that commits or makes files just now, which cannot wait for itself.
            let shared = self.shared.clone();
            std::thread::spawn(move || shared.close());
        } else {
            let _ = self.shared.close();
        }
    }
}

/// The state of a log, read without touching the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Whether it takes appends, and if not, why.
    pub state: LogState,
    /// Position of the last event that was numbered, durable or not.
    pub appended: u64,
    /// Position of the last event that is durable and visible; never more than `appended`.
    pub durable: u64,
    /// The last attempt to make the next segment ready failed, and how: mostly for lack of space. Appends that need it
    /// are refused; each tries again.
    pub disk_full: Option<crate::error::IoFault>,
    /// The last attempt to write a file of the index failed, and how. What it would say stays in memory, and the next open takes
    /// longer; nothing is lost. It is tried again when more of the log is full.
    pub index_unwritten: Option<crate::error::IoFault>,
}

/// Whether a log takes appends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogState {
    /// It does.
    Open,
    /// It was opened to be read.
    ReadOnly,
    /// A write or sync failed; it can be read, and must be opened again to be written.
    Poisoned(PoisonCause),
    /// It was closed, or is being closed.
    Closed,
}

impl EventLog {
    /// Opens the log in a directory, making both if there is none. The same as `Options::new().open(path)`.
    ///
    /// # Errors
    /// See [`OpenError`] and [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<EventLog, OpenError> {
        Options::new().open(path)
    }

    /// Opens the log in a directory to be read. The same as `Options::new().open_read_only(path)`.
    ///
    /// # Errors
    /// See [`OpenError`] and [`Options::open_read_only`].
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<EventLog, OpenError> {
        Options::new().open_read_only(path)
    }

    /// A new, empty log in memory. The same behaviour; nothing survives the last handle.
    ///
    /// # Errors
    /// None with these options; the signature is that of all ways to open.
    pub fn in_memory() -> Result<EventLog, OpenError> {
        Options::new().open_in_memory()
    }

    pub(crate) fn start(storage: Arc<dyn Storage>, options: Options) -> Result<EventLog, OpenError> {
        let lock = storage.try_lock().map_err(|error| open_fault("lock", ".", &error))?;
        let Some(lock) = lock else { return Err(OpenError::AlreadyOpen { path: storage.name() }) };
        let recovered = recover(&*storage, &options, true)?;
        let log = EventLog::assemble(storage, options, recovered, Phase::Open, Some(lock));
        log.handle.shared.start_threads().map_err(|error| open_fault("start a thread for", ".", &error))?;
        Ok(log)
    }

    pub(crate) fn start_read_only(
        storage: Arc<dyn Storage>,
        options: Options,
    ) -> Result<EventLog, OpenError> {
        let recovered = recover(&*storage, &options, false)?;
        let log = EventLog::assemble(storage, options, recovered, Phase::ReadOnly, None);
        // A snapshot: nothing comes, nothing is written.
        log.shared().lazies.end();
        log.shared().watchers.end(Over::Closed);
        Ok(log)
    }

    fn assemble(
        storage: Arc<dyn Storage>,
        options: Options,
        recovered: Recovered,
        phase: Phase,
        lock: Option<crate::storage::Lock>,
    ) -> EventLog {
        let Recovered {
            log_id,
            view,
            tail,
            end,
            page,
            next_batch,
            unwitnessed,
            says_closed,
            live,
            checkpoint,
            next_number,
            report,
        } = recovered;
        let mut seq = Sequencer::new(tail, end, &page, next_batch, options.batch_bytes, phase);
        seq.unwitnessed_since = unwitnessed.then(Instant::now);
        seq.says_closed = says_closed;
        seq.last_revision = view.index.last_revision;
        seq.last_creation = view.index.last_creation;
        let window = options.idempotency_window;
        // There is nothing to be learned from an empty log, or for a window of no length.
        seq.recent = (window == 0 || view.visible.position == 0).then(|| RecentIds::new(window));
        let lazies = seq.lazies.clone();
        let shared = Shared {
            options,
            storage,
            log_id,
            seq: Mutex::new(seq),
            view: RwLock::new(view),
            versions: Versions::default(),
            progress: Progress::new(next_batch - 1),
            watchers: Watchers::default(),
            lazies,
            id_tables: Mutex::default(),
            places: Mutex::default(),
            claims: Mutex::default(),
            live: Mutex::new(live),
            spare: Mutex::new(None),
            checkpoint_due: Mutex::new(None),
            checkpoint: Mutex::new(checkpoint),
            learning: Mutex::default(),
            making: Mutex::new(next_number),
            index_fault: Mutex::default(),
            mending: Mutex::default(),
            stop_indexing: AtomicBool::default(),
            lock: RwLock::new(lock),
            writer_bell: Condvar::new(),
            writer_hint: AtomicBool::new(false),
            role_bell: Condvar::new(),
            maintenance_bell: Mutex::new(None),
            indexing_bell: Mutex::new(None),
            threads: Mutex::new(Vec::new()),
            closed: Mutex::new(Ok(())),
        };
        EventLog { handle: Arc::new(Handle { shared: Arc::new(shared), report }) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Appends events to one stream, if it is as expected: all of them or none.
    ///
    /// Blocks until the events are durable ([`Durability::Synced`], or the level set by [`Options::durability`]) and
    /// visible. Many threads that append at once share their syncs; where they append again at once and the disk syncs
    /// within 300 us, they stay awake for the time of two syncs, giving way to other threads, before they sleep. Without
    /// events, checks the condition and registers the stream.
    ///
    /// # Errors
    /// See [`AppendError`]. A conflict is told only once the state that it rests on is durable, so that a read that
    /// follows shows at least the version it names.
    pub fn append(
        &self,
        stream: &str,
        expected: ExpectedVersion,
        events: &[NewEvent<'_>],
    ) -> Result<Appended, AppendError> {
        self.append_as(None, stream, expected, events)
    }

    pub(crate) fn append_as(
        &self,
        tenant: Option<&str>,
        stream: &str,
        expected: ExpectedVersion,
        events: &[NewEvent<'_>],
    ) -> Result<Appended, AppendError> {
        let request = self.request(tenant, stream, expected, events)?;
        let (assigned, level) = self.shared().append(request, self.shared().options.durability)?;
        Ok(pending::outcome(self.shared(), assigned, Names::default(), level))
    }

    /// Appends without waiting: the versions and positions are known on return (unless the batch is full, see
    /// [`Pending`]), durability comes later. Never blocks on the disk; appends of one thread keep their order.
    ///
    /// # Errors
    /// Only what is wrong with the call itself; all else is told by the handle.
    pub fn submit(
        &self,
        stream: &str,
        expected: ExpectedVersion,
        events: &[NewEvent<'_>],
    ) -> Result<Pending<Appended>, AppendError> {
        self.submit_as(None, stream, expected, events)
    }

    pub(crate) fn submit_as(
        &self,
        tenant: Option<&str>,
        stream: &str,
        expected: ExpectedVersion,
        events: &[NewEvent<'_>],
    ) -> Result<Pending<Appended>, AppendError> {
        let request = self.request(tenant, stream, expected, events)?;
        Ok(self.submit_request(request, Names::default(), self.shared().options.durability))
    }

    /// The same, but gives up when there is no room at once. Looks into the index as every append does, and waits for nobody,
    /// with one exception: appends with ids wait until the recent ids have been read once after an open.
    ///
    /// # Errors
    /// [`AppendError::Full`] when it would have to wait for room, which is made meanwhile (without background threads, by the
    /// next blocking call), [`AppendError::DiskFull`] or [`AppendError::SegmentUnavailable`] when the disk had none either when
    /// it was last asked; else as [`EventLog::submit`].
    pub fn try_submit(
        &self,
        stream: &str,
        expected: ExpectedVersion,
        events: &[NewEvent<'_>],
    ) -> Result<Pending<Appended>, AppendError> {
        let request = self.request(None, stream, expected, events)?;
        self.try_submit_request(request, Names::default(), self.shared().options.durability)
    }

    fn request(
        &self,
        tenant: Option<&str>,
        stream: &str,
        expected: ExpectedVersion,
        events: &[NewEvent<'_>],
    ) -> Result<Box<Request>, AppendError> {
        let mut request = Request::new(&self.shared().options);
        if let Some(tenant) = tenant {
            request.name_tenant(tenant)?;
        }
        request.append(stream, expected, events)?;
        request.seal()?;
        Ok(request)
    }

    pub(crate) fn submit_request<T: FromAssigned>(
        &self,
        request: Box<Request>,
        names: Names,
        level: Durability,
    ) -> Pending<T> {
        let time = shared::now();
        let shared = self.shared();
        let mut seq = shared.sequencer();
        let entry = seq.enter(request, time, &shared.view);
        let written = matches!(&entry, Entry::Sequenced(sequenced, _) if sequenced.written);
        let at_once = shared.see_to_submitted(seq, written);
        match entry {
            Entry::Sequenced(sequenced, request) => {
                request.recycle();
                Pending::sequenced(shared.clone(), sequenced, names, level, at_once)
            }
            Entry::Queued(slot) => Pending::queued(shared.clone(), slot, names, level),
        }
    }

    pub(crate) fn try_submit_request<T: FromAssigned>(
        &self,
        request: Box<Request>,
        names: Names,
        level: Durability,
    ) -> Result<Pending<T>, AppendError> {
        let time = shared::now();
        let shared = self.shared();
        // Once, and not a matter of room.
        let learned = if request.ids.is_empty() { Ok(()) } else { shared.learn_ids(&AtomicBool::new(false)) };
        let mut seq = shared.sequencer();
        seq.ids_unread = learned.err();
        let entered = seq.try_enter(&request, time, &shared.view);
        seq.ids_unread = None;
        let disk_full = seq.disk_full.clone();
        if let Err(Wait::Space { bytes }) = entered {
            seq.want_space(bytes);
        }
        let at_once = shared.see_to_submitted(seq, entered.as_ref().is_ok_and(|sequenced| sequenced.written));
        request.recycle();
        match (entered, disk_full) {
            (Ok(sequenced), _) => Ok(Pending::sequenced(shared.clone(), sequenced, names, level, at_once)),
            (Err(Wait::Space { .. }), Some(fault)) => Err(AppendError::no_segment(fault)),
            (Err(_), _) => Err(AppendError::Full),
        }
    }

    /// The events of a stream with versions above `after`, in order. `after` 0 is everything; beyond the end is nothing.
    /// So is a stream that nobody knows.
    pub fn read_stream(&self, stream: &str, after: u64) -> Cursor {
        Cursor::stream(self.shared(), stream, after, u64::MAX, false)
    }

    /// The events of a stream with versions below `before`, newest first. `before` `u64::MAX` is everything.
    pub fn read_stream_backward(&self, stream: &str, before: u64) -> Cursor {
        Cursor::stream(self.shared(), stream, 0, before, true)
    }

    /// The events of the log with positions above `after`, in the one global order.
    pub fn read_all(&self, after: u64) -> Cursor {
        Cursor::log(self.shared(), after, u64::MAX, false)
    }

    /// The events of the log with positions below `before`, newest first.
    pub fn read_all_backward(&self, before: u64) -> Cursor {
        Cursor::log(self.shared(), 0, before, true)
    }

    /// The events that a [`Query`] describes, as far as they are visible now.
    pub fn read(&self, query: &Query) -> Cursor {
        Cursor::query(self.shared(), query)
    }

    /// Folds the events of a stream with versions above `after` into one value, in constant memory and without copying
    /// them. No lock is held while `f` runs: it may use the log.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn fold_stream<T>(
        &self,
        stream: &str,
        after: u64,
        init: T,
        mut f: impl FnMut(T, Event<'_>) -> T,
    ) -> Result<T, ReadError> {
        self.try_fold_stream(stream, after, init, |value, event| Ok(f(value, event)))
    }

    /// The same with a function that may fail: its first error ends the fold and is returned.
    ///
    /// # Errors
    /// What `f` returns, or a [`ReadError`] turned into it.
    pub fn try_fold_stream<T, E: From<ReadError>>(
        &self,
        stream: &str,
        after: u64,
        init: T,
        f: impl FnMut(T, Event<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.read_stream(stream, after).try_fold(init, f)
    }

    /// The version of a stream: how many events it has, as far as they are durable. 0 for a stream without events and
    /// for one that nobody knows. O(1); takes no lock that an append holds while it waits.
    #[inline]
    pub fn stream_version(&self, stream: &str) -> u64 {
        self.shared().version(stream)
    }

    /// The versions of many streams, in the order in which they are named here: of each what
    /// [`stream_version`](EventLog::stream_version) says at some moment of the call, so that an append that happens meanwhile
    /// may show in one of its streams and not in another.
    ///
    /// Among a million streams and more, most of a look-up is waiting for memory. Here a processor waits for several at a time,
    /// which it does not when they are asked for one by one.
    pub fn stream_versions<S: AsRef<str>>(&self, streams: &[S]) -> Vec<u64> {
        self.shared().versions(streams)
    }

    /// How many streams are registered.
    pub fn stream_count(&self) -> u64 {
        self.shared().view.read().index.registered
    }

    /// Position of the last visible event; 0 in an empty log.
    pub fn last_position(&self) -> u64 {
        self.shared().view.read().visible.position
    }

    /// The log's id: made with it, the same in every file of it.
    pub fn id(&self) -> Uuid {
        self.shared().log_id
    }

    /// What opening this log found and did.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.handle.report
    }

    /// The state of the log. Does no input or output.
    pub fn status(&self) -> Status {
        let durable = self.last_position();
        let seq = self.shared().sequencer();
        let state = match (&seq.poisoned, &seq.phase) {
            (_, Phase::Closing | Phase::Closed) => LogState::Closed,
            (Some((_, cause)), _) => LogState::Poisoned(cause.clone()),
            (None, Phase::ReadOnly) => LogState::ReadOnly,
            (None, Phase::Open) => LogState::Open,
        };
        let index_unwritten = self.shared().index_fault.lock().clone();
        Status { state, appended: seq.appended(), durable, disk_full: seq.disk_full.clone(), index_unwritten }
    }

    /// Makes everything durable that was accepted, says so on disk, and lets go of the directory. Blocks until then.
    ///
    /// Works while clones, cursors and handles live: later appends say [`AppendError::Closed`], reads go on. Closing again
    /// gives the same answer. Must not be called by a [`Waker`](std::task::Waker): the thread that wakes it may be the one that
    /// this waits for. (Dropping the last handle there is fine: another thread closes the log then.)
    ///
    /// # Errors
    /// See [`CloseError`]. The log is closed all the same.
    pub fn close(&self) -> Result<(), CloseError> {
        self.shared().close()
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog")
            .field("storage", &self.shared().storage.name())
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
