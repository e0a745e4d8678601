//! The rules of `ProjectorCoordinator`.

use crate::kit::{Backend, Kit, on_both};
use annals_eventcore::{EventCoreStore, StoreError};
use eventcore_types::ProjectorCoordinator;
use futures_util::FutureExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

on_both!(
    the_first_one_leads,
    the_second_one_is_told_at_once,
    each_projector_has_a_leader_of_its_own,
    the_leadership_ends_when_it_is_dropped,
    a_leadership_can_go_to_another_thread,
);

async fn the_first_one_leads(store: &impl Backend) {
    let _leading = store.try_acquire("balances").await.unwrap();
}

async fn the_second_one_is_told_at_once(store: &impl Backend) {
    let _leading = store.try_acquire("balances").await.unwrap();
    for _ in 0..3 {
        assert!(store.try_acquire("balances").now_or_never().unwrap().is_err());
    }
}

async fn each_projector_has_a_leader_of_its_own(store: &impl Backend) {
    let mut leading = Vec::new();
    for name in ["a", "a/", "a/b", "ab", "A", "", "\0"] {
        leading.push(store.try_acquire(name).await.unwrap());
    }
}

async fn the_leadership_ends_when_it_is_dropped(store: &impl Backend) {
    for _ in 0..3 {
        let leading = store.try_acquire("balances").await.unwrap();
        drop(leading);
    }
}

async fn a_leadership_can_go_to_another_thread(store: &impl Backend) {
    let leading = store.try_acquire("balances").await.unwrap();
    std::thread::spawn(move || drop(leading)).join().unwrap();
    store.try_acquire("balances").await.map(|_| ()).unwrap();
}

/// Two stores that were made of one log one by one are two instances.
#[tokio::test]
async fn handles_on_one_log_contend() {
    let Kit { store, dir: _dir } = Kit::new();
    let other = EventCoreStore::new(store.log().clone()).unwrap();
    let leading = store.try_acquire("balances").await.unwrap();
    let refused = other.try_acquire("balances").await.map(|_| ());
    assert_eq!(refused, Err(StoreError::Led("balances".to_owned())));
    assert_eq!(refused.unwrap_err().to_string(), r#""balances" is led by another instance"#);
    drop(leading);
    let _leading = other.try_acquire("balances").await.unwrap();
    assert!(store.try_acquire("balances").await.is_err());
}

#[tokio::test]
async fn namespaces_do_not_contend() {
    let Kit { store, dir: _dir } = Kit::new();
    let other = EventCoreStore::in_namespace(store.log().clone(), "other").unwrap();
    let _leading = store.try_acquire("balances").await.unwrap();
    let _too = other.try_acquire("balances").await.unwrap();
}

/// Somebody who leads does not hold the log open, and a log that is closed can still be let go of.
#[tokio::test]
async fn a_leader_does_not_keep_the_log() {
    let Kit { store, dir } = Kit::new();
    let leading = store.try_acquire("balances").await.unwrap();
    drop(store);
    let store = EventCoreStore::open(dir.path()).unwrap();
    let _again = store.try_acquire("balances").await.unwrap();
    drop(leading);
    assert!(store.try_acquire("balances").await.is_err(), "the old claim is another log's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_there_is_one_leader_at_a_time() {
    let Kit { store, dir: _dir } = Kit::new();
    let (leading, led) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let tasks = (0..8).map(|_| {
        let store = EventCoreStore::new(store.log().clone()).unwrap();
        let (leading, led) = (leading.clone(), led.clone());
        tokio::spawn(async move {
            for _ in 0..200 {
                if let Ok(_guard) = store.try_acquire("balances").await {
                    assert_eq!(leading.fetch_add(1, Ordering::SeqCst), 0);
                    led.fetch_add(1, Ordering::SeqCst);
                    std::thread::yield_now();
                    leading.fetch_sub(1, Ordering::SeqCst);
                }
                tokio::task::yield_now().await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert!(led.load(Ordering::SeqCst) > 0);
}
