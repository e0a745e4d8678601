//! Others in the same log: other namespaces, streams of nobody, and what others do to ours behind our back.

use crate::given::{
    Store, assert_same, event, event_of, events, filled, id, loaded, ours, says, storage, tenant, unruly,
    unsaved,
};
use allsource_core::domain::entities::EventStream;
use allsource_core::domain::value_objects::PartitionKey;
use annals::{EventLog, ExpectedVersion, KeptCondition, NewEvent};
use annals_allsource::StreamRepository;
use serde_json::json;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

#[tokio::test]
async fn two_namespaces_share_a_log_and_nothing_else() {
    let log = EventLog::in_memory().unwrap();
    let namespaces = ["allsource", "allsource/stream", "shop", "shop/", "%"];
    let stores = namespaces.map(|name| Arc::new(StreamRepository::in_namespace(log.clone(), name)) as Store);
    for (i, store) in stores.iter().enumerate() {
        let mut stream = EventStream::new(id("entity-1"));
        for n in 0..=i as u64 {
            let event = event_of(&format!("tenant-{i}"), "entity-1", json!(n));
            store.append_to_stream(&mut stream, event).await.unwrap();
        }
        filled(store, "stream/entity-1", 1).await;
    }
    for (i, store) in stores.iter().enumerate() {
        assert_eq!(loaded(store, "entity-1").await.event_count(), i + 1);
        assert_eq!(store.count_streams().await.unwrap(), 2);
        let partitions = store.partition_stats().await.unwrap();
        assert_eq!(partitions.iter().map(|(_, count)| count).sum::<usize>(), 2);
        let key = PartitionKey::from_entity_id("entity-1");
        let found = store.get_streams_by_partition(&key).await.unwrap();
        assert!(found.iter().filter(|stream| stream.stream_id() == &id("entity-1")).count() == 1);
        for j in 0..stores.len() {
            let count = store.count_streams_by_tenant(&tenant(&format!("tenant-{j}"))).await.unwrap();
            assert_eq!(count, usize::from(i == j));
        }
        assert_eq!(store.get_streams_by_tenant(&tenant("acme")).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn handles_made_apart_see_the_same_streams() {
    let log = EventLog::in_memory().unwrap();
    let (one, two) = (StreamRepository::new(log.clone()), StreamRepository::new(log));
    let mut stream = one.get_or_create_stream(&id("entity-1")).await.unwrap();
    let mut other = two.get_or_create_stream(&id("entity-1")).await.unwrap();
    one.append_to_stream(&mut stream, event("entity-1", 1)).await.unwrap();
    assert!(two.append_to_stream(&mut other, event("entity-1", 2)).await.is_err());
    assert_same(&two.load_stream(&id("entity-1")).await.unwrap().unwrap(), &stream);
}

#[tokio::test]
async fn what_others_have_in_the_log_is_not_ours() {
    let store = ours();
    let log = store.log();
    let any = ExpectedVersion::Any;
    for stream in
        ["entity-1", "allsource", "allsource/", "allsource/strea", "allsource/streams/x", "allsourc/stream/x"]
    {
        log.tenant("acme").append(stream, any, &[NewEvent::new("T", "not JSON")]).unwrap();
    }
    for name in ["allsource/partition", "allsource/partition/7", "allsource/partitions/7/x"] {
        log.keep(name, KeptCondition::Any, "x").unwrap();
    }
    log.consumer("allsource", &annals::Query::everything()).unwrap();
    assert_eq!(store.count_streams().await.unwrap(), 0);
    assert_eq!(store.count_streams_by_tenant(&tenant("acme")).await.unwrap(), 0);
    assert!(store.load_stream(&id("entity-1")).await.unwrap().is_none());
    assert!(store.partition_stats().await.unwrap().is_empty());
    let key = PartitionKey::from_partition_id(7, 32).unwrap();
    assert!(store.get_streams_by_partition(&key).await.unwrap().is_empty());
    store.save_stream(&unsaved("entity-1", 3)).await.unwrap();
    assert_eq!(log.stream_version("entity-1"), 1);
    assert_eq!(store.get_watermark(&id("entity-1")).await.unwrap(), 3);
}

/// A stream in our namespace that does not say its partition, or one that is none.
#[tokio::test]
async fn a_stream_that_we_did_not_make_is_told_and_not_touched() {
    let none = r#"{"partition":32,"partitions":32,"created_at":"2026-02-03T04:05:06Z"}"#;
    for attributes in ["", "{}", none] {
        let store = ours();
        let name = "allsource/stream/entity-1";
        store.log().create_stream(name, ExpectedVersion::Any, attributes.as_bytes()).unwrap();
        let mut handle = EventStream::new(id("entity-1"));
        for text in [
            storage(store.load_stream(&id("entity-1")).await),
            storage(store.get_or_create_stream(&id("entity-1")).await),
            storage(store.append_to_stream(&mut handle, event("entity-1", 1)).await),
            storage(store.save_stream(&handle).await),
            storage(store.verify_gapless(&id("entity-1")).await),
            storage(store.partition_stats().await),
        ] {
            says(&text, &[name, "who made it?"]);
        }
        assert_eq!(store.log().last_position(), 0);
        assert_eq!(store.count_streams().await.unwrap(), 1, "it is there all the same");
    }
}

/// An event in one of our streams that somebody else has appended, with the log's own calls.
#[tokio::test]
async fn an_event_that_is_not_of_allsource_is_told_with_its_place() {
    for (payload, metadata) in [
        ("not JSON", r#"{"id":"#),
        ("{}", ""),
        ("{}", r#"{"id":"x","tenant":"acme","timestamp":"2026-02-03T04:05:07Z","version":1}"#),
    ] {
        let store = ours();
        let mut stream = unsaved("entity-1", 2);
        store.save_stream(&stream).await.unwrap();
        let strange = NewEvent::new("T", payload).with_metadata(metadata);
        store.log().append("allsource/stream/entity-1", ExpectedVersion::Any, &[strange]).unwrap();
        for text in [
            storage(store.load_stream(&id("entity-1")).await),
            storage(store.get_or_create_stream(&id("entity-1")).await),
            storage(store.verify_gapless(&id("entity-1")).await),
            storage(store.get_streams_by_partition(stream.partition_key()).await),
            storage(store.get_streams_by_tenant(&tenant("acme")).await),
        ] {
            says(&text, &["allsource/stream/entity-1", "event 3 ", "position 3 "]);
        }
        assert!(store.append_to_stream(&mut stream, event("entity-1", 3)).await.is_err());
        stream.append_event(event("entity-1", 3)).unwrap();
        says(&storage(store.append_to_stream(&mut stream, event("entity-1", 4)).await), &["event 3 "]);
        says(&storage(store.save_stream(&stream).await), &["event 3 "]);
        assert_eq!(store.log().last_position(), 3, "nothing was stored behind it");
        assert_eq!(store.get_watermark(&id("entity-1")).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_stream_that_was_cut_is_not_gapless() {
    for first in [2, 4] {
        let store = ours();
        let mut stream = unsaved("entity-1", 3);
        store.save_stream(&stream).await.unwrap();
        assert!(store.verify_gapless(&id("entity-1")).await.unwrap());
        store.log().truncate_before("allsource/stream/entity-1", first, ExpectedVersion::Any).unwrap();
        assert!(!store.verify_gapless(&id("entity-1")).await.unwrap());
        let removed = format!("before {first} were removed");
        says(&storage(store.load_stream(&id("entity-1")).await), &["entity-1", &removed]);
        says(&storage(store.save_stream(&stream).await), &["entity-1", &removed]);
        // What can be compared is: the last event is there, or it is not.
        let appended = store.append_to_stream(&mut stream, event("entity-1", 4)).await;
        if first == 2 {
            assert_eq!(appended.unwrap(), 4);
        } else {
            says(&storage(appended), &["entity-1", "removed"]);
        }
    }
}

#[tokio::test]
async fn a_stream_that_was_ended_is_gone() {
    for events in [0, 2] {
        let store = ours();
        let mut stream = unsaved("entity-1", events);
        store.save_stream(&stream).await.unwrap();
        store.log().tombstone("allsource/stream/entity-1", ExpectedVersion::Any).unwrap();
        for text in [
            storage(store.load_stream(&id("entity-1")).await),
            storage(store.get_or_create_stream(&id("entity-1")).await),
            storage(store.append_to_stream(&mut stream, event("entity-1", 9)).await),
            storage(store.save_stream(&stream).await),
            storage(store.verify_gapless(&id("entity-1")).await),
        ] {
            says(&text, &["entity-1", "tombstoned"]);
        }
    }
}

#[tokio::test]
async fn a_foreign_stream_of_a_tenant_of_ours_is_told() {
    let store = ours();
    store.save_stream(&EventStream::new(unruly(""))).await.unwrap();
    let foreign = store.log().tenant("allsource/acme");
    foreign.append("x", ExpectedVersion::Any, &[NewEvent::new("T", "{}")]).unwrap();
    says(&storage(store.get_streams_by_tenant(&tenant("acme")).await), &["\"x\"", "no stream of ours"]);
}

#[tokio::test]
async fn a_name_in_a_partition_without_its_stream_is_told() {
    let store = ours();
    store.log().keep("allsource/partition/7/nobody", KeptCondition::Any, "").unwrap();
    let key = PartitionKey::from_partition_id(7, 32).unwrap();
    says(
        &storage(store.get_streams_by_partition(&key).await),
        &["allsource/partition/7/nobody", "no such stream"],
    );
}

/// A byte on the disk is flipped while the log is open.
#[tokio::test]
async fn a_damaged_event_is_an_error_and_never_a_gap_or_another_event() {
    let dir = tempfile::tempdir().unwrap();
    let store = StreamRepository::open(dir.path()).unwrap();
    let mut stream = unsaved("entity-1", 1);
    stream.append_event(event_of("acme", "entity-1", json!("find me"))).unwrap();
    stream.append_event(event("entity-1", 3)).unwrap();
    store.save_stream(&stream).await.unwrap();
    store.save_stream(&unsaved("entity-2", 3)).await.unwrap();

    let mut damaged = 0;
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(7).position(|window| window == b"find me") {
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(b"F", at as u64).unwrap();
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1);
    for text in [
        storage(store.load_stream(&id("entity-1")).await),
        storage(store.verify_gapless(&id("entity-1")).await),
        storage(store.save_stream(&stream).await),
        storage(store.get_streams_by_tenant(&tenant("acme")).await),
    ] {
        says(&text, &["\"entity-1\"", "corrupt", "checksum"]);
    }
    let other = store.load_stream(&id("entity-2")).await.unwrap().unwrap();
    assert_eq!(events(&other).len(), 3);
    assert_eq!(
        store.append_to_stream(&mut stream, event("entity-1", 4)).await.unwrap(),
        4,
        "the last event is whole"
    );
}
