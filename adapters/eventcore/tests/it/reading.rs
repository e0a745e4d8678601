//! The rules of `read_stream` and `read_stream_after`.

use crate::kit::{Backend, Kit, Noted, Shouted, id, note, noted, on_both, read, texts, writes};
use annals::{ExpectedVersion, NewEvent};
use eventcore_types::{Event, EventStore, EventStoreError, StreamId, StreamVersion, collect_events};
use futures_util::{FutureExt, StreamExt};
use serde::{Deserialize, Serialize};

on_both!(
    a_stream_that_nobody_knows_is_empty,
    a_stream_gives_its_own_events_only,
    reading_after_a_version_leaves_out_so_many,
    reading_after_the_end_gives_nothing,
    another_type_is_an_error_and_not_passed_over,
    a_type_is_another_one_even_if_its_shape_is_the_same,
    behind_an_error_the_stream_goes_on,
    what_comes_later_is_not_in_the_stream,
    a_stream_outlives_its_reading,
    long_streams_come_whole,
);

async fn after<E: Event>(
    store: &impl Backend,
    stream: &str,
    version: usize,
) -> Result<Vec<E>, EventStoreError> {
    collect_events(store.read_stream_after::<E>(id(stream), StreamVersion::new(version)).await?).await
}

async fn a_stream_that_nobody_knows_is_empty(store: &impl Backend) {
    assert_eq!(read::<Noted>(store, "nobody").await, Ok(vec![]));
    assert_eq!(after::<Noted>(store, "nobody", 3).await, Ok(vec![]));
}

async fn a_stream_gives_its_own_events_only(store: &impl Backend) {
    for stream in ["a", "a/b", "a/", "ab", "A"] {
        note(store, stream, 0, &[stream]).await;
    }
    for stream in ["a", "a/b", "a/", "ab", "A"] {
        assert_eq!(texts(store, stream).await, [stream]);
    }
}

async fn reading_after_a_version_leaves_out_so_many(store: &impl Backend) {
    note(store, "a", 0, &["1", "2", "3", "4"]).await;
    for version in 0..4 {
        let events = after::<Noted>(store, "a", version).await.unwrap();
        let expected: Vec<Noted> = (version + 1..=4).map(|i| noted("a", &i.to_string())).collect();
        assert_eq!(events, expected);
    }
}

async fn reading_after_the_end_gives_nothing(store: &impl Backend) {
    note(store, "a", 0, &["1", "2"]).await;
    for version in [2, 3, usize::MAX] {
        assert_eq!(after::<Noted>(store, "a", version).await, Ok(vec![]));
    }
}

async fn another_type_is_an_error_and_not_passed_over(store: &impl Backend) {
    let mixed =
        writes(&[("a", 0)], [noted("a", "quiet")]).append(Shouted { stream: id("a"), text: "LOUD".into() });
    store.append_events(mixed.unwrap()).await.map(|_| ()).unwrap();
    for failed in [read::<Noted>(store, "a").await.map(|_| ()), read::<Shouted>(store, "a").await.map(|_| ())]
    {
        assert!(
            matches!(failed, Err(EventStoreError::DeserializationFailed { stream_id, .. }) if stream_id == id("a"))
        );
    }
}

async fn a_type_is_another_one_even_if_its_shape_is_the_same(store: &impl Backend) {
    note(store, "a", 0, &["x"]).await;
    assert!(matches!(read::<Shouted>(store, "a").await, Err(EventStoreError::DeserializationFailed { .. })));
}

async fn behind_an_error_the_stream_goes_on(store: &impl Backend) {
    let loud = Shouted { stream: id("a"), text: "LOUD".into() };
    let mixed = writes(&[("a", 0)], [noted("a", "1")]).append(loud).and_then(|w| w.append(noted("a", "3")));
    store.append_events(mixed.unwrap()).await.map(|_| ()).unwrap();
    let stream = store.read_stream::<Noted>(id("a")).await.unwrap();
    let items: Vec<Option<String>> = stream.map(|item| item.ok().map(|noted| noted.text)).collect().await;
    assert_eq!(items, [Some("1".to_owned()), None, Some("3".to_owned())]);
}

async fn what_comes_later_is_not_in_the_stream(store: &impl Backend) {
    note(store, "a", 0, &["1", "2"]).await;
    let mut stream = store.read_stream::<Noted>(id("a")).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().text, "1");
    note(store, "a", 2, &["3"]).await;
    assert_eq!(stream.next().await.unwrap().unwrap().text, "2");
    assert!(stream.next().await.is_none(), "the version that a command counts is that of one moment");
}

async fn a_stream_outlives_its_reading(store: &impl Backend) {
    note(store, "a", 0, &["1"]).await;
    let stream = store.read_stream::<Noted>(id("a")).await.unwrap();
    // Sent elsewhere, without the store.
    let events = tokio::spawn(collect_events(stream)).await.unwrap().unwrap();
    assert_eq!(events, [noted("a", "1")]);
}

async fn long_streams_come_whole(store: &impl Backend) {
    let long: Vec<Noted> = (0..5_000).map(|i| noted("a", &i.to_string())).collect();
    store.append_events(writes(&[("a", 0)], long.clone())).await.map(|_| ()).unwrap();
    assert_eq!(read::<Noted>(store, "a").await.unwrap(), long);
    assert_eq!(after::<Noted>(store, "a", 4_000).await.unwrap(), long[4_000..]);
}

/// An error says which event it is about, and what is wrong with it.
#[tokio::test]
async fn errors_say_which_event_and_why() {
    let Kit { store, dir: _dir } = Kit::new();
    note(&store, "a", 0, &["1"]).await;
    let detail = |error| match error {
        Err(EventStoreError::DeserializationFailed { detail, .. }) => detail,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        detail(read::<Shouted>(&store, "a").await.map(|_| ())),
        r#"event 1 is of type "Noted", not "Shouted""#
    );
    let short = NewEvent::new("Noted", r#"{"stream":"a"}"#).with_metadata("{}");
    store.log().append("eventcore/stream/a", ExpectedVersion::Exact(1), &[short]).unwrap();
    assert_eq!(
        detail(read::<Noted>(&store, "a").await.map(|_| ())),
        "event 2: missing field `text` at line 1 column 14"
    );
}

/// The log seeks: what stands before the version is not looked at, let alone decoded.
#[tokio::test]
async fn reading_after_a_version_seeks() {
    let Kit { store, dir: _dir } = Kit::new();
    let broken = vec![NewEvent::new("Noted", "no JSON"); 20_000];
    store.log().append("eventcore/stream/a", ExpectedVersion::NoStream, &broken).unwrap();
    note(&store, "a", 20_000, &["last"]).await;
    let mut stream = store.read_stream_after::<Noted>(id("a"), StreamVersion::new(20_000)).await.unwrap();
    // The first time that it is polled it has the event.
    assert_eq!(stream.next().now_or_never().unwrap().unwrap().unwrap().text, "last");
}

/// A long stream does not hold its executor's thread: it gives way again and again.
#[tokio::test]
async fn long_streams_give_way() {
    let Kit { store, dir: _dir } = Kit::new();
    let long = vec![NewEvent::new("Noted", r#"{"stream":"a","text":""}"#); 3_000];
    store.log().append("eventcore/stream/a", ExpectedVersion::NoStream, &long).unwrap();
    let mut stream = store.read_stream::<Noted>(id("a")).await.unwrap();
    let (mut events, mut ways) = (0, 0);
    loop {
        match stream.next().now_or_never() {
            None if ways > 1_000 => panic!("it has no end"),
            None => ways += 1,
            Some(Some(event)) => {
                event.unwrap();
                events += 1;
            }
            Some(None) => break,
        }
    }
    assert_eq!(events, 3_000);
    assert!(ways >= 10, "{ways} times");
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Measured {
    stream: StreamId,
    values: Vec<f64>,
    whole: (u64, i64),
}

impl Event for Measured {
    fn stream_id(&self) -> &StreamId {
        &self.stream
    }

    fn event_type_name() -> &'static str {
        "Measured"
    }
}

/// Numbers come back to the last bit; a plain JSON parser misses some of these by one.
#[tokio::test]
async fn numbers_come_back_as_they_were() {
    let kit = Kit::new();
    let mut seed = 1u64;
    let values = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from_bits(seed ^ seed >> 31)
    });
    let values: Vec<f64> = values.filter(|value| value.is_finite()).take(2_000).collect();
    let event = Measured { stream: id("m"), values, whole: (u64::MAX, i64::MIN) };
    kit.store.append_events(writes(&[("m", 0)], [event.clone()])).await.map(|_| ()).unwrap();
    let kit = kit.reopened();
    assert_eq!(read::<Measured>(&kit.store, "m").await.unwrap(), [event]);
}
