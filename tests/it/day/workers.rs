//! Consumers and groups: what they are given, how they answer, and what they note before and after they do.

use super::life::Day;
use super::notes::{Notes, Report, number};
use super::plan::{Ack, Start, Worker, digest};
use crate::consumers::ANY;
use annals::{Delivery, GroupNext, GroupOptions, NewEvent, RecordedEvent};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_millis(40);
/// Nothing comes any more when nothing came for so long after the last input.
const QUIET: Duration = Duration::from_millis(400);

fn told(event: &RecordedEvent) -> u64 {
    digest(event.stream(), event.version(), event.event_type(), event.time_nanos(), event.payload())
}

/// Anything between 0 and `below` that depends on these alone.
fn chance(day: &Day, words: &str, below: u64) -> u64 {
    digest(words, day.seed, "", 0, b"") % below
}

fn result(event: &RecordedEvent) -> String {
    format!("{} {:x}", event.position(), told(event))
}

/// A named consumer.
pub(crate) fn consume(day: &Day, plan: &Worker) {
    let notes = Notes::open(&day.notes, &plan.name, day.life);
    let (from, query) = match plan.start {
        Start::After(place) if plan.which.stream.is_some() => {
            assert_eq!(place, 0, "a version here, a position there");
            (0, plan.which.query())
        }
        Start::After(place) => (place, plan.which.query().after(place)),
        Start::Now => (day.log.last_position(), plan.which.query().from_now()),
    };
    let mut consumer = day.log.consumer(&plan.name, &query).unwrap();
    consumer = consumer.durable_acks(plan.ack == Ack::Durable);
    let to = if plan.start == Start::Now { day.log.last_position() } else { from };
    notes.line(&format!("open {from} {to}"));
    let mut lazily = 0;
    loop {
        let finishing = day.inputs_done.load(Ordering::Acquire);
        let Some(event) = consumer.next_within(WAIT).unwrap() else {
            if finishing {
                break;
            }
            continue;
        };
        let position = event.position();
        notes.line(&format!("got {position} {:x}", told(&event)));
        match plan.ack {
            Ack::Lazy if chance(day, &format!("{} {position}", plan.name), 3) == 0 => {
                notes.line(&format!("ack {position}"));
                event.ack().unwrap();
                lazily += 1;
                if lazily % 64 == 0 && !finishing {
                    // Durable with the next commit: here is one, and when it returns, it was the next or a later one.
                    day.log
                        .append(&format!("tick-{}", plan.name), ANY, &[NewEvent::new("Tick", "")])
                        .unwrap();
                    notes.line(&format!("durable {position}"));
                }
            }
            Ack::Lazy => {}
            Ack::Durable => {
                notes.line(&format!("ack {position}"));
                event.ack().unwrap();
                notes.line(&format!("durable {position}"));
            }
            Ack::Exact => {
                notes.line(&format!("ack {position}"));
                let payload = result(&event);
                let out = NewEvent::new("Out", &payload);
                event.ack_with(day.log.batch().append(&plan.results(), ANY, &[out])).unwrap();
                notes.line(&format!("durable {position}"));
            }
        }
    }
    notes.line("end");
}

/// A group of three members.
pub(crate) fn share(day: &Day, plan: &Worker) {
    let notes = Notes::open(&day.notes, &file_name(&plan.name), day.life);
    let Start::After(from) = plan.start else { panic!("a group from now is not planned") };
    let options =
        GroupOptions::new().window(plan.window).attempts_max(3).retry_after(Duration::from_millis(15));
    let group = day.log.group(&plan.name, &plan.which.query().after(from), options).unwrap();
    notes.line("open");
    for parked in group.parked(0, usize::MAX).unwrap() {
        notes.line(&format!("parked {} {} {}", parked.position, parked.attempts, parked.reason));
    }
    notes.line("listed");
    group.replay_all().unwrap();
    let begun = Instant::now();
    let (last, held) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            let (group, notes, last, held) = (group.clone(), &notes, &last, &held);
            scope.spawn(move || {
                loop {
                    match group.next_within(WAIT).unwrap() {
                        GroupNext::Delivery(delivery) => {
                            held.fetch_add(1, Ordering::AcqRel);
                            answer(day, plan, notes, delivery);
                        }
                        GroupNext::TimedOut => continue,
                        GroupNext::Ended => return,
                    }
                    last.store(begun.elapsed().as_millis() as u64, Ordering::Relaxed);
                    held.fetch_sub(1, Ordering::AcqRel);
                }
            });
        }
        loop {
            thread::sleep(WAIT);
            let quiet = begun.elapsed().saturating_sub(Duration::from_millis(last.load(Ordering::Relaxed)));
            // What is being answered is not over, and what is replayed is yet to come.
            if !day.inputs_done.load(Ordering::Acquire) || quiet <= QUIET || held.load(Ordering::Acquire) > 0
            {
                continue;
            }
            if group.replay_all().unwrap() == 0 {
                break;
            }
            last.store(begun.elapsed().as_millis() as u64, Ordering::Relaxed);
        }
        notes.line("end");
        group.stop();
    });
}

/// The name of a group, as that of a file.
pub(crate) fn file_name(name: &str) -> String {
    format!("group-{}", name.replace('/', "-"))
}

/// A member's work: some events are bad, some fail once, some are forgotten.
fn answer(day: &Day, plan: &Worker, notes: &Notes, delivery: Delivery) {
    let (position, attempt, replayed) = (delivery.position(), delivery.attempt(), delivery.is_replayed());
    notes.line(&format!("got {position} {attempt} {replayed} {:x}", told(&delivery)));
    if position % 5 == 0 {
        thread::sleep(Duration::from_micros(chance(day, &format!("sleep {position}"), 900)));
    }
    let life = day.life;
    let fails = if replayed {
        let finishing = day.inputs_done.load(Ordering::Acquire);
        !finishing && chance(day, &format!("{} {position} {life}", plan.name), 3) == 0
    } else {
        let fate = chance(day, &format!("{} {position}", plan.name), 40);
        if fate == 1 && attempt == 1 {
            notes.line(&format!("drop {position}"));
            return;
        }
        fate == 0 || attempt == 1 && fate < 4
    };
    if fails {
        let reason = format!("{}-{position}-{life}-{attempt}", if replayed { "again" } else { "no" });
        notes.line(&format!("nack {position} {reason}"));
        let parked = delivery.nack(&reason).unwrap();
        notes.line(&format!("nacked {position} {parked}"));
    } else {
        notes.line(&format!("ack {position}"));
        if plan.ack == Ack::Exact {
            let payload = result(&delivery);
            let out = NewEvent::new("Out", &payload);
            delivery.ack_with(day.log.batch().append(&plan.results(), ANY, &[out])).unwrap();
        } else {
            delivery.ack().unwrap();
        }
        notes.line(&format!("acked {position}"));
    }
}

/// Up to where the inputs reach, as the last life noted it.
pub(crate) fn inputs_end(report: &Report) -> u64 {
    report.last("inputs").map_or(0, |words| number(words[1]))
}
