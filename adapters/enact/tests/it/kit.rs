//! What the tests have in common: events, a store in a directory of its own, a storage that fails and counts.

use annals::storage::{DeviceRead, File, Lock, Mapping, Memory, Storage};
use annals::{EventLog, Options};
use annals_enact::{Error, ExecutionStore, StreamingStore};
use enact_core::kernel::persistence::{ExecutionEventData, StoredEvent};
use enact_core::kernel::{ExecutionContext, ExecutionEvent, ExecutionEventType, ExecutionId, TenantId};
use serde::Serialize;
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tempfile::TempDir;

pub(crate) fn id(id: &str) -> ExecutionId {
    ExecutionId::from(id)
}

pub(crate) fn tenant(id: &str) -> TenantId {
    TenantId::from(id)
}

/// An event of the kernel that can be told from others.
pub(crate) fn numbered(number: u64) -> ExecutionEventData {
    ExecutionEventData::Custom { event_type: "numbered".to_owned(), data: json!(number) }
}

pub(crate) fn number(event: &StoredEvent) -> u64 {
    match &event.event {
        ExecutionEventData::Custom { data, .. } => data.as_u64().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Sequences and numbers of events.
pub(crate) fn numbers(events: &[StoredEvent]) -> Vec<(u64, u64)> {
    events.iter().map(|event| (event.sequence, number(event))).collect()
}

/// An event of the runtime.
pub(crate) fn emitted(execution: &str, number: u64) -> ExecutionEvent {
    let context = ExecutionContext::new(id(execution));
    ExecutionEvent::new(ExecutionEventType::StepStart, context).with_payload(json!({ "number": number }))
}

/// What something is as JSON: the crate's types cannot be compared.
pub(crate) fn as_json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

/// A directory that is removed at the end.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Both stores over one log in memory.
pub(crate) fn in_memory() -> (EventLog, ExecutionStore, StreamingStore) {
    let log = EventLog::in_memory().unwrap();
    (log.clone(), ExecutionStore::new(log.clone()), StreamingStore::new(log))
}

/// Opens the log in a directory, for one store or for both.
pub(crate) fn open(dir: &Path) -> EventLog {
    EventLog::open(dir).unwrap()
}

/// The adapter's own error inside what a trait answers.
pub(crate) fn typed<T: std::fmt::Debug>(result: anyhow::Result<T>) -> Error {
    result.unwrap_err().downcast().unwrap()
}

/// A directory in memory that fails on demand, and counts what is read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failing {
    memory: Memory,
    switches: Arc<Switches>,
}

#[derive(Debug, Default)]
struct Switches {
    full: AtomicBool,
    broken: AtomicBool,
    reads: AtomicU64,
}

impl Failing {
    pub(crate) fn open(&self) -> EventLog {
        Options::new().segment_bytes(64 << 10).open_storage(Arc::new(self.clone())).unwrap()
    }

    /// From now on there is no room for new files, or there is again.
    pub(crate) fn full(&self, full: bool) {
        self.switches.full.store(full, Ordering::SeqCst);
    }

    /// From now on syncs fail.
    pub(crate) fn broken(&self) {
        self.switches.broken.store(true, Ordering::SeqCst);
    }

    /// How many pieces were read so far.
    pub(crate) fn reads(&self) -> u64 {
        self.switches.reads.load(Ordering::SeqCst)
    }

    fn wrap(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(FailingFile { file, switches: self.switches.clone() })
    }
}

impl Storage for Failing {
    fn name(&self) -> String {
        "failing".to_owned()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.memory.list()
    }

    fn try_lock(&self) -> io::Result<Option<Lock>> {
        self.memory.try_lock()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.memory.create(name).map(|file| self.wrap(file))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn File>> {
        self.memory.open(name, write).map(|file| self.wrap(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.memory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.memory.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.memory.sync_directory()
    }
}

#[derive(Debug)]
struct FailingFile {
    file: Arc<dyn File>,
    switches: Arc<Switches>,
}

impl File for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if self.switches.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.allocate(len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(offset, bytes)
    }

    fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.write_zeros(offset, len)
    }

    fn sync(&self) -> io::Result<()> {
        if self.switches.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("broken on purpose"));
        }
        self.file.sync()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.switches.reads.fetch_add(1, Ordering::SeqCst);
        self.file.read_at(offset, buffer)
    }

    fn read_device(&self, offset: u64, buffer: &mut [u8]) -> io::Result<DeviceRead> {
        self.file.read_device(offset, buffer)
    }

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        self.file.map(len)
    }
}
