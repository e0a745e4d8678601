//! What stands in the log: names and bytes, readable without this crate, and given back exactly.

use crate::given::{Store, assert_same, event, event_of, events, id, loaded, ours, tenant, unsaved};
use allsource_core::domain::entities::{Event, EventStream};
use allsource_core::domain::value_objects::PartitionKey;
use annals::{Durability, EventLog, ExpectedVersion, NewEvent, Options};
use annals_allsource::StreamRepository;
use chrono::DateTime;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

const BIRTH: &str = r#"{"partition":7,"partitions":32,"created_at":"2026-02-03T04:05:06.000000789Z"}"#;
const PAYLOAD: &str = r#"{"total":42.5}"#;
const BESIDE: &str = r#"{"id":"00000000-0000-4000-8000-000000000001","tenant":"acme","timestamp":"2026-02-03T04:05:07.008Z","version":1,"metadata":{"user":"anna"}}"#;

/// What the bytes above mean.
fn sample() -> (EventStream, Event) {
    let time = |nanos: i64| DateTime::from_timestamp_nanos(1_770_091_506_000_000_000 + nanos);
    let key = PartitionKey::from_partition_id(7, 32).unwrap();
    let stream =
        EventStream::reconstruct(id("order-1"), key, 0, 0, vec![], None, time(789), time(789)).unwrap();
    let event = Event::reconstruct_from_strings(
        "00000000-0000-4000-8000-000000000001".parse().unwrap(),
        "order.placed".into(),
        "order-1".into(),
        "acme".into(),
        json!({"total": 42.5}),
        time(1_008_000_000),
        Some(json!({"user": "anna"})),
        1,
    );
    (stream, event)
}

#[tokio::test]
async fn the_bytes_are_those_of_the_readme() {
    let store = ours();
    let (mut stream, event) = sample();
    store.save_stream(&stream).await.unwrap();
    store.append_to_stream(&mut stream, event).await.unwrap();

    let log = store.log();
    let info = log.stream_info("allsource/stream/order-1").unwrap();
    assert_eq!(std::str::from_utf8(&info.attributes), Ok(BIRTH));
    assert_eq!((info.version, info.tenant.as_deref()), (1, Some("allsource/acme")));
    let stored = log.event_at(1).unwrap().unwrap();
    assert_eq!((stored.stream(), stored.version()), ("allsource/stream/order-1", 1));
    assert_eq!(stored.event_type(), "order.placed");
    assert_eq!(std::str::from_utf8(stored.payload()), Ok(PAYLOAD));
    assert_eq!(std::str::from_utf8(stored.metadata()), Ok(BESIDE));
    let kept = log.list_kept("", None, 9).unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((&*kept[0].name, &*kept[0].value), ("allsource/partition/7/order-1", &b""[..]));
    assert_eq!(log.list_tenants(None, 9), ["allsource/acme"]);
    assert_eq!((log.stream_count(), log.last_position()), (1, 1));
    let readme = include_str!("../../README.md");
    for line in [BIRTH, PAYLOAD, BESIDE] {
        assert!(readme.contains(line), "the README does not show {line}");
    }
}

/// Whoever wrote them, and whenever.
fn by_another_hand(log: &EventLog) {
    let stream = "allsource/stream/order-1";
    let event = NewEvent::new("order.placed", PAYLOAD).with_metadata(BESIDE);
    log.batch()
        .create(stream, ExpectedVersion::NotRegistered, BIRTH.as_bytes())
        .keep("allsource/partition/7/order-1", "")
        .in_tenant("allsource/acme")
        .append(stream, ExpectedVersion::NotRegistered, &[event])
        .commit()
        .unwrap();
}

#[tokio::test]
async fn the_bytes_of_the_readme_are_read() {
    let store = ours();
    by_another_hand(store.log());
    let (mut expected, event) = sample();
    expected.append_event(event).unwrap();
    let stream = store.load_stream(&id("order-1")).await.unwrap().unwrap();
    assert_same(&stream, &expected);
    assert!(store.verify_gapless(&id("order-1")).await.unwrap());
    assert_eq!(store.count_streams_by_tenant(&tenant("acme")).await.unwrap(), 1);
}

/// The hash that assigns partitions may be another one with the next Rust.
#[tokio::test]
async fn a_stream_stays_in_the_partition_in_which_it_was_made() {
    let store = ours();
    by_another_hand(store.log());
    let today = PartitionKey::from_entity_id("order-1");
    let stored = PartitionKey::from_partition_id(7, 32).unwrap();
    assert_ne!(today, stored, "the test wants an entity that would be assigned elsewhere");

    let mut stream = store.get_or_create_stream(&id("order-1")).await.unwrap();
    assert_eq!(*stream.partition_key(), stored);
    store.append_to_stream(&mut stream, event("order-1", 2)).await.unwrap();
    // A handle that was made today, and brought up to date by hand.
    let mut anew = EventStream::new(id("order-1"));
    for event in events(&stream) {
        anew.append_event(event).unwrap();
    }
    assert_eq!(*anew.partition_key(), today);
    store.append_to_stream(&mut anew, event("order-1", 3)).await.unwrap();
    anew.append_event(event("order-1", 4)).unwrap();
    store.save_stream(&anew).await.unwrap();

    let found = store.get_streams_by_partition(&stored).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((*found[0].partition_key(), found[0].current_version()), (stored, 4));
    assert!(store.get_streams_by_partition(&today).await.unwrap().is_empty());
    assert_eq!(store.partition_stats().await.unwrap(), [(7, 1)]);
    assert_eq!(store.log().count_kept("allsource/partition/"), 1);
}

#[tokio::test]
async fn a_stream_was_updated_when_the_log_was() {
    let store = ours();
    let mut stream = store.get_or_create_stream(&id("order-1")).await.unwrap();
    store.append_to_stream(&mut stream, event("order-1", 1)).await.unwrap();
    let info = store.log().stream_info("allsource/stream/order-1").unwrap();
    let loaded = store.load_stream(&id("order-1")).await.unwrap().unwrap();
    assert_eq!(loaded.updated_at(), DateTime::from_timestamp_nanos(info.last_append_nanos as i64));
    assert_eq!(loaded.created_at(), stream.created_at());
    assert!(stream.updated_at() >= loaded.updated_at(), "the handle moves when the event is durable");
}

/// Who opens a log that waits for less must still find what was appended.
#[tokio::test]
async fn what_returns_is_durable_and_visible_whatever_the_log_waits_for() {
    for _ in 0..20 {
        let log = Options::new().durability(Durability::Sequenced).open_in_memory().unwrap();
        let store = StreamRepository::new(log);
        let mut stream = store.get_or_create_stream(&id("order-1")).await.unwrap();
        assert_eq!(store.count_streams().await.unwrap(), 1);
        store.append_to_stream(&mut stream, event("order-1", 1)).await.unwrap();
        assert_eq!(store.get_watermark(&id("order-1")).await.unwrap(), 1);
        stream.append_event(event("order-1", 2)).unwrap();
        store.save_stream(&stream).await.unwrap();
        assert_eq!(store.get_watermark(&id("order-1")).await.unwrap(), 2);
    }
}

#[tokio::test]
async fn a_saved_handle_is_one_append() {
    let store = ours();
    store.save_stream(&unsaved("order-1", 100)).await.unwrap();
    let times: Vec<_> =
        store.log().read_all(0).into_iter().map(|event| event.unwrap().time_nanos()).collect();
    assert_eq!(times.len(), 100);
    assert!(times.iter().all(|time| *time == times[0]), "the events of one append have one time");
}

/// The same number may be written in several ways; order and spelling of a payload are those of its value.
#[tokio::test]
async fn numbers_come_back_to_the_last_digit() {
    let store: Store = Arc::new(ours());
    let numbers = json!([
        0.1 + 0.2,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        -0.0,
        1e16,
        u64::MAX,
        i64::MIN,
        123_456_789.123_456_79_f64,
        2.638_344_616_030_823e-256_f64
    ]);
    let mut stream = EventStream::new(id("order-1"));
    store.append_to_stream(&mut stream, event_of("acme", "order-1", numbers.clone())).await.unwrap();
    let back = loaded(&store, "order-1").await.events_from(1)[0].payload().clone();
    assert_eq!(back, numbers);
    assert_eq!(back.to_string(), numbers.to_string(), "also the sign of zero");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC*|[\u{0}-\u{1f}\"\\\\/]*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("\\PC{0,6}", inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_event_comes_back_as_it_was(
        payloads in prop::collection::vec((any_json(), prop::option::of(any_json())), 1..8),
        version in any::<i64>(),
        seconds in -60_000_000_000i64..200_000_000_000,
        nanos in 0u32..1_000_000_000,
    ) {
        let mut stream = EventStream::new(id("order-1"));
        for (payload, metadata) in payloads {
            let mut event = event_of("acme", "order-1", payload);
            (event.metadata, event.version) = (metadata, version);
            event.timestamp = DateTime::from_timestamp(seconds, nanos).unwrap();
            stream.append_event(event).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = ours();
            store.save_stream(&stream).await.unwrap();
            assert_same(&store.load_stream(&id("order-1")).await.unwrap().unwrap(), &stream);
            store.save_stream(&stream).await.unwrap();
            assert_eq!(store.get_watermark(&id("order-1")).await.unwrap(), stream.current_version());
        });
    }
}
