//! ingest, and reading what it wrote: versions, folds, scans. At the end the process waits for its death, appending.
//!
//! Owns those loops, and the proof that what was read is what was written. Reading begins with a pass that is not measured:
//! what is compared is stores with warm caches.

use crate::job::{Answer, Job};
use crate::store::{Entry, Run, Store, Tally};
use crate::workload::{INGEST_EVENTS, INGEST_STREAMS, Workload};
use crate::workloads::{Limit, Memory, counted, open, tell};
use measure::series::{each, rate};
use measure::{Outcome, Unit, device};
use std::time::{Duration, Instant};

/// How many streams are folded, or asked for, between two looks at the clock.
const CHUNK: usize = 500;
/// How much longer than another measurement a million events may take to be written: all of them are to be read.
const PATIENCE_PER_MILLION: f64 = 10.0;
/// How long a child whose parent forgot it goes on.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// A few appends of the ingest workload, for the count of syncs.
pub(super) fn ingest_only(job: &Job, entry: &Entry, work: &Workload) -> Outcome<Answer> {
    let store = open(job, entry, work.ingested())?;
    let groups = counted(job, || ingest(job, &*store, work))?.0;
    store.close()?;
    let demanded = groups as u64;
    Ok(Answer { demanded, events: (groups * INGEST_STREAMS * INGEST_EVENTS) as u64, ..Answer::default() })
}

/// The whole ingest workload, then all that the store can read; tells its figures, and goes on appending until it is killed.
pub(super) fn load(job: &Job, entry: &Entry, work: &Workload) -> Outcome<()> {
    let memory = Memory::now();
    // Room for those that are appended last.
    let store = open(job, entry, work.ingested() + 100_000)?;
    let written = device::written_bytes(&job.dir);
    let (groups, took) = ingest(job, &*store, work)?;
    let events = groups * INGEST_STREAMS * INGEST_EVENTS;
    let is_cut = events < work.ingested();
    let mut answer = Answer { events: events as u64, is_cut, ..Answer::default() };
    answer.push("ingest.rate", Unit::PerSecond, rate(events, took));
    if let Some((before, after)) = written.zip(device::written_bytes(&job.dir)) {
        answer.push("ingest.written", Unit::Bytes, (after - before) as f64 / events as f64);
    }
    memory.tell(&mut answer, "ingest.memory");
    let expected = work.tally(events);
    if entry.can.version {
        versions(job, &*store, work, &mut answer, expected.events)?;
    }
    if entry.can.fold {
        folds(job, &*store, work, &mut answer, expected)?;
    }
    if entry.can.scan {
        scans(&*store, &mut answer, expected)?;
    }
    tell(&answer)?;
    if !entry.can.reopen {
        return store.close();
    }
    until_killed(&*store, work, &answer)
}

fn ingest(job: &Job, store: &dyn Store, work: &Workload) -> Outcome<(usize, Duration)> {
    let patience = job.seconds * PATIENCE_PER_MILLION * (job.events as f64 / 1e6).max(1.0);
    let limit = Instant::now() + Duration::from_secs_f64(patience);
    let groups = if job.probe { 5 } else { usize::MAX };
    let (mut done, mut took) = (0, Duration::ZERO);
    for group in work.ingest_groups().take(groups) {
        if Instant::now() >= limit {
            break;
        }
        let first = done * INGEST_STREAMS * INGEST_EVENTS;
        let payloads = work.payloads(first, INGEST_STREAMS * INGEST_EVENTS);
        // Every stream gets its next run before any gets a second one.
        let after = (first / (work.streams() * INGEST_EVENTS) * INGEST_EVENTS) as u64;
        let runs: Vec<Run<'_>> = group
            .iter()
            .zip(payloads.chunks_exact(INGEST_EVENTS))
            .map(|(stream, payloads)| Run { stream: work.id(*stream as usize), after, payloads })
            .collect();
        let begun = Instant::now();
        store.append(&runs)?;
        took += begun.elapsed();
        done += 1;
    }
    Ok((done, took))
}

fn versions(job: &Job, store: &dyn Store, work: &Workload, answer: &mut Answer, events: u64) -> Outcome<()> {
    check_versions(store, work, events)?;
    let picked = work.picked_ids((job.events / 2).clamp(10_000, 2_000_000), job.round);
    let (asked, took) =
        in_chunks(job, &picked, |ids| store.versions(ids).map(std::hint::black_box).map(drop))?;
    answer.push("version", Unit::Nanos, each(asked, took));
    Ok(())
}

/// Every stream has its events. After a whole number of rounds, that is as many for each of them.
fn check_versions(store: &dyn Store, work: &Workload, events: u64) -> Outcome<()> {
    let all: Vec<&str> = work.ids().collect();
    let sum = store.versions(&all)?;
    if sum != events {
        return Err(format!("the versions say {sum} events, not {events}").into());
    }
    let streams = work.streams() as u64;
    let is_whole = events.is_multiple_of(streams * INGEST_EVENTS as u64);
    for stream in all.iter().filter(|_| is_whole) {
        let version = store.version(stream)?;
        if version != events / streams {
            return Err(format!("{stream} has version {version}, not {}", events / streams).into());
        }
    }
    Ok(())
}

fn folds(job: &Job, store: &dyn Store, work: &Workload, answer: &mut Answer, expected: Tally) -> Outcome<()> {
    let order = work.shuffled_ids(job.round);
    let mut tally = Tally::default();
    in_chunks(job, &order, |ids| store.folds(ids, &mut tally))?;
    let mut tally = Tally::default();
    let (folded, took) = in_chunks(job, &order, |ids| store.folds(ids, &mut tally))?;
    if folded == order.len() && tally != expected {
        return Err(format!("folds read {tally:?}, written was {expected:?}").into());
    }
    answer.push("fold", Unit::Nanos, each(tally.events as usize, took));
    Ok(())
}

/// Calls with some streams at a time, all of them or until the time is over. Gives how many there were, and how long it took.
fn in_chunks(
    job: &Job,
    ids: &[&str],
    mut work: impl FnMut(&[&str]) -> Outcome<()>,
) -> Outcome<(usize, Duration)> {
    let limit = Limit::of(job);
    let begun = Instant::now();
    let mut done = 0;
    for chunk in ids.chunks(CHUNK) {
        work(chunk)?;
        done += chunk.len();
        if limit.is_over() {
            break;
        }
    }
    Ok((done, begun.elapsed()))
}

fn scans(store: &dyn Store, answer: &mut Answer, expected: Tally) -> Outcome<()> {
    store.scan()?;
    let begun = Instant::now();
    let tally = store.scan()?;
    let took = begun.elapsed();
    if tally != expected {
        return Err(format!("the scan read {tally:?}, written was {expected:?}").into());
    }
    answer.push("scan.rate", Unit::PerSecond, rate(tally.events as usize, took));
    Ok(())
}

/// Appends single events: a store that is killed while it rests has it easier than one that is at work.
fn until_killed(store: &dyn Store, work: &Workload, answer: &Answer) -> Outcome<()> {
    let begun = Instant::now();
    let written = answer.events as usize;
    let full_rounds = written / (work.streams() * INGEST_EVENTS);
    let last_round = written % (work.streams() * INGEST_EVENTS) / INGEST_EVENTS;
    // After a whole number of rounds, every stream has the same version. Otherwise it is left at that.
    let mut n = 0;
    while begun.elapsed() < LAST_WORDS {
        if last_round > 0 {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        }
        let after = full_rounds * INGEST_EVENTS + n / work.streams();
        let payloads = [work.payload(written + n)];
        store.append(&[Run { stream: work.id(n), after: after as u64, payloads: &payloads }])?;
        n += 1;
    }
    Err("nobody killed this process".into())
}
