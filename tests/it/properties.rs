//! Random operations against the model, with closing and reopening among them, on memory and on a real disk.
//!
//! `ANNALS_CRASH_ROUNDS=n` multiplies them, as it does the crashes.

use crate::model::{Driver, Op};
use annals::storage::{Disk, Memory, Storage};
use annals::{Options, ReadMode};
use proptest::prelude::*;
use std::sync::Arc;

/// Runs the operations on a log and on the model, which must agree on every answer, and on the whole state whenever nothing
/// is under way.
fn agree(storage: Arc<dyn Storage>, options: Options, background: bool, window: u64, ops: &[Op]) {
    let mut driver = Driver::new(options, storage, background, window);
    for op in ops {
        driver.step(op);
    }
    let mut state = ops.len() as u64;
    driver.finish(&mut |n| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n.max(1)
    });
}

/// Operations drawn from random numbers, so that shrinking shortens the list.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let draw = |numbers: Vec<u16>| {
        let mut numbers = numbers.into_iter().map(u64::from).cycle();
        Op::draw(&mut |n| numbers.next().unwrap_or(0) % n.max(1))
    };
    prop::collection::vec(prop::collection::vec(any::<u16>(), 37).prop_map(draw), 1..60)
}

/// Mostly so small that appends leave it while the test goes on.
fn windows() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..4u64, 4..30u64, Just(65_536)]
}

/// Mostly so small that each full segment and each close leaves an index file.
fn indexes() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(4 << 10), 1 => Just(100 << 10), 1 => Just(16 << 20)]
}

fn config() -> ProptestConfig {
    let rounds =
        std::env::var("ANNALS_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    ProptestConfig { cases: 400 * rounds, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_log_in_memory_is_its_model(
        ops in ops(),
        background in any::<bool>(),
        pad in any::<bool>(),
        window in windows(),
        index in indexes(),
    ) {
        let options = Options::new().segment_bytes(64 << 10).batch_bytes(8 << 10).pad_commits(pad);
        let options = options.index_after_bytes(index);
        agree(Arc::new(Memory::new()), options, background, window, &ops);
    }

    #[test]
    fn a_log_on_disk_is_its_model(
        ops in ops(),
        pread in any::<bool>(),
        window in windows(),
        index in indexes(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mode = if pread { ReadMode::Pread } else { ReadMode::Map };
        let options = Options::new().segment_bytes(64 << 10).batch_bytes(16 << 10).read_mode(mode);
        let options = options.index_after_bytes(index);
        agree(Arc::new(Disk::open(dir.path(), false).unwrap()), options, true, window, &ops);
    }
}
