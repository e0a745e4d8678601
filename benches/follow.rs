//! Figures of following a log: `cargo bench --bench follow`.
//!
//! Delivery to a subscriber beside the append itself, appends beside a thousand idle subscribers, catching up beside a scan,
//! acknowledgements, and opening a log in which values were overwritten again and again. What is compared runs in turns.
//! Nothing here fails for being slow. Arguments behind `--`: a number of events for catching up (default 2,000,000),
//! `--dir <path>`.
#![allow(clippy::print_stdout)] // the figures are the output

mod support;

use annals::{EventLog, Next, Query};
use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use support::figure::{Series, Unit, print_head, print_line, quantile};
use support::{Outcome, Workload, Workspace};

const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    run().map_err(|error| error as Box<dyn Error>)
}

fn run() -> Outcome<()> {
    let (mut events, mut dir) = (support::sized(2_000_000, 20_000), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().map(PathBuf::from),
            number => events = number.parse().unwrap_or(events),
        }
    }
    let space = Workspace::new(dir.as_deref())?;
    let work = Workload::new(events, (events / 100).clamp(100, 10_000));
    print_head();
    delivery(&work, &space)?;
    idle(&work, &space)?;
    catch_up(&work, &space)?;
    acknowledge(&work, &space)?;
    overwritten(&space)
}

/// From the call of `append` to the event in a subscriber's hands, in another thread; the floor is the append itself.
fn delivery(work: &Workload, space: &Workspace) -> Outcome<()> {
    let appends = support::sized(500, 50);
    let log = space.log("delivery")?;
    let (mut floor, mut seen) = (Series::default(), Series::default());
    let mut n = 0;
    for _ in 0..ROUNDS {
        let mut subscription = log.subscribe(&Query::everything().from_now().limit(appends as u64));
        let (arrived, arrivals) = mpsc::channel();
        let subscriber = std::thread::spawn(move || {
            while let Ok(Next::Event(event)) = subscription.next_within(Duration::from_secs(10)) {
                let _ = arrived.send(Instant::now());
                black_box(event.payload());
            }
        });
        let (mut appended, mut delivered) = (Vec::new(), Vec::new());
        for _ in 0..appends {
            n += 1;
            let begun = Instant::now();
            support::append_one(&log, work, n)?;
            appended.push(begun.elapsed().as_nanos() as u64);
            delivered.push((arrivals.recv()? - begun).as_nanos() as u64);
        }
        subscriber.join().map_err(|_| "the subscriber panicked")?;
        floor.push(quantile(&mut appended, 500) / 1e3);
        seen.push(quantile(&mut delivered, 500) / 1e3);
    }
    print_line("append to delivery (floor: append)", Unit::Micros, Some(&floor), &seen);
    log.close()?;
    space.remove("delivery")
}

/// One event per append, in turns without and with a thousand subscribers to streams and prefixes that get nothing.
fn idle(work: &Workload, space: &Workspace) -> Outcome<()> {
    let appends = support::sized(500, 50);
    let log = space.log("idle")?;
    let (mut floor, mut beside) = (Series::default(), Series::default());
    let mut n = 0;
    for _ in 0..ROUNDS {
        let mut sides = [Vec::new(), Vec::new()];
        for _ in 0..4 {
            for (crowded, nanos) in sides.iter_mut().enumerate() {
                let mut subscriptions: Vec<_> = (0..crowded * 1000)
                    .map(|i| match i % 2 {
                        0 => log.subscribe(&Query::stream(&format!("idle-{i}"))),
                        _ => log.subscribe(&Query::prefix(&format!("idle-prefix-{i}-"))),
                    })
                    .collect();
                for subscription in &mut subscriptions {
                    // Looks, arms itself, and gives up at once: it stays armed.
                    subscription.next_within(Duration::ZERO)?;
                }
                for _ in 0..appends / 4 {
                    n += 1;
                    let begun = Instant::now();
                    support::append_one(&log, work, n)?;
                    nanos.push(begun.elapsed().as_nanos() as u64);
                }
            }
        }
        floor.push(quantile(&mut sides[0], 500) / 1e3);
        beside.push(quantile(&mut sides[1], 500) / 1e3);
    }
    print_line("append, 1000 idle (floor: none)", Unit::Micros, Some(&floor), &beside);
    log.close()?;
    space.remove("idle")
}

/// A subscriber that begins at the beginning of a long log; the floor is a scan with owned events.
fn catch_up(work: &Workload, space: &Workspace) -> Outcome<()> {
    let log = space.log("long")?;
    support::ingest(&log, work, 2)?;
    let events = work.ingested();
    let (mut floor, mut behind) = (Series::default(), Series::default());
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        let mut scanned = 0;
        for event in log.read_all(0) {
            scanned += event?.payload().len();
        }
        let scan = begun.elapsed();
        let begun = Instant::now();
        let mut followed = 0;
        for event in log.subscribe(&Query::everything().limit(events as u64)) {
            followed += event?.payload().len();
        }
        let follow = begun.elapsed();
        if scanned != followed {
            return Err("scan and subscription saw different events".into());
        }
        if round > 0 {
            floor.push_rate(events, scan);
            behind.push_rate(events, follow);
        }
    }
    print_line("catching up (floor: scan, owned)", Unit::PerSecond, Some(&floor), &behind);
    log.close()?;
    space.remove("long")
}

/// Single acknowledgements, one after the other.
fn acknowledge(work: &Workload, space: &Workspace) -> Outcome<()> {
    let acks = support::sized(100_000, 1_000);
    let log = space.log("acks")?;
    for n in 0..acks / 100 {
        support::append_hundred(&log, work, n)?;
    }
    let mut each = Series::default();
    for round in 0..ROUNDS {
        let consumer = format!("c{round}");
        let begun = Instant::now();
        for position in 1..=acks as u64 {
            log.acknowledge(&consumer, position)?;
        }
        each.push_each(acks, begun.elapsed());
    }
    print_line("acknowledge", Unit::Nanos, None, &each);
    log.close()?;
    space.remove("acks")
}

/// Opening a log in which ten values were overwritten a hundred thousand times each; the floor is the same log when all had
/// been written once.
fn overwritten(space: &Workspace) -> Outcome<()> {
    let (batches, names, value) = (support::sized(1000, 20), 10, [7; 100]);
    let write = |log: &EventLog, batches: usize| -> Outcome<()> {
        for _ in 0..batches {
            let mut batch = log.batch();
            for i in 0..1000 {
                batch = batch.keep(&format!("name-{}", i % names), value);
            }
            batch.commit()?;
        }
        Ok(())
    };
    let (mut once, mut often) = (Series::default(), Series::default());
    for (name, batches) in [("once", 1), ("often", batches)] {
        let log = space.log(name)?;
        write(&log, batches)?;
        log.close()?;
    }
    for _ in 0..ROUNDS {
        for (name, series) in [("once", &mut once), ("often", &mut often)] {
            let begun = Instant::now();
            let log = EventLog::open(space.path(name))?;
            series.push_millis(begun.elapsed());
            if log.count_kept("name-") != names {
                return Err("values are missing".into());
            }
            log.close()?;
        }
    }
    print_line("open, a million overwritten (floor: 1 k)", Unit::Millis, Some(&once), &often);
    space.remove("once")?;
    space.remove("often")
}
