//! Space ahead of need: that whoever needs a new segment gets one, and that zeros are where they help.

use crate::simdisk::SimDisk;
use annals::storage::{Disk, Memory, Storage};
use annals::{AppendError, EventLog, ExpectedVersion, NewEvent, Options};
use proving::{Gated, Hooked};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Of an event whose commit is one of a bulk load.
const LARGE: usize = 700 << 10;
const ANY: ExpectedVersion = ExpectedVersion::Any;

fn event() -> NewEvent<'static> {
    NewEvent::new("Tested", "payload")
}

fn within_seconds(seconds: u64, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {seconds} s");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Where the zeros that were written last end.
fn zeroed_up_to(disk: &SimDisk) -> u64 {
    let trace = disk.trace();
    let Some(last) = trace.iter().rfind(|operation| operation.starts_with("write_zeros")) else { return 0 };
    let (offset, len) = last.rsplit_once(' ').and_then(|(_, range)| range.split_once('+')).unwrap();
    offset.parse::<u64>().unwrap() + len.parse::<u64>().unwrap()
}

/// Zeros run ahead of small commits, which are faster for it, in steps that are as large as a few of them. Large ones write their
/// bytes once.
#[test]
fn space_is_zeroed_ahead_of_small_commits_only() {
    let steps_of = |payload: usize| -> BTreeSet<u64> {
        let disk = SimDisk::new(1);
        let log = Options::new().background(false).open_storage(Arc::new(disk.clone())).unwrap();
        let payload = vec![1; payload];
        let append = || log.append("s", ANY, &[NewEvent::new("T", &payload)]).unwrap();
        // Until the log knows what it is used for.
        (0..20).for_each(|_| _ = append());
        let before = disk.trace().len();
        (0..20).for_each(|_| _ = append());
        let len =
            |operation: &String| operation.strip_prefix("write_zeros")?.rsplit_once('+')?.1.parse().ok();
        disk.trace()[before..].iter().filter_map(len).collect()
    };
    assert_eq!(steps_of(32 << 10), BTreeSet::from([256 << 10]));
    assert_eq!(steps_of(100 << 10), BTreeSet::from([512 << 10]));
    assert_eq!(steps_of(LARGE), BTreeSet::new());
}

/// An append that found others before it in the open batch is the first to find out that it needs a new segment when that
/// batch is on its way, while nobody else calls.
#[test]
fn space_is_found_for_who_waited_a_turn_first() {
    let gated = Gated::default();
    let log = Options::new().open_storage(Arc::new(gated.clone())).unwrap();
    let large = vec![1; 1 << 20];
    gated.close();
    let first = log.submit("s", ANY, &[event()]).unwrap();
    gated.wait_until_held();
    let second = log.submit("s", ANY, &[event()]).unwrap();
    let third = log.submit("s", ANY, &[NewEvent::new("T", &large)]).unwrap();
    gated.open_up();
    within_seconds(20, || third.is_done());
    assert_eq!(third.wait().unwrap().last_version, 3);
    assert!(first.is_done() && second.is_done());
}

/// Who does not wait for space need not wait for others to ask for it, either.
#[test]
fn space_is_found_for_who_does_not_wait() {
    let disk = SimDisk::new(3);
    let log = Options::new().open_storage(Arc::new(disk.clone())).unwrap();
    log.append("s", ANY, &[event()]).unwrap();
    let large = vec![1; 1 << 20];
    let attempt = || log.try_submit("s", ANY, &[NewEvent::new("T", &large)]);
    assert_eq!(attempt().unwrap_err(), AppendError::Full);
    within_seconds(20, || attempt().is_ok_and(|pending| pending.wait().unwrap().last_version == 2));
}

/// Zeros keep ahead of a log that grows without a rest, not only until they have once been far enough ahead.
#[test]
fn zeros_keep_ahead_of_a_log_that_never_rests() {
    let disk = SimDisk::new(2);
    let log = Options::new().segment_bytes(8 << 20).open_storage(Arc::new(disk.clone())).unwrap();
    let payload = [1; 64 << 10];
    // All segments that are smaller, and half of one of 8 MiB.
    for _ in 0..12 << 4 {
        log.append("s", ANY, &[NewEvent::new("T", &payload)]).unwrap();
        // Zeros could not fall behind by being slow.
        thread::sleep(Duration::from_millis(2));
    }
    within_seconds(20, || zeroed_up_to(&disk) == 8 << 20);
}

/// They come back when a log that was filled in bulk is not any more, wherever in a segment that is.
#[test]
fn zeros_come_back_after_a_bulk_load() {
    let disk = SimDisk::new(4);
    let log = Options::new().segment_bytes(8 << 20).open_storage(Arc::new(disk.clone())).unwrap();
    let append = |payload: usize| {
        log.append("s", ANY, &[NewEvent::new("T", &vec![1; payload])]).unwrap();
        thread::sleep(Duration::from_millis(2));
    };
    // Into the second segment of 8 MiB, beyond its middle.
    (0..34).for_each(|_| append(LARGE));
    assert!(zeroed_up_to(&disk) < 8 << 20);
    (0..40).for_each(|_| append(32 << 10));
    within_seconds(20, || zeroed_up_to(&disk) == 8 << 20);
}

/// A sync that failed is not asked again: the segment that was being made ready is thrown away, and another one is made.
#[test]
fn a_spare_whose_sync_failed_never_becomes_a_segment() {
    let trace_of = |fails: Option<usize>| {
        let disk = SimDisk::new(5);
        let options = Options::new().background(false).segment_bytes(1 << 20);
        let log = options.open_storage(Arc::new(disk.clone())).unwrap();
        if let Some(op) = fails {
            disk.fail_op(op as u64, ErrorKind::Other);
        }
        let payload = [1; 32 << 10];
        (0..60).for_each(|_| _ = log.append("s", ANY, &[NewEvent::new("T", &payload)]).unwrap());
        assert_eq!(log.read_all(0).into_iter().count(), 60);
        disk.trace()
    };
    let trace = trace_of(None);
    let is = |operation: &String, what: &str| operation.starts_with(what) && operation.contains("spare");
    // The one of its zeros; the one of its header follows that.
    let zeroed = |pair: &[String]| is(&pair[0], "write_zeros") && is(&pair[1], "sync");
    let op = 1 + trace.windows(2).rposition(zeroed).unwrap();
    let trace = trace_of(Some(op));
    let next = trace[op + 1..].iter().find(|operation| operation.contains("spare")).unwrap();
    assert!(next.starts_with("remove"), "{next}");
}

/// Appends of many sizes, by four threads, until the log is closed or each has made as many; tells how many there were.
fn crowd(log: &EventLog, close_after: Option<u64>) -> u64 {
    let acknowledged = AtomicU64::new(0);
    let (small, large) = ([1; 20_000], [1; 150_000]);
    thread::scope(|scope| {
        for i in 0..4 {
            let acknowledged = &acknowledged;
            scope.spawn(move || {
                for k in 0..60 {
                    let payload = if k % 7 == i { &large[..] } else { &small };
                    match log.append(&format!("s{i}"), ANY, &[NewEvent::new("T", payload)]) {
                        Ok(_) => acknowledged.fetch_add(1, Ordering::SeqCst),
                        Err(AppendError::Closed) => return,
                        Err(error) => panic!("{error}"),
                    };
                }
            });
        }
        if let Some(turns) = close_after {
            (0..turns).for_each(|_| thread::yield_now());
            log.close().unwrap();
        }
    });
    acknowledged.into_inner()
}

/// Whoever needs a segment and whoever closes the log may find space at the same time: no spare is ever offered to two batches.
#[test]
fn a_spare_becomes_one_segment_whoever_finds_it() {
    let options = |background| Options::new().background(background).segment_bytes(64 << 10);
    for round in 0..30 {
        for background in [false, true] {
            let memory = Memory::new();
            let log = options(background).open_storage(Arc::new(memory.clone())).unwrap();
            let acknowledged = crowd(&log, background.then_some(4 * round));
            log.close().unwrap();
            let log = options(background).open_storage(Arc::new(memory)).unwrap();
            assert!(log.last_position() >= acknowledged, "round {round}: {acknowledged} acknowledged");
        }
    }
}

/// Without threads, whoever appends sees to the other files, too; with the log closed, the directory is the next one's.
#[test]
fn to_close_waits_for_who_still_makes_files() {
    // 1: who gives an index file its name waits, and says so; 2: until this changes.
    let state = Arc::new(AtomicU64::new(0));
    let hooked = {
        let state = state.clone();
        Hooked::new(move |operation, name| {
            if (operation, name) == ("rename", "index.tmp")
                && state.compare_exchange(1, 2, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            {
                within_seconds(60, || state.load(Ordering::SeqCst) != 2);
            }
            Ok(())
        })
    };
    let options = || Options::new().background(false).segment_bytes(64 << 10).index_after_bytes(4 << 10);
    let log = options().open_storage(Arc::new(hooked.clone())).unwrap();
    let payload = [1; 40_000];
    let append = || log.append("s", ANY, &[NewEvent::new("T", &payload)]).unwrap();
    append();
    state.store(1, Ordering::SeqCst);
    thread::scope(|scope| {
        // Seals the first segment.
        scope.spawn(append);
        within_seconds(20, || state.load(Ordering::SeqCst) == 2);
        let closes = scope.spawn(|| log.close().unwrap());
        // Long enough for a close that does not wait.
        thread::sleep(Duration::from_millis(100));
        assert!(!closes.is_finished() && options().open_storage(Arc::new(hooked.clone())).is_err());
        state.store(3, Ordering::SeqCst);
    });
    // Whoever came later would change what the close has written down.
    assert!(!hooked.list().unwrap().contains(&"checkpoint".to_owned()));
    let log = options().open_storage(Arc::new(hooked)).unwrap();
    assert_eq!((log.last_position(), log.recovery().closed_cleanly), (2, true));
    assert!(log.recovery().removed.is_empty());
}

/// All of an index file at once would be in the way of commits.
#[test]
fn the_device_begins_with_each_block_of_an_index_file() {
    let trace = Arc::new(Mutex::new(Vec::new()));
    let hooked = {
        let trace = trace.clone();
        Hooked::new(move |operation, name| {
            if name == "index.tmp" {
                trace.lock().unwrap().push(operation.to_owned());
            }
            Ok(())
        })
    };
    let log =
        Options::new().background(false).index_after_bytes(64 << 10).open_storage(Arc::new(hooked)).unwrap();
    let mut batch = log.batch();
    for i in 0..5000 {
        batch = batch.append(&format!("stream-{i}"), ANY, &[NewEvent::new("T", b"")]);
    }
    batch.commit().unwrap();
    log.close().unwrap();
    let trace = trace.lock().unwrap();
    let after: Vec<_> = trace.windows(2).filter(|pair| pair[0] == "write").map(|pair| &pair[1]).collect();
    assert!(after.len() > 8 && after.iter().all(|next| *next == "begin"), "{trace:?}");
    assert!(trace.contains(&"sync".to_owned()));
}

fn full() -> std::io::Result<()> {
    Err(ErrorKind::StorageFull.into())
}

/// Where no zeros can be written, that costs speed and nothing else.
#[test]
fn a_log_does_without_zeros() {
    let hooked = Hooked::new(|operation, _| match operation {
        "zero" => Err(ErrorKind::InvalidInput.into()),
        _ => Ok(()),
    });
    let options = || Options::new().segment_bytes(64 << 10);
    let log = options().open_storage(Arc::new(hooked.clone())).unwrap();
    let payload = [1; 20_000];
    (0..20).for_each(|_| _ = log.append("s", ANY, &[NewEvent::new("T", &payload)]).unwrap());
    log.close().unwrap();
    assert_eq!(options().open_storage(Arc::new(hooked)).unwrap().last_position(), 20);
}

/// The space of the last segment is missing, and then it is not, while there is none for the next one: what fits is taken.
#[test]
fn an_append_that_fits_the_last_segment_needs_no_next_one() {
    let left = Arc::new(AtomicU64::new(2));
    let hooked = {
        let left = left.clone();
        Hooked::new(move |operation, name| match (operation, left.load(Ordering::SeqCst)) {
            ("allocate", 0) => full(),
            ("allocate", 1) if name.starts_with("spare") => full(),
            _ => Ok(()),
        })
    };
    let open = || Options::new().background(false).open_storage(Arc::new(hooked.clone())).unwrap();
    let log = open();
    log.append("s", ANY, &[event()]).unwrap();
    log.close().unwrap();
    left.store(0, Ordering::SeqCst);
    let log = open();
    assert!(matches!(log.append("s", ANY, &[event()]), Err(AppendError::DiskFull(_))));
    left.store(1, Ordering::SeqCst);
    assert_eq!(log.append("s", ANY, &[event()]).unwrap().last_version, 2);
}

/// What one append needs and does not get is not what another one needs.
#[test]
fn a_segment_that_cannot_grow_will_do_for_others() {
    let grows = Arc::new(AtomicU64::new(0));
    let hooked = {
        let grows = grows.clone();
        Hooked::new(move |operation, name| {
            let at_spare = operation == "allocate" && name.starts_with("spare");
            if at_spare && grows.load(Ordering::SeqCst) == 1 { full() } else { Ok(()) }
        })
    };
    let options = Options::new().background(false).segment_bytes(64 << 10);
    let log = options.open_storage(Arc::new(hooked)).unwrap();
    let (half, huge) = ([1; 40_000], vec![1; 1 << 20]);
    log.append("s", ANY, &[NewEvent::new("T", &half)]).unwrap();
    grows.store(1, Ordering::SeqCst);
    let first = log.submit("s", ANY, &[event()]).unwrap();
    let too_large = log.submit("s", ANY, &[NewEvent::new("T", &huge)]).unwrap();
    let next = log.submit("s", ANY, &[NewEvent::new("T", &half)]).unwrap();
    assert_eq!(first.wait().unwrap().last_version, 2);
    assert!(matches!(too_large.wait(), Err(AppendError::DiskFull(_))));
    assert_eq!(next.wait().unwrap().last_version, 3);
}

/// A log whose last segment has no room for 40 000 bytes more, and how many of the next attempts to make a segment, or to let
/// one grow, find the disk full.
fn nearly_full() -> (EventLog, Arc<AtomicU64>) {
    let fails = Arc::new(AtomicU64::new(0));
    let hooked = {
        let fails = fails.clone();
        Hooked::new(move |operation, name| {
            let at_spare = operation == "allocate" && name.starts_with("spare");
            let one = |left: u64| left.checked_sub(1);
            let fails = at_spare && fails.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one).is_ok();
            if fails { full() } else { Ok(()) }
        })
    };
    let options = Options::new().background(false).segment_bytes(64 << 10);
    let log = options.open_storage(Arc::new(hooked)).unwrap();
    log.append("s", ANY, &[NewEvent::new("T", &[1; 40_000])]).unwrap();
    (log, fails)
}

/// The same, and the next segment is not there, either.
fn full_for_a_moment() -> (EventLog, Arc<AtomicU64>) {
    let (log, fails) = nearly_full();
    let append = || log.append("s", ANY, &[NewEvent::new("T", &[1; 40_000])]);
    fails.store(u64::MAX, Ordering::SeqCst);
    // Into the segment that was made ahead.
    append().unwrap();
    assert!(matches!(append(), Err(AppendError::DiskFull(_))));
    fails.store(0, Ordering::SeqCst);
    (log, fails)
}

/// What a huge append needs and does not get is not what a small one behind it needs, though neither has a segment yet.
#[test]
fn a_small_append_is_not_refused_for_a_huge_one() {
    let (log, fails) = full_for_a_moment();
    let submit = |bytes| log.submit("s", ANY, &[NewEvent::new("T", &vec![1; bytes])]).unwrap();
    fails.store(1, Ordering::SeqCst);
    let (huge, small) = (submit(1 << 20), submit(40_000));
    assert!(matches!(huge.wait(), Err(AppendError::DiskFull(_))));
    let told = small.wait().map(|appended| appended.last_version);
    assert_eq!((told, fails.load(Ordering::SeqCst)), (Ok(3), 0));
}

/// Nor is what the segment that is there cannot grow to.
#[test]
fn a_middling_append_is_not_refused_for_a_huge_one() {
    let (log, fails) = nearly_full();
    let submit = |bytes| log.submit("s", ANY, &[NewEvent::new("T", &vec![1; bytes])]).unwrap();
    fails.store(1, Ordering::SeqCst);
    let (huge, middling) = (submit(1 << 20), submit(80_000));
    assert!(matches!(huge.wait(), Err(AppendError::DiskFull(_))));
    let told = middling.wait().map(|appended| appended.last_version);
    assert_eq!((told, fails.load(Ordering::SeqCst)), (Ok(2), 0));
}

/// Nor is what somebody wanted who did not wait.
#[test]
fn a_small_append_is_not_refused_for_an_attempt() {
    let (log, fails) = full_for_a_moment();
    fails.store(1, Ordering::SeqCst);
    let attempt = log.try_submit("s", ANY, &[NewEvent::new("T", &vec![1; 1 << 20])]);
    assert!(matches!(attempt, Err(AppendError::DiskFull(_))), "{attempt:?}");
    let told = log.append("s", ANY, &[NewEvent::new("T", &[1; 40_000])]);
    let told = told.map(|appended| appended.last_version);
    assert_eq!((told, fails.load(Ordering::SeqCst)), (Ok(3), 0));
}

/// A file that cannot get all of what is asked for is as long as before. Asked of a file system in memory, which has less than
/// that and says so at once: others would take all there is before they do.
#[cfg(target_os = "linux")]
#[test]
fn space_is_reserved_whole_or_not_at_all() {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let disk = Disk::open(dir.path(), false).unwrap();
    let file = disk.create("x").unwrap();
    file.allocate(8192).unwrap();
    assert!(file.allocate(1 << 50).is_err());
    assert_eq!(file.len().unwrap(), 8192);
}

/// No append is refused for an attempt to find space that had begun before it came.
#[test]
fn who_comes_during_an_attempt_gets_one_of_his_own() {
    // 1: the disk is full; 2: an attempt is under way, and waits until that changes; 3: it fails still, and is the last one.
    let state = Arc::new(AtomicU64::new(0));
    let hooked = {
        let state = state.clone();
        Hooked::new(move |operation, name| {
            if operation != "allocate" || !name.starts_with("spare") {
                return Ok(());
            }
            // The first segment, and the next one, are made whether anybody needs them or not.
            let is = |from, to| state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok();
            if is(4, 5) || is(0, 4) || !is(1, 2) {
                return Ok(());
            }
            while state.load(Ordering::SeqCst) == 2 {
                thread::sleep(Duration::from_millis(1));
            }
            full()
        })
    };
    let options = Options::new().segment_bytes(64 << 10);
    let log = options.open_storage(Arc::new(hooked)).unwrap();
    within_seconds(20, || state.load(Ordering::SeqCst) == 5);
    log.append("s", ANY, &[event()]).unwrap();
    state.store(1, Ordering::SeqCst);
    let huge = vec![1; 1 << 20];
    let before = log.submit("s", ANY, &[NewEvent::new("T", &huge)]).unwrap();
    within_seconds(20, || state.load(Ordering::SeqCst) == 2);
    let during = log.submit("s", ANY, &[NewEvent::new("T", &huge)]).unwrap();
    state.store(3, Ordering::SeqCst);
    assert!(matches!(before.wait(), Err(AppendError::DiskFull(_))));
    within_seconds(20, || during.is_done());
    assert_eq!(during.wait().unwrap().last_version, 2);
}

/// A device that lets no spare be synced: it is not asked again and again, and what comes is told.
#[test]
fn a_spare_that_cannot_be_synced_is_not_made_anew_for_nobody() {
    let (fails, made) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    // The sync that follows zeros.
    let zeros = AtomicU64::new(0);
    let hooked = {
        let (fails, made) = (fails.clone(), made.clone());
        Hooked::new(move |operation, name| {
            let zeroed = zeros.swap(0, Ordering::SeqCst) == 1;
            match (operation, name) {
                ("create", "spare.tmp") => _ = made.fetch_add(1, Ordering::SeqCst),
                ("zero", "spare.tmp") => zeros.store(fails.load(Ordering::SeqCst), Ordering::SeqCst),
                ("sync", "spare.tmp") if zeroed => return Err(ErrorKind::Other.into()),
                _ => {}
            }
            Ok(())
        })
    };
    let options = Options::new().background(false).segment_bytes(1 << 20);
    let log = options.open_storage(Arc::new(hooked)).unwrap();
    let (large, small) = (vec![1; 200_000], [1; 4_000]);
    let append = |payload: &[u8]| _ = log.append("s", ANY, &[NewEvent::new("T", payload)]).unwrap();
    append(&large);
    fails.store(1, Ordering::SeqCst);
    // The next spare is larger than what is zeroed at once: its zeros follow the log.
    let before = (0..50).find(|_| {
        append(&small);
        log.status().disk_full.is_some()
    });
    assert!(before.is_some());
    let before = made.load(Ordering::SeqCst);
    (0..10).for_each(|_| append(&small));
    assert_eq!(made.load(Ordering::SeqCst), before);
    fails.store(0, Ordering::SeqCst);
    (0..6).for_each(|_| append(&large));
    assert!(log.status().disk_full.is_none());
}

/// Without threads too: the next call that blocks makes room for what was refused.
#[test]
fn the_next_blocking_call_makes_room_for_who_does_not_wait() {
    let log = Options::new().background(false).open_storage(Arc::new(Gated::default())).unwrap();
    let large = vec![1; 1 << 20];
    let attempt = || log.try_submit("s", ANY, &[NewEvent::new("T", &large)]);
    assert_eq!(attempt().unwrap_err(), AppendError::Full);
    log.append("s", ANY, &[event()]).unwrap();
    assert_eq!(attempt().unwrap().wait().unwrap().last_version, 2);
}

/// Without threads, one call makes room for all who wait, however many they are, and with no more stack than for one.
#[test]
fn a_long_queue_needs_no_deep_stack() {
    let run = || {
        let log = Options::new().background(false).segment_bytes(64 << 10).open_in_memory().unwrap();
        let payload = vec![1; 33_000];
        let submit = |_| log.submit("s", ANY, &[NewEvent::new("T", &payload)]).unwrap();
        // Each needs a segment of its own.
        let mut queued: Vec<_> = (0..2_500).map(submit).collect();
        assert_eq!(queued.pop().unwrap().wait().unwrap().last_version, 2_500);
    };
    thread::Builder::new().stack_size(128 << 10).spawn(run).unwrap().join().unwrap();
}
