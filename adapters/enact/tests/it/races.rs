//! Real races between tasks on real threads.

use crate::kit::{directory, emitted, id, in_memory, number, numbered, open, tenant, typed};
use annals_enact::{Error, ExecutionStore, StreamingStore};
use enact_core::kernel::persistence::{EventStore as KernelStore, StorageBackend as _};
use enact_core::streaming::EventStore as RuntimeStore;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Barrier;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_to_one_execution_get_distinct_consecutive_sequences() {
    let dir = directory();
    let store: Arc<dyn KernelStore> = Arc::new(ExecutionStore::open(dir.path()).unwrap());
    let start = Arc::new(Barrier::new(8));
    let tasks: Vec<_> = (0..8u64)
        .map(|task| {
            let (store, start) = (store.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                let mut given = Vec::new();
                for round in 0..15 {
                    let (e, t, n) = (id("e"), tenant("t"), task * 100 + round);
                    let count = 1 + round % 3;
                    let first = if count == 1 {
                        store.append(&e, &t, numbered(n)).await.unwrap()
                    } else {
                        store.append_batch(&e, &t, vec![numbered(n); count as usize]).await.unwrap()
                    };
                    given.extend((first..first + count).map(|sequence| (sequence, n)));
                }
                given
            })
        })
        .collect();
    let mut given = BTreeSet::new();
    for task in tasks {
        let of_task = task.await.unwrap();
        assert!(of_task.is_sorted(), "each task's own events are in its order");
        given.extend(of_task);
    }
    assert_eq!(given.len(), 8 * 30, "no sequence was given twice");
    let stored: Vec<(u64, u64)> = store
        .load_events(&id("e"))
        .await
        .unwrap()
        .iter()
        .map(|event| (event.sequence, number(event)))
        .collect();
    assert_eq!(stored, given.into_iter().collect::<Vec<_>>(), "each is where its task was told");
    assert!(stored.iter().map(|(sequence, _)| *sequence).eq(1..=240));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_tenants_that_begin_one_execution_exactly_one_wins() {
    let dir = directory();
    let store = ExecutionStore::open(dir.path()).unwrap();
    for round in 0..40u64 {
        let start = Arc::new(Barrier::new(2));
        let tasks = ["shop", "bank"].map(|t| {
            let (store, start, e) = (store.clone(), start.clone(), id(&format!("e{round}")));
            tokio::spawn(async move {
                start.wait().await;
                (t, store.append(&e, &tenant(t), numbered(round)).await)
            })
        });
        let (mut winner, mut losers) = (None, 0);
        for task in tasks {
            match task.await.unwrap() {
                (t, Ok(sequence)) => assert!(sequence == 1 && winner.replace(t).is_none(), "two have won"),
                (_, Err(error)) => {
                    assert!(matches!(typed::<()>(Err(error)), Error::ForeignTenant { .. }));
                    losers += 1;
                }
            }
        }
        assert_eq!(losers, 1);
        let events = store.load_events(&id(&format!("e{round}"))).await.unwrap();
        assert_eq!((events.len(), events[0].tenant_id.as_str()), (1, winner.unwrap()));
    }
    let count = async |t| store.list_executions(&tenant(t), usize::MAX, 0).await.unwrap().len();
    assert_eq!(count("shop").await + count("bank").await, 40, "each is listed for the one that won");
    store.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sequences_over_executions_are_unique_and_a_poller_misses_none() {
    let dir = directory();
    let log = open(dir.path());
    let store: Arc<dyn RuntimeStore> = Arc::new(StreamingStore::new(log.clone()));
    let kernel = ExecutionStore::new(log);
    const TASKS: u64 = 4;
    const EACH: u64 = 40;
    let writers: Vec<_> = (0..TASKS)
        .map(|task| {
            let (store, kernel) = (store.clone(), kernel.clone());
            tokio::spawn(async move {
                let mut given = Vec::new();
                for n in 0..EACH {
                    if n % 4 == 0 {
                        kernel.append(&id("k"), &tenant("t"), numbered(n)).await.unwrap();
                    }
                    let entry = store.append(emitted(&format!("e{task}"), n)).await.unwrap();
                    assert!(store.latest_sequence().await.unwrap() >= entry.sequence, "it sees its own");
                    given.push(entry.sequence);
                }
                given
            })
        })
        .collect();
    let written = Arc::new(AtomicBool::new(false));
    let poller = {
        let (store, written) = (store.clone(), written.clone());
        tokio::spawn(async move {
            let (mut place, mut seen) = (0, Vec::new());
            loop {
                let last = written.load(Ordering::SeqCst);
                let entries = store.get_after(place, 7).await.unwrap();
                if last && entries.is_empty() {
                    return seen;
                }
                for entry in entries {
                    assert!(entry.sequence > place, "in order");
                    place = entry.sequence;
                    seen.push(entry.sequence);
                }
                tokio::task::yield_now().await;
            }
        })
    };
    let mut given = BTreeSet::new();
    for writer in writers {
        given.extend(writer.await.unwrap());
    }
    written.store(true, Ordering::SeqCst);
    assert_eq!(given.len(), (TASKS * EACH) as usize);
    assert_eq!(poller.await.unwrap(), given.into_iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_listing_has_everything_that_was_there_when_it_began() {
    let (_, store, _) = in_memory();
    let create = |store: ExecutionStore, from: u64| async move {
        for e in from..from + 500 {
            store.append(&id(&e.to_string()), &tenant("t"), numbered(e)).await.unwrap();
        }
    };
    create(store.clone(), 0).await;
    let writer = tokio::spawn(create(store.clone(), 500));
    while !writer.is_finished() {
        let listed = store.list_executions(&tenant("t"), usize::MAX, 0).await.unwrap();
        let listed: Vec<u64> = listed.iter().map(|e| e.as_str().parse().unwrap()).collect();
        assert!(listed.len() >= 500, "{}", listed.len());
        assert!(listed.iter().copied().eq((0..listed.len() as u64).rev()), "all of them, once, newest first");
    }
    writer.await.unwrap();
}
