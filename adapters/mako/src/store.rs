//! [`MakoStore`]: the handle that users hold.
//!
//! Owns how it is made. What it does stands in the files beside this one; what it promises, in the traits of mako-engine.

use crate::places::Places;
use annals::{EventLog, OpenError};
use std::path::Path;
use std::sync::Arc;

/// Every store of mako-engine on one log: cheap to clone, to be shared between tasks and threads.
///
/// It implements [`EventStore`](mako_engine::event_store::EventStore), [`AtomicAppend`](mako_engine::event_store::AtomicAppend),
/// [`OutboxStore`](mako_engine::outbox::OutboxStore), [`DeadlineStore`](mako_engine::deadline::DeadlineStore),
/// [`ProcessRegistry`](mako_engine::registry::ProcessRegistry), [`SnapshotStore`](mako_engine::snapshot::SnapshotStore),
/// [`InboxStore`](mako_engine::inbox::InboxStore), [`PartnerStore`](mako_engine::partner::PartnerStore),
/// [`ProjectionCheckpointStore`](mako_engine::projection::ProjectionCheckpointStore) and
/// [`DeadLetterSink`](mako_engine::dead_letter::DeadLetterSink); with the feature `v0_22` those of mako-engine 0.22, too.
/// Several of these traits have methods of one name (`load`, `register`, `len`): import those that you call, or say
/// `OutboxStore::len(&store)`.
///
/// Every method that writes is durable when it returns, in one commit, and never blocks the executor's thread. Dropping the
/// future of a write that is under way leaves open whether it was done; a write is never done in part.
///
/// Opening and closing a log block. Close it ([`EventLog::close`]) where blocking is allowed: dropping the last handle closes
/// it as well, on the thread that drops it.
#[derive(Debug, Clone)]
pub struct MakoStore {
    pub(crate) log: EventLog,
    pub(crate) places: Arc<Places>,
}

impl MakoStore {
    /// The stores of the namespace `mako` of a log. Nothing is looked up or written by this.
    pub fn new(log: EventLog) -> MakoStore {
        MakoStore::with_namespace(log, "mako")
    }

    /// The stores of another namespace: two of them in one log know nothing of each other. Everything that a store writes has a
    /// name that begins with `<namespace>/` (in which `/` and `%` of the namespace are written `%2F` and `%25`).
    pub fn with_namespace(log: EventLog, namespace: &str) -> MakoStore {
        MakoStore { log, places: Arc::new(Places::new(namespace)) }
    }

    /// Opens the log in a directory, making both if there is none, for the namespace `mako`. Blocks until it is open.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: impl AsRef<Path>) -> Result<MakoStore, OpenError> {
        Ok(MakoStore::new(EventLog::open(path)?))
    }

    /// The log: to close it, to subscribe to what is appended, to read it without this crate.
    pub fn log(&self) -> &EventLog {
        &self.log
    }

    /// The log's name for the stream with this id, for queries and subscriptions: its events carry the payload as JSON, and
    /// the rest of the envelope as JSON in their metadata.
    pub fn stream_name(&self, stream_id: &str) -> String {
        self.places.streams.name(stream_id)
    }

    /// The log's name for the stream in which every rejected message is an event, from the first to the last.
    pub fn dead_letter_stream(&self) -> &str {
        &self.places.dead_letters
    }
}
