//! hunt
use crate::shelf;
use crate::simdisk::SimDisk;
use annals::storage::{Memory, Storage};
use annals::*;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use uuid::Uuid;

const ANY: ExpectedVersion = ExpectedVersion::Any;
const NOW: Duration = Duration::ZERO;
fn ev() -> NewEvent<'static> {
    NewEvent::new("T", "x")
}
fn put(log: &EventLog, s: &str) -> u64 {
    log.append(s, ANY, &[ev()]).unwrap().last_position
}
fn take(group: &Group) -> Option<Delivery> {
    match group.next_within(Duration::from_millis(20)).unwrap() {
        GroupNext::Delivery(d) => Some(d),
        _ => None,
    }
}

// 1
#[test]
fn h01_budget_goes_on_within_a_batch() {
    let log = EventLog::in_memory().unwrap();
    log.batch().append("a", ANY, &[ev()]).append("b", ANY, &[ev()]).append("m", ANY, &[ev()]).commit().unwrap();
    for backward in [false, true] {
        let (mut at, mut seen) = (if backward { u64::MAX } else { 0 }, Vec::new());
        for round in 0.. {
            assert!(round < 100, "backward {backward}: no end, stands at {at}, seen {seen:?}");
            let query = Query::prefix(if backward { "a" } else { "m" }).budget(1);
            let query = if backward { query.before(at).backward() } else { query.after(at) };
            let mut events = log.read(&query).into_iter();
            seen.extend(events.by_ref().map(|e| e.unwrap().position()));
            match events.stopped_at() {
                Some(place) => at = place,
                None => break,
            }
        }
        assert_eq!(seen.len(), 1);
    }
}

// 1b: a match twice
#[test]
fn h01b_budget_gives_a_match_twice() {
    let log = EventLog::in_memory().unwrap();
    log.batch().append("a", ANY, &[ev()]).append("m", ANY, &[ev()]).append("b", ANY, &[ev()]).commit().unwrap();
    let mut first = log.read(&Query::prefix("m").budget(2)).into_iter();
    let a: Vec<_> = first.by_ref().map(|e| e.unwrap().position()).collect();
    let at = first.stopped_at().unwrap();
    let mut second = log.read(&Query::prefix("m").after(at).budget(1)).into_iter();
    let b: Vec<_> = second.by_ref().map(|e| e.unwrap().position()).collect();
    let at2 = second.stopped_at().unwrap();
    let c: Vec<_> = log.read(&Query::prefix("m").after(at2)).into_iter().map(|e| e.unwrap().position()).collect();
    assert_eq!((a, b, c), (vec![2], vec![], vec![]), "{at} {at2}");
}

// 2
#[test]
fn h02_a_cursor_over_a_stream_that_is_ended_meanwhile_says_so_or_goes_on() {
    let log = EventLog::in_memory().unwrap();
    (0..200).for_each(|_| drop(put(&log, "s")));
    let mut cursor = log.read_stream("s", 0);
    let mut seen = 0;
    let outcome = loop {
        match cursor.next() {
            Ok(Some(_)) => seen += 1,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
        if seen == 1 {
            log.tombstone("s", ANY).unwrap();
        }
    };
    assert!(seen == 200 || outcome.is_err(), "seen {seen} of 200, and then {outcome:?}");
}

#[test]
fn h02b_a_prefix_subscription_has_a_gap_when_a_stream_is_ended() {
    let log = EventLog::in_memory().unwrap();
    for _ in 0..200 {
        put(&log, "p-1");
        log.append("other", ANY, &[ev(); 10]).unwrap();
    }
    let mut subscription = log.subscribe(&Query::prefix("p-"));
    let mut seen = 0;
    while let Next::Event(_) = subscription.next_within(NOW).unwrap() {
        seen += 1;
        if seen == 1 {
            log.tombstone("p-1", ANY).unwrap();
        }
    }
    let all = log.read(&Query::prefix("p-")).into_iter().count();
    assert_eq!((seen, all), (200, 200), "place {}", subscription.place());
}

// 3
#[test]
fn h03_backward_merge_beside_a_writer() {
    let log = Options::new().segment_bytes(64 << 10).open_in_memory().unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let big = vec![0u8; 30 << 10];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                log.batch()
                    .append("p", ANY, &[NewEvent::new("B", &big)])
                    .append("filler", ANY, &[ev(); 20])
                    .commit()
                    .unwrap();
            }
        });
        let begun = Instant::now();
        let mut wrong = None;
        let mut reads = 0u64;
        while begun.elapsed() < Duration::from_secs(8) && wrong.is_none() {
            let got = log.read(&Query::prefix("p").backward().limit(1)).next().map(|_| ());
            wrong = got.err();
            reads += 1;
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        println!("reads {reads} position {}", log.last_position());
        assert_eq!(wrong, None);
    });
}

// 4
#[test]
fn h04_a_tenant_named_by_a_check_binds_in_memory_only() {
    let memory = Memory::new();
    let log = shelf::open(&memory).unwrap();
    log.batch().append("s", ANY, &[ev()]).in_tenant("shop").require("s", ANY).commit().unwrap();
    let before = log.stream_info("s").unwrap().tenant;
    let count = log.tenant("shop").stream_count();
    log.close().unwrap();
    drop(log);
    let log = shelf::open(&memory).unwrap();
    assert_eq!((before, count), (log.stream_info("s").unwrap().tenant, log.tenant("shop").stream_count()));
}

fn group_with_a_mark(log: &EventLog) {
    put(log, "a");
    put(log, "b");
    let group = log.group("g", &Query::everything(), GroupOptions::new()).unwrap();
    let one = take(&group).unwrap();
    let two = take(&group).unwrap();
    assert_eq!((one.position(), two.position()), (1, 2));
    two.ack_with(log.batch()).unwrap();
    drop((one, group));
}

// 5
#[test]
fn h05a_a_forgotten_group_begins_anew() {
    let log = EventLog::in_memory().unwrap();
    group_with_a_mark(&log);
    log.forget_consumer("g").unwrap();
    let group = log.group("g", &Query::everything(), GroupOptions::new()).unwrap();
    let got: Vec<_> = std::iter::from_fn(|| take(&group)).map(|d| { let p = d.position(); d.ack().unwrap(); p }).collect();
    assert_eq!(got, [1, 2], "the next one of this name is new");
}

#[test]
fn h05b_a_group_that_was_sent_back_gets_all_again() {
    let log = EventLog::in_memory().unwrap();
    group_with_a_mark(&log);
    log.seek_consumer("g", Seek::Beginning).unwrap();
    let group = log.group("g", &Query::everything(), GroupOptions::new()).unwrap();
    let got: Vec<_> = std::iter::from_fn(|| take(&group)).map(|d| { let p = d.position(); d.ack().unwrap(); p }).collect();
    assert_eq!(got, [1, 2]);
}

#[test]
fn h05c_a_consumer_of_the_groups_name_is_the_same() {
    let log = EventLog::in_memory().unwrap();
    group_with_a_mark(&log);
    let mut consumer = log.consumer("g", &Query::everything()).unwrap();
    let mut got = Vec::new();
    while let Some(event) = consumer.next_within(NOW).unwrap() {
        got.push(event.position());
    }
    assert_eq!(got, [1], "event 2 was dealt with exactly once");
}

// 6
#[test]
fn h06_a_replay_that_is_out_is_on_its_way() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "a");
    let group = log.group("g", &Query::everything(), GroupOptions::new().attempts_max(1)).unwrap();
    assert!(take(&group).unwrap().nack("no").unwrap());
    assert!(group.replay(1).unwrap());
    let out = take(&group).unwrap();
    let again = group.replay(1).unwrap();
    out.ack_with(log.batch().append("effect", ANY, &[ev()])).unwrap();
    let mut effects = 1;
    while let Some(d) = take(&group) {
        if d.stream() == "a" {
            effects += 1;
            d.ack_with(log.batch().append("effect", ANY, &[ev()])).unwrap();
        } else {
            d.ack().unwrap();
        }
    }
    assert_eq!((again, effects, log.stream_version("effect")), (false, 1, 1));
}

// 7
#[test]
fn h07_acknowledging_less_takes_nothing_back() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "a");
    put(&log, "b");
    let mut consumer = log.consumer("c", &Query::prefix("")).unwrap();
    let one = consumer.next_within(NOW).unwrap().unwrap();
    let two = consumer.next_within(NOW).unwrap().unwrap();
    two.ack_with(log.batch().append("effect", ANY, &[ev()])).unwrap();
    one.ack_with(log.batch().append("effect", ANY, &[ev()])).unwrap();
    assert_eq!(log.acknowledged("c").unwrap(), 2);
}

// 8
#[test]
fn h08_two_acknowledgements_at_once() {
    let log = Options::new().background(false).open_in_memory().unwrap();
    let rounds = 20_000u64;
    log.append("s", ANY, &vec![ev(); 2 * rounds as usize]).unwrap();
    let barrier = Barrier::new(2);
    let worst = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            for k in 0..rounds {
                barrier.wait();
                log.acknowledge("c", 2 * k + 1).unwrap();
                barrier.wait();
            }
        });
        let mut worst = 0;
        for k in 0..rounds {
            barrier.wait();
            log.acknowledge("c", 2 * k + 2).unwrap();
            barrier.wait();
            if log.acknowledged("c").unwrap() != 2 * k + 2 {
                worst += 1;
            }
        }
        other.join().unwrap();
        worst
    });
    assert_eq!(worst, 0, "rounds in which the place went back");
}

// 9
#[test]
fn h09a_the_place_of_a_bounded_subscription_is_within_its_bound() {
    let log = EventLog::in_memory().unwrap();
    (0..10).for_each(|_| drop(put(&log, "s")));
    let mut subscription = log.subscribe(&Query::everything().before(4));
    while let Next::Event(_) = subscription.next_within(NOW).unwrap() {}
    let rest = log.subscribe(&Query::everything().after(subscription.place()));
    assert_eq!((subscription.place(), rest.lag()), (3, 7));
}

#[test]
fn h09b_a_bounded_group_does_not_skip_what_lies_behind() {
    let log = EventLog::in_memory().unwrap();
    for i in 0..10 {
        put(&log, &format!("s{i}"));
    }
    let group = log.group("g", &Query::everything().before(4), GroupOptions::new()).unwrap();
    let out: Vec<_> = std::iter::from_fn(|| take(&group)).collect();
    assert_eq!(out.len(), 3);
    out.into_iter().for_each(|d| d.ack().unwrap());
    drop(group);
    let group = log.group("g", &Query::everything(), GroupOptions::new()).unwrap();
    let got: Vec<_> = std::iter::from_fn(|| take(&group)).map(|d| { let p = d.position(); d.ack().unwrap(); p }).collect();
    assert_eq!(got, (4..=10).collect::<Vec<_>>());
}

// 10
#[test]
fn h10a_what_was_given_and_not_acknowledged_comes_again() {
    let log = EventLog::in_memory().unwrap();
    let query = Query::everything().from_now();
    let mut consumer = log.consumer("c", &query).unwrap();
    put(&log, "a");
    assert_eq!(consumer.next_within(NOW).unwrap().unwrap().position(), 1);
    drop(consumer);
    let mut consumer = log.consumer("c", &query).unwrap();
    assert!(consumer.next_within(NOW).unwrap().is_some(), "at least once");
}

#[test]
fn h10b_a_group_that_has_acknowledged_goes_on_where_it_was() {
    let log = EventLog::in_memory().unwrap();
    let query = Query::everything().from_now();
    let group = log.group("g", &query, GroupOptions::new()).unwrap();
    for i in 0..5 {
        put(&log, &format!("s{i}"));
    }
    let stuck = take(&group).unwrap();
    while let Some(d) = take(&group) {
        d.ack().unwrap();
    }
    drop((stuck, group));
    let group = log.group("g", &query, GroupOptions::new()).unwrap();
    assert!(take(&group).is_some(), "event 1 was never acknowledged");
}

// 11
#[test]
fn h11a_a_value_set_later_stays() {
    let log = Options::new().background(false).batch_bytes(4 << 10).open_in_memory().unwrap();
    let _full = log.submit("s", ANY, &[NewEvent::new("T", &vec![0u8; 4000])]).unwrap();
    let old = log.batch().keep("x", vec![b'o'; 200]).submit().unwrap();
    assert!(old.assigned().is_none(), "queued");
    log.keep_lazily("x", "new").unwrap();
    assert_eq!(log.kept("x").unwrap().unwrap().value, "new");
    old.wait().unwrap();
    log.close().unwrap();
    assert_eq!(log.kept("x").unwrap().unwrap().value, "new");
}

#[test]
fn h11b_a_place_does_not_go_back() {
    let log = Options::new().background(false).batch_bytes(4 << 10).open_in_memory().unwrap();
    (0..5).for_each(|_| drop(put(&log, "e")));
    let _full = log.submit("s", ANY, &[NewEvent::new("T", &vec![0u8; 4000])]).unwrap();
    let one = log.batch().append("effect", ANY, &[ev()]).acknowledge("c", 1).submit().unwrap();
    assert!(one.assigned().is_none(), "queued");
    log.acknowledge("c", 5).unwrap();
    assert_eq!(log.acknowledged("c").unwrap(), 5);
    one.wait().unwrap();
    assert_eq!(log.acknowledged("c").unwrap(), 5);
}

// 12
#[test]
fn h12_beyond_the_end_is_told_when_the_end_is_durable() {
    let log = Options::new().background(false).open_in_memory().unwrap();
    let _pending = log.submit("s", ANY, &[ev()]).unwrap();
    let told = log.truncate_before("s", 9, ANY);
    assert_eq!((told.unwrap_err(), log.stream_version("s")), (AppendError::BeyondEnd { what: "version", asked: 9, end: 2 }, 1));
}

// 13
#[test]
fn h13a_a_repeat_is_answered_as_the_original_was() {
    let log = EventLog::in_memory().unwrap();
    log.append("b", ANY, &[ev(); 3]).unwrap();
    let id = Uuid::from_u128(7);
    let batch = || log.batch().append("a", ANY, &[ev().with_id(id)]).create("b", ANY, b"").commit().unwrap();
    let first = batch().streams[1].clone();
    log.append("b", ANY, &[ev(); 2]).unwrap();
    assert_eq!(batch().streams[1], first);
    log.tombstone("b", ANY).unwrap();
    assert_eq!(batch().streams[1], first);
}

fn damage(memory: &Memory, needle: &[u8]) {
    let name = shelf::segment_name(1);
    let file = memory.open(&name, true).unwrap();
    let bytes = shelf::files_of(memory)[&name].clone();
    let at = bytes.windows(needle.len()).position(|w| w == needle).unwrap();
    file.write_at(at as u64, b"#").unwrap();
}

#[test]
fn h13b_a_damaged_original_is_not_another_append() {
    let memory = Memory::new();
    let log = shelf::options().read_mode(ReadMode::Pread).open_storage(Arc::new(memory.clone())).unwrap();
    let append = || log.append("a", ANY, &[NewEvent::new("T", "damaged payload").with_id(Uuid::from_u128(7))]);
    append().unwrap();
    damage(&memory, b"damaged payload");
    assert!(matches!(append(), Err(AppendError::OriginalUnreadable { .. })), "{:?}", append());
}

#[test]
fn h13c_damage_to_one_event_does_not_forget_the_ids_behind_it() {
    let memory = Memory::new();
    let log = shelf::open(&memory).unwrap();
    let append = |log: &EventLog, n: u128, payload| {
        log.append("a", ANY, &[NewEvent::new("T", payload).with_id(Uuid::from_u128(n))])
    };
    append(&log, 1, "damaged payload").unwrap();
    append(&log, 2, "sound").unwrap();
    put(&log, "z");
    log.close().unwrap();
    drop(log);
    // The log goes on in a second segment, so that the first is not read whole at open.
    let log = shelf::open(&memory).unwrap();
    for _ in 0..3 {
        log.append("z", ANY, &[NewEvent::new("T", &vec![0u8; 40 << 10])]).unwrap();
    }
    assert!(append(&log, 2, "sound").unwrap().repeated);
    log.close().unwrap();
    drop(log);
    damage(&memory, b"damaged payload");
    let log = shelf::open(&memory).unwrap();
    let one = append(&log, 1, "damaged payload");
    let two = append(&log, 2, "sound");
    println!("{one:?}\n{two:?}");
    assert!(two.unwrap().repeated, "appended twice");
}

// 14
#[test]
fn h14_a_long_delay_is_no_panic() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "a");
    let group = log.group("g", &Query::everything(), GroupOptions::new().retry_after(Duration::MAX)).unwrap();
    take(&group).unwrap().nack("later").unwrap();
}

// 15
#[test]
fn h15_many_truncates_in_a_batch() {
    let log = EventLog::in_memory().unwrap();
    for n in [10_000, 20_000, 40_000] {
        let mut batch = log.batch();
        for i in 0..n {
            batch = batch.create(&format!("s{i}"), ANY, b"").truncate_before(&format!("s{i}"), 1, ANY);
        }
        let begun = Instant::now();
        batch.commit().unwrap();
        println!("{n}: {:?}", begun.elapsed());
    }
    for n in [10_000, 20_000, 40_000] {
        let begun = Instant::now();
        let mut batch = log.batch().tombstone(&format!("t{n}"), ANY);
        for i in 0..n {
            batch = batch.append(&format!("s{i}"), ANY, &[ev()]);
        }
        println!("building {n}: {:?}", begun.elapsed());
        drop(batch);
    }
}

// 16
#[test]
fn h16_done_means_that_wait_returns_at_once() {
    let log = Options::new().background(false).durability(Durability::Sequenced).open_in_memory().unwrap();
    let _one = log.submit("s", ANY, &[ev()]).unwrap();
    let conflict = log.submit("s", ExpectedVersion::NoStream, &[ev()]).unwrap();
    let done = conflict.is_done();
    let before = log.last_position();
    let _ = conflict.wait();
    assert!(!done || before == 1, "done {done}, and wait committed a batch");
}

// 17
#[test]
fn h17_an_acknowledgement_that_failed_comes_again() {
    let disk = SimDisk::new(1);
    let log = shelf::options().open_storage(Arc::new(disk.clone())).unwrap();
    put(&log, "a");
    put(&log, "b");
    disk.set_space(Some(0));
    let big = vec![0u8; 16 << 10];
    while log.append("fill", ANY, &[NewEvent::new("T", &big)]).is_ok() {}
    let mut waiting = 0;
    for size in [100_000, 10_000, 1_000, 100, 10, 1] {
        for i in 0.. {
            let name = format!("v{size}-{i}");
            if log.keep_lazily(&name, vec![0u8; size]).is_err() {
                break;
            }
            waiting += 1;
        }
    }
    println!("{waiting} wait");
    let group = log.group("g", &Query::prefix("a"), GroupOptions::new()).unwrap();
    let told = take(&group).unwrap().ack();
    println!("{told:?}");
    assert!(told.is_err());
    std::thread::sleep(Duration::from_millis(150));
    assert!(take(&group).is_some(), "it was said that it comes again");
}

// 18
#[test]
fn h18_a_tenants_subscription_is_told_that_its_stream_is_gone() {
    let log = EventLog::in_memory().unwrap();
    log.tenant("t").append("s", ANY, &[ev()]).unwrap();
    let mut plain = log.subscribe(&Query::stream("s"));
    let mut bound = log.subscribe(&Query::stream("s").of_tenant("t"));
    for s in [&mut plain, &mut bound] {
        assert!(matches!(s.next_within(NOW), Ok(Next::Event(_))));
    }
    log.tombstone("s", ANY).unwrap();
    assert!(matches!(plain.next_within(NOW), Err(ReadError::Gone { .. })));
    let got = bound.next_within(NOW);
    assert!(matches!(got, Err(ReadError::Gone { .. })), "{got:?}");
}

// 20
#[test]
fn h20_last_event_of_a_cut_stream() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "s");
    log.truncate_before("s", 2, ANY).unwrap();
    println!("{:?} {:?}", log.last_event("s"), log.last_event_under("s"));
    assert!(matches!(log.last_event("s"), Ok(None)));
}

// 21: late binding and a subscription
#[test]
fn h21_late_binding() {
    let log = EventLog::in_memory().unwrap();
    let mut sub = log.subscribe(&Query::everything().of_tenant("t"));
    put(&log, "s");
    assert!(matches!(sub.next_within(NOW), Ok(Next::TimedOut)));
    log.tenant("t").append("s", ANY, &[ev()]).unwrap();
    let mut got = vec![];
    while let Next::Event(e) = sub.next_within(NOW).unwrap() { got.push(e.position()); }
    let read: Vec<_> = log.read(&Query::everything().of_tenant("t")).into_iter().map(|e| e.unwrap().position()).collect();
    assert_eq!(got, read);
}

// 22: ack_with a batch of another log
#[test]
fn h22_foreign_batch() {
    let (log, other) = (EventLog::in_memory().unwrap(), EventLog::in_memory().unwrap());
    put(&log, "a");
    let group = log.group("g", &Query::everything(), GroupOptions::new()).unwrap();
    let told = take(&group).unwrap().ack_with(other.batch().append("x", ANY, &[ev()]));
    println!("{told:?} here {:?} there {:?}", log.acknowledged("g"), other.acknowledged("g"));
    assert!(told.is_err());
}

// 23: replay with a tombstoned stream takes the place back
#[test]
fn h23_place_of_a_group_over_an_ended_stream() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "s");
    put(&log, "s");
    let group = log.group("g", &Query::stream("s"), GroupOptions::new().attempts_max(1)).unwrap();
    take(&group).unwrap().nack("no").unwrap();
    take(&group).unwrap().ack_with(log.batch()).unwrap();
    let before = log.acknowledged("g").unwrap();
    log.tombstone("s", ANY).unwrap();
    group.replay(1).unwrap();
    take(&group).unwrap().ack_with(log.batch()).unwrap();
    assert!(log.acknowledged("g").unwrap() >= before, "{} after {before}", log.acknowledged("g").unwrap());
}
// 24
#[test]
fn h24_stopped_at_after_the_last_of_the_limit() {
    let log = EventLog::in_memory().unwrap();
    (0..5).for_each(|_| drop(put(&log, "s")));
    let mut events = log.read(&Query::everything().limit(2)).into_iter();
    assert_eq!(events.by_ref().take(2).count(), 2);
    assert_eq!(events.stopped_at(), Some(2), "nothing is left of the limit");
}
// 25: replay raced by an ack
#[test]
fn h25_a_subscribers_waker_that_panics_harms_no_appender() {
    use futures_core::Stream;
    use std::task::{Context, Wake, Waker};
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("user code")
        }
    }
    let log = EventLog::in_memory().unwrap();
    let mut subscription = log.subscribe(&Query::everything());
    let waker = Waker::from(Arc::new(Bad));
    let polled = std::pin::Pin::new(&mut subscription).poll_next(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    let told = log.append("s", ANY, &[ev()]);
    assert!(told.is_ok(), "{told:?}, and {:?}", log.status());
}

#[test]
fn h13d_a_repeat_says_created_as_the_original() {
    let log = EventLog::in_memory().unwrap();
    let append = || log.append("a", ANY, &[ev().with_id(Uuid::from_u128(7))]).unwrap().created;
    assert_eq!((append(), append()), (true, true), "this is what it was given then");
}

// 26: exactly once over crashes
#[test]
fn h26_exactly_once_over_crashes() {
    use crate::simdisk::{Rng, Survive};
    for seed in 0..300u64 {
        let mut rng = Rng::new(seed);
        let mut disk = SimDisk::new(seed);
        let options = || Options::new().background(false).segment_bytes(64 << 10).batch_bytes(4 << 10);
        let log = options().open_storage(Arc::new(disk.clone())).unwrap();
        let total = 40u64;
        for i in 0..total {
            put(&log, &format!("in-{}", i % 7));
        }
        log.close().unwrap();
        drop(log);
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < 400, "seed {seed}: never done");
            let log = match options().open_storage(Arc::new(disk.clone())) {
                Ok(log) => log,
                Err(error) => panic!("seed {seed}: {error}"),
            };
            let crash = rng.chance(4, 5);
            if crash {
                disk.crash_at(disk.ops() + rng.below(60));
            }
            let group = log.group("g", &Query::prefix("in-"), GroupOptions::new().window(8).attempts_max(2).retry_after(Duration::ZERO)).unwrap();
            let mut held: Vec<Delivery> = Vec::new();
            let mut idle = 0;
            if rng.chance(1, 3) { let _ = group.replay_all(); }
            for _ in 0..200 {
                match group.next_within(NOW) {
                    Ok(GroupNext::Delivery(d)) => held.push(d),
                    Ok(GroupNext::Ended) => break,
                    Ok(GroupNext::TimedOut) => { idle += 1; if held.is_empty() && idle > 3 { break } }
                    Err(_) => break,
                }
                if held.len() > 3 || (idle > 0 && !held.is_empty()) {
                    let d = held.swap_remove(rng.below(held.len() as u64) as usize);
                    match rng.below(10) {
                        0 => drop(d.nack("no")),
                        1 => drop(d),
                        _ => {
                            let to = format!("out-{}", d.position());
                            let batch = log.batch().append(&to, ANY, &[ev()]);
                            let _ = d.ack_with(batch);
                        }
                    }
                }
            }
            drop(held);
            drop(group);
            drop(log);
            let done = !crash;
            disk = disk.power_cut(&mut rng, if seed % 2 == 0 { Survive::Garbage } else { Survive::Random });
            if done && rounds > 6 {
                let log = options().open_storage(Arc::new(disk.clone())).unwrap();
                let group = log.group("g", &Query::prefix("in-"), GroupOptions::new().retry_after(Duration::ZERO)).unwrap();
                for _ in 0..2 {
                while let Ok(GroupNext::Delivery(d)) = group.next_within(NOW) {
                    let to = format!("out-{}", d.position());
                    let batch = log.batch().append(&to, ANY, &[ev()]);
                    d.ack_with(batch).unwrap();
                }
                group.replay_all().unwrap();
                }
                for p in 1..=total {
                    assert_eq!(log.stream_version(&format!("out-{p}")), 1, "seed {seed} position {p} rounds {rounds}");
                }
                break;
            }
        }
    }
}

// 27
#[test]
fn h27_a_group_is_not_at_its_end_while_a_replay_waits() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "a");
    let options = GroupOptions::new().attempts_max(2).retry_after(Duration::from_millis(30));
    let group = log.group("g", &Query::everything().before(2), options).unwrap();
    while let GroupNext::Delivery(d) = group.next_within(Duration::from_millis(100)).unwrap() {
        if d.nack("no").unwrap() { break }
    }
    group.replay(1).unwrap();
    take(&group).unwrap().nack("not yet").unwrap();
    let got = group.next_within(Duration::from_secs(1)).unwrap();
    assert!(matches!(got, GroupNext::Delivery(_)), "{got:?}");
}

// 28
#[test]
fn h28_ack_with_is_durable() {
    let log = Options::new().background(false).durability(Durability::Sequenced).open_in_memory().unwrap();
    log.batch().append("a", ANY, &[ev()]).durability(Durability::Synced).commit().unwrap();
    let group = log.group("g", &Query::everything(), GroupOptions::new()).unwrap();
    take(&group).unwrap().ack_with(log.batch().append("x", ANY, &[ev()])).unwrap();
    assert_eq!(log.status().durable, log.status().appended);
}

// 29: queries against brute force
#[test]
fn h29_queries_against_brute_force() {
    use crate::simdisk::Rng;
    let streams = ["p", "pa", "pb", "q", "qa", "é", "éx"];
    let types = ["T", "U", "V"];
    let tenants = ["t1", "t2"];
    let mut wrong = Vec::new();
    for seed in 0..400u64 {
        let mut rng = Rng::new(seed);
        let log = shelf::options().open_in_memory().unwrap();
        let mut pick = |n: usize| rng.below(n as u64) as usize;
        let few = pick(2) == 0;
        for _ in 0..40 + pick(100) {
            let s = streams[if few { [0, 3, 3, 3, 3, 3, 3, 3, 3, 4][pick(10)] } else { pick(streams.len()) }];
            let n = 1 + pick(if few { 20 } else { 3 });
            let t = types[pick(3)];
            let events = vec![NewEvent::new(t, "x"); n];
            match pick(30) {
                0 => drop(log.tombstone(s, ANY)),
                1 => drop(log.truncate_before(s, log.stream_version(s) + 1, ANY)),
                2..=6 => drop(log.tenant(tenants[pick(2)]).append(s, ANY, &events)),
                7 => drop(log.append(s, ANY, &[NewEvent::new(t, &vec![0u8; 30 << 10])])),
                _ => drop(log.append(s, ANY, &events)),
            }
        }
        let end = log.last_position();
        let all: Vec<RecordedEvent> = log.read_all(0).into_iter().map(|e| e.unwrap()).collect();
        for case in 0..60 {
            let prefix = ["", "p", "pa", "q", "é", "zz", "\u{e9}x"][pick(7)];
            let tenant = [None, None, Some("t1"), Some("t2"), Some("t3")][pick(5)];
            let kinds: Vec<&str> = types.iter().copied().filter(|_| pick(3) == 0).collect();
            let after = [0, pick(end as usize + 3) as u64, u64::MAX][[0, 1, 1, 1, 2][pick(5)]];
            let before = [u64::MAX, pick(end as usize + 3) as u64][pick(2)];
            let backward = pick(2) == 0;
            let mut want: Vec<u64> = all.iter().filter(|e| {
                e.stream().starts_with(prefix) && (kinds.is_empty() || kinds.contains(&e.event_type()))
                && e.position() > after && e.position() < before
                && tenant.is_none_or(|t| log.stream_info(e.stream()).unwrap().tenant.as_deref() == Some(t))
            }).map(|e| e.position()).collect();
            if backward { want.reverse() }
            let mut query = Query::prefix(prefix).of_types(&kinds).after(after).before(before);
            if let Some(t) = tenant { query = query.of_tenant(t) }
            if backward { query = query.backward() }
            let got: Vec<u64> = log.read(&query).into_iter().map(|e| e.unwrap().position()).collect();
            if got != want { wrong.push(format!("{seed}/{case} {query:?}: {got:?} want {want:?}")); }
            // Page by page.
            let (limit, budget) = (1 + pick(5) as u64, 1 + pick(5) as u64);
            let (limit, budget) = [(limit, u64::MAX), (u64::MAX, budget), (limit, budget)][pick(3)];
            let mut pages = Vec::new();
            let mut q = query.clone().limit(limit).budget(budget);
            for round in 0.. {
                if round > 2000 { wrong.push(format!("{seed}/{case} endless {q:?}")); break }
                let mut events = log.read(&q).into_iter();
                let page: Vec<u64> = events.by_ref().map(|e| e.unwrap().position()).collect();
                if page.len() as u64 > limit { wrong.push(format!("limit {q:?}")); }
                pages.extend(page);
                match events.stopped_at() {
                    None => break,
                    Some(at) => q = if backward { q.before(at) } else { q.after(at) },
                }
            }
            if pages != want { wrong.push(format!("{seed}/{case} pages {query:?} {limit} {budget}: {pages:?} want {want:?}")); }
            // A subscription that begins there.
            if !backward && after < u64::MAX {
                let mut sub = log.subscribe(&query);
                let mut got = Vec::new();
                while let Next::Event(e) = sub.next_within(NOW).unwrap() { got.push(e.position()); }
                if got != want { wrong.push(format!("{seed}/{case} sub {query:?}: {got:?} want {want:?}")); }
            }
        }
        if wrong.len() > 3 { break }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

// 30: close against lazies
#[test]
fn h30_close_loses_no_lazy_value() {
    for _ in 0..200 {
        let memory = Memory::new();
        let log = Options::new().open_storage(Arc::new(memory.clone())).unwrap();
        let last: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|t| {
                let log = log.clone();
                scope.spawn(move || {
                    let mut last = 0;
                    for i in 1u64.. {
                        let ok = if i % 7 == 0 && t == 1 { log.keep(&format!("k{t}"), KeptCondition::Any, i.to_le_bytes()).is_ok() }
                            else { log.keep_lazily(&format!("k{t}"), i.to_le_bytes()).is_ok() };
                        if !ok { break }
                        last = i;
                        let seen = u64::from_le_bytes(log.kept(&format!("k{t}")).unwrap().unwrap().value[..].try_into().unwrap());
                        assert_eq!(seen, i);
                    }
                    last
                })
            }).collect();
            std::thread::sleep(Duration::from_millis(3));
            log.close().unwrap();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        drop(log);
        let log = Options::new().open_storage(Arc::new(memory.clone())).unwrap();
        for (t, last) in last.into_iter().enumerate() {
            let seen = log.kept(&format!("k{t}")).unwrap().map_or(0, |k| u64::from_le_bytes(k.value[..].try_into().unwrap()));
            assert_eq!(seen, last, "k{t}");
        }
    }
}

// 31: idempotency over crashes
#[test]
fn h31_idempotency_over_crashes() {
    use crate::simdisk::{Rng, Survive};
    use std::collections::HashMap;
    for seed in 0..200u64 {
        let mut rng = Rng::new(seed);
        let mut disk = SimDisk::new(seed);
        let window = [3, 10, 1000][rng.below(3) as usize];
        let options = || Options::new().background(false).segment_bytes(64 << 10).batch_bytes(4 << 10).idempotency_window(window);
        // key -> first positions that were answered durably
        let mut told: HashMap<u64, (u64, u64)> = HashMap::new();
        for _ in 0..8 {
            let log = options().open_storage(Arc::new(disk.clone())).unwrap();
            disk.crash_at(disk.ops() + 5 + rng.below(150));
            let mut waiting = Vec::new();
            for _ in 0..60 {
                let key = rng.below(30);
                let size = if key % 5 == 0 { 3000 } else { 10 };
                let payload = vec![key as u8; size];
                let s = format!("s{}", key % 4);
                let id = Uuid::from_u128(1000 + key as u128);
                let id2 = Uuid::from_u128(5000 + key as u128);
                let mut batch = log.batch();
                if key % 3 == 0 { batch = batch.keep(&format!("k{key}"), "v"); }
                if key % 4 == 0 { batch = batch.create(&format!("c{key}"), ANY, b""); }
                batch = batch.append(&s, ANY, &[NewEvent::new("T", &payload).with_id(id)]);
                if key % 2 == 0 { batch = batch.append("z", ANY, &[NewEvent::new("T", "z"), NewEvent::new("T", "z").with_id(id2)]); }
                waiting.push((key, batch.submit().unwrap()));
                if rng.chance(1, 6) {
                    for (key, p) in waiting.drain(..) {
                        if let Ok(done) = p.wait() {
                            let now = (done.first_position, done.last_position);
                            if done.repeated {
                                let end = log.last_position();
                                let known = told.get(&key);
                                if let Some(known) = known {
                                    assert!(*known == now || known.1 + window <= now.0 - 1, "seed {seed} key {key} {known:?} {now:?} {window}");
                                }
                                let _ = end;
                            } else if let Some(known) = told.get(&key) {
                                // Only beyond the window.
                                assert!(known.1 + window <= now.0 - 1, "seed {seed} key {key} window {window}: {known:?} again at {now:?}");
                            }
                            told.insert(key, now);
                        }
                    }
                }
            }
            drop(waiting);
            drop(log);
            disk = disk.power_cut(&mut rng, if seed % 2 == 0 { Survive::Garbage } else { Survive::Random });
            let log = options().open_storage(Arc::new(disk.clone())).unwrap();
            let mut last: HashMap<Uuid, u64> = HashMap::new();
            for e in log.read_all(0) {
                let e = e.unwrap();
                if e.id().get_version_num() == 8 { continue }
                if let Some(before) = last.insert(e.id(), e.position()) {
                    assert!(before + window <= e.position() + 1, "seed {seed}: id at {before} and {}", e.position());
                }
            }
            // What was told before the crash stays.
            for (key, (first, _)) in &told {
                let e = log.event_at(*first).unwrap().unwrap();
                let _ = (key, e);
            }
        }
    }
}

// 32: sync that takes long, and a late witness: lazies
mod slow {
    use super::*;
    use annals::storage::*;
    use std::io;
    #[derive(Debug)]
    pub(super) struct Slow(pub(super) Memory, pub(super) Arc<std::sync::atomic::AtomicU64>);
    #[derive(Debug)]
    struct SlowFile(Arc<dyn File>, Arc<std::sync::atomic::AtomicU64>);
    impl Storage for Slow {
        fn name(&self) -> String { self.0.name() }
        fn list(&self) -> io::Result<Vec<String>> { self.0.list() }
        fn try_lock(&self) -> io::Result<Option<Lock>> { self.0.try_lock() }
        fn create(&self, name: &str) -> io::Result<Arc<dyn File>> { Ok(Arc::new(SlowFile(self.0.create(name)?, self.1.clone()))) }
        fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn File>> { Ok(Arc::new(SlowFile(self.0.open(name, write)?, self.1.clone()))) }
        fn rename(&self, from: &str, to: &str) -> io::Result<()> { self.0.rename(from, to) }
        fn remove(&self, name: &str) -> io::Result<()> { self.0.remove(name) }
        fn sync_directory(&self) -> io::Result<()> { self.0.sync_directory() }
    }
    impl File for SlowFile {
        fn len(&self) -> io::Result<u64> { self.0.len() }
        fn allocate(&self, len: u64) -> io::Result<()> { self.0.allocate(len) }
        fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> { self.0.write_at(offset, bytes) }
        fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()> { self.0.write_zeros(offset, len) }
        fn sync(&self) -> io::Result<()> {
            std::thread::sleep(Duration::from_millis(self.1.load(std::sync::atomic::Ordering::SeqCst)));
            self.0.sync()
        }
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> { self.0.read_at(offset, buffer) }
        fn read_device(&self, offset: u64, buffer: &mut [u8]) -> io::Result<DeviceRead> { self.0.read_device(offset, buffer) }
        fn map(&self, len: u64) -> io::Result<Option<Mapping>> { self.0.map(len) }
    }
}

#[test]
fn h32_lazy_values_do_not_wait_for_the_witness() {
    let ms = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let log = Options::new().idle_witness_after(Duration::from_secs(10)).open_storage(Arc::new(slow::Slow(Memory::new(), ms.clone()))).unwrap();
    put(&log, "a");
    ms.store(150, std::sync::atomic::Ordering::SeqCst);
    std::thread::scope(|scope| {
        scope.spawn(|| put(&log, "a"));
        std::thread::sleep(Duration::from_millis(30));
        // While that commit is on its way:
        log.keep_lazily("x", "1").unwrap();
    });
    ms.store(0, std::sync::atomic::Ordering::SeqCst);
    let begun = Instant::now();
    while log.kept("x").unwrap().unwrap().revision.is_none() && begun.elapsed() < Duration::from_secs(12) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(begun.elapsed() < Duration::from_millis(500), "durable after {:?}", begun.elapsed());
}

// 33
#[test]
fn h33_last_acknowledged_of_a_new_consumer() {
    let log = EventLog::in_memory().unwrap();
    (0..3).for_each(|_| drop(put(&log, "s").to_string()));
    let mut consumer = log.consumer("c", &Query::everything().after(2)).unwrap();
    consumer.seek(Seek::LastAcknowledged).unwrap();
    assert_eq!(consumer.next_within(NOW).unwrap().unwrap().position(), 3);
}

// 34: monotone view of a kept value, one writer, mixed ways
#[test]
fn h34_kept_never_goes_back() {
    let log = EventLog::in_memory().unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    let one = log.kept("x").unwrap().map_or(0, |k| u64::from_le_bytes(k.value[..].try_into().unwrap()));
                    let list = log.list_kept("", None, 9).unwrap().pop().map_or(0, |k| u64::from_le_bytes(k.value[..].try_into().unwrap()));
                    assert!(one >= last && list >= one, "{last} {one} {list}");
                    last = list;
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                put(&log, "noise");
            }
        });
        for i in 1..60_000u64 {
            match i % 5 {
                0 => drop(log.keep("x", KeptCondition::Any, i.to_le_bytes()).unwrap()),
                _ => log.keep_lazily("x", i.to_le_bytes()).unwrap(),
            }
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}

// 35: many members, many streams: order, each once, nobody sleeps for ever
#[test]
fn h35_group_stress() {
    let log = EventLog::in_memory().unwrap();
    let total = 6000u64;
    let group = log.group("g", &Query::prefix("in-"), GroupOptions::new().window(5).retry_after(Duration::from_millis(1)).attempts_max(1000)).unwrap();
    let seen = std::sync::Mutex::new(std::collections::HashMap::<String, Vec<u64>>::new());
    let done = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for t in 0..4 {
            let mut group = group.clone();
            let (log, seen, done) = (&log, &seen, &done);
            scope.spawn(move || {
                let mut n = t;
                while let Some(d) = group.next() {
                    let d = d.unwrap();
                    n += 7;
                    if n % 11 == 0 { d.nack("x").unwrap(); continue }
                    seen.lock().unwrap().entry(d.stream().to_owned()).or_default().push(d.version());
                    if n % 3 == 0 { let b = log.batch().append("out", ANY, &[ev()]); d.ack_with(b).map(|_| ()).unwrap() } else { d.ack().unwrap() }
                    if done.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 == total { group.stop() }
                }
            });
        }
        for i in 0..total { put(&log, &format!("in-{}", i % 13)); }
        let begun = Instant::now();
        while done.load(std::sync::atomic::Ordering::SeqCst) < total {
            std::thread::sleep(Duration::from_millis(20));
            if begun.elapsed() > Duration::from_secs(20) { group.stop(); panic!("stuck at {done:?} lag {}", group.lag()) }
        }
    });
    for (s, versions) in seen.into_inner().unwrap() {
        assert!(versions.iter().copied().eq(1..=versions.len() as u64), "{s} {versions:?}");
    }
}
