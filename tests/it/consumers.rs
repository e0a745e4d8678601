//! Consumers: a durable place, alone of its name; what was not acknowledged durably comes again.
//!
//! Owns one rule a test. Groups are in `groups.rs`; all of them at once, killed again and again, in `day.rs`.

use crate::simdisk::{Rng, SimDisk, Survive};
use annals::{
    AppendError, Claim, Consumer, ConsumerError, EventLog, ExpectedVersion, GroupOptions, NewEvent,
};
use annals::{GroupNext, Options, Query, Received, Seek};
use proving::{Gated, Hooked};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const LONG: Duration = Duration::from_secs(20);
pub(crate) const SHORT: Duration = Duration::from_millis(5);
pub(crate) const ANY: ExpectedVersion = ExpectedVersion::Any;

pub(crate) fn put(log: &EventLog, stream: &str, kind: &str) -> u64 {
    log.append(stream, ANY, &[NewEvent::new(kind, stream)]).unwrap().last_position
}

fn next(consumer: &mut Consumer) -> Received {
    consumer.next_within(LONG).unwrap().expect("an event")
}

fn nothing(consumer: &mut Consumer) {
    let got = consumer.next_within(SHORT).unwrap();
    assert!(got.is_none(), "{got:?}");
}

/// All that is there now.
fn rest(consumer: &mut Consumer) -> Vec<u64> {
    std::iter::from_fn(|| consumer.next_within(SHORT).unwrap()).map(|event| event.position()).collect()
}

fn everything(log: &EventLog, name: &str) -> Consumer {
    log.consumer(name, &Query::everything()).unwrap()
}

/// A log on a simulated disk, without threads of its own: nothing becomes durable by the way.
fn simulated(disk: &SimDisk) -> EventLog {
    Options::new().background(false).open_storage(Arc::new(disk.clone())).unwrap()
}

#[test]
fn without_an_acknowledgement_everything_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    (0..5).for_each(|_| _ = put(&log, "s", "T"));
    assert_eq!(rest(&mut everything(&log, "c")), [1, 2, 3, 4, 5]);
    assert_eq!(rest(&mut everything(&log, "c")), [1, 2, 3, 4, 5], "nothing was acknowledged");
    log.close().unwrap();

    let log = EventLog::open(dir.path()).unwrap();
    let mut consumer = everything(&log, "c");
    assert_eq!((log.acknowledged("c").unwrap(), consumer.lag()), (0, 5));
    next(&mut consumer);
    next(&mut consumer).ack().unwrap();
    next(&mut consumer);
    assert_eq!(consumer.acknowledged().unwrap(), 2);
    drop(consumer);
    log.close().unwrap();

    let log = EventLog::open(dir.path()).unwrap();
    assert_eq!(
        rest(&mut everything(&log, "c")),
        [3, 4, 5],
        "behind the last acknowledgement, not the last look"
    );
}

#[test]
fn to_acknowledge_again_or_what_lies_behind_changes_nothing() {
    for durable in [false, true] {
        let log = EventLog::in_memory().unwrap();
        (0..3).for_each(|_| _ = put(&log, "s", "T"));
        let mut consumer = everything(&log, "c").durable_acks(durable);
        let events: Vec<Received> = (0..3).map(|_| next(&mut consumer)).collect();
        for acknowledged in [1, 1, 0, 1] {
            events[acknowledged].ack().unwrap();
            assert_eq!(consumer.acknowledged().unwrap(), 2);
        }
        assert_eq!((events[2].position(), events[2].clone().into_event().version()), (3, 3));
    }
}

/// Between two moments there is one small write at most for every 40 ms, with its witness, however many acknowledgements.
#[test]
fn a_burst_of_lazy_acknowledgements_is_not_a_burst_of_syncs() {
    let gate = Gated::default();
    let log = Options::new().open_storage(Arc::new(gate.clone())).unwrap();
    let event = NewEvent::new("T", "");
    log.append("s", ANY, &[event; 2000]).unwrap();
    let mut consumer = everything(&log, "c");
    let (before, begun) = (gate.syncs(), Instant::now());
    for position in 1..=2000 {
        let event = next(&mut consumer);
        event.ack().unwrap();
        assert_eq!((event.position(), log.acknowledged("c").unwrap()), (position, position), "seen at once");
    }
    let deadline = Instant::now() + LONG;
    while log.list_kept("annals/", None, 9).unwrap()[0].revision.is_none() {
        assert!(Instant::now() < deadline, "nobody wrote the acknowledgement");
        thread::sleep(Duration::from_millis(1));
    }
    let allowed = 4 + 2 * begun.elapsed().as_millis() as u64 / 40;
    let syncs = gate.syncs() - before;
    assert!(syncs <= allowed, "{syncs} syncs for 2000 acknowledgements in {:?}", begun.elapsed());
}

#[test]
fn durable_acknowledgements_survive_a_power_cut_and_lazy_ones_follow() {
    let disk = SimDisk::new(7);
    let log = simulated(&disk);
    (0..4).for_each(|_| _ = put(&log, "s", "T"));
    let mut lazy = everything(&log, "lazy");
    let mut durable = everything(&log, "durable").durable_acks(true);
    let after = |disk: &SimDisk| {
        let log = simulated(&disk.power_cut(&mut Rng::new(1), Survive::Nothing));
        (log.acknowledged("lazy").unwrap(), log.acknowledged("durable").unwrap())
    };
    next(&mut lazy).ack().unwrap();
    assert_eq!(after(&disk), (0, 0), "nothing has synced since");
    next(&mut durable).ack().unwrap();
    assert_eq!(after(&disk), (1, 1), "the lazy one went with the commit of the other");
    let before = disk.ops();
    next(&mut lazy).ack().unwrap();
    next(&mut lazy).ack().unwrap();
    assert_eq!((disk.ops(), after(&disk)), (before, (1, 1)), "neither waits for the disk");
    assert_eq!(log.acknowledged("lazy").unwrap(), 3, "but both are seen");
    log.close().unwrap();
    assert_eq!(after(&disk), (3, 1), "close writes what waits");
}

#[test]
fn what_is_not_there_yet_cannot_be_acknowledged() {
    let log = EventLog::in_memory().unwrap();
    (0..3).for_each(|_| _ = put(&log, "s", "T"));
    let beyond = AppendError::BeyondEnd { what: "position", asked: 4, end: 3 };
    assert_eq!(log.acknowledge("c", 4), Err(beyond.clone()));
    assert_eq!(log.batch().acknowledge("c", 4).commit().unwrap_err(), beyond);
    assert_eq!(log.seek_consumer("c", Seek::After(4)).unwrap_err(), beyond.clone().into());
    let mut consumer = everything(&log, "c");
    next(&mut consumer);
    assert_eq!(consumer.seek(Seek::After(4)).unwrap_err(), beyond.into());
    assert_eq!(next(&mut consumer).position(), 2, "it stays where it is");
    assert_eq!((log.acknowledged("c").unwrap(), log.last_position()), (0, 3));
    log.acknowledge("c", 3).unwrap();
    assert_eq!(log.acknowledged("c").unwrap(), 3);
}

#[test]
fn a_consumer_goes_on_where_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    for i in 0..6 {
        put(&log, ["a-1", "b", "a-2"][i % 3], "T");
    }
    for (name, query, all) in [
        ("everything", Query::everything(), &[1, 2, 3, 4, 5, 6][..]),
        ("stream", Query::stream("a-2"), &[3, 6]),
        ("prefix", Query::prefix("a-"), &[1, 3, 4, 6]),
        ("late", Query::everything().after(4), &[1, 2, 3, 4, 5, 6]),
    ] {
        let mut consumer = log.consumer(name, &query).unwrap();
        let behind = |place: u64| all.iter().copied().filter(|at| *at > place).collect::<Vec<u64>>();
        assert_eq!(rest(&mut consumer), behind(if name == "late" { 4 } else { 0 }), "{name}");
        for (to, place) in [(Seek::Latest, 6), (Seek::After(2), 2), (Seek::Beginning, 0), (Seek::After(3), 3)]
        {
            consumer.seek(to).unwrap();
            assert_eq!(consumer.acknowledged().unwrap(), place);
            assert_eq!(rest(&mut consumer), behind(place), "{name} {to:?}");
        }
        consumer.seek(Seek::LastAcknowledged).unwrap();
        next(&mut consumer).ack().unwrap();
        let place = consumer.acknowledged().unwrap();
        rest(&mut consumer);
        consumer.seek(Seek::LastAcknowledged).unwrap();
        assert_eq!(rest(&mut consumer), behind(place), "{name}");
        log.seek_consumer(name, Seek::After(3)).unwrap();
        nothing(&mut consumer);
    }
    log.close().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let mut late = log.consumer("late", &Query::everything().from_now()).unwrap();
    assert_eq!(rest(&mut late), [4, 5, 6], "a place counts for more than where a new one begins");
    drop(late);
    log.forget_consumer("late").unwrap();
    nothing(&mut log.consumer("late", &Query::everything().from_now()).unwrap());
}

#[test]
fn consumers_do_not_know_each_other() {
    let log = EventLog::in_memory().unwrap();
    (0..4).for_each(|_| _ = put(&log, "s", "T"));
    let names = ["a", "a/b", "a/", "b", "1:a"];
    let mut consumers: Vec<Consumer> = names.iter().map(|name| everything(&log, name)).collect();
    for (i, consumer) in consumers.iter_mut().enumerate().take(4) {
        (0..=i).for_each(|_| next(consumer).ack().unwrap());
    }
    let places: Vec<u64> = names.iter().map(|name| log.acknowledged(name).unwrap()).collect();
    assert_eq!(places, [1, 2, 3, 4, 0]);
    assert_eq!(log.list_consumers(None, 9).unwrap(), ["a", "a/", "a/b", "b"]);
    assert_eq!(log.list_consumers(Some("a"), 2).unwrap(), ["a/", "a/b"]);
    log.forget_consumer("a").unwrap();
    assert_eq!((log.acknowledged("a").unwrap(), log.acknowledged("a/b").unwrap()), (0, 2));
    assert_eq!(log.list_consumers(None, 9).unwrap(), ["a/", "a/b", "b"]);
    for impossible in [String::new(), "x".repeat(annals::limits::CONSUMER_NAME_BYTES_MAX + 1)] {
        assert!(matches!(log.consumer(&impossible, &Query::everything()), Err(ConsumerError::Append(_))));
    }
    everything(&log, &"x".repeat(annals::limits::CONSUMER_NAME_BYTES_MAX));
}

#[test]
fn a_name_is_one_consumers_at_a_time() {
    let log = EventLog::in_memory().unwrap();
    let query = Query::everything();
    let held = everything(&log, "c");
    let in_use = ConsumerError::InUse { name: "c".into() };
    assert_eq!(log.clone().consumer("c", &query).unwrap_err(), in_use);
    assert_eq!(log.group("c", &query, GroupOptions::new()).unwrap_err(), in_use);
    everything(&log, "d");
    drop(held);
    let group = log.group("c", &query, GroupOptions::new()).unwrap();
    let member = group.clone();
    drop(group);
    assert_eq!(log.consumer("c", &query).unwrap_err(), in_use, "a member lives");
    drop(member);
    everything(&log, "c");
}

#[test]
fn claims_are_one_for_all_clones_and_end_with_their_holder() {
    fn anywhere<T: Send + 'static>(_: &T) {}
    let log = EventLog::in_memory().unwrap();
    let claim: Claim = log.try_claim("scheduler").unwrap();
    anywhere(&claim);
    assert_eq!(claim.name(), "scheduler");
    assert!(log.clone().try_claim("scheduler").is_none() && log.try_claim("scheduler").is_none());
    assert!(log.try_claim("scheduler/2").is_some() && log.try_claim("").is_some());
    let (go, wait) = mpsc::channel::<()>();
    let holder = thread::spawn(move || {
        wait.recv().unwrap();
        drop(claim);
    });
    assert!(log.try_claim("scheduler").is_none(), "it lives in another thread");
    go.send(()).unwrap();
    holder.join().unwrap();
    let again = log.try_claim("scheduler").unwrap();
    // A claim holds a name, not the log.
    drop(log);
    assert_eq!(again.name(), "scheduler");
}

/// While the disk stands still: neither claims nor lazy acknowledgements wait for it.
#[test]
fn claims_and_lazy_acknowledgements_never_wait_for_the_disk() {
    let gate = Gated::default();
    let log = Options::new().open_storage(Arc::new(gate.clone())).unwrap();
    (0..3).for_each(|_| _ = put(&log, "s", "T"));
    let mut consumer = everything(&log, "c");
    gate.close();
    let stuck = thread::spawn({
        let log = log.clone();
        move || put(&log, "s", "T")
    });
    let (tell, told) = mpsc::channel();
    thread::spawn({
        let log = log.clone();
        move || {
            // Long enough for the append to be inside its sync.
            thread::sleep(Duration::from_millis(30));
            for position in 1..=3 {
                let claim = log.try_claim("x").unwrap();
                assert!(log.try_claim("x").is_none());
                drop(claim);
                next(&mut consumer).ack().unwrap();
                assert_eq!(log.acknowledged("c").unwrap(), position);
                thread::sleep(Duration::from_millis(30));
            }
            tell.send(()).unwrap();
        }
    });
    let in_time = told.recv_timeout(LONG);
    assert!(!stuck.is_finished(), "the disk was to stand still");
    gate.open_up();
    in_time.expect("somebody waited for the disk");
    assert_eq!(stuck.join().unwrap(), 4);
}

/// One result for each input, whenever the power goes, with whatever part of the unsynced bytes.
#[test]
fn what_is_acknowledged_with_its_results_is_done_exactly_once() {
    const INPUTS: u64 = 12;
    let inputs = |log: &EventLog| {
        (log.stream_version("in")..INPUTS).try_for_each(|_| {
            log.append("in", ANY, &[NewEvent::new("In", "")]).map(|_| ()).map_err(ConsumerError::from)
        })
    };
    // Ends at the end of the inputs, or with the first error.
    let work = |log: &EventLog| -> Result<(), ConsumerError> {
        inputs(log)?;
        let mut consumer = log.consumer("c", &Query::stream("in"))?;
        while let Some(event) = consumer.next_within(Duration::ZERO)? {
            let input = event.version().to_string();
            event.ack_with(log.batch().append("out", ANY, &[NewEvent::new("Out", &input)]))?;
        }
        Ok(())
    };
    let whole = SimDisk::new(3);
    work(&simulated(&whole)).unwrap();
    let (ops, mut rng) = (whole.ops(), Rng::new(5));
    let step = (ops / 60).max(1) as usize;
    for first in (5..ops).step_by(step) {
        let mut disk = SimDisk::new(first);
        let mut crash_at = first;
        for _ in 0..50 {
            disk.crash_at(crash_at);
            let opened = Options::new().background(false).open_storage(Arc::new(disk.clone()));
            let done = opened.is_ok_and(|log| work(&log).is_ok());
            disk = disk.power_cut(&mut rng, Survive::Random);
            if done {
                break;
            }
            crash_at = 1 + rng.below(40);
        }
        let log = simulated(&disk);
        work(&log).unwrap();
        let results: Vec<String> = log
            .read_stream("out", 0)
            .into_iter()
            .map(|event| String::from_utf8(event.unwrap().payload().to_vec()).unwrap())
            .collect();
        let expected: Vec<String> = (1..=INPUTS).map(|version| version.to_string()).collect();
        assert_eq!(results, expected, "first cut at operation {first}");
    }
}

#[test]
fn a_consumer_ends_with_the_log_or_its_canceller() {
    let log = EventLog::in_memory().unwrap();
    let (mut one, mut other) = (everything(&log, "one"), everything(&log, "other"));
    let canceller = one.canceller();
    let sleeper = thread::spawn(move || (one.next().is_none(), one));
    thread::sleep(SHORT);
    canceller.cancel();
    let (ended, mut one) = sleeper.join().unwrap();
    assert!(ended && one.is_ended() && one.next_within(LONG).unwrap().is_none());
    put(&log, "s", "T");
    one.seek(Seek::LastAcknowledged).unwrap();
    assert_eq!(next(&mut one).position(), 1, "until it seeks");
    assert!(!other.is_ended());
    log.close().unwrap();
    assert_eq!(next(&mut other).position(), 1);
    assert!(other.next().is_none() && other.is_ended());
}

/// What a group of the name has done behind the place is not given out, also after looking there before; to seek elsewhere
/// forgets it.
#[test]
fn seeking_knows_what_a_group_has_done() {
    let log = EventLog::in_memory().unwrap();
    (0..4).for_each(|i| _ = put(&log, &format!("in-{i}"), "T"));
    let group = log.group("c", &Query::everything(), GroupOptions::new()).unwrap();
    let deliveries: Vec<_> = (0..4)
        .map(|_| match group.next_within(LONG).unwrap() {
            GroupNext::Delivery(delivery) => delivery,
            other => panic!("{other:?}"),
        })
        .collect();
    for delivery in deliveries {
        if delivery.position() == 3 {
            delivery.ack_with(log.batch()).unwrap();
        } else {
            std::mem::drop(delivery);
        }
    }
    drop(group);
    let mut consumer = log.consumer("c", &Query::everything()).unwrap();
    let mut walk = |seek| {
        if let Some(to) = seek {
            consumer.seek(to).unwrap();
        }
        let mut positions = Vec::new();
        while let Some(event) = consumer.next_within(Duration::ZERO).unwrap() {
            positions.push(event.position());
        }
        positions
    };
    assert_eq!(walk(None), [1, 2, 4]);
    assert_eq!(walk(Some(Seek::LastAcknowledged)), [1, 2, 4]);
    assert_eq!(walk(Some(Seek::Beginning)), [1, 2, 3, 4]);
    assert_eq!(walk(Some(Seek::LastAcknowledged)), [1, 2, 3, 4]);
}

/// However much there is to forget: an append has a limit, to forget has none.
#[test]
fn a_consumer_with_more_marks_than_fit_an_append_is_forgotten() {
    let log = Options::new().append_bytes_max(64 << 10).open_in_memory().unwrap();
    (0..1_501).for_each(|i| _ = put(&log, &format!("in-{i}"), "T"));
    let options = GroupOptions::new().window(2_000).attempts_max(1);
    let group = log.group("c", &Query::everything(), options).unwrap();
    let mut open = Vec::new();
    for i in 0..1_500 {
        let GroupNext::Delivery(delivery) = group.next_within(LONG).unwrap() else { panic!() };
        match i {
            0 => open.push(delivery),
            1..750 => assert!(delivery.nack("no").unwrap()),
            _ => drop(delivery.ack_with(log.batch()).unwrap()),
        }
    }
    drop((open, group));
    assert!(log.count_kept("annals/") > 1_500);
    log.forget_consumer("c").unwrap();
    assert_eq!(log.count_kept("annals/"), 0);
}

/// A seek that needs more than one append and fails behind the first one gives nothing out again that is behind the new place.
#[test]
fn a_seek_that_fails_midway_forgets_no_mark_before_it_has_moved() {
    let (fails, syncs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let hooked = {
        let (fails, syncs) = (fails.clone(), syncs.clone());
        Hooked::new(move |operation, name| {
            // A segment is known here by the name that its file had first.
            let is_segment = name.ends_with(".seg") || name == "spare.tmp";
            let counts = fails.load(Ordering::SeqCst) && operation == "sync" && is_segment;
            let fails = counts && syncs.fetch_add(1, Ordering::SeqCst) > 0;
            if fails { Err(std::io::ErrorKind::Other.into()) } else { Ok(()) }
        })
    };
    let name = "c".repeat(1_000);
    let open_log = || {
        let options = Options::new().background(false).append_bytes_max(64 << 10);
        options.open_storage(Arc::new(hooked.clone())).unwrap()
    };
    let log = open_log();
    (0..101).for_each(|i| _ = put(&log, &format!("in-{i}"), "T"));
    let group = log.group(&name, &Query::everything(), GroupOptions::new()).unwrap();
    let mut first = None;
    for i in 0..100 {
        let GroupNext::Delivery(delivery) = group.next_within(LONG).unwrap() else { panic!() };
        match i {
            0 => first = Some(delivery),
            _ => drop(delivery.ack_with(log.batch()).unwrap()),
        }
    }
    drop((first, group));
    fails.store(true, Ordering::SeqCst);
    log.seek_consumer(&name, Seek::After(50)).unwrap_err();
    fails.store(false, Ordering::SeqCst);
    drop(log);
    let log = open_log();
    assert_eq!(log.acknowledged(&name).unwrap(), 50);
    let mut consumer = everything(&log, &name);
    // Of those behind it, some may come again: that was asked for.
    assert!(rest(&mut consumer).first().is_some_and(|first| *first > 50));
}
