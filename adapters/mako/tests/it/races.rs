//! Many at once: what is acknowledged stays away, and nothing is lost.

use crate::shelf::{fresh, in_memory, names};
use crate::v0_23::make::{changed, deadline, events, identity, json_of, message, second, stream};
use annals_mako::MakoStore;
use mako_engine::deadline::DeadlineStore;
use mako_engine::event_store::{AppendBatch, AtomicAppend, EventStore, ExpectedVersion};
use mako_engine::ids::{OutboxMessageId, TenantId};
use mako_engine::outbox::{OutboxStore, PendingOutbox};
use mako_engine::registry::ProcessRegistry;
use serde_json::json;
use std::collections::HashSet;
use time::OffsetDateTime;
use tokio::task::JoinSet;

/// Whoever comes first: in the end the message is gone, with all that stood beside it.
async fn acknowledge_against_all(store: &MakoStore, rounds: usize) {
    for round in 0..rounds {
        let sent = message(second(0), (round % 2 == 0).then(|| second(1)));
        store.enqueue(std::slice::from_ref(&sent)).await.unwrap();
        let id = sent.message_id;
        let mut at_once = JoinSet::new();
        for n in 0..3 {
            let [one, two, three] = [store.clone(), store.clone(), store.clone()];
            at_once.spawn(async move { one.reschedule(id, second(n)).await.unwrap() });
            at_once.spawn(async move { two.record_first_attempt(id, second(n)).await.map(drop).unwrap() });
            if n < 2 {
                at_once.spawn(async move { three.acknowledge(id).await.unwrap() });
            }
        }
        at_once.join_all().await;
        assert_eq!(names(store, "mako/outbox/"), [""; 0], "round {round}");
    }
    assert!(store.pending(9, second(9)).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_acknowledged_is_never_resurrected() {
    acknowledge_against_all(&in_memory(), 300).await;
    acknowledge_against_all(&fresh(), 20).await;
}

/// Several workers take what is pending; each message is acknowledged, some are deferred first, none is seen after it is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_that_share_an_outbox_empty_it() {
    let store = in_memory();
    let sent: Vec<_> = (0..400).map(|n| message(second(n), None)).collect();
    store.enqueue(&sent).await.unwrap();
    let work = |store: MakoStore| async move {
        let mut done = HashSet::new();
        loop {
            let pending = store.pending(20, second(1_000)).await.unwrap();
            let ids: HashSet<OutboxMessageId> = pending.iter().map(|message| message.message_id).collect();
            assert_eq!(ids.len(), pending.len(), "none is there twice");
            assert!(ids.is_disjoint(&done), "what this worker acknowledged has come again");
            if pending.is_empty() && store.is_empty_outbox().await {
                return;
            }
            for message in pending {
                if message.attempt_count == 0 && message.created_at.second() % 3 == 0 {
                    store.reschedule(message.message_id, second(500)).await.unwrap();
                } else {
                    store.acknowledge(message.message_id).await.unwrap();
                    done.insert(message.message_id);
                }
            }
        }
    };
    let workers: JoinSet<_> = (0..4).map(|_| work(store.clone())).collect();
    workers.join_all().await;
    assert!(names(&store, "").is_empty());
}

/// `is_empty` is a name of three traits.
trait Emptiness {
    async fn is_empty_outbox(&self) -> bool;
}

impl Emptiness for MakoStore {
    async fn is_empty_outbox(&self) -> bool {
        OutboxStore::is_empty(self).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deadline_that_is_registered_and_cancelled_at_once_leaves_nothing_half() {
    let store = in_memory();
    for _ in 0..100 {
        let ids = [stream("a"), stream("b")];
        let first = deadline(&ids[0], "l", second(0));
        let mut at_once = JoinSet::new();
        for n in 0..4usize {
            let (one, two) = (store.clone(), store.clone());
            let (next, id) = (changed(&first, &ids[n % 2], second(n as i64)), first.deadline_id());
            at_once.spawn(async move { DeadlineStore::register(&one, &next).await.unwrap() });
            at_once.spawn(async move { two.cancel(id).await.unwrap() });
        }
        at_once.join_all().await;
        let left = DeadlineStore::len(&store).await.unwrap();
        assert_eq!(names(&store, "mako/deadline/").len(), 3 * left, "all of it or nothing");
        let found = [store.for_stream(&ids[0]).await.unwrap(), store.for_stream(&ids[1]).await.unwrap()];
        assert_eq!(found[0].len() + found[1].len(), left);
        assert_eq!(store.due_now(9).await.unwrap().deadlines.len(), left);
        store.cancel(first.deadline_id()).await.unwrap();
        assert!(names(&store, "").is_empty());
    }
}

/// Exactly one of many with one expectation wins, with its message; the others are told what is there, and win with that.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_that_expect_the_same_wins_each_time() {
    let store = fresh();
    let id = stream("race");
    let mut at_once = JoinSet::new();
    for writer in 0..8 {
        let (store, id) = ((*store).clone(), id.clone());
        at_once.spawn(async move {
            let (mut expected, events) = (0, events(1));
            let outbox = [PendingOutbox::new("APERAK", "1", json!({ "writer": writer }))];
            loop {
                let batch = AppendBatch::new(&id, ExpectedVersion::Exact(expected), &events).outbox(&outbox);
                match store.append(batch).await {
                    Ok(written) => return written.last_sequence,
                    Err(mako_engine::error::EngineError::VersionConflict { expected: told, actual }) => {
                        assert_eq!(told, expected);
                        assert!(actual > expected, "what is told is there");
                        assert!(EventStore::load(&store, &id).await.unwrap().len() as u64 >= actual);
                        expected = actual;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    let mut versions = at_once.join_all().await;
    versions.sort_unstable();
    assert_eq!(versions, (1..=8).collect::<Vec<_>>());
    let pending = store.pending(99, OffsetDateTime::now_utc()).await.unwrap();
    let mut writers: Vec<_> =
        pending.iter().map(|message| message.payload["writer"].as_u64().unwrap()).collect();
    writers.sort_unstable();
    assert_eq!(writers, (0..8).collect::<Vec<_>>(), "one message of each");
    let causes: HashSet<_> = pending.iter().map(|message| message.causation_event_id).collect();
    let loaded = EventStore::load(&*store, &id).await.unwrap();
    assert_eq!(causes, loaded.iter().map(|event| event.event_id).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn routes_that_change_at_once_are_one_of_them() {
    let (store, tenant) = (in_memory(), TenantId::new());
    let key = mako_engine::registry::RegistryKey::from_static("k");
    for _ in 0..50 {
        let all: Vec<_> = (0..6).map(|_| identity()).collect();
        let mut at_once = JoinSet::new();
        for (n, process) in all.iter().enumerate() {
            let (store, key, process) = (store.clone(), key.clone(), process.clone());
            at_once.spawn(async move {
                if n == 0 {
                    ProcessRegistry::remove(&store, tenant, &key).await.unwrap();
                }
                ProcessRegistry::register(&store, tenant, &key, process).await.unwrap();
            });
        }
        at_once.join_all().await;
        let found = store.lookup(tenant, &key).await.unwrap().unwrap();
        assert!(all.contains(&found));
        assert_eq!(ProcessRegistry::len(&store).await.unwrap(), 1);
    }
}

/// Messages are enqueued again under their ids while they are rescheduled: one is left of each, in one place.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_message_is_in_one_place_whatever_is_done_to_it() {
    let store = in_memory();
    let sent = message(second(0), None);
    let mut at_once = JoinSet::new();
    for n in 0..200 {
        let (store, mut sent) = (store.clone(), sent.clone());
        at_once.spawn(async move {
            match n % 3 {
                0 => store.reschedule(sent.message_id, second(n)).await.unwrap(),
                1 => store.enqueue(&[sent]).await.unwrap(),
                _ => {
                    sent.deliver_after = Some(second(n));
                    store.enqueue(&[sent]).await.unwrap();
                }
            }
            assert!(store.pending(9, second(999)).await.unwrap().len() <= 1);
        });
    }
    at_once.join_all().await;
    assert_eq!(names(&store, "").len(), 2);
    let pending = store.pending(9, second(999)).await.unwrap();
    let (mut left, mut wanted) = (json_of(&pending[0]), json_of(&sent));
    for changes in ["deliver_after", "attempt_count"] {
        (left[changes], wanted[changes]) = (json!(0), json!(0));
    }
    assert_eq!(left, wanted);
}
