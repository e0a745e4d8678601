//! What only Annals has, beside its floor: appends in flight, and subscriptions.
//!
//! Owns those workloads. The floor of appends in flight is the raw file with as many events to a commit.

use crate::job::{Answer, Job};
use crate::store::{Entry, Run};
use crate::workload::{EVENT_TYPE, Workload};
use crate::workloads::{check_count, open};
use annals::{EventLog, ExpectedVersion, NewEvent, Next, Pending, Query, Subscription};
use measure::series::rate;
use measure::{Outcome, Unit, quantile};
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How many appends are in flight.
const IN_FLIGHT: usize = 4096;
/// How many events of the floor go into a commit: what is in flight while as much is written.
const TOGETHER: usize = 2048;
const APPENDS: usize = 2000;
const SUBSCRIBERS: usize = 1000;

pub(super) fn pipelined(job: &Job, entry: &Entry, work: &Workload) -> Outcome<Answer> {
    let events = (job.events / 2).next_multiple_of(TOGETHER);
    let took = match entry.name {
        "annals" => submitted(job, work, events)?,
        "raw" => together(job, entry, work, events)?,
        _ => return Err("appends in flight are for Annals and its floor".into()),
    };
    let mut answer = Answer { events: events as u64, ..Answer::default() };
    answer.push("pipelined.rate", Unit::PerSecond, rate(events, took));
    Ok(answer)
}

fn submitted(job: &Job, work: &Workload, events: usize) -> Outcome<Duration> {
    let log = EventLog::open(job.dir.join("log"))?;
    let mut waiting = VecDeque::with_capacity(IN_FLIGHT);
    let begun = Instant::now();
    for n in 0..events {
        if waiting.len() == IN_FLIGHT
            && let Some(oldest) = waiting.pop_front()
        {
            Pending::wait(oldest)?;
        }
        let expected = ExpectedVersion::Exact((n / work.streams()) as u64);
        waiting.push_back(log.submit(work.id(n), expected, &[NewEvent::new(EVENT_TYPE, work.payload(n))])?);
    }
    for pending in waiting {
        pending.wait()?;
    }
    let took = begun.elapsed();
    if log.last_position() != events as u64 {
        return Err("events are missing".into());
    }
    log.close()?;
    Ok(took)
}

fn together(job: &Job, entry: &Entry, work: &Workload, events: usize) -> Outcome<Duration> {
    // Each event is a run here, with what that needs around it.
    let store = open(job, entry, events + events / 8)?;
    let begun = Instant::now();
    for first in (0..events).step_by(TOGETHER) {
        let payloads: Vec<[&[u8]; 1]> = (first..first + TOGETHER).map(|n| [work.payload(n)]).collect();
        let run = |(n, payloads)| Run { stream: work.id(first + n), after: 0, payloads };
        let runs: Vec<Run<'_>> = payloads.iter().map(<[_; 1]>::as_slice).enumerate().map(run).collect();
        store.append(&runs)?;
    }
    let took = begun.elapsed();
    check_count(entry, &*store, work, events as u64)?;
    Ok(took)
}

/// An append alone; an append until another thread has the event; an append beside a thousand subscribers of other streams;
/// and a thousand subscribers that all get everything.
pub(super) fn subscription(job: &Job, entry: &Entry, work: &Workload) -> Outcome<Answer> {
    if entry.name != "annals" {
        return Err("subscriptions are for Annals".into());
    }
    let log = EventLog::open(job.dir.join("log"))?;
    let mut writer = Writer { log: &log, work, n: 0 };
    let mut answer = Answer::default();
    let appends = APPENDS.min((job.events / 100).max(50));

    let mut alone = (0..appends).map(|_| writer.append()).collect::<Outcome<Vec<u64>>>()?;
    answer.push("subscription.append", Unit::Micros, quantile(&mut alone, 500) / 1e3);

    let mut delivered = delivery(&log, &mut writer, appends)?;
    answer.push("subscription.delivery", Unit::Micros, quantile(&mut delivered, 500) / 1e3);

    let mut idle: Vec<Subscription> =
        (0..SUBSCRIBERS).map(|n| log.subscribe(&Query::stream(&format!("idle-{n}")))).collect();
    for subscription in &mut idle {
        // Looks, arms itself, and gives up at once: it stays armed.
        subscription.next_within(Duration::ZERO)?;
    }
    let mut beside = (0..appends).map(|_| writer.append()).collect::<Outcome<Vec<u64>>>()?;
    answer.push("subscription.beside", Unit::Micros, quantile(&mut beside, 500) / 1e3);
    drop(idle);

    let (events, took) = everybody(&log, 100.min(appends))?;
    answer.push("subscription.everybody", Unit::PerSecond, rate(events, took));
    answer.events = log.last_position();
    log.close()?;
    Ok(answer)
}

struct Writer<'a> {
    log: &'a EventLog,
    work: &'a Workload,
    n: usize,
}

impl Writer<'_> {
    /// Appends an event and gives the nanoseconds that it took.
    fn append(&mut self) -> Outcome<u64> {
        let event = NewEvent::new(EVENT_TYPE, self.work.payload(self.n));
        let begun = Instant::now();
        self.log.append(self.work.id(self.n), ExpectedVersion::Any, &[event])?;
        self.n += 1;
        Ok(begun.elapsed().as_nanos() as u64)
    }
}

/// Nanoseconds from the call of `append` to the event in the hands of a subscriber in another thread.
fn delivery(log: &EventLog, writer: &mut Writer<'_>, appends: usize) -> Outcome<Vec<u64>> {
    let mut subscription = log.subscribe(&Query::everything().from_now().limit(appends as u64));
    let (arrived, arrivals) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Ok(Next::Event(event)) = subscription.next_within(Duration::from_secs(10)) {
                let _ = arrived.send(Instant::now());
                black_box(event.payload());
            }
        });
        let one = |_| {
            let begun = Instant::now();
            writer.append()?;
            Ok((arrivals.recv()? - begun).as_nanos() as u64)
        };
        (0..appends).map(one).collect()
    })
}

/// A thousand subscribers that read the same first events of the log: how many events all of them together get in a second.
fn everybody(log: &EventLog, events: usize) -> Outcome<(usize, Duration)> {
    let mut subscriptions: Vec<Subscription> =
        (0..SUBSCRIBERS).map(|_| log.subscribe(&Query::everything().limit(events as u64))).collect();
    let begun = Instant::now();
    let mut given = 0;
    for subscription in &mut subscriptions {
        while let Next::Event(event) = subscription.next_within(Duration::ZERO)? {
            black_box(event.payload());
            given += 1;
        }
    }
    if given != SUBSCRIBERS * events {
        return Err(format!("{given} events were given, not {}", SUBSCRIBERS * events).into());
    }
    Ok((given, begun.elapsed()))
}
