//! Consumers and groups: promises that were once not kept, one a test.
//!
//! Owns the consuming side of `hunted.rs`.

use super::*;

/// Acknowledges all that is there now; which positions that are.
fn drained(group: &Group) -> Vec<u64> {
    let acknowledge = |delivery: Delivery| {
        let position = delivery.position();
        delivery.ack().unwrap();
        position
    };
    std::iter::from_fn(|| take(group)).map(acknowledge).collect()
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
fn a_forgotten_group_begins_anew() {
    let log = EventLog::in_memory().unwrap();
    group_with_a_mark(&log);
    log.forget_consumer("g").unwrap();
    let group = log.group("g", &Query::everything(), GroupOptions::new()).unwrap();
    let got = drained(&group);
    assert_eq!(got, [1, 2], "the next one of this name is new");
}

#[test]
fn a_group_that_was_sent_back_gets_all_again() {
    let log = EventLog::in_memory().unwrap();
    group_with_a_mark(&log);
    log.seek_consumer("g", Seek::Beginning).unwrap();
    let group = log.group("g", &Query::everything(), GroupOptions::new()).unwrap();
    let got = drained(&group);
    assert_eq!(got, [1, 2]);
}

#[test]
fn a_consumer_of_the_groups_name_is_the_same() {
    let log = EventLog::in_memory().unwrap();
    group_with_a_mark(&log);
    let mut consumer = log.consumer("g", &Query::everything()).unwrap();
    let mut got = Vec::new();
    while let Some(event) = consumer.next_within(NOW).unwrap() {
        got.push(event.position());
    }
    assert_eq!(got, [1], "event 2 was dealt with exactly once");
}

#[test]
fn a_replay_that_is_out_is_on_its_way() {
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

#[test]
fn acknowledging_less_takes_nothing_back() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "a");
    put(&log, "b");
    let mut consumer = log.consumer("c", &Query::prefix("")).unwrap();
    let one = consumer.next_within(NOW).unwrap().unwrap();
    let two = consumer.next_within(NOW).unwrap().unwrap();
    two.ack_with(log.batch().append("effect", ANY, &[ev()])).unwrap();
    let late = one.ack_with(log.batch().append("effect", ANY, &[ev()]));
    assert_eq!(late, Err(AppendError::AlreadyAcknowledged { position: 1, place: 2 }));
    assert_eq!((log.acknowledged("c").unwrap(), log.stream_version("effect")), (2, 1));
}

#[test]
fn two_acknowledgements_at_once() {
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

#[test]
fn a_bounded_group_does_not_skip_what_lies_behind() {
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
    let got = drained(&group);
    assert_eq!(got, (4..=10).collect::<Vec<_>>());
}

#[test]
fn what_was_given_and_not_acknowledged_comes_again() {
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
fn a_group_that_has_acknowledged_goes_on_where_it_was() {
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

#[test]
fn a_long_delay_is_no_panic() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "a");
    let group = log.group("g", &Query::everything(), GroupOptions::new().retry_after(Duration::MAX)).unwrap();
    take(&group).unwrap().nack("later").unwrap();
}

#[test]
fn an_acknowledgement_that_failed_comes_again() {
    let disk = SimDisk::new(1);
    let log = shelf::options().open_storage(Arc::new(disk.clone())).unwrap();
    put(&log, "a");
    put(&log, "b");
    disk.set_space(Some(0));
    let big = vec![0u8; 16 << 10];
    while log.append("fill", ANY, &[NewEvent::new("T", &big)]).is_ok() {}
    for size in [100_000, 10_000, 1_000, 100, 10, 1] {
        for i in 0.. {
            let name = format!("v{size}-{i}");
            if log.keep_lazily(&name, vec![0u8; size]).is_err() {
                break;
            }
        }
    }
    let group = log.group("g", &Query::prefix("a"), GroupOptions::new()).unwrap();
    let told = take(&group).unwrap().ack();
    assert!(told.is_err());
    std::thread::sleep(Duration::from_millis(150));
    assert!(take(&group).is_some(), "it was said that it comes again");
}

#[test]
fn foreign_batch() {
    let (log, other) = (EventLog::in_memory().unwrap(), EventLog::in_memory().unwrap());
    put(&log, "a");
    let group = log.group("g", &Query::everything(), GroupOptions::new()).unwrap();
    let told = take(&group).unwrap().ack_with(other.batch().append("x", ANY, &[ev()]));
    assert!(told.is_err());
}

#[test]
fn place_of_a_group_over_an_ended_stream() {
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
#[test]
fn exactly_once_over_crashes() {
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
            let group = log
                .group(
                    "g",
                    &Query::prefix("in-"),
                    GroupOptions::new().window(8).attempts_max(2).retry_after(Duration::ZERO),
                )
                .unwrap();
            let mut held: Vec<Delivery> = Vec::new();
            let mut idle = 0;
            if rng.chance(1, 3) {
                let _ = group.replay_all();
            }
            for _ in 0..200 {
                match group.next_within(NOW) {
                    Ok(GroupNext::Delivery(d)) => held.push(d),
                    Ok(GroupNext::Ended) => break,
                    Ok(GroupNext::TimedOut) => {
                        idle += 1;
                        if held.is_empty() && idle > 3 {
                            break;
                        }
                    }
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
                let group = log
                    .group("g", &Query::prefix("in-"), GroupOptions::new().retry_after(Duration::ZERO))
                    .unwrap();
                for _ in 0..2 {
                    while let Ok(GroupNext::Delivery(d)) = group.next_within(NOW) {
                        let to = format!("out-{}", d.position());
                        let batch = log.batch().append(&to, ANY, &[ev()]);
                        d.ack_with(batch).unwrap();
                    }
                    group.replay_all().unwrap();
                }
                for p in 1..=total {
                    assert_eq!(
                        log.stream_version(&format!("out-{p}")),
                        1,
                        "seed {seed} position {p} rounds {rounds}"
                    );
                }
                break;
            }
        }
    }
}

#[test]
fn a_group_is_not_at_its_end_while_a_replay_waits() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "a");
    let options = GroupOptions::new().attempts_max(2).retry_after(Duration::from_millis(30));
    let group = log.group("g", &Query::everything().before(2), options).unwrap();
    while let GroupNext::Delivery(d) = group.next_within(Duration::from_millis(100)).unwrap() {
        if d.nack("no").unwrap() {
            break;
        }
    }
    group.replay(1).unwrap();
    take(&group).unwrap().nack("not yet").unwrap();
    let got = group.next_within(Duration::from_secs(1)).unwrap();
    assert!(matches!(got, GroupNext::Delivery(_)), "{got:?}");
}

#[test]
fn ack_with_is_durable() {
    let log = Options::new().background(false).durability(Durability::Sequenced).open_in_memory().unwrap();
    log.batch().append("a", ANY, &[ev()]).durability(Durability::Synced).commit().unwrap();
    let group = log.group("g", &Query::everything(), GroupOptions::new()).unwrap();
    take(&group).unwrap().ack_with(log.batch().append("x", ANY, &[ev()])).unwrap();
    assert_eq!(log.status().durable, log.status().appended);
}

#[test]
fn last_acknowledged_of_a_new_consumer() {
    let log = EventLog::in_memory().unwrap();
    (0..3).for_each(|_| _ = put(&log, "s").to_string());
    let mut consumer = log.consumer("c", &Query::everything().after(2)).unwrap();
    consumer.seek(Seek::LastAcknowledged).unwrap();
    assert_eq!(consumer.next_within(NOW).unwrap().unwrap().position(), 3);
}

#[test]
fn group_stress() {
    let log = EventLog::in_memory().unwrap();
    let total = 6000u64;
    let group = log
        .group(
            "g",
            &Query::prefix("in-"),
            GroupOptions::new().window(5).retry_after(Duration::from_millis(1)).attempts_max(1000),
        )
        .unwrap();
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
                    if n % 11 == 0 {
                        d.nack("x").unwrap();
                        continue;
                    }
                    seen.lock().unwrap().entry(d.stream().to_owned()).or_default().push(d.version());
                    if n % 3 == 0 {
                        let b = log.batch().append("out", ANY, &[ev()]);
                        d.ack_with(b).map(|_| ()).unwrap()
                    } else {
                        d.ack().unwrap()
                    }
                    if done.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 == total {
                        group.stop()
                    }
                }
            });
        }
        for i in 0..total {
            put(&log, &format!("in-{}", i % 13));
        }
        let begun = Instant::now();
        while done.load(std::sync::atomic::Ordering::SeqCst) < total {
            std::thread::sleep(Duration::from_millis(20));
            if begun.elapsed() > Duration::from_secs(20) {
                group.stop();
                panic!("stuck at {done:?} lag {}", group.lag())
            }
        }
    });
    for (s, versions) in seen.into_inner().unwrap() {
        assert!(versions.iter().copied().eq(1..=versions.len() as u64), "{s} {versions:?}");
    }
}

/// Whatever the look-up has read by then, and whatever the replay is told.
#[test]
fn a_replay_that_is_discarded_while_it_is_looked_up_is_given_to_nobody() {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Mutex, mpsc};
    const REPLAYER: &str = "replayer";
    let mut held = 0;
    for last_read in 1..6 {
        // Holds the replaying thread at one of its reads, and says how it went on: held, or through.
        let (says_held, says) = mpsc::channel();
        let says_through = says_held.clone();
        let (go, goes) = mpsc::channel::<()>();
        let (says_held, goes, reads) = (Mutex::new(says_held), Mutex::new(goes), AtomicU64::new(0));
        let storage = proving::Hooked::new(move |operation, _| {
            let is_his = operation == "read" && std::thread::current().name() == Some(REPLAYER);
            if is_his && reads.fetch_add(1, Ordering::SeqCst) + 1 == last_read {
                says_held.lock().unwrap().send(true).unwrap();
                goes.lock().unwrap().recv().unwrap();
            }
            Ok(())
        });
        let log = Options::new().open_storage(Arc::new(storage)).unwrap();
        put(&log, "s");
        let group = log.group("g", &Query::everything(), GroupOptions::new().attempts_max(1)).unwrap();
        assert!(take(&group).unwrap().nack("no").unwrap());
        let replaying = group.clone();
        let replayer = std::thread::Builder::new().name(REPLAYER.into()).spawn(move || {
            let replayed = replaying.replay(1).unwrap();
            says_through.send(false).unwrap();
            replayed
        });
        let is_held = says.recv().unwrap();
        assert!(group.discard(1).unwrap(), "it was in the list");
        if is_held {
            go.send(()).unwrap();
            assert!(!replayer.unwrap().join().unwrap(), "read {last_read}: nothing is on its way");
            held += 1;
        }
        let given = take(&group);
        assert!(given.is_none(), "read {last_read}: {given:?}");
        assert!(group.replay(1).is_ok_and(|replayed| !replayed), "nothing is left of it");
    }
    assert!(held > 1, "it reads the list and the event");
}
