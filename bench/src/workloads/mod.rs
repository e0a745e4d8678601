//! What is measured: one file for each kind of workload.
//!
//! Owns the child's side of a job: opens the store, does the task, checks what the store holds afterwards, tells the figures.
//! A workload that finds other events than it wrote fails, however fast it was.

mod alone;
mod crowd;
mod load;
mod lookup;
mod own;
mod reopen;

use crate::job::{Answer, Job, Task};
use crate::store::{Entry, Place, Store};
use crate::stores;
use crate::workload::Workload;
use measure::{Context, Outcome, Unit, process, syncs};
use std::io::Write;
use std::time::{Duration, Instant};

/// Does a job and tells its answer on the standard output.
pub(crate) fn perform(job: &Job) -> Outcome<()> {
    let entry = stores::find(&job.store).ok_or_else(|| format!("no store is called {}", job.store))?;
    let work = || Workload::new(job.events, job.streams);
    let answer = match job.task {
        Task::Sync1 => alone::one(job, entry, &work())?,
        Task::Batch100 => alone::hundred(job, entry, &work())?,
        Task::Conc4 => crowd::conc(job, entry, &work(), 4)?,
        Task::Conc16 => crowd::conc(job, entry, &work(), 16)?,
        Task::Conc64 => crowd::conc(job, entry, &work(), 64)?,
        Task::Ingest => load::ingest_only(job, entry, &work())?,
        Task::Load => return load::load(job, entry, &work()),
        Task::ReopenKilled | Task::ReopenClosed => reopen::reopen(job, entry, &work())?,
        Task::Pipelined => own::pipelined(job, entry, &work())?,
        Task::Subscription => own::subscription(job, entry, &work())?,
        Task::Lookup => lookup::lookup(job, entry)?,
        Task::LookupOpen => lookup::open(job)?,
    };
    tell(&answer)
}

fn tell(answer: &Answer) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(answer)?)?;
    Ok(out.flush()?)
}

fn open(job: &Job, entry: &Entry, events: usize) -> Outcome<Box<dyn Store>> {
    (entry.open)(&Place { dir: &job.dir, events }).context(|| format!("open {}", entry.name))
}

/// Does what is counted: between marks if the syncs are, too.
fn counted<T>(job: &Job, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    if !job.probe {
        return work();
    }
    syncs::mark_begin(&job.dir)?;
    let done = work()?;
    syncs::mark_end(&job.dir)?;
    Ok(done)
}

/// When a measurement is long enough.
struct Limit(Instant);

impl Limit {
    fn of(job: &Job) -> Limit {
        Limit(Instant::now() + Duration::from_secs_f64(job.seconds))
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.0
    }
}

/// How much anonymous memory there was before a store was opened: the workload has some of its own.
struct Memory(Option<u64>);

impl Memory {
    fn now() -> Memory {
        Memory(process::anonymous_bytes())
    }

    /// Tells how much came since.
    fn tell(&self, answer: &mut Answer, name: &str) {
        if let Some((before, now)) = self.0.zip(process::anonymous_bytes()) {
            answer.push(name, Unit::Bytes, now.saturating_sub(before) as f64);
        }
    }
}

/// Whether the store holds as many events as it acknowledged, by its versions and by a scan, as far as it has them.
fn check_count(entry: &Entry, store: &dyn Store, work: &Workload, acknowledged: u64) -> Outcome<()> {
    let mut found = Vec::new();
    if entry.can.version {
        let ids: Vec<&str> = work.ids().collect();
        found.push(store.versions(&ids)?);
    }
    if entry.can.scan {
        found.push(store.scan()?.events);
    }
    match found.iter().find(|found| **found != acknowledged) {
        Some(found) => Err(format!("{acknowledged} events were acknowledged, {found} are there").into()),
        None => Ok(()),
    }
}
