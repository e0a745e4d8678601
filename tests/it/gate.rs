//! A disk in memory that counts its syncs and can hold them back.
//!
//! Owns nothing else: everything is handed on to [`Memory`].

use annals::storage::{DeviceRead, File, Lock, Mapping, Memory, Storage};
use std::io;
use std::sync::{Arc, Condvar, Mutex};

#[derive(Debug, Default)]
struct Door {
    state: Mutex<(u64, bool)>,
    opened: Condvar,
}

#[derive(Debug, Clone)]
pub(crate) struct Gate {
    memory: Arc<Memory>,
    door: Arc<Door>,
}

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate { memory: Arc::new(Memory::new()), door: Arc::default() }
    }

    /// How many syncs of files have begun.
    pub(crate) fn syncs(&self) -> u64 {
        self.door.state.lock().unwrap().0
    }

    /// Syncs that begin from now on wait, until this is called again with `false`.
    pub(crate) fn hold(&self, hold: bool) {
        self.door.state.lock().unwrap().1 = hold;
        self.door.opened.notify_all();
    }

    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(GateFile { file, door: self.door.clone() })
    }
}

impl Storage for Gate {
    fn name(&self) -> String {
        self.memory.name()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.memory.list()
    }

    fn try_lock(&self) -> io::Result<Option<Lock>> {
        self.memory.try_lock()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.file(self.memory.create(name)?))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn File>> {
        Ok(self.file(self.memory.open(name, write)?))
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
struct GateFile {
    file: Arc<dyn File>,
    door: Arc<Door>,
}

impl File for GateFile {
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
        let mut state = self.door.state.lock().unwrap();
        state.0 += 1;
        while state.1 {
            state = self.door.opened.wait(state).unwrap();
        }
        drop(state);
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
