//! Real races, between tasks on several threads and several handles.

use crate::kit::{Kit, all, noted, texts, writes};
use annals_eventcore::EventCoreStore;
use eventcore_types::{EventFilter, EventStore, EventStoreError};
use std::sync::{Arc, Barrier};

/// So many threads, each with an executor and a handle of its own, begin at once; what each of them has to say.
fn at_once<T: Send + 'static, F: Future<Output = T>>(
    store: &EventCoreStore,
    threads: usize,
    task: impl Fn(EventCoreStore, usize) -> F + Send + Sync + 'static,
) -> Vec<T> {
    let (barrier, task) = (Arc::new(Barrier::new(threads)), Arc::new(task));
    let threads = (0..threads).map(|number| {
        let (barrier, task) = (barrier.clone(), task.clone());
        let store = EventCoreStore::new(store.log().clone()).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            barrier.wait();
            runtime.block_on(task(store, number))
        })
    });
    let threads: Vec<_> = threads.collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// The same expectation, many times at once: one wins, and the others are told what is there, and can read it at once.
#[tokio::test]
async fn of_those_who_expect_the_same_one_wins() {
    let Kit { store, dir: _dir } = Kit::new();
    for round in 0..40 {
        let won = at_once(&store, 6, move |store, number| async move {
            let event = noted("a", &format!("{round} by {number}"));
            match store.append_events(writes(&[("a", round)], [event])).await {
                Ok(_) => true,
                Err(EventStoreError::VersionConflict { actual, .. }) => {
                    assert_eq!(actual.into_inner(), round + 1);
                    assert_eq!(texts(&store, "a").await.len(), round + 1, "what is told can be read");
                    false
                }
                Err(error) => panic!("{error}"),
            }
        });
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "round {round}: {won:?}");
    }
    assert_eq!(texts(&store, "a").await.len(), 40);
}

/// Appends to the same two streams in either order: each is there whole, on both streams at the same version.
#[tokio::test]
async fn appends_to_two_streams_cross_each_other() {
    let Kit { store, dir: _dir } = Kit::new();
    at_once(&store, 4, |store, number| async move {
        for i in 0..20 {
            let text = format!("{number}.{i}");
            loop {
                let version = store.log().stream_version("eventcore/stream/a") as usize;
                let mut events = [noted("a", &text), noted("b", &text)];
                if number % 2 == 1 {
                    events.reverse();
                }
                match store.append_events(writes(&[("a", version), ("b", version)], events)).await {
                    Ok(_) => break,
                    Err(EventStoreError::VersionConflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    });
    let (a, b) = (texts(&store, "a").await, texts(&store, "b").await);
    assert_eq!((a.len(), &a), (80, &b));
    // Each pair stands together in the one order.
    let order = all(&store, EventFilter::all()).await;
    assert!(order.chunks(2).all(|pair| pair[0] == pair[1]));
}

/// Each of two may go if the other one stays, which it only reads: never do both.
#[tokio::test]
async fn what_is_only_read_is_guarded() {
    let Kit { store, dir: _dir } = Kit::new();
    for round in 0..30 {
        let gone = at_once(&store, 2, move |store, number| async move {
            let [own, other] = [number, 1 - number].map(|number| format!("{round}/{number}"));
            if !texts(&store, &other).await.is_empty() {
                return false;
            }
            store.append_events(writes(&[(&own, 0), (&other, 0)], [noted(&own, "gone")])).await.is_ok()
        });
        assert_eq!(gone.iter().filter(|gone| **gone).count(), 1, "round {round}");
    }
}

/// Readers beside writers see whole appends only: both streams, or neither.
#[tokio::test]
async fn readers_see_all_of_an_append_or_nothing() {
    let Kit { store, dir: _dir } = Kit::new();
    at_once(&store, 4, |store, number| async move {
        for round in 0..60 {
            if number == 0 {
                let events = [noted("a", &round.to_string()), noted("b", &round.to_string())];
                store.append_events(writes(&[("a", round), ("b", round)], events)).await.map(|_| ()).unwrap();
                continue;
            }
            let page = all(&store, EventFilter::all()).await;
            assert!(page.len() % 2 == 0 && page.chunks(2).all(|pair| pair[0] == pair[1]));
            // Read one by one: the second one is at least as far.
            let (a, b) = (texts(&store, "a").await.len(), texts(&store, "b").await.len());
            assert!(a <= b, "{a} and {b}");
        }
    });
}
