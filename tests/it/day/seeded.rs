//! The judge judged: one fault at a time is put into what was written down, or into the log, and must be found, and only it.

use super::notes::{Report, number};
use super::plan::Ack;
use super::{Account, spend};
use crate::checker::{Fact, Kind, Violation, check_consumer, check_group, check_writers};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// A short day with one kill, in which nothing went wrong.
fn account() -> Account {
    static DAY: OnceLock<Account> = OnceLock::new();
    let day = DAY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        spend(folder.path(), 4711, 1);
        let account = Account::read(folder.path());
        assert_eq!(account.judge(), [], "nothing was seeded");
        account
    });
    day.clone()
}

/// The kinds that were found; all about the one party.
fn kinds(violations: &[Violation], party: &str) -> Vec<Kind> {
    assert!(violations.iter().all(|violation| violation.party == party), "{violations:#?}");
    let kinds: BTreeSet<Kind> = violations.iter().map(|violation| violation.kind).collect();
    kinds.into_iter().collect()
}

fn words(report: &Report, line: usize) -> Vec<&str> {
    report.lines[line].split(' ').collect()
}

/// Lines that begin with a word, in the life with this number.
fn lines(report: &Report, word: &str, life: u64) -> Vec<usize> {
    let mut now = 0;
    let mut found = Vec::new();
    for line in 0..report.lines.len() {
        let words = words(report, line);
        if words[0] == "life" {
            now = number(words[1]);
        }
        if now == life && words[0] == word {
            found.push(line);
        }
    }
    found
}

/// Takes out every line of a life that tells of a position.
fn forget(report: &mut Report, position: &str) {
    report.lines.retain(|line| line.split(' ').nth(1) != Some(position) || line.starts_with("life"));
}

/// A subscriber that saw much in its last life, its name, and where it saw the middle of it.
fn middle(account: &mut Account) -> (&mut Report, String, usize) {
    let (plan, report) =
        account.subscribers.iter_mut().find(|(_, report)| lines(report, "saw", 1).len() > 100).unwrap();
    let saw = lines(report, "saw", 1);
    (report, plan.name.clone(), saw[saw.len() / 2])
}

#[test]
fn an_acknowledged_append_that_is_not_in_the_log_is_a_loss() {
    let mut account = account();
    let report = account.writers[0].clone();
    let told = number(words(&report, *lines(&report, "ok", 0).last().unwrap())[1]);
    let last = format!("0 {told} 0 ");
    account.truth.facts.retain(|fact| !fact.payload.starts_with(last.as_bytes()));
    let violations = check_writers(&account.truth, &account.writers);
    assert_eq!(kinds(&violations, "writer-0"), [Kind::Lost]);
    assert_eq!(kinds(&account.truth.check(), "log"), [Kind::Lost], "its place is empty");
    let seen: BTreeSet<Kind> = account.judge().iter().map(|violation| violation.kind).collect();
    assert!(seen.contains(&Kind::Vanished), "who saw it misses it: {seen:?}");
}

#[test]
fn an_append_that_is_in_the_log_twice_is_a_duplicate() {
    let mut account = account();
    let fact = account.truth.facts.iter().find(|fact| fact.stream.starts_with("in-2-")).unwrap();
    let position = account.truth.facts.len() as u64 + 1;
    let version = account.truth.facts.iter().filter(|other| other.stream == fact.stream).count() as u64 + 1;
    let again = Fact { position, version, ..fact.clone() };
    account.truth.facts.push(again);
    assert_eq!(account.truth.check(), []);
    let violations = check_writers(&account.truth, &account.writers);
    assert_eq!(kinds(&violations, "writer-2"), [Kind::Duplicate]);
}

#[test]
fn two_appends_in_the_wrong_order_are_told_from_those_in_the_wrong_place() {
    let mut account = account();
    let report = &mut account.writers[1];
    let is_single = |line: &usize| {
        let words = words(report, *line);
        words.len() == 5 && {
            let part: Vec<&str> = words[4].split(':').collect();
            part[0] == "in-1-0" && part[1] == part[2]
        }
    };
    let single: Vec<usize> = lines(report, "ok", 0).into_iter().filter(is_single).collect();
    let (one, other) = (single[0], single[1]);
    let place = |line: usize| number(words(report, line)[4].rsplit(':').next().unwrap());
    let (at, later) = (place(one) as usize - 1, place(other) as usize - 1);
    let told = |line: usize, from: usize| {
        let n = words(report, line)[1];
        format!("ok {n} {}", words(report, from)[2..].join(" "))
    };
    let (first, second) = (told(one, other), told(other, one));
    (report.lines[one], report.lines[other]) = (first, second);
    let misplaced = check_writers(&account.truth, &account.writers);
    assert_eq!(kinds(&misplaced, "writer-1"), [Kind::Misplaced]);
    // The log agrees with what was told: then it is the order.
    let facts = &mut account.truth.facts;
    let (earlier, late) = (facts[at].clone(), facts[later].clone());
    facts[at] = Fact { id: late.id, payload: late.payload, kind: late.kind, ..earlier.clone() };
    facts[later] =
        Fact { id: earlier.id, payload: earlier.payload, kind: earlier.kind, ..facts[later].clone() };
    let reordered = check_writers(&account.truth, &account.writers);
    assert_eq!(kinds(&reordered, "writer-1"), [Kind::Reordered]);
}

#[test]
fn what_a_subscriber_did_not_see_is_a_loss() {
    let mut day = account();
    let (report, name, at) = middle(&mut day);
    report.lines.remove(at);
    assert_eq!(kinds(&day.judge(), &name), [Kind::Lost]);
    // The same at the end, which has no event behind it; and for one that never ends.
    for cut in [1, 2] {
        let mut day = account();
        let (report, name, _) = middle(&mut day);
        let len = report.lines.len();
        report.lines.remove(len - cut);
        assert_eq!(kinds(&day.judge(), &name), [Kind::Lost]);
    }
    // And at the beginning of a life.
    let mut day = account();
    let (report, name, _) = middle(&mut day);
    let first = lines(report, "saw", 1)[0];
    report.lines.remove(first);
    assert_eq!(kinds(&day.judge(), &name), [Kind::Lost]);
}

#[test]
fn what_a_subscriber_saw_twice_or_in_another_order_is_told() {
    let mut day = account();
    let (report, name, at) = middle(&mut day);
    let again = report.lines[at].clone();
    report.lines.insert(at + 3, again);
    assert_eq!(kinds(&day.judge(), &name), [Kind::Duplicate]);
    let mut day = account();
    let (report, name, at) = middle(&mut day);
    report.lines.swap(at, at + 1);
    assert_eq!(kinds(&day.judge(), &name), [Kind::Reordered]);
}

#[test]
fn what_was_seen_and_is_not_there_afterwards_was_seen_too_early() {
    // Behind the end, as if the process had been killed before the write.
    let mut day = account();
    let behind = day.truth.facts.len() + 1;
    let (_, report) = &mut day.subscribers[0];
    let end = *lines(report, "saw", 0).last().unwrap();
    report.lines.insert(end + 1, format!("saw {behind} 1 abcdef"));
    assert_eq!(kinds(&day.judge(), "subscriber-0"), [Kind::Vanished]);
    // Another event took its position: the same text, appended again a little later, is another one.
    let mut day = account();
    let (report, name, at) = middle(&mut day);
    let position = number(words(report, at)[1]);
    let fact = day.truth.at(position).unwrap().clone();
    let earlier = Fact { time: fact.time - 1, ..fact.clone() };
    let (report, _, at) = middle(&mut day);
    report.lines[at] = format!("saw {position} {} {:x}", fact.version, earlier.digest());
    assert_eq!(kinds(&day.judge(), &name), [Kind::Vanished]);
}

#[test]
fn what_nobody_asked_for_is_told() {
    let mut day = account();
    let (plan, report) = &mut day.subscribers[1];
    let stream = plan.which.stream.clone().unwrap();
    let other = day.truth.facts.iter().find(|fact| fact.stream != stream).unwrap();
    let line = format!("saw {} {} {:x}", other.position, other.version, other.digest());
    let at = *lines(report, "from", 0).last().unwrap();
    report.lines.insert(at + 1, line);
    let name = plan.name.clone();
    assert_eq!(kinds(&day.judge(), &name), [Kind::Unwanted]);
}

#[test]
fn a_consumer_that_leaves_one_out_or_gets_one_again_is_told() {
    // The one with durable acknowledgements over a prefix.
    const C: usize = 7;
    let judge = |day: &Account| {
        let (plan, report) = &day.consumers[C];
        kinds(&check_consumer(&day.truth, plan, report, day.inputs_end), &plan.name)
    };
    let mut day = account();
    assert_eq!((day.consumers[C].0.ack, judge(&day)), (Ack::Durable, vec![]));
    let report = &mut day.consumers[C].1;
    let got = lines(report, "got", 1);
    let position = words(report, got[got.len() / 2])[1].to_owned();
    forget(report, &position);
    assert_eq!(judge(&day), [Kind::Lost], "in the middle");

    let mut day = account();
    let report = &mut day.consumers[C].1;
    // Not the first: that one may have been acknowledged without being told so.
    let firsts: Vec<String> =
        lines(report, "got", 1)[..2].iter().map(|line| words(report, *line)[1].to_owned()).collect();
    firsts.iter().for_each(|first| forget(report, first));
    assert_eq!(judge(&day), [Kind::Lost], "between two lives");

    let mut day = account();
    let report = &mut day.consumers[C].1;
    let durable = words(report, *lines(report, "durable", 0).last().unwrap())[1].to_owned();
    let line = lines(report, "got", 0).into_iter().rfind(|line| words(report, *line)[1] == durable).unwrap();
    let (again, first) = (report.lines[line].clone(), lines(report, "got", 1)[0]);
    let asked = words(report, first)[1].to_owned();
    let between = words(report, *lines(report, "ack", 0).last().unwrap())[1].to_owned();
    if between != durable && asked != between {
        // What was asked for last was durable after all: it has to come again, too, or there would be a gap.
        let line =
            lines(report, "got", 0).into_iter().rfind(|line| words(report, *line)[1] == between).unwrap();
        let line = report.lines[line].clone();
        report.lines.insert(first, line);
    }
    report.lines.insert(first, again);
    assert_eq!(judge(&day), [Kind::CameAgain]);
}

#[test]
fn results_that_are_missing_doubled_or_out_of_order_are_told() {
    const C: usize = 10;
    let results = |day: &Account| -> Vec<usize> {
        let stream = day.consumers[C].0.results();
        (0..day.truth.facts.len()).filter(|at| day.truth.facts[*at].stream == stream).collect()
    };
    let judge = |day: &Account| {
        let (plan, report) = &day.consumers[C];
        kinds(&check_consumer(&day.truth, plan, report, day.inputs_end), &plan.name)
    };
    let mut day = account();
    let found = results(&day);
    assert_eq!(judge(&day), []);
    let again = day.truth.facts[found[5]].clone();
    day.truth.facts.push(Fact { position: day.truth.facts.len() as u64 + 1, ..again });
    assert_eq!(judge(&day), [Kind::Twice]);

    let mut day = account();
    day.truth.facts.remove(found[5]);
    assert_eq!(judge(&day), [Kind::Lost]);

    let mut day = account();
    let (one, other) = (day.truth.facts[found[5]].payload.clone(), day.truth.facts[found[6]].payload.clone());
    (day.truth.facts[found[5]].payload, day.truth.facts[found[6]].payload) = (other, one);
    assert_eq!(judge(&day), [Kind::Reordered]);
}

fn judge_group(day: &Account, group: usize) -> Vec<Kind> {
    let (plan, report) = &day.groups[group];
    kinds(&check_group(&day.truth, plan, report, day.inputs_end), &plan.name)
}

/// Two events, one after the other in one stream, that succeeded at once in this life: lines of `got`, `ack`, `acked`.
fn neighbours(report: &Report, day: &Account, life: u64) -> [[usize; 3]; 2] {
    let gots = lines(report, "got", life);
    let of = |line: usize| -> Option<[usize; 3]> {
        let position = words(report, line)[1];
        let tells = |other: &usize| words(report, *other).get(1) == Some(&position);
        let all: Vec<usize> = (0..report.lines.len()).filter(tells).collect();
        let [got, ack, acked] = all[..] else { return None };
        (words(report, ack)[0] == "ack" && words(report, acked)[0] == "acked").then_some([got, ack, acked])
    };
    let stream = |line: usize| &day.truth.at(number(words(report, line)[1])).unwrap().stream;
    for (i, one) in gots.iter().enumerate() {
        let next = gots[i + 1..].iter().find(|other| stream(**other) == stream(*one));
        if let (Some(first), Some(second)) = (of(*one), next.and_then(|next| of(*next))) {
            return [first, second];
        }
    }
    panic!("no two events of a stream succeeded at once");
}

#[test]
fn a_group_that_leaves_one_out_is_told() {
    for group in 0..6 {
        let mut day = account();
        let report = day.groups[group].1.clone();
        let [first, _] = neighbours(&report, &day, 1);
        let position = words(&report, first[0])[1].to_owned();
        forget(&mut day.groups[group].1, &position);
        assert_eq!(judge_group(&day, group), [Kind::Lost], "group {group}");
    }
}

#[test]
fn a_group_that_breaks_the_order_of_a_stream_is_told() {
    let mut day = account();
    let report = day.groups[0].1.clone();
    let [first, second] = neighbours(&report, &day, 1);
    let lines = &mut day.groups[0].1.lines;
    // In the other order.
    for (one, other) in first.into_iter().zip(second) {
        lines.swap(one, other);
    }
    assert_eq!(judge_group(&day, 0), [Kind::Reordered]);
    // Both out at once.
    let mut day = account();
    let lines = &mut day.groups[0].1.lines;
    let got = lines.remove(second[0]);
    lines.insert(first[1], got);
    assert_eq!(judge_group(&day, 0), [Kind::Reordered]);
}

#[test]
fn a_group_that_gives_again_what_was_settled_is_told() {
    for (group, life) in [(0, 1), (3, 0), (4, 1)] {
        let mut day = account();
        let report = day.groups[group].1.clone();
        let [first, _] = neighbours(&report, &day, life);
        let again = first.map(|line| report.lines[line].clone());
        let lines = &mut day.groups[group].1.lines;
        let end = lines.len() - 1;
        lines.splice(end..end, again);
        let expected = if day.groups[group].0.ack == Ack::Exact { Kind::Twice } else { Kind::Duplicate };
        let found = judge_group(&day, group);
        assert!(found == [expected] || found == [Kind::CameAgain], "group {group}: {found:?}");
    }
    // In a later life, when the place was durable behind it.
    let mut day = account();
    let report = day.groups[0].1.clone();
    let [first, _] = neighbours(&report, &day, 0);
    let again = first.map(|line| report.lines[line].clone());
    let listed = lines(&report, "listed", 1)[0];
    day.groups[0].1.lines.splice(listed + 1..listed + 1, again);
    assert_eq!(judge_group(&day, 0), [Kind::CameAgain]);
}

#[test]
fn a_wrong_list_of_what_was_set_aside_is_told() {
    for change in 0..4 {
        let mut day = account();
        let report = &mut day.groups[0].1;
        let listed = lines(report, "parked", 1);
        match change {
            0 => _ = report.lines.remove(listed[0]),
            1 => report.lines[listed[0]] += "x",
            2 => {
                // One that nobody has set aside.
                let gots = lines(report, "got", 1);
                let first =
                    gots.into_iter().find(|line| words(report, *line)[2..4] == ["1", "false"]).unwrap();
                let position = words(report, first)[1].to_owned();
                report.lines.insert(listed[0], format!("parked {position} 3 no"));
            }
            _ => {
                let got =
                    lines(report, "got", 1).into_iter().rfind(|line| words(report, *line)[2] == "2").unwrap();
                report.lines[got] = report.lines[got].replacen(" 2 ", " 1 ", 1);
            }
        }
        assert_eq!(judge_group(&day, 0), [Kind::Parked], "change {change}");
    }
}
