//! The ways to open a log, on the options that they take.
//!
//! Owns the step from a path to a storage, and nothing of recovery.

use crate::engine::log::EventLog;
use crate::engine::recovery::open_fault;
use crate::error::OpenError;
use crate::options::Options;
use crate::storage::{Disk, Memory, Storage};
use std::io;
use std::path::Path;
use std::sync::Arc;

impl Options {
    /// Opens the log in a directory for reading and writing, recovering it if its last user did not close it.
    ///
    /// Blocks for the recovery: it reads the headers of all segments, the frames that no index file speaks of (after a clean
    /// close hardly any, after a crash some [`index_after_bytes`](Options::index_after_bytes) and the segment that is being
    /// filled), and unless the log was closed, the last segment in full. When it returns, everything that the log shows is
    /// durable. What recovery did is in [`EventLog::recovery`](crate::EventLog::recovery).
    ///
    /// # Errors
    /// See [`OpenError`]; none of them changes acknowledged data.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<EventLog, OpenError> {
        let path = path.as_ref();
        self.open_storage(Arc::new(self.disk(path)?))
    }

    /// Opens the log in a directory without writing a byte to it, beside a writer or without one.
    ///
    /// Shows what was provably durable when it was opened: everything after a clean close, all but perhaps the last batch
    /// of a log that is in use or was killed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_read_only(&self, path: impl AsRef<Path>) -> Result<EventLog, OpenError> {
        let path = path.as_ref();
        let mut options = self.clone();
        options.create = false;
        options.open_storage_read_only(Arc::new(options.disk(path)?))
    }

    /// Opens a new, empty log in memory: the same behaviour, and nothing survives the last handle.
    ///
    /// # Errors
    /// [`OpenError::InvalidOption`].
    pub fn open_in_memory(&self) -> Result<EventLog, OpenError> {
        self.open_storage(Arc::new(Memory::new()))
    }

    /// Opens the log in any [`Storage`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_storage(&self, storage: Arc<dyn Storage>) -> Result<EventLog, OpenError> {
        self.validate()?;
        EventLog::start(storage, self.clone())
    }

    /// Opens the log in any [`Storage`] without writing to it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_storage_read_only(&self, storage: Arc<dyn Storage>) -> Result<EventLog, OpenError> {
        self.validate()?;
        EventLog::start_read_only(storage, self.clone())
    }

    fn disk(&self, path: &Path) -> Result<Disk, OpenError> {
        Disk::open(path, self.create).map_err(|error| {
            let path = path.display().to_string();
            match error.kind() {
                io::ErrorKind::NotFound => OpenError::NotFound { path },
                io::ErrorKind::NotADirectory => OpenError::NotALog { path, found: "a file".to_owned() },
                _ => open_fault("open", &path, &error),
            }
        })
    }
}
