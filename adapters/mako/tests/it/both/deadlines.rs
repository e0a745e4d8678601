//! Deadlines: registered, found when they are due and by their stream, cancelled.

use super::make::{ago, changed, deadline, json_of, second, stream};
use super::mako::deadline::{Deadline, DeadlineStore, InMemoryDeadlineStore};
use super::mako::error::EngineError;
use super::mako::ids::{DeadlineId, StreamId};
use crate::shelf::{fresh, in_memory, kept, names};
use time::{Date, Time, UtcOffset};

agree!(InMemoryDeadlineStore::new();
    what_is_registered_can_be_cancelled,
    only_what_is_due_is_due,
    the_soonest_comes_first,
    more_is_told,
    a_stream_has_its_own,
    registering_again_replaces,
    an_arc_and_a_clone_are_the_same_store,
);

fn labels(deadlines: &[Deadline]) -> Vec<&str> {
    deadlines.iter().map(Deadline::label).collect()
}

async fn what_is_registered_can_be_cancelled<S: DeadlineStore>(store: &S) {
    let due = deadline(&stream("s"), "l", second(0));
    store.register(&due).await.unwrap();
    assert_eq!((store.len().await.unwrap(), DeadlineStore::is_empty(store).await.unwrap()), (1, false));
    store.cancel(DeadlineId::new()).await.unwrap();
    assert_eq!(store.len().await.unwrap(), 1, "another one");
    store.cancel(due.deadline_id()).await.unwrap();
    store.cancel(due.deadline_id()).await.unwrap();
    assert!(DeadlineStore::is_empty(store).await.unwrap());
    assert!(store.due_now(9).await.unwrap().deadlines.is_empty());
    assert!(store.for_stream(&stream("s")).await.unwrap().is_empty());
}

async fn only_what_is_due_is_due<S: DeadlineStore>(store: &S) {
    let (past, future) =
        (deadline(&stream("s"), "past", ago(1)), deadline(&stream("s"), "future", ago(-3_600)));
    store.register(&past).await.unwrap();
    store.register(&future).await.unwrap();
    let due = store.due_now(100).await.unwrap();
    assert_eq!((json_of(&due.deadlines), due.has_more), (json_of(&[past]), false));
    assert_eq!(store.overdue_count().await.unwrap(), 1);
}

async fn the_soonest_comes_first<S: DeadlineStore>(store: &S) {
    for (label, seconds) in [("c", 1), ("a", 60), ("d", -60), ("b", 10), ("0", 3_000_000_000)] {
        store.register(&deadline(&stream("s"), label, ago(seconds))).await.unwrap();
    }
    assert_eq!(labels(&store.due_now(10).await.unwrap().deadlines), ["0", "a", "b", "c"]);
    assert_eq!(labels(&store.due_now(2).await.unwrap().deadlines), ["0", "a"]);
}

async fn more_is_told<S: DeadlineStore>(store: &S) {
    for _ in 0..5 {
        store.register(&deadline(&stream("s"), "l", ago(1))).await.unwrap();
    }
    store.register(&deadline(&stream("s"), "l", ago(-60))).await.unwrap();
    for (limit, found, more) in
        [(0, 0, true), (3, 3, true), (4, 4, true), (5, 5, false), (usize::MAX, 5, false)]
    {
        let due = store.due_now(limit).await.unwrap();
        assert_eq!((due.deadlines.len(), due.has_more), (found, more), "limit {limit}");
    }
    // As the documentation drains them.
    loop {
        let due = store.due_now(2).await.unwrap();
        for deadline in due.deadlines {
            store.cancel(deadline.deadline_id()).await.unwrap();
        }
        if !due.has_more {
            break;
        }
    }
    assert_eq!((store.len().await.unwrap(), store.overdue_count().await.unwrap()), (1, 0));
}

async fn a_stream_has_its_own<S: DeadlineStore>(store: &S) {
    let ids = ["a", "a/b", "a/b/c", "a%2Fb", "A"].map(stream);
    for id in &ids {
        store.register(&deadline(id, id.as_str(), second(0))).await.unwrap();
    }
    for id in &ids {
        assert_eq!(labels(&store.for_stream(id).await.unwrap()), [id.as_str()]);
    }
    assert!(store.for_stream(&stream("b")).await.unwrap().is_empty());
}

async fn registering_again_replaces<S: DeadlineStore>(store: &S) {
    let (one, two) = (stream("one"), stream("two"));
    let first = deadline(&one, "l", ago(-60));
    store.register(&first).await.unwrap();
    let moved = changed(&first, &one, ago(5));
    store.register(&moved).await.unwrap();
    store.register(&moved).await.unwrap();
    assert_eq!(store.len().await.unwrap(), 1);
    assert_eq!(json_of(&store.due_now(9).await.unwrap().deadlines), json_of(&[moved]));
    let elsewhere = changed(&first, &two, ago(-60));
    store.register(&elsewhere).await.unwrap();
    assert!(store.due_now(9).await.unwrap().deadlines.is_empty());
    assert!(store.for_stream(&one).await.unwrap().is_empty());
    assert_eq!(json_of(&store.for_stream(&two).await.unwrap()), json_of(&[elsewhere]));
}

async fn an_arc_and_a_clone_are_the_same_store<S: DeadlineStore + Clone>(store: &S) {
    let shared = std::sync::Arc::new(store.clone());
    shared.register(&deadline(&stream("s"), "l", ago(1))).await.unwrap();
    assert_eq!((shared.len().await.unwrap(), store.len().await.unwrap()), (1, 1));
    assert_eq!(shared.overdue_count().await.unwrap(), 1);
}

/// The documentation says so; the store in memory has no order.
#[tokio::test]
async fn a_streams_deadlines_are_in_the_order_of_their_registration() {
    let store = fresh();
    let id = stream("s");
    let all: Vec<_> = (0..30).map(|n| deadline(&id, &n.to_string(), second(-n))).collect();
    for deadline in &all {
        store.register(deadline).await.unwrap();
    }
    assert_eq!(json_of(&store.for_stream(&id).await.unwrap()), json_of(&all));
    // Registered again, one keeps its place; cancelled and registered again, it comes last.
    store.register(&changed(&all[0], &id, second(5))).await.unwrap();
    assert_eq!(labels(&store.for_stream(&id).await.unwrap())[..2], ["0", "1"]);
    store.cancel(all[1].deadline_id()).await.unwrap();
    store.register(&all[1]).await.unwrap();
    assert_eq!(labels(&store.for_stream(&id).await.unwrap())[28..], ["29", "1"]);
}

/// The one that the trait provides stops at 10,000.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overdue_ones_are_counted_all() {
    let store = in_memory();
    let mut at_once = tokio::task::JoinSet::new();
    for n in 0..10_100 {
        let store = store.clone();
        at_once.spawn(async move { store.register(&deadline(&stream("s"), "l", ago(n))).await.unwrap() });
    }
    at_once.join_all().await;
    assert_eq!(DeadlineStore::overdue_count(&store).await.unwrap(), 10_100);
    let due = store.due_now(10_000).await.unwrap();
    assert_eq!((due.deadlines.len(), due.has_more), (10_000, true));
}

#[tokio::test]
async fn how_a_deadline_stands_in_the_log() {
    let store = fresh();
    let due = deadline(&stream("process/1"), "antwort", second(60));
    store.register(&due).await.unwrap();
    let id = due.deadline_id();
    let wanted = [
        format!("mako/deadline/due/2026-01-01T00:01:00.000000000Z/{id}"),
        format!("mako/deadline/id/{id}"),
        format!("mako/deadline/stream/process%2F1/{id}"),
    ];
    assert_eq!(names(&store, ""), wanted);
    assert_eq!(kept(&store, &wanted[1]).unwrap(), serde_json::to_string(&due).unwrap());
    store.cancel(id).await.unwrap();
    assert!(names(&store, "").is_empty());
}

#[tokio::test]
async fn what_cannot_be_written_is_refused_and_nothing_changes() {
    let store = fresh();
    let odd = second(5).to_offset(UtcOffset::from_hms(0, 0, 1).unwrap());
    let early = Date::MIN.with_time(Time::MIDNIGHT).assume_utc();
    let big = "x".repeat(1 << 20);
    let long: StreamId = stream(&"a/".repeat(1_000));
    let id = stream("s");
    for refused in [
        deadline(&id, "l", odd),
        deadline(&id, "l", early),
        deadline(&id, &big, second(0)),
        deadline(&long, "l", odd),
    ] {
        let error = store.register(&refused).await.unwrap_err();
        assert!(matches!(error, EngineError::Deadline { transient: false, .. }), "{error}");
    }
    assert!(names(&store, "").is_empty());
}
