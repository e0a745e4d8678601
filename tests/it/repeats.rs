//! Repeats after an open: the ids of the window are read from the log behind the open's back, and no append can tell.
//!
//! Owns the moment between an open and the end of that reading. What a repeat is answered is tested beside the model.

use crate::shelf::{files_of, shelve};
use annals::storage::Memory;
use annals::{AppendError, EventLog, ExpectedVersion, NewEvent, Options, Outcome, Uuid};
use proving::Hooked;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const ANY: ExpectedVersion = ExpectedVersion::Any;

fn event(id: u64) -> NewEvent<'static> {
    NewEvent::new("T", "").with_id(Uuid::from_u128(u128::from(id)))
}

/// A log of which only the last thousand ids are remembered.
fn open(memory: &Memory, background: bool) -> EventLog {
    let options = Options::new().background(background).idempotency_window(1000).segment_bytes(64 << 10);
    options.open_storage(Arc::new(memory.clone())).unwrap()
}

/// Events with ids from 1 to 3000, and as many without.
fn filled() -> Memory {
    let memory = Memory::new();
    let log = open(&memory, false);
    for id in 1..=3000 {
        log.append("s", ANY, &[event(id), NewEvent::new("U", "")]).unwrap();
    }
    memory
}

#[test]
fn an_append_right_after_an_open_knows_the_whole_window() {
    let files = files_of(&filled());
    for background in [false, true] {
        for round in 0..30 {
            let log = open(&shelve(&files), background);
            // With and without ids, in one order.
            let without = log.submit("other", ANY, &[NewEvent::new("T", "")]).unwrap();
            let id = [3000, 2501, 2500][round % 3];
            let repeat = log.submit("s", ANY, &[event(id), NewEvent::new("U", "")]).unwrap();
            let new = log.submit("s", ANY, &[event(5000)]).unwrap();
            assert_eq!(without.wait().unwrap().last_position, 6001);
            let repeat = repeat.wait().unwrap();
            // The oldest one falls out of the window with the event before it.
            let is_known = id > 2500;
            assert_eq!((repeat.repeated, repeat.first_version == id * 2 - 1), (is_known, is_known), "{id}");
            assert_eq!(new.wait().unwrap().last_position, if is_known { 6002 } else { 6004 });
            let again = log.append("s", ANY, &[event(5000)]).unwrap();
            assert!(again.repeated, "what came after the open is known too");
        }
    }
}

#[test]
fn an_append_that_cannot_wait_knows_them_too() {
    let files = files_of(&filled());
    for background in [false, true] {
        let log = open(&shelve(&files), background);
        let again = log.try_submit("s", ANY, &[event(2999), NewEvent::new("U", "")]).unwrap().wait().unwrap();
        assert!(again.repeated);
        let reused = log.try_submit("s", ANY, &[event(1 << 40), event(2999)]).unwrap().wait();
        assert_eq!(reused, Err(AppendError::IdReused { id: Uuid::from_u128(2999) }));
    }
}

/// Appends with ids that wait for the reading are accepted: a close carries them out.
#[test]
fn a_close_carries_out_what_waits() {
    let files = files_of(&filled());
    for background in [false, true] {
        let memory = shelve(&files);
        let log = open(&memory, background);
        let repeat = log.submit("s", ANY, &[event(3000), NewEvent::new("U", "")]).unwrap();
        let new = log.submit("s", ANY, &[event(6000)]).unwrap();
        log.close().unwrap();
        assert!(repeat.wait().unwrap().repeated);
        assert_eq!(new.wait().unwrap().last_version, 6001);
        drop(log);
        assert_eq!(open(&memory, background).stream_version("s"), 6001);
    }
}

/// Of what may be in the log, or is, it is never said that it was not written: not by an append that repeats it either.
#[test]
fn a_repeat_on_a_poisoned_log_is_told_what_is_known() {
    let fails = Arc::new(AtomicBool::new(false));
    let hooked = {
        let fails = fails.clone();
        Hooked::new(move |operation, name| {
            let fails = fails.load(Ordering::SeqCst) && operation == "sync" && name.ends_with(".seg");
            if fails { Err(std::io::ErrorKind::Other.into()) } else { Ok(()) }
        })
    };
    let log = Options::new().background(false).open_storage(Arc::new(hooked)).unwrap();
    let append = |n: u128| log.append("s", ANY, &[NewEvent::new("T", "").with_id(Uuid::from_u128(n))]);
    let outcome = |appended: Result<annals::Appended, AppendError>| match appended {
        Err(AppendError::Poisoned { outcome, .. }) => outcome,
        other => panic!("{other:?}"),
    };
    append(1).unwrap();
    fails.store(true, Ordering::SeqCst);
    assert_eq!(outcome(append(2)), Outcome::Unknown);
    assert_eq!(outcome(append(2)), Outcome::Unknown);
    assert_eq!(outcome(append(3)), Outcome::NotWritten);
    assert_eq!(outcome(append(3)), Outcome::NotWritten);
    let repeated = append(1).unwrap();
    assert!(repeated.repeated && repeated.last_version == 1, "{repeated:?}");
}
