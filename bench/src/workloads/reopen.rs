//! reopen: opening what another process closed, or left when it was killed.
//!
//! Owns the time from the call to the first answer, and the count of what is there. The files are in the page cache: what is
//! measured is the store's work, not the device's.

use crate::job::{Answer, Job, Task};
use crate::store::Entry;
use crate::workload::Workload;
use crate::workloads::{Memory, open};
use measure::{Outcome, Unit};
use std::time::Instant;

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
    Ok(answer)
}
