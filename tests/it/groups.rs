//! Groups: threads that share the work of one consumer, stream by stream, and what becomes of events that fail.
//!
//! Owns one rule a test, mostly on one thread that plays all members. The helpers are those of `consumers.rs`.

use crate::consumers::{ANY, LONG, SHORT, put};
use crate::simdisk::{Rng, SimDisk, Survive};
use annals::{ConsumerError, Delivery, EventLog, Group, GroupNext, GroupOptions, NewEvent, Options, Query};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

fn open(log: &EventLog, options: GroupOptions) -> Group {
    log.group("g", &Query::everything(), options.retry_after(Duration::from_millis(1))).unwrap()
}

fn next(group: &Group) -> Delivery {
    match group.next_within(LONG).unwrap() {
        GroupNext::Delivery(delivery) => delivery,
        other => panic!("{other:?}"),
    }
}

fn nothing(group: &Group) {
    let got = group.next_within(SHORT).unwrap();
    assert!(matches!(got, GroupNext::TimedOut), "{got:?}");
}

/// Acknowledges all that is there now; which positions that are.
fn rest(group: &Group) -> Vec<u64> {
    let mut positions = Vec::new();
    while let GroupNext::Delivery(delivery) = group.next_within(SHORT).unwrap() {
        positions.push(delivery.position());
        delivery.ack().unwrap();
    }
    positions
}

fn place(log: &EventLog) -> u64 {
    log.acknowledged("g").unwrap()
}

fn parked(group: &Group) -> Vec<(u64, u32, String)> {
    let parked = group.parked(0, 100).unwrap();
    parked.into_iter().map(|parked| (parked.position, parked.attempts, parked.reason)).collect()
}

#[test]
fn four_threads_take_the_events_of_a_stream_in_order_and_one_at_a_time() {
    let log = EventLog::in_memory().unwrap();
    let group = open(&log, GroupOptions::new().window(40));
    // By stream: the last version that was done, and whether one is being worked on.
    let streams: Mutex<BTreeMap<String, (u64, bool)>> = Mutex::default();
    let threads = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            let (group, streams, threads) = (group.clone(), &streams, &threads);
            scope.spawn(move || {
                for delivery in group {
                    let delivery = delivery.unwrap();
                    {
                        let mut streams = streams.lock().unwrap();
                        let (done, busy) = streams.entry(delivery.stream().to_owned()).or_default();
                        assert!(!std::mem::replace(busy, true), "two of {} at once", delivery.stream());
                        assert_eq!(delivery.version(), *done + 1, "{}", delivery.stream());
                        threads.lock().unwrap().insert(format!("{:?}", thread::current().id()));
                    }
                    thread::sleep(Duration::from_micros(delivery.position() % 7 * 100));
                    let mut streams = streams.lock().unwrap();
                    streams.insert(delivery.stream().to_owned(), (delivery.version(), false));
                    drop(streams);
                    delivery.ack().unwrap();
                }
            });
        }
        for i in 0..600u64 {
            put(&log, &format!("s{}", i * i % 7), "T");
        }
        let deadline = std::time::Instant::now() + LONG;
        while place(&log) < 600 && std::time::Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        group.stop();
    });
    let done: u64 = streams.into_inner().unwrap().values().map(|(done, _)| done).sum();
    assert_eq!((done, threads.into_inner().unwrap().len(), group.lag()), (600, 4, 0));
}

#[test]
fn a_slow_stream_holds_up_nobody_else_and_the_place_waits_for_it() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "slow", "T");
    put(&log, "slow", "T");
    (0..20).for_each(|i| _ = put(&log, &format!("s{}", i % 3), "T"));
    let group = open(&log, GroupOptions::new());
    let slow = next(&group);
    assert_eq!((slow.stream(), slow.position(), slow.attempt()), ("slow", 1, 1));
    let others = rest(&group);
    assert_eq!(others.iter().copied().collect::<BTreeSet<u64>>(), (3..=22).collect());
    assert_eq!((place(&log), group.lag()), (0, 22), "never beyond one that is open");
    slow.ack().unwrap();
    assert_eq!(place(&log), 1, "the second one of the stream is open now");
    assert_eq!((rest(&group), place(&log), group.lag()), (vec![2], 22, 0));
}

#[test]
fn what_failed_comes_again_before_the_others_of_its_stream() {
    let log = EventLog::in_memory().unwrap();
    for stream in ["a", "a", "b"] {
        put(&log, stream, "T");
    }
    let retry = Duration::from_millis(60);
    let group = log.group("g", &Query::everything(), GroupOptions::new().retry_after(retry)).unwrap();
    assert!(!next(&group).nack("not now").unwrap());
    let failed = std::time::Instant::now();
    assert_eq!(rest(&group), [3], "the stream waits with it, others do not");
    let again = next(&group);
    assert!(failed.elapsed() >= retry - Duration::from_millis(5), "{:?}", failed.elapsed());
    assert_eq!((again.position(), again.attempt(), again.is_replayed()), (1, 2, false));
    assert_eq!(place(&log), 0);
    again.ack().unwrap();
    let second = next(&group);
    assert_eq!((second.position(), second.attempt()), (2, 1), "attempts are counted for each event");
    second.ack().unwrap();
    assert_eq!((place(&log), parked(&group)), (3, vec![]));
}

#[test]
fn after_so_many_attempts_it_is_set_aside_with_the_reason_and_the_stream_goes_on() {
    let log = EventLog::in_memory().unwrap();
    (0..3).for_each(|_| _ = put(&log, "s", "T"));
    let group = open(&log, GroupOptions::new().attempts_max(3));
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    for attempt in 1..=3 {
        let delivery = next(&group);
        assert_eq!((delivery.position(), delivery.attempt()), (1, attempt));
        assert_eq!(delivery.nack(&format!("reason {attempt}")).unwrap(), attempt == 3);
    }
    assert_eq!(parked(&group), [(1, 3, "reason 3".into())]);
    assert!(u128::from(group.parked(0, 1).unwrap()[0].parked_nanos) >= before.as_nanos());
    assert_eq!((rest(&group), place(&log)), (vec![2, 3], 3));
}

#[test]
fn a_delivery_that_is_dropped_has_failed() {
    let log = EventLog::in_memory().unwrap();
    (0..2).for_each(|_| _ = put(&log, "s", "T"));
    let group = open(&log, GroupOptions::new().attempts_max(2));
    for attempt in 1..=2 {
        assert_eq!(next(&group).attempt(), attempt);
    }
    // A panic in a member is such a drop, too.
    assert_eq!(next(&group).position(), 2);
    assert_eq!(parked(&group), [(1, 2, "dropped without an answer".into())]);
    let member = group.clone();
    let panicked = thread::spawn(move || {
        let _delivery = next(&member);
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(panicked.join().is_err());
    nothing(&group);
    assert_eq!(parked(&group).iter().map(|parked| parked.0).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn what_is_set_aside_is_replayed_or_discarded_on_demand() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    for i in 0..6 {
        put(&log, &format!("s{}", i % 2), "T");
    }
    let options = || GroupOptions::new().attempts_max(1);
    let group = open(&log, options());
    for _ in 0..6 {
        let delivery = next(&group);
        let reason = format!("no {}", delivery.position());
        assert!(delivery.nack(&reason).unwrap());
    }
    log.close().unwrap();
    drop(group);

    let log = EventLog::open(dir.path()).unwrap();
    let group = open(&log, options());
    nothing(&group);
    let expected: Vec<_> = (1..=6).map(|at| (at, 1, format!("no {at}"))).collect();
    assert_eq!(parked(&group), expected, "they survive");
    assert_eq!(group.parked(2, 2).unwrap().iter().map(|one| one.position).collect::<Vec<_>>(), [3, 4]);
    assert!(!group.replay(7).unwrap() && !group.discard(7).unwrap(), "there is no such event");

    // One that fails again stays, with its new reason; one that succeeds goes.
    assert!(group.replay(3).unwrap() && !group.replay(3).unwrap(), "it is on its way already");
    let again = next(&group);
    assert_eq!((again.position(), again.attempt(), again.is_replayed()), (3, 1, true));
    assert!(again.nack("still no").unwrap());
    assert_eq!(parked(&group)[2], (3, 1, "still no".into()));
    assert!(group.replay(3).unwrap());
    next(&group).ack().unwrap();
    assert!(group.replay(4).unwrap());
    next(&group).ack_with(log.batch().append("out", ANY, &[NewEvent::new("Out", "")])).unwrap();
    assert!(group.discard(5).unwrap() && !group.discard(5).unwrap() && !group.replay(5).unwrap());
    let left = |group: &Group| parked(group).into_iter().map(|parked| parked.0).collect::<Vec<_>>();
    assert_eq!(left(&group), [1, 2, 6]);
    // The result itself came by as an event of the log.
    assert_eq!(rest(&group), [7]);
    log.close().unwrap();
    drop(group);

    let log = EventLog::open(dir.path()).unwrap();
    let group = open(&log, options());
    assert_eq!(
        (left(&group), group.replay_all().unwrap(), group.replay_all().unwrap()),
        (vec![1, 2, 6], 3, 0)
    );
    let replayed = rest(&group);
    assert_eq!(replayed.iter().copied().collect::<BTreeSet<u64>>(), BTreeSet::from([1, 2, 6]));
    assert!(
        replayed.iter().position(|at| *at == 2) < replayed.iter().position(|at| *at == 6),
        "of one stream"
    );
    assert_eq!((left(&group), group.replay_all().unwrap(), place(&log)), (vec![], 0, 7));
}

#[test]
fn the_window_bounds_what_is_out() {
    let log = EventLog::in_memory().unwrap();
    (0..10).for_each(|i| _ = put(&log, &format!("s{i}"), "T"));
    let group = open(&log, GroupOptions::new().window(3));
    let mut out: Vec<Delivery> = (0..3).map(|_| next(&group)).collect();
    nothing(&group);
    // What is done behind an open event counts: it would come again after a crash.
    out.remove(1).ack().unwrap();
    nothing(&group);
    out.remove(0).ack().unwrap();
    out.push(next(&group));
    out.push(next(&group));
    nothing(&group);
    // One that waits to be tried again is out, too.
    out.remove(0).nack("").unwrap();
    out.push(next(&group));
    assert_eq!(out.iter().map(|delivery| delivery.position()).collect::<Vec<_>>(), [4, 5, 3]);
    nothing(&group);
    out.into_iter().for_each(|delivery| delivery.ack().unwrap());
    assert_eq!((rest(&group).len(), place(&log)), (5, 10));
}

#[test]
fn the_query_of_a_group_is_that_of_any_consumer() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    for (stream, kind) in [("a-1", "X"), ("b", "X"), ("a-2", "Y"), ("a-1", "Y"), ("b", "Y"), ("a-1", "X")] {
        put(&log, stream, kind);
    }
    let cases = [
        ("stream", Query::stream("a-1"), [1, 4, 6].as_slice()),
        ("prefix", Query::prefix("a-"), &[1, 3, 4, 6]),
        ("types", Query::everything().of_types(["Y"]), &[3, 4, 5]),
        ("both", Query::prefix("a-").of_types(["X"]), &[1, 6]),
        ("behind", Query::everything().after(4), &[5, 6]),
        ("now", Query::everything().from_now(), &[]),
    ];
    for (name, query, expected) in &cases {
        let group = log.group(name, query, GroupOptions::new()).unwrap();
        match expected.first() {
            None => nothing(&group),
            Some(first) => {
                let delivery = next(&group);
                assert_eq!(delivery.position(), *first, "{name}");
                delivery.ack().unwrap();
            }
        }
    }
    log.close().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    for (name, query, expected) in &cases {
        let group = log.group(name, query, GroupOptions::new()).unwrap();
        let mut left = rest(&group);
        left.sort_unstable();
        assert_eq!(left, expected.get(1..).unwrap_or_default(), "{name} goes on behind its place");
        let place = log.acknowledged(name).unwrap();
        assert!(place >= expected.last().copied().unwrap_or(0), "{name}: {place}");
    }
}

#[test]
fn plain_acknowledgements_behind_an_open_event_come_again_and_marked_ones_do_not() {
    let disk = SimDisk::new(1);
    let simulated =
        |disk: &SimDisk| Options::new().background(false).open_storage(Arc::new(disk.clone())).unwrap();
    let log = simulated(&disk);
    (0..6).for_each(|i| _ = put(&log, &format!("in-{i}"), "T"));
    let query = Query::prefix("in-");
    let group = log.group("g", &query, GroupOptions::new()).unwrap();
    let out: Vec<Delivery> = (0..6).map(|_| next(&group)).collect();
    for (i, delivery) in out.into_iter().enumerate() {
        match i {
            0 => std::mem::forget(delivery),
            1 | 3 => delivery.ack().unwrap(),
            _ => {
                drop(delivery.ack_with(log.batch().append("out", ANY, &[NewEvent::new("Out", "")])).unwrap())
            }
        }
    }
    let log = simulated(&disk.power_cut(&mut Rng::new(1), Survive::Nothing));
    let group = log.group("g", &query, GroupOptions::new()).unwrap();
    assert_eq!((place(&log), rest(&group)), (0, vec![1, 2, 4]));
    assert!(place(&log) >= 4, "the others are marked");
    assert_eq!(log.stream_version("out"), 3);
}

#[test]
fn the_marks_of_exactly_once_go_away_again() {
    let log = EventLog::in_memory().unwrap();
    let query = Query::prefix("in-");
    let group = log.group("g", &query, GroupOptions::new().window(300)).unwrap();
    for chunk in 0..100 {
        let mut batch = log.batch();
        for i in 0..100 {
            batch = batch.append(&format!("in-{}", (chunk + i * i) % 97), ANY, &[NewEvent::new("T", "")]);
        }
        batch.commit().unwrap();
    }
    thread::scope(|scope| {
        for _ in 0..4 {
            let (log, group) = (&log, group.clone());
            scope.spawn(move || {
                for delivery in group {
                    let delivery = delivery.unwrap();
                    let result = delivery.position().to_string();
                    delivery
                        .ack_with(log.batch().append("out", ANY, &[NewEvent::new("Out", &result)]))
                        .unwrap();
                }
            });
        }
        let deadline = std::time::Instant::now() + LONG;
        while log.stream_version("out") < 10_000 && std::time::Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        group.stop();
    });
    let results: BTreeSet<Vec<u8>> =
        log.read_stream("out", 0).into_iter().map(|event| event.unwrap().payload().to_vec()).collect();
    assert_eq!((results.len(), log.stream_version("out")), (10_000, 10_000));
    // A member that stood still for a moment kept the place back; the next batches remove up to 64 marks each.
    drop(group);
    let group = log.group("g", &query, GroupOptions::new()).unwrap();
    for _ in 0..200 {
        put(&log, "in-0", "T");
        next(&group).ack_with(log.batch()).unwrap();
    }
    assert!(place(&log) > 20_000);
    let kept = log.list_kept("annals/", None, 100_000).unwrap().len();
    assert!(kept <= 2, "{kept} values are kept after 10,200 acknowledgements");
    assert_eq!(log.last_position(), 20_200);
}

#[test]
fn to_stop_ends_the_members_and_what_is_out_can_be_acknowledged() {
    let log = EventLog::in_memory().unwrap();
    (0..2).for_each(|_| _ = put(&log, "s", "T"));
    let group = open(&log, GroupOptions::new());
    let out = next(&group);
    let members = waiting(&group);
    group.stop();
    told(&members);
    assert!(matches!(group.next_within(LONG).unwrap(), GroupNext::Ended), "although there is work");
    out.ack().unwrap();
    assert_eq!(place(&log), 1);
    drop((group, members));
    assert_eq!(rest(&open(&log, GroupOptions::new())), [2], "the next one goes on");
}

#[test]
fn to_close_the_log_ends_the_members() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "s", "T");
    let group = open(&log, GroupOptions::new());
    let out = next(&group);
    let members = waiting(&group);
    log.close().unwrap();
    told(&members);
    assert!(matches!(group.next_within(LONG).unwrap(), GroupNext::Ended));
    assert_eq!(out.ack_with(log.batch()).unwrap_err(), annals::AppendError::Closed);
}

/// Three members that wait; each tells when it is told of the end.
fn waiting(group: &Group) -> mpsc::Receiver<bool> {
    let (tell, told) = mpsc::channel();
    for mut member in [group.clone(), group.clone(), group.clone()] {
        let tell = tell.clone();
        thread::spawn(move || {
            let end = member.next().is_none();
            drop(member);
            tell.send(end).unwrap();
        });
    }
    thread::sleep(SHORT);
    told
}

fn told(members: &mpsc::Receiver<bool>) {
    for _ in 0..3 {
        assert!(members.recv_timeout(LONG).expect("a member sleeps on"));
    }
}

#[test]
fn groups_of_similar_names_do_not_mix() {
    let log = EventLog::in_memory().unwrap();
    (0..3).for_each(|i| _ = put(&log, &format!("s{i}"), "T"));
    let names = ["a", "a/b", "a/", "1:a", "3:a/b"];
    let options = || GroupOptions::new().attempts_max(1);
    let groups: Vec<Group> =
        names.iter().map(|name| log.group(name, &Query::everything(), options()).unwrap()).collect();
    for (i, group) in groups.iter().enumerate() {
        let (first, second) = (next(group), next(group));
        second.ack_with(log.batch().keep("x", "")).unwrap();
        if i % 2 == 0 {
            assert!(first.nack(names[i]).unwrap());
        } else {
            first.ack().unwrap();
        }
    }
    drop(groups);
    for (i, name) in names.into_iter().enumerate() {
        let group = log.group(name, &Query::everything(), options()).unwrap();
        let expected = if i % 2 == 0 { vec![(1, 1, name.to_owned())] } else { vec![] };
        assert_eq!((parked(&group), rest(&group)), (expected, vec![3]), "{name}");
    }
}

/// One result for each input, whenever the power goes; a part of the inputs fails at first, is set aside and replayed.
#[test]
fn what_a_group_acknowledges_with_its_results_is_done_exactly_once() {
    const INPUTS: u64 = 12;
    let work = |log: &EventLog, rng: &mut Rng| -> Result<(), ConsumerError> {
        for i in inputs(log)..INPUTS {
            log.append(&format!("in-{}", i % 3), ANY, &[NewEvent::new("In", "")])?;
        }
        let options = GroupOptions::new().attempts_max(2).retry_after(Duration::ZERO).window(5);
        let group = log.group("g", &Query::prefix("in-"), options)?;
        group.replay_all()?;
        let mut out = Vec::new();
        loop {
            while let GroupNext::Delivery(delivery) = group.next_within(Duration::ZERO)? {
                out.push(delivery);
            }
            if out.is_empty() {
                if group.replay_all()? == 0 {
                    return Ok(());
                }
                continue;
            }
            let delivery = out.swap_remove(rng.below(out.len() as u64) as usize);
            if rng.chance(1, 3) {
                delivery.nack("again")?;
                continue;
            }
            let result = format!("{} {}", delivery.stream(), delivery.version());
            delivery.ack_with(log.batch().append("out", ANY, &[NewEvent::new("Out", &result)]))?;
        }
    };
    for round in 1..=60 {
        let mut rng = Rng::new(round);
        let mut disk = SimDisk::new(round);
        for cut in 0..6 {
            disk.crash_at(if cut == 0 { 5 + round } else { 1 + rng.below(40) });
            if let Ok(log) = Options::new().background(false).open_storage(Arc::new(disk.clone())) {
                let _ = work(&log, &mut rng);
            }
            disk = disk.power_cut(&mut rng, Survive::Random);
        }
        let log = Options::new().background(false).open_storage(Arc::new(disk.clone())).unwrap();
        work(&log, &mut rng).unwrap();
        let mut results: Vec<String> = log
            .read_stream("out", 0)
            .into_iter()
            .map(|event| String::from_utf8(event.unwrap().payload().to_vec()).unwrap())
            .collect();
        results.sort_unstable();
        let mut expected: Vec<String> = (0..INPUTS).map(|i| format!("in-{} {}", i % 3, i / 3 + 1)).collect();
        expected.sort_unstable();
        assert_eq!(results, expected, "round {round}");
        assert_eq!(log.list_kept("annals/parked/", None, 9).unwrap(), []);
    }
}

/// How many inputs there are.
fn inputs(log: &EventLog) -> u64 {
    (0..3).map(|i| log.stream_version(&format!("in-{i}"))).sum()
}

/// Plain acknowledgements behind an open event write nothing; whatever ends that event writes the place for all of them.
#[test]
fn the_place_passes_plain_acknowledgements_however_the_open_event_ends() {
    for parks in [false, true] {
        let disk = SimDisk::new(2);
        let open_log = || {
            let options = Options::new().background(false);
            options.open_storage(Arc::new(disk.clone())).unwrap()
        };
        let log = open_log();
        (0..6).for_each(|i| _ = put(&log, &format!("in-{i}"), "T"));
        let group = log.group("g", &Query::prefix("in-"), GroupOptions::new().attempts_max(1)).unwrap();
        let first = next(&group);
        assert_eq!(rest(&group), [2, 3, 4, 5, 6]);
        assert_eq!(place(&log), 0);
        if parks {
            assert!(first.nack("no").unwrap());
        } else {
            first.ack_with(log.batch()).unwrap();
        }
        assert_eq!(place(&log), 6);
        drop(group);
        log.close().unwrap();
        let log = open_log();
        assert_eq!(place(&log), 6);
        nothing(&log.group("g", &Query::prefix("in-"), GroupOptions::new()).unwrap());
    }
}

/// What an event led to is in the log already: it is not written again, and the event is done.
#[test]
fn a_result_with_an_id_of_its_own_is_acknowledged_when_it_is_repeated() {
    let log = EventLog::in_memory().unwrap();
    (0..3).for_each(|i| _ = put(&log, &format!("in-{i}"), "T"));
    let query = Query::prefix("in-");
    let result = |position: u64| {
        let id = annals::Uuid::from_u128(position.into());
        log.batch().append("out", ANY, &[NewEvent::new("Out", "").with_id(id)])
    };
    for pass in 0..3 {
        log.seek_consumer("g", annals::Seek::Beginning).unwrap();
        let group = log.group("g", &query, GroupOptions::new()).unwrap();
        // The second one first, so that each is repeated beside another place.
        let (first, second) = (next(&group), next(&group));
        for delivery in if pass == 1 { [second, first] } else { [first, second] } {
            let position = delivery.position();
            assert_eq!(delivery.ack_with(result(position)).unwrap().repeated, pass > 0);
        }
        assert_eq!(log.stream_version("out"), 2);
        // They are done, for the next one too.
        drop(group);
        let group = log.group("g", &query, GroupOptions::new()).unwrap();
        assert_eq!(rest(&group), [3]);
    }
    let mut consumer = log.consumer("c", &query).unwrap();
    let event = consumer.next().unwrap().unwrap();
    assert!(event.ack_with(result(1)).unwrap().repeated);
    assert_eq!(log.acknowledged("c").unwrap(), 1);
    // Another append is none, whoever acknowledges with it.
    let event = consumer.next().unwrap().unwrap();
    let other = |batch: annals::BatchBuilder<'_>| event.ack_with(batch).unwrap_err();
    let reused = annals::AppendError::IdReused { id: annals::Uuid::from_u128(2) };
    assert_eq!(other(result(2).append("out", ANY, &[NewEvent::new("More", "")])), reused);
    assert_eq!(other(result(2).keep("k", "v")), reused);
    assert_eq!(result(2).commit().unwrap_err(), reused, "acknowledged then, and not now");
    result(9).keep("k", "v").commit().unwrap();
    let reused = annals::AppendError::IdReused { id: annals::Uuid::from_u128(9) };
    assert_eq!(other(result(9)), reused, "what was kept then is not the log's own");
    assert_eq!(log.acknowledged("c").unwrap(), 1);
}

#[test]
fn a_closed_log_takes_no_acknowledgement_of_any_event() {
    let log = EventLog::in_memory().unwrap();
    (0..2).for_each(|i| _ = put(&log, &format!("in-{i}"), "T"));
    let group = open(&log, GroupOptions::new());
    let (first, second) = (next(&group), next(&group));
    log.close().unwrap();
    for delivery in [second, first] {
        assert_eq!(delivery.ack().unwrap_err(), annals::AppendError::Closed);
    }
}
