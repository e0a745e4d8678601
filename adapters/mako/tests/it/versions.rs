//! Both versions of mako-engine on one log: each goes on with what the other wrote.

use crate::shelf::{Shelf, fresh, kept, names};
use crate::{v0_22, v0_23};
use serde_json::{Value, json};
use time::OffsetDateTime;

use mako_engine as new;
use mako_engine_0_22 as old;

const DEAD: &str = "mako/dead-letters";

/// What 0.22 writes: events, a message, a deadline, a tag, a key, a snapshot, a claim, a checkpoint, a partner and a rejection.
async fn written_by_0_22() -> (Shelf, new::ids::TenantId) {
    use old::dead_letter::DeadLetterSink;
    use old::event_store::AtomicAppend;
    use old::inbox::InboxStore;
    use old::outbox::PendingOutbox;
    use old::partner::{PartnerRecord, PartnerStore};
    use old::projection::{GlobalProjectionCheckpoint, ProjectionCheckpointStore};
    use old::registry::{ProcessRegistry, RegistryKey};
    use old::snapshot::{Snapshot, SnapshotStore};
    use v0_22::make::{correlation, deadline, events, second, stream};

    let store = fresh();
    let id = stream("process/1");
    let (due, tags) = ([deadline(&id, "l", second(0))], [correlation("m")]);
    let (new, out) = (events(2), [PendingOutbox::new("APERAK", "1", json!({ "x": 0.1 }))]);
    let expected = old::event_store::ExpectedVersion::NoStream;
    let append = store.append_with_outbox_deadlines_and_correlations(&id, expected, &new, &out, &due, &tags);
    append.await.unwrap();
    let tenant = tags[0].tenant_id;
    let key = RegistryKey::from_static("k");
    ProcessRegistry::register(&*store, tenant, &key, tags[0].identity.clone()).await.unwrap();
    store.save(&Snapshot::new(id.clone(), 2, 1, json!({ "n": 2 }))).await.unwrap();
    store.claim("accepted").await.unwrap();
    store.accept("accepted").await.unwrap();
    store.claim("claimed").await.unwrap();
    let mut cursors = GlobalProjectionCheckpoint::new();
    cursors.advance(&id, 2);
    store.save_projection_checkpoint("p", &cursors).await.unwrap();
    store.upsert(tenant, &PartnerRecord::minimal("1", "https://a.example")).await.unwrap();
    let context = old::dead_letter::AuditContext::now();
    store.reject(&old::dead_letter::DeadLetterReason::TestMessage { context });
    while store.log().stream_version(DEAD) == 0 {
        tokio::task::yield_now().await;
    }
    (store, new::ids::TenantId::from_uuid(tenant.as_uuid()))
}

#[tokio::test]
async fn a_log_of_0_22_goes_on_with_0_23() {
    use new::deadline::DeadlineStore;
    use new::event_store::{AppendBatch, AtomicAppend, EventStore, ExpectedVersion};
    use new::inbox::{InboxClaim, InboxStore};
    use new::outbox::OutboxStore;
    use new::partner::PartnerStore;
    use new::projection::ProjectionCheckpointStore;
    use new::registry::{ProcessRegistry, RegistryKey};
    use new::snapshot::SnapshotStore;
    use v0_23::make::{events, json_of, numbers, second, stream};

    let (store, tenant) = written_by_0_22().await;
    let before =
        old::event_store::EventStore::load(&*store, &v0_22::make::stream("process/1")).await.unwrap();
    let store = store.reopen();
    let id = stream("process/1");
    let loaded = EventStore::load(&*store, &id).await.unwrap();
    assert_eq!(json_of(&loaded), v0_22::make::json_of(&before));
    store.append(AppendBatch::new(&id, ExpectedVersion::Exact(2), &events(1))).await.unwrap();
    assert_eq!(numbers(&EventStore::load(&*store, &id).await.unwrap()), [1, 2, 3]);

    let pending = store.pending_now(9).await.unwrap();
    assert_eq!((pending.len(), &pending[0].payload), (1, &json!({ "x": 0.1 })));
    assert_eq!((pending[0].causation_event_id, pending[0].first_attempt_at), (loaded[0].event_id, None));
    let message = pending[0].message_id;
    assert_eq!(store.record_first_attempt(message, second(7)).await.unwrap(), Some(second(7)));
    store.reschedule(message, second(9)).await.unwrap();
    store.acknowledge(message).await.unwrap();
    assert!(names(&store, "mako/outbox/").is_empty());

    let due = store.due_now(9).await.unwrap().deadlines;
    assert_eq!((due.len(), due[0].label()), (1, "l"));
    store.cancel(due[0].deadline_id()).await.unwrap();
    assert!(names(&store, "mako/deadline/").is_empty());

    assert_eq!(store.lookup_correlated(tenant, "m").await.unwrap().len(), 1);
    assert!(store.contains(tenant, &RegistryKey::from_static("k")).await.unwrap());
    let snapshot = SnapshotStore::load(&*store, &id).await.unwrap().unwrap();
    assert_eq!((snapshot.sequence_number, snapshot.state), (2, json!({ "n": 2 })));
    assert_eq!(store.claim("accepted").await.unwrap(), InboxClaim::Duplicate);
    assert_eq!(store.claim("claimed").await.unwrap(), InboxClaim::InFlight);
    assert_eq!(store.load_projection_checkpoint("p").await.unwrap().cursor_for(&id), 2);
    assert_eq!(store.list(tenant).await.unwrap()[0].as4_endpoint(), Some("https://a.example"));
}

/// The way back, for those who have to take it: what 0.23 adds stays where it is.
#[tokio::test]
async fn a_log_of_0_23_goes_on_with_0_22() {
    use old::event_store::{EventStore, ExpectedVersion};
    use old::inbox::{InboxClaim, InboxStore};
    use old::outbox::OutboxStore;
    use v0_22::make::{events, json_of, numbers, second, stream};

    let store = fresh();
    let id = v0_23::make::stream("process/1");
    let (three, out) = (v0_23::make::events(3), [new::outbox::PendingOutbox::new("APERAK", "1", json!({}))]);
    let batch = new::event_store::AppendBatch::new(&id, new::event_store::ExpectedVersion::NoStream, &three);
    let written = new::event_store::AtomicAppend::append(&*store, batch.outbox(&out)).await.unwrap();
    let message = written.outbox[0].message_id;
    new::outbox::OutboxStore::record_first_attempt(&*store, message, second(7)).await.unwrap();
    let claim = new::inbox::InboxStore::claim(&*store, "in").await.unwrap();
    let new::inbox::InboxClaim::Claimed(claim) = claim else { panic!("{claim:?}") };

    let store = store.reopen();
    let id = stream("process/1");
    let loaded = EventStore::load(&*store, &id).await.unwrap();
    assert_eq!(json_of(&loaded), v0_23::make::json_of(&written.events));
    EventStore::append(&*store, &id, ExpectedVersion::Exact(3), &events(1)).await.unwrap();
    assert_eq!(numbers(&EventStore::load(&*store, &id).await.unwrap()), [1, 2, 3, 4]);
    let pending = store.pending(9, OffsetDateTime::now_utc()).await.unwrap();
    store.reschedule(pending[0].message_id, second(9)).await.unwrap();
    assert_eq!(store.claim("in").await.unwrap(), InboxClaim::InFlight);
    store.accept("in").await.unwrap();

    // And back again: the first attempt was kept, and the claim is spent.
    let pending = new::outbox::OutboxStore::pending(&*store, 9, second(9)).await.unwrap();
    assert_eq!((pending[0].attempt_count, pending[0].first_attempt_at), (1, Some(second(7))));
    assert!(new::inbox::InboxStore::accept(&*store, "in", claim).await.is_err());
}

/// The shape of a JSON value: its names, without what differs from one writing to the next.
fn shape(text: &[u8]) -> Value {
    fn names_of(value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                Value::Object(fields.into_iter().map(|(name, value)| (name, names_of(value))).collect())
            }
            Value::Array(values) => Value::Array(values.into_iter().map(names_of).collect()),
            Value::String(_) => "text".into(),
            other => other,
        }
    }
    names_of(serde_json::from_slice(text).unwrap())
}

#[tokio::test]
async fn both_write_the_same_bytes() {
    let (older, _) = written_by_0_22().await;
    let newer = fresh();
    let id = v0_23::make::stream("process/1");
    let (due, tags) =
        ([v0_23::make::deadline(&id, "l", OffsetDateTime::UNIX_EPOCH)], [v0_23::make::correlation("m")]);
    let (two, out) =
        (v0_23::make::events(2), [new::outbox::PendingOutbox::new("APERAK", "1", json!({ "x": 0.1 }))]);
    let batch = new::event_store::AppendBatch::new(&id, new::event_store::ExpectedVersion::NoStream, &two);
    let batch = batch.outbox(&out).deadlines(&due).correlations(&tags);
    new::event_store::AtomicAppend::append(&*newer, batch).await.unwrap();
    for key in ["accepted", "claimed"] {
        let claim = new::inbox::InboxStore::claim(&*newer, key).await.unwrap();
        let new::inbox::InboxClaim::Claimed(claim) = claim else { panic!("{claim:?}") };
        if key == "accepted" {
            new::inbox::InboxStore::accept(&*newer, key, claim).await.unwrap();
        }
    }
    let context = new::dead_letter::AuditContext::now();
    let reason = new::dead_letter::DeadLetterReason::TestMessage { context };
    new::dead_letter::DeadLetterSink::reject(&*newer, &reason).await.unwrap();

    let shapes = |store: &Shelf, part: &str| -> Vec<Value> {
        let found = names(store, part);
        found.iter().map(|name| shape(kept(store, name).unwrap().as_bytes())).collect()
    };
    for part in ["mako/outbox/message/", "mako/deadline/id/", "mako/correlated/", "mako/inbox/key/"] {
        assert_eq!(shapes(&older, part), shapes(&newer, part), "{part}");
        assert!(!shapes(&older, part).is_empty(), "{part}");
    }
    for part in ["mako/outbox/", "mako/deadline/", "mako/correlated/", "mako/inbox/"] {
        assert_eq!(names(&older, part).len(), names(&newer, part).len(), "{part}");
    }
    let events = |store: &Shelf| -> Vec<(String, Value, Value)> {
        let all = store.log().read_all(0).into_iter().map(Result::unwrap);
        all.map(|event| (event.stream().to_owned(), shape(event.metadata()), shape(event.payload())))
            .collect()
    };
    assert_eq!(events(&older), events(&newer));
    assert_eq!(events(&older).len(), 3);
}
