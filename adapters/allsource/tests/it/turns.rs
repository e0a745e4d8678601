//! No call blocks its executor's thread: writing waits for the disk without it, reading gives way.

use crate::given::{event, event_of, id, tenant, unsaved};
use allsource_core::domain::entities::EventStream;
use annals::{EventLog, Options};
use annals_allsource::StreamRepository;
use proving::{Gated, gives_way};
use serde_json::json;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

fn store(gated: &Gated) -> StreamRepository {
    StreamRepository::new(Options::new().open_storage(Arc::new(gated.clone())).unwrap())
}

#[test]
fn making_a_stream_waits_without_the_thread() {
    let gated = Gated::default();
    let store = store(&gated);
    let stream = gives_way(&gated, store.get_or_create_stream(&id("entity-1"))).unwrap();
    assert_eq!(stream.current_version(), 0);
}

#[test]
fn appending_waits_without_the_thread() {
    let gated = Gated::default();
    let store = store(&gated);
    let mut stream = EventStream::new(id("entity-1"));
    for n in 1..=2 {
        let append = store.append_to_stream(&mut stream, event("entity-1", n));
        assert_eq!(gives_way(&gated, append).unwrap(), n);
    }
}

#[test]
fn saving_waits_without_the_thread() {
    let gated = Gated::default();
    let store = store(&gated);
    gives_way(&gated, store.save_stream(&EventStream::new(id("entity-0")))).unwrap();
    let mut stream = unsaved("entity-1", 200);
    gives_way(&gated, store.save_stream(&stream)).unwrap();
    stream.append_event(event("entity-1", 201)).unwrap();
    gives_way(&gated, store.save_stream(&stream)).unwrap();
}

/// More than fits into the batch that waits: who is not in it waits without the thread, too.
#[test]
fn a_full_batch_waits_without_the_thread() {
    let gated = Gated::default();
    let log = Options::new().batch_bytes(4 << 10).open_storage(Arc::new(gated.clone())).unwrap();
    let store = StreamRepository::new(log);
    let save = async {
        let large = |entity: &str| {
            let mut stream = EventStream::new(id(entity));
            stream.append_event(event_of("acme", entity, json!("x".repeat(3000)))).unwrap();
            stream
        };
        let streams = ["a", "b", "c", "d"].map(large);
        let [a, b, c, d] = streams.each_ref().map(|stream| store.save_stream(stream));
        let (a, b, c, d) = tokio::join!(a, b, c, d);
        [a, b, c, d].into_iter().for_each(|saved| saved.unwrap());
    };
    gives_way(&gated, save);
}

/// How many turns a call gives to others; it waits for nothing but those.
fn turns<T>(call: impl Future<Output = T>) -> (usize, T) {
    let mut call = pin!(call);
    for turns in 0.. {
        if let Poll::Ready(value) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return (turns, value);
        }
    }
    unreachable!("it ends")
}

#[tokio::test]
async fn reading_gives_way() {
    let store = StreamRepository::new(EventLog::in_memory().unwrap());
    let many = unsaved("many", 3000);
    store.save_stream(&many).await.unwrap();
    let mut large = EventStream::new(id("large"));
    for _ in 0..20 {
        large.append_event(event_of("acme", "large", json!("x".repeat(100_000)))).unwrap();
    }
    store.save_stream(&large).await.unwrap();
    for i in 0..1000 {
        let stream = unsaved(&format!("entity-{i}"), 1);
        store.save_stream(&stream).await.unwrap();
    }

    let (given, stream) = turns(store.load_stream(&id("many")));
    assert_eq!(stream.unwrap().unwrap().event_count(), 3000);
    assert!(given >= 10, "{given} turns for 3000 events");
    let (given, stream) = turns(store.load_stream(&id("large")));
    assert_eq!(stream.unwrap().unwrap().event_count(), 20);
    assert!(given >= 5, "{given} turns for 2 MB");
    assert!(turns(store.verify_gapless(&id("many"))).0 >= 10);
    assert!(turns(store.save_stream(&many)).0 >= 10, "it is compared");
    assert!(turns(store.count_streams()).0 >= 3);
    assert!(turns(store.partition_stats()).0 >= 3);
    assert!(turns(store.get_streams_by_tenant(&tenant("acme"))).0 >= 3);
    let one = *many.partition_key();
    assert!(turns(store.get_streams_by_partition(&one)).0 >= 1);
}
