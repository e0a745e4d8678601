//! The rules of command snapshots.

use crate::kit::{Backend, Kit, id, on_both};
use annals::{EventLog, KeptCondition};
use annals_eventcore::EventCoreStore;
use eventcore_types::{
    CommandStateReplayCheckpoint, CommandStateSnapshot, CommandStateSnapshotId, EventStore, EventStoreError,
    Operation, StreamId, StreamVersion,
};
use serde_json::{Value, json};
use std::collections::HashMap;

on_both!(
    what_nobody_saved_is_not_there,
    a_snapshot_comes_back_whole,
    a_newer_one_replaces_an_older_one,
    an_older_one_replaces_nothing,
    one_that_knows_fewer_streams_replaces_nothing,
    one_that_is_ahead_here_and_behind_there_replaces_nothing,
    one_of_the_same_versions_replaces,
    ids_are_independent,
);

fn snapshot_id(id: &str) -> CommandStateSnapshotId {
    CommandStateSnapshotId::try_new(id).unwrap()
}

fn versions(versions: &[(&str, usize)]) -> HashMap<StreamId, StreamVersion> {
    versions.iter().map(|(stream, version)| (id(stream), StreamVersion::new(*version))).collect()
}

fn snapshot(state: Value, of: &[(&str, usize)]) -> CommandStateSnapshot {
    CommandStateSnapshot::new(state, versions(of))
}

async fn save(store: &impl EventStore, id: &str, snapshot: CommandStateSnapshot) {
    store.save_command_state_snapshot(snapshot_id(id), snapshot).await.unwrap();
}

async fn state(store: &impl EventStore, id: &str) -> Option<Value> {
    store.load_command_state_snapshot(snapshot_id(id)).await.unwrap().map(|snapshot| snapshot.state)
}

async fn what_nobody_saved_is_not_there(store: &impl Backend) {
    assert_eq!(state(store, "s").await, None);
}

async fn a_snapshot_comes_back_whole(store: &impl Backend) {
    let checkpoints = vec![
        CommandStateReplayCheckpoint {
            stream_id: id("b"),
            state: json!([1]),
            stream_versions: versions(&[("b", 7)]),
        },
        CommandStateReplayCheckpoint {
            stream_id: id("a"),
            state: json!(null),
            stream_versions: versions(&[]),
        },
    ];
    let mixed = json!({"n": 0.1, "big": u64::MAX, "s": "\u{0} \" ü", "nested": [{"a": []}, null, true]});
    let saved = snapshot(mixed.clone(), &[("a", 0), ("b", usize::MAX)]).with_replay_checkpoints(checkpoints);
    save(store, "s", saved).await;
    let loaded = store.load_command_state_snapshot(snapshot_id("s")).await.unwrap().unwrap();
    assert_eq!((loaded.state, loaded.stream_versions), (mixed, versions(&[("a", 0), ("b", usize::MAX)])));
    let checkpoints: Vec<_> = loaded
        .replay_checkpoints
        .into_iter()
        .map(|checkpoint| (checkpoint.stream_id, checkpoint.state, checkpoint.stream_versions))
        .collect();
    assert_eq!(
        checkpoints,
        [(id("b"), json!([1]), versions(&[("b", 7)])), (id("a"), json!(null), versions(&[]))]
    );
}

async fn a_newer_one_replaces_an_older_one(store: &impl Backend) {
    save(store, "s", snapshot(json!(1), &[("a", 1)])).await;
    save(store, "s", snapshot(json!(2), &[("a", 2)])).await;
    save(store, "s", snapshot(json!(3), &[("a", 2), ("b", 0)])).await;
    assert_eq!(state(store, "s").await, Some(json!(3)));
}

async fn an_older_one_replaces_nothing(store: &impl Backend) {
    save(store, "s", snapshot(json!("new"), &[("a", 2)])).await;
    save(store, "s", snapshot(json!("old"), &[("a", 1)])).await;
    assert_eq!(state(store, "s").await, Some(json!("new")));
}

async fn one_that_knows_fewer_streams_replaces_nothing(store: &impl Backend) {
    save(store, "s", snapshot(json!("both"), &[("a", 2), ("b", 0)])).await;
    save(store, "s", snapshot(json!("one"), &[("a", 9)])).await;
    save(store, "s", snapshot(json!("none"), &[])).await;
    assert_eq!(state(store, "s").await, Some(json!("both")));
}

async fn one_that_is_ahead_here_and_behind_there_replaces_nothing(store: &impl Backend) {
    save(store, "s", snapshot(json!("first"), &[("a", 2), ("b", 2)])).await;
    save(store, "s", snapshot(json!("second"), &[("a", 3), ("b", 1)])).await;
    assert_eq!(state(store, "s").await, Some(json!("first")));
}

async fn one_of_the_same_versions_replaces(store: &impl Backend) {
    save(store, "s", snapshot(json!("first"), &[("a", 2)])).await;
    save(store, "s", snapshot(json!("second"), &[("a", 2)])).await;
    assert_eq!(state(store, "s").await, Some(json!("second")));
}

async fn ids_are_independent(store: &impl Backend) {
    let ids = ["s", "s/", "s/t", "st", "S", "*", "nul\0inside"];
    for id in ids {
        save(store, id, snapshot(json!(id), &[])).await;
    }
    for id in ids {
        assert_eq!(state(store, id).await, Some(json!(id)));
    }
}

#[tokio::test]
async fn snapshots_survive_reopening() {
    let kit = Kit::new();
    save(&kit.store, "s", snapshot(json!(0.1 + 0.2), &[("a", 1)])).await;
    let kit = kit.reopened();
    assert_eq!(state(&kit.store, "s").await, Some(json!(0.1 + 0.2)));
    save(&kit.store, "s", snapshot(json!("old"), &[("a", 0)])).await;
    assert_eq!(state(&kit.store, "s").await, Some(json!(0.1 + 0.2)));
}

/// Whoever comes last does not matter: the newest stays, and nobody ever sees an older one behind a newer one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_savers_the_newest_stays() {
    let Kit { store, dir: _dir } = Kit::new();
    let savers = (0..8).map(|saver| {
        let store = EventCoreStore::new(store.log().clone()).unwrap();
        tokio::spawn(async move {
            let mut seen = 0;
            for round in 0..25 {
                let version = round * 8 + saver + 1;
                save(&store, "s", snapshot(json!(version), &[("a", version)])).await;
                let now = state(&store, "s").await.unwrap().as_u64().unwrap() as usize;
                assert!(now >= version && now >= seen, "{now} behind {version} and {seen}");
                seen = now;
            }
        })
    });
    for saver in savers.collect::<Vec<_>>() {
        saver.await.unwrap();
    }
    assert_eq!(state(&store, "s").await, Some(json!(200)));
}

/// A log of its own takes snapshots of many megabytes; on another log, its limit is told, and what is there stays.
#[tokio::test]
async fn large_snapshots() {
    let large = || snapshot(json!("x".repeat(2 << 20)), &[("b", 2), ("a", 1)]);
    let Kit { store, dir: _dir } = Kit::new();
    save(&store, "s", large()).await;
    assert_eq!(state(&store, "s").await.unwrap().as_str().unwrap().len(), 2 << 20);

    let store = EventCoreStore::new(EventLog::in_memory().unwrap()).unwrap();
    save(&store, "s", snapshot(json!("small"), &[])).await;
    let refused = store.save_command_state_snapshot(snapshot_id("s"), large()).await;
    let detail = "kept value has 2097220 bytes, allowed are 1048576".to_owned();
    assert_eq!(refused, Err(EventStoreError::SerializationFailed { stream_id: id("a"), detail }));
    assert_eq!(state(&store, "s").await, Some(json!("small")));
}

/// What could not be read again is not kept: it would stand in the way of its command for good.
#[tokio::test]
async fn what_could_not_be_read_again_is_refused() {
    let Kit { store, dir: _dir } = Kit::new();
    let nested = |depth| (0..depth).fold(json!(0), |state, _| json!([state]));
    save(&store, "s", snapshot(nested(100), &[("a", 1)])).await;
    // Deeper than can be read, or with a key that would be read as something else.
    for (state, why) in
        [(nested(200), "nested deeper"), (json!({"$serde_json::private::RawValue": "1"}), "keeps for itself")]
    {
        let saved = store.save_command_state_snapshot(snapshot_id("s"), snapshot(state, &[("a", 2)])).await;
        let Err(EventStoreError::SerializationFailed { stream_id, detail }) = saved else {
            panic!("{saved:?}")
        };
        assert_eq!(stream_id, id("a"));
        assert!(detail.contains(why), "{detail}");
    }
    assert_eq!(state(&store, "s").await, Some(nested(100)));
}

/// What somebody else has kept there is neither taken for none nor written over.
#[tokio::test]
async fn what_is_no_snapshot_is_told() {
    let Kit { store, dir: _dir } = Kit::new();
    store.log().keep("eventcore/snapshot/s", KeptCondition::Any, r#"{"state":1}"#).unwrap();
    let loaded = store.load_command_state_snapshot(snapshot_id("s")).await.map(|_| ());
    assert_eq!(loaded, Err(EventStoreError::StoreFailure { operation: Operation::ReadStream }));
    let saved = store.save_command_state_snapshot(snapshot_id("s"), snapshot(json!(1), &[])).await;
    assert_eq!(saved, Err(EventStoreError::StoreFailure { operation: Operation::ReadStream }));
    assert_eq!(store.log().kept("eventcore/snapshot/s").unwrap().unwrap().value, r#"{"state":1}"#);
    // A way out, for whoever decides it.
    store.log().unkeep("eventcore/snapshot/s", KeptCondition::Any).unwrap();
    save(&store, "s", snapshot(json!(1), &[])).await;
}

/// Set lazily by somebody else, a snapshot has no revision for a moment; it counts all the same.
#[tokio::test]
async fn a_snapshot_that_was_set_lazily_counts() {
    let Kit { store, dir: _dir } = Kit::new();
    let lazy = serde_json::to_vec(&snapshot(json!("lazy"), &[("a", 5)])).unwrap();
    store.log().keep_lazily("eventcore/snapshot/s", &lazy).unwrap();
    save(&store, "s", snapshot(json!("old"), &[("a", 4)])).await;
    assert_eq!(state(&store, "s").await, Some(json!("lazy")));
    store.log().keep_lazily("eventcore/snapshot/s", &lazy).unwrap();
    save(&store, "s", snapshot(json!("new"), &[("a", 6)])).await;
    assert_eq!(state(&store, "s").await, Some(json!("new")));
}
