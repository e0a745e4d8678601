//! A directory that lives in memory: the same contract as a disk, for tests of programs and for logs that need not last.
//!
//! Owns nothing durable: a "sync" is a no-op, because nothing here survives the process anyway. Its bytes are guarded by a
//! lock, as a kernel guards those of a file; that is the one exception to the rule that only the engine locks.

use super::{Access, DeviceRead, File, Lock, Mapping, Storage};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An in-memory directory. Clones share it: keep one to open the same log again after closing it.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    files: Mutex<HashMap<String, Arc<MemoryFile>>>,
    locked: AtomicBool,
}

impl Memory {
    /// An empty directory.
    pub fn new() -> Memory {
        Memory::default()
    }
}

/// Gives the lock back when dropped.
struct MemoryLock(Arc<Inner>);

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.0.locked.store(false, Ordering::Release);
    }
}

impl Storage for Memory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn is_memory(&self) -> bool {
        true
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inner.files.lock().keys().cloned().collect())
    }

    fn try_lock(&self) -> io::Result<Option<Lock>> {
        let taken = self.inner.locked.swap(true, Ordering::AcqRel);
        Ok((!taken).then(|| Box::new(MemoryLock(self.inner.clone())) as Lock))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut files = self.inner.files.lock();
        if files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(MemoryFile::default());
        files.insert(name.to_owned(), file.clone());
        Ok(file)
    }

    fn open(&self, name: &str, _write: bool) -> io::Result<Arc<dyn File>> {
        let files = self.inner.files.lock();
        let file = files.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(file.clone())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.inner.files.lock();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.files.lock().remove(name).map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Default)]
struct MemoryFile {
    bytes: RwLock<Vec<u8>>,
}

impl File for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.read().len() as u64)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::StorageFull)?;
        let mut bytes = self.bytes.write();
        if bytes.len() < len {
            let more = len - bytes.len();
            bytes.try_reserve_exact(more).map_err(|_| io::ErrorKind::StorageFull)?;
            bytes.resize(len, 0);
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, new: &[u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::StorageFull)?;
        let end = start.checked_add(new.len()).ok_or(io::ErrorKind::StorageFull)?;
        let mut bytes = self.bytes.write();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(new);
        Ok(new.len())
    }

    fn write_zeros(&self, _offset: u64, _len: u64) -> io::Result<()> {
        // What was allocated is zero already, and nothing else may be handed to this call.
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes.read();
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn read_device(&self, offset: u64, buffer: &mut [u8]) -> io::Result<DeviceRead> {
        self.read_at(offset, buffer).map(|()| DeviceRead::Direct)
    }

    fn map(&self, _len: u64, _access: Access) -> io::Result<Option<Mapping>> {
        Ok(None)
    }
}
