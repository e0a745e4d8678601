//! The kernel's persistence: events of executions, in order, each execution with its tenant.
//!
//! Owns the mapping of executions to streams and of tenants to tenants. All order and durability is the log's.

use crate::backend::{Backend, NAME, next};
use crate::error::Error;
use crate::stored::{agree, decode, encode, name};
use annals::{AppendError, Durability, EventLog, ExpectedVersion, NewEvent, OpenError, Query, RecordedEvent};
use annals_adapter::Names;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use enact_core::kernel::persistence::{EventStore, ExecutionEventData, StorageBackend, StoredEvent};
use enact_core::kernel::{ExecutionId, TenantId};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How many executions are listed in one go, before other tasks have their turn.
const PAGE: usize = 256;

/// The events of executions: enact-core's [`EventStore`](enact_core::kernel::persistence::EventStore) of the kernel's
/// persistence, in a log.
///
/// An execution is one stream; its sequences are the stream's versions, 1, 2, 3, ... without gaps. `Ok` of an append means
/// that its events are durable; a batch is there as a whole or not at all. An execution belongs to the tenant of its first
/// append. A clone is the same store.
///
/// No method blocks its thread. Dropping a future of an append cancels the append only while it waits for room in the log;
/// once its events are numbered they become durable. The log must have its background threads, as it has by default.
///
/// ```
/// use annals_enact::ExecutionStore;
/// use enact_core::kernel::persistence::{EventStore, ExecutionEventData, StorageBackend};
/// use enact_core::kernel::{ExecutionId, TenantId};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path();
/// let store = ExecutionStore::open(path)?;
/// let (execution, tenant) = (ExecutionId::new(), TenantId::from("shop"));
/// let started = ExecutionEventData::ExecutionStarted { parent: None, metadata: None };
/// assert_eq!(store.append(&execution, &tenant, started).await?, 1);
/// assert_eq!(store.load_events(&execution).await?[0].sequence, 1);
/// store.shutdown().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct ExecutionStore {
    backend: Backend,
    executions: Names,
    tenants: Names,
}

/// What stands beside an event's payload.
#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    tenant_id: TenantId,
    timestamp: DateTime<Utc>,
}

impl ExecutionStore {
    /// A store in a log that others may use too, in the namespace `enact`.
    pub fn new(log: EventLog) -> ExecutionStore {
        ExecutionStore::in_namespace(log, crate::NAMESPACE)
    }

    /// A store in a namespace of its own: stores with different ones know nothing of each other, in the same log.
    pub fn in_namespace(log: EventLog, namespace: &str) -> ExecutionStore {
        let tenants = Names::new(namespace);
        ExecutionStore { backend: Backend::shared(log), executions: tenants.under("execution"), tenants }
    }

    /// Opens the log in a directory, or makes one, for this store: `shutdown` closes it. To have both stores in one directory,
    /// open the log and give it to both.
    ///
    /// Blocks while the log is recovered: call it before the runtime has work to do, or on a thread that may block.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: impl AsRef<Path>) -> Result<ExecutionStore, OpenError> {
        Ok(ExecutionStore::new(EventLog::open(path)?).closing_log())
    }

    /// From here on, `shutdown` of this store and of its clones closes the log, whoever else uses it.
    #[must_use]
    pub fn closing_log(mut self) -> ExecutionStore {
        self.backend.closes_log = true;
        self
    }

    /// The log that the store writes to.
    pub fn log(&self) -> &EventLog {
        &self.backend.log
    }

    async fn write(
        &self,
        execution: &ExecutionId,
        tenant: &TenantId,
        events: &[ExecutionEventData],
    ) -> Result<u64, Error> {
        if events.is_empty() {
            return Err(Error::EmptyBatch);
        }
        let stream = name(&self.executions, "execution id", execution.as_str())?;
        let owner = name(&self.tenants, "tenant id", tenant.as_str())?;
        let pending = {
            let beside = Metadata { tenant_id: tenant.clone(), timestamp: Utc::now() };
            let metadata = encode(&beside)?;
            let payloads: Vec<Vec<u8>> = events.iter().map(payload).collect::<Result<_, _>>()?;
            let event = |(event, payload)| NewEvent::new(type_of(event), payload).with_metadata(&metadata);
            let events: Vec<NewEvent<'_>> = events.iter().zip(&payloads).map(event).collect();
            // Whatever the log was opened with.
            let batch = self.log().batch().durability(Durability::Synced).in_tenant(&owner);
            batch.append(&stream, ExpectedVersion::Any, &events).submit()?
        };
        match pending.await {
            Ok(appended) => Ok(appended.streams.first().map_or(0, |stream| stream.first_version)),
            Err(AppendError::ForeignTenant { .. }) => {
                Err(Error::ForeignTenant { execution: execution.to_string(), tenant: tenant.to_string() })
            }
            Err(error) => Err(Error::Append(error)),
        }
    }

    async fn load(&self, execution: &ExecutionId, after: u64) -> Result<Vec<StoredEvent>, Error> {
        let stream = Query::stream(&self.executions.name(execution.as_str()));
        let mut events = self.log().subscribe(&stream.after(after).until_now());
        let mut loaded = Vec::new();
        while let Some(event) = next(&mut events).await {
            loaded.push(decode(&event?, |event| stored(execution, event))?);
        }
        Ok(loaded)
    }

    async fn list(&self, tenant: &TenantId, limit: usize, offset: usize) -> Vec<ExecutionId> {
        let tenant = self.log().tenant(&self.tenants.name(tenant.as_str()));
        let (mut passed, mut last) = (0, u64::MAX);
        let (mut skipped, mut listed) = (0, Vec::new());
        loop {
            let page = if listed.len() < limit { tenant.list_streams(passed, PAGE) } else { Vec::new() };
            if page.is_empty() {
                return listed;
            }
            passed += page.len() as u64;
            for stream in page {
                // Those that are created meanwhile move the others on: what was listed comes again then.
                let is_new = stream.creation_ordinal < last;
                last = last.min(stream.creation_ordinal);
                // The tenant may have streams that are no executions.
                let Some(execution) = self.executions.foreign(&stream.id).filter(|_| is_new) else {
                    continue;
                };
                if skipped < offset {
                    skipped += 1;
                } else if listed.len() < limit {
                    listed.push(ExecutionId::from(execution));
                }
            }
            tokio::task::yield_now().await;
        }
    }

    fn version(&self, execution: &ExecutionId) -> u64 {
        self.log().stream_version(&self.executions.name(execution.as_str()))
    }
}

#[async_trait]
impl StorageBackend for ExecutionStore {
    fn name(&self) -> &str {
        NAME
    }

    fn requires_network(&self) -> bool {
        false
    }

    /// Whether the log takes events. Does no input or output.
    async fn health_check(&self) -> anyhow::Result<()> {
        Ok(self.backend.health()?)
    }

    /// Waits until everything that was numbered is durable. A store that has opened its log, or was made
    /// [`closing_log`](ExecutionStore::closing_log), closes it: appends are refused from then on, reads go on. It needs a
    /// tokio runtime for that. Shutting down again gives the same answer.
    async fn shutdown(&self) -> anyhow::Result<()> {
        Ok(self.backend.shutdown().await?)
    }
}

#[async_trait]
impl EventStore for ExecutionStore {
    async fn append(
        &self,
        execution_id: &ExecutionId,
        tenant_id: &TenantId,
        event: ExecutionEventData,
    ) -> anyhow::Result<u64> {
        Ok(self.write(execution_id, tenant_id, &[event]).await?)
    }

    async fn append_batch(
        &self,
        execution_id: &ExecutionId,
        tenant_id: &TenantId,
        events: Vec<ExecutionEventData>,
    ) -> anyhow::Result<u64> {
        Ok(self.write(execution_id, tenant_id, &events).await?)
    }

    async fn load_events(&self, execution_id: &ExecutionId) -> anyhow::Result<Vec<StoredEvent>> {
        Ok(self.load(execution_id, 0).await?)
    }

    async fn load_events_after(
        &self,
        execution_id: &ExecutionId,
        after_seq: u64,
    ) -> anyhow::Result<Vec<StoredEvent>> {
        Ok(self.load(execution_id, after_seq).await?)
    }

    async fn get_latest_sequence(&self, execution_id: &ExecutionId) -> anyhow::Result<Option<u64>> {
        Ok(Some(self.version(execution_id)).filter(|version| *version > 0))
    }

    async fn execution_exists(&self, execution_id: &ExecutionId) -> anyhow::Result<bool> {
        Ok(self.version(execution_id) > 0)
    }

    async fn list_executions(
        &self,
        tenant_id: &TenantId,
        limit: usize,
        offset: usize,
    ) -> anyhow::Result<Vec<ExecutionId>> {
        Ok(self.list(tenant_id, limit, offset).await)
    }

    async fn count_events(&self, execution_id: &ExecutionId) -> anyhow::Result<u64> {
        Ok(self.version(execution_id))
    }
}

/// An event as it is stored.
fn payload(event: &ExecutionEventData) -> Result<Vec<u8>, Error> {
    if let ExecutionEventData::GoalEvaluated { score: Some(score), .. } = event
        && !score.is_finite()
    {
        // It would be written as `null`, and come back as no score.
        let cause = format!("the score {score} is not a number of JSON");
        return Err(Error::Unstorable(serde::ser::Error::custom(cause)));
    }
    encode(event)
}

/// An event as it was stored.
fn stored(execution: &ExecutionId, event: &RecordedEvent) -> serde_json::Result<StoredEvent> {
    let data: ExecutionEventData = serde_json::from_slice(event.payload())?;
    agree("type", type_of(&data), event.event_type())?;
    let Metadata { tenant_id, timestamp } = serde_json::from_slice(event.metadata())?;
    let (sequence, execution_id) = (event.version(), execution.clone());
    Ok(StoredEvent { sequence, execution_id, tenant_id, event: data, timestamp })
}

/// The tag that an event carries in JSON.
fn type_of(event: &ExecutionEventData) -> &'static str {
    match event {
        ExecutionEventData::ExecutionStarted { .. } => "execution_started",
        ExecutionEventData::StepStarted { .. } => "step_started",
        ExecutionEventData::StepCompleted { .. } => "step_completed",
        ExecutionEventData::StepFailed { .. } => "step_failed",
        ExecutionEventData::ExecutionPaused { .. } => "execution_paused",
        ExecutionEventData::ExecutionResumed => "execution_resumed",
        ExecutionEventData::ExecutionCompleted { .. } => "execution_completed",
        ExecutionEventData::ExecutionFailed { .. } => "execution_failed",
        ExecutionEventData::ExecutionCancelled { .. } => "execution_cancelled",
        ExecutionEventData::ArtifactStored { .. } => "artifact_stored",
        ExecutionEventData::StepDiscovered { .. } => "step_discovered",
        ExecutionEventData::ToolCallStarted { .. } => "tool_call_started",
        ExecutionEventData::ToolCallCompleted { .. } => "tool_call_completed",
        ExecutionEventData::CheckpointSaved { .. } => "checkpoint_saved",
        ExecutionEventData::GoalEvaluated { .. } => "goal_evaluated",
        ExecutionEventData::Custom { .. } => "custom",
    }
}
