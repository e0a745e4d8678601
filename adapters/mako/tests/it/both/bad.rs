//! Bad input, and things in the log that this store did not write: what is answered, and that nothing else suffers.

use super::make::{correlation, deadline, event, events, identity, message, numbers, second, stream};
use super::mako::deadline::{Deadline, DeadlineStore};
use super::mako::error::EngineError;
use super::mako::event_store::{EventStore, ExpectedVersion};
use super::mako::ids::{StreamId, TenantId};
use super::mako::outbox::{OutboxStore, PendingOutbox};
use super::mako::partner::PartnerStore;
use super::mako::projection::{GlobalProjectionCheckpoint, ProjectionCheckpointStore};
use super::mako::registry::{ProcessRegistry, RegistryKey};
use super::mako::snapshot::SnapshotStore;
use super::{append, append_all};
use crate::shelf::{Shelf, fresh, names};
use annals::{ExpectedVersion as Expected, KeptCondition, NewEvent};
use serde_json::json;

const NEW: ExpectedVersion = ExpectedVersion::NoStream;

/// Whether nothing at all was written.
fn nothing_is_written(store: &Shelf) {
    assert_eq!((store.log().last_position(), store.log().stream_count()), (0, 0));
    assert!(names(store, "").is_empty());
}

/// Stream ids that nobody has checked: serde makes them of any text.
fn unchecked(id: &str) -> StreamId {
    serde_json::from_value(json!(id)).unwrap()
}

#[tokio::test]
async fn what_is_no_stream_id_is_refused() {
    let store = fresh();
    for id in ["", "a\0b"] {
        assert!(matches!(StreamId::try_new(id), Err(EngineError::InvalidStreamId { .. })));
        let id = unchecked(id);
        let refused = append(&*store, &id, NEW, &events(1)).await.unwrap_err();
        assert!(matches!(refused, EngineError::InvalidStreamId { .. }), "{refused}");
        let mut cursors = GlobalProjectionCheckpoint::new();
        cursors.advance(&id, 1);
        let refused = store.save_projection_checkpoint("p", &cursors).await.unwrap_err();
        assert!(matches!(refused, EngineError::InvalidStreamId { .. }), "{refused}");
        assert!(EventStore::load(&*store, &id).await.unwrap().is_empty(), "reading finds nothing");
    }
    nothing_is_written(&store);
}

#[tokio::test]
async fn long_stream_ids_fit_or_are_refused() {
    let store = fresh();
    for id in ["ä/".repeat(340), "x".repeat(1_020), "/".repeat(2_036)] {
        append(&*store, &stream(&id), NEW, &events(2)).await.unwrap();
        assert_eq!(EventStore::load(&*store, &stream(&id)).await.unwrap().len(), 2);
        assert_eq!(store.list_streams(Some(&id)).await.unwrap(), [stream(&id)]);
    }
    let long = stream(&"x".repeat(2_037));
    let refused = append(&*store, &long, NEW, &events(1)).await.unwrap_err();
    assert!(
        matches!(&refused, EngineError::Store { transient: false, message } if message.contains("stream id")),
        "{refused}"
    );
    assert!(EventStore::load(&*store, &long).await.unwrap().is_empty());
    assert_eq!(store.stream_version(&long).await.unwrap(), 0);
    assert!(store.for_stream(&long).await.unwrap().is_empty());
    assert!(SnapshotStore::load(&*store, &long).await.unwrap().is_none());
    assert_eq!(store.list_streams_page(None, Some(&long), 9).await.unwrap().len(), 1, "also as a cursor");
    assert_eq!(store.log().stream_count(), 3);
}

#[tokio::test]
async fn event_types_have_a_name_that_is_not_too_long() {
    let store = fresh();
    let id = stream("s");
    for name in ["", &"T".repeat(1_025)] {
        let refused = append(&*store, &id, NEW, &[event("Fine", json!(1)), event(name, json!(1))]).await;
        let refused = refused.unwrap_err();
        assert!(
            matches!(&refused, EngineError::Store { transient: false, message } if message.contains("event type")),
            "{refused}"
        );
    }
    nothing_is_written(&store);
    append(&*store, &id, NEW, &[event(&"ä".repeat(512), json!(1)), event("\0", json!(1))]).await.unwrap();
    assert_eq!(&*EventStore::load(&*store, &id).await.unwrap()[1].event_type, "\0");
}

/// `serde_json` writes any depth, and reads 127 levels: an event that is deeper could be written and never be loaded.
#[tokio::test]
async fn payloads_that_could_not_be_read_are_not_written() {
    let store = fresh();
    let id = stream("s");
    let nested = |depth| (0..depth).fold(json!(0), |inner, _| json!([inner]));
    let refused =
        append(&*store, &id, NEW, &[event("T", json!(1)), event("T", nested(128))]).await.unwrap_err();
    assert!(
        matches!(&refused, EngineError::Serialization(text) if text.contains("deeper than 127")),
        "{refused}"
    );
    let out = [PendingOutbox::new("A", "1", nested(127))];
    let refused = append_all(&store, &id, NEW, &events(1), &out, &[], &[]).await.unwrap_err();
    assert!(
        matches!(&refused, EngineError::Outbox { message, .. } if message.contains("deeper than 127")),
        "{refused}"
    );
    nothing_is_written(&store);
    append(&*store, &id, NEW, &[event("T", nested(127))]).await.unwrap();
    assert_eq!(EventStore::load(&*store, &id).await.unwrap()[0].payload, nested(127));
}

#[tokio::test]
async fn an_append_that_is_too_large_is_refused() {
    let store = fresh();
    let id = stream("s");
    let refused = append(&*store, &id, NEW, &[event("T", json!("x".repeat(64 << 20)))]).await.unwrap_err();
    assert!(
        matches!(&refused, EngineError::Store { transient: false, message } if message.contains("append has")),
        "{refused}"
    );
    nothing_is_written(&store);
}

/// Somebody else wrote into a stream of ours: what stands before can be read, and what stands behind.
#[tokio::test]
async fn an_event_of_somebody_else_is_told() {
    let store = fresh();
    let id = stream("s");
    append(&*store, &id, NEW, &events(2)).await.unwrap();
    let theirs = [
        NewEvent::new("Theirs", "no JSON").with_metadata("{}"),
        NewEvent::new("Theirs", r#"{"fine": 1}"#).with_metadata("no JSON"),
    ];
    store.log().append(&store.stream_name("s"), Expected::Exact(2), &theirs).unwrap();
    append(&*store, &id, ExpectedVersion::Exact(4), &events(1)).await.unwrap();
    for from in [0, 2, 3] {
        let error = store.load_from(&id, from).await.unwrap_err();
        let named = format!("the metadata of version {} of stream \"mako/stream/s\"", from.max(2) + 1);
        assert!(matches!(&error, EngineError::Deserialization(text) if text.contains(&named)), "{error}");
    }
    let mut before = Vec::new();
    let folded = store.fold_stream(&id, 0, (), |(), event| {
        before.push(event);
        Ok(())
    });
    assert!(folded.await.is_err());
    assert_eq!(numbers(&before), [1, 2]);
    assert_eq!(numbers(&store.load_from(&id, 4).await.unwrap()), [5]);
    assert_eq!(store.stream_version(&id).await.unwrap(), 5);
}

#[tokio::test]
async fn a_stream_that_was_cut_or_ended_says_so() {
    let store = fresh();
    let (cut, ended) = (stream("cut"), stream("ended"));
    append(&*store, &cut, NEW, &events(5)).await.unwrap();
    append(&*store, &ended, NEW, &events(1)).await.unwrap();
    store.log().truncate_before(&store.stream_name("cut"), 4, Expected::Any).unwrap();
    store.log().tombstone(&store.stream_name("ended"), Expected::Any).unwrap();
    let error = EventStore::load(&*store, &cut).await.unwrap_err();
    assert!(
        matches!(&error, EngineError::Store { message, .. } if message.contains("events before 4")),
        "{error}"
    );
    assert_eq!(numbers(&store.load_from(&cut, 3).await.unwrap()), [4, 5]);
    for error in [
        EventStore::load(&*store, &ended).await.map(drop),
        append(&*store, &ended, ExpectedVersion::Any, &events(1)).await.map(drop),
    ] {
        assert!(
            matches!(&error, Err(EngineError::Store { message, .. }) if message.contains("gone")),
            "{error:?}"
        );
    }
}

/// Somebody else wrote under the names of ours, or damaged what stood there: each store says which name it is, and what does not
/// need that value works.
#[tokio::test]
async fn values_of_somebody_else_are_told() {
    let store = fresh();
    let (id, tenant, key) = (stream("s"), TenantId::new(), RegistryKey::from_static("k"));
    let (fine, bad) = (message(second(0), None), message(second(1), None));
    store.enqueue(&[fine.clone(), bad.clone()]).await.unwrap();
    let due = deadline(&id, "l", second(0));
    DeadlineStore::register(&*store, &due).await.unwrap();
    let put = |name: String| store.log().keep(&name, KeptCondition::Any, "no JSON").map(|_| name).unwrap();
    let broken = [
        put(format!("mako/outbox/message/{}", bad.message_id)),
        put(format!("mako/deadline/id/{}", due.deadline_id())),
        put(format!("mako/registry/{tenant}/k")),
        put(format!("mako/correlated/{tenant}/m/x")),
        put("mako/snapshot/s".to_owned()),
        put(format!("mako/partner/{tenant}/1")),
        put("mako/checkpoint/p/s".to_owned()),
    ];
    let told = [
        store.pending(9, second(9)).await.unwrap_err(),
        store.due_now(9).await.unwrap_err(),
        store.lookup(tenant, &key).await.unwrap_err(),
        store.lookup_correlated(tenant, "m").await.unwrap_err(),
        SnapshotStore::load(&*store, &id).await.unwrap_err(),
        store.list(tenant).await.unwrap_err(),
        store.load_projection_checkpoint("p").await.unwrap_err(),
    ];
    for (error, name) in told.iter().zip(&broken) {
        assert!(error.to_string().contains(name.as_str()), "{name}: {error}");
        assert!(!error.is_transient());
    }
    assert!(matches!(
        told,
        [
            EngineError::Outbox { .. },
            EngineError::Deadline { .. },
            EngineError::Registry { .. },
            EngineError::Registry { .. },
            EngineError::Snapshot { .. },
            EngineError::Partner { .. },
            EngineError::Store { .. },
        ]
    ));
    // The others are not held up: what is asked for by its name, what comes before, what is written over.
    assert_eq!(store.pending(1, second(9)).await.unwrap().len(), 1);
    store.acknowledge(fine.message_id).await.unwrap();
    assert!(store.acknowledge(bad.message_id).await.is_err());
    ProcessRegistry::register(&*store, tenant, &key, identity()).await.unwrap();
    assert!(store.lookup(tenant, &key).await.unwrap().is_some());
    append_all(&store, &id, NEW, &events(1), &[], &[], &[correlation("m")]).await.unwrap();
    // Mended without this crate.
    store.log().keep(&broken[0], KeptCondition::Present, serde_json::to_string(&bad).unwrap()).unwrap();
    assert_eq!(store.pending(9, second(9)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn names_of_somebody_else_are_told() {
    let store = fresh();
    for name in ["mako/outbox/ready/x", "mako/outbox/deferred/0", "mako/deadline/due/0"] {
        store.log().keep(name, KeptCondition::Any, "").unwrap();
        let (pending, due) = (store.pending(9, second(9)).await.map(drop), store.due_now(9).await.map(drop));
        let error = pending.and(due).unwrap_err();
        assert!(error.to_string().contains("is no name that this store writes"), "{name}: {error}");
        store.log().unkeep(name, KeptCondition::Present).unwrap();
    }
    assert!(store.pending(9, second(9)).await.unwrap().is_empty());
}

/// A value that was set lazily has no revision yet, and is a value all the same.
#[tokio::test]
async fn what_was_set_lazily_is_a_message_too() {
    let store = fresh();
    let sent = message(second(0), None);
    store.enqueue(std::slice::from_ref(&sent)).await.unwrap();
    let text = serde_json::to_string(&sent).unwrap();
    store.log().keep_lazily(&format!("mako/outbox/message/{}", sent.message_id), text).unwrap();
    store.reschedule(sent.message_id, second(1)).await.unwrap();
    store.acknowledge(sent.message_id).await.unwrap();
    assert!(names(&store, "").is_empty());
}

#[tokio::test]
async fn a_closed_log_refuses_to_write_and_can_be_read() {
    let store = fresh();
    let id = stream("s");
    append(&*store, &id, NEW, &events(1)).await.unwrap();
    let sent = message(second(0), None);
    store.enqueue(std::slice::from_ref(&sent)).await.unwrap();
    store.log().close().unwrap();
    let refused: [EngineError; 4] = [
        append(&*store, &id, ExpectedVersion::Any, &events(1)).await.unwrap_err(),
        store.acknowledge(sent.message_id).await.unwrap_err(),
        DeadlineStore::register(&*store, &deadline(&id, "l", second(0))).await.unwrap_err(),
        ProcessRegistry::register(&*store, TenantId::new(), &RegistryKey::from_static("k"), identity())
            .await
            .unwrap_err(),
    ];
    for error in refused {
        assert!(error.to_string().ends_with("the log is closed") && !error.is_transient(), "{error}");
    }
    assert_eq!(EventStore::load(&*store, &id).await.unwrap().len(), 1);
    assert_eq!(store.pending(9, second(9)).await.unwrap().len(), 1);
    let none: Vec<Deadline> = store.for_stream(&id).await.unwrap();
    assert!(none.is_empty());
    assert_eq!(EventStore::load(&*store, &id).await.unwrap()[0].payload, json!({ "n": 1 }));
}
