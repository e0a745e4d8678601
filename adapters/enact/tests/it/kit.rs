//! What the tests have in common: events, a store in a directory of its own, a log on a faulty disk.

use annals::{EventLog, Options};
use annals_enact::{Error, ExecutionStore, StreamingStore};
use enact_core::kernel::persistence::{ExecutionEventData, StoredEvent};
use enact_core::kernel::{ExecutionContext, ExecutionEvent, ExecutionEventType, ExecutionId, TenantId};
use proving::FaultyDisk;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) fn id(id: &str) -> ExecutionId {
    ExecutionId::from(id)
}

pub(crate) fn tenant(id: &str) -> TenantId {
    TenantId::from(id)
}

/// An event of the kernel that can be told from others.
pub(crate) fn numbered(number: u64) -> ExecutionEventData {
    ExecutionEventData::Custom { event_type: "numbered".to_owned(), data: json!(number) }
}

pub(crate) fn number(event: &StoredEvent) -> u64 {
    match &event.event {
        ExecutionEventData::Custom { data, .. } => data.as_u64().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Sequences and numbers of events.
pub(crate) fn numbers(events: &[StoredEvent]) -> Vec<(u64, u64)> {
    events.iter().map(|event| (event.sequence, number(event))).collect()
}

/// An event of the runtime.
pub(crate) fn emitted(execution: &str, number: u64) -> ExecutionEvent {
    let context = ExecutionContext::new(id(execution));
    ExecutionEvent::new(ExecutionEventType::StepStart, context).with_payload(json!({ "number": number }))
}

/// What something is as JSON: the crate's types cannot be compared.
pub(crate) fn as_json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

/// A directory that is removed at the end.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Both stores over one log in memory.
pub(crate) fn in_memory() -> (EventLog, ExecutionStore, StreamingStore) {
    let log = EventLog::in_memory().unwrap();
    (log.clone(), ExecutionStore::new(log.clone()), StreamingStore::new(log))
}

/// Opens the log in a directory, for one store or for both.
pub(crate) fn open(dir: &Path) -> EventLog {
    EventLog::open(dir).unwrap()
}

/// The adapter's own error inside what a trait answers.
pub(crate) fn typed<T: std::fmt::Debug>(result: anyhow::Result<T>) -> Error {
    result.unwrap_err().downcast().unwrap()
}

/// A log on a disk that can be told to fail.
pub(crate) fn on(disk: &FaultyDisk) -> EventLog {
    Options::new().segment_bytes(64 << 10).open_storage(Arc::new(disk.clone())).unwrap()
}
