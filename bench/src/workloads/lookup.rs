//! lookup: versions among very many streams, beside a bare hash table of that size that holds the same names.
//!
//! Owns that comparison, of Annals and the raw floor only. Names are made before they are asked for, so that both find them in
//! the same memory.

use crate::job::{Answer, Job};
use crate::store::Entry;
use crate::stores::raw::Bare;
use crate::workload::{EVENT_TYPE, Random, stream_id};
use crate::workloads::Memory;
use annals::{EventLog, ExpectedVersion, NewEvent};
use measure::series::each;
use measure::{Outcome, Unit};
use std::hint::black_box;
use std::time::{Duration, Instant};

const STREAMS_PER_APPEND: usize = 1000;
/// Passes over names, each with names of its own.
const PASSES: u64 = 3;

pub(super) fn lookup(job: &Job, entry: &Entry) -> Outcome<Answer> {
    match entry.name {
        "annals" => annals(job),
        "raw" => bare(job),
        _ => Err("look-ups among many streams are for Annals and its floor".into()),
    }
}

fn annals(job: &Job) -> Outcome<Answer> {
    let memory = Memory::now();
    let log = EventLog::open(job.dir.join("log"))?;
    for first in (0..job.streams).step_by(STREAMS_PER_APPEND) {
        let mut batch = log.batch();
        for n in first..job.streams.min(first + STREAMS_PER_APPEND) {
            let event = NewEvent::new(EVENT_TYPE, b"0123456789abcdef");
            batch = batch.append(&stream_id(n), ExpectedVersion::NoStream, &[event]);
        }
        batch.commit()?;
    }
    let mut answer = Answer { events: log.last_position(), ..Answer::default() };
    memory.tell(&mut answer, "lookup.memory");
    asked(job, &mut answer, "lookup", |id| log.stream_version(id))?;
    log.close()?;
    Ok(answer)
}

/// The same log in a fresh process: how long opening takes until the first answer, how much memory that takes, and
/// look-ups when everything is in files.
pub(super) fn open(job: &Job) -> Outcome<Answer> {
    let memory = Memory::now();
    let begun = Instant::now();
    let log = EventLog::open(job.dir.join("log"))?;
    log.stream_version(&stream_id(0));
    let took = begun.elapsed();
    let mut answer = Answer { events: log.last_position(), ..Answer::default() };
    answer.push("lookup.open", Unit::Millis, took.as_secs_f64() * 1e3);
    memory.tell(&mut answer, "lookup.open.memory");
    if answer.events != job.left {
        return Err(format!("{} events were acknowledged, {} are there", job.left, answer.events).into());
    }
    asked(job, &mut answer, "lookup.opened", |id| log.stream_version(id))?;
    log.close()?;
    Ok(answer)
}

fn bare(job: &Job) -> Outcome<Answer> {
    let memory = Memory::now();
    let table: Bare<u64> = (0..job.streams).map(|n| (stream_id(n), 1)).collect();
    let mut answer = Answer { events: table.len() as u64, ..Answer::default() };
    memory.tell(&mut answer, "lookup.memory");
    asked(job, &mut answer, "lookup", |id| table.get(id).copied().unwrap_or(0))?;
    Ok(answer)
}

/// Times look-ups in a loop, of which a processor works on several at a time where it can; then such that each begins only when
/// the answer to the one before is there.
fn asked(job: &Job, answer: &mut Answer, name: &str, version: impl Fn(&str) -> u64) -> Outcome<()> {
    let count = 1_000_000.min(job.streams * 10);
    let names = |pass: u64| -> Vec<String> {
        let mut random = Random::new(job.round * PASSES + pass);
        (0..count).map(|_| stream_id(random.below(job.streams))).collect()
    };
    let mut took = Duration::ZERO;
    // The first pass only brings the pages in.
    for pass in 0..2 {
        let ids = names(pass);
        let begun = Instant::now();
        let sum: u64 = ids.iter().map(|id| version(black_box(id))).sum();
        took = begun.elapsed();
        expect(sum, count)?;
    }
    answer.push(name, Unit::Nanos, each(count, took));
    let ids = names(2);
    let begun = Instant::now();
    let mut at = 0;
    // Each stream has one event: the answer is the step to the next name.
    while let Some(id) = ids.get(at as usize) {
        at += version(id).max(1);
    }
    let took = begun.elapsed();
    expect(at, count)?;
    answer.push(format!("{name}.chained"), Unit::Nanos, each(count, took));
    Ok(())
}

fn expect(found: u64, count: usize) -> Outcome<()> {
    if found == count as u64 {
        Ok(())
    } else {
        Err(format!("of {count} streams, {found} have one event").into())
    }
}
