//! Processes that are really killed: what was acknowledged is there, at its sequence, and batches are whole.

use crate::kit::{directory, emitted, id, number, numbered, open, tenant};
use annals_enact::{ExecutionStore, StreamingStore};
use enact_core::kernel::persistence::EventStore as _;
use enact_core::streaming::EventStore as _;
use proving::{Child, told};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Events of one batch.
const BATCH: u64 = 3;

/// Not a test by itself: without a parent it has nothing to do.
#[test]
fn child() {
    let Some(dir) = proving::child() else { return };
    let log = open(&dir);
    let (store, streaming) = (ExecutionStore::new(log.clone()), StreamingStore::new(log));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let tasks = (0..4u64).map(|task| {
            let (store, streaming) = (store.clone(), streaming.clone());
            tokio::spawn(async move {
                let e = format!("e{task}");
                loop {
                    let next = store.count_events(&id(&e)).await.unwrap() + 1;
                    let batch = (next..next + BATCH).map(numbered).collect();
                    let first = store.append_batch(&id(&e), &tenant("t"), batch).await.unwrap();
                    assert_eq!(first, next);
                    told(&format!("kernel {e} {first}"));
                    let event = emitted(&e, first);
                    let event_id = event.event_id.clone();
                    let entry = streaming.append(event).await.unwrap();
                    told(&format!("runtime {event_id} {}", entry.sequence));
                }
            })
        });
        futures::future::join_all(tasks).await;
    });
}

#[test]
fn what_a_killed_process_acknowledged_is_there() {
    let dir = directory();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut batches, mut entries) = (HashMap::<String, u64>::new(), BTreeMap::<u64, String>::new());
    for cycle in 0..8u64 {
        let child = Child::start("crash::child", dir.path());
        for line in child.kill_after(4, Duration::from_millis(10 + cycle * 11)) {
            let parts: Vec<&str> = line.split(' ').collect();
            let sequence: u64 = parts[2].parse().unwrap();
            match parts[0] {
                "kernel" => {
                    let last = batches.entry(parts[1].to_owned()).or_default();
                    *last = sequence.max(*last);
                }
                _ => assert!(
                    entries.insert(sequence, parts[1].to_owned()).is_none(),
                    "{sequence} was given twice"
                ),
            }
        }
        let log = open(dir.path());
        runtime.block_on(async {
            let (store, streaming) = (ExecutionStore::new(log.clone()), StreamingStore::new(log.clone()));
            for (e, last) in &batches {
                let events = store.load_events(&id(e)).await.unwrap();
                assert_eq!(events.len() as u64 % BATCH, 0, "{e} ends within a batch");
                assert!(events.len() as u64 >= last + BATCH - 1, "{e}: the batch at {last} was acknowledged");
                for (at, event) in events.iter().enumerate() {
                    assert_eq!((event.sequence, number(event)), (at as u64 + 1, at as u64 + 1));
                }
            }
            let stored = streaming.get_after(0, usize::MAX).await.unwrap();
            assert!(stored.is_sorted_by(|a, b| a.sequence < b.sequence));
            let stored: HashMap<u64, String> =
                stored.into_iter().map(|entry| (entry.sequence, entry.event.event_id)).collect();
            for (sequence, event_id) in &entries {
                assert_eq!(stored.get(sequence), Some(event_id), "cycle {cycle}: it was acknowledged");
            }
            let latest = streaming.latest_sequence().await.unwrap();
            assert_eq!(Some(latest), stored.keys().max().copied());
            let listed = store.list_executions(&tenant("t"), usize::MAX, 0).await.unwrap();
            assert!(batches.keys().all(|e| listed.contains(&id(e))));
        });
        log.close().unwrap();
    }
    assert!(entries.len() > 30, "{} acknowledgements", entries.len());
}
