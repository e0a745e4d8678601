//! What is there after the log was closed and opened again: everything, at its place.

use crate::kit::{Kit, all, conflict, note, noted, page, position, texts, writes};
use annals_eventcore::EventCoreStore;
use eventcore_types::{CheckpointStore, EventFilter, EventStore, ProjectionSource, ProjectorCoordinator};

#[tokio::test]
async fn everything_is_there_and_goes_on() {
    let mut kit = Kit::new();
    for round in 0..4 {
        let events = [noted("a", "x"), noted("b", "y"), noted("a", "z")];
        let appended = kit.store.append_events(writes(&[("a", round * 2), ("b", round)], events)).await;
        appended.map(|_| ()).unwrap();
        kit.store.save("p", position(round as u64)).await.unwrap();
        let before = page(&kit.store, EventFilter::all(), None, usize::MAX).await;
        let (source_id, mark) = (kit.store.source_id().clone(), kit.store.high_watermark().await);
        kit = kit.reopened();
        assert_eq!(page(&kit.store, EventFilter::all(), None, usize::MAX).await, before);
        assert_eq!((kit.store.source_id(), kit.store.high_watermark().await), (&source_id, mark));
        assert_eq!(kit.store.load("p").await, Ok(Some(position(round as u64))));
        let stale = writes(&[("a", round * 2), ("b", round)], [noted("a", "late")]);
        let (stream, ..) = conflict(&kit.store, stale).await;
        assert_eq!(stream, "a", "the streams of the events are looked at first");
    }
    assert_eq!((texts(&kit.store, "a").await.len(), texts(&kit.store, "b").await.len()), (8, 4));
}

/// Letting go of the last handle closes the log; whoever has a clone of it keeps it.
#[tokio::test]
async fn the_last_handle_closes_the_log() {
    let Kit { store, dir } = Kit::new();
    note(&store, "a", 0, &["1"]).await;
    let log = store.log().clone();
    drop(store);
    assert!(EventCoreStore::open(dir.path()).is_err(), "somebody has it");
    drop(log);
    let store = EventCoreStore::open(dir.path()).unwrap();
    assert!(store.log().recovery().closed_cleanly);
    assert_eq!(all(&store, EventFilter::all()).await, ["1"]);
}

/// Leadership is for a process: it does not survive one.
#[tokio::test]
async fn nobody_leads_after_reopening() {
    let kit = Kit::new();
    let leading = kit.store.try_acquire("p").await.unwrap();
    std::mem::forget(leading);
    assert!(kit.store.try_acquire("p").await.is_err());
    assert!(kit.reopened().store.try_acquire("p").await.is_ok());
}
