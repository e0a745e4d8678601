//! A disk that is full, and one whose syncs fail: what is told, and what is true afterwards.

use crate::given::{assert_same, event_of, id, says, storage, unsaved};
use allsource_core::domain::entities::{Event, EventStream};
use annals::Options;
use annals_allsource::StreamRepository;
use proving::FaultyDisk;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

fn on(disk: &FaultyDisk) -> StreamRepository {
    // Nothing is to be synced but what the test appends.
    let options = Options::new().segment_bytes(64 << 10).idle_witness_after(Duration::from_secs(10));
    StreamRepository::new(options.open_storage(Arc::new(disk.clone())).unwrap())
}

fn large() -> Event {
    event_of("acme", "entity-1", json!("x".repeat(20_000)))
}

#[tokio::test]
async fn a_full_disk_is_told_and_appends_work_again_when_there_is_space() {
    let disk = FaultyDisk::default();
    let store = on(&disk);
    let mut stream = EventStream::new(id("entity-1"));
    store.append_to_stream(&mut stream, large()).await.unwrap();
    disk.set_full(true);
    let text = loop {
        let before = stream.current_version();
        assert!(before < 100, "the disk is never full");
        match store.append_to_stream(&mut stream, large()).await {
            Ok(_) => {}
            refused => {
                assert_eq!(stream.current_version(), before);
                break storage(refused);
            }
        }
    };
    says(&text, &["\"entity-1\"", "no space left"]);
    assert_same(&store.load_stream(&id("entity-1")).await.unwrap().unwrap(), &stream);
    disk.set_full(false);
    let next = stream.current_version() + 1;
    assert_eq!(store.append_to_stream(&mut stream, large()).await.unwrap(), next);
}

#[tokio::test]
async fn a_failed_sync_leaves_the_outcome_open_until_the_log_is_opened_again() {
    let disk = FaultyDisk::default();
    let store = on(&disk);
    let mut stream = unsaved("entity-1", 2);
    store.save_stream(&stream).await.unwrap();
    disk.set_broken(true);
    says(
        &storage(store.append_to_stream(&mut stream, large()).await),
        &["\"entity-1\"", "poisoned", "outcome unknown until the log is reopened"],
    );
    assert_eq!(stream.current_version(), 2, "the handle is not moved");
    for text in [
        storage(store.append_to_stream(&mut stream, large()).await),
        storage(store.save_stream(&unsaved("entity-2", 1)).await),
        storage(store.get_or_create_stream(&id("entity-2")).await),
    ] {
        says(&text, &["poisoned", "nothing was written"]);
    }
    assert_same(&store.load_stream(&id("entity-1")).await.unwrap().unwrap(), &stream);
    assert!(store.verify_gapless(&id("entity-1")).await.unwrap());
    assert_eq!(store.get_watermark(&id("entity-1")).await.unwrap(), 2);
    store.log().close().unwrap_err();
    drop(store);

    disk.set_broken(false);
    let store = on(&disk);
    let mut stored = store.load_stream(&id("entity-1")).await.unwrap().unwrap();
    assert!((2..=3).contains(&stored.current_version()), "it is there whole, or not at all");
    let next = stored.current_version() + 1;
    assert_eq!(store.append_to_stream(&mut stored, large()).await.unwrap(), next);
}
