//! Any sequence of calls against the reference model of the integration tests: same answers, same events, same order, same kept
//! values.
//!
//! The input is a stream of numbers, from which operations and looks are drawn. No threads: every commit is driven by a call.

#![no_main]

mod common;
#[path = "../../tests/it"]
mod it {
    #[allow(dead_code, unused_imports)]
    pub mod model;
}

use annals::storage::Memory;
use annals::{AppendError, ExpectedVersion, LogState, NewEvent, ReadError};
use common::shelf::*;
use it::model::{self, Driver, Op, STREAMS};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

/// Looks from some side at what is visible, while other things are under way.
fn look(driver: &mut Driver, memory: &Memory, number: &mut dyn FnMut(u64) -> u64) {
    let id = STREAMS[number(STREAMS.len() as u64) as usize];
    let Driver { log, model, .. } = driver;
    let visible = &model.events[..log.last_position() as usize];
    let most = visible.len() as u64 + 3;
    let bound = number(most);
    let info = log.stream_info(id);
    let gone = info.as_ref().is_some_and(|info| info.tombstoned);
    let first = info.as_ref().map_or(1, |info| info.first_version);
    let of_stream = || visible.iter().filter(|event| event.stream == id);
    let same = |shown: &[Shown], want: Vec<&Arc<model::ModelEvent>>| {
        assert_eq!(shown.len(), want.len());
        let pairs = shown.iter().zip(want);
        pairs.for_each(|(a, b)| assert_eq!((&*a.stream, a.version, &a.payload[..]), (b.stream, b.version, &*b.new.payload)));
    };
    match number(9) {
        0 => {
            let (shown, error) = drain(log.read_all(bound), most as usize);
            assert!(error.is_none() && shown.iter().zip(bound + 1..).all(|(e, position)| e.position == position));
            same(&shown, visible.iter().skip(bound as usize).collect());
        }
        1 => {
            let (shown, error) = drain_owned(log.read_all_backward(bound), most as usize);
            assert_eq!(error, None);
            same(&shown, visible.iter().take(bound.saturating_sub(1) as usize).rev().collect());
        }
        2 | 3 if gone => {
            let (shown, error) = drain(log.read_stream(id, bound), 0);
            assert!(shown.is_empty() && matches!(error, Some(ReadError::Gone { .. })), "{error:?}");
        }
        2 => {
            let (shown, error) = drain(log.read_stream(id, bound), most as usize);
            assert_eq!(error, (bound + 1 < first).then_some(ReadError::Truncated { first }));
            let want = of_stream().filter(|event| event.version > bound && error.is_none());
            same(&shown, want.collect());
        }
        3 => {
            let (mut shown, error) = drain(log.read_stream_backward(id, bound), most as usize);
            assert!(error.is_none() || error == Some(ReadError::Truncated { first }) && first > 1);
            shown.reverse();
            same(&shown, of_stream().filter(|event| event.version < bound && event.version >= first).collect());
        }
        4 => {
            let count = log.fold_stream(id, bound, 0, |count, _| count + 1);
            let want = of_stream().filter(|event| event.version > bound).count();
            assert_eq!(count.ok(), (!gone && bound + 1 >= first).then_some(want));
        }
        5 => {
            let version = of_stream().count() as u64;
            assert_eq!(log.stream_version(id), version);
            assert!(info.map_or(version == 0, |info| info.version == version));
        }
        6 => {
            driver.wait();
            driver.compare();
            assert_eq!(driver.model.look(&driver.log, number, 3), None);
        }
        7 => {
            let reader = options().open_storage_read_only(Arc::new(memory.clone())).expect("a live log");
            let (shown, error) = drain(reader.read_all(0), most as usize);
            assert_eq!(error, None);
            same(&shown, visible.iter().take(shown.len()).collect());
        }
        _ => {
            // A copy of the files of a live log is what a kill leaves.
            let copy = shelve(&files_of(memory));
            let killed = options().open_storage(Arc::new(copy)).expect("what a kill leaves");
            let (shown, error) = drain(killed.read_all(0), most as usize);
            assert_eq!(error, None);
            same(&shown, visible.iter().collect());
            // What is shown with a revision is durable.
            for kept in log.list_kept("", None, usize::MAX).expect("memory does not fail") {
                if kept.revision.is_some() {
                    assert_eq!(killed.kept(&kept.name), Ok(Some(kept)));
                }
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
    let window = [0, 3, 20, 65_536][number(4) as usize];
    let memory = Memory::new();
    let mut driver = Driver::new(options, Arc::new(memory.clone()), false, window);
    for _ in 0..(data.len() / 4).min(120) {
        if number(4) == 0 {
            look(&mut driver, &memory, &mut number);
            continue;
        }
        let op = Op::draw(&mut number);
        if op == Op::Close {
            let log = driver.log.clone();
            driver.step(&op);
            assert_eq!(log.status().state, LogState::Closed);
            let late = log.append("k", ExpectedVersion::Any, &[NewEvent::new("T", "late")]);
            assert_eq!(late, Err(AppendError::Closed));
            assert!(driver.log.recovery().closed_cleanly);
        } else {
            driver.step(&op);
        }
    }
    driver.wait();
    driver.reopen(true);
});
