//! What the tests begin with: stores, ids, events, and what of a stream they compare.

use allsource_core::domain::entities::{Event, EventStream};
use allsource_core::domain::repositories::EventStreamRepository;
use allsource_core::domain::value_objects::{EntityId, TenantId};
use allsource_core::error::{AllSourceError, Result};
use allsource_core::infrastructure::repositories::InMemoryEventStreamRepository;
use annals::EventLog;
use annals_allsource::StreamRepository;
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) type Store = Arc<dyn EventStreamRepository>;

/// Ours, in a log in memory.
pub(crate) fn ours() -> StreamRepository {
    StreamRepository::new(EventLog::in_memory().unwrap())
}

/// allsource's own.
pub(crate) fn reference() -> Store {
    Arc::new(InMemoryEventStreamRepository::new())
}

/// Demands a rule of allsource's store, and of ours in memory and on a disk.
pub(crate) async fn everywhere(rule: impl AsyncFn(Store)) {
    rule(reference()).await;
    rule(Arc::new(ours())).await;
    let dir = tempfile::tempdir().unwrap();
    rule(Arc::new(StreamRepository::open(dir.path()).unwrap())).await;
}

pub(crate) fn id(text: &str) -> EntityId {
    EntityId::new(text.to_owned()).unwrap()
}

/// An id that breaks the rules of its type, which deserializing does not check.
pub(crate) fn unruly(text: &str) -> EntityId {
    serde_json::from_value(json!(text)).unwrap()
}

pub(crate) fn tenant(text: &str) -> TenantId {
    TenantId::new(text.to_owned()).unwrap()
}

pub(crate) fn event(entity: &str, n: u64) -> Event {
    event_of("acme", entity, json!({ "n": n }))
}

pub(crate) fn event_of(tenant: &str, entity: &str, payload: Value) -> Event {
    Event::from_strings("thing.happened".into(), entity.into(), tenant.into(), payload, None).unwrap()
}

/// A handle with so many events, which no store knows.
pub(crate) fn unsaved(entity: &str, events: u64) -> EventStream {
    let mut stream = EventStream::new(id(entity));
    for n in 1..=events {
        stream.append_event(event(entity, n)).unwrap();
    }
    stream
}

/// Appends so many events to a stream, which is made if it is not there.
pub(crate) async fn filled(store: &Store, entity: &str, events: u64) -> EventStream {
    let mut stream = store.get_or_create_stream(&id(entity)).await.unwrap();
    for n in 1..=events {
        store.append_to_stream(&mut stream, event(entity, n)).await.unwrap();
    }
    stream
}

pub(crate) async fn loaded(store: &Store, entity: &str) -> EventStream {
    store.load_stream(&id(entity)).await.unwrap().unwrap()
}

pub(crate) fn events(stream: &EventStream) -> Vec<Event> {
    stream.events_from(1).into_iter().cloned().collect()
}

/// All that is stored of a stream; when it was appended to is known better by the store than by the handle.
pub(crate) fn assert_same(a: &EventStream, b: &EventStream) {
    assert_eq!(a.stream_id(), b.stream_id());
    assert_eq!(a.partition_key(), b.partition_key());
    assert_eq!((a.current_version(), a.watermark()), (b.current_version(), b.watermark()));
    assert_eq!(a.created_at(), b.created_at());
    assert_eq!(events(a), events(b));
}

pub(crate) fn concurrency<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Err(AllSourceError::ConcurrencyError(text)) => text,
        other => panic!("no conflict: {other:?}"),
    }
}

pub(crate) fn validation<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Err(AllSourceError::ValidationError(text)) => text,
        other => panic!("valid: {other:?}"),
    }
}

pub(crate) fn input<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Err(AllSourceError::InvalidInput(text)) => text,
        other => panic!("valid: {other:?}"),
    }
}

pub(crate) fn storage<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Err(AllSourceError::StorageError(text)) => text,
        other => panic!("no error of the store: {other:?}"),
    }
}

/// A text must say all of these.
pub(crate) fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}
