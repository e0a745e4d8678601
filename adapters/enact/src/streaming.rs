//! The runtime's event log: what its emitters and runners report, over all executions, in one order.
//!
//! Owns the mapping of executions to streams, and the place of the last event. Sequences are the log's positions.

use crate::backend::{Backend, NAME, next};
use crate::error::Error;
use crate::seen::Seen;
use crate::stored::{agree, decode, encode, name};
use annals::{Durability, EventLog, ExpectedVersion, NewEvent, OpenError, Query, ReadError, RecordedEvent};
use annals_adapter::Names;
use async_trait::async_trait;
use enact_core::kernel::persistence::StorageBackend;
use enact_core::kernel::{ExecutionEvent, ExecutionId};
use enact_core::streaming::{EventLogEntry, EventStore};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many events of others are passed over in one go, before other tasks have their turn.
const PASSED_AT_ONCE: u64 = 8192;

/// The events that the runtime emits: enact-core's [`EventStore`](enact_core::streaming::EventStore) of its streaming
/// `EventLog`, in a log.
///
/// An execution is one stream. A sequence is the event's position in the log: unique, growing over all executions, the same
/// after reopening, at least 1, and with gaps where the log carries other things. `get_after(0, n)` is everything from the
/// beginning, and `latest_sequence` is 0 only while there is nothing. `Ok` of an append means that its event is durable. A
/// clone is the same store; it is a `StorageBackend`, too, so that it can be asked for its health and shut down.
///
/// No method blocks its thread. Dropping a future of an append cancels the append only while it waits for room in the log;
/// once its event is numbered it becomes durable. The log must have its background threads, as it has by default.
///
/// ```
/// use annals_enact::StreamingStore;
/// use enact_core::kernel::{ExecutionEvent, ExecutionId};
/// use enact_core::streaming::EventLog;
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path();
/// let log = EventLog::new(Arc::new(StreamingStore::open(path)?));
/// let execution = ExecutionId::new();
/// let entry = log.append(ExecutionEvent::execution_start(execution.clone(), None)).await?;
/// assert_eq!(log.latest_sequence().await?, entry.sequence);
/// assert_eq!(log.get_by_execution(&execution).await?.len(), 1);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct StreamingStore {
    backend: Backend,
    executions: Names,
    seen: Arc<Mutex<Seen>>,
}

impl StreamingStore {
    /// A store in a log that others may use too, in the namespace `enact`.
    pub fn new(log: EventLog) -> StreamingStore {
        StreamingStore::in_namespace(log, crate::NAMESPACE)
    }

    /// A store in a namespace of its own: stores with different ones know nothing of each other, in the same log.
    pub fn in_namespace(log: EventLog, namespace: &str) -> StreamingStore {
        let executions = Names::new(namespace).under("streaming");
        StreamingStore { backend: Backend::shared(log), executions, seen: Arc::default() }
    }

    /// Opens the log in a directory, or makes one, for this store: `shutdown` closes it. To have both stores in one directory,
    /// open the log and give it to both.
    ///
    /// Blocks while the log is recovered: call it before the runtime has work to do, or on a thread that may block.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: impl AsRef<Path>) -> Result<StreamingStore, OpenError> {
        Ok(StreamingStore::new(EventLog::open(path)?).closing_log())
    }

    /// From here on, `shutdown` of this store and of its clones closes the log, whoever else uses it.
    #[must_use]
    pub fn closing_log(mut self) -> StreamingStore {
        self.backend.closes_log = true;
        self
    }

    /// The log that the store writes to.
    pub fn log(&self) -> &EventLog {
        &self.backend.log
    }

    async fn write(&self, event: ExecutionEvent) -> Result<EventLogEntry, Error> {
        let stream = name(&self.executions, "execution id", event.context.execution_id.as_str())?;
        let payload = encode(&event)?;
        let new = NewEvent::new(event.event_type.as_str(), &payload).with_metadata("{}");
        // Whatever the log was opened with.
        let batch = self.log().batch().durability(Durability::Synced);
        let appended = batch.append(&stream, ExpectedVersion::Any, &[new]).submit()?.await?;
        Ok(EventLogEntry::new(appended.first_position, event))
    }

    async fn of_execution(&self, execution: &ExecutionId) -> Result<Vec<EventLogEntry>, Error> {
        let stream = Query::stream(&self.executions.name(execution.as_str()));
        let mut events = self.log().subscribe(&stream.until_now());
        let mut entries = Vec::new();
        while let Some(event) = next(&mut events).await {
            entries.push(self.entry(&event?)?);
        }
        Ok(entries)
    }

    async fn after(&self, after: u64, limit: usize) -> Result<Vec<EventLogEntry>, Error> {
        let from = self.seen().start(after);
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let query = Query::prefix(self.executions.prefix()).after(from).limit(limit).until_now();
        let mut events = self.log().subscribe(&query);
        let mut entries = Vec::new();
        while let Some(event) = next(&mut events).await {
            entries.push(self.entry(&event?)?);
        }
        let last = entries.last().map(|entry| entry.sequence);
        self.seen().learn(from, events.place(), last);
        Ok(entries)
    }

    /// The position of the last own event. Looks, from the end, at no more than what came since anybody looked.
    async fn latest(&self) -> Result<u64, Error> {
        let seen = *self.seen();
        let end = self.log().last_position();
        let mut before = end + 1;
        let last = loop {
            match self.look_back(seen.upto, before)? {
                Look::Found(position) => break Some(position),
                Look::Nothing => break None,
                Look::StoppedAt(place) => before = place,
            }
            tokio::task::yield_now().await;
        };
        self.seen().learn(seen.upto, end, last);
        Ok(last.unwrap_or(seen.last))
    }

    /// Looks for the last own event between two positions, for as long as one may without giving way.
    fn look_back(&self, after: u64, before: u64) -> Result<Look, ReadError> {
        let query = Query::prefix(self.executions.prefix()).after(after).before(before);
        let mut events = self.log().read(&query.backward().limit(1).budget(PASSED_AT_ONCE));
        if let Some(event) = events.next()? {
            return Ok(Look::Found(event.position()));
        }
        Ok(events.stopped_at().map_or(Look::Nothing, Look::StoppedAt))
    }

    fn entry(&self, event: &RecordedEvent) -> Result<EventLogEntry, Error> {
        decode(event, |stored| {
            let event: ExecutionEvent = serde_json::from_slice(stored.payload())?;
            agree("type", event.event_type.as_str(), stored.event_type())?;
            let execution = self.executions.foreign(stored.stream()).unwrap_or_default();
            agree("execution", event.context.execution_id.as_str(), execution)?;
            Ok(EventLogEntry::new(stored.position(), event))
        })
    }

    /// Held for a moment only, never across an `await`.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a look back has brought.
enum Look {
    Found(u64),
    Nothing,
    /// Nothing so far: what there was to pass over is not at its end.
    StoppedAt(u64),
}

#[async_trait]
impl StorageBackend for StreamingStore {
    fn name(&self) -> &str {
        NAME
    }

    fn requires_network(&self) -> bool {
        false
    }

    /// As for the [`ExecutionStore`](crate::ExecutionStore).
    async fn health_check(&self) -> anyhow::Result<()> {
        Ok(self.backend.health()?)
    }

    /// As for the [`ExecutionStore`](crate::ExecutionStore).
    async fn shutdown(&self) -> anyhow::Result<()> {
        Ok(self.backend.shutdown().await?)
    }
}

#[async_trait]
impl EventStore for StreamingStore {
    async fn append(&self, event: ExecutionEvent) -> anyhow::Result<EventLogEntry> {
        Ok(self.write(event).await?)
    }

    async fn get_by_execution(&self, execution_id: &ExecutionId) -> anyhow::Result<Vec<EventLogEntry>> {
        Ok(self.of_execution(execution_id).await?)
    }

    async fn get_after(&self, after_sequence: u64, limit: usize) -> anyhow::Result<Vec<EventLogEntry>> {
        Ok(self.after(after_sequence, limit).await?)
    }

    async fn latest_sequence(&self) -> anyhow::Result<u64> {
        Ok(self.latest().await?)
    }
}
