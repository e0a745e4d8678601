//! A disk that is full, and one whose syncs fail: what is told, and what is true afterwards.
//!
//! Owns a directory in memory that can be told to fail.

use crate::given::{assert_same, event_of, id, says, storage, unsaved};
use allsource_core::domain::entities::{Event, EventStream};
use annals::Options;
use annals::storage::{DeviceRead, File, Lock, Mapping, Memory, Storage};
use annals_allsource::StreamRepository;
use serde_json::json;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Clones share the directory and its faults.
#[derive(Debug, Clone, Default)]
struct Failing {
    memory: Memory,
    /// No more space is given.
    full: Arc<AtomicBool>,
    /// Segments are not synced.
    broken: Arc<AtomicBool>,
}

impl Failing {
    fn store(&self) -> StreamRepository {
        // Nothing is to be synced but what the test appends.
        let options = Options::new().segment_bytes(64 << 10).idle_witness_after(Duration::from_secs(10));
        StreamRepository::new(options.open_storage(Arc::new(self.clone())).unwrap())
    }

    fn wrap(&self, file: Arc<dyn File>, name: &str) -> Arc<dyn File> {
        Arc::new(FailingFile { file, is_segment: name.ends_with(".seg"), disk: self.clone() })
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
        self.memory.create(name).map(|file| self.wrap(file, name))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn File>> {
        self.memory.open(name, write).map(|file| self.wrap(file, name))
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
    is_segment: bool,
    disk: Failing,
}

impl File for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if self.disk.full.load(Ordering::SeqCst) {
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
        if self.is_segment && self.disk.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the device is gone"));
        }
        self.file.sync()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, buffer)
    }

    fn read_device(&self, offset: u64, buffer: &mut [u8]) -> io::Result<DeviceRead> {
        self.file.read_device(offset, buffer)
    }

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        self.file.map(len)
    }
}

fn large() -> Event {
    event_of("acme", "entity-1", json!("x".repeat(20_000)))
}

#[tokio::test]
async fn a_full_disk_is_told_and_appends_work_again_when_there_is_space() {
    let disk = Failing::default();
    let store = disk.store();
    let mut stream = EventStream::new(id("entity-1"));
    store.append_to_stream(&mut stream, large()).await.unwrap();
    disk.full.store(true, Ordering::SeqCst);
    let text = loop {
        let before = stream.current_version();
        assert!(before < 100, "the disk is never full");
        match store.append_to_stream(&mut stream, large()).await {
            Ok(_) => {}
            refused => {
                assert_eq!(stream.current_version(), before);
                break storage(refused);
            }
        }
    };
    says(&text, &["\"entity-1\"", "no space left"]);
    assert_same(&store.load_stream(&id("entity-1")).await.unwrap().unwrap(), &stream);
    disk.full.store(false, Ordering::SeqCst);
    let next = stream.current_version() + 1;
    assert_eq!(store.append_to_stream(&mut stream, large()).await.unwrap(), next);
}

#[tokio::test]
async fn a_failed_sync_leaves_the_outcome_open_until_the_log_is_opened_again() {
    let disk = Failing::default();
    let store = disk.store();
    let mut stream = unsaved("entity-1", 2);
    store.save_stream(&stream).await.unwrap();
    disk.broken.store(true, Ordering::SeqCst);
    says(
        &storage(store.append_to_stream(&mut stream, large()).await),
        &["\"entity-1\"", "poisoned", "outcome unknown until the log is reopened"],
    );
    assert_eq!(stream.current_version(), 2, "the handle is not moved");
    for text in [
        storage(store.append_to_stream(&mut stream, large()).await),
        storage(store.save_stream(&unsaved("entity-2", 1)).await),
        storage(store.get_or_create_stream(&id("entity-2")).await),
    ] {
        says(&text, &["poisoned", "nothing was written"]);
    }
    assert_same(&store.load_stream(&id("entity-1")).await.unwrap().unwrap(), &stream);
    assert!(store.verify_gapless(&id("entity-1")).await.unwrap());
    assert_eq!(store.get_watermark(&id("entity-1")).await.unwrap(), 2);
    store.log().close().unwrap_err();
    drop(store);

    disk.broken.store(false, Ordering::SeqCst);
    let store = disk.store();
    let mut stored = store.load_stream(&id("entity-1")).await.unwrap().unwrap();
    assert!((2..=3).contains(&stored.current_version()), "it is there whole, or not at all");
    let next = stored.current_version() + 1;
    assert_eq!(store.append_to_stream(&mut stored, large()).await.unwrap(), next);
}
