//! `StorageBackend`: what a store says of itself, its health, and what shutting down does to a log that is shared or its own.

use crate::kit::{directory, emitted, id, in_memory, numbered, on, open, tenant, typed};
use annals::{AppendError, EventLog, ExpectedVersion, LogState, NewEvent, OpenError};
use annals_enact::{Error, ExecutionStore, StreamingStore};
use enact_core::kernel::persistence::{EventStore as _, ExecutionEventData, StorageBackend};
use enact_core::streaming::EventStore as _;
use proving::FaultyDisk;

/// Both stores over a log, as backends.
fn backends(log: &EventLog) -> [Box<dyn StorageBackend>; 2] {
    [Box::new(ExecutionStore::new(log.clone())), Box::new(StreamingStore::new(log.clone()))]
}

/// What each says of a log that takes no events.
async fn ill(log: &EventLog, says: &str) {
    for backend in backends(log) {
        let error = typed(backend.health_check().await);
        assert!(matches!(error, Error::NotReady(_)) && error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn it_is_called_annals_and_needs_no_network() {
    let (log, ..) = in_memory();
    for backend in backends(&log) {
        assert_eq!(backend.name(), "annals");
        assert!(!backend.requires_network() && backend.supports_air_gapped());
        backend.health_check().await.unwrap();
    }
}

#[tokio::test]
async fn a_closed_log_is_ill() {
    let (log, store, streaming) = in_memory();
    store.append(&id("e"), &tenant("t"), numbered(1)).await.unwrap();
    log.close().unwrap();
    ill(&log, "closed; open it again").await;
    let refused = typed(store.append(&id("e"), &tenant("t"), numbered(2)).await);
    assert!(matches!(refused, Error::Append(AppendError::Closed)));
    assert!(matches!(typed(streaming.append(emitted("e", 1)).await), Error::Append(AppendError::Closed)));
    assert_eq!(store.load_events(&id("e")).await.unwrap().len(), 1, "reads go on");
    assert_eq!(store.list_executions(&tenant("t"), 9, 0).await.unwrap().len(), 1);
    assert_eq!(streaming.latest_sequence().await.unwrap(), 0);
}

#[tokio::test]
async fn a_log_that_is_only_read_is_ill_and_can_be_read() {
    let dir = directory();
    let store = ExecutionStore::open(dir.path()).unwrap();
    store.append(&id("e"), &tenant("t"), numbered(1)).await.unwrap();
    store.shutdown().await.unwrap();
    let log = EventLog::open_read_only(dir.path()).unwrap();
    ill(&log, "open it for writing").await;
    let store = ExecutionStore::new(log);
    assert_eq!(store.load_events(&id("e")).await.unwrap().len(), 1);
    let refused = typed(store.append(&id("e"), &tenant("t"), numbered(2)).await);
    assert!(matches!(refused, Error::Append(AppendError::ReadOnly)));
}

#[tokio::test]
async fn a_poisoned_log_is_ill_and_says_what_became_of_the_append() {
    let disk = FaultyDisk::default();
    let log = on(&disk);
    let (store, streaming) = (ExecutionStore::new(log.clone()), StreamingStore::new(log.clone()));
    store.append(&id("e"), &tenant("t"), numbered(1)).await.unwrap();
    disk.set_broken(true);
    let refused = typed(store.append(&id("e"), &tenant("t"), numbered(2)).await);
    assert!(matches!(
        refused,
        Error::Append(AppendError::Poisoned { outcome: annals::Outcome::Unknown, .. })
    ));
    ill(&log, "close it and open it again").await;
    let refused = typed(streaming.append(emitted("e", 1)).await);
    assert!(matches!(
        refused,
        Error::Append(AppendError::Poisoned { outcome: annals::Outcome::NotWritten, .. })
    ));
    assert_eq!(store.load_events(&id("e")).await.unwrap().len(), 1, "what was acknowledged can be read");
    assert_eq!(store.count_events(&id("e")).await.unwrap(), 1, "and nothing else is shown");

    let error = typed(store.shutdown().await);
    assert!(matches!(error, Error::Read(annals::ReadError::Poisoned(_))), "not all is durable: {error:?}");
    let error = typed(store.closing_log().shutdown().await);
    assert!(matches!(error, Error::Close(annals::CloseError::Poisoned(_))), "{error:?}");
}

#[tokio::test]
async fn a_full_disk_is_ill_until_there_is_room_again() {
    let disk = FaultyDisk::default();
    let log = on(&disk);
    let store = ExecutionStore::new(log.clone());
    disk.set_full(true);
    let large = || ExecutionEventData::Custom { event_type: String::new(), data: "x".repeat(10_000).into() };
    let mut count = 0;
    let refused = loop {
        match store.append(&id("e"), &tenant("t"), large()).await {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
        assert!(count < 1000, "the disk is never full");
    };
    let refused = refused.downcast_ref::<Error>().unwrap();
    assert!(matches!(refused, Error::Append(AppendError::DiskFull(_))), "{refused:?}");
    ill(&log, "free some space").await;
    assert_eq!(store.load_events(&id("e")).await.unwrap().len(), count, "reads go on");

    disk.set_full(false);
    assert_eq!(
        store.append(&id("e"), &tenant("t"), large()).await.unwrap(),
        count as u64 + 1,
        "no sequence is lost"
    );
    store.health_check().await.unwrap();
}

#[tokio::test]
async fn shutting_down_a_store_in_a_shared_log_leaves_the_log_to_the_others() {
    let dir = directory();
    let log = open(dir.path());
    // Numbered, and nobody waits for it.
    let pending = log.submit("others", ExpectedVersion::Any, &[NewEvent::new("T", "")]).unwrap();
    for backend in backends(&log) {
        backend.shutdown().await.unwrap();
        backend.shutdown().await.unwrap();
    }
    assert!(pending.is_done(), "everything that was numbered is durable");
    assert_eq!(log.status().state, LogState::Open);
    log.append("others", ExpectedVersion::Exact(1), &[NewEvent::new("T", "")]).unwrap();

    log.close().unwrap();
    for backend in backends(&log) {
        backend.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn shutting_down_a_store_closes_the_log_that_it_has_opened() {
    let dir = directory();
    let store = ExecutionStore::open(dir.path()).unwrap();
    let clone = store.clone();
    store.append(&id("e"), &tenant("t"), numbered(1)).await.unwrap();
    assert!(matches!(StreamingStore::open(dir.path()), Err(OpenError::AlreadyOpen { .. })));
    store.shutdown().await.unwrap();
    clone.shutdown().await.unwrap();
    assert_eq!(store.log().status().state, LogState::Closed);
    assert!(matches!(typed(clone.health_check().await), Error::NotReady(_)));
    assert_eq!(store.load_events(&id("e")).await.unwrap().len(), 1, "reads go on");

    // The directory can be opened again at once, while the store still lives.
    let streaming = StreamingStore::open(dir.path()).unwrap();
    assert_eq!(streaming.log().stream_version("enact/execution/e"), 1);
    streaming.shutdown().await.unwrap();
    assert_eq!(streaming.log().status().state, LogState::Closed);
}

#[tokio::test]
async fn a_store_that_is_told_so_closes_a_log_that_it_was_given() {
    let (log, store, streaming) = in_memory();
    let closing = streaming.closing_log();
    store.shutdown().await.unwrap();
    assert_eq!(log.status().state, LogState::Open);
    closing.clone().shutdown().await.unwrap();
    assert_eq!(log.status().state, LogState::Closed);
}
