//! [`StreamRepository`]: the handle that users hold.
//!
//! Owns how it is made, and what is known of a stream without reading its events.

use crate::birth::Birth;
use crate::errors::damaged;
use crate::names::Branches;
use allsource_core::domain::value_objects::EntityId;
use allsource_core::error::AllSourceError;
use annals::{EventLog, OpenError, StreamInfo};
use std::path::Path;
use std::sync::Arc;

/// Event streams in a log: an `EventStreamRepository`, an `EventStreamReader` and an `EventStreamWriter` of `allsource-core`.
///
/// A cheap handle, to be cloned and shared; clones, and handles made apart from each other over one log and one namespace, see
/// the same streams. The three traits have methods of the same names. Called on this type, they are its own, and no trait has
/// to be imported; through `Arc<dyn EventStreamRepository>` they are the trait's. They do the same.
///
/// No async method blocks its executor's thread on the disk, on a lock that is held during a sync, or on a full batch. Those
/// that write are durable when they return: synced, whatever durability the log was opened with. Any runtime will do.
#[derive(Debug, Clone)]
pub struct StreamRepository {
    pub(crate) log: EventLog,
    pub(crate) names: Arc<Branches>,
}

/// A stream of the log that is one of ours.
pub(crate) struct Known {
    pub(crate) info: StreamInfo,
    pub(crate) birth: Birth,
}

impl StreamRepository {
    /// The namespace that is used if none is chosen.
    pub const NAMESPACE: &'static str = "allsource";

    /// Opens the log in a directory, making both if there is none, and keeps streams in it.
    ///
    /// Blocks while the log is recovered: not for an executor's thread. Dropping the last handle to the log closes it and
    /// blocks, too; `log().close()` does the same and reports errors.
    ///
    /// # Errors
    /// See [`OpenError`]: the directory is in use, cannot be written, is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<StreamRepository, OpenError> {
        Ok(StreamRepository::new(EventLog::open(path)?))
    }

    /// Keeps streams in a log that is open, which may hold other things as well. Reads and writes nothing by itself. The log must
    /// have its background threads, as it has by default: else nobody would write what is awaited.
    pub fn new(log: EventLog) -> StreamRepository {
        StreamRepository::in_namespace(log, StreamRepository::NAMESPACE)
    }

    /// The same under another first part of all names, so that independent repositories can share a log. Any text will do
    /// but `annals`, which is the log's own.
    pub fn in_namespace(log: EventLog, namespace: &str) -> StreamRepository {
        StreamRepository { log, names: Arc::new(Branches::new(namespace)) }
    }

    /// The log that the streams are in.
    pub fn log(&self) -> &EventLog {
        &self.log
    }

    /// What is known of a stream; `None` if it was never made.
    pub(crate) fn known(&self, entity: &EntityId) -> Result<Option<Known>, AllSourceError> {
        self.log.stream_info(&self.names.stream(entity)).map(Known::of).transpose()
    }
}

impl Known {
    pub(crate) fn of(info: StreamInfo) -> Result<Known, AllSourceError> {
        if info.tombstoned {
            return Err(damaged(&info.id, "the stream was tombstoned; it takes no event ever again"));
        }
        let birth = Birth::decode(&info)?;
        Ok(Known { info, birth })
    }
}
