//! Writers and subscribers: what was acknowledged, and what was seen.

use super::{Fact, Findings, Kind, Truth, Violation, check_run, same};
use crate::day::notes::{Report, number};
use crate::day::plan::Subscriber;
use std::collections::{BTreeMap, HashMap};

/// Everything acknowledged is there, once, where it was told and in the order it was told; everything that was tried is there
/// whole or not at all; nothing is there that nobody tried.
pub(crate) fn check_writers(truth: &Truth, reports: &[Report]) -> Vec<Violation> {
    let mut by_id: HashMap<u128, Vec<&Fact>> = HashMap::new();
    for fact in &truth.facts {
        fact.id.into_iter().for_each(|id| by_id.entry(id).or_default().push(fact));
    }
    let mut violations = Vec::new();
    let mut tried = 0;
    for report in reports {
        let mut findings = Findings::of(&report.party);
        // By number: ids, streams and contents in order.
        let mut tries: BTreeMap<u64, Vec<Vec<String>>> = BTreeMap::new();
        let mut told: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
        for words in report.words() {
            match words[0] {
                "try" => {
                    let parts: Vec<Vec<String>> =
                        words[2..].iter().map(|part| part.split(':').map(str::to_owned).collect()).collect();
                    let old = tries.insert(number(words[1]), parts.clone());
                    assert!(old.is_none_or(|old| old == parts), "a repeat is the same");
                }
                "ok" => {
                    assert!(told.insert(number(words[1]), words).is_none(), "told once");
                }
                _ => {}
            }
        }
        let mut before = 0;
        for (n, parts) in &tries {
            let ids: Vec<u128> =
                parts.iter().map(|part| u128::from_str_radix(&part[2], 16).unwrap()).collect();
            tried += ids.len();
            let found: Vec<&[&Fact]> = ids.iter().map(|id| by_id.get(id).map_or(&[][..], |f| f)).collect();
            let missing = found.iter().filter(|facts| facts.is_empty()).count();
            if found.iter().any(|facts| facts.len() > 1) {
                findings.say(Kind::Duplicate, format!("append {n} is there more than once"));
            }
            if missing > 0 && (missing < ids.len() || told.contains_key(n)) {
                let of = ids.len();
                findings.say(Kind::Lost, format!("append {n}: {missing} of {of} events are not there"));
            }
            if missing > 0 {
                continue;
            }
            for (i, (facts, part)) in found.iter().zip(parts).enumerate() {
                let content = u64::from_str_radix(&part[1], 16).unwrap();
                if facts[0].stream != part[0] || facts[0].content() != content {
                    findings.say(Kind::Vanished, format!("append {n}, event {i} is another one"));
                }
            }
            if found[0][0].position <= before {
                findings.say(Kind::Reordered, format!("append {n} stands before the one before it"));
            }
            before = found[found.len() - 1][0].position;
            if let Some(told) = told.get(n) {
                let places =
                    found.iter().map(|facts| (&facts[0].stream[..], facts[0].version, facts[0].position));
                let time = number(told[2]);
                let was_told: Vec<_> = told[4..].iter().flat_map(|part| told_places(part)).collect();
                if places.ne(was_told.iter().copied()) || found.iter().any(|facts| facts[0].time != time) {
                    findings.say(Kind::Misplaced, format!("append {n} is not where {was_told:?} was told"));
                }
            }
        }
        violations.append(&mut findings.found);
    }
    if by_id.len() > tried {
        let mut findings = Findings::of("writers");
        findings.say(Kind::Unwanted, format!("{} events are there, {tried} were tried", by_id.len()));
        violations.append(&mut findings.found);
    }
    violations
}

/// Stream, version and position of each event of a part: `stream:first version:last version:first position`.
fn told_places(part: &str) -> impl Iterator<Item = (&str, u64, u64)> {
    let words: Vec<&str> = part.split(':').collect();
    let (stream, first, last, position) = (words[0], number(words[1]), number(words[2]), number(words[3]));
    (first..=last).map(move |version| (stream, version, position + version - first))
}

/// Each matching event exactly once, in order, without a gap, from where the subscription began; and all of it is there.
pub(crate) fn check_subscriber(truth: &Truth, plan: &Subscriber, report: &Report) -> Vec<Violation> {
    let mut findings = Findings::of(&plan.name);
    let matching = truth.matching(&plan.which);
    let place = |fact: &Fact| if plan.which.stream.is_some() { fact.version } else { fact.position };
    let index: HashMap<u64, usize> =
        matching.iter().enumerate().map(|(index, fact)| (fact.position, index)).collect();
    let mut from = (0, 0);
    let mut given: Vec<usize> = Vec::new();
    let life_over = |findings: &mut Findings, (low, high): (u64, u64), given: &[usize], ended: bool| {
        check_run(findings, given, |index| format!("position {}", matching[index].position));
        let first = given.iter().min().copied();
        let last = given.iter().max().copied();
        if let Some(first) = first {
            if place(matching[first]) <= low {
                let position = matching[first].position;
                findings.say(Kind::Unwanted, format!("position {position} is not behind {low}"));
            }
            if first > 0 && place(matching[first - 1]) > high {
                let (skipped, first) = (matching[first - 1].position, matching[first].position);
                findings.say(Kind::Lost, format!("began at {first}, {skipped} is behind {high}, too"));
            }
        }
        if ended {
            let next =
                last.map_or_else(|| matching.partition_point(|fact| place(fact) <= high), |last| last + 1);
            if let Some(fact) = matching.get(next) {
                findings.say(Kind::Lost, format!("ended before position {}", fact.position));
            }
        }
    };
    for words in report.words() {
        match words[0] {
            "life" => {
                life_over(&mut findings, from, &given, false);
                given.clear();
            }
            "from" => from = (number(words[1]), number(words[2])),
            "saw" => {
                let same = same(&mut findings, truth, number(words[1]), words[3]);
                match index.get(&number(words[1])) {
                    Some(index) => given.push(*index),
                    None if !same => {}
                    None => findings.say(Kind::Unwanted, format!("position {} does not match", words[1])),
                }
            }
            "end" => {
                life_over(&mut findings, from, &given, true);
                given.clear();
            }
            _ => {}
        }
    }
    if report.lines.last().is_none_or(|line| line != "end") {
        findings.say(Kind::Lost, "did not come to its end".to_owned());
    }
    findings.found
}
