//! A process that is really killed: what it was told is stored is there, streams are whole, what was saved is there whole.

use crate::given::{event, event_of, id, tenant};
use allsource_core::domain::entities::EventStream;
use allsource_core::domain::value_objects::PartitionKey;
use annals_allsource::StreamRepository;
use proving::{Child, told};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many events are saved at once.
const AT_ONCE: u64 = 5;

/// Not a test by itself: without the variable it has nothing to do.
#[test]
fn child() {
    let Some(dir) = proving::child() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let store = StreamRepository::open(dir).unwrap();
        let tasks = [
            tokio::spawn(append(store.clone(), "appended-1")),
            tokio::spawn(append(store.clone(), "appended-2")),
            tokio::spawn(save(store.clone())),
            tokio::spawn(make(store)),
        ];
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// Appends to one stream.
async fn append(store: StreamRepository, entity: &str) {
    let mut stream = store.get_or_create_stream(&id(entity)).await.unwrap();
    loop {
        let event = event(entity, stream.current_version() + 1);
        let event_id = event.id();
        let version = store.append_to_stream(&mut stream, event).await.unwrap();
        told(&format!("{entity} {version} {event_id}"));
    }
}

/// Saves some events at once.
async fn save(store: StreamRepository) {
    let mut stream = store.get_or_create_stream(&id("saved")).await.unwrap();
    loop {
        for _ in 0..AT_ONCE {
            let event = event("saved", stream.current_version() + 1);
            stream.append_event(event).unwrap();
        }
        store.save_stream(&stream).await.unwrap();
        let version = stream.current_version();
        told(&format!("saved {version} {}", stream.events_from(version)[0].id()));
    }
}

/// Makes streams, every other one with its first event.
async fn make(store: StreamRepository) {
    for n in store.count_streams().await.unwrap().. {
        let entity = format!("made-{n}");
        if n % 2 == 0 {
            let mut stream = EventStream::new(id(&entity));
            let event = event_of("other", &entity, json!(n));
            let event_id = event.id();
            // It may have been stored by the process that was killed, and not told.
            if store.append_to_stream(&mut stream, event).await.is_ok() {
                told(&format!("{entity} 1 {event_id}"));
            }
        } else {
            store.get_or_create_stream(&id(&entity)).await.unwrap();
            told(&format!("{entity} 0 -"));
        }
    }
}

#[tokio::test]
async fn what_a_killed_process_was_told_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<(String, u64), String> = BTreeMap::new();
    for cycle in 0..12u64 {
        let child = Child::start("kill::child", dir.path());
        for line in child.kill_after(8, Duration::from_millis(10 + cycle * 7 % 40)) {
            let words: Vec<&str> = line.split(' ').collect();
            let [entity, version, event] = words[..] else { panic!("{line}") };
            acknowledged.insert((entity.to_owned(), version.parse().unwrap()), event.to_owned());
        }
        let store =
            StreamRepository::open(dir.path()).unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
        judge(&store, &acknowledged).await;
        store.log().close().unwrap();
    }
    assert!(acknowledged.len() > 100, "{} acknowledgements", acknowledged.len());
}

async fn judge(store: &StreamRepository, acknowledged: &BTreeMap<(String, u64), String>) {
    for ((entity, version), event) in acknowledged {
        let stream = store.load_stream(&id(entity)).await.unwrap().unwrap_or_else(|| panic!("no {entity}"));
        if *version > 0 {
            let stored = stream.events_from(*version);
            let stored = stored.first().unwrap_or_else(|| panic!("no {entity} {version}"));
            assert_eq!(stored.id().to_string(), *event, "{entity} {version}");
        }
    }
    let mut partitioned = BTreeSet::new();
    let mut others = 0;
    for (partition, count) in store.partition_stats().await.unwrap() {
        let key = PartitionKey::from_partition_id(partition, 32).unwrap();
        let streams = store.get_streams_by_partition(&key).await.unwrap();
        assert_eq!(streams.len(), count, "a stream is there with its partition, or not at all");
        for stream in streams {
            let entity = stream.stream_id().as_str();
            assert!(store.verify_gapless(stream.stream_id()).await.unwrap());
            for (i, event) in stream.events_from(1).into_iter().enumerate() {
                assert!(entity.starts_with("made-") || event.payload() == &json!({"n": i as u64 + 1}));
            }
            assert!(entity != "saved" || stream.current_version() % AT_ONCE == 0, "saved in parts");
            others += usize::from(stream.tenant_id() == Some(&tenant("other")));
            assert!(partitioned.insert(entity.to_owned()));
        }
    }
    assert_eq!(partitioned.len(), store.count_streams().await.unwrap());
    assert_eq!(others, store.count_streams_by_tenant(&tenant("other")).await.unwrap());
}
