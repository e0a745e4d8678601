//! A log that was closed and is opened again: everything is as it was, and goes on.

use crate::given::{Store, assert_same, event, event_of, filled, id, loaded, tenant, unsaved};
use allsource_core::domain::entities::EventStream;
use annals::EventLog;
use annals_allsource::StreamRepository;
use serde_json::json;
use std::sync::Arc;

struct Seen {
    streams: Vec<EventStream>,
    stats: Vec<(u32, usize)>,
    of_acme: usize,
}

async fn look(store: &Store, entities: &[&str]) -> Seen {
    let mut streams = Vec::new();
    for entity in entities {
        assert!(store.verify_gapless(&id(entity)).await.unwrap());
        streams.push(loaded(store, entity).await);
    }
    assert_eq!(store.count_streams().await.unwrap(), entities.len());
    let stats = store.partition_stats().await.unwrap();
    Seen { streams, stats, of_acme: store.count_streams_by_tenant(&tenant("acme")).await.unwrap() }
}

#[tokio::test]
async fn everything_is_there_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let entities = ["empty", "appended", "saved", "of another"];
    let before = {
        let repository = StreamRepository::open(dir.path()).unwrap();
        let store: Store = Arc::new(repository.clone());
        filled(&store, "empty", 0).await;
        filled(&store, "appended", 5).await;
        store.save_stream(&unsaved("saved", 7)).await.unwrap();
        let mut of_another = EventStream::new(id("of another"));
        store.append_to_stream(&mut of_another, event_of("other", "of another", json!(1))).await.unwrap();
        let seen = look(&store, &entities).await;
        repository.log().close().unwrap();
        seen
    };
    for round in 0..3u64 {
        let repository = StreamRepository::new(EventLog::open(dir.path()).unwrap());
        let store: Store = Arc::new(repository.clone());
        let now = look(&store, &entities).await;
        assert_eq!((&now.stats, now.of_acme), (&before.stats, before.of_acme));
        for (now, before) in now.streams.iter().zip(&before.streams) {
            if before.stream_id().as_str() == "appended" {
                assert_eq!(now.current_version(), 5 + round);
                assert_eq!(
                    (now.partition_key(), now.created_at()),
                    (before.partition_key(), before.created_at())
                );
                assert_eq!(now.events_from(1)[..5], before.events_from(1));
            } else {
                assert_same(now, before);
                assert_eq!(now.updated_at(), before.updated_at());
            }
        }
        let mut stream = loaded(&store, "appended").await;
        let version = store.append_to_stream(&mut stream, event("appended", 6 + round)).await.unwrap();
        assert_eq!(version, 6 + round);
        // A handle from before the log was closed is as good as any.
        let mut stale = before.streams[1].clone();
        assert!(store.append_to_stream(&mut stale, event("appended", 99)).await.is_err());
        repository.log().close().unwrap();
    }
}

/// A handle does not belong to the log that was open when it was loaded.
#[tokio::test]
async fn a_handle_outlives_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let repository = StreamRepository::open(dir.path()).unwrap();
    let mut stream = repository.get_or_create_stream(&id("entity-1")).await.unwrap();
    repository.append_to_stream(&mut stream, event("entity-1", 1)).await.unwrap();
    drop(repository);
    let repository = StreamRepository::open(dir.path()).unwrap();
    assert_eq!(repository.append_to_stream(&mut stream, event("entity-1", 2)).await.unwrap(), 2);
}
