//! The appends of 0.22 with more and more parts: each writes all that it is given, in one commit. What the trait provides would drop
//! the deadlines and the tags.

use super::make::{correlation, deadline, events, numbers, second, stream};
use super::mako::deadline::DeadlineStore;
use super::mako::error::EngineError;
use super::mako::event_store::{AtomicAppend, EventStore, ExpectedVersion};
use super::mako::outbox::{OutboxStore, PendingOutbox};
use super::mako::registry::ProcessRegistry;
use crate::shelf::{fresh, names};
use serde_json::json;
use std::sync::Arc;

const NEW: ExpectedVersion = ExpectedVersion::NoStream;

fn outgoing() -> [PendingOutbox; 1] {
    [PendingOutbox::new("APERAK", "9900000000001", json!({ "ok": true }))]
}

#[tokio::test]
async fn events_alone() {
    let store = fresh();
    let written = EventStore::append(&*store, &stream("s"), NEW, &events(2)).await.unwrap();
    assert_eq!((written.last_sequence, numbers(&written.events)), (2, vec![1, 2]));
    assert!(names(&store, "").is_empty());
}

#[tokio::test]
async fn with_messages() {
    let store = Arc::new((*fresh()).clone());
    let id = stream("s");
    let written = store.append_with_outbox(&id, NEW, &events(2), &outgoing()).await.unwrap();
    assert_eq!(written.last_sequence, 2);
    let pending = store.pending_now(9).await.unwrap();
    assert_eq!((pending.len(), pending[0].causation_event_id), (1, written.events[0].event_id));
    store.append_with_outbox(&id, ExpectedVersion::Exact(2), &events(1), &[]).await.unwrap();
    assert_eq!(OutboxStore::len(&*store).await.unwrap(), 1);
}

#[tokio::test]
async fn with_messages_and_deadlines() {
    let store = fresh();
    let id = stream("s");
    let due = [deadline(&id, "l", second(0))];
    let (new, out) = (events(1), outgoing());
    store.append_with_outbox_and_deadlines(&id, NEW, &new, &out, &due).await.unwrap();
    assert_eq!(OutboxStore::len(&*store).await.unwrap(), 1);
    assert_eq!(store.for_stream(&id).await.unwrap()[0].deadline_id(), due[0].deadline_id());
}

#[tokio::test]
async fn with_messages_deadlines_and_tags() {
    let store = fresh();
    let id = stream("s");
    let (due, tags) = ([deadline(&id, "l", second(0))], [correlation("m")]);
    let (new, out) = (events(1), outgoing());
    let append = store.append_with_outbox_deadlines_and_correlations(&id, NEW, &new, &out, &due, &tags);
    append.await.unwrap();
    assert_eq!(OutboxStore::len(&*store).await.unwrap(), 1);
    assert_eq!(DeadlineStore::len(&*store).await.unwrap(), 1);
    let found = store.lookup_correlated(tags[0].tenant_id, "m").await.unwrap();
    assert_eq!(found, [tags[0].identity.clone()]);
}

#[tokio::test]
async fn none_of_them_writes_a_part() {
    let store = fresh();
    let id = stream("s");
    let stale = ExpectedVersion::Exact(3);
    let (new, out, due, tags) = (events(1), outgoing(), [deadline(&id, "l", second(0))], [correlation("m")]);
    for refused in [
        EventStore::append(&*store, &id, stale, &new).await,
        store.append_with_outbox(&id, stale, &new, &out).await,
        store.append_with_outbox_and_deadlines(&id, stale, &new, &out, &due).await,
        store.append_with_outbox_deadlines_and_correlations(&id, stale, &new, &out, &due, &tags).await,
    ] {
        assert!(matches!(refused, Err(EngineError::VersionConflict { expected: 3, actual: 0 })));
    }
    let without_event = store.append_with_outbox(&id, NEW, &[], &out).await;
    assert!(matches!(without_event, Err(EngineError::Outbox { .. })));
    assert!(store.list_streams(None).await.unwrap().is_empty() && names(&store, "").is_empty());
}
