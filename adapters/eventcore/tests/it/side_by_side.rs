//! One log for several stores, and for others.

use crate::kit::{Kit, Noted, all, conflict, note, noted, page, position, read, texts, writes};
use annals::{ExpectedVersion, KeptCondition, NewEvent, Query};
use annals_eventcore::{EventCoreStore, StoreError};
use eventcore_types::{
    CheckpointStore, CommandStateSnapshot, CommandStateSnapshotId, EventFilter, EventStore,
    ProjectorCoordinator, StreamPattern, StreamPrefix,
};
use serde_json::json;
use std::collections::HashMap;

/// Namespaces that begin with one another, or would be the same if they were not escaped.
const NAMESPACES: [&str; 7] =
    ["eventcore", "eventcore2", "eventcore/stream", "eventcore%2Fstream", "e", " e", "ä\0"];

fn stores(kit: &Kit) -> Vec<EventCoreStore> {
    NAMESPACES.map(|name| EventCoreStore::in_namespace(kit.store.log().clone(), name).unwrap()).into()
}

#[tokio::test]
async fn namespaces_do_not_mix() {
    let kit = Kit::new();
    let stores = stores(&kit);
    let id = || CommandStateSnapshotId::try_new("s").unwrap();
    for (i, store) in stores.iter().enumerate() {
        assert_eq!((texts(store, "a").await.len(), store.load("p").await), (0, Ok(None)));
        assert!(store.load_command_state_snapshot(id()).await.unwrap().is_none());
        note(store, "a", 0, &[NAMESPACES[i]]).await;
        note(store, "stream/a", 0, &["-"]).await;
        store.save("p", position(i as u64)).await.unwrap();
        let snapshot = CommandStateSnapshot::new(json!(i), HashMap::new());
        store.save_command_state_snapshot(id(), snapshot).await.unwrap();
    }
    let mut leading = Vec::new();
    for (i, store) in stores.iter().enumerate() {
        assert_eq!(texts(store, "a").await, [NAMESPACES[i]]);
        let a = StreamPattern::try_new("a*").unwrap();
        assert_eq!(all(store, EventFilter::pattern(a)).await, [NAMESPACES[i]]);
        assert_eq!(all(store, EventFilter::all()).await, [NAMESPACES[i], "-"]);
        let prefix = StreamPrefix::try_new("stream").unwrap();
        assert_eq!(page(store, EventFilter::prefix(prefix), None, 9).await.len(), 1);
        assert_eq!(store.load("p").await, Ok(Some(position(i as u64))));
        let snapshot = store.load_command_state_snapshot(id()).await.unwrap().unwrap();
        assert_eq!(snapshot.state, json!(i));
        leading.push(store.try_acquire("p").await.unwrap());
    }
}

/// Handles that were made one by one on the same namespace are one store.
#[tokio::test]
async fn handles_of_one_namespace_are_one_store() {
    let Kit { store, dir: _dir } = Kit::new();
    let other = EventCoreStore::new(store.log().clone()).unwrap();
    note(&store, "a", 0, &["1"]).await;
    note(&other, "a", 1, &["2"]).await;
    assert_eq!(
        (texts(&store, "a").await, texts(&other, "a").await),
        (vec!["1".into(), "2".into()], vec!["1".into(), "2".into()])
    );
    assert_eq!(conflict(&other, writes(&[("a", 1)], [noted("a", "late")])).await, ("a".to_owned(), 1, 2));
    other.save("p", position(1)).await.unwrap();
    assert_eq!(store.load("p").await, Ok(Some(position(1))));
}

/// Plain streams, kept values, consumers and tenants of the log are neither seen nor in the way, whatever they are called.
#[tokio::test]
async fn the_log_has_other_users() {
    let Kit { store, dir: _dir } = Kit::new();
    let log = store.log().clone();
    let others = [
        "a",
        "stream/a",
        "eventcore",
        "eventcore/",
        "eventcore/stream",
        "eventcore/streams/a",
        "mako/stream/a",
    ];
    for other in others {
        log.append(other, ExpectedVersion::NoStream, &[NewEvent::new("Noted", "not JSON")]).unwrap();
        log.keep(other, KeptCondition::Absent, "other").unwrap();
    }
    log.tenant("eventcore")
        .append("of a tenant", ExpectedVersion::Any, &[NewEvent::new("Noted", "")])
        .unwrap();
    assert_eq!(all(&store, EventFilter::all()).await, Vec::<String>::new());
    note(&store, "a", 0, &["ours"]).await;
    store.save("p", position(1)).await.unwrap();
    assert_eq!(all(&store, EventFilter::all()).await, ["ours"]);
    for other in others {
        assert_eq!(log.stream_version(other), 1);
        assert_eq!(log.kept(other).unwrap().unwrap().value, "other");
    }
    // And the log's own readers see what eventcore has written.
    let mut consumer = log.consumer("mailer", &Query::prefix("eventcore/stream/")).unwrap();
    let event = consumer.next().unwrap().unwrap();
    assert_eq!(event.payload(), br#"{"stream":"a","text":"ours"}"#);
    event.ack().unwrap();
}

/// A stream that somebody has bound to a tenant is a stream all the same.
#[tokio::test]
async fn a_stream_may_be_bound_to_a_tenant() {
    let Kit { store, dir: _dir } = Kit::new();
    let payload = r#"{"stream":"a","text":"1"}"#;
    let event = NewEvent::new("Noted", payload).with_metadata("{}");
    store.log().tenant("shop").append("eventcore/stream/a", ExpectedVersion::NoStream, &[event]).unwrap();
    note(&store, "a", 1, &["2"]).await;
    assert_eq!(read::<Noted>(&store, "a").await.unwrap(), [noted("a", "1"), noted("a", "2")]);
}

#[tokio::test]
async fn namespaces_that_cannot_be_are_refused() {
    let Kit { store, dir: _dir } = Kit::new();
    let open = |name: &str| EventCoreStore::in_namespace(store.log().clone(), name);
    let (long, escaped) = ("x".repeat(513), "/".repeat(171));
    for (namespace, why) in [
        ("", "is empty"),
        ("annals", "is the log's own"),
        (&long, "is longer than 512 bytes"),
        (&escaped, "is longer than 512 bytes"),
    ] {
        let refused = StoreError::Namespace { namespace: namespace.to_owned(), why };
        assert_eq!(open(namespace).map(|_| ()), Err(refused));
    }
    // The longest one leaves room for the longest ids.
    let store = open(&"x".repeat(512)).unwrap();
    let longest = "𒀀".repeat(255);
    note(&store, &longest, 0, &["x"]).await;
    let snapshot = CommandStateSnapshot::new(json!(1), HashMap::new());
    store
        .save_command_state_snapshot(CommandStateSnapshotId::try_new(longest).unwrap(), snapshot)
        .await
        .unwrap();
    for namespace in ["annals/", "Annals", " ", "/", "\0"] {
        note(&open(namespace).unwrap(), "a", 0, &["x"]).await;
        open(namespace).unwrap().save("p", position(1)).await.unwrap();
    }
}
