//! A directory in memory whose reads are counted: what a call costs, without a clock.

use annals::storage::{DeviceRead, File, Lock, Mapping, Memory, Storage};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Clones share the directory and its count.
#[derive(Debug, Clone, Default)]
pub struct Counting {
    memory: Memory,
    reads: Arc<AtomicU64>,
    syncs: Arc<AtomicU64>,
}

impl Counting {
    /// How many reads there were so far.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }

    /// How many syncs of segments there were so far.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::SeqCst)
    }

    fn wrap(&self, file: Arc<dyn File>, name: &str) -> Arc<dyn File> {
        Arc::new(CountedFile { file, is_segment: name.ends_with(".seg"), counting: self.clone() })
    }
}

impl Storage for Counting {
    fn name(&self) -> String {
        "counting".to_owned()
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
struct CountedFile {
    file: Arc<dyn File>,
    is_segment: bool,
    counting: Counting,
}

impl File for CountedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(offset, bytes)
    }

    fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.write_zeros(offset, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.counting.syncs.fetch_add(u64::from(self.is_segment), Ordering::SeqCst);
        self.file.sync()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.counting.reads.fetch_add(1, Ordering::SeqCst);
        self.file.read_at(offset, buffer)
    }

    fn read_device(&self, offset: u64, buffer: &mut [u8]) -> io::Result<DeviceRead> {
        self.file.read_device(offset, buffer)
    }

    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        self.file.map(len)
    }
}
