//! The batch of 0.23: refused as its own check says, and told in full.

use super::make::{correlation, deadline, events, json_of, second, stream};
use super::mako::error::EngineError;
use super::mako::event_store::{AppendBatch, AtomicAppend, ExpectedVersion, InMemoryEventStore};
use super::mako::outbox::{OutboxStore, PendingOutbox};
use crate::shelf::{fresh, names};
use serde_json::json;
use time::OffsetDateTime;

agree!(InMemoryEventStore::new();
    a_batch_is_checked_before_anything,
    the_messages_are_told,
);

fn outgoing() -> PendingOutbox {
    PendingOutbox::new("APERAK", "9900000000001", json!({ "ok": true }))
}

/// Whether it is refused, and nothing of it is there.
async fn refused<S: AtomicAppend>(store: &S, batch: AppendBatch<'_>) -> EngineError {
    let error = store.append(batch).await.unwrap_err();
    assert!(store.list_streams(None).await.unwrap().is_empty());
    error
}

async fn a_batch_is_checked_before_anything<S: AtomicAppend>(store: &S) {
    let (id, events, outbox) = (stream("process/t/1"), events(1), [outgoing()]);
    // Also refused by the version, which is not looked at.
    let new = ExpectedVersion::Exact(7);
    let error = refused(store, AppendBatch::new(&id, new, &[]).outbox(&outbox)).await;
    assert!(matches!(error, EngineError::Outbox { .. }), "{error}");
    for tag in ["", "a/b", "a\0b", &"x".repeat(129)] {
        let tags = [correlation("fine"), correlation(tag)];
        let batch = AppendBatch::new(&id, new, &events).outbox(&outbox).correlations(&tags);
        assert!(matches!(refused(store, batch).await, EngineError::Registry { .. }), "{tag:?}");
    }
    let tags = [correlation(&"x".repeat(128))];
    let batch = AppendBatch::new(&id, ExpectedVersion::NoStream, &events).correlations(&tags);
    store.append(batch).await.unwrap();
}

async fn the_messages_are_told<S: AtomicAppend>(store: &S) {
    let (id, events) = (stream("s"), events(3));
    let outbox = [outgoing().caused_by(2), outgoing(), outgoing().caused_by(99)];
    let batch = AppendBatch::new(&id, ExpectedVersion::NoStream, &events).outbox(&outbox);
    let written = store.append(batch).await.unwrap();
    assert_eq!(written.outbox.len(), 3);
    for (message, cause) in written.outbox.iter().zip([2, 0, 2]) {
        assert_eq!(message.causation_event_id, written.events[cause].event_id);
        assert_eq!(message.created_at, written.events[cause].timestamp);
    }
}

#[tokio::test]
async fn what_is_told_is_what_is_pending() {
    let store = fresh();
    let (id, events) = (stream("s"), events(2));
    let outbox: Vec<_> = (0..10).map(|n| outgoing().caused_by(n)).collect();
    let due = [deadline(&id, "l", second(0))];
    let batch = AppendBatch::new(&id, ExpectedVersion::NoStream, &events).outbox(&outbox).deadlines(&due);
    let written = store.append(batch).await.unwrap();
    let pending = store.pending(99, OffsetDateTime::now_utc()).await.unwrap();
    assert_eq!(json_of(&written.outbox), json_of(&pending));
    assert_eq!(names(&store, "").len(), 2 * 10 + 3);
}
