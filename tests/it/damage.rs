//! Damage on a closed disk: every bit, every cut, every file. What was acknowledged is shown or refused, never guessed.
//!
//! A refusal changes nothing: the directory is compared byte by byte.

use crate::simdisk::{Rng, SimDisk, Survive};
use annals::{EventLog, ExpectedVersion, NewEvent, OpenError, Options, ReadError};
use std::io::ErrorKind;
use std::sync::Arc;

fn options() -> Options {
    Options::new().background(false).segment_bytes(64 << 10)
}

fn open(disk: &SimDisk) -> Result<EventLog, OpenError> {
    options().open_storage(Arc::new(disk.clone()))
}

fn segment(ordinal: u64) -> String {
    format!("{ordinal:020}.seg")
}

/// A log with this many appends, closed or let go as after a kill.
fn made(appends: usize, bytes: usize, close: bool) -> SimDisk {
    let disk = SimDisk::new(1);
    let log = open(&disk).unwrap();
    for i in 0..appends {
        log.append(
            &format!("s{}", i % 3),
            ExpectedVersion::Any,
            &[NewEvent::new("T", &vec![i as u8; bytes])],
        )
        .unwrap();
    }
    if close {
        log.close().unwrap();
    } else {
        disk.kill(log);
    }
    disk.power_cut(&mut Rng::new(1), Survive::Nothing)
}

/// All that a log shows, or the first error.
fn shown(log: &EventLog) -> Result<Vec<(u64, u8)>, ReadError> {
    log.read_all(0)
        .into_iter()
        .map(|e| e.map(|e| (e.position(), e.payload().first().copied().unwrap_or(255))))
        .collect()
}

fn whole(appends: usize) -> Vec<(u64, u8)> {
    (0..appends).map(|i| (i as u64 + 1, i as u8)).collect()
}

/// Opens damaged files. Refused: nothing was changed. Opened: says what it shows, and it is a prefix of what was appended.
fn judge(disk: &SimDisk, appends: usize, what: &str) -> Result<Vec<(u64, u8)>, String> {
    let before = disk.snapshot();
    match open(disk) {
        Err(error) => {
            let mut after = disk.snapshot();
            // Temporary files may go before the damage is met.
            after.retain(|name, _| before.contains_key(name));
            assert!(
                before.iter().all(|(name, bytes)| name.ends_with(".tmp") || after.get(name) == Some(bytes)),
                "{what}: {error}"
            );
            Err(error.to_string())
        }
        Ok(log) => match shown(&log) {
            Err(error) => Err(error.to_string()),
            Ok(events) => {
                assert_eq!(events, whole(appends)[..events.len()], "{what}: wrong events");
                Ok(events)
            }
        },
    }
}

#[test]
fn a_flipped_bit_anywhere_is_seen_or_harmless() {
    const APPENDS: usize = 7;
    let disk = made(APPENDS, 40, true);
    let name = segment(1);
    let bytes = disk.read_file(&name).unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
    for bit in 0..used * 8 {
        let damaged = disk.power_cut(&mut Rng::new(1), Survive::Nothing);
        damaged.flip(&name, bit as u64);
        // Behind every byte a later batch or the close testifies, and the checkpoint knows the end: never a shorter log.
        if let Ok(events) = judge(&damaged, APPENDS, &format!("bit {bit}")) {
            assert_eq!(events.len(), APPENDS, "bit {bit} of byte {}: events vanished", bit / 8);
        }
    }
    // A flipped bit in the zeros behind the end is no event, and harms none.
    for bit in (used * 8..bytes.len() * 8).step_by(1009) {
        let damaged = disk.power_cut(&mut Rng::new(1), Survive::Nothing);
        damaged.flip(&name, bit as u64);
        let events = judge(&damaged, APPENDS, &format!("zero bit {bit}"));
        assert!(events.is_err() || events.is_ok_and(|e| e.len() == APPENDS), "zero bit {bit}");
    }
}

/// The same without a close and without a checkpoint: only the later batches testify.
#[test]
fn a_flipped_bit_before_a_later_batch_is_corrupt_and_changes_nothing() {
    const APPENDS: usize = 5;
    let disk = made(APPENDS, 40, false);
    assert!(!disk.names().contains(&"checkpoint".to_owned()));
    let bytes = disk.read_file(&segment(1)).unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
    let last = bytes.windows(4).rposition(|w| w == b"AFrm").unwrap();
    for byte in 4096..last {
        let damaged = disk.power_cut(&mut Rng::new(1), Survive::Nothing);
        damaged.flip(&segment(1), byte as u64 * 8 + byte as u64 % 8);
        let error =
            judge(&damaged, APPENDS, &format!("byte {byte}")).expect_err("acknowledged bytes are damaged");
        assert!(error.starts_with("corrupt at segment 1 offset "), "byte {byte}: {error}");
    }
    // Behind it, nothing testifies: the residual that the format names. The batch goes, the rest stays, and it is told.
    let damaged = disk.power_cut(&mut Rng::new(1), Survive::Nothing);
    damaged.flip(&segment(1), (used as u64 - 9) * 8);
    let log = open(&damaged).unwrap();
    assert_eq!(shown(&log).unwrap(), whole(APPENDS - 1));
    assert_eq!(log.recovery().torn_tail.as_ref().map(|torn| torn.at.offset), Some(last as u64));
}

#[test]
fn a_flipped_bit_anywhere_in_a_sealed_segment_is_seen() {
    // A few small appends, then one that does not fit behind them: the first segment is sealed nearly empty.
    const APPENDS: usize = 6;
    let disk = made(APPENDS - 1, 40, false);
    let log = open(&disk).unwrap();
    log.append("s0", ExpectedVersion::Any, &[NewEvent::new("T", &[APPENDS as u8 - 1; 58_000])]).unwrap();
    log.close().unwrap();
    let disk = disk.power_cut(&mut Rng::new(1), Survive::Nothing);
    let name = segment(1);
    let bytes = disk.read_file(&name).unwrap();
    let footer = bytes.len() - 4096;
    let used = bytes[..footer].iter().rposition(|b| *b != 0).unwrap() + 1;
    for byte in (0..used).chain(footer..bytes.len()) {
        let damaged = disk.power_cut(&mut Rng::new(1), Survive::Nothing);
        damaged.flip(&name, byte as u64 * 8 + byte as u64 % 8);
        assert!(judge(&damaged, APPENDS, &format!("byte {byte}")).is_err(), "byte {byte}: nobody noticed");
    }
}

#[test]
fn a_damaged_event_names_its_place_and_its_neighbours_can_be_read() {
    // Three events to an append, so that a section has neighbours inside, too.
    let disk = SimDisk::new(1);
    let log = open(&disk).unwrap();
    for i in (0..90).step_by(3) {
        let payloads = [i, i + 1, i + 2].map(|i| vec![i as u8; 1400]);
        let events = payloads.each_ref().map(|payload| NewEvent::new("T", payload));
        log.append(&format!("s{}", i / 3 % 2), ExpectedVersion::Any, &events).unwrap();
    }
    log.close().unwrap();
    drop(log);
    let disk = disk.power_cut(&mut Rng::new(1), Survive::Nothing);
    let name = segment(1);
    let bytes = disk.read_file(&name).unwrap();
    // The payload of the event at position 11 is 1,400 times 10.
    let at = bytes.windows(100).position(|w| w == [10; 100]).unwrap();
    disk.flip(&name, at as u64 * 8);
    let log = open(&disk).unwrap();
    let mut cursor = log.read_all(0);
    for position in 1..=10 {
        assert_eq!(cursor.next().unwrap().unwrap().position(), position);
    }
    let Err(ReadError::Corrupt(corruption)) = cursor.next() else { panic!("the damage was not seen") };
    assert_eq!(corruption.at.segment, 1);
    assert!((at as u64 - 200..=at as u64).contains(&corruption.at.offset), "{corruption}");
    assert!(matches!(cursor.next(), Ok(None)), "fused");
    // A fold sees the same events before it tells the same error.
    let mut folded = Vec::new();
    let result = log.read_all(0).try_fold((), |(), event| {
        folded.push(event.position());
        Ok::<_, ReadError>(())
    });
    assert_eq!((result, folded), (Err(ReadError::Corrupt(corruption)), (1..=10).collect()));
    // Backward as well: the events of the same section that come before it are not served after the error.
    for cursor in [log.read_all_backward(15), log.read_stream_backward("s1", 7)] {
        let read: Vec<_> = cursor.into_iter().collect();
        assert_eq!(read.iter().filter(|event| event.is_err()).count(), 1);
        assert!(read.last().is_some_and(Result::is_err), "fused backward");
    }
    assert_eq!(log.read_all(11).into_iter().count(), 79);
    let unchecked = options()
        .verify_reads(false)
        .open_storage(Arc::new(disk.power_cut(&mut Rng::new(1), Survive::Nothing)));
    assert_eq!(unchecked.unwrap().read_all(0).into_iter().filter(Result::is_ok).count(), 90);
}

#[test]
fn a_tail_cut_at_every_byte_loses_only_what_was_cut() {
    const APPENDS: usize = 4;
    let disk = made(APPENDS, 30, false);
    let name = segment(1);
    let bytes = disk.read_file(&name).unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
    let mut last = 0;
    for cut in 4096..used + 8 {
        let damaged = disk.power_cut(&mut Rng::new(1), Survive::Nothing);
        let mut torn = bytes.clone();
        torn[cut..].fill(0);
        damaged.write_file(&name, torn.clone());
        let log = open(&damaged).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        let events = shown(&log).unwrap();
        assert_eq!(events, whole(APPENDS)[..events.len()]);
        assert!(events.len() >= last, "cut at {cut}");
        last = events.len();
        // What was taken out is reported and kept, to the byte.
        if let Some(tail) = &log.recovery().torn_tail {
            let saved = damaged.read_file(tail.saved_as.as_ref().unwrap()).unwrap();
            let from = tail.at.offset as usize;
            assert_eq!(saved, torn[from..from + tail.bytes as usize]);
            assert!(torn[from + tail.bytes as usize..].iter().all(|b| *b == 0));
        }
        log.append("s0", ExpectedVersion::Any, &[NewEvent::new("T", "more")]).unwrap();
        log.close().unwrap();
        drop(log);
        assert_eq!(shown(&open(&damaged).unwrap()).unwrap().len(), events.len() + 1, "cut at {cut}");
    }
    assert_eq!(last, APPENDS);
}

#[test]
fn a_zeroed_page_is_not_the_end_of_the_log() {
    const APPENDS: usize = 90;
    let disk = made(APPENDS, 1400, true);
    for ordinal in [1, 2] {
        let bytes = disk.read_file(&segment(ordinal)).unwrap();
        let used = bytes[..bytes.len() - 4096].iter().rposition(|b| *b != 0).unwrap() + 1;
        for page in (0..used).step_by(4096) {
            let damaged = disk.power_cut(&mut Rng::new(1), Survive::Nothing);
            let mut zeroed = bytes.clone();
            zeroed[page..page + 4096].fill(0);
            damaged.write_file(&segment(ordinal), zeroed);
            assert!(judge(&damaged, APPENDS, "zeroed page").is_err(), "segment {ordinal}, page at {page}");
        }
    }
}

#[test]
fn missing_swapped_duplicated_and_older_segments_are_refused() {
    const APPENDS: usize = 200;
    let disk = made(APPENDS, 1400, true);
    let last = disk.names().iter().filter(|name| name.ends_with(".seg")).count() as u64;
    assert!(last >= 4);
    let old = made(20, 1400, true);
    let fresh = || disk.power_cut(&mut Rng::new(1), Survive::Nothing);
    for ordinal in 1..=last {
        let damaged = fresh();
        damaged.remove_file(&segment(ordinal));
        let error = judge(&damaged, APPENDS, "missing").unwrap_err();
        if ordinal < last {
            assert_eq!(error, OpenError::MissingSegment { ordinal }.to_string());
        } else {
            assert!(error.contains("does not reach that place"), "only the checkpoint knows: {error}");
        }
    }
    for (a, b) in [(1, 2), (2, 3), (3, 4), (1, 4)] {
        let damaged = fresh();
        let (first, second) =
            (damaged.read_file(&segment(a)).unwrap(), damaged.read_file(&segment(b)).unwrap());
        damaged.write_file(&segment(a), second.clone());
        assert!(judge(&damaged, APPENDS, "duplicated").is_err(), "{b} in place of {a}");
        damaged.write_file(&segment(b), first);
        assert!(judge(&damaged, APPENDS, "swapped").is_err(), "{a} and {b}");
    }
    // A segment of another log, an older copy of the first one, one too many at the end.
    let damaged = fresh();
    damaged.write_file(&segment(1), old.read_file(&segment(1)).unwrap());
    assert!(judge(&damaged, APPENDS, "of another log").is_err());
    let damaged = fresh();
    damaged.write_file(&segment(last + 1), damaged.read_file(&segment(last)).unwrap());
    assert!(judge(&damaged, APPENDS, "one too many").is_err());
}

#[test]
fn a_lost_tail_under_a_newer_checkpoint_is_refused() {
    let disk = SimDisk::new(1);
    let log = open(&disk).unwrap();
    let event = NewEvent::new("T", "x");
    log.append("s", ExpectedVersion::Any, &[event]).unwrap();
    let older = disk.read_file(&segment(1)).unwrap();
    log.append("s", ExpectedVersion::Any, &[event]).unwrap();
    log.close().unwrap();
    let disk = disk.power_cut(&mut Rng::new(1), Survive::Nothing);
    disk.write_file(&segment(1), older);
    let before = disk.snapshot();
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, OpenError::LostTail { position: 2, .. }), "{error}");
    assert_eq!(disk.snapshot(), before);
    // A checkpoint that is damaged, empty, or of another log is no evidence of anything.
    for (i, bytes) in [vec![], vec![0; 4096], vec![7; 100], vec![9; 8192]].into_iter().enumerate() {
        let disk = made(3, 10, true);
        disk.write_file("closed", bytes);
        let log = open(&disk).unwrap();
        assert!(matches!(log.recovery().checkpoint, annals::CheckpointUse::Damaged(_)), "{i}");
        assert_eq!(log.last_position(), 3);
    }
    let foreign = made(1, 10, true).read_file("closed").unwrap();
    let disk = made(3, 10, true);
    disk.write_file("closed", foreign);
    assert_eq!(open(&disk).unwrap().recovery().checkpoint, annals::CheckpointUse::Foreign);
}

#[test]
fn a_newer_version_and_unknown_features_are_refused_unchanged() {
    let disk = made(2, 10, true);
    let reseal = |at: usize, value: u8| {
        let damaged = disk.power_cut(&mut Rng::new(1), Survive::Nothing);
        let mut bytes = damaged.read_file(&segment(1)).unwrap();
        bytes[at] = value;
        let checksum = crc32fast::hash(&bytes[..4092]);
        bytes[4092..4096].copy_from_slice(&checksum.to_le_bytes());
        damaged.write_file(&segment(1), bytes);
        damaged
    };
    let newer = reseal(8, 2);
    let before = newer.snapshot();
    assert!(matches!(open(&newer), Err(OpenError::NewerVersion { found: 2, supported: 1, .. })));
    assert_eq!(newer.snapshot(), before);
    assert!(matches!(
        open(&reseal(24, 1)),
        Err(OpenError::UnknownFeature { bits: 1, read_only_helps: false, .. })
    ));
    let read_only = reseal(20, 1);
    assert!(matches!(
        open(&read_only),
        Err(OpenError::UnknownFeature { bits: 1, read_only_helps: true, .. })
    ));
    let log = options().open_storage_read_only(Arc::new(read_only)).unwrap();
    assert_eq!(log.last_position(), 2);
    assert_eq!(open(&reseal(16, 1)).unwrap().last_position(), 2, "a feature that may be ignored");
}

#[test]
fn a_directory_that_is_not_a_log_is_refused_and_leftovers_are_cleared() {
    let disk = SimDisk::new(1);
    disk.write_file("notes.txt", b"mine".to_vec());
    assert!(matches!(open(&disk), Err(OpenError::NotALog { found, .. }) if found == "notes.txt"));
    assert_eq!(disk.names(), ["notes.txt"]);
    let disk = made(2, 10, true);
    disk.remove_file(&segment(1));
    assert!(matches!(open(&disk), Err(OpenError::NotALog { found, .. }) if found == "closed"));
    // Only what a creation leaves behind when it is cut: an empty directory.
    let disk = SimDisk::new(1);
    disk.write_file("spare.tmp", vec![1; 100]);
    let log = open(&disk).unwrap();
    assert!(log.recovery().created);
    assert_eq!(log.recovery().removed, ["spare.tmp"]);
    drop(log);
    // Beside a log, foreign files are left alone, and named.
    let disk = made(2, 10, true);
    disk.write_file("notes.txt", b"mine".to_vec());
    disk.write_file("1.seg", b"mine too".to_vec());
    disk.write_file("checkpoint.tmp", vec![1; 100]);
    let log = open(&disk).unwrap();
    assert_eq!(log.recovery().foreign, ["1.seg", "notes.txt"]);
    assert!(log.recovery().removed.contains(&"checkpoint.tmp".to_owned()));
    assert_eq!(disk.read_file("notes.txt").unwrap(), b"mine");
    assert_eq!(log.last_position(), 2);
}

#[test]
fn open_errors_say_what_to_do() {
    let nothing = SimDisk::new(1);
    assert!(matches!(
        options().create(false).open_storage(Arc::new(nothing.clone())),
        Err(OpenError::NotFound { .. })
    ));
    assert!(matches!(
        options().open_storage_read_only(Arc::new(nothing.clone())),
        Err(OpenError::NotFound { .. })
    ));
    assert!(nothing.names().is_empty());
    for (kind, is_it) in [
        (ErrorKind::PermissionDenied, (|e| matches!(e, OpenError::ReadOnly(_))) as fn(&OpenError) -> bool),
        (ErrorKind::ReadOnlyFilesystem, |e| matches!(e, OpenError::ReadOnly(_))),
        (ErrorKind::StorageFull, |e| matches!(e, OpenError::DiskFull(_))),
        (ErrorKind::Other, |e| matches!(e, OpenError::Io(_))),
    ] {
        // Operation 2 makes the first segment.
        let disk = SimDisk::new(1);
        disk.fail_op(2, kind);
        let error = open(&disk).unwrap_err();
        assert!(is_it(&error), "{kind}: {error:?}");
        // And the next attempt finds nothing in its way.
        assert!(open(&disk).is_ok());
    }
}

#[test]
fn garbage_in_place_of_files_never_panics() {
    let disk = made(90, 1400, true);
    let mut rng = Rng::new(77);
    for round in 0..400 {
        let damaged = disk.power_cut(&mut rng, Survive::Nothing);
        let names = damaged.names();
        let name = &names[rng.below(names.len() as u64) as usize];
        let mut bytes = damaged.read_file(name).unwrap();
        let len = bytes.len() as u64;
        match rng.below(4) {
            0 => bytes.truncate(rng.below(len + 1) as usize),
            1 => {
                let from = rng.below(len) as usize;
                let to = (from + 1 + rng.below(9000) as usize).min(bytes.len());
                bytes[from..to].iter_mut().for_each(|b| *b = rng.next_u64() as u8);
            }
            2 => {
                let (from, to) = (rng.below(len) as usize, rng.below(len) as usize);
                let some = 512.min(bytes.len() - from.max(to));
                bytes.copy_within(from..from + some, to);
            }
            _ => bytes.extend((0..rng.below(9000)).map(|i| i as u8)),
        }
        damaged.write_file(name, bytes);
        if let Ok(events) = judge(&damaged, 90, &format!("round {round} on {name}")) {
            assert_eq!(events.len(), 90, "round {round} on {name}: events vanished");
        }
    }
}

/// A torn batch of several frames whose first was lost and whose later ones survived: a new append of the same size ends right
/// where the old second frame begins, and must not make it a part of the log again.
#[test]
fn stale_frames_behind_a_torn_tail_never_come_back() {
    let event = NewEvent::new("T", "sixteen bytes ok");
    let disk = SimDisk::new(3);
    let log = open(&disk).unwrap();
    log.append("s", ExpectedVersion::Any, &[event]).unwrap();
    let before = disk.ops();
    let handles: Vec<_> = (0..40).map(|_| log.submit("s", ExpectedVersion::Any, &[event]).unwrap()).collect();
    // The write is done, the sync is not.
    disk.crash_at(before + 1);
    assert!(handles.into_iter().all(|handle| handle.wait().is_err()));
    disk.kill(log);
    let mut rng = Rng::new(3);
    let mut torn = 0;
    for _ in 0..300 {
        let cut = disk.power_cut(&mut rng, Survive::Random);
        let log = open(&cut).unwrap();
        torn += usize::from(log.recovery().torn_tail.is_some());
        let kept = log.last_position();
        log.append("s", ExpectedVersion::Exact(kept), &[event]).unwrap();
        cut.kill(log);
        let again = cut.power_cut(&mut rng, Survive::Everything);
        let log = open(&again).unwrap_or_else(|error| panic!("a stale frame: {error}"));
        assert_eq!(log.last_position(), kept + 1);
        assert_eq!(log.stream_version("s"), kept + 1);
    }
    assert!(torn > 50, "{torn}");
}

/// The same to the byte: whole pages are written, so the one way for a stale frame to stand right behind a new one is a page's
/// start. Here the first frame of a torn batch is damaged, a later one begins with a page, and the new append ends there.
#[test]
fn a_stale_frame_at_the_start_of_a_page_never_comes_back() {
    const FRAME: usize = 144;
    let event = NewEvent::new("T", "sixteen bytes ok");
    let disk = SimDisk::new(4);
    let log = open(&disk).unwrap();
    log.append("s", ExpectedVersion::Any, &[event]).unwrap();
    let before = disk.ops();
    let handles: Vec<_> =
        (0..300).map(|_| log.submit("s", ExpectedVersion::Any, &[event]).unwrap()).collect();
    disk.crash_at(before + 1);
    assert!(handles.into_iter().all(|handle| handle.wait().is_err()));
    disk.kill(log);
    let torn = disk.power_cut(&mut Rng::new(4), Survive::Everything);
    let bytes = torn.read_file(&segment(1)).unwrap();
    let frames: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, w)| w == b"AFrm").map(|(at, _)| at).collect();
    assert_eq!(frames[..3], [4096, 4096 + FRAME, 4096 + 2 * FRAME]);
    let stale = *frames[2..].iter().find(|at| **at % 4096 == 0).unwrap();
    torn.flip(&segment(1), (frames[1] as u64 + 100) * 8);
    let log = open(&torn).unwrap();
    assert_eq!((log.last_position(), log.recovery().torn_tail.is_some()), (1, true));
    // Header, table entry, id block and event head take 104 bytes and the type one; the rest is payload and no padding.
    let payload = vec![1; stale - frames[1] - 104 - 17];
    log.append("s", ExpectedVersion::Exact(1), &[NewEvent::new("T", &payload)]).unwrap();
    torn.kill(log);
    let again = torn.power_cut(&mut Rng::new(4), Survive::Nothing);
    let used = again.read_file(&segment(1)).unwrap().iter().rposition(|b| *b != 0).unwrap();
    assert!(used < stale, "the torn bytes are gone");
    assert_eq!(open(&again).unwrap_or_else(|error| panic!("a stale frame: {error}")).last_position(), 2);
}
