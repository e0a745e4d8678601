//! A directory in memory that has no space left, or whose syncs fail, as long as a test says so; and what the store says then.

use crate::kit::{Noted, all, noted, page, position, texts, writes};
use annals::storage::{DeviceRead, File, Lock, Mapping, Memory, Storage};
use annals::{AppendError, LogState, Options};
use annals_eventcore::{EventCoreStore, StoreError};
use eventcore_types::{
    CheckpointStore, EventFilter, EventStore, EventStoreError, Operation, ProjectionSource, StreamWrites,
};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Clones share the directory and what is wrong with it.
#[derive(Debug, Clone, Default)]
struct Failing {
    memory: Memory,
    full: Arc<AtomicBool>,
    broken: Arc<AtomicBool>,
}

#[derive(Debug)]
struct FailingFile(Arc<dyn File>, Failing);

impl Failing {
    fn store(&self) -> EventCoreStore {
        let options = Options::new().segment_bytes(64 << 10);
        EventCoreStore::new(options.open_storage(Arc::new(self.clone())).unwrap()).unwrap()
    }

    fn check(&self, what: &AtomicBool, kind: io::ErrorKind) -> io::Result<()> {
        if what.load(Ordering::SeqCst) { Err(kind.into()) } else { Ok(()) }
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
        Ok(Arc::new(FailingFile(self.memory.create(name)?, self.clone())))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(FailingFile(self.memory.open(name, write)?, self.clone())))
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

impl File for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.1.check(&self.1.full, io::ErrorKind::StorageFull)?;
        self.0.allocate(len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_at(offset, bytes)
    }

    fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()> {
        self.0.write_zeros(offset, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.1.check(&self.1.broken, io::ErrorKind::Other)?;
        self.0.sync()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buffer)
    }

    fn read_device(&self, offset: u64, buffer: &mut [u8]) -> io::Result<DeviceRead> {
        self.0.read_device(offset, buffer)
    }

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        self.0.map(len)
    }
}

const FAILURE: Result<(), EventStoreError> =
    Err(EventStoreError::StoreFailure { operation: Operation::AppendEvents });

fn large(version: usize) -> StreamWrites {
    writes(&[("a", version)], [noted("a", &"x".repeat(20 << 10))])
}

/// Without space, an append is refused and nothing of it is there; with space again, the same store goes on.
#[tokio::test]
async fn a_full_disk_is_told_and_passes() {
    let disk = Failing::default();
    let store = disk.store();
    disk.full.store(true, Ordering::SeqCst);
    // As long as there is room in the segments that are ready.
    let mut version = 0;
    let refused = loop {
        match store.append_events(large(version)).await {
            Ok(_) => version += 1,
            Err(error) => break Err(error),
        }
        assert!(version < 100, "it never ends");
    };
    assert_eq!(refused, FAILURE);
    assert!(store.log().status().disk_full.is_some());
    assert_eq!(texts(&store, "a").await.len(), version);
    assert_eq!(store.high_watermark().await.unwrap().map_or(0, |mark| mark.get()), version as u64);
    disk.full.store(false, Ordering::SeqCst);
    store.append_events(large(version)).await.map(|_| ()).unwrap();
    assert_eq!(texts(&store, "a").await.len(), version + 1);
}

/// After a failed sync nothing more is written, and what was durable can be read. Opened again, the log says what there is.
#[tokio::test]
async fn a_failed_sync_is_told_and_is_final() {
    let disk = Failing::default();
    let store = disk.store();
    store.append_events(large(0)).await.map(|_| ()).unwrap();
    store.save("p", position(1)).await.unwrap();
    disk.broken.store(true, Ordering::SeqCst);
    assert_eq!(store.append_events(large(1)).await.map(|_| ()), FAILURE);
    disk.broken.store(false, Ordering::SeqCst);
    assert!(matches!(store.log().status().state, LogState::Poisoned(_)));
    for writes in [large(1), large(2), writes::<Noted>(&[("a", 1)], [])] {
        assert_eq!(store.append_events(writes).await.map(|_| ()), FAILURE);
    }
    assert!(matches!(
        store.save("p", position(2)).await,
        Err(StoreError::Write(AppendError::Poisoned { .. }))
    ));
    assert_eq!((texts(&store, "a").await.len(), all(&store, EventFilter::all()).await.len()), (1, 1));
    assert_eq!(store.load("p").await, Ok(Some(position(1))));
    assert_eq!(page(&store, EventFilter::all(), Some(position(1)), 9).await, []);
    let _ = store.log().close();
    drop(store);
    let store = disk.store();
    let there = texts(&store, "a").await.len();
    assert!((1..=2).contains(&there));
    store.append_events(large(there)).await.map(|_| ()).unwrap();
}
