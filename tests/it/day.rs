//! A day in the life: 8 writers, 100 subscribers, 14 consumers and 6 groups on one log, in a process that is killed with
//! `kill -9` again and again, and a judge that compares what each of them wrote down with what is in the files.
//!
//! The process is this same test binary, told by its environment to live (`life.rs`). Each party notes in a file of its own
//! what it does and what it is told (`notes.rs`), goes on from its own notes in the next life, and is judged by `checker.rs`.
//!
//! `ANNALS_DAY_KILLS=n` kills n times instead of 7; `ANNALS_DAY_SEED=n` repeats the inputs, the bad events and the times
//! between the kills (not what the threads make of them). Both are printed.

mod life;
pub(crate) mod notes;
mod parties;
pub(crate) mod plan;
mod seeded;
mod workers;

use crate::checker::{Truth, Violation, check_consumer, check_group, check_subscriber, check_writers};
use crate::simdisk::Rng;
use annals::EventLog;
use notes::Report;
use plan::{Subscriber, Worker, consumers, groups, subscribers};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const CHILD: &str = "ANNALS_DAY_CHILD";
/// How long the last life may take to come to its end.
const END_WITHIN: Duration = Duration::from_secs(180);

/// Everything that was written down.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) truth: Truth,
    pub(crate) writers: Vec<Report>,
    pub(crate) subscribers: Vec<(Subscriber, Report)>,
    pub(crate) consumers: Vec<(Worker, Report)>,
    pub(crate) groups: Vec<(Worker, Report)>,
    pub(crate) inputs_end: u64,
}

impl Account {
    pub(crate) fn read(folder: &Path) -> Account {
        let notes = folder.join("notes");
        let report = |party: &str| Report::read(&notes, party);
        Account {
            truth: Truth::read(&folder.join("log")),
            writers: (0..plan::WRITERS).map(|writer| report(&format!("writer-{writer}"))).collect(),
            subscribers: subscribers().into_iter().map(|plan| (plan.clone(), report(&plan.name))).collect(),
            consumers: consumers().into_iter().map(|plan| (plan.clone(), report(&plan.name))).collect(),
            groups: groups()
                .into_iter()
                .map(|plan| (plan.clone(), report(&workers::file_name(&plan.name))))
                .collect(),
            inputs_end: workers::inputs_end(&report("day")),
        }
    }

    pub(crate) fn judge(&self) -> Vec<Violation> {
        let mut violations = self.truth.check();
        violations.extend(check_writers(&self.truth, &self.writers));
        for (plan, report) in &self.subscribers {
            violations.extend(check_subscriber(&self.truth, plan, report));
        }
        for (plan, report) in &self.consumers {
            violations.extend(check_consumer(&self.truth, plan, report, self.inputs_end));
        }
        for (plan, report) in &self.groups {
            violations.extend(check_group(&self.truth, plan, report, self.inputs_end));
        }
        violations
    }
}

/// How many lines begin with this word.
fn count<'a>(reports: impl Iterator<Item = &'a Report>, word: &str) -> usize {
    let of = |report: &Report| report.words().filter(|words| words[0] == word).count();
    reports.map(of).sum()
}

/// Not a test by itself: without the variable it has nothing to do.
#[test]
fn child() {
    let Ok(told) = std::env::var(CHILD) else { return };
    // A thread that fails takes the process with it, or the others would go on without it.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        hook(info);
        std::process::exit(70);
    }));
    let words: Vec<&str> = told.splitn(4, ' ').collect();
    let [seed, life, writing, folder] = words[..] else { panic!("{told:?}") };
    let writing = Some(notes::number(writing)).filter(|writing| *writing > 0).map(Duration::from_millis);
    life::live(Path::new(folder), notes::number(seed), notes::number(life), writing);
}

fn start(folder: &Path, seed: u64, life: u64, writing: u64) -> Child {
    let errors = std::fs::File::create(folder.join("errors")).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "day::child", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{seed} {life} {writing} {}", folder.display()))
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .unwrap()
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A day with so many kills, and a last life that comes to its end.
fn spend(folder: &Path, seed: u64, kills: u64) {
    let mut rng = Rng::new(seed);
    let errors = || std::fs::read_to_string(folder.join("errors")).unwrap();
    for life in 0..kills {
        let mut child = start(folder, seed, life, 0);
        // Now and then while it is still being opened.
        let early = life > 0 && rng.chance(1, 5);
        thread::sleep(Duration::from_millis(if early { 5 + rng.below(120) } else { 700 + rng.below(900) }));
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "seed {seed}, life {life}: it ended by itself: {ended:?}\n{}", errors());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let begun = Instant::now();
    let mut child = start(folder, seed, kills, 700);
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if begun.elapsed() > END_WITHIN => {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("seed {seed}: the last life does not end\n{}", errors());
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    assert!(status.success(), "seed {seed}, the last life: {status}\n{}", errors());
}

#[test]
fn nothing_is_lost_doubled_reordered_or_seen_too_early_however_often_the_process_is_killed() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = from_environment("ANNALS_DAY_SEED").unwrap_or(now.as_nanos() as u64 >> 10 & 0xffff_ffff);
    let kills = from_environment("ANNALS_DAY_KILLS").unwrap_or(7);
    println!("ANNALS_DAY_SEED={seed} ANNALS_DAY_KILLS={kills}");
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    spend(folder, seed, kills);
    let account = Account::read(folder);
    let violations = account.judge();
    let workers = || account.consumers.iter().map(|one| &one.1);
    let members = || account.groups.iter().map(|one| &one.1);
    println!(
        "{} events; {} appends told, {} repeated; {} seen; consumers: {} given, {} acknowledged; groups: {} given, \
         {} failures, {} found set aside",
        account.truth.facts.len(),
        count(account.writers.iter(), "ok"),
        account
            .writers
            .iter()
            .flat_map(|writer| &writer.lines)
            .filter(|line| line.contains(" true "))
            .count(),
        count(account.subscribers.iter().map(|one| &one.1), "saw"),
        count(workers(), "got"),
        count(workers(), "ack"),
        count(members(), "got"),
        count(members(), "nack"),
        count(members(), "parked"),
    );
    let first: Vec<&Violation> = violations.iter().take(20).collect();
    assert!(violations.is_empty(), "seed {seed}: {} violations, first {first:#?}", violations.len());
    // The library sees what the independent reader sees.
    let log = EventLog::open_read_only(folder.join("log")).unwrap();
    let mut facts = account.truth.facts.iter();
    for event in log.read_all(0) {
        let event = event.unwrap();
        let fact = facts.next().unwrap();
        assert_eq!(
            (event.position(), event.stream(), event.payload()),
            (fact.position, &*fact.stream, &*fact.payload)
        );
    }
    assert!(facts.next().is_none(), "seed {seed}: the log ends early");
}
