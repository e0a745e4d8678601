//! A disk that is full, and one that fails.

use crate::v0_23::make::{event, events, message, second, stream};
use annals::{LogState, Options};
use annals_mako::MakoStore;
use mako_engine::error::EngineError;
use mako_engine::event_store::{AppendBatch, AtomicAppend, EventStore, ExpectedVersion};
use mako_engine::outbox::{OutboxStore, PendingOutbox};
use proving::FaultyDisk;
use serde_json::json;
use std::sync::Arc;

fn on(disk: &FaultyDisk) -> MakoStore {
    MakoStore::new(Options::new().open_storage(Arc::new(disk.clone())).unwrap())
}

/// Appends some 20 kB.
async fn append_much(store: &MakoStore) -> Result<(), EngineError> {
    let (id, big) = (stream("s"), [event("T", json!("x".repeat(20_000)))]);
    store.append(AppendBatch::new(&id, ExpectedVersion::Any, &big)).await.map(drop)
}

/// It may get better: the error says so, nothing is written in part, and it works again without reopening.
#[tokio::test]
async fn a_full_disk_is_a_passing_thing() {
    let disk = FaultyDisk::default();
    let store = on(&disk);
    let sent = message(second(0), None);
    store.enqueue(std::slice::from_ref(&sent)).await.unwrap();
    disk.set_full(true);
    let refused = loop {
        if let Err(error) = append_much(&store).await {
            break error;
        }
    };
    assert!(
        matches!(&refused, EngineError::Store { transient: true, message } if message.contains("no space left")),
        "{refused}"
    );
    let version = store.stream_version(&stream("s")).await.unwrap();
    assert_eq!(EventStore::load(&store, &stream("s")).await.unwrap().len() as u64, version);
    let big = PendingOutbox::new("A", "1", json!("x".repeat(20_000)));
    let (id, new) = (stream("t"), events(1));
    let batch = AppendBatch::new(&id, ExpectedVersion::NoStream, &new);
    assert!(store.append(batch.outbox(std::slice::from_ref(&big))).await.unwrap_err().is_transient());
    assert_eq!(store.list_streams(None).await.unwrap(), [stream("s")]);
    assert_eq!(store.pending(9, second(9)).await.unwrap().len(), 1);
    disk.set_full(false);
    append_much(&store).await.unwrap();
    store.append(batch.outbox(&[big])).await.unwrap();
    assert_eq!(OutboxStore::len(&store).await.unwrap(), 2);
}

/// Nobody can know whether it is on the disk: the error says so, and nothing more is written until the log is opened again.
#[tokio::test]
async fn a_failing_disk_is_the_end() {
    let disk = FaultyDisk::default();
    let store = on(&disk);
    let (id, new) = (stream("s"), events(1));
    store.append(AppendBatch::new(&id, ExpectedVersion::NoStream, &new)).await.unwrap();
    disk.set_broken(true);
    let unknown = store.append(AppendBatch::new(&id, ExpectedVersion::Exact(1), &new)).await.unwrap_err();
    assert!(
        matches!(&unknown, EngineError::Store { transient: false, message } if message.contains("outcome unknown")),
        "{unknown}"
    );
    let refused = store.enqueue(&[message(second(0), None)]).await.unwrap_err();
    assert!(
        matches!(&refused, EngineError::Outbox { transient: false, message } if message.contains("nothing was written")),
        "{refused}"
    );
    assert_eq!(EventStore::load(&store, &id).await.unwrap().len(), 1, "what is durable can be read");
    assert!(matches!(store.log().status().state, LogState::Poisoned(_)));
}
