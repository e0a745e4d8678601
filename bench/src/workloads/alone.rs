//! sync1 and batch100: one thread, one append after the other, each to one stream.
//!
//! Owns those loops. Must not begin an append before the one in front of it is durable.

use crate::job::{Answer, Job};
use crate::store::{Entry, Run, Store};
use crate::workload::Workload;
use crate::workloads::{Limit, check_count, counted, open};
use measure::series::rate;
use measure::{Outcome, Unit, quantile};
use std::time::{Duration, Instant};

/// One event per append: how long one takes.
pub(super) fn one(job: &Job, entry: &Entry, work: &Workload) -> Outcome<Answer> {
    let appends = if job.probe { 50 } else { (job.events / 50).max(100) };
    let (mut nanos, mut answer) = appends_of(job, entry, work, appends, 1)?;
    answer.push("sync1.p50", Unit::Micros, quantile(&mut nanos, 500) / 1e3);
    answer.push("sync1.p99", Unit::Micros, quantile(&mut nanos, 990) / 1e3);
    Ok(answer)
}

/// A hundred events per append: how many in a second.
pub(super) fn hundred(job: &Job, entry: &Entry, work: &Workload) -> Outcome<Answer> {
    let appends = if job.probe { 20 } else { (job.events / 200).max(20) };
    let (nanos, mut answer) = appends_of(job, entry, work, appends, 100)?;
    let took = Duration::from_nanos(nanos.iter().sum());
    answer.push("batch100.rate", Unit::PerSecond, rate(answer.events as usize, took));
    Ok(answer)
}

/// So many appends of so many events, and how long each took.
fn appends_of(
    job: &Job,
    entry: &Entry,
    work: &Workload,
    appends: usize,
    events: usize,
) -> Outcome<(Vec<u64>, Answer)> {
    let store = open(job, entry, appends * events)?;
    let nanos = counted(job, || timed(job, &*store, work, appends, events))?;
    let acknowledged = (nanos.len() * events) as u64;
    check_count(entry, &*store, work, acknowledged)?;
    store.close()?;
    let answer = Answer { demanded: nanos.len() as u64, events: acknowledged, ..Answer::default() };
    Ok((nanos, answer))
}

fn timed(job: &Job, store: &dyn Store, work: &Workload, appends: usize, events: usize) -> Outcome<Vec<u64>> {
    let limit = Limit::of(job);
    let mut nanos = Vec::with_capacity(appends);
    for n in 0..appends {
        if limit.is_over() {
            break;
        }
        let payloads = work.payloads(n * events, events);
        let after = (n / work.streams() * events) as u64;
        let begun = Instant::now();
        store.append(&[Run { stream: work.id(n), after, payloads: &payloads }])?;
        nanos.push(begun.elapsed().as_nanos() as u64);
    }
    Ok(nanos)
}
