//! A million kept values under few names: only the last of each counts, and only that one is ever read again.

use crate::shelf::{Files, files_of, segment_name, shelve};
use annals::storage::Memory;
use annals::{EventLog, KeptCondition, Options, ReadError};
use std::sync::Arc;

const NAMES: u64 = 10;
const BATCHES: u64 = 1000;
const IN_A_BATCH: u64 = 1000;

fn open(memory: &Memory) -> EventLog {
    Options::new().background(false).segment_bytes(4 << 20).open_storage(Arc::new(memory.clone())).unwrap()
}

fn value(i: u64) -> String {
    format!("value {i:08}.")
}

/// Values by the million; besides, one that is kept at the beginning and never again, and one that is kept and deleted.
fn written() -> Files {
    let memory = Memory::new();
    let log = open(&memory);
    log.keep("once", KeptCondition::Absent, "kept once").unwrap();
    log.keep("gone", KeptCondition::Absent, "kept and deleted").unwrap();
    for batch in 0..BATCHES {
        let mut writing = log.batch();
        for i in batch * IN_A_BATCH..(batch + 1) * IN_A_BATCH {
            writing = writing.keep(&format!("name {}", i % NAMES), value(i));
        }
        if batch == 0 {
            writing = writing.unkeep("gone", KeptCondition::Present);
        }
        writing.commit().unwrap();
    }
    log.close().unwrap();
    files_of(&memory)
}

/// The last value of each name, and nothing else.
fn check(log: &EventLog) {
    for name in 0..NAMES {
        let last = BATCHES * IN_A_BATCH - NAMES + name;
        let kept = log.kept(&format!("name {name}")).unwrap().unwrap();
        // Two values came before, and a deletion behind the first batch.
        assert_eq!((&kept.value[..], kept.revision), (value(last).as_bytes(), Some(last + 4)));
    }
    assert_eq!(log.kept("gone").unwrap(), None);
    assert_eq!((log.count_kept(""), log.count_kept("name ")), (NAMES + 1, NAMES));
    assert_eq!(log.list_kept("name ", None, usize::MAX).unwrap().len() as u64, NAMES);
}

/// The segment and the offset at which bytes stand for the first time.
fn find(files: &Files, bytes: &[u8]) -> (u64, usize) {
    let place = |(name, file): (&String, &Vec<u8>)| {
        let offset = file.windows(bytes.len()).position(|window| window == bytes)?;
        Some((name.strip_suffix(".seg")?.parse().unwrap(), offset))
    };
    files.iter().find_map(place).expect("bytes that were written")
}

#[test]
fn a_log_of_a_million_overwritten_values_reads_none_of_them() {
    let files = written();
    let segments = files.keys().filter(|name| name.ends_with(".seg")).count() as u64;
    assert!(segments > 10, "{segments} segments");
    let log = open(&shelve(&files));
    check(&log);
    assert_eq!(log.kept("once").unwrap().unwrap().revision, Some(1));
    let next = log.keep("name 0", KeptCondition::Revision(BATCHES * IN_A_BATCH - NAMES + 4), "next").unwrap();
    assert_eq!(next.revision, BATCHES * IN_A_BATCH + 4);
    drop(log);

    // Superseded and deleted values, damaged where they stand, in sealed segments: nobody looks at them.
    let mut damaged = files.clone();
    for bytes in [value(0), value(123_456), value(BATCHES * IN_A_BATCH / 2), "kept and deleted".into()] {
        let (segment, offset) = find(&files, bytes.as_bytes());
        assert!(segment < segments);
        damaged.get_mut(&segment_name(segment)).unwrap()[offset + 3] ^= 0x10;
    }
    let log = open(&shelve(&damaged));
    check(&log);
    assert_eq!(&log.kept("once").unwrap().unwrap().value[..], b"kept once");
    drop(log);

    // A value that counts, in a sealed segment: the log opens, and whoever asks for it is told where the damage is.
    let (segment, offset) = find(&files, b"kept once");
    assert_eq!(segment, 1);
    damaged.get_mut(&segment_name(segment)).unwrap()[offset + 3] ^= 0x10;
    let log = open(&shelve(&damaged));
    check(&log);
    let Err(ReadError::Corrupt(corruption)) = log.kept("once") else { panic!("a damaged value was given") };
    assert_eq!(corruption.at.segment, segment);
    let near = corruption.at.offset..corruption.at.offset + 64;
    assert!(near.contains(&(offset as u64)), "{corruption}: the value stands at {offset}");
    assert_eq!(log.list_kept("", None, usize::MAX).unwrap_err(), ReadError::Corrupt(corruption));
    // It can be replaced, which ends the matter.
    log.keep("once", KeptCondition::Revision(1), "again").unwrap();
    assert_eq!(&log.kept("once").unwrap().unwrap().value[..], b"again");
}
