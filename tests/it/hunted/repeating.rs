//! Repeats on logs that are damaged, or that cannot be read for a moment: promises that were once not kept, one a test.
//!
//! Owns the repeating side of `hunted.rs`: no append gets in a second time, and no answer to one is a guess.

use super::*;
use proving::Hooked;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};

#[test]
fn a_repeat_is_not_answered_from_a_broken_index() {
    let memory = Memory::new();
    let open = || layered().open_storage(Arc::new(memory.clone())).unwrap();
    let log = open();
    log.append("b", ANY, &[ev(); 3]).unwrap();
    fill(&log);
    log.close().unwrap();
    drop(log);
    let log = open();
    let id = Uuid::from_u128(7);
    // Which version `b` had then is asked of the index.
    let batch = || log.batch().append("new", ANY, &[ev().with_id(id)]).create("b", ANY, b"").commit();
    batch().unwrap();
    assert_eq!(batch().unwrap().streams[1].last_version, 3);
    spoil(&memory);
    log.stream_version("s-9");
    let state = log.status().state;
    assert!(matches!(state, LogState::Poisoned(PoisonCause::Index(_))), "{state:?}");
    let again = batch();
    let Err(AppendError::OriginalUnreadable { id: of, error }) = &again else { panic!("{again:?}") };
    assert!(*of == id && matches!(**error, ReadError::Corrupt(_)), "{again:?}");
}

/// A way to append.
type Way = fn(&EventLog, &[NewEvent<'_>]) -> Result<Appended, AppendError>;

/// Opens a log in which an append with an id was made before, and makes it again; the read of segments fails that comes after so
/// many others. Says whether there was one.
fn repeat_while_a_read_fails(after: u64, mode: ReadMode, append: Way) -> bool {
    let left = Arc::new(AtomicU64::new(0));
    let hooked = {
        let left = left.clone();
        Hooked::new(move |operation, name| {
            let counts = operation == "read" && name.ends_with(".seg");
            let count = |left: u64| left.checked_sub(1);
            match counts.then(|| left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count)) {
                Some(Ok(1)) => Err(ErrorKind::Other.into()),
                _ => Ok(()),
            }
        })
    };
    let open = || shelf::options().read_mode(mode).open_storage(Arc::new(hooked.clone())).unwrap();
    let id = Uuid::from_u128(7);
    let events = [ev().with_id(id)];
    let log = open();
    let first = append(&log, &events).unwrap();
    log.close().unwrap();
    drop(log);
    let log = open();
    left.store(after + 1, Ordering::SeqCst);
    let told = append(&log, &events);
    let met = left.swap(0, Ordering::SeqCst) == 0;
    if met {
        let Err(AppendError::OriginalUnreadable { id: of, error }) = &told else {
            panic!("{after}: {told:?}")
        };
        assert!(*of == id && matches!(**error, ReadError::Io(_)), "{after}: {told:?}");
    }
    let again = append(&log, &events).unwrap();
    assert!(again.repeated && again.last_position == first.last_position, "{after}: {again:?}");
    assert_eq!(log.stream_version("s"), 1);
    met
}

#[test]
fn a_read_that_fails_lets_no_repeat_in() {
    let ways: [Way; 2] = [
        |log, events| log.append("s", ANY, events),
        |log, events| log.try_submit("s", ANY, events).and_then(Pending::wait),
    ];
    for mode in [ReadMode::Pread, ReadMode::Map] {
        for append in ways {
            let met = (0..).take_while(|after| repeat_while_a_read_fails(*after, mode, append)).count();
            assert!(met > 1, "{met} reads");
        }
    }
}

/// The id of the `n`-th append; not to be found where there is none.
fn nth_id(n: u64) -> Uuid {
    Uuid::from_u64_pair(0x1D1D_1D1D_1D1D_1D1D, n)
}

/// Damages the header of the frame that holds an id.
fn damage_header(files: &mut shelf::Files, id: Uuid) {
    let find = |image: &Vec<u8>| image.windows(16).position(|bytes| bytes == id.as_bytes());
    let mut segments = files.iter_mut().filter(|(name, _)| name.ends_with(".seg"));
    let (image, at) = segments.find_map(|(_, image)| find(image).map(|at| (image, at))).unwrap();
    let frame = image[..at].windows(4).rposition(|bytes| bytes == b"AFrm").unwrap();
    image[frame + 16] ^= 0xAB;
}

#[test]
fn a_damaged_header_forgets_no_id_behind_it() {
    const APPENDS: u64 = 100;
    let options = || Options::new().background(false).index_after_bytes(4 << 10);
    let append =
        |log: &EventLog, n| log.append("s", ANY, &[NewEvent::new("T", &[1; 6000]).with_id(nth_id(n))]);
    let memory = Memory::new();
    let log = options().open_storage(Arc::new(memory.clone())).unwrap();
    (1..=APPENDS).for_each(|n| _ = append(&log, n).unwrap());
    log.close().unwrap();
    drop(log);
    let whole = shelf::files_of(&memory);
    for damaged in 1..=APPENDS {
        let mut files = whole.clone();
        damage_header(&mut files, nth_id(damaged));
        let log = options().open_storage(Arc::new(shelf::shelve(&files))).unwrap();
        let mut unreadable = Vec::new();
        for n in 1..=APPENDS {
            match append(&log, n) {
                Ok(again) => {
                    assert_eq!((again.repeated, again.last_version), (true, n), "{damaged}: {again:?}")
                }
                Err(AppendError::OriginalUnreadable { id, .. }) if id == nth_id(n) => unreadable.push(n),
                Err(error) => panic!("{damaged}: {n}: {error}"),
            }
        }
        // Up to the next frame of which the index knows, one in 64 KiB.
        let beside = damaged..damaged + unreadable.len() as u64;
        assert_eq!(unreadable, beside.clone().collect::<Vec<_>>(), "{damaged}");
        assert!((1..12).contains(&unreadable.len()), "{damaged}: {unreadable:?}");
        assert_eq!(log.stream_version("s"), APPENDS);
        assert_eq!(append(&log, APPENDS + 1).unwrap().last_version, APPENDS + 1, "{damaged}: another one");
    }
}

/// A frame without events holds no id: where its header is damaged, it hides nothing of the append behind it.
#[test]
fn a_damaged_frame_without_events_hides_no_append() {
    let memory = Memory::new();
    let open = |memory: &Memory| layered().open_storage(Arc::new(memory.clone())).unwrap();
    let append = |log: &EventLog, n| {
        log.append("s", ANY, &[NewEvent::new("T", &[1; 50_000]).with_id(nth_id(n))]).map(|done| done.repeated)
    };
    // Each in a segment of its own, which ends with a frame that says that the log was closed.
    for n in 1..=3 {
        let log = open(&memory);
        assert_eq!(append(&log, n), Ok(false));
        log.close().unwrap();
    }
    for ordinal in 1..=2 {
        let mut files = shelf::files_of(&memory);
        let image = files.get_mut(&shelf::segment_name(ordinal)).unwrap();
        // FORMAT.md section 3: its kind is 3.
        let is_it = |at: &usize| image[*at..].starts_with(b"AFrm") && image[at + 4] == 3;
        let at = (4096..60_000).rfind(is_it).unwrap();
        image[at + 16] ^= 8;
        let log = open(&shelf::shelve(&files));
        for n in 1..=3 {
            assert_eq!(append(&log, n), Ok(true), "{ordinal}: {n}");
        }
        assert_eq!(append(&log, 4), Ok(false), "{ordinal}");
    }
}
