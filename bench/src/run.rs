//! A run: what is measured, in which order, and how often.
//!
//! Owns the order. Rounds are outermost and stores innermost: whatever else the machine does in a minute, it does to all of
//! them. Each store and round has a process and an empty directory of its own.

use crate::arguments::Arguments;
use crate::child;
use crate::job::{Answer, Job, Task};
use crate::results::{Check, Failure, Results, Sample, Size, StoreNote};
use crate::store::Entry;
use crate::stores;
use measure::{Context, Machine, Outcome, SyncLatency, Unit, Verdict, disk, syncs};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Syncs that are measured at the beginning of a round.
const DEVICE_SYNCS: usize = 1000;
/// After this long, a job has failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// With what is large, longer.
const PATIENCE_PER_MILLION: Duration = Duration::from_secs(90);

/// One task for some stores at one size.
struct Step {
    task: Task,
    stores: Vec<&'static Entry>,
    size: Size,
}

/// Measures everything that the arguments ask for.
pub(crate) fn run(arguments: &Arguments) -> Outcome<Results> {
    fs::create_dir_all(&arguments.dir).context(|| format!("make {}", arguments.dir.display()))?;
    let dir = arguments.dir.canonicalize()?;
    if disk::is_memory(&dir)? {
        return Err(
            format!("{} is in memory, where a sync does nothing: give another --dir", dir.display()).into()
        );
    }
    let steps = steps(arguments);
    let entries =
        stores::all().into_iter().filter(|entry| arguments.stores.iter().any(|name| name == entry.name));
    let mut run = Run {
        arguments,
        dir,
        results: Results {
            machine: Machine::look(&arguments.dir)?,
            rounds: arguments.rounds,
            device: Vec::new(),
            stores: entries.map(note).collect(),
            checks: Vec::new(),
            samples: Vec::new(),
            failures: Vec::new(),
        },
    };
    run.check_durability(&steps)?;
    for round in 0..arguments.rounds as u64 {
        let device = SyncLatency::measure(&run.dir, DEVICE_SYNCS)?;
        eprintln!(
            "round {}: the device syncs a page in {:.0} us (p99 {:.0})",
            round + 1,
            device.p50,
            device.p99
        );
        run.results.device.push(device);
        for step in &steps {
            for entry in &step.stores {
                run.measure(step, entry, round)?;
            }
        }
        // What is known is not lost with a run that is broken off.
        measure::json::write(&arguments.json, &run.results)?;
    }
    Ok(run.results)
}

fn note(entry: &Entry) -> StoreNote {
    StoreNote {
        name: entry.name.to_owned(),
        version: version_of(entry.package).unwrap_or_default().to_owned(),
        used: entry.used.to_owned(),
        checks_versions: entry.can.check,
        is_atomic: entry.can.atomic,
        is_gathered: entry.gathered,
    }
}

/// The version of a package in the lock file that this program was built with.
fn version_of(package: &str) -> Option<&'static str> {
    let mut lines = include_str!("../Cargo.lock").lines();
    lines.find(|line| line.strip_prefix("name = ").is_some_and(|name| name.trim_matches('"') == package))?;
    Some(lines.next()?.strip_prefix("version = ")?.trim_matches('"'))
}

/// What a run consists of. Annals' own workloads stand beside its floor, for nobody else has them.
fn steps(arguments: &Arguments) -> Vec<Step> {
    let is_wanted = |name: &str, is_usual: bool| match arguments.workloads.as_slice() {
        [] => is_usual,
        wanted => wanted.iter().any(|wanted| wanted == name),
    };
    let entries = |names: Option<&[&str]>| -> Vec<&'static Entry> {
        let is_in = |entry: &&Entry| {
            arguments.stores.iter().any(|name| name == entry.name)
                && names.is_none_or(|names| names.contains(&entry.name))
        };
        stores::all().into_iter().filter(is_in).collect()
    };
    let size = Size { events: arguments.events, streams: arguments.streams };
    let sized = |events: usize, streams: usize| Size { events, streams };
    let is_full = !arguments.is_quick;
    let mut steps = Vec::new();
    let mut add = |name: &str, is_usual: bool, task: Task, names: Option<&[&str]>, size: Size| {
        if is_wanted(name, is_usual) {
            steps.push(Step { task, stores: entries(names), size });
        }
    };
    let unchecked: Vec<&str> =
        stores::all().iter().map(|entry| entry.name).filter(|name| *name != "raw+crc32").collect();
    add("sync1", true, Task::Sync1, Some(&unchecked), size);
    add("conc4", true, Task::Conc4, Some(&unchecked), size);
    add("conc16", true, Task::Conc16, Some(&unchecked), size);
    add("conc64", true, Task::Conc64, Some(&unchecked), size);
    add("batch100", true, Task::Batch100, Some(&unchecked), size);
    add("load", true, Task::Load, None, size);
    let own = ["annals", "raw"];
    add("pipelined", true, Task::Pipelined, Some(&own), size);
    add("subscription", true, Task::Subscription, Some(&["annals"]), size);
    for millions in [1, 10] {
        let streams = if is_full { millions * 1_000_000 } else { millions * 10_000 };
        add("lookup", true, Task::Lookup, Some(&own), sized(streams, streams));
    }
    let walks = ["annals", "raw", "raw+crc32"];
    add("open", is_full, Task::Load, Some(&walks), sized(10_000_000, 1_000_000));
    for millions in [1, 10, 100] {
        add("scale", false, Task::Load, Some(&walks), sized(millions * 1_000_000, millions * 10_000));
    }
    steps
}

struct Run<'a> {
    arguments: &'a Arguments,
    dir: PathBuf,
    results: Results,
}

impl Run<'_> {
    fn job(&self, task: Task, entry: &Entry, size: Size, round: u64) -> Job {
        Job {
            store: entry.name.to_owned(),
            task,
            dir: self.dir.join(format!("{}-{}", entry.name.replace('+', "-"), task.name())),
            events: size.events,
            streams: size.streams,
            round,
            seconds: self.arguments.seconds,
            left: 0,
            probe: false,
        }
    }

    /// Each store does a few commits of each kind under `strace`.
    fn check_durability(&mut self, steps: &[Step]) -> Outcome<()> {
        let can_count = syncs::can_count();
        for step in steps {
            let task = match step.task {
                Task::Sync1 | Task::Conc4 | Task::Conc16 | Task::Conc64 | Task::Batch100 => step.task,
                Task::Load => Task::Ingest,
                _ => continue,
            };
            for entry in &step.stores {
                if self
                    .results
                    .checks
                    .iter()
                    .any(|check| check.store == entry.name && check.workload == task.name())
                {
                    continue;
                }
                let verdict = if can_count {
                    self.probe(task, entry)?
                } else {
                    Verdict::NotChecked { why: "there is no strace that works".to_owned() }
                };
                eprintln!("{} {}: {verdict:?}", entry.name, task.name());
                let (store, workload) = (entry.name.to_owned(), task.name().to_owned());
                self.results.checks.push(Check { store, workload, verdict });
            }
        }
        Ok(())
    }

    fn probe(&self, task: Task, entry: &Entry) -> Outcome<Verdict> {
        let mut job = self.job(task, entry, Size { events: 20_000, streams: 1_000 }, 0);
        job.probe = true;
        child::make_dir(&job.dir)?;
        let trace = job.dir.with_extension("trace");
        let verdict = match child::run_traced(&job, &trace, PATIENCE) {
            Ok((answer, syncs)) => Verdict::on(&syncs, answer.demanded),
            Err(error) => Verdict::NotChecked { why: error.to_string() },
        };
        let _ = fs::remove_file(&trace);
        child::remove_dir(&job.dir)?;
        Ok(verdict)
    }

    /// One step of one store in one round. What fails is noted, and the others go on.
    fn measure(&mut self, step: &Step, entry: &Entry, round: u64) -> Outcome<()> {
        let job = self.job(step.task, entry, step.size, round);
        child::make_dir(&job.dir)?;
        if let Err(error) = self.measure_in_dir(job.clone(), entry) {
            self.note(&job, error.to_string());
        }
        child::remove_dir(&job.dir)
    }

    fn note(&mut self, job: &Job, why: String) {
        eprintln!("{} {}: {why}", job.store, job.task.name());
        self.results.failures.push(Failure {
            store: job.store.clone(),
            workload: job.task.name().to_owned(),
            size: Size { events: job.events, streams: job.streams },
            round: job.round,
            why,
        });
    }

    fn measure_in_dir(&mut self, mut job: Job, entry: &Entry) -> Outcome<()> {
        let patience = PATIENCE + PATIENCE_PER_MILLION * (job.events / 1_000_000) as u32;
        let answer = child::run(&job, patience)?;
        let mut events = answer.events;
        if answer.is_cut {
            self.note(&job, format!("the time was over after {events} events; what was read is these"));
        }
        self.take(&job, answer);
        if job.task == Task::Lookup && entry.name == "annals" {
            (job.task, job.left) = (Task::LookupOpen, events);
            let answer = child::run(&job, patience)?;
            self.take(&job, answer);
        }
        if job.task != Task::Load {
            return Ok(());
        }
        if entry.can.reopen {
            for task in [Task::ReopenKilled, Task::ReopenClosed] {
                (job.task, job.left) = (task, events);
                let answer = child::run(&job, patience).context(|| task.name().to_owned())?;
                events = answer.events;
                self.take(&job, answer);
            }
        }
        // The raw file is made for more than it gets, and what cannot be opened again may have been thrown away.
        if !entry.can.reopen || events == 0 {
            return Ok(());
        }
        let (allocated, used) = child::sizes(&job.dir)?;
        let mut answer = Answer::default();
        answer.push("bytes", Unit::Bytes, allocated as f64 / events as f64);
        if let Some(used) = used {
            answer.push("bytes.used", Unit::Bytes, used as f64 / events as f64);
        }
        self.take(&job, answer);
        Ok(())
    }

    fn take(&mut self, job: &Job, answer: Answer) {
        let size = Size { events: job.events, streams: job.streams };
        for figure in answer.figures {
            eprintln!(
                "{:<12} {:<24} {:>12} {}",
                job.store,
                figure.name,
                figure.unit.write(figure.value),
                figure.unit.name()
            );
            self.results.samples.push(Sample {
                store: job.store.clone(),
                figure: figure.name,
                unit: figure.unit,
                size,
                round: job.round,
                value: figure.value,
            });
        }
    }
}
