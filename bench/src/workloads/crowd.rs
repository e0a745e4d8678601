//! conc4, conc16, conc64: so many threads, each with streams of its own, one event per append, each waiting for its own.
//!
//! Owns the crowd. A store that does not share syncs by itself, or less well, gets its appends gathered (`stores::Gathered`).

use crate::job::{Answer, Job};
use crate::store::{Entry, Run, Store};
use crate::stores::Gathered;
use crate::workload::Workload;
use crate::workloads::{Limit, check_count, counted, open};
use measure::series::rate;
use measure::{Outcome, Unit, quantile};
use std::sync::Barrier;
use std::time::{Duration, Instant};

pub(super) fn conc(job: &Job, entry: &Entry, work: &Workload, threads: usize) -> Outcome<Answer> {
    let each = if job.probe { 10 } else { (job.events / 4 / threads).max(10) };
    // Each event is a run here, with what that needs around it.
    let mut store = open(job, entry, each * threads * 5 / 4)?;
    if entry.gathered {
        store = Box::new(Gathered::new(store));
    }
    let (took, mut nanos) = counted(job, || crowd(job, &*store, work, threads, each))?;
    let acknowledged = nanos.len() as u64;
    check_count(entry, &*store, work, acknowledged)?;
    store.close()?;
    // Nobody appends again before its own is durable: one sync serves so many at most.
    let demanded = acknowledged.div_ceil(threads as u64);
    let mut answer = Answer { demanded, events: acknowledged, ..Answer::default() };
    let figure = |what: &str| format!("{}.{what}", job.task.name());
    answer.push(figure("rate"), Unit::PerSecond, rate(nanos.len(), took));
    answer.push(figure("p50"), Unit::Micros, quantile(&mut nanos, 500) / 1e3);
    answer.push(figure("p99"), Unit::Micros, quantile(&mut nanos, 990) / 1e3);
    Ok(answer)
}

/// The time from the first append to the last answer, and how long each append took.
fn crowd(
    job: &Job,
    store: &dyn Store,
    work: &Workload,
    threads: usize,
    each: usize,
) -> Outcome<(Duration, Vec<u64>)> {
    let start = Barrier::new(threads + 1);
    let streams = work.streams() / threads;
    let member = |number: usize| -> Outcome<Vec<u64>> {
        let mut nanos = Vec::with_capacity(each);
        start.wait();
        let limit = Limit::of(job);
        for i in 0..each {
            if limit.is_over() {
                break;
            }
            let stream = work.id(number + i % streams * threads);
            let payloads = [work.payload(number + i * threads)];
            let begun = Instant::now();
            store.append(&[Run { stream, after: (i / streams) as u64, payloads: &payloads }])?;
            nanos.push(begun.elapsed().as_nanos() as u64);
        }
        Ok(nanos)
    };
    std::thread::scope(|scope| {
        let member = &member;
        let crowd: Vec<_> = (0..threads).map(|number| scope.spawn(move || member(number))).collect();
        start.wait();
        let begun = Instant::now();
        let mut nanos = Vec::with_capacity(threads * each);
        for thread in crowd {
            nanos.extend(thread.join().map_err(|_| "a thread panicked")??);
        }
        Ok((begun.elapsed(), nanos))
    })
}
