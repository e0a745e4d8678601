//! The outbox: messages that wait for their delivery.

use super::make::{ago, json_of, message, second};
use super::mako::error::EngineError;
use super::mako::ids::OutboxMessageId;
use super::mako::outbox::{InMemoryOutboxStore, OutboxMessage, OutboxStore};
use crate::shelf::{fresh, in_memory, kept, names};
use time::{Date, Duration, OffsetDateTime, Time, UtcOffset};

agree!(InMemoryOutboxStore::new();
    what_is_enqueued_is_pending,
    what_is_acknowledged_is_gone,
    what_is_deferred_waits_for_its_time,
    rescheduling_defers_and_counts,
    the_oldest_comes_first_however_it_was_deferred,
    no_more_than_the_limit,
    unknown_ids_change_nothing,
    a_message_with_a_known_id_replaces_it,
    times_of_all_centuries_are_in_order,
    an_arc_and_a_clone_are_the_same_store,
);

async fn ids(store: &impl OutboxStore, now: OffsetDateTime) -> Vec<OutboxMessageId> {
    ids_of(&store.pending(usize::MAX, now).await.unwrap())
}

fn ids_of(messages: &[OutboxMessage]) -> Vec<OutboxMessageId> {
    messages.iter().map(|message| message.message_id).collect()
}

async fn what_is_enqueued_is_pending<S: OutboxStore>(store: &S) {
    assert!(store.is_empty().await.unwrap());
    let sent = [message(second(0), None), message(second(1), Some(second(2)))];
    store.enqueue(&sent).await.unwrap();
    store.enqueue(&[]).await.unwrap();
    assert_eq!(store.len().await.unwrap(), 2);
    let pending = store.pending_now(10).await.unwrap();
    assert_eq!(json_of(&pending), json_of(&sent), "as they were");
}

async fn what_is_acknowledged_is_gone<S: OutboxStore>(store: &S) {
    let sent = [message(second(0), None), message(second(1), Some(second(2)))];
    store.enqueue(&sent).await.unwrap();
    for (left, message) in [(1, &sent[0]), (0, &sent[1])] {
        store.acknowledge(message.message_id).await.unwrap();
        store.acknowledge(message.message_id).await.unwrap();
        assert_eq!(store.len().await.unwrap(), left);
        assert!(!ids(store, second(9)).await.contains(&message.message_id));
    }
    assert!(store.is_empty().await.unwrap());
}

async fn what_is_deferred_waits_for_its_time<S: OutboxStore>(store: &S) {
    let sent = message(second(0), Some(second(100)));
    store.enqueue(std::slice::from_ref(&sent)).await.unwrap();
    let moment = Duration::nanoseconds(1);
    assert!(ids(store, second(100) - moment).await.is_empty());
    assert_eq!(ids(store, second(100)).await, [sent.message_id], "not a moment later");
    let in_berlin = second(100).to_offset(UtcOffset::from_hms(1, 0, 0).unwrap());
    assert_eq!(ids(store, in_berlin).await, [sent.message_id]);
    assert_eq!(store.len().await.unwrap(), 1, "it is there all the time");
}

async fn rescheduling_defers_and_counts<S: OutboxStore>(store: &S) {
    let sent = message(second(0), None);
    store.enqueue(std::slice::from_ref(&sent)).await.unwrap();
    for attempt in 1..=3 {
        let later = second(10 * i64::from(attempt));
        store.reschedule(sent.message_id, later).await.unwrap();
        assert!(ids(store, later - Duration::nanoseconds(1)).await.is_empty());
        let pending = store.pending(9, later).await.unwrap();
        let mut wanted = json_of(&sent);
        wanted["attempt_count"] = attempt.into();
        wanted["deliver_after"] = json_of(&message(second(0), Some(later)))["deliver_after"].clone();
        assert_eq!(json_of(&pending[0]), wanted, "and nothing else has changed");
    }
    store.reschedule(sent.message_id, second(1)).await.unwrap();
    assert_eq!(ids(store, second(1)).await, [sent.message_id], "also to an earlier time");
    assert_eq!(store.len().await.unwrap(), 1);
}

async fn the_oldest_comes_first_however_it_was_deferred<S: OutboxStore>(store: &S) {
    let sent = [
        message(second(5), None),
        message(second(1), Some(second(8))),
        message(second(3), None),
        message(second(4), Some(second(6))),
        message(second(2), Some(second(90))),
        message(second(0), Some(second(7))),
    ];
    store.enqueue(&sent).await.unwrap();
    let wanted = [5, 1, 2, 3, 0].map(|i| sent[i].message_id);
    assert_eq!(ids(store, second(10)).await, wanted);
    for limit in 0..=6 {
        let pending = store.pending(limit, second(10)).await.unwrap();
        assert_eq!(ids_of(&pending), wanted[..limit.min(5)]);
    }
}

async fn no_more_than_the_limit<S: OutboxStore>(store: &S) {
    let sent: Vec<_> = (0..100).map(|n| message(second(n), (n % 2 == 0).then(|| second(0)))).collect();
    store.enqueue(&sent).await.unwrap();
    for limit in [0, 1, 2, 49, 50, 51, 99, 100, 101] {
        assert_eq!(store.pending(limit, second(100)).await.unwrap().len(), limit.min(100));
    }
}

async fn unknown_ids_change_nothing<S: OutboxStore>(store: &S) {
    let sent = message(second(0), None);
    store.enqueue(std::slice::from_ref(&sent)).await.unwrap();
    store.acknowledge(OutboxMessageId::new()).await.unwrap();
    store.reschedule(OutboxMessageId::new(), second(1)).await.unwrap();
    let pending = store.pending_now(9).await.unwrap();
    assert_eq!(json_of(&pending), json_of(&[sent]));
}

async fn a_message_with_a_known_id_replaces_it<S: OutboxStore>(store: &S) {
    let first = message(second(0), None);
    store.enqueue(std::slice::from_ref(&first)).await.unwrap();
    let mut again = first.clone();
    (again.recipient, again.deliver_after) = ("somebody else".into(), Some(second(50)));
    store.enqueue(&[first.clone(), again.clone()]).await.unwrap();
    assert_eq!(store.len().await.unwrap(), 1);
    assert!(ids(store, second(49)).await.is_empty());
    assert_eq!(json_of(&store.pending(9, second(50)).await.unwrap()), json_of(&[again]));
    store.enqueue(std::slice::from_ref(&first)).await.unwrap();
    assert_eq!(json_of(&store.pending(9, second(50)).await.unwrap()), json_of(&[first]));
}

async fn times_of_all_centuries_are_in_order<S: OutboxStore>(store: &S) {
    let year = |year| Date::from_calendar_date(year, time::Month::June, 1).unwrap();
    let times = [0, 1, 1969, 1970, 2026, 2300, 9999].map(|y| year(y).with_time(Time::MIDNIGHT).assume_utc());
    let mut sent: Vec<_> = times.iter().map(|time| message(*time, None)).collect();
    sent.extend(times.iter().map(|time| message(*time + Duration::DAY, Some(*time))));
    store.enqueue(&sent.iter().rev().cloned().collect::<Vec<_>>()).await.unwrap();
    sent.sort_by_key(|message| message.created_at);
    let all = Date::MAX.with_time(Time::MIDNIGHT).assume_utc();
    assert_eq!(ids(store, all).await, ids_of(&sent));
    let (now, before) = (times[3], Date::MIN.with_time(Time::MIDNIGHT).assume_utc());
    sent.retain(|message| message.deliver_after.is_none_or(|time| time <= now));
    assert_eq!(ids(store, now).await, ids_of(&sent));
    assert_eq!(ids(store, before).await.len(), 7, "only what was never deferred");
}

async fn an_arc_and_a_clone_are_the_same_store<S: OutboxStore + Clone>(store: &S) {
    let shared = std::sync::Arc::new(store.clone());
    shared.enqueue(&[message(ago(1), None)]).await.unwrap();
    assert_eq!((shared.len().await.unwrap(), store.len().await.unwrap()), (1, 1));
}

/// A time that RFC 3339 cannot write, to the second: the message stays as it was.
#[tokio::test]
async fn a_time_without_words_is_refused_and_nothing_changes() {
    let store = fresh();
    let sent = message(second(0), None);
    store.enqueue(std::slice::from_ref(&sent)).await.unwrap();
    let odd = second(5).to_offset(UtcOffset::from_hms(0, 0, 1).unwrap());
    let early = Date::MIN.with_time(Time::MIDNIGHT).assume_utc();
    for time in [odd, early] {
        let refused = store.reschedule(sent.message_id, time).await.unwrap_err();
        assert!(matches!(&refused, EngineError::Outbox { transient: false, .. }), "{refused}");
        let refused = store.enqueue(&[message(second(0), None), message(time, None)]).await.unwrap_err();
        assert!(matches!(&refused, EngineError::Outbox { transient: false, .. }), "{refused}");
    }
    assert_eq!(json_of(&store.pending(9, second(9)).await.unwrap()), json_of(&[sent]));
}

#[tokio::test]
async fn how_a_message_stands_in_the_log() {
    let store = fresh();
    let (ready, later) = (message(second(0), None), message(second(1), Some(second(60))));
    store.enqueue(&[ready.clone(), later.clone()]).await.unwrap();
    let mut wanted = [
        format!("mako/outbox/message/{}", ready.message_id),
        format!("mako/outbox/message/{}", later.message_id),
        format!("mako/outbox/ready/2026-01-01T00:00:00.000000000Z/{}", ready.message_id),
        format!(
            "mako/outbox/deferred/2026-01-01T00:01:00.000000000Z/2026-01-01T00:00:01.000000000Z/{}",
            later.message_id
        ),
    ];
    wanted.sort_unstable();
    assert_eq!(names(&store, ""), wanted);
    let stored = kept(&store, &format!("mako/outbox/message/{}", ready.message_id)).unwrap();
    assert_eq!(stored, serde_json::to_string(&ready).unwrap());
    store.reschedule(ready.message_id, second(30)).await.unwrap();
    store.acknowledge(later.message_id).await.unwrap();
    let place = "mako/outbox/deferred/2026-01-01T00:00:30.000000000Z/2026-01-01T00:00:00.000000000Z";
    let mut wanted =
        [format!("mako/outbox/message/{}", ready.message_id), format!("{place}/{}", ready.message_id)];
    wanted.sort_unstable();
    assert_eq!(names(&store, ""), wanted);
}

/// A few thousand in memory; as many in a directory as the variable `ANNALS_MAKO_MESSAGES` says, if it is set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_what_was_acknowledged() {
    let asked = std::env::var("ANNALS_MAKO_MESSAGES").ok().and_then(|count| count.parse().ok());
    let count: i64 = asked.unwrap_or(3_000);
    let directory = asked.map(|_| fresh());
    let store = directory.as_deref().cloned().unwrap_or_else(in_memory);
    let mut acknowledged = 0;
    let mut sent = Vec::new();
    for n in 0..count {
        sent.push(message(second(n), (n % 3 == 0).then(|| second(n / 2))));
        if sent.len() == 1_000 || n + 1 == count {
            store.enqueue(&sent).await.unwrap();
            let mut at_once = tokio::task::JoinSet::new();
            for message in sent.drain(..) {
                let store = store.clone();
                at_once.spawn(async move {
                    if acknowledged % 7 == 0 {
                        store.reschedule(message.message_id, second(0)).await.unwrap();
                    }
                    store.acknowledge(message.message_id).await.unwrap();
                });
                acknowledged += 1;
            }
            at_once.join_all().await;
            assert_eq!(names(&store, "mako/outbox/"), [""; 0]);
        }
    }
    assert_eq!((acknowledged, OutboxStore::len(&store).await.unwrap()), (count, 0));
    assert!(store.pending(9, second(count)).await.unwrap().is_empty());
    drop(store);
    if let Some(directory) = directory {
        // Told, not judged: how long it takes to open and to ask, beside a store that never had a message.
        for (name, directory) in [("never used", fresh()), ("all acknowledged", directory)] {
            directory.log().close().unwrap();
            let begun = std::time::Instant::now();
            let store = directory.open_again();
            let opened = begun.elapsed();
            assert!(store.pending(9, second(count)).await.unwrap().is_empty());
            println!("{name}: opened in {opened:?}, asked in {:?}", begun.elapsed() - opened);
        }
    }
}
