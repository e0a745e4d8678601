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
use std::ffi::OsString;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

const STREAMS_PER_APPEND: usize = 1000;
/// Passes over names, each with names of its own.
const PASSES: u64 = 4;
/// Nothing changes for so long: nothing is going on.
const REST: Duration = Duration::from_secs(1);
/// Streams that are asked for together.
const TOGETHER: usize = 1000;

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
    asked_together(job, &mut answer, "lookup", &log)?;
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
    rest(&job.dir.join("log"))?;
    asked(job, &mut answer, "lookup.opened", |id| log.stream_version(id))?;
    asked_together(job, &mut answer, "lookup.opened", &log)?;
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

/// Waits until nothing in the directory changes any more: what was left of merging index files is done.
fn rest(dir: &Path) -> Outcome<()> {
    let files = || -> Outcome<Vec<(OsString, u64, SystemTime)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // What is renamed or removed between the two calls is a change as well.
            let Ok(metadata) = entry.metadata() else { continue };
            files.push((entry.file_name(), metadata.len(), metadata.modified()?));
        }
        files.sort();
        Ok(files)
    };
    let mut before = files()?;
    loop {
        sleep(REST);
        let now = files()?;
        if now == before {
            return Ok(());
        }
        before = now;
    }
}

fn count(job: &Job) -> usize {
    1_000_000.min(job.streams * 10)
}

fn names(job: &Job, pass: u64) -> Vec<String> {
    let mut random = Random::new(job.round * PASSES + pass);
    (0..count(job)).map(|_| stream_id(random.below(job.streams))).collect()
}

/// Times look-ups of many streams to a call. Its floor is the bare table's loop.
fn asked_together(job: &Job, answer: &mut Answer, name: &str, log: &EventLog) -> Outcome<()> {
    let (count, ids) = (count(job), names(job, PASSES - 1));
    let begun = Instant::now();
    let sum = ids.chunks(TOGETHER).map(|ids| log.stream_versions(black_box(ids)).iter().sum::<u64>()).sum();
    let took = begun.elapsed();
    expect(sum, count)?;
    answer.push(format!("{name}.together"), Unit::Nanos, each(count, took));
    Ok(())
}

/// Times look-ups in a loop, of which a processor works on several at a time where it can; then such that each begins only when
/// the answer to the one before is there.
fn asked(job: &Job, answer: &mut Answer, name: &str, version: impl Fn(&str) -> u64) -> Outcome<()> {
    let (count, names) = (count(job), |pass| names(job, pass));
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
