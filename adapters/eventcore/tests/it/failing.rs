//! A disk that has no space left, or whose syncs fail; and what the store says then.

use crate::kit::{Noted, all, noted, page, position, texts, writes};
use annals::{AppendError, LogState, Options};
use annals_eventcore::{EventCoreStore, StoreError};
use eventcore_types::{
    CheckpointStore, EventFilter, EventStore, EventStoreError, Operation, ProjectionSource, StreamWrites,
};
use proving::FaultyDisk;
use std::sync::Arc;

fn on(disk: &FaultyDisk) -> EventCoreStore {
    let options = Options::new().segment_bytes(64 << 10);
    EventCoreStore::new(options.open_storage(Arc::new(disk.clone())).unwrap()).unwrap()
}

const FAILURE: Result<(), EventStoreError> =
    Err(EventStoreError::StoreFailure { operation: Operation::AppendEvents });

fn large(version: usize) -> StreamWrites {
    writes(&[("a", version)], [noted("a", &"x".repeat(20 << 10))])
}

/// Without space, an append is refused and nothing of it is there; with space again, the same store goes on.
#[tokio::test]
async fn a_full_disk_is_told_and_passes() {
    let disk = FaultyDisk::default();
    let store = on(&disk);
    disk.set_full(true);
    // As long as there is room in the segments that are ready.
    let mut version = 0;
    let refused = loop {
        match store.append_events(large(version)).await {
            Ok(_) => version += 1,
            Err(error) => break Err(error),
        }
        assert!(version < 100, "it never ends");
    };
    assert_eq!(refused, FAILURE);
    assert!(store.log().status().disk_full.is_some());
    assert_eq!(texts(&store, "a").await.len(), version);
    assert_eq!(store.high_watermark().await.unwrap().map_or(0, |mark| mark.get()), version as u64);
    disk.set_full(false);
    store.append_events(large(version)).await.map(|_| ()).unwrap();
    assert_eq!(texts(&store, "a").await.len(), version + 1);
}

/// After a failed sync nothing more is written, and what was durable can be read. Opened again, the log says what there is.
#[tokio::test]
async fn a_failed_sync_is_told_and_is_final() {
    let disk = FaultyDisk::default();
    let store = on(&disk);
    store.append_events(large(0)).await.map(|_| ()).unwrap();
    store.save("p", position(1)).await.unwrap();
    disk.set_broken(true);
    assert_eq!(store.append_events(large(1)).await.map(|_| ()), FAILURE);
    disk.set_broken(false);
    assert!(matches!(store.log().status().state, LogState::Poisoned(_)));
    for writes in [large(1), large(2), writes::<Noted>(&[("a", 1)], [])] {
        assert_eq!(store.append_events(writes).await.map(|_| ()), FAILURE);
    }
    assert!(matches!(
        store.save("p", position(2)).await,
        Err(StoreError::Write(AppendError::Poisoned { .. }))
    ));
    assert_eq!((texts(&store, "a").await.len(), all(&store, EventFilter::all()).await.len()), (1, 1));
    assert_eq!(store.load("p").await, Ok(Some(position(1))));
    assert_eq!(page(&store, EventFilter::all(), Some(position(1)), 9).await, []);
    let _ = store.log().close();
    drop(store);
    let store = on(&disk);
    let there = texts(&store, "a").await.len();
    assert!((1..=2).contains(&there));
    store.append_events(large(there)).await.map(|_| ()).unwrap();
}
