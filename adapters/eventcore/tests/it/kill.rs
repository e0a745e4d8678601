//! A real process, really killed: what it was told to be durable is there, and appends to two streams are whole.

use crate::kit::{Noted, all, id, noted, page, position, texts, writes};
use annals_eventcore::EventCoreStore;
use eventcore_types::{
    CheckpointStore, CommandStateSnapshot, CommandStateSnapshotId, EventFilter, EventStore, ProjectionSource,
    StreamPrefix, StreamVersion,
};
use proving::{Child, told};
use serde_json::json;
use std::collections::HashMap;
use std::time::Duration;

const TASKS: usize = 3;

fn snapshot_id(task: usize) -> CommandStateSnapshotId {
    CommandStateSnapshotId::try_new(format!("s{task}")).unwrap()
}

/// One round: an append of three events to two streams, a checkpoint, a snapshot; each is told when it is done.
async fn round(store: &EventCoreStore, task: usize, round: usize) {
    let (from, to) = (format!("{task}/from"), format!("{task}/to"));
    let events: Vec<Noted> = [&from, &to, &from]
        .map(|stream| noted(stream, &format!("{round}{}", "x".repeat(round * 37 % 900))))
        .into();
    let expected = [(from.as_str(), 2 * round), (to.as_str(), round)];
    store.append_events(writes(&expected, events)).await.map(|_| ()).unwrap();
    told(&format!("append {task} {}", round + 1));
    store.save(&format!("p{task}"), position(round as u64 + 1)).await.unwrap();
    told(&format!("checkpoint {task} {}", round + 1));
    let versions = HashMap::from([(id(&from), StreamVersion::new(round + 1))]);
    let snapshot = CommandStateSnapshot::new(json!(round + 1), versions);
    store.save_command_state_snapshot(snapshot_id(task), snapshot).await.unwrap();
    told(&format!("snapshot {task} {}", round + 1));
}

/// Not a test by itself: without the variable it has nothing to do.
#[test]
fn child() {
    let Some(dir) = proving::child() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let store = EventCoreStore::open(dir).unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            let store = store.clone();
            tasks.spawn(async move {
                let mut done = texts(&store, &format!("{task}/to")).await.len();
                loop {
                    round(&store, task, done).await;
                    done += 1;
                }
            });
        }
        // None of them ends but by an error, which ends the child.
        tasks.join_next().await.unwrap().unwrap()
    });
}

/// What the killed child has left of one task, against what it was told to be durable.
async fn check(store: &EventCoreStore, task: usize, acknowledged: &HashMap<(String, usize), usize>) {
    let at_least = |what: &str| acknowledged.get(&(what.to_owned(), task)).copied().unwrap_or_default();
    let (from, to) = (texts(store, &format!("{task}/from")).await, texts(store, &format!("{task}/to")).await);
    let done = to.len();
    assert!(done >= at_least("append"), "{done} appends");
    assert_eq!(from.len(), 2 * done, "both streams or none");
    // In the order of the entries, next to each other.
    let filter = EventFilter::prefix(StreamPrefix::try_new(format!("{task}/")).unwrap());
    let events = page(store, filter, None, usize::MAX).await;
    for (round, events) in events.chunks(3).enumerate() {
        let positions: Vec<u128> =
            events.iter().map(|(_, position)| position.into_inner().as_u128()).collect();
        assert_eq!(positions, [positions[0], positions[0] + 1, positions[0] + 2]);
        assert!(events.iter().all(|(text, _)| text.trim_end_matches('x') == round.to_string()));
    }
    let checkpoint = store.load(&format!("p{task}")).await.unwrap();
    let checkpoint = checkpoint.map_or(0, |position| position.into_inner().as_u128() as usize);
    assert!((at_least("checkpoint")..=done).contains(&checkpoint), "checkpoint {checkpoint} of {done}");
    let snapshot = store.load_command_state_snapshot(snapshot_id(task)).await.unwrap();
    let snapshot = snapshot.map_or(0, |snapshot| snapshot.state.as_u64().unwrap() as usize);
    assert!((at_least("snapshot")..=done).contains(&snapshot), "snapshot {snapshot} of {done}");
}

#[tokio::test]
async fn what_a_killed_process_was_told_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = HashMap::new();
    let mut source_id = None;
    for cycle in 0..8u64 {
        let child = Child::start("kill::child", dir.path());
        for line in child.kill_after(10, Duration::from_millis(10 + cycle * 7 % 40)) {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, task, number] = words[..] else { panic!("{line}") };
            acknowledged.insert((what.to_owned(), task.parse().unwrap()), number.parse().unwrap());
        }
        let store = EventCoreStore::open(dir.path()).unwrap();
        for task in 0..TASKS {
            check(&store, task, &acknowledged).await;
        }
        let mark = store.high_watermark().await.unwrap().unwrap();
        let events = all(&store, EventFilter::all()).await.len() as u64;
        assert_eq!((mark.get(), events), (store.log().last_position(), mark.get()));
        assert_eq!(*source_id.get_or_insert(store.source_id().clone()), *store.source_id());
        store.log().close().unwrap();
    }
    assert!(acknowledged.values().sum::<usize>() > 30, "{acknowledged:?}");
}
