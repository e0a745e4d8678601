//! Many at once: numbers without gaps, one order for everybody, nobody who sleeps through an event.

use crate::common::{created, entity_type, fill, memory, next, numbers, place, soon};
use annals::Options;
use annals_this::ThisLog;
use futures_util::StreamExt;
use futures_util::future::join_all;
use proving::Gated;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;
use this::core::events::EventBus;
use this::events::EventLog;
use this::events::SeekPosition::{Beginning, LastAcknowledged, Latest, Sequence};
use tokio::task::JoinSet;

/// Every task's own order, one order for all readers, and the numbers that the appends were told.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_at_once_have_one_order_without_gaps() {
    const TASKS: usize = 8;
    const EACH: usize = 150;
    let dir = tempfile::tempdir().unwrap();
    let log = ThisLog::open(dir.path()).unwrap();
    let mut readers = JoinSet::new();
    for i in 0..3 {
        let events = log.subscribe("reader", if i == 0 { Latest } else { Beginning }).await.unwrap();
        readers.spawn(soon(events.take(TASKS * EACH).collect::<Vec<_>>()));
    }
    let mut writers = JoinSet::new();
    for task in 0..TASKS {
        let log = log.clone();
        writers.spawn(async move {
            let mut told = Vec::new();
            for i in 0..EACH {
                let name = format!("{task}.{i}");
                told.push((log.append(created(&name)).await.unwrap(), name));
            }
            assert!(told.is_sorted(), "one after the other");
            told
        });
    }
    let told: BTreeMap<u64, String> = writers.join_all().await.into_iter().flatten().collect();
    assert!(told.keys().copied().eq(1..=(TASKS * EACH) as u64), "each number once");
    for given in readers.join_all().await {
        let given: Vec<_> = given.iter().map(|event| (event.seq_no.unwrap(), entity_type(event))).collect();
        assert!(given.into_iter().eq(told.iter().map(|(seq_no, name)| (*seq_no, name.as_str()))));
    }
}

/// Readers that are at the end again and again, on other threads than the writer: each has to be woken for each event.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_sleeps_through_an_event() {
    const ROUNDS: u64 = 2000;
    const READERS: u64 = 4;
    let log = memory();
    let seen = Arc::new(AtomicU64::new(0));
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let mut events = log.subscribe("reader", Latest).await.unwrap();
        let seen = seen.clone();
        readers.spawn(async move {
            for round in 1..=ROUNDS {
                assert_eq!(next(&mut events).await.seq_no, Some(round));
                seen.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    for round in 1..=ROUNDS {
        assert_eq!(log.append(created("user")).await.unwrap(), round);
        // Mostly at once; sometimes when all of them sleep again.
        if round % 4 == 0 {
            soon(async {
                while seen.load(Ordering::SeqCst) < round * READERS {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
    }
    readers.join_all().await;
}

/// Subscriptions that begin while events come: what is history for one of them is new for the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn between_history_and_what_comes_nothing_is_missed_or_repeated() {
    let log = memory();
    let enough = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (log, enough) = (log.clone(), enough.clone());
        async move {
            while !enough.load(Ordering::SeqCst) {
                fill(&log, 1).await;
            }
        }
    });
    let mut readers = JoinSet::new();
    for i in 0..200 {
        let at = log.last_seq_no().await.unwrap_or(0);
        let position = match i % 4 {
            0 => Beginning,
            1 => Latest,
            2 => Sequence(at + 20),
            _ => LastAcknowledged,
        };
        log.ack("reader", at).await.unwrap();
        let mut events = log.subscribe("reader", position).await.unwrap();
        readers.spawn(async move {
            let given = numbers(&mut events, 40).await;
            let first = given[0];
            assert!(given.iter().copied().eq(first..first + 40), "{given:?}");
            match i % 4 {
                0 => assert_eq!(first, 1),
                1 => assert!(first > at),
                2 => assert_eq!(first, at + 20),
                _ => assert_eq!(first, at + 1),
            }
        });
        tokio::task::yield_now().await;
    }
    readers.join_all().await;
    enough.store(true, Ordering::SeqCst);
    writer.await.unwrap();
}

/// Whoever acknowledges sees it at once, through every handle, whatever is written meanwhile, and nobody sees a place that was
/// overwritten.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledgements_never_go_backward_by_themselves() {
    const EVENTS: u64 = 1500;
    let dir = tempfile::tempdir().unwrap();
    let log = ThisLog::open(dir.path()).unwrap();
    fill(&log, 100).await;
    let other_handle = ThisLog::new(log.log().clone());
    let watching = tokio::spawn(async move {
        let mut last = 0;
        while last < EVENTS {
            let now = place(&other_handle, "a").unwrap_or(0);
            assert!(now >= last, "{now} behind {last}");
            last = now;
            tokio::task::yield_now().await;
        }
    });
    for n in 101..=EVENTS {
        log.append(created("user")).await.unwrap();
        match n % 50 {
            0 => log.seek("a", Latest).await.unwrap(),
            25 => log.clone().durable_acks(true).ack("a", n).await.unwrap(),
            _ => log.ack("a", n).await.unwrap(),
        }
        assert_eq!(place(&log, "a"), Some(n));
    }
    soon(watching).await.unwrap();
}

/// Two that acknowledge for one consumer: the place is one of theirs, and never something else.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_that_acknowledge_for_one_consumer_the_last_counts() {
    let log = memory();
    fill(&log, 200).await;
    for round in 0..50u64 {
        let mut tasks = JoinSet::new();
        for half in 0..2 {
            let log = log.clone().durable_acks(round % 2 == 0);
            tasks.spawn(async move {
                for n in 1..=4 {
                    log.ack("a", half * 100 + n).await.unwrap();
                }
            });
        }
        tasks.join_all().await;
        assert!([4, 104].contains(&place(&log, "a").unwrap()));
    }
}

/// As the framework appends: a task for each event, no order among them, each once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_burst_of_a_bus_is_in_the_log_completely() {
    const EVENTS: usize = 3000;
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(ThisLog::open(dir.path()).unwrap());
    let events = log.subscribe("a", Latest).await.unwrap();
    let bus = EventBus::new(16).with_event_log(log.clone());
    for i in 0..EVENTS {
        bus.publish(created(&format!("{i}")).event);
    }
    let given = soon(events.take(EVENTS).collect::<Vec<_>>()).await;
    let mut names: Vec<usize> = given.iter().map(|event| entity_type(event).parse().unwrap()).collect();
    names.sort_unstable();
    assert!(names.into_iter().eq(0..EVENTS));
    assert_eq!(log.last_seq_no().await, Some(EVENTS as u64));
}

/// A task that is aborted while it appends has appended or not: the number is not lost, and nobody else's append is.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_that_are_dropped_are_made_or_not_and_leave_no_gap() {
    // Little room, so that appends wait for it, too.
    let options = Options::new().batch_bytes(4 << 10);
    let log = ThisLog::new(options.open_storage(Arc::new(Gated::slow(Duration::from_millis(1)))).unwrap());
    let mut kept = JoinSet::new();
    for i in 0..300 {
        let append = |name: String| {
            let log = log.clone();
            async move { log.append(created(&name)).await.unwrap() }
        };
        kept.spawn(append(format!("kept {i}")));
        let dropped = tokio::spawn(append(format!("dropped {i}")));
        tokio::task::yield_now().await;
        dropped.abort();
    }
    let mut told = kept.join_all().await;
    told.sort_unstable();
    let last = log.append(created("last")).await.unwrap();
    let mut events = log.subscribe("a", Beginning).await.unwrap();
    let mut found = Vec::new();
    for n in 1..=last {
        let event = next(&mut events).await;
        assert_eq!(event.seq_no, Some(n));
        found.extend(entity_type(&event).starts_with("kept").then_some(n));
    }
    assert_eq!(found, told);
}

/// However much is there to be read, others have their turn.
#[tokio::test]
async fn a_long_history_gives_way_to_other_tasks() {
    let log = memory();
    join_all((0..5000).map(|_| log.append(created("user")))).await;
    let mut events = log.subscribe("a", Beginning).await.unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut in_a_row = 0;
    while events.as_mut().poll_next(&mut context).is_ready() {
        in_a_row += 1;
    }
    assert!((1..1000).contains(&in_a_row), "{in_a_row} in a row");
    assert_eq!(numbers(&mut events, 5000 - in_a_row).await.last(), Some(&5000));
}
