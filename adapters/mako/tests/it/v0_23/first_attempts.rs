//! When a message was first sent: noted once, before it is sent.

use super::make::{json_of, message, second};
use super::mako::ids::OutboxMessageId;
use super::mako::outbox::{InMemoryOutboxStore, OutboxStore};
use crate::shelf::{fresh, in_memory};

agree!(InMemoryOutboxStore::new();
    the_first_one_is_noted,
    rescheduling_leaves_it,
    a_message_that_is_gone_has_none,
);

async fn the_first_one_is_noted<S: OutboxStore>(store: &S) {
    let sent = message(second(0), None);
    store.enqueue(std::slice::from_ref(&sent)).await.unwrap();
    for at in [second(5), second(1), second(9)] {
        assert_eq!(store.record_first_attempt(sent.message_id, at).await.unwrap(), Some(second(5)));
    }
    let mut wanted = sent.clone();
    wanted.first_attempt_at = Some(second(5));
    assert_eq!(json_of(&store.pending(9, second(9)).await.unwrap()), json_of(&[wanted]), "and nothing else");
}

async fn rescheduling_leaves_it<S: OutboxStore>(store: &S) {
    let sent = message(second(0), Some(second(0)));
    store.enqueue(std::slice::from_ref(&sent)).await.unwrap();
    store.record_first_attempt(sent.message_id, second(5)).await.unwrap();
    store.reschedule(sent.message_id, second(7)).await.unwrap();
    let pending = store.pending(9, second(7)).await.unwrap();
    assert_eq!((pending[0].first_attempt_at, pending[0].attempt_count), (Some(second(5)), 1));
    assert_eq!(store.record_first_attempt(sent.message_id, second(8)).await.unwrap(), Some(second(5)));
}

async fn a_message_that_is_gone_has_none<S: OutboxStore>(store: &S) {
    assert_eq!(store.record_first_attempt(OutboxMessageId::new(), second(0)).await.unwrap(), None);
    let sent = message(second(0), None);
    store.enqueue(std::slice::from_ref(&sent)).await.unwrap();
    store.acknowledge(sent.message_id).await.unwrap();
    assert_eq!(store.record_first_attempt(sent.message_id, second(0)).await.unwrap(), None);
}

#[tokio::test]
async fn it_is_there_after_a_restart() {
    let store = fresh();
    let sent = message(second(0), None);
    store.enqueue(std::slice::from_ref(&sent)).await.unwrap();
    store.record_first_attempt(sent.message_id, second(5)).await.unwrap();
    let store = store.reopen();
    assert_eq!(store.record_first_attempt(sent.message_id, second(6)).await.unwrap(), Some(second(5)));
}

/// Workers that start at once agree on one time, and no reschedule in between is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_who_ask_at_once_are_told_the_same() {
    let store = in_memory();
    for _ in 0..40 {
        let sent = message(second(0), None);
        store.enqueue(std::slice::from_ref(&sent)).await.unwrap();
        let mut at_once = tokio::task::JoinSet::new();
        for n in 0..8 {
            let (store, id) = (store.clone(), sent.message_id);
            at_once.spawn(async move {
                store.reschedule(id, second(n)).await.unwrap();
                store.record_first_attempt(id, second(100 + n)).await.unwrap().unwrap()
            });
        }
        let told = at_once.join_all().await;
        assert!(told.iter().all(|time| *time == told[0]), "{told:?}");
        let pending = store.pending(9, second(9)).await.unwrap();
        assert_eq!((pending[0].first_attempt_at, pending[0].attempt_count), (Some(told[0]), 8));
        store.acknowledge(sent.message_id).await.unwrap();
    }
}
