//! Named consumers: what came, and what came again.

use super::{Fact, Findings, Kind, Truth, Violation, check_results, check_run, same};
use crate::day::notes::{Report, number};
use crate::day::plan::{Ack, Worker};
use std::collections::{BTreeSet, HashMap};

/// What is known of a consumer between its lives.
#[derive(Default)]
struct Known {
    /// The place stands here or further.
    durable: Option<u64>,
    /// The place stands at one of these, if it moved: acknowledgements that were asked for.
    asked: BTreeSet<u64>,
    /// Where a new consumer of this name begins, if none of them was written: behind a position between these two.
    fresh: (u64, u64),
    given: Vec<usize>,
}

/// At least once: each life begins behind an acknowledgement that was asked for, not before one that was told to be durable,
/// and goes on without a gap. With exactly-once, the results are those of the inputs, each once and in order.
pub(crate) fn check_consumer(
    truth: &Truth,
    plan: &Worker,
    report: &Report,
    inputs_end: u64,
) -> Vec<Violation> {
    let mut findings = Findings::of(&plan.name);
    let matching = truth.matching(&plan.which);
    let index: HashMap<u64, usize> =
        matching.iter().enumerate().map(|(index, fact)| (fact.position, index)).collect();
    let mut known = Known::default();
    let (mut began, mut asked_now) = (None, Vec::new());
    for words in report.words() {
        match words[0] {
            "life" => {
                known.life_over(&mut findings, &matching, &mut began);
                known.asked.extend(asked_now.drain(..));
            }
            "open" => known.fresh = (number(words[1]), number(words[2])),
            "got" => {
                let same = same(&mut findings, truth, number(words[1]), words[2]);
                match index.get(&number(words[1])) {
                    Some(index) => known.given.push(*index),
                    None if !same => {}
                    None => findings.say(Kind::Unwanted, format!("position {} does not match", words[1])),
                }
            }
            "ack" => asked_now.push(number(words[1])),
            "durable" => began = began.max(Some(number(words[1]))),
            _ => {}
        }
    }
    let last = known.given.iter().max().copied();
    let due_from = known.life_over(&mut findings, &matching, &mut began);
    let next = last.map_or(due_from, |last| last + 1);
    let ended = report.lines.last().is_some_and(|line| line == "end");
    match matching.get(next) {
        Some(fact) if fact.position <= inputs_end => {
            findings.say(Kind::Lost, format!("ended before position {}", fact.position));
        }
        _ if !ended => findings.say(Kind::Lost, "did not come to its end".to_owned()),
        _ => {}
    }
    if plan.ack == Ack::Exact {
        let due: Vec<&Fact> = matching.into_iter().filter(|fact| fact.position > known.fresh.1).collect();
        check_results(&mut findings, truth, plan, &due, true);
    }
    findings.found
}

impl Known {
    /// Judges what came in a life; `told` was told to be durable in it. The index of what was due first.
    fn life_over(&mut self, findings: &mut Findings, matching: &[&Fact], told: &mut Option<u64>) -> usize {
        let given = std::mem::take(&mut self.given);
        check_run(findings, &given, |index| format!("position {}", matching[index].position));
        let first = given.iter().min().copied();
        if let Some(first) = first {
            let position = matching[first].position;
            let before = first.checked_sub(1).map_or(0, |before| matching[before].position);
            if let Some(durable) = self.durable.filter(|durable| position <= *durable) {
                findings.say(Kind::CameAgain, format!("{position} came again, {durable} was durable"));
            } else if self.asked.contains(&before) {
                // The place was found here, on disk, unless a new consumer would have begun here as well.
                let (low, high) = self.fresh;
                if self.durable.is_some() || position <= low || before > high {
                    self.durable = self.durable.max(Some(before));
                }
            } else if let Some(durable) = self.durable.filter(|durable| before > *durable) {
                findings.say(Kind::Lost, format!("began at {position}, the place was {durable} at least"));
            } else if self.durable.is_none() {
                let (low, high) = self.fresh;
                if position <= low {
                    findings.say(Kind::Unwanted, format!("{position} is not behind {low}"));
                }
                if before > high {
                    findings.say(Kind::Lost, format!("began at {position}, {before} was never acknowledged"));
                }
            }
        }
        let asked = self.asked.last().copied().unwrap_or(0);
        let place = self.durable.unwrap_or(self.fresh.1).max(asked);
        self.durable = self.durable.max(told.take());
        first.unwrap_or_else(|| matching.partition_point(|fact| fact.position <= place))
    }
}
