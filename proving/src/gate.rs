//! A directory in memory whose commits are counted and can be held back: what is written to a segment is not durable until
//! the test says so. So can writes to a file of some name.

use annals::storage::{Access, DeviceRead, File, Lock, Mapping, Memory, Storage};
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// Writes to files that were created with this name wait.
    held: Option<&'static str>,
    /// What was renamed, in order.
    renamed: Vec<String>,
    waiting: usize,
    /// Syncs of files that have begun.
    begun: u64,
    /// How long a sync takes that is not held back.
    takes: Duration,
}

/// Clones share the directory and its gate.
#[derive(Debug, Clone, Default)]
pub struct Gated {
    memory: Memory,
    gate: Arc<(Mutex<State>, Condvar)>,
}

impl Gated {
    /// A directory in which every sync takes so long.
    pub fn slow(takes: Duration) -> Gated {
        let gated = Gated::default();
        gated.gate.0.lock().unwrap().takes = takes;
        gated
    }

    /// How many syncs of files have begun.
    pub fn syncs(&self) -> u64 {
        self.gate.0.lock().unwrap().begun
    }

    /// From now on, syncs of segments wait.
    pub fn close(&self) {
        self.gate.0.lock().unwrap().closed = true;
    }

    /// From now on, writes to files that are created with this name wait.
    pub fn hold_writes_to(&self, name: &'static str) {
        self.gate.0.lock().unwrap().held = Some(name);
    }

    /// Lets all of them through.
    pub fn open_up(&self) {
        let mut state = self.gate.0.lock().unwrap();
        (state.closed, state.held) = (false, None);
        self.gate.1.notify_all();
    }

    /// The names that files had until they were renamed, in order.
    pub fn renamed(&self) -> Vec<String> {
        self.gate.0.lock().unwrap().renamed.clone()
    }

    /// Waits until some sync or write does.
    pub fn wait_until_held(&self) {
        let state = self.gate.0.lock().unwrap();
        let nobody = |state: &mut State| state.waiting == 0;
        let (state, _) = self.gate.1.wait_timeout_while(state, Duration::from_secs(60), nobody).unwrap();
        assert!(state.waiting > 0, "nothing was held within a minute");
    }

    /// Syncs something; what is not a segment yet is not held back.
    fn pass(&self, is_segment: bool) {
        let mut state = self.gate.0.lock().unwrap();
        state.begun += 1;
        state.waiting += usize::from(is_segment);
        self.gate.1.notify_all();
        while state.closed && is_segment {
            state = self.gate.1.wait(state).unwrap();
        }
        state.waiting -= usize::from(is_segment);
        let takes = state.takes;
        drop(state);
        std::thread::sleep(takes);
    }

    fn pass_write(&self, name: &str) {
        let mut state = self.gate.0.lock().unwrap();
        while state.held == Some(name) {
            state.waiting += 1;
            self.gate.1.notify_all();
            state = self.gate.1.wait(state).unwrap();
            state.waiting -= 1;
        }
    }

    fn wrap(&self, file: Arc<dyn File>, name: &str) -> Arc<dyn File> {
        Arc::new(GatedFile { file, name: name.to_owned(), gated: self.clone() })
    }
}

impl Storage for Gated {
    fn name(&self) -> String {
        "gated".to_owned()
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
        self.memory.rename(from, to)?;
        self.gate.0.lock().unwrap().renamed.push(from.to_owned());
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.memory.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.memory.sync_directory()
    }
}

#[derive(Debug)]
struct GatedFile {
    file: Arc<dyn File>,
    /// As it was when it was opened.
    name: String,
    gated: Gated,
}

impl File for GatedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.gated.pass_write(&self.name);
        self.file.write_at(offset, bytes)
    }

    fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()> {
        self.gated.pass_write(&self.name);
        self.file.write_zeros(offset, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.gated.pass(self.name.ends_with(".seg"));
        self.file.sync()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, buffer)
    }

    fn data_from(&self, offset: u64) -> io::Result<Option<u64>> {
        self.file.data_from(offset)
    }

    fn read_device(&self, offset: u64, buffer: &mut [u8]) -> io::Result<DeviceRead> {
        self.file.read_device(offset, buffer)
    }

    fn map(&self, len: u64, access: Access) -> io::Result<Option<Mapping>> {
        self.file.map(len, access)
    }
}
