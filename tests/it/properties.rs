//! Random operations against the model, with closing and reopening among them, on memory and on a real disk.

use crate::model::{Expected, Model, Op, Write};
use annals::storage::{Disk, Memory, Storage};
use annals::{AppendError, BatchAppended, EventLog, Options, Pending, ReadMode};
use proptest::prelude::*;
use std::sync::Arc;

/// Runs the operations on a log and on the model, and compares after each reopening and at the end.
fn agree(storage: &Arc<dyn Storage>, options: &Options, ops: &[Op]) {
    let open = || options.open_storage(storage.clone()).unwrap();
    let mut log = open();
    let mut model = Model::default();
    let mut handles: Vec<(Expected, Pending<BatchAppended>)> = Vec::new();
    let finish = |handles: &mut Vec<(Expected, Pending<BatchAppended>)>| {
        for (expected, handle) in handles.drain(..) {
            outcome(&expected, handle.wait());
        }
    };
    for (salt, op) in ops.iter().enumerate() {
        match Write::of(op, &model, salt as u64) {
            Some(write) => {
                let expected = model.judge(&write);
                if expected == Expected::Done {
                    model.apply(&write);
                }
                match op {
                    Op::Submit { .. } => match write.submit(&log) {
                        Ok(handle) => handles.push((expected, handle)),
                        Err(error) => outcome(&expected, Err(error)),
                    },
                    _ => outcome(&expected, write.commit(&log)),
                }
            }
            None => {
                if matches!(op, Op::Close) {
                    log.close().unwrap();
                }
                finish(&mut handles);
                if matches!(op, Op::Close | Op::Reopen) {
                    drop(log);
                    log = open();
                    assert_eq!(model.difference(&log), None);
                }
            }
        }
    }
    finish(&mut handles);
    assert_eq!(model.difference(&log), None);
    let pages = |limit: usize| {
        let mut all = Vec::new();
        loop {
            let page = log.list_streams("", all.last().map(String::as_str), limit);
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    };
    assert_eq!(pages(1), pages(3));
    log.close().unwrap();
    let reader: EventLog = options.open_storage_read_only(storage.clone()).unwrap();
    assert_eq!(model.difference(&reader), None);
}

fn outcome(expected: &Expected, result: Result<BatchAppended, AppendError>) {
    match (expected, result) {
        (Expected::Done, Ok(_)) | (Expected::Gone, Err(AppendError::Gone { .. })) => {}
        (Expected::Contradiction, Err(AppendError::ContradictoryConditions { .. })) => {}
        (Expected::Conflict { stream, actual }, Err(AppendError::Conflict { stream: s, actual: a, .. })) => {
            assert_eq!((*stream, *actual), (s.as_str(), a));
        }
        (expected, result) => panic!("expected {expected:?}, got {result:?}"),
    }
}

/// Operations drawn from random numbers, so that shrinking shortens the list.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let draw = |numbers: Vec<u16>| {
        let mut numbers = numbers.into_iter().map(u64::from).cycle();
        Op::draw(&mut |n| numbers.next().unwrap_or(0) % n.max(1))
    };
    prop::collection::vec(prop::collection::vec(any::<u16>(), 24).prop_map(draw), 1..50)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_in_memory_is_its_model(ops in ops(), inline in any::<bool>(), pad in any::<bool>()) {
        let options = Options::new().segment_bytes(64 << 10).batch_bytes(8 << 10).background(!inline).pad_commits(pad);
        let storage: Arc<dyn Storage> = Arc::new(Memory::new());
        agree(&storage, &options, &ops);
    }

    #[test]
    fn a_log_on_disk_is_its_model(ops in ops(), pread in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let mode = if pread { ReadMode::Pread } else { ReadMode::Map };
        let options = Options::new().segment_bytes(64 << 10).batch_bytes(16 << 10).read_mode(mode);
        let storage: Arc<dyn Storage> = Arc::new(Disk::open(dir.path(), false).unwrap());
        agree(&storage, &options, &ops);
    }
}
