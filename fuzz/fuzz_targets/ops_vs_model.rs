//! Any sequence of calls against the reference model of the integration tests: same answers, same events, same order.
//!
//! The input is a stream of numbers, from which operations and looks are drawn. No threads: every commit is driven by a call.

#![no_main]

mod common;
#[path = "../../tests/it/model.rs"]
#[allow(dead_code)]
mod model;

use annals::storage::Memory;
use annals::{AppendError, BatchAppended, EventLog, ExpectedVersion, LogState, NewEvent, Pending, ReadError};
use common::shelf::*;
use libfuzzer_sys::fuzz_target;
use model::{Expected, Model, Op, STREAMS, Write};
use std::sync::Arc;

/// What an append is to be given: per part the stream's version before and after, and the position of its first event.
type Parts = Vec<(&'static str, u64, u64, u64)>;

struct Run {
    memory: Memory,
    log: EventLog,
    options: annals::Options,
    /// Everything that was accepted, visible or not.
    model: Model,
    waiting: Vec<(Pending<BatchAppended>, Write, Expected, Parts)>,
    salt: u64,
}

fn check_answer(result: Result<BatchAppended, AppendError>, write: &Write, expected: &Expected, parts: &Parts) {
    match (expected, result) {
        (Expected::Done, Ok(done)) if write.tombstone.is_none() => {
            assert_eq!(done.streams.len(), parts.len());
            for (told, (stream, before, after, position)) in done.streams.iter().zip(parts) {
                assert_eq!((&*told.stream, told.first_version, told.last_version), (*stream, before + 1, *after));
                assert_eq!(told.first_position, *position);
            }
            let events: u64 = parts.iter().map(|(_, before, after, _)| after - before).sum();
            assert_eq!((done.first_position, done.last_position + 1), (parts[0].3, parts[0].3 + events));
        }
        (Expected::Done, Ok(_)) => {}
        (Expected::Conflict { stream, actual }, Err(AppendError::Conflict { stream: s, actual: a, .. })) => {
            assert_eq!((*stream, *actual), (&*s, a));
        }
        (Expected::Gone, Err(AppendError::Gone { .. })) => {}
        (Expected::Contradiction, Err(AppendError::ContradictoryConditions { .. })) => {}
        (expected, result) => panic!("{write:?}: expected {expected:?}, got {result:?}"),
    }
}

impl Run {
    /// The model as it is visible now.
    fn visible(&self) -> &[model::ModelEvent] {
        &self.model.events[..self.log.last_position() as usize]
    }

    fn write(&mut self, op: &Op, number: &mut dyn FnMut(u64) -> u64) {
        self.salt += 1;
        let Some(write) = Write::of(op, &self.model, self.salt) else { return };
        let expected = self.model.judge(&write);
        let mut parts = Parts::new();
        let mut next = self.model.clone();
        for (stream, payloads) in &write.parts {
            let before = next.streams.get(stream).map_or(0, |known| known.version);
            parts.push((stream, before, before + payloads.len() as u64, next.events.len() as u64 + 1));
            next.apply(&Write { conditions: vec![], parts: vec![(stream, payloads.clone())], tombstone: None });
        }
        if expected == Expected::Done {
            self.model.apply(&write);
        }
        let submits = matches!(op, Op::Submit { .. }) || number(4) == 0;
        match (op, submits) {
            (_, true) => match write.submit(&self.log) {
                Ok(handle) => {
                    if let Some(assigned) = handle.assigned() {
                        check_answer(assigned, &write, &expected, &parts);
                    }
                    self.waiting.push((handle, write, expected, parts));
                }
                Err(error) => check_answer(Err(error), &write, &expected, &parts),
            },
            (Op::Append { .. }, _) if number(2) == 0 => {
                let events: Vec<_> = write.parts[0].1.iter().map(|bytes| NewEvent::new("Tested", bytes)).collect();
                let (stream, condition, _) = write.conditions[0];
                match self.log.append(stream, condition, &events) {
                    Ok(done) => {
                        assert_eq!(expected, Expected::Done, "{write:?}");
                        assert_eq!((done.first_version, done.last_version), (parts[0].1 + 1, parts[0].2));
                        assert_eq!(done.first_position, parts[0].3);
                    }
                    Err(error) => check_answer(Err(error), &write, &expected, &parts),
                }
            }
            _ => {
                check_answer(write.commit(&self.log), &write, &expected, &parts);
                if expected == Expected::Done && !write.parts.iter().all(|(_, payloads)| payloads.is_empty()) {
                    assert_eq!(self.log.last_position(), self.model.events.len() as u64, "durable, so visible");
                }
            }
        }
    }

    fn wait(&mut self) {
        for (handle, write, expected, parts) in self.waiting.drain(..) {
            check_answer(handle.wait(), &write, &expected, &parts);
        }
        assert_eq!(self.model.difference(&self.log), None);
    }

    fn reopen(&mut self, by_close: bool) {
        if by_close {
            self.log.close().expect("memory does not fail");
            assert_eq!(self.log.status().state, LogState::Closed);
            let late = self.log.append("k", ExpectedVersion::Any, &[NewEvent::new("T", "late")]);
            assert_eq!(late, Err(AppendError::Closed));
            self.wait();
        } else {
            // The last handle closes the log as it goes.
            self.log = EventLog::in_memory().expect("another log");
            let told = self.waiting.drain(..);
            told.for_each(|(handle, write, expected, parts)| check_answer(handle.wait(), &write, &expected, &parts));
        }
        self.log = self.options.open_storage(Arc::new(self.memory.clone())).expect("a log that was closed");
        assert!(self.log.recovery().closed_cleanly);
        assert_eq!(self.model.difference(&self.log), None);
    }

    /// Looks from some side at what is visible.
    fn look(&self, number: &mut dyn FnMut(u64) -> u64) {
        let id = STREAMS[number(STREAMS.len() as u64) as usize];
        let most = self.visible().len() as u64 + 3;
        let bound = number(most);
        let gone = self.log.stream_info(id).is_some_and(|info| info.tombstoned);
        let of_stream = || self.visible().iter().filter(|event| event.stream == id);
        let same = |shown: &[Shown], want: Vec<&model::ModelEvent>| {
            assert_eq!(shown.len(), want.len());
            let pairs = shown.iter().zip(want);
            pairs.for_each(|(a, b)| assert_eq!((&*a.stream, a.version, &a.payload), (b.stream, b.version, &b.payload)));
        };
        match number(9) {
            0 => {
                let (shown, error) = drain(self.log.read_all(bound), most as usize);
                assert!(error.is_none() && shown.iter().zip(bound + 1..).all(|(e, position)| e.position == position));
                same(&shown, self.visible().iter().skip(bound as usize).collect());
            }
            1 => {
                let (shown, error) = drain_owned(self.log.read_all_backward(bound), most as usize);
                assert_eq!(error, None);
                same(&shown, self.visible().iter().take(bound.saturating_sub(1) as usize).rev().collect());
            }
            2 | 3 if gone => {
                let (shown, error) = drain(self.log.read_stream(id, bound), 0);
                assert!(shown.is_empty() && matches!(error, Some(ReadError::Gone { .. })), "{error:?}");
            }
            2 => {
                let (shown, error) = drain(self.log.read_stream(id, bound), most as usize);
                assert_eq!(error, None);
                same(&shown, of_stream().filter(|event| event.version > bound).collect());
            }
            3 => {
                let (mut shown, error) = drain(self.log.read_stream_backward(id, bound), most as usize);
                assert_eq!(error, None);
                shown.reverse();
                same(&shown, of_stream().filter(|event| event.version < bound).collect());
            }
            4 => {
                let count = self.log.fold_stream(id, bound, 0, |count, _| count + 1);
                assert_eq!(count.ok(), (!gone).then_some(of_stream().filter(|event| event.version > bound).count()));
            }
            5 => {
                let (after, limit) = (number(2) == 0, number(4) as usize);
                let prefix = ["", "k", "k/", id][number(4) as usize];
                let page = self.log.list_streams(prefix, after.then_some(id), limit);
                let all = self.log.list_streams("", None, usize::MAX);
                let want = all.iter().filter(|other| other.starts_with(prefix) && (!after || other.as_str() > id));
                assert!(page.iter().eq(want.take(limit)));
            }
            6 => {
                let version = of_stream().count() as u64;
                assert_eq!(self.log.stream_version(id), version);
                assert!(self.log.stream_info(id).map_or(version == 0, |info| info.version == version));
            }
            7 => {
                let reader = self.options.open_storage_read_only(Arc::new(self.memory.clone())).expect("a live log");
                let (shown, error) = drain(reader.read_all(0), most as usize);
                assert_eq!(error, None);
                same(&shown, self.visible().iter().take(shown.len()).collect());
            }
            _ => {
                // A copy of the files of a live log is what a kill leaves.
                let copy = shelve(&files_of(&self.memory));
                let log = self.options.open_storage(Arc::new(copy)).expect("what a kill leaves");
                let (shown, error) = drain(log.read_all(0), most as usize);
                assert_eq!(error, None);
                same(&shown, self.visible().iter().collect());
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.iter();
    // Numbers that do not fit a byte take two.
    let mut byte = || u64::from(bytes.next().copied().unwrap_or(0));
    let mut number = |n: u64| if n <= 256 { byte() % n.max(1) } else { (byte() << 8 | byte()) % n };
    let batch_bytes = [4 << 10, 16 << 10, 1 << 20][number(3) as usize];
    let options = options().batch_bytes(batch_bytes).pad_commits(number(4) == 0);
    let memory = Memory::new();
    let log = options.open_storage(Arc::new(memory.clone())).expect("a new log");
    let mut run = Run { memory, log, options, model: Model::default(), waiting: Vec::new(), salt: 0 };
    for _ in 0..(data.len() / 4).min(120) {
        if number(4) == 0 {
            run.look(&mut number);
            continue;
        }
        match Op::draw(&mut number) {
            Op::Wait => run.wait(),
            Op::Close => run.reopen(true),
            Op::Reopen => run.reopen(false),
            op => run.write(&op, &mut number),
        }
    }
    run.wait();
    run.reopen(true);
});
