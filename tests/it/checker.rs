//! The judge of a day: compares what each party wrote down with the log as the independent reader of FORMAT.md sees it.
//!
//! Owns what is a violation, and of which kind. Asks the library nothing. It is as strict as the guarantees and no stricter:
//! what a party had asked for and not been told when it was killed may have happened or not, once.

mod groups;
mod named;
mod outer;

pub(crate) use groups::check_group;
pub(crate) use named::check_consumer;
pub(crate) use outer::{check_subscriber, check_writers};

use crate::day::notes::number;
use crate::day::plan::{Which, Worker, digest};
use crate::scribe::{APPEND, Content, read_log};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Acknowledged, matching, or due, and not there.
    Lost,
    /// There or seen more than once.
    Duplicate,
    /// Not in the order that was told, or that of the log or the stream.
    Reordered,
    /// Not at the position, version or time that was told.
    Misplaced,
    /// Seen, and not there afterwards, or something else in its place.
    Vanished,
    /// Given to somebody who had not asked for it.
    Unwanted,
    /// Came again although it was behind a durable place.
    CameAgain,
    /// Exactly once was twice.
    Twice,
    /// The list of what was set aside, or the count of attempts, is wrong.
    Parked,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) party: String,
    pub(crate) what: String,
}

/// What is found wrong about one party.
pub(crate) struct Findings {
    party: String,
    found: Vec<Violation>,
}

impl Findings {
    fn of(party: &str) -> Findings {
        Findings { party: party.to_owned(), found: Vec::new() }
    }

    fn say(&mut self, kind: Kind, what: String) {
        self.found.push(Violation { kind, party: self.party.clone(), what });
    }
}

/// An event of the log.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    pub(crate) position: u64,
    pub(crate) version: u64,
    pub(crate) stream: String,
    pub(crate) kind: String,
    pub(crate) id: Option<u128>,
    pub(crate) time: u64,
    pub(crate) payload: Vec<u8>,
}

impl Fact {
    pub(crate) fn digest(&self) -> u64 {
        digest(&self.stream, self.version, &self.kind, self.time, &self.payload)
    }

    fn content(&self) -> u64 {
        digest(&self.stream, 0, &self.kind, 0, &self.payload)
    }
}

/// The log in its end.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    pub(crate) facts: Vec<Fact>,
}

impl Truth {
    /// Reads the segments in a directory.
    pub(crate) fn read(log: &Path) -> Truth {
        let mut files: Vec<_> = std::fs::read_dir(log)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
            .collect();
        files.sort();
        let images: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
        let read = read_log(&images).unwrap();
        let mut facts = Vec::new();
        for placed in read.segments.iter().flat_map(|segment| &segment.frames) {
            if placed.frame.kind != APPEND {
                continue;
            }
            let mut position = placed.frame.first_position;
            for section in &placed.frame.sections {
                let Content::Events(events) = &section.content else { continue };
                for (version, event) in (section.first..).zip(events) {
                    facts.push(Fact {
                        position,
                        version,
                        stream: section.id.clone(),
                        kind: event.event_type.clone(),
                        id: event.id.map(u128::from_be_bytes),
                        time: placed.frame.time,
                        payload: event.payload.clone(),
                    });
                    position += 1;
                }
            }
        }
        Truth { facts }
    }

    /// The event at a position.
    pub(crate) fn at(&self, position: u64) -> Option<&Fact> {
        let found = self.facts.binary_search_by_key(&position, |fact| fact.position);
        found.ok().map(|at| &self.facts[at])
    }

    pub(crate) fn matching(&self, which: &Which) -> Vec<&Fact> {
        self.facts.iter().filter(|fact| which.has(&fact.stream, &fact.kind)).collect()
    }

    /// Positions and versions are 1, 2, 3, ...
    pub(crate) fn check(&self) -> Vec<Violation> {
        let mut findings = Findings::of("log");
        let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
        for (expected, fact) in (1..).zip(&self.facts) {
            if fact.position != expected {
                findings
                    .say(Kind::Lost, format!("position {} stands where {expected} should", fact.position));
                break;
            }
            let version = versions.entry(&fact.stream).or_default();
            *version += 1;
            if fact.version != *version {
                findings.say(Kind::Lost, format!("{} has {} for {version}", fact.stream, fact.version));
            }
        }
        findings.found
    }
}

/// A run of what was given must be a gapless piece of what matches. `given` are indices into that, in the order in which
/// they were given; `name` tells one of them.
fn check_run(findings: &mut Findings, given: &[usize], name: impl Fn(usize) -> String) {
    let mut sorted = given.to_vec();
    sorted.sort_unstable();
    for pair in sorted.windows(2) {
        if pair[0] == pair[1] {
            findings.say(Kind::Duplicate, format!("{} came more than once", name(pair[0])));
        } else if pair[1] > pair[0] + 1 {
            findings.say(Kind::Lost, format!("{} did not come between others", name(pair[0] + 1)));
        }
    }
    // Repetitions aside, is the order that of the log?
    sorted.dedup();
    let mut firsts = given.to_vec();
    let mut met = BTreeSet::new();
    firsts.retain(|index| met.insert(*index));
    if let Some(at) = (0..firsts.len()).find(|at| firsts[*at] != sorted[*at]) {
        findings.say(Kind::Reordered, format!("{} came out of its order", name(firsts[at])));
    }
}

/// What a party noted of an event, against the log: whether it is this one.
fn same(findings: &mut Findings, truth: &Truth, position: u64, digest: &str) -> bool {
    let there = truth.at(position);
    let same = there.is_some_and(|fact| format!("{:x}", fact.digest()) == digest);
    if !same {
        let now = there.map_or("nothing".to_owned(), |fact| format!("{} {}", fact.stream, fact.version));
        findings.say(Kind::Vanished, format!("what came at {position} is not there any more, but {now} is"));
    }
    same
}

/// The results of exactly-once work: one for each input that was due, and for no other.
fn check_results(findings: &mut Findings, truth: &Truth, plan: &Worker, due: &[&Fact], in_order: bool) {
    let stream = plan.results();
    let mut inputs = Vec::new();
    for fact in truth.facts.iter().filter(|fact| fact.stream == stream) {
        let text = String::from_utf8_lossy(&fact.payload).into_owned();
        let (position, digest) = text.split_once(' ').unwrap_or((&text, ""));
        if same(findings, truth, number(position), digest) {
            inputs.push(number(position));
        }
    }
    let mut sorted = inputs.clone();
    sorted.sort_unstable();
    for pair in sorted.windows(2).filter(|pair| pair[0] == pair[1]) {
        findings.say(Kind::Twice, format!("{stream} holds two results of {}", pair[0]));
    }
    sorted.dedup();
    for fact in due.iter().filter(|fact| sorted.binary_search(&fact.position).is_err()) {
        findings.say(Kind::Lost, format!("{stream} lacks the result of {}", fact.position));
    }
    let due: Vec<u64> = due.iter().map(|fact| fact.position).collect();
    for position in sorted.iter().filter(|position| due.binary_search(position).is_err()) {
        findings.say(Kind::Unwanted, format!("{stream} holds a result of {position}"));
    }
    let mut met = BTreeSet::new();
    inputs.retain(|position| met.insert(*position));
    if in_order && inputs != sorted {
        findings.say(Kind::Reordered, format!("{stream} is not in the order of its inputs"));
    }
}
