//! Several at once: one wins, the others are told, nothing is stored twice, nothing is lost.

use crate::given::{assert_same, concurrency, event, event_of, events, id, ours, says, unsaved, validation};
use allsource_core::domain::entities::EventStream;
use allsource_core::domain::value_objects::PartitionKey;
use allsource_core::error::{AllSourceError, Result};
use annals::Options;
use annals_allsource::StreamRepository;
use proving::Gated;
use serde_json::json;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Barrier;

const RUNNERS: usize = 8;

/// What becomes of the same thing, begun by several at once.
async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    begin: impl Fn(usize) -> F,
) -> Vec<T> {
    let barrier = Arc::new(Barrier::new(RUNNERS));
    let runners: Vec<_> = (0..RUNNERS)
        .map(|i| {
            let (barrier, run) = (barrier.clone(), begin(i));
            tokio::spawn(async move {
                barrier.wait().await;
                run.await
            })
        })
        .collect();
    let mut results = Vec::new();
    for runner in runners {
        results.push(runner.await.unwrap());
    }
    results
}

/// The one that has won; all others are conflicts.
fn winner<T: std::fmt::Debug>(results: Vec<Result<T>>) -> T {
    let mut won = Vec::new();
    for result in results {
        match result {
            Ok(value) => won.push(value),
            lost => drop(concurrency(lost)),
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    won.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_handles_with_one_state_one_appends() {
    let store = ours();
    let mut stream = store.get_or_create_stream(&id("entity-1")).await.unwrap();
    for round in 0..40 {
        let expects = round % 2 == 0;
        let results = at_once(|i| {
            let (store, mut stream) = (store.clone(), stream.clone());
            async move {
                if expects {
                    stream.expect_version(round);
                }
                store.append_to_stream(&mut stream, event("entity-1", i as u64)).await?;
                stream.clear_expected_version();
                Ok(stream)
            }
        })
        .await;
        stream = winner(results);
        assert_eq!(stream.current_version(), round + 1);
        assert_same(&store.load_stream(&id("entity-1")).await.unwrap().unwrap(), &stream);
    }
    assert_eq!(store.log().last_position(), 40, "one event a round");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_loads_again_and_again_gets_through_and_no_event_is_lost() {
    let store = ours();
    at_once(|i| {
        let store = store.clone();
        async move {
            for n in 0..20 {
                loop {
                    let mut stream = store.get_or_create_stream(&id("entity-1")).await.unwrap();
                    let event = event("entity-1", i as u64 * 100 + n);
                    match store.append_to_stream(&mut stream, event).await {
                        Ok(version) => break assert_eq!(version, stream.current_version()),
                        lost => drop(concurrency(lost)),
                    }
                }
            }
        }
    })
    .await;
    let stream = store.load_stream(&id("entity-1")).await.unwrap().unwrap();
    let mut numbers: Vec<u64> =
        events(&stream).iter().map(|event| event.payload()["n"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!((numbers.len(), stream.current_version()), (RUNNERS * 20, RUNNERS as u64 * 20));
    assert!(store.verify_gapless(&id("entity-1")).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stream_is_made_once() {
    let store = ours();
    for round in 0..20 {
        let entity = format!("entity-{round}");
        let made = at_once(|_| {
            let (store, entity) = (store.clone(), id(&entity));
            async move { store.get_or_create_stream(&entity).await.unwrap() }
        })
        .await;
        made.iter().for_each(|stream| assert_same(stream, &made[0]));
        assert_eq!(store.count_streams().await.unwrap(), round + 1);
        assert_eq!(store.log().count_kept("allsource/partition/"), round as u64 + 1);
    }
}

/// The first event decides, also on the partition.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_first_events_one_is_the_first() {
    let store = ours();
    for round in 0..20 {
        let entity = format!("entity-{round}");
        let stream = winner(
            at_once(|i| {
                let (store, key) = (store.clone(), PartitionKey::from_partition_id(i as u32, 32).unwrap());
                let now = chrono::Utc::now();
                let mut stream =
                    EventStream::reconstruct(id(&entity), key, 0, 0, vec![], None, now, now).unwrap();
                async move {
                    let event = event(stream.stream_id().as_str(), i as u64);
                    store.append_to_stream(&mut stream, event).await.map(|_| stream)
                }
            })
            .await,
        );
        assert_same(&store.load_stream(&id(&entity)).await.unwrap().unwrap(), &stream);
        let found = store.get_streams_by_partition(stream.partition_key()).await.unwrap();
        assert!(found.iter().any(|found| found.stream_id() == stream.stream_id()));
        assert_eq!(store.log().count_kept("allsource/partition/"), round as u64 + 1, "in one partition only");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_handles_with_other_events_one_is_saved() {
    let store = ours();
    for round in 0..20 {
        let entity = format!("entity-{round}");
        let stream = winner(
            at_once(|_| {
                let (store, stream) = (store.clone(), unsaved(&entity, 3));
                async move { store.save_stream(&stream).await.map(|()| stream) }
            })
            .await,
        );
        assert_same(&store.load_stream(&id(&entity)).await.unwrap().unwrap(), &stream);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handle_that_is_saved_several_times_at_once_is_stored_once() {
    let store = ours();
    for round in 0..20 {
        let stream = unsaved(&format!("entity-{round}"), 3);
        let saved = at_once(|_| {
            let (store, stream) = (store.clone(), stream.clone());
            async move { store.save_stream(&stream).await }
        })
        .await;
        saved.into_iter().for_each(|saved| saved.unwrap());
        assert_same(&store.load_stream(stream.stream_id()).await.unwrap().unwrap(), &stream);
    }
    assert_eq!(store.log().last_position(), 60);
}

/// A store whose disk is held back: what is under way is not visible yet.
fn held_back() -> (StreamRepository, Gated) {
    let gated = Gated::default();
    let store = StreamRepository::new(Options::new().open_storage(Arc::new(gated.clone())).unwrap());
    gated.close();
    // Who blocks the thread that would open it is to fail, not to hang.
    let late = gated.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(60));
        late.open_up();
    });
    (store, gated)
}

/// Both are begun, and wait for the disk, before either is done.
async fn both_under_way<A, B>(
    gated: &Gated,
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> (A, B) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    // Until they wait for the disk, they give way and go on.
    for _ in 0..20 {
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(first.as_mut().poll(&mut context), Poll::Pending), "it did not wait for the disk");
        assert!(matches!(second.as_mut().poll(&mut context), Poll::Pending), "it did not wait for the disk");
    }
    gated.open_up();
    let first = first.await;
    (first, second.await)
}

#[tokio::test]
async fn a_stream_that_is_being_made_is_not_made_again() {
    let (store, gated) = held_back();
    let entity = id("entity-1");
    let (first, second) =
        both_under_way(&gated, store.get_or_create_stream(&entity), store.get_or_create_stream(&entity))
            .await;
    assert_same(&first.unwrap(), &second.unwrap());
}

#[tokio::test]
async fn an_append_goes_to_the_stream_that_is_being_made() {
    let (store, gated) = held_back();
    let (entity, mut handle) = (id("entity-1"), EventStream::new(id("entity-1")));
    let append = store.append_to_stream(&mut handle, event("entity-1", 1));
    let (made, appended) = both_under_way(&gated, store.get_or_create_stream(&entity), append).await;
    assert_eq!(appended.unwrap(), 1);
    let stream = store.load_stream(&entity).await.unwrap().unwrap();
    assert_eq!((stream.created_at(), stream.event_count()), (made.unwrap().created_at(), 1));
}

#[tokio::test]
async fn an_append_is_told_of_the_one_before_it() {
    let (store, gated) = held_back();
    let [mut first, mut second] = [(); 2].map(|()| EventStream::new(id("entity-1")));
    let (one, two) = both_under_way(
        &gated,
        store.append_to_stream(&mut first, event("entity-1", 1)),
        store.append_to_stream(&mut second, event("entity-1", 2)),
    )
    .await;
    assert_eq!(one.unwrap(), 1);
    says(&concurrency(two), &["expected version 0", "version 1 is stored"]);
    assert_eq!((first.current_version(), second.current_version()), (1, 0));
    assert_same(&store.load_stream(&id("entity-1")).await.unwrap().unwrap(), &first);
}

#[tokio::test]
async fn a_stream_that_is_being_made_belongs_to_its_first_events_tenant() {
    let (store, gated) = held_back();
    let [mut first, mut second] = [(); 2].map(|()| EventStream::new(id("entity-1")));
    let (one, two) = both_under_way(
        &gated,
        store.append_to_stream(&mut first, event("entity-1", 1)),
        store.append_to_stream(&mut second, event_of("bank", "entity-1", json!(2))),
    )
    .await;
    one.unwrap();
    says(&validation(two), &["\"entity-1\"", "allsource/bank"]);
}

#[tokio::test]
async fn a_handle_that_is_being_saved_is_compared_with_itself() {
    let (store, gated) = held_back();
    let stream = unsaved("entity-1", 3);
    let mut longer = stream.clone();
    longer.append_event(event("entity-1", 4)).unwrap();
    let (one, two) = both_under_way(&gated, store.save_stream(&stream), store.save_stream(&longer)).await;
    one.unwrap();
    two.unwrap();
    assert_same(&store.load_stream(&id("entity-1")).await.unwrap().unwrap(), &longer);
}

/// What is dropped may be stored, or not; the handle does not know, and does no harm.
#[tokio::test]
async fn an_append_that_is_dropped_is_not_repeated_by_the_next() {
    let (store, gated) = held_back();
    let mut stream = EventStream::new(id("entity-1"));
    {
        let mut append = pin!(store.append_to_stream(&mut stream, event("entity-1", 1)));
        assert!(append.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    gated.open_up();
    assert_eq!(stream.current_version(), 0);
    let next = store.append_to_stream(&mut stream, event("entity-1", 2)).await;
    assert!(matches!(next, Err(AllSourceError::ConcurrencyError(_))), "{next:?}");
    let stored = store.load_stream(&id("entity-1")).await.unwrap().unwrap();
    assert_eq!((stored.event_count(), stored.events_from(1)[0].payload()), (1, &json!({"n": 1})));
}
