//! Who commits, mends and finds space: roles that were once lost, or held too long, one a test.
//!
//! Owns a directory whose operations wait, or panic, when a test says so.

use super::*;
use proving::Hooked;
use std::future::Future;
use std::pin::pin;
use std::sync::{Condvar, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;

/// Only against waiting for ever.
const LONG: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
enum Act {
    Wait,
    Panic,
}

#[derive(Default)]
struct Plan {
    /// What the next operation of this kind does, on a file whose name ends like this.
    next: Option<(Act, &'static str, &'static str)>,
    /// Somebody waits.
    held: bool,
}

/// A directory, and what is to happen in it.
#[derive(Clone)]
struct Stage {
    plan: Arc<(Mutex<Plan>, Condvar)>,
    storage: Hooked,
}

impl Stage {
    fn new() -> Stage {
        let plan = Arc::<(Mutex<Plan>, Condvar)>::default();
        let asked = plan.clone();
        let storage = Hooked::new(move |operation, name| {
            let mut plan = asked.0.lock().unwrap();
            let next = plan.next.take_if(|(_, of, end)| *of == operation && name.ends_with(*end));
            match next {
                None => {}
                Some((Act::Wait, ..)) => {
                    plan.held = true;
                    asked.1.notify_all();
                    drop(asked.1.wait_while(plan, |plan| plan.held).unwrap());
                }
                Some((Act::Panic, ..)) => {
                    drop(plan);
                    panic!("as planned");
                }
            }
            Ok(())
        });
        Stage { plan, storage }
    }

    /// Says what the next such operation does.
    fn plan(&self, act: Act, operation: &'static str, name_end: &'static str) {
        self.plan.0.lock().unwrap().next = Some((act, operation, name_end));
    }

    fn wait_until_held(&self) {
        let plan = self.plan.0.lock().unwrap();
        let (plan, _) = self.plan.1.wait_timeout_while(plan, LONG, |plan| !plan.held).unwrap();
        assert!(plan.held, "nobody came");
    }

    fn let_go(&self) {
        self.plan.0.lock().unwrap().held = false;
        self.plan.1.notify_all();
    }

    fn happened(&self) -> bool {
        self.plan.0.lock().unwrap().next.is_none()
    }

    fn open(&self, options: Options) -> EventLog {
        options.open_storage(Arc::new(self.storage.clone())).unwrap()
    }

    /// A log of which the index is in files that need no more work: threads have nothing to do with them.
    fn filled(&self, options: Options) -> EventLog {
        let log = self.open(layered());
        fill(&log);
        log.close().unwrap();
        self.open(layered()).close().unwrap();
        self.open(options)
    }

    /// Waits until the next segment is ready.
    fn wait_for_spare(&self) {
        let is_there = || {
            let spare = self.storage.open("spare.tmp", false);
            spare.is_ok_and(|spare| spare.len().unwrap() >= 64 << 10)
        };
        let deadline = Instant::now() + LONG;
        while !is_there() {
            assert!(Instant::now() < deadline, "no spare");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What something on a thread of its own comes to, which must not be that it waits for ever.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, over) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    over.recv_timeout(LONG).expect("an end")
}

/// With its ids learned: the threads of the log have nothing more to read.
fn settle(log: &EventLog) {
    log.append("fresh", ANY, &[ev().with_id(Uuid::from_u128(1))]).unwrap();
}

fn told_of_panic<T: std::fmt::Debug>(told: Result<T, AppendError>) -> Outcome {
    match told {
        Err(AppendError::Poisoned { cause: PoisonCause::Panic, outcome }) => outcome,
        other => panic!("{other:?}"),
    }
}

/// Holds the last handle to a log until it is woken.
struct Last(Mutex<Option<EventLog>>);

impl Wake for Last {
    fn wake(self: Arc<Self>) {
        let log = self.0.lock().unwrap().take();
        drop(log);
    }
}

#[test]
fn a_waker_may_drop_the_last_handle_when_mending_fails() {
    let stage = Stage::new();
    let log = stage.filled(layered().background(true));
    settle(&log);
    // It asks the index for the runs of its streams again and again.
    let mut cursor = log.read(&Query::prefix("s-9"));
    spoil(&stage.storage);
    stage.plan(Act::Wait, "read", "0001.seg");
    // Meets the damage, and mends, without a handle to the log.
    let (done, over) = mpsc::channel();
    thread::spawn(move || done.send(cursor.next().map(|event| event.is_some())));
    stage.wait_until_held();
    let mut pending = pin!(log.submit("s-7", ANY, &[ev()]).unwrap());
    // Long enough for a writer that meets the damage, too, and waits for whoever mends.
    thread::sleep(Duration::from_millis(100));
    let waker = Waker::from(Arc::new(Last(Mutex::new(Some(log)))));
    let waits = pending.as_mut().poll(&mut Context::from_waker(&waker)).is_pending();
    stage.let_go();
    let read = over.recv_timeout(LONG).expect("an end");
    assert!(waits && matches!(read, Err(ReadError::Corrupt(_))), "{read:?}");
    let told = pending.poll(&mut Context::from_waker(Waker::noop()));
    let refused = AppendError::Poisoned {
        cause: PoisonCause::Index(Box::new(read.unwrap_err())),
        outcome: Outcome::NotWritten,
    };
    assert_eq!(told.map(Result::unwrap_err), std::task::Poll::Ready(refused));
    // To drop it was to close it.
    let again = layered().open_storage(Arc::new(stage.storage));
    assert!(matches!(again, Err(OpenError::Corrupt(_))), "{again:?}");
}

#[test]
fn who_looks_for_an_id_keeps_nobody_else_waiting() {
    let stage = Stage::new();
    let log = stage.filled(layered());
    settle(&log);
    stage.plan(Act::Wait, "read", "0001.seg");
    let (slow, other) = (log.clone(), log.clone());
    let slow = thread::spawn(move || slow.event_by_id(Uuid::from_u128(2)));
    stage.wait_until_held();
    let found = in_time(move || other.event_by_id(Uuid::from_u128(1)));
    stage.let_go();
    assert!(found.unwrap().is_some_and(|event| event.stream() == "fresh"));
    assert!(slow.join().unwrap().unwrap().is_none());
    // Both have remembered what they saw: nothing is read for an id that is nowhere.
    stage.plan(Act::Panic, "read", "0001.seg");
    assert!(log.event_by_id(Uuid::from_u128(3)).unwrap().is_none());
    assert!(!stage.happened());
}

#[test]
fn nothing_comes_after_a_subscription_was_told_of_a_panic() {
    let stage = Stage::new();
    let log = stage.open(Options::new().segment_bytes(64 << 10));
    stage.wait_for_spare();
    put(&log, "s");
    let mut subscription = log.subscribe(&Query::everything().from_now());
    stage.plan(Act::Wait, "sync", ".seg");
    let pending = log.submit("s", ANY, &[ev()]).unwrap();
    stage.wait_until_held();
    stage.plan(Act::Panic, "allocate", "spare.tmp");
    let larger = log.append("s", ANY, &[NewEvent::new("T", &vec![1; 70_000])]);
    let state = log.status().state;
    let during = subscription.next_within(NOW);
    stage.let_go();
    assert_eq!((told_of_panic(larger), state), (Outcome::NotWritten, LogState::Poisoned(PoisonCause::Panic)));
    assert!(matches!(during, Ok(Next::TimedOut)), "{during:?}");
    let next = subscription.next_within(LONG);
    assert!(matches!(&next, Ok(Next::Event(event)) if event.position() == 2), "{next:?}");
    let last = subscription.next_within(LONG);
    assert!(matches!(last, Err(ReadError::Poisoned(PoisonCause::Panic))), "{last:?}");
    assert!(matches!(subscription.next_within(LONG), Ok(Next::Ended)));
    assert_eq!(pending.wait().map(|appended| appended.last_version), Ok(2));
}

#[test]
fn nothing_comes_after_a_subscription_was_told_of_a_broken_index() {
    let stage = Stage::new();
    let log = stage.filled(layered().background(true));
    settle(&log);
    let mut subscription = log.subscribe(&Query::everything().from_now());
    stage.plan(Act::Wait, "sync", ".seg");
    let _pending = log.submit("fresh", ANY, &[ev()]).unwrap();
    stage.wait_until_held();
    spoil(&stage.storage);
    log.stream_version("s-9");
    let (state, position) = (log.status().state, log.last_position());
    let during = subscription.next_within(NOW);
    stage.let_go();
    assert!(matches!(state, LogState::Poisoned(PoisonCause::Index(_))), "{state:?}");
    assert!(matches!(during, Ok(Next::TimedOut)), "{during:?}");
    // It has come, and where it stands is asked of the index.
    let next = subscription.next_within(LONG);
    assert!(matches!(next, Err(ReadError::Corrupt(_))), "{next:?}");
    assert_eq!(log.last_position(), position + 1);
    assert!(matches!(subscription.next_within(LONG), Ok(Next::Ended)));
}

#[test]
fn a_panic_on_a_callers_thread_gives_the_role_back() {
    let stage = Stage::new();
    let log = stage.filled(layered().batch_bytes(4 << 10));
    let first = log.submit("new", ANY, &[ev()]).unwrap();
    let queued = log.submit("s-7", ANY, &[NewEvent::new("T", &[1; 5000])]).unwrap();
    assert!(queued.assigned().is_none());
    // When the second is given its turn, before the first is on its way.
    stage.plan(Act::Panic, "read", ".idx");
    told_of_panic(first.wait());
    assert!(stage.happened());
    assert_eq!(told_of_panic(in_time(|| queued.wait())), Outcome::NotWritten);
    let closed = in_time(move || log.close());
    assert_eq!(closed, Err(CloseError::Poisoned(PoisonCause::Panic)));
    assert_eq!(stage.open(layered()).stream_version("s-7"), 1);
}

#[test]
fn a_panic_on_a_thread_of_the_log_tells_who_waits() {
    let stage = Stage::new();
    // Nobody else comes by and gives him his turn.
    let log = stage.filled(layered().background(true).idle_witness_after(LONG));
    settle(&log);
    stage.wait_for_spare();
    stage.plan(Act::Wait, "allocate", "spare.tmp");
    let (done, over) = mpsc::channel();
    let other = log.clone();
    thread::spawn(move || done.send(other.append("s-7", ANY, &[NewEvent::new("T", &vec![1; 1 << 20])])));
    stage.wait_until_held();
    // When he is given his turn, by whoever has found the space.
    stage.plan(Act::Panic, "read", ".idx");
    stage.let_go();
    assert_eq!(told_of_panic(over.recv_timeout(LONG).expect("an end")), Outcome::NotWritten);
    assert!(stage.happened());
    let closed = in_time(move || log.close());
    assert_eq!(closed, Err(CloseError::Poisoned(PoisonCause::Panic)));
    assert_eq!(stage.open(layered()).stream_version("s-7"), 1);
}

/// Without threads: one append is on its way, and is held back; two more wait, each of which needs a larger segment than
/// there is.
struct Queue {
    /// Dropped, it would be closed by the driver, who would see to all of them.
    log: EventLog,
    stage: Stage,
    driver: thread::JoinHandle<Result<Appended, AppendError>>,
    before: Pending<Appended>,
    last: Pending<Appended>,
}

fn queue() -> Queue {
    let stage = Stage::new();
    let log = stage.open(shelf::options());
    put(&log, "s");
    stage.plan(Act::Wait, "sync", ".seg");
    let driver = {
        let log = log.clone();
        thread::spawn(move || log.append("s", ANY, &[ev()]))
    };
    stage.wait_until_held();
    let submit = |bytes| log.submit("s", ANY, &[NewEvent::new("T", &vec![1; bytes])]).unwrap();
    let (before, last) = (submit(70_000), submit(1 << 20));
    Queue { log, stage, driver, before, last }
}

#[test]
fn who_waits_behind_another_that_needs_space_gets_some() {
    let Queue { log, stage, driver, before, last } = queue();
    stage.let_go();
    assert_eq!(driver.join().unwrap().unwrap().last_version, 2);
    // Whoever sleeps until then would sleep for ever.
    assert!(before.is_done() && last.is_done());
    assert_eq!((before.wait().unwrap().last_version, last.wait().unwrap().last_version), (3, 4));
    log.close().unwrap();
}

#[test]
fn who_waits_behind_one_that_is_withdrawn_gets_space() {
    let Queue { log, stage, driver, before, last } = queue();
    drop(before);
    stage.let_go();
    assert_eq!(driver.join().unwrap().unwrap().last_version, 2);
    assert!(last.is_done());
    assert_eq!(last.wait().unwrap().last_version, 3);
    log.close().unwrap();
}

#[test]
fn a_panic_while_space_is_made_tells_all_who_wait_for_it() {
    let Queue { log, stage, driver, before, last } = queue();
    stage.plan(Act::Panic, "allocate", "spare.tmp");
    stage.let_go();
    // What was durable before that is not taken back.
    assert_eq!(driver.join().unwrap().map(|appended| appended.last_version), Ok(2));
    assert!(before.is_done() && last.is_done());
    for refused in [before, last] {
        assert_eq!(told_of_panic(refused.wait()), Outcome::NotWritten);
    }
    let closed = in_time(move || log.close());
    assert_eq!(closed, Err(CloseError::Poisoned(PoisonCause::Panic)));
    assert_eq!(stage.open(shelf::options()).stream_version("s"), 2);
}
