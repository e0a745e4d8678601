//! A directory in memory whose reads and syncs are counted, and which can be full or fail: what a call costs, without a clock,
//! and what it says when the disk does not do as it should.

use annals::storage::{Access, DeviceRead, File, Lock, Mapping, Memory, Storage};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[derive(Debug, Default)]
struct State {
    reads: AtomicU64,
    syncs: AtomicU64,
    full: AtomicBool,
    broken: AtomicBool,
}

/// Clones share the directory and its state.
#[derive(Debug, Clone, Default)]
pub struct FaultyDisk {
    memory: Memory,
    state: Arc<State>,
}

impl FaultyDisk {
    /// How many reads there were so far.
    pub fn reads(&self) -> u64 {
        self.state.reads.load(Ordering::SeqCst)
    }

    /// How many syncs of segments there were so far.
    pub fn syncs(&self) -> u64 {
        self.state.syncs.load(Ordering::SeqCst)
    }

    /// Whether there is room for more segments.
    pub fn set_full(&self, full: bool) {
        self.state.full.store(full, Ordering::SeqCst);
    }

    /// Whether syncs of segments fail.
    pub fn set_broken(&self, broken: bool) {
        self.state.broken.store(broken, Ordering::SeqCst);
    }

    fn wrap(&self, file: Arc<dyn File>, name: &str) -> Arc<dyn File> {
        Arc::new(FaultyFile { file, is_segment: name.ends_with(".seg"), state: self.state.clone() })
    }
}

impl Storage for FaultyDisk {
    fn name(&self) -> String {
        "a faulty disk".to_owned()
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
struct FaultyFile {
    file: Arc<dyn File>,
    is_segment: bool,
    state: Arc<State>,
}

impl File for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if self.state.full.load(Ordering::SeqCst) {
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
        self.state.syncs.fetch_add(u64::from(self.is_segment), Ordering::SeqCst);
        if self.is_segment && self.state.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the device is gone"));
        }
        self.file.sync()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.state.reads.fetch_add(1, Ordering::SeqCst);
        self.file.read_at(offset, buffer)
    }

    fn read_device(&self, offset: u64, buffer: &mut [u8]) -> io::Result<DeviceRead> {
        self.file.read_device(offset, buffer)
    }

    fn map(&self, len: u64, access: Access) -> io::Result<Option<Mapping>> {
        self.file.map(len, access)
    }
}
