//! Groups: order within a stream, nothing left out, nothing again that was marked, and the list of what was set aside.
//!
//! An answer is noted before the library gets it, a delivery after the library gave it: between the two lines no other event
//! of the stream may be out.

use super::{Fact, Findings, Kind, Truth, Violation, check_results, same};
use crate::day::notes::{Report, number};
use crate::day::plan::{Ack, Start, Worker};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const ATTEMPTS_MAX: u32 = 3;

struct Group<'a> {
    findings: Findings,
    exact: bool,
    /// Positions that match, and those of each stream.
    matching: Vec<u64>,
    streams: HashMap<&'a str, Vec<u64>>,
    stream_of: HashMap<u64, &'a str>,
    /// Must not be given out again but by replay.
    settled: BTreeSet<u64>,
    /// An acknowledgement, or to be set aside, was asked for: it need not be given out again in a later life.
    asked: BTreeSet<u64>,
    /// Everything that matches below is behind the durable place.
    durable: u64,
    /// On the list for sure, and perhaps: attempts and reason.
    parked: BTreeMap<u64, (u32, String)>,
    perhaps_parked: BTreeMap<u64, (u32, String)>,
    /// On the list, but perhaps replayed with success.
    perhaps_gone: BTreeSet<u64>,
    listed: BTreeMap<u64, (u32, String)>,
    life: Life<'a>,
}

/// What is forgotten with each life.
#[derive(Default)]
struct Life<'a> {
    /// What is out, by stream, and whether it is being replayed.
    out: HashMap<&'a str, (u64, bool)>,
    /// What a stream must go on with: it failed.
    retry: HashMap<&'a str, u64>,
    failures: HashMap<u64, u32>,
    /// How many failures of an event were told to the log, and what it said is not noted yet.
    unanswered: HashMap<u64, u32>,
    /// The last event of each stream that was given out for the first time.
    last: HashMap<&'a str, u64>,
    /// Left out by a later one of the stream: lost, unless it comes after all.
    left_out: BTreeMap<u64, u64>,
    /// Told to be done with in this life.
    done: BTreeSet<u64>,
    /// How far `done` and `settled` reach without a gap: an index into what matches.
    low: usize,
    /// That, when the answer was noted that is under way.
    low_then: HashMap<u64, u64>,
}

/// Judges a group's report.
pub(crate) fn check_group(truth: &Truth, plan: &Worker, report: &Report, inputs_end: u64) -> Vec<Violation> {
    let after = if let Start::After(place) = plan.start { place } else { 0 };
    let matching: Vec<&Fact> =
        truth.matching(&plan.which).into_iter().filter(|fact| fact.position > after).collect();
    let mut streams: HashMap<&str, Vec<u64>> = HashMap::new();
    for fact in &matching {
        streams.entry(&fact.stream).or_default().push(fact.position);
    }
    let mut group = Group {
        findings: Findings::of(&plan.name),
        exact: plan.ack == Ack::Exact,
        stream_of: matching.iter().map(|fact| (fact.position, &fact.stream[..])).collect(),
        matching: matching.iter().map(|fact| fact.position).collect(),
        streams,
        settled: BTreeSet::new(),
        asked: BTreeSet::new(),
        durable: 0,
        parked: BTreeMap::new(),
        perhaps_parked: BTreeMap::new(),
        perhaps_gone: BTreeSet::new(),
        listed: BTreeMap::new(),
        life: Life::default(),
    };
    for words in report.words() {
        let position = || number(words[1]);
        match words[0] {
            "life" => {
                group.say_left_out();
                group.life = Life::default();
                group.life.low = group.matching.partition_point(|position| *position < group.durable);
                group.listed.clear();
            }
            "parked" => {
                let value = (number(words[2]) as u32, words[3].to_owned());
                group.listed.insert(position(), value);
            }
            "listed" => group.listed(),
            "got" => {
                same(&mut group.findings, truth, position(), words[4]);
                group.got(position(), number(words[2]) as u32, words[3] == "true");
            }
            "ack" => group.acknowledges(position()),
            "acked" => group.acknowledged(position()),
            "nack" => group.fails(position(), words[2]),
            "nacked" => group.failed(position(), words[2] == "true"),
            "drop" => group.fails(position(), "dropped"),
            _ => {}
        }
    }
    group.end(inputs_end, report.lines.last().is_some_and(|line| line == "end"));
    if group.exact {
        check_results(&mut group.findings, truth, plan, &matching, false);
    }
    group.findings.found
}

impl<'a> Group<'a> {
    /// A new life has listed what is set aside: what was uncertain is known now.
    fn listed(&mut self) {
        let gone =
            |position: &u64| self.perhaps_gone.contains(position) && !self.listed.contains_key(position);
        self.parked.retain(|position, _| !gone(position));
        for (position, value) in &self.parked {
            let there = self.listed.get(position);
            if there != Some(value) && (there.is_none() || there != self.perhaps_parked.get(position)) {
                let what = format!("{position} was set aside with {value:?} and is listed as {there:?}");
                self.findings.say(Kind::Parked, what);
            }
        }
        for (position, value) in std::mem::take(&mut self.listed) {
            if self.parked.contains_key(&position) || self.perhaps_parked.get(&position) == Some(&value) {
                self.settled.insert(position);
                self.parked.insert(position, value);
            } else {
                self.findings.say(Kind::Parked, format!("{position} is listed, nobody set it aside"));
            }
        }
        self.perhaps_parked.clear();
        self.perhaps_gone.clear();
    }

    fn got(&mut self, position: u64, attempt: u32, replayed: bool) {
        let Some(stream) = self.stream_of.get(&position).copied() else {
            return self.findings.say(Kind::Unwanted, format!("{position} does not match"));
        };
        if let Some((other, _)) = self.life.out.insert(stream, (position, replayed)) {
            self.findings.say(Kind::Reordered, format!("{position} came while {other} of {stream} was out"));
        }
        let failures = self.life.failures.get(&position).copied().unwrap_or(0);
        if attempt != failures + 1 {
            let what = format!("{position} came as attempt {attempt} after {failures} failures");
            self.findings.say(Kind::Parked, what);
        }
        if let Some(retry) = self.life.retry.remove(stream) {
            if retry != position {
                let what = format!("{position} came before {retry} of {stream}, which had failed");
                self.findings.say(Kind::Reordered, what);
            }
            return;
        }
        if replayed {
            if !self.parked.contains_key(&position) {
                let what = format!("{position} was replayed and is not on the list");
                self.findings.say(Kind::Twice, what);
            }
            return;
        }
        if self.settled.contains(&position) {
            let what = format!("{position} came again, it was marked");
            return self.findings.say(Kind::Twice, what);
        }
        if position < self.durable {
            let what = format!("{position} came again, the place had passed it");
            return self.findings.say(Kind::CameAgain, what);
        }
        let last = self.life.last.get(stream).copied();
        if last.is_some_and(|last| position <= last) {
            let late = self.life.left_out.remove(&position).is_some();
            let kind = if late { Kind::Reordered } else { Kind::Duplicate };
            return self.findings.say(kind, format!("{position} of {stream} came after {last:?}"));
        }
        self.life.last.insert(stream, position);
        let of_stream = &self.streams[stream];
        let from = of_stream.partition_point(|other| Some(*other) <= last);
        let left_out = of_stream[from..].iter().take_while(|other| **other < position);
        let left_out = left_out.filter(|other| !self.settled.contains(other) && !self.asked.contains(other));
        self.life.left_out.extend(left_out.map(|other| (*other, position)));
    }

    fn say_left_out(&mut self) {
        for (other, position) in std::mem::take(&mut self.life.left_out) {
            self.findings.say(Kind::Lost, format!("{position} came, {other} of its stream did not"));
        }
    }

    /// Takes back what was out; whether it was being replayed.
    fn answered(&mut self, position: u64) -> bool {
        let stream = self.stream_of.get(&position).copied().unwrap_or_default();
        match self.life.out.get(stream).copied() {
            Some((out, replayed)) if out == position => {
                self.life.out.remove(stream);
                replayed
            }
            // Another one came while it was out, which was told then.
            _ => false,
        }
    }

    fn acknowledges(&mut self, position: u64) {
        if self.answered(position) {
            self.perhaps_gone.insert(position);
            return;
        }
        self.note_low(position);
        self.asked.insert(position);
    }

    fn acknowledged(&mut self, position: u64) {
        if self.perhaps_gone.remove(&position) {
            self.parked.remove(&position);
            self.perhaps_parked.remove(&position);
            self.life.failures.remove(&position);
            return;
        }
        if self.exact {
            self.settled.insert(position);
            self.raise_durable(position);
        }
        self.life.done.insert(position);
    }

    fn fails(&mut self, position: u64, reason: &str) {
        let replayed = self.answered(position);
        // What is only dropped is not answered.
        if reason != "dropped" {
            *self.life.unanswered.entry(position).or_default() += 1;
        }
        let failures = self.life.failures.entry(position).or_default();
        *failures += 1;
        if *failures < ATTEMPTS_MAX {
            let stream = self.stream_of.get(&position).copied().unwrap_or_default();
            self.life.retry.insert(stream, position);
            return;
        }
        self.life.failures.remove(&position);
        self.perhaps_parked.insert(position, (ATTEMPTS_MAX, reason.to_owned()));
        if !replayed {
            self.note_low(position);
            self.asked.insert(position);
        }
    }

    fn failed(&mut self, position: u64, parked: bool) {
        let unanswered = self.life.unanswered.entry(position).or_default();
        *unanswered = unanswered.saturating_sub(1);
        // Another member had the event before this one came to note its answer: that of the last failure is to come.
        if !parked && *unanswered > 0 {
            return;
        }
        let due = self.perhaps_parked.remove(&position);
        if parked != due.is_some() {
            self.findings.say(Kind::Parked, format!("{position} was set aside: {parked}"));
        }
        if let (true, Some(value)) = (parked, due)
            && self.parked.insert(position, value).is_none()
        {
            self.settled.insert(position);
            self.raise_durable(position);
            self.life.done.insert(position);
        }
    }

    /// How far everything is done with, as an answer is about to be given.
    fn note_low(&mut self, position: u64) {
        let Life { low, done, .. } = &mut self.life;
        while let Some(next) = self.matching.get(*low)
            && (done.contains(next) || self.settled.contains(next))
        {
            *low += 1;
        }
        let low = self.matching.get(*low).copied().unwrap_or(0);
        self.life.low_then.insert(position, low);
    }

    /// An answer that is durable has taken the place along.
    fn raise_durable(&mut self, position: u64) {
        self.durable = self.durable.max(self.life.low_then.remove(&position).unwrap_or(0));
    }

    fn end(&mut self, inputs_end: u64, ended: bool) {
        self.say_left_out();
        if !ended {
            return self.findings.say(Kind::Lost, "did not come to its end".to_owned());
        }
        for position in self.matching.clone().into_iter().filter(|position| *position <= inputs_end) {
            if !self.settled.contains(&position) && !self.asked.contains(&position) {
                self.findings.say(Kind::Lost, format!("{position} never came"));
            }
        }
        let left: Vec<u64> = self.parked.keys().copied().collect();
        if !left.is_empty() {
            self.findings.say(Kind::Parked, format!("{left:?} are still set aside, all were replayed"));
        }
    }
}
