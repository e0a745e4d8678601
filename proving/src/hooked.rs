//! A directory in memory whose operations first ask a function, which may refuse, wait or panic.

use annals::storage::{Access, DeviceRead, File, Lock, Mapping, Memory, Storage};
use std::fmt;
use std::io;
use std::sync::Arc;

/// Asked with the operation (`create`, `open`, `rename`, `remove`, `allocate`, `write`, `zero`, `begin`, `sync` or `read`) and
/// the name of the file, as it was when that was opened. What it answers to `begin` changes nothing.
type Ask = dyn Fn(&str, &str) -> io::Result<()> + Send + Sync;

/// Clones share the directory and the function.
#[derive(Clone)]
pub struct Hooked {
    memory: Memory,
    ask: Arc<Ask>,
}

impl Hooked {
    /// An empty directory.
    pub fn new(ask: impl Fn(&str, &str) -> io::Result<()> + Send + Sync + 'static) -> Hooked {
        Hooked { memory: Memory::new(), ask: Arc::new(ask) }
    }

    fn wrap(&self, file: Arc<dyn File>, name: &str) -> Arc<dyn File> {
        Arc::new(HookedFile { file, name: name.to_owned(), ask: self.ask.clone() })
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hooked").field(&self.memory).finish()
    }
}

impl Storage for Hooked {
    fn name(&self) -> String {
        "hooked".to_owned()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.memory.list()
    }

    fn try_lock(&self) -> io::Result<Option<Lock>> {
        self.memory.try_lock()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        (self.ask)("create", name)?;
        self.memory.create(name).map(|file| self.wrap(file, name))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn File>> {
        (self.ask)("open", name)?;
        self.memory.open(name, write).map(|file| self.wrap(file, name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        (self.ask)("rename", from)?;
        self.memory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        (self.ask)("remove", name)?;
        self.memory.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.memory.sync_directory()
    }
}

struct HookedFile {
    file: Arc<dyn File>,
    name: String,
    ask: Arc<Ask>,
}

impl HookedFile {
    fn ask(&self, operation: &str) -> io::Result<()> {
        (self.ask)(operation, &self.name)
    }
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HookedFile").field(&self.name).finish()
    }
}

impl File for HookedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.ask("allocate")?;
        self.file.allocate(len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.ask("write")?;
        self.file.write_at(offset, bytes)
    }

    fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()> {
        self.ask("zero")?;
        self.file.write_zeros(offset, len)
    }

    fn begin_writing(&self, offset: u64, len: u64) {
        let _ = self.ask("begin");
        self.file.begin_writing(offset, len);
    }

    fn sync(&self) -> io::Result<()> {
        self.ask("sync")?;
        self.file.sync()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.ask("read")?;
        self.file.read_at(offset, buffer)
    }

    fn data_from(&self, offset: u64) -> io::Result<Option<u64>> {
        self.file.data_from(offset)
    }

    fn read_device(&self, offset: u64, buffer: &mut [u8]) -> io::Result<DeviceRead> {
        self.ask("read")?;
        self.file.read_device(offset, buffer)
    }

    fn map(&self, len: u64, access: Access) -> io::Result<Option<Mapping>> {
        self.file.map(len, access)
    }
}
