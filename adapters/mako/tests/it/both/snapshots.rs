//! Snapshots: the last one of each stream.

use super::append;
use super::make::{events, json_of, stream};
use super::mako::error::EngineError;
use super::mako::event_store::{EventStore, ExpectedVersion};
use super::mako::snapshot::{InMemorySnapshotStore, Snapshot, SnapshotStore};
use crate::shelf::{fresh, kept, names};
use annals::{EventLog, Options};
use annals_mako::MakoStore;
use proving::Gated;
use serde_json::json;
use std::sync::Arc;

agree!(InMemorySnapshotStore::new();
    what_is_saved_is_loaded,
    the_last_one_saved_is_the_one,
    streams_have_their_own,
    an_arc_and_a_clone_are_the_same_store,
);

async fn what_is_saved_is_loaded<S: SnapshotStore>(store: &S) {
    let id = stream("process/ä");
    assert!(store.load(&id).await.unwrap().is_none());
    let snapshot = Snapshot::new(id.clone(), 5, 2, json!({ "x": [1, 0.1, null, "ä"] }));
    store.save(&snapshot).await.unwrap();
    assert_eq!(json_of(&store.load(&id).await.unwrap()), json_of(&snapshot));
}

/// `save` replaces "any previous snapshot": a migration saves one of the same version again, a repair an older one.
async fn the_last_one_saved_is_the_one<S: SnapshotStore>(store: &S) {
    let id = stream("s");
    for (version, schema) in [(5, 1), (10, 1), (10, 2), (3, 2)] {
        let snapshot = Snapshot::new(id.clone(), version, schema, json!(version));
        store.save(&snapshot).await.unwrap();
        assert_eq!(json_of(&store.load(&id).await.unwrap()), json_of(&snapshot));
    }
}

async fn streams_have_their_own<S: SnapshotStore>(store: &S) {
    for id in ["a", "a/b", "a%2Fb"] {
        store.save(&Snapshot::new(stream(id), 1, 1, json!(id))).await.unwrap();
    }
    for id in ["a", "a/b", "a%2Fb"] {
        assert_eq!(store.load(&stream(id)).await.unwrap().unwrap().state, json!(id));
    }
    assert!(store.load(&stream("a/")).await.unwrap().is_none());
}

async fn an_arc_and_a_clone_are_the_same_store<S: SnapshotStore + Clone>(store: &S) {
    let shared = Arc::new(store.clone());
    shared.save(&Snapshot::new(stream("s"), 7, 1, json!(1))).await.unwrap();
    assert_eq!(store.load(&stream("s")).await.unwrap().unwrap().sequence_number, 7);
}

#[tokio::test]
async fn how_a_snapshot_stands_in_the_log() {
    let store = fresh();
    let snapshot = Snapshot::new(stream("process/1"), 5, 2, json!({ "status": "Active" }));
    store.save(&snapshot).await.unwrap();
    assert_eq!(names(&store, ""), ["mako/snapshot/process/1"]);
    let stored = kept(&store, "mako/snapshot/process/1").unwrap();
    assert_eq!(stored, serde_json::to_string(&snapshot).unwrap());
}

#[tokio::test]
async fn one_that_is_too_large_is_refused_and_the_old_one_stays() {
    let store = fresh();
    let id = stream("s");
    store.save(&Snapshot::new(id.clone(), 1, 1, json!("small"))).await.unwrap();
    let nested = (0..200).fold(json!(0), |inner, _| json!([inner]));
    for state in [json!("x".repeat(1 << 20)), nested] {
        let refused = store.save(&Snapshot::new(id.clone(), 2, 1, state)).await.unwrap_err();
        assert!(matches!(&refused, EngineError::Snapshot { transient: false, .. }), "{refused}");
    }
    let long = Snapshot::new(stream(&"x".repeat(3_000)), 1, 1, json!(0));
    assert!(matches!(store.save(&long).await, Err(EngineError::Snapshot { transient: false, .. })));
    assert_eq!(SnapshotStore::load(&*store, &id).await.unwrap().unwrap().state, json!("small"));
    let dir = tempfile::tempdir().unwrap();
    let roomy = MakoStore::new(Options::new().kept_bytes_max(4 << 20).open(dir.path()).unwrap());
    roomy.save(&Snapshot::new(id.clone(), 2, 1, json!("x".repeat(2 << 20)))).await.unwrap();
    assert_eq!(SnapshotStore::load(&roomy, &id).await.unwrap().unwrap().sequence_number, 2);
}

/// What is under way shows in no version and in no event: a snapshot that is taken meanwhile claims what it holds.
#[tokio::test]
async fn a_version_is_not_told_before_its_events_are_there() {
    let gated = Gated::default();
    let log: EventLog = Options::new().open_storage(Arc::new(gated.clone())).unwrap();
    let store = MakoStore::new(log);
    let id = stream("s");
    append(&store, &id, ExpectedVersion::NoStream, &events(2)).await.unwrap();
    gated.close();
    let under_way = tokio::spawn({
        let (store, id) = (store.clone(), id.clone());
        async move { append(&store, &id, ExpectedVersion::Exact(2), &events(3)).await.unwrap() }
    });
    while store.log().status().appended < 5 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.stream_version(&id).await.unwrap(), 2);
    assert_eq!(EventStore::load(&store, &id).await.unwrap().len(), 2);
    gated.open_up();
    under_way.await.unwrap();
    assert_eq!(store.stream_version(&id).await.unwrap(), 5);
}

/// Many appends are under way, and each version that is told is there to be folded.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_version_that_is_told_can_be_folded() {
    let store = fresh();
    let id = stream("s");
    let writer = tokio::spawn({
        let (store, id) = ((*store).clone(), id.clone());
        async move {
            for _ in 0..300 {
                append(&store, &id, ExpectedVersion::Any, &events(2)).await.unwrap();
            }
        }
    });
    let mut told = 0;
    while told < 600 {
        told = store.stream_version(&id).await.unwrap();
        let folded = store.fold_stream(&id, 0, 0, |_, event| Ok(event.sequence_number)).await.unwrap();
        assert!(folded >= told, "{told} was told, {folded} are there");
    }
    writer.await.unwrap();
}
