//! Bad input: what is let in, and what is told to whom it is not.

use crate::given::{
    Store, assert_same, concurrency, event, event_of, everywhere, id, input, loaded, ours, says, storage,
    unruly, unsaved, validation,
};
use allsource_core::domain::entities::{Event, EventStream};
use allsource_core::domain::value_objects::{EntityId, PartitionKey};
use allsource_core::error::AllSourceError;
use annals::{EventLog, Options};
use annals_allsource::StreamRepository;
use chrono::{DateTime, Utc};
use serde_json::json;
use std::sync::Arc;

/// An event with whatever its types would not allow.
fn smuggled(event_type: &str, entity: &EntityId, tenant: &str) -> Event {
    let event = event("x", 1);
    let (id, entity) = (event.id(), entity.as_str().to_owned());
    Event::reconstruct_from_strings(
        id,
        event_type.into(),
        entity,
        tenant.into(),
        json!({}),
        event.timestamp(),
        None,
        1,
    )
}

#[tokio::test]
async fn ids_of_any_kind_are_streams_of_their_own() {
    let long = "é".repeat(64);
    let unruly_long = "x".repeat(1020);
    let ids = [
        "a",
        "a/b",
        "a%2Fb",
        "a/",
        "/",
        "%",
        "a b",
        "日本",
        &long,
        "../a",
        "stream/a",
        "",
        " ",
        "\0",
        &unruly_long,
    ];
    everywhere(async |store| {
        for text in ids {
            let entity = unruly(text);
            let mut stream = store.get_or_create_stream(&entity).await.unwrap();
            assert_eq!(stream.event_count(), 0, "{text:?} is nobody else's");
            let happened = smuggled("thing.happened", &entity, "acme");
            store.append_to_stream(&mut stream, happened.clone()).await.unwrap();
            let stream = store.load_stream(&entity).await.unwrap().unwrap();
            assert_eq!((stream.stream_id(), stream.events_from(1)), (&entity, vec![&happened]));
            assert_eq!(store.get_watermark(&entity).await.unwrap(), 1);
            assert!(store.verify_gapless(&entity).await.unwrap());
            let found = store.get_streams_by_partition(stream.partition_key()).await.unwrap();
            assert_eq!(found.iter().filter(|found| found.stream_id() == &entity).count(), 1, "{text:?}");
        }
        assert_eq!(store.count_streams().await.unwrap(), ids.len());
    })
    .await;
}

#[tokio::test]
async fn tenants_of_any_kind_are_kept_apart() {
    let ids = ["", "a", "a/b", "\0", "stream", "partition/1"];
    everywhere(async |store| {
        for (i, text) in ids.into_iter().enumerate() {
            let entity = id(&format!("entity-{i}"));
            let mut stream = store.get_or_create_stream(&entity).await.unwrap();
            store.append_to_stream(&mut stream, smuggled("thing.happened", &entity, text)).await.unwrap();
        }
        for (i, text) in ids.into_iter().enumerate() {
            let of = serde_json::from_value(json!(text)).unwrap();
            let found = store.get_streams_by_tenant(&of).await.unwrap();
            assert_eq!(found.len(), 1, "{text:?}");
            assert_eq!(found[0].stream_id().as_str(), format!("entity-{i}"));
            assert_eq!(store.count_streams_by_tenant(&of).await.unwrap(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn an_id_that_is_too_long_for_the_log_is_told_and_not_there() {
    let store = ours();
    for len in [2030, 3000, 100_000] {
        let entity = unruly(&"x".repeat(len));
        says(&input(store.get_or_create_stream(&entity).await), &["bytes", "2048"]);
        let happened = smuggled("thing.happened", &entity, "acme");
        let mut stream = EventStream::new(entity.clone());
        input(store.append_to_stream(&mut stream, happened).await);
        input(store.save_stream(&EventStream::new(entity.clone())).await);
        assert!(store.load_stream(&entity).await.unwrap().is_none());
        assert_eq!(store.get_watermark(&entity).await.unwrap(), 0);
        assert!(store.verify_gapless(&entity).await.unwrap());
        assert_eq!(stream.current_version(), 0);
    }
    assert_eq!((store.count_streams().await.unwrap(), store.log().stream_count()), (0, 0));
}

#[tokio::test]
async fn a_type_or_a_tenant_that_the_log_cannot_hold_is_told() {
    let store = ours();
    let entity = id("entity-1");
    let (long_type, long_tenant) = ("t".repeat(1025), "t".repeat(2048));
    for (event_type, tenant, what) in [
        ("", "acme", "event type is empty"),
        (&*long_type, "acme", "event type has 1025 bytes"),
        ("t", &*long_tenant, "tenant has 2058 bytes"),
    ] {
        let mut stream = store.get_or_create_stream(&entity).await.unwrap();
        let happened = smuggled(event_type, &entity, tenant);
        let text = input(store.append_to_stream(&mut stream, happened.clone()).await);
        says(&text, &["\"entity-1\"", what]);
        assert_eq!(stream.current_version(), 0);
        stream.append_event(happened).unwrap();
        says(&input(store.save_stream(&stream).await), &[what]);
    }
    assert_eq!(store.get_watermark(&entity).await.unwrap(), 0);
}

#[tokio::test]
async fn an_append_that_is_too_large_is_told_and_nothing_of_it_is_there() {
    let log = Options::new().append_bytes_max(64 << 10).open_in_memory().unwrap();
    let store = StreamRepository::new(log);
    let mut large = event("entity-1", 1);
    large.payload = json!("x".repeat(64 << 10));
    let mut stream = EventStream::new(id("entity-1"));
    says(&input(store.append_to_stream(&mut stream, large).await), &["\"entity-1\"", "65536"]);
    let many = unsaved("entity-1", 1000);
    says(&input(store.save_stream(&many).await), &["\"entity-1\"", "65536"]);
    assert_eq!(store.count_streams().await.unwrap(), 0);
}

/// A handle can be deserialized, and then hold anything.
#[tokio::test]
async fn a_handle_that_counts_more_events_than_it_has_is_refused() {
    let store = ours();
    let stream = unsaved("entity-1", 1);
    store.save_stream(&stream).await.unwrap();
    for version in [0, 2, u64::MAX] {
        let mut broken = serde_json::to_value(&stream).unwrap();
        broken["current_version"] = json!(version);
        let mut broken: EventStream = serde_json::from_value(broken).unwrap();
        let at = format!("at version {version} and has 1 events");
        says(&validation(store.append_to_stream(&mut broken, event("entity-1", 2)).await), &[&at]);
        says(&validation(store.save_stream(&broken).await), &["\"entity-1\"", &at, "nothing was stored"]);
    }
    assert_same(&store.load_stream(&id("entity-1")).await.unwrap().unwrap(), &stream);
}

#[tokio::test]
async fn a_partition_that_is_none_is_refused_and_one_beyond_32_kept() {
    let store = ours();
    let with = |id: u32, count: u32| {
        let mut stream = serde_json::to_value(unsaved("entity-1", 1)).unwrap();
        stream["partition_key"] = json!({"partition_id": id, "partition_count": count});
        serde_json::from_value::<EventStream>(stream).unwrap()
    };
    says(&input(store.save_stream(&with(7, 7)).await), &["\"entity-1\"", "partition", "7"]);
    assert_eq!(store.count_streams().await.unwrap(), 0);
    store.save_stream(&with(1000, 1024)).await.unwrap();
    let key = PartitionKey::from_partition_id(1000, 1024).unwrap();
    assert_eq!(*store.load_stream(&id("entity-1")).await.unwrap().unwrap().partition_key(), key);
    assert_eq!(store.get_streams_by_partition(&key).await.unwrap().len(), 1);
    assert_eq!(store.partition_stats().await.unwrap(), [(1000, 1)]);
}

#[tokio::test]
async fn a_partition_without_streams_has_none() {
    everywhere(async |store| {
        store.save_stream(&unsaved("entity-1", 1)).await.unwrap();
        let other = (PartitionKey::from_entity_id("entity-1").partition_id() + 1) % 32;
        for (id, count) in [(other, 32), (4_000_000_000, u32::MAX)] {
            let key = PartitionKey::from_partition_id(id, count).unwrap();
            assert!(store.get_streams_by_partition(&key).await.unwrap().is_empty());
        }
    })
    .await;
}

/// Partition 1 is not the beginning of partition 11.
#[tokio::test]
async fn partitions_do_not_mix() {
    let store = ours();
    for partition in [1, 11, 111] {
        let entity = format!("entity-{partition}");
        let mut stream = serde_json::to_value(EventStream::new(id(&entity))).unwrap();
        stream["partition_key"] = json!({"partition_id": partition, "partition_count": 1024});
        store.save_stream(&serde_json::from_value(stream).unwrap()).await.unwrap();
    }
    for partition in [1, 11, 111] {
        let key = PartitionKey::from_partition_id(partition, 1024).unwrap();
        let streams = store.get_streams_by_partition(&key).await.unwrap();
        assert_eq!(streams.len(), 1);
        assert_eq!(*streams[0].partition_key(), key);
    }
}

#[tokio::test]
async fn times_at_the_ends_of_time_come_back() {
    let odd = [
        DateTime::<Utc>::MAX_UTC,
        DateTime::<Utc>::MIN_UTC,
        DateTime::from_timestamp(253_402_300_800, 1).unwrap(),
        DateTime::from_timestamp(-1, 999_999_999).unwrap(),
        DateTime::from_timestamp(59, 1_999_999_999).unwrap(), // a leap second
    ];
    everywhere(async |store| {
        for (i, time) in odd.into_iter().enumerate() {
            let (entity, key) = (format!("entity-{i}"), PartitionKey::from_entity_id("x"));
            let mut stream =
                EventStream::reconstruct(id(&entity), key, 0, 0, vec![], None, time, time).unwrap();
            let mut happened = event(&entity, 1);
            happened.timestamp = time;
            store.append_to_stream(&mut stream, happened).await.unwrap();
            assert_eq!(stream.created_at(), time);
            assert_same(&loaded(&store, &entity).await, &stream);
        }
    })
    .await;
}

/// JSON that some builds of its reader take for something else.
#[tokio::test]
async fn a_payload_that_would_be_read_as_another_is_refused_never_changed() {
    let store: Store = Arc::new(ours());
    for key in ["$serde_json::private::RawValue", "$serde_json::private::Number"] {
        let mut stream = EventStream::new(id("entity-1"));
        let happened = event_of("acme", "entity-1", json!({key: "[1]"}));
        match store.append_to_stream(&mut stream, happened).await {
            Ok(_) => assert_same(&loaded(&store, "entity-1").await, &stream),
            Err(AllSourceError::InvalidEvent(text)) => says(&text, &["would not be read as it is"]),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_stream_that_the_future_made_is_not_older_than_its_events() {
    let store: Store = Arc::new(ours());
    let far = DateTime::from_timestamp(32_503_680_000, 0).unwrap();
    let key = PartitionKey::from_entity_id("entity-1");
    let mut stream = EventStream::reconstruct(id("entity-1"), key, 0, 0, vec![], None, far, far).unwrap();
    store.append_to_stream(&mut stream, event("entity-1", 1)).await.unwrap();
    let stream = loaded(&store, "entity-1").await;
    assert_eq!((stream.created_at(), stream.updated_at()), (far, far));
}

#[tokio::test]
async fn two_writers_with_one_expectation_one_event() {
    let store = ours();
    let mut first = store.get_or_create_stream(&id("entity-1")).await.unwrap();
    let mut second = first.clone();
    first.expect_version(0);
    second.expect_version(0);
    store.append_to_stream(&mut first, event("entity-1", 1)).await.unwrap();
    concurrency(store.append_to_stream(&mut second, event("entity-1", 2)).await);
    assert_same(&store.load_stream(&id("entity-1")).await.unwrap().unwrap(), &first);
}

#[tokio::test]
async fn the_logs_own_namespace_is_not_to_be_had() {
    let store = StreamRepository::in_namespace(EventLog::in_memory().unwrap(), "annals");
    says(&input(store.get_or_create_stream(&id("entity-1")).await), &["\"annals/\"", "reserved"]);
    assert_eq!(store.log().stream_count(), 0);
}

#[tokio::test]
async fn a_closed_log_is_read_and_not_written() {
    let store = ours();
    let mut stream = unsaved("entity-1", 1);
    store.save_stream(&stream).await.unwrap();
    store.log().close().unwrap();
    says(
        &storage(store.append_to_stream(&mut stream, event("entity-1", 2)).await),
        &["\"entity-1\"", "closed"],
    );
    says(&storage(store.get_or_create_stream(&id("entity-2")).await), &["\"entity-2\"", "closed"]);
    assert_eq!(stream.current_version(), 1);
    assert_same(&store.get_or_create_stream(&id("entity-1")).await.unwrap(), &stream);
    store.save_stream(&stream).await.unwrap();
    assert_eq!(store.get_streams_by_partition(stream.partition_key()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_log_that_is_open_to_be_read_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = unsaved("entity-1", 1);
    let store = StreamRepository::open(dir.path()).unwrap();
    store.save_stream(&stream).await.unwrap();
    store.log().close().unwrap();
    let store = StreamRepository::new(EventLog::open_read_only(dir.path()).unwrap());
    let error = store.append_to_stream(&mut stream, event("entity-1", 2)).await.unwrap_err();
    assert!(matches!(error, AllSourceError::ReadOnly(_)), "{error:?}");
    assert_same(&store.load_stream(&id("entity-1")).await.unwrap().unwrap(), &stream);
}
