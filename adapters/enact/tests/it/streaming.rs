//! The runtime's event log: what is ours beyond what all stores agree on.

use crate::kit::{as_json, directory, emitted, id, in_memory, numbered, open, tenant};
use annals::{Durability, ExpectedVersion, NewEvent, Options};
use annals_enact::{ExecutionStore, StreamingStore};
use enact_core::kernel::persistence::{EventStore as _, StorageBackend};
use enact_core::streaming::EventStore;
use proving::Gated;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn an_empty_log_is_zero_and_everything_is_after_zero() {
    let dir = directory();
    let store = StreamingStore::open(dir.path()).unwrap();
    assert_eq!(store.latest_sequence().await.unwrap(), 0);
    assert!(store.get_after(0, usize::MAX).await.unwrap().is_empty());
    let first = store.append(emitted("a", 1)).await.unwrap();
    let second = store.append(emitted("b", 2)).await.unwrap();
    assert_eq!((first.sequence, second.sequence), (1, 2));
    assert_eq!(as_json(&store.get_after(0, usize::MAX).await.unwrap()), as_json(&[first, second]));
    assert!(store.get_after(u64::MAX, usize::MAX).await.unwrap().is_empty());
}

#[tokio::test]
async fn sequences_survive_reopening_and_go_on() {
    let dir = directory();
    let store = StreamingStore::open(dir.path()).unwrap();
    let mut entries = Vec::new();
    for number in 0..4 {
        entries.push(store.append(emitted(["a", "b"][number % 2], number as u64)).await.unwrap());
    }
    store.shutdown().await.unwrap();
    drop(store);

    let store = StreamingStore::open(dir.path()).unwrap();
    assert_eq!(store.latest_sequence().await.unwrap(), entries[3].sequence);
    assert_eq!(as_json(&store.get_after(0, 100).await.unwrap()), as_json(&entries));
    assert_eq!(
        as_json(&store.get_by_execution(&id("b")).await.unwrap()),
        as_json(&[&entries[1], &entries[3]])
    );
    assert!(store.append(emitted("a", 9)).await.unwrap().sequence > entries[3].sequence);
}

/// Gaps where the log carries other things; never one of them among ours.
#[tokio::test]
async fn others_in_the_log_leave_gaps_and_nothing_else() {
    let dir = directory();
    let log = open(dir.path());
    let (ours, executions) = (StreamingStore::new(log.clone()), ExecutionStore::new(log.clone()));
    let mut entries = Vec::new();
    for number in 0..20 {
        log.append("plain", ExpectedVersion::Any, &[NewEvent::new("T", "")]).unwrap();
        executions.append(&id("e"), &tenant("t"), numbered(number)).await.unwrap();
        assert_eq!(ours.latest_sequence().await.unwrap(), entries.last().map_or(0, |(s, _)| *s));
        let entry = ours.append(emitted("e", number)).await.unwrap();
        assert_eq!(entry.sequence, log.last_position());
        assert_eq!(ours.latest_sequence().await.unwrap(), entry.sequence);
        entries.push((entry.sequence, as_json(&entry)));
    }
    // Every place one can ask from, with a store that knows nothing yet and with one that has looked.
    for after in 0..=log.last_position() + 1 {
        for limit in [1, 3, usize::MAX] {
            let expected: Vec<_> = entries
                .iter()
                .filter(|(sequence, _)| *sequence > after)
                .take(limit)
                .map(|(_, e)| e)
                .collect();
            let fresh = StreamingStore::new(log.clone());
            assert_eq!(as_json(&fresh.get_after(after, limit).await.unwrap()), as_json(&expected));
            assert_eq!(as_json(&ours.get_after(after, limit).await.unwrap()), as_json(&expected));
            assert_eq!(fresh.latest_sequence().await.unwrap(), entries[19].0, "after a look from {after}");
        }
    }
}

#[tokio::test]
async fn a_poller_sees_each_event_once_whoever_writes_between() {
    let (log, executions, store) = in_memory();
    let (mut place, mut seen) = (0, Vec::new());
    for number in 0..50 {
        if number % 3 > 0 {
            store.append(emitted("e", number)).await.unwrap();
        }
        executions.append(&id("e"), &tenant("t"), numbered(number)).await.unwrap();
        if number % 4 == 0 {
            for entry in store.get_after(place, 2).await.unwrap() {
                place = entry.sequence;
                seen.push(entry.event.payload.unwrap()["number"].as_u64().unwrap());
            }
        }
    }
    for entry in store.get_after(place, usize::MAX).await.unwrap() {
        seen.push(entry.event.payload.unwrap()["number"].as_u64().unwrap());
    }
    assert_eq!(seen, (0..50).filter(|number| number % 3 > 0).collect::<Vec<_>>());
    assert!(log.last_position() > 80);
}

#[tokio::test]
async fn it_is_used_as_a_trait_object_and_its_clones_are_the_same_store() {
    let dir = directory();
    let store = StreamingStore::open(dir.path()).unwrap();
    let shared: Arc<dyn EventStore> = Arc::new(store.clone());
    let other = shared.clone();
    tokio::spawn(async move { other.append(emitted("e", 1)).await }).await.unwrap().unwrap();
    assert_eq!(store.get_by_execution(&id("e")).await.unwrap().len(), 1);
    assert_eq!(shared.latest_sequence().await.unwrap(), 1);
    let backend: Arc<dyn StorageBackend> = Arc::new(store);
    backend.shutdown().await.unwrap();
    assert!(shared.append(emitted("e", 2)).await.is_err(), "they share what was shut down");
}

/// Whoever opened the log may have asked for less: not on behalf of these traits. What is not durable is not visible either.
#[tokio::test]
async fn what_is_written_is_durable_however_the_log_was_opened() {
    for durability in [Durability::Sequenced, Durability::Written] {
        let slow = Arc::new(Gated::slow(Duration::from_millis(5)));
        let log = Options::new().durability(durability).open_storage(slow).unwrap();
        let (ours, executions) = (StreamingStore::new(log.clone()), ExecutionStore::new(log.clone()));
        for round in 0..3 {
            ours.append(emitted("e", round)).await.unwrap();
            assert_eq!(log.last_position(), 2 * round + 1);
            executions.append(&id("e"), &tenant("t"), numbered(round)).await.unwrap();
            assert_eq!(log.last_position(), 2 * round + 2);
        }
    }
}
