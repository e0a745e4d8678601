//! reopen: opening what another process closed, or left when it was killed; then what a fold costs of which nothing is in memory.
//!
//! Owns the time from the call to the first answer, and the count of what is there. The files are in the page cache for that: what
//! is measured is the store's work, not the device's. They are dropped from it for the folds.

use crate::job::{Answer, Job, Task};
use crate::store::{Entry, Tally};
use crate::workload::Workload;
use crate::workloads::{Memory, open};
use measure::{Outcome, Unit};
use rustix::fs::{Advice, fadvise};
use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

/// How many streams are folded cold: few of them, or the first ones would bring in what the others need.
const COLD_STREAMS: usize = 200;

pub(super) fn reopen(job: &Job, entry: &Entry, work: &Workload) -> Outcome<Answer> {
    let memory = Memory::now();
    let begun = Instant::now();
    let store = open(job, entry, 0)?;
    // A store may put its work off until it is asked.
    if entry.can.version {
        store.version(work.id(0))?;
    }
    let took = begun.elapsed();
    let mut answer = Answer::default();
    answer.push(job.task.name(), Unit::Millis, took.as_secs_f64() * 1e3);
    memory.tell(&mut answer, &format!("{}.memory", job.task.name()));
    let ids: Vec<&str> = work.ids().collect();
    let by_version = if entry.can.version { Some(store.versions(&ids)?) } else { None };
    let by_scan = if entry.can.scan { Some(store.scan()?.events) } else { None };
    answer.events = by_version.or(by_scan).unwrap_or(0);
    if by_version.zip(by_scan).is_some_and(|(versions, scanned)| versions != scanned) {
        return Err(format!("versions and scan differ: {by_version:?}, {by_scan:?}").into());
    }
    let is_lost = answer.events < job.left;
    if is_lost || (job.task == Task::ReopenClosed && answer.events != job.left) {
        return Err(format!("{} events were acknowledged, {} are there", job.left, answer.events).into());
    }
    store.close()?;
    if entry.can.fold && job.task == Task::ReopenClosed {
        cold(job, entry, work, &mut answer)?;
    }
    Ok(answer)
}

/// Folds of a few streams, in a store that was just opened and of whose files nothing is in memory.
fn cold(job: &Job, entry: &Entry, work: &Workload, answer: &mut Answer) -> Outcome<()> {
    forget(&job.dir)?;
    let store = open(job, entry, 0)?;
    let ids = work.picked_ids(COLD_STREAMS, job.round);
    let mut tally = Tally::default();
    let begun = Instant::now();
    store.folds(&ids, &mut tally)?;
    let took = begun.elapsed();
    if tally.events == 0 {
        return Err("the streams have no events".into());
    }
    answer.push("cold.fold", Unit::Micros, took.as_secs_f64() * 1e6 / ids.len() as f64);
    store.close()
}

/// Has the system drop from memory what it holds of all files in a directory. They must be synced, and mapped by nobody.
fn forget(dir: &Path) -> Outcome<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            forget(&path)?;
        } else {
            let file = File::open(&path)?;
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}
