//! Subscriptions: what is there, then what comes, each event once and in order.
//!
//! Owns the behaviour of one subscription, and the read-only open beside a writer; many subscriptions at once are in `day.rs`.

use annals::storage::{File, Lock, Memory, Storage};
use annals::{EventLog, ExpectedVersion, NewEvent, Next, OpenError, Options, Query, ReadError, Subscription};
use futures_core::Stream;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);
const ANY: ExpectedVersion = ExpectedVersion::Any;

fn put(log: &EventLog, stream: &str, kind: &str) -> u64 {
    log.append(stream, ANY, &[NewEvent::new(kind, "")]).unwrap().last_position
}

fn next(subscription: &mut Subscription) -> (u64, String) {
    match subscription.next_within(LONG).unwrap() {
        Next::Event(event) => (event.position(), event.stream().to_owned()),
        other => panic!("{other:?}"),
    }
}

fn nothing(subscription: &mut Subscription) {
    let got = subscription.next_within(Duration::from_millis(5)).unwrap();
    assert!(matches!(got, Next::TimedOut), "{got:?}");
}

fn ended(subscription: &mut Subscription) {
    let got = subscription.next_within(LONG).unwrap();
    assert!(matches!(got, Next::Ended), "{got:?}");
    assert!(subscription.next().is_none() && subscription.is_ended(), "an end is for good");
}

#[test]
fn first_what_is_stored_then_what_comes() {
    let log = EventLog::in_memory().unwrap();
    for i in 0..3 {
        put(&log, &format!("s{}", i % 2), "T");
    }
    let mut all = log.subscribe(&Query::everything());
    assert_eq!(all.lag(), 3);
    assert_eq!((1..=3).map(|_| next(&mut all).0).collect::<Vec<_>>(), [1, 2, 3]);
    nothing(&mut all);
    let writer = thread::spawn({
        let log = log.clone();
        move || (0..100).for_each(|i| assert_eq!(put(&log, "late", "T"), 4 + i))
    });
    assert_eq!((4..=103).map(|_| next(&mut all).0).collect::<Vec<_>>(), (4..=103).collect::<Vec<_>>());
    writer.join().unwrap();
    assert_eq!((all.lag(), all.place()), (0, 103));
    nothing(&mut all);
}

#[test]
fn each_scope_gets_its_own_events_and_sleeps_through_the_others() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "order-1", "Placed");
    let queries = [
        Query::stream("order-1"),
        Query::stream("order-2"),
        Query::prefix("order-"),
        Query::everything().of_types(["Paid"]),
        Query::prefix("order-").of_types(["Paid"]).after(1),
        Query::stream("order-1").after(1),
        Query::everything().from_now(),
        Query::stream("order-1").from_now(),
        Query::prefix("order-").limit(2),
        Query::everything().before(3),
    ];
    let mut subscriptions: Vec<_> = queries.iter().map(|query| log.subscribe(query)).collect();
    put(&log, "stock", "Paid");
    put(&log, "order-2", "Placed");
    put(&log, "order-1", "Paid");
    let expected: [&[u64]; 10] =
        [&[1, 4], &[3], &[1, 3, 4], &[2, 4], &[4], &[4], &[2, 3, 4], &[4], &[1, 3], &[1, 2]];
    for (i, (subscription, expected)) in subscriptions.iter_mut().zip(expected).enumerate() {
        for position in expected {
            assert_eq!(next(subscription).0, *position, "{:?}", queries[i]);
        }
        match i {
            8 | 9 => ended(subscription),
            _ => nothing(subscription),
        }
    }
}

#[test]
fn until_now_is_what_was_there_when_subscribe_was_called() {
    let log = EventLog::in_memory().unwrap();
    for stream in ["a1", "b", "a2", "a1"] {
        put(&log, stream, "T");
    }
    let queries = [
        Query::everything(),
        Query::prefix("a"),
        Query::prefix("a").after(1),
        Query::stream("a1"),
        Query::stream("a1").after(2),
        Query::stream("none"),
        Query::everything().before(3),
        Query::everything().before(9),
        Query::everything().of_types(["U"]),
        Query::everything().from_now(),
    ];
    let mut there: Vec<_> = queries.iter().map(|query| log.subscribe(&query.clone().until_now())).collect();
    for stream in ["a1", "none", "b"] {
        put(&log, stream, "U");
    }
    let expected: [&[u64]; 10] =
        [&[1, 2, 3, 4], &[1, 3, 4], &[3, 4], &[1, 4], &[], &[], &[1, 2], &[1, 2, 3, 4], &[], &[]];
    for (i, (subscription, expected)) in there.iter_mut().zip(expected).enumerate() {
        for position in expected {
            assert_eq!(next(subscription).0, *position, "{:?}", queries[i]);
        }
        ended(subscription);
    }
    let read: Vec<_> =
        log.read(&Query::prefix("a").until_now()).into_iter().map(|e| e.unwrap().position()).collect();
    assert_eq!(read, [1, 3, 4, 5], "a cursor ends there anyway");
}

#[test]
fn now_is_fixed_when_subscribe_is_called() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "s", "T");
    let mut subscription = log.subscribe(&Query::everything().from_now());
    assert_eq!(put(&log, "s", "T"), 2);
    assert_eq!(put(&log, "s", "T"), 3);
    assert_eq!((next(&mut subscription).0, next(&mut subscription).0), (2, 3));
}

#[test]
fn nothing_is_given_before_it_is_durable() {
    // Without background threads nothing is committed until somebody waits.
    let log = Options::new().background(false).open_in_memory().unwrap();
    let mut subscription = log.subscribe(&Query::everything());
    let pending = log.submit("s", ANY, &[NewEvent::new("T", "")]).unwrap();
    nothing(&mut subscription);
    pending.wait().unwrap();
    assert_eq!(next(&mut subscription).0, 1);
}

#[test]
fn close_gives_the_rest_and_ends_every_subscription() {
    let log = EventLog::in_memory().unwrap();
    (0..10).for_each(|_| {
        put(&log, "s", "T");
    });
    let mut slow = log.subscribe(&Query::everything());
    assert_eq!(next(&mut slow).0, 1);
    let sleepers: Vec<_> = [Query::everything().from_now(), Query::stream("never"), Query::prefix("nev")]
        .into_iter()
        .map(|query| {
            let mut subscription = log.subscribe(&query);
            thread::spawn(move || subscription.next().is_none())
        })
        .collect();
    thread::sleep(Duration::from_millis(20));
    log.close().unwrap();
    for sleeper in sleepers {
        assert!(sleeper.join().unwrap(), "a sleeper saw the end");
    }
    assert_eq!((2..=10).map(|_| next(&mut slow).0).collect::<Vec<_>>(), (2..=10).collect::<Vec<_>>());
    ended(&mut slow);
    ended(&mut log.subscribe(&Query::everything().after(10)));
}

#[test]
fn dropping_the_last_handle_ends_subscriptions_too() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "s", "T");
    let mut subscription = log.subscribe(&Query::everything());
    drop(log);
    assert_eq!(next(&mut subscription).0, 1);
    ended(&mut subscription);
}

#[test]
fn a_canceller_ends_a_subscription_that_sleeps() {
    let log = EventLog::in_memory().unwrap();
    let mut subscription = log.subscribe(&Query::everything());
    let canceller = subscription.canceller();
    let sleeper = thread::spawn(move || {
        let end = subscription.next().is_none();
        (end, subscription)
    });
    thread::sleep(Duration::from_millis(20));
    canceller.cancel();
    let (end, mut subscription) = sleeper.join().unwrap();
    assert!(end);
    put(&log, "s", "T");
    ended(&mut subscription);
}

#[test]
fn a_cut_or_ended_stream_is_told() {
    let log = EventLog::in_memory().unwrap();
    (0..3).for_each(|_| {
        put(&log, "s", "T");
    });
    log.truncate_before("s", 3, ANY).unwrap();
    let mut behind = log.subscribe(&Query::stream("s"));
    assert_eq!(behind.next_within(LONG).unwrap_err(), ReadError::Truncated { first: 3 });
    ended(&mut behind);
    let mut kept = log.subscribe(&Query::stream("s").after(2));
    assert_eq!(next(&mut kept).0, 3);
    let sleeper = thread::spawn(move || kept.next().unwrap().unwrap_err());
    thread::sleep(Duration::from_millis(20));
    log.tombstone("s", ANY).unwrap();
    assert_eq!(sleeper.join().unwrap(), ReadError::Gone { stream: "s".into() });
}

#[test]
fn a_read_only_log_gives_what_it_shows_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    put(&log, "s", "T");
    log.close().unwrap();
    let log = EventLog::open_read_only(dir.path()).unwrap();
    let mut subscription = log.subscribe(&Query::everything());
    assert_eq!(next(&mut subscription).0, 1);
    ended(&mut subscription);
}

/// A directory that leaves out one name, so many times, when it is listed: beside a writer, that is how one may look.
#[derive(Debug, Clone)]
struct Blinking {
    memory: Memory,
    unseen: String,
    times: Arc<AtomicU64>,
}

impl Storage for Blinking {
    fn name(&self) -> String {
        self.memory.name()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.memory.list()?;
        if self.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |times| times.checked_sub(1)).is_ok() {
            names.retain(|name| *name != self.unseen);
        }
        Ok(names)
    }

    fn try_lock(&self) -> io::Result<Option<Lock>> {
        self.memory.try_lock()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.memory.create(name)
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn File>> {
        self.memory.open(name, write)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.memory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.memory.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.memory.sync_directory()
    }
}

#[test]
fn a_gap_that_only_a_listing_shows_keeps_no_reader_out() {
    let options = Options::new().background(false).segment_bytes(64 << 10);
    let memory = Memory::new();
    let log = options.open_storage(Arc::new(memory.clone())).unwrap();
    (0..6).for_each(|_| _ = log.append("s", ANY, &[NewEvent::new("T", &[1; 20 << 10])]).unwrap());
    log.close().unwrap();
    let blinking = |times| Blinking {
        memory: memory.clone(),
        unseen: crate::shelf::segment_name(2),
        times: Arc::new(AtomicU64::new(times)),
    };
    let missing = OpenError::MissingSegment { ordinal: 2 };
    for times in [1, 2] {
        let log = options.open_storage_read_only(Arc::new(blinking(times))).unwrap();
        assert_eq!((log.recovery().segments, log.read_all(0).into_iter().count()), (3, 6));
        // Nobody writes beside a writer: what he does not see is not there.
        assert_eq!(options.open_storage(Arc::new(blinking(times))).unwrap_err(), missing);
    }
    assert_eq!(options.open_storage_read_only(Arc::new(blinking(u64::MAX))).unwrap_err(), missing);
    assert_eq!(options.open_storage(Arc::new(memory)).unwrap().last_position(), 6);
}

/// An executor of one task: runs it on the calling thread, parked while it waits.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(std::sync::Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

async fn collect(
    mut stream: impl Stream<Item = Result<annals::RecordedEvent, ReadError>> + Unpin,
) -> Vec<u64> {
    let mut positions = Vec::new();
    while let Some(event) = poll_fn(|context| Pin::new(&mut stream).poll_next(context)).await {
        positions.push(event.unwrap().position());
    }
    positions
}

/// However much there is to give or to pass over: whoever shares the thread gets his turn.
#[test]
fn as_a_stream_it_gives_way_to_other_tasks() {
    struct Count(AtomicU64);
    impl Wake for Count {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let log = EventLog::in_memory().unwrap();
    let batch = vec![NewEvent::new("T", ""); 20_000];
    log.append("many", ANY, &batch).unwrap();
    // The type must be looked at in each; the prefix is passed over run by run, once a merge would be dearer.
    let single = |i| log.submit(&format!("s{i}"), ANY, &batch[..1]).unwrap();
    (0..20_000).map(single).collect::<Vec<_>>().into_iter().for_each(|pending| _ = pending.wait().unwrap());
    put(&log, "s", "U");
    let queries = [
        (Query::everything(), 40_001, 256, 155),
        (Query::everything().of_types(["U"]), 1, 1, 4),
        (Query::prefix("s").of_types(["U"]), 1, 1, 2),
    ];
    for (query, events, at_once, breaks) in queries {
        let wakes = std::sync::Arc::new(Count(AtomicU64::new(0)));
        let waker = Waker::from(wakes.clone());
        let mut context = Context::from_waker(&waker);
        let mut subscription = log.subscribe(&query.clone().until_now());
        let (mut given, mut in_a_row, mut pending) = (0, 0, 0);
        loop {
            match Pin::new(&mut subscription).poll_next(&mut context) {
                Poll::Ready(Some(event)) => {
                    (given, in_a_row) = (given + u64::from(event.is_ok()), in_a_row + 1)
                }
                Poll::Ready(None) => break,
                Poll::Pending => {
                    (in_a_row, pending) = (0, pending + 1);
                    assert_eq!(wakes.0.load(Ordering::Relaxed), pending, "it wants to go on: {query:?}");
                }
            }
            assert!(in_a_row <= at_once, "{query:?}");
        }
        assert_eq!(given, events, "{query:?}");
        assert!(pending >= breaks, "{pending} breaks: {query:?}");
    }
}

#[test]
fn as_a_stream_it_runs_on_any_executor() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "s", "T");
    let here = log.subscribe(&Query::everything().limit(50));
    let there = log.subscribe(&Query::everything().limit(50));
    let (started, wait) = mpsc::channel();
    let own = thread::spawn(move || {
        started.send(()).unwrap();
        block_on(collect(here))
    });
    // A runtime with worker threads, on which the task may move.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let task = runtime.spawn(collect(there));
    wait.recv().unwrap();
    (2..=50).for_each(|_| {
        put(&log, "s", "T");
    });
    let all: Vec<u64> = (1..=50).collect();
    assert_eq!(own.join().unwrap(), all);
    assert_eq!(runtime.block_on(task).unwrap(), all);
}
