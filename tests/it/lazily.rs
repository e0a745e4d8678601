//! Values set lazily, with the threads of a log: written without anybody's help, and never seen going backward.

use crate::simdisk::{Rng, SimDisk, Survive};
use annals::{AppendError, EventLog, ExpectedVersion, KeptCondition, NewEvent, Options};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn number(log: &EventLog) -> u64 {
    let kept = log.kept("k").unwrap();
    kept.map_or(0, |kept| u64::from_le_bytes(kept.value[..].try_into().unwrap()))
}

/// Nobody commits: the log does it by itself, and a kill behind that finds the value.
#[test]
fn what_is_set_lazily_becomes_durable_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    log.append("s", ExpectedVersion::Any, &[NewEvent::new("T", "")]).unwrap();
    log.keep_lazily("k", 7u64.to_le_bytes()).unwrap();
    log.acknowledge("mail", 1).unwrap();
    assert_eq!((number(&log), log.acknowledged("mail")), (7, Ok(1)), "seen at once");
    let begun = Instant::now();
    while log.list_kept("", None, 9).unwrap().iter().any(|kept| kept.revision.is_none()) {
        assert!(begun.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(1));
    }
    // What a kill leaves: the files as they are.
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let killed = EventLog::open(copy.path()).unwrap();
    assert_eq!((number(&killed), killed.acknowledged("mail")), (7, Ok(1)));
    log.close().unwrap();
}

/// It costs nothing by itself: the commit that comes next takes it along, in the same sync.
#[test]
fn the_next_commit_takes_along_what_is_set_lazily() {
    let disk = SimDisk::new(3);
    let options = Options::new().background(false);
    let log = options.open_storage(Arc::new(disk.clone())).unwrap();
    let append = || {
        let before = disk.ops();
        log.append("s", ExpectedVersion::Any, &[NewEvent::new("T", "")]).unwrap();
        disk.ops() - before
    };
    let alone = append();
    let before = disk.ops();
    log.keep_lazily("k", 1u64.to_le_bytes()).unwrap();
    log.keep_lazily("k", 2u64.to_le_bytes()).unwrap();
    log.keep_lazily("l", "other").unwrap();
    assert_eq!(disk.ops(), before);
    assert_eq!(append(), alone);
    let cut = disk.power_cut(&mut Rng::new(1), Survive::Nothing);
    let after = options.open_storage(Arc::new(cut)).unwrap();
    assert_eq!((number(&after), after.count_kept("")), (2, 2));
}

/// Who must not block is told that too much waits, and nothing of it is kept.
#[test]
fn what_does_not_fit_the_lazy_ones_is_refused_where_blocking_is_not_asked_for() {
    let log = Options::new().background(false).open_in_memory().unwrap();
    let value = vec![7; 100 << 10];
    assert_eq!(log.try_keep_lazily("a", &value), Ok(()));
    assert_eq!(log.try_keep_lazily("b", &value), Ok(()));
    assert_eq!(log.try_keep_lazily("c", &value), Err(AppendError::Full));
    assert_eq!(log.try_keep_lazily("a", &value), Ok(()), "it takes the place of the one before");
    assert_eq!((log.count_kept(""), log.kept("c")), (2, Ok(None)));
    log.keep_lazily("c", &value).unwrap();
    assert!(
        log.list_kept("", None, 9).unwrap().iter().all(|kept| kept.revision.is_some()),
        "it has written all"
    );
    assert_eq!(log.try_keep_lazily("d", &value), Ok(()));
    assert!(matches!(log.try_keep_lazily("annals/x", ""), Err(AppendError::ReservedName { .. })));
    let much = vec![7; (1 << 20) + 1];
    assert!(matches!(log.try_keep_lazily("a", &much), Err(AppendError::TooLarge { .. })));
    log.close().unwrap();
    assert_eq!(log.try_keep_lazily("a", ""), Err(AppendError::Closed));
}

/// A value that was set lazily moves from memory into a batch and from there into the index; on no step of that way does a
/// reader meet an older one, whatever else is committed meanwhile.
#[test]
fn nobody_sees_a_value_go_backward() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().batch_bytes(8 << 10).segment_bytes(256 << 10).open(dir.path()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (log, done) = (&log, &done);
            scope.spawn(move || {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let now = number(log);
                    assert!(now >= last, "{now} behind {last}");
                    let listed = log.list_kept("k", None, 9).unwrap();
                    let listed = u64::from_le_bytes(
                        listed.first().map_or(&[0; 8][..], |kept| &kept.value[..]).try_into().unwrap(),
                    );
                    assert!(listed >= now, "listed {listed}, got {now}");
                    last = listed;
                }
            });
        }
        let other = scope.spawn(|| {
            for i in 0..2000u32 {
                let payload = vec![0; (i * 37 % 3000) as usize];
                log.append("s", ExpectedVersion::Any, &[NewEvent::new("T", &payload)]).unwrap();
            }
        });
        let mut i = 0u64;
        while !other.is_finished() {
            i += 1;
            match i % 50 {
                0 => _ = log.keep("k", KeptCondition::Present, i.to_le_bytes()).unwrap(),
                _ => log.keep_lazily("k", i.to_le_bytes()).unwrap(),
            }
            assert_eq!(number(&log), i, "whoever sets it sees it");
        }
        done.store(true, Ordering::Relaxed);
        other.join().unwrap();
    });
    let last = number(&log);
    log.close().unwrap();
    assert_eq!(number(&EventLog::open(dir.path()).unwrap()), last, "closing writes it");
}

/// A value that is there throughout cannot be overlooked, though another one takes its place while the condition waits.
#[test]
fn a_condition_in_the_queue_sees_what_was_set_before_it() {
    let log = Options::new().background(false).batch_bytes(4 << 10).open_in_memory().unwrap();
    let payload = vec![1; 1500];
    let full: Vec<_> = (0..3)
        .map(|_| log.submit("s", ExpectedVersion::Any, &[NewEvent::new("T", &payload)]).unwrap())
        .collect();
    assert!(full[2].assigned().is_none(), "it waits for room");
    log.keep_lazily("lock", "first").unwrap();
    let absent = log.batch().keep_if("lock", KeptCondition::Absent, "mine").submit().unwrap();
    log.keep_lazily("lock", "second").unwrap();
    let conflict = absent.wait().unwrap_err();
    assert!(matches!(conflict, AppendError::KeptConflict { .. }), "{conflict:?}");
    assert_eq!(&log.kept("lock").unwrap().unwrap().value[..], b"second");
    full.into_iter().for_each(|pending| _ = pending.wait().unwrap());
    log.append("s", ExpectedVersion::Any, &[NewEvent::new("T", "")]).unwrap();
    assert_eq!(&log.kept("lock").unwrap().unwrap().value[..], b"second");
}
