//! The rules of `ProjectionSource`, one by one.

use crate::kit::{Kit, Noted, expecting, note, noted, position, shouted, writes};
use annals::{EventLog, ExpectedVersion, NewEvent};
use annals_eventcore::{EventCoreStore, StoreError};
use eventcore_types::{
    BatchSize, CheckpointStore, DeliveryPosition, DeliveryUpperBound, EventStore, EventTypeName,
    PersistedEventEnvelope, ProjectionSelection, ProjectionSelectionId, ProjectionSource,
    ProjectionStreamFilter, StreamPattern, StreamPrefix, StreamVersion,
};
use futures_util::FutureExt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use DeliveryUpperBound::{Inclusive, Unbounded};

fn at(number: u64) -> DeliveryPosition {
    DeliveryPosition::new(NonZeroU64::new(number).unwrap())
}

fn selection(filter: ProjectionStreamFilter, types: &[&str]) -> ProjectionSelection {
    let types = types.iter().map(|name| EventTypeName::try_new(*name).unwrap()).collect();
    ProjectionSelection::try_new(ProjectionSelectionId::try_new("test").unwrap(), filter, types).unwrap()
}

fn notes() -> ProjectionSelection {
    selection(ProjectionStreamFilter::All, &["Noted"])
}

fn prefix(prefix: &str) -> ProjectionStreamFilter {
    ProjectionStreamFilter::Prefix(StreamPrefix::try_new(prefix).unwrap())
}

fn pattern(pattern: &str) -> ProjectionStreamFilter {
    ProjectionStreamFilter::Pattern(StreamPattern::try_new(pattern).unwrap())
}

async fn envelopes(
    store: &EventCoreStore,
    selection: &ProjectionSelection,
    after: u64,
    through: DeliveryUpperBound,
    limit: usize,
) -> Result<Vec<PersistedEventEnvelope>, StoreError> {
    let after = NonZeroU64::new(after).map(DeliveryPosition::new);
    store.read_envelopes(selection, after, through, BatchSize::new(limit)).await
}

/// The positions of a page.
async fn page(
    store: &EventCoreStore,
    selection: &ProjectionSelection,
    after: u64,
    through: DeliveryUpperBound,
    limit: usize,
) -> Vec<u64> {
    let page = envelopes(store, selection, after, through, limit).await.unwrap();
    page.iter().map(|envelope| envelope.position().get()).collect()
}

async fn watermark(store: &EventCoreStore) -> Option<u64> {
    store.high_watermark().await.unwrap().map(DeliveryPosition::get)
}

/// Events of the log's other users.
fn others(log: &EventLog, events: usize) {
    log.append("other/stream", ExpectedVersion::Any, &vec![NewEvent::new("Noted", "{}"); events]).unwrap();
}

#[tokio::test]
async fn the_source_is_the_same_whenever_it_is_opened() {
    let kit = Kit::new();
    let source_id = kit.store.source_id().clone();
    assert_eq!(source_id.as_ref(), format!("annals/eventcore/{}", kit.store.log().id()));
    assert_eq!(EventCoreStore::new(kit.store.log().clone()).unwrap().source_id(), &source_id);
    assert_eq!(kit.reopened().store.source_id(), &source_id);
}

#[tokio::test]
async fn another_log_or_another_namespace_is_another_source() {
    let (one, other) = (Kit::new(), Kit::new());
    assert_ne!(one.store.source_id(), other.store.source_id());
    let mut ids = Vec::new();
    // Blanks at the end of an identity are cut off; these are not at the end.
    for namespace in ["eventcore", "eventcore ", " eventcore", "a/b", "a%2Fb", "a"] {
        let store = EventCoreStore::in_namespace(one.store.log().clone(), namespace).unwrap();
        ids.push(store.source_id().clone());
    }
    assert_eq!(&ids[0], one.store.source_id());
    for (i, id) in ids.iter().enumerate() {
        assert!(!ids[..i].contains(id), "{id} twice");
    }
}

#[tokio::test]
async fn an_empty_source_has_no_watermark_whatever_else_the_log_holds() {
    let Kit { store, dir: _dir } = Kit::new();
    assert_eq!(watermark(&store).await, None);
    others(store.log(), 3);
    store.append_events(expecting(&[("a", 0)])).await.map(|_| ()).unwrap();
    store.save("checkpoint", position(9)).await.unwrap();
    assert_eq!(watermark(&store).await, None);
}

#[tokio::test]
async fn the_watermark_is_the_position_of_the_last_event_of_the_source() {
    let Kit { store, dir: _dir } = Kit::new();
    others(store.log(), 3);
    note(&store, "a", 0, &["1", "2"]).await;
    assert_eq!(watermark(&store).await, Some(5));
    others(store.log(), 4);
    assert_eq!(watermark(&store).await, Some(5));
    store.append_events(writes(&[("b", 0)], [shouted("b", "of any type")])).await.map(|_| ()).unwrap();
    assert_eq!(watermark(&store).await, Some(10));
    let elsewhere = EventCoreStore::in_namespace(store.log().clone(), "elsewhere").unwrap();
    note(&elsewhere, "a", 0, &["1"]).await;
    assert_eq!((watermark(&store).await, watermark(&elsewhere).await), (Some(10), Some(11)));
}

#[tokio::test]
async fn the_watermark_is_the_same_for_every_handle_and_after_reopening() {
    let kit = Kit::new();
    let other = EventCoreStore::new(kit.store.log().clone()).unwrap();
    for version in 0..4 {
        note(&kit.store, "a", version, &["x"]).await;
        others(kit.store.log(), 2);
        let expected = Some(version as u64 * 3 + 1);
        assert_eq!((watermark(&kit.store).await, watermark(&other).await), (expected, expected));
    }
    drop(other);
    assert_eq!(watermark(&kit.reopened().store).await, Some(10));
}

/// How often a call gives way until it is done.
fn ways<T>(call: impl Future<Output = T>) -> (T, u32) {
    let mut call = Box::pin(call);
    let mut ways = 0;
    loop {
        match (&mut call).now_or_never() {
            Some(value) => return (value, ways),
            None => ways += 1,
        }
    }
}

/// What others wrote is passed over once, in pieces, and never again: not by a clone either.
#[test]
fn the_watermark_passes_over_the_log_once() {
    let Kit { store, dir: _dir } = Kit::new();
    // More of its own runs than are worth merging, and then many runs of others.
    let mut batch = store.log().batch();
    let event = [NewEvent::new("Noted", "{}")];
    for i in 0..6_000 {
        batch =
            batch.append(["eventcore/stream/a", "eventcore/stream/b"][i % 2], ExpectedVersion::Any, &event);
    }
    for i in 0..30_000 {
        batch = batch.append(["other/a", "other/b"][i % 2], ExpectedVersion::Any, &event);
    }
    batch.commit().unwrap();
    let (found, first) = ways(store.high_watermark());
    assert_eq!(found, Ok(Some(at(6_000))));
    assert!((3..=6).contains(&first), "{first} times: in pieces of 8192");
    others(store.log(), 10);
    for store in [&store, &store.clone()] {
        assert_eq!(ways(store.high_watermark()), (Ok(Some(at(6_000))), 0));
    }
}

/// Below a watermark nothing is added, however many write: what is there when it is told is what is there at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_delivered_late() {
    let Kit { store, dir: _dir } = Kit::new();
    let done = Arc::new(AtomicBool::new(false));
    let writers = (0..4).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for version in 0..60 {
                note(&store, &format!("w{writer}"), version, &["x"]).await;
                let pending = store.log().submit("other", ExpectedVersion::Any, &[NewEvent::new("T", "")]);
                pending.unwrap().await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let watchers = (0..3).map(|_| {
        let (store, done) = (store.clone(), done.clone());
        tokio::spawn(async move {
            let mut seen = Vec::new();
            while !done.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
                let Some(mark) = watermark(&store).await else { continue };
                let there = page(&store, &notes(), 0, Inclusive(at(mark)), usize::MAX).await;
                assert_eq!(there.last(), Some(&mark), "it is committed and can be read");
                seen.push((mark, there.len()));
            }
            assert!(seen.is_sorted(), "it never goes back");
            seen
        })
    });
    let watchers: Vec<_> = watchers.collect();
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let all = page(&store, &notes(), 0, Unbounded, usize::MAX).await;
    assert_eq!((all.len(), watermark(&store).await), (240, all.last().copied()));
    for watcher in watchers {
        for (mark, there) in watcher.await.unwrap() {
            assert_eq!(all.iter().filter(|position| **position <= mark).count(), there, "up to {mark}");
        }
    }
}

#[tokio::test]
async fn an_envelope_has_everything_as_it_is_stored() {
    let kit = Kit::new();
    note(&kit.store, "first", 0, &["x"]).await;
    // JSON that no serializer writes in this way again.
    let payload = r#"{ "amount" : 1.50, "amount":1e0, "\u0041" :[ ] }"#;
    let event = NewEvent::new("Noted", payload).with_metadata(r#"{"by":  "anna"}"#);
    let log = kit.store.log();
    log.append("eventcore/stream/by hand", ExpectedVersion::Any, &[NewEvent::new("T", "1"), event]).unwrap();
    note(&kit.store, "by hand", 2, &["3"]).await;
    let id = log.event_at(3).unwrap().unwrap().id();
    let page = envelopes(&kit.store, &notes(), 1, Unbounded, 9).await.unwrap();
    let [by_hand, written] = &page[..] else { panic!("{page:?}") };
    assert_eq!(by_hand.source_id(), kit.store.source_id());
    assert_eq!((by_hand.position(), by_hand.event_id().get()), (at(3), id));
    assert_eq!((by_hand.stream_id().as_ref(), by_hand.stream_version()), ("by hand", StreamVersion::new(2)));
    assert_eq!(by_hand.event_type().as_ref(), "Noted");
    assert_eq!((by_hand.payload().get(), by_hand.metadata().get()), (payload, r#"{"by":  "anna"}"#));
    assert_eq!(written.payload().get(), r#"{"stream":"by hand","text":"3"}"#);
    assert_eq!((written.metadata().get(), written.stream_version()), ("{}", StreamVersion::new(3)));
    assert_ne!(by_hand.event_id(), written.event_id());
    let again = envelopes(&kit.reopened().store, &notes(), 1, Unbounded, 9).await.unwrap();
    assert_eq!((again[0].event_id(), again[1].event_id()), (by_hand.event_id(), written.event_id()));
}

#[tokio::test]
async fn after_is_exclusive_and_through_is_inclusive() {
    let Kit { store, dir: _dir } = Kit::new();
    note(&store, "a", 0, &["1", "2", "3", "4", "5"]).await;
    let all = notes();
    assert_eq!(page(&store, &all, 0, Unbounded, 9).await, [1, 2, 3, 4, 5]);
    assert_eq!(page(&store, &all, 2, Unbounded, 9).await, [3, 4, 5]);
    assert_eq!(page(&store, &all, 0, Inclusive(at(3)), 9).await, [1, 2, 3]);
    assert_eq!(page(&store, &all, 2, Inclusive(at(3)), 9).await, [3]);
    assert!(page(&store, &all, 3, Inclusive(at(3)), 9).await.is_empty());
    assert!(page(&store, &all, 4, Inclusive(at(2)), 9).await.is_empty());
    for beyond in [5, 6, u64::MAX] {
        assert!(page(&store, &all, beyond, Unbounded, 9).await.is_empty());
        assert!(page(&store, &all, beyond, Inclusive(at(beyond)), 9).await.is_empty());
        assert_eq!(page(&store, &all, 3, Inclusive(at(beyond)), 9).await, [4, 5]);
    }
}

#[tokio::test]
async fn a_page_has_no_more_than_its_limit() {
    let Kit { store, dir: _dir } = Kit::new();
    note(&store, "a", 0, &["x"; 5]).await;
    for (limit, expected) in [(0, 0), (1, 1), (4, 4), (5, 5), (6, 5), (usize::MAX, 5)] {
        assert_eq!(page(&store, &notes(), 0, Unbounded, limit).await.len(), expected);
    }
}

/// An empty page means that there is nothing more, so pages must not be used up by what is not selected.
#[tokio::test]
async fn events_are_selected_before_they_are_counted() {
    let Kit { store, dir: _dir } = Kit::new();
    note(&store, "noise", 0, &["x"; 10]).await;
    for (version, stream) in ["order-1", "order-2", "order-3"].into_iter().enumerate() {
        note(&store, stream, 0, &["x"]).await;
        let loud = writes(&[("noise", 10 + version)], [shouted("noise", "X")]);
        store.append_events(loud).await.map(|_| ()).unwrap();
    }
    for filter in [prefix("order-"), pattern("order-?"), pattern("*-[12]")] {
        assert_eq!(page(&store, &selection(filter, &["Noted"]), 0, Unbounded, 2).await, [11, 13]);
    }
    let loud = selection(ProjectionStreamFilter::All, &["Shouted"]);
    assert_eq!(page(&store, &loud, 0, Unbounded, 1).await, [12]);
    assert_eq!(page(&store, &loud, 12, Unbounded, 9).await, [14, 16]);
    let both = selection(ProjectionStreamFilter::All, &["Shouted", "Noted"]);
    assert_eq!(page(&store, &both, 10, Inclusive(at(14)), 9).await, [11, 12, 13, 14]);
    let none = selection(prefix("order-"), &["Shouted", "Nobody's"]);
    assert!(page(&store, &none, 0, Unbounded, 9).await.is_empty());
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap() {
    let Kit { store, dir: _dir } = Kit::new();
    for i in 0..20 {
        note(&store, ["a", "b", "c"][i % 3], i / 3, &["x"]).await;
        others(store.log(), 1);
    }
    let (mut after, mut read) = (0, Vec::new());
    loop {
        let page = page(&store, &notes(), after, Unbounded, 3).await;
        let Some(last) = page.last() else { break };
        after = *last;
        read.extend(page);
        assert!(read.len() <= 20);
    }
    assert_eq!(read, (0..20).map(|i| i * 2 + 1).collect::<Vec<_>>());
}

#[tokio::test]
async fn other_namespaces_and_plain_streams_are_not_delivered() {
    let Kit { store, dir: _dir } = Kit::new();
    let elsewhere = EventCoreStore::in_namespace(store.log().clone(), "eventcore/stream").unwrap();
    note(&elsewhere, "a", 0, &["x"]).await;
    for plain in ["a", "eventcore/stream", "eventcore/streams/a", "other/eventcore/stream/a"] {
        store.log().append(plain, ExpectedVersion::Any, &[NewEvent::new("Noted", "{}")]).unwrap();
    }
    assert_eq!((page(&store, &notes(), 0, Unbounded, 9).await, watermark(&store).await), (vec![], None));
    assert_eq!(page(&elsewhere, &notes(), 0, Unbounded, 9).await, [1]);
}

/// Each kind of thing that cannot be put into an envelope, written by another hand: an error that says where and what, for the
/// page that it is on, and for no other.
#[tokio::test]
async fn what_cannot_be_delivered_is_told() {
    let long = "x".repeat(256);
    let cases: [(&str, NewEvent<'_>, &str, &str); 9] = [
        ("a", NewEvent::new("Noted", "no JSON").with_metadata("{}"), "payload", "expected ident"),
        ("a", NewEvent::new("Noted", "").with_metadata("{}"), "payload", "EOF while parsing"),
        ("a", NewEvent::new("Noted", b"\"\xFF\"").with_metadata("{}"), "payload", "unicode"),
        ("a", NewEvent::new("Noted", "{} {}").with_metadata("{}"), "payload", "trailing characters"),
        ("a", NewEvent::new("Noted", "{}"), "metadata", "EOF while parsing"),
        ("a", NewEvent::new("Noted", "{}").with_metadata("{"), "metadata", "EOF while parsing"),
        ("a*", NewEvent::new("Noted", "{}").with_metadata("{}"), "stream id", "StreamId"),
        (" a", NewEvent::new("Noted", "{}").with_metadata("{}"), "stream id", "blanks"),
        (&long, NewEvent::new("Noted", "{}").with_metadata("{}"), "stream id", "StreamId"),
    ];
    for (stream, event, field, why) in cases {
        let Kit { store, dir: _dir } = Kit::new();
        note(&store, "good", 0, &["1"]).await;
        store.log().append(&format!("eventcore/stream/{stream}"), ExpectedVersion::Any, &[event]).unwrap();
        note(&store, "good", 1, &["3"]).await;
        let told = envelopes(&store, &notes(), 0, Unbounded, 9).await.map(|_| ());
        let Err(StoreError::MalformedEvent { position, stream: found, field: what, detail }) = told else {
            panic!("{field}: {told:?}")
        };
        assert_eq!((position, found.as_str(), what), (2, stream, field));
        assert!(detail.contains(why), "{detail}");
        // What is before it and behind it can be had.
        assert_eq!(page(&store, &notes(), 0, Inclusive(at(1)), 9).await, [1]);
        assert_eq!(page(&store, &notes(), 0, Unbounded, 1).await, [1]);
        assert_eq!(page(&store, &notes(), 2, Unbounded, 9).await, [3]);
        assert_eq!(page(&store, &selection(prefix("good"), &["Noted"]), 0, Unbounded, 9).await, [1, 3]);
        assert_eq!(watermark(&store).await, Some(3));
    }
}

/// What is not of the application's shape is the application's to see: an envelope is not decoded.
#[tokio::test]
async fn any_json_is_delivered() {
    let Kit { store, dir: _dir } = Kit::new();
    for (version, json) in ["null", "0", r#""text""#, "[]", "{}"].into_iter().enumerate() {
        let event = NewEvent::new("Noted", json).with_metadata("[]");
        store.log().append("eventcore/stream/a", ExpectedVersion::Exact(version as u64), &[event]).unwrap();
    }
    let page = envelopes(&store, &notes(), 0, Unbounded, 9).await.unwrap();
    let payloads: Vec<&str> = page.iter().map(|envelope| envelope.payload().get()).collect();
    assert_eq!(payloads, ["null", "0", r#""text""#, "[]", "{}"]);
}

/// A runner borrows its source.
#[tokio::test]
async fn a_borrowed_source_is_the_source() {
    async fn last<S: ProjectionSource>(source: S) -> (String, u64, usize) {
        let mark = source.high_watermark().await.unwrap().unwrap();
        let page = source.read_envelopes(&notes(), None, Inclusive(mark), BatchSize::new(9)).await.unwrap();
        (source.source_id().to_string(), mark.get(), page.len())
    }
    let Kit { store, dir: _dir } = Kit::new();
    let many: Vec<Noted> = (0..3).map(|i| noted("a", &i.to_string())).collect();
    store.append_events(writes(&[("a", 0)], many)).await.map(|_| ()).unwrap();
    assert_eq!(last(&store).await, (store.source_id().to_string(), 3, 3));
}
