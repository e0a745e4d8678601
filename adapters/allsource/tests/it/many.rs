//! More streams than are looked at in a row: each is met once, also when others are made meanwhile.

use crate::given::{event_of, id, ours, tenant};
use allsource_core::domain::entities::EventStream;
use allsource_core::domain::value_objects::PartitionKey;
use annals_allsource::StreamRepository;
use serde_json::json;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

const MANY: usize = 1600;

fn entity(i: usize) -> String {
    format!("entity-{i:04}")
}

/// So many streams, all in partition 3; the ones with even numbers are acme's, the others have no events.
async fn filled() -> StreamRepository {
    let store = ours();
    for i in 0..MANY {
        let key = PartitionKey::from_partition_id(3, 32).unwrap();
        let now = chrono::Utc::now();
        let mut stream = EventStream::reconstruct(id(&entity(i)), key, 0, 0, vec![], None, now, now).unwrap();
        if i % 2 == 0 {
            stream.append_event(event_of("acme", &entity(i), json!(i))).unwrap();
        }
        store.save_stream(&stream).await.unwrap();
    }
    store
}

fn ids(streams: &[EventStream]) -> Vec<&str> {
    streams.iter().map(|stream| stream.stream_id().as_str()).collect()
}

#[tokio::test]
async fn all_are_found_and_in_order() {
    let store = filled().await;
    assert_eq!(store.count_streams().await.unwrap(), MANY);
    assert_eq!(store.partition_stats().await.unwrap(), [(3, MANY)]);
    let key = PartitionKey::from_partition_id(3, 32).unwrap();
    let streams = store.get_streams_by_partition(&key).await.unwrap();
    assert_eq!(ids(&streams), (0..MANY).map(entity).collect::<Vec<_>>());
    let streams = store.get_streams_by_tenant(&tenant("acme")).await.unwrap();
    assert_eq!(ids(&streams), (0..MANY).step_by(2).map(entity).collect::<Vec<_>>());
    assert_eq!(store.count_streams_by_tenant(&tenant("acme")).await.unwrap(), MANY / 2);
}

/// The log lists a tenant's streams from the newest to the oldest, by offset: what is bound meanwhile moves them on.
#[tokio::test]
async fn a_tenants_streams_are_met_once_when_others_are_bound_meanwhile() {
    let store = filled().await;
    let mut listed = pin!(async { store.get_streams_by_tenant(&tenant("acme")).await.unwrap() });
    let mut bound = 0;
    let streams = loop {
        match listed.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(streams) => break streams,
            Poll::Pending => {
                // Newer ones, and empty ones from both ends that get their first events.
                for entity in [entity(MANY + bound), entity(bound * 2 + 1), entity(MANY - 1 - bound * 2)] {
                    let mut stream = store.get_or_create_stream(&id(&entity)).await.unwrap();
                    store.append_to_stream(&mut stream, event_of("acme", &entity, json!(0))).await.unwrap();
                }
                bound += 1;
            }
        }
    };
    assert!(bound > 1, "the listing gave way {bound} times");
    let found = ids(&streams);
    let mut once = found.clone();
    once.dedup();
    assert_eq!(found, once, "in order, and each once");
    for i in (0..MANY).step_by(2) {
        assert!(found.contains(&&*entity(i)), "{i} was there all the time");
    }
}
