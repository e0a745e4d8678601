//! Look-ups of many streams together: the answers are those of one look-up after the other, wherever the streams stand.
//!
//! Owns that comparison. What a single look-up says is the model's to say.

use crate::shelf::{files_of, shelve};
use annals::storage::{Disk, Memory, Storage};
use annals::{EventLog, ExpectedVersion, NewEvent, Options, ReadMode};
use std::sync::Arc;

const STREAMS: u64 = 3_000;
const UNKNOWN: u64 = 100;

fn options() -> Options {
    Options::new().background(false).segment_bytes(256 << 10).index_after_bytes(16 << 10)
}

fn name(n: u64) -> String {
    format!("{}-{n}", "account/ü".repeat(n as usize % 9))
}

/// The versions that streams have; 0 for those that nobody knows.
fn version(n: u64, rounds: u64) -> u64 {
    let is_in = |round: u64| n < STREAMS && n.is_multiple_of(1 + 3 * round);
    (0..rounds).filter(|round| is_in(*round)).count() as u64
}

/// Rounds of appends, each to fewer streams: some stand in old files, some in new ones, some in memory only.
fn write(log: &EventLog, rounds: std::ops::Range<u64>) {
    for round in rounds {
        let streams: Vec<u64> =
            (0..STREAMS).filter(|n| version(*n, round + 1) > version(*n, round)).collect();
        for streams in streams.chunks(70) {
            let batch = streams.iter().fold(log.batch(), |batch, n| {
                let expected = ExpectedVersion::Exact(version(*n, round));
                batch.append(&name(*n), expected, &[NewEvent::new("Credited", &[7; 40])])
            });
            batch.commit().unwrap();
        }
    }
}

/// All streams and some that nobody knows, in an order of their own, and some of them twice.
fn asked() -> Vec<u64> {
    (0..STREAMS + UNKNOWN).map(|i| i * 1_999 % (STREAMS + UNKNOWN)).chain([5, 5, STREAMS, 5]).collect()
}

#[track_caller]
fn compare(log: &EventLog, rounds: u64) {
    let asked = asked();
    let names: Vec<String> = asked.iter().map(|n| name(*n)).collect();
    let right: Vec<u64> = asked.iter().map(|n| version(*n, rounds)).collect();
    assert_eq!(log.stream_versions(&names), right);
    // Any number of them, as whatever text they are.
    for count in [0, 1, 2, 15, 16, 17, 32, 33, 100] {
        let names: Vec<&str> = names[..count].iter().map(String::as_str).collect();
        assert_eq!(log.stream_versions(&names), right[..count]);
    }
    let one_by_one: Vec<u64> = names.iter().map(|name| log.stream_version(name)).collect();
    assert_eq!(one_by_one, right);
}

#[test]
fn streams_in_memory_and_in_files_are_found_together() {
    let dir = tempfile::tempdir().unwrap();
    let on = |mode| {
        let storage = Arc::new(Disk::open(dir.path(), true).unwrap());
        options().read_mode(mode).open_storage(storage).unwrap()
    };
    let log = on(ReadMode::Map);
    compare(&log, 0);
    for round in 0..4 {
        write(&log, round..round + 1);
        compare(&log, round + 1);
    }
    log.close().unwrap();
    for (round, mode) in [(4, ReadMode::Map), (5, ReadMode::Pread)] {
        let log = on(mode);
        compare(&log, round);
        write(&log, round..round + 1);
        compare(&log, round + 1);
        log.close().unwrap();
    }
}

/// Whatever is wrong with a file: the first call that meets it has the right answers.
#[test]
fn damaged_files_change_no_answer() {
    let memory = Memory::new();
    let log = options().open_storage(Arc::new(memory.clone())).unwrap();
    write(&log, 0..5);
    log.close().unwrap();
    let files = files_of(&memory);
    let indexes: Vec<&String> = files.keys().filter(|name| name.ends_with(".idx")).collect();
    assert!(indexes.len() > 1);
    for name in indexes {
        for (nth, byte) in [0x01, 0x80, 0xFF].into_iter().enumerate() {
            let memory = shelve(&files);
            let log = options().open_storage(Arc::new(memory.clone())).unwrap();
            let file = memory.open(name, true).unwrap();
            let image = &files[name];
            // All but the head, which was read already: here and there, and wholly.
            let steps = [97, 1009, 1][nth];
            (4096..image.len()).step_by(steps).for_each(|at| {
                file.write_at(at as u64, &[image[at] ^ byte]).unwrap();
            });
            compare(&log, 5);
        }
    }
}
