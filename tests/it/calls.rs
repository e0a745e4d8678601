//! The calls and their contracts: conditions, outcomes, reading from both ends, limits, closing, poison, waiting.

use crate::simdisk::SimDisk;
use annals::{
    AppendError, CloseError, Durability, EventLog, ExpectedVersion, LogState, NewEvent, OpenError, Options,
    Outcome, Pending, PoisonCause, Query, ReadError, ReadMode, Uuid,
};
use proving::{Gated, Hooked};
use std::future::Future;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

const ANY: ExpectedVersion = ExpectedVersion::Any;

fn event() -> NewEvent<'static> {
    NewEvent::new("Tested", "payload")
}

fn inline() -> EventLog {
    Options::new().background(false).open_in_memory().unwrap()
}

#[test]
fn the_table_of_conditions() {
    use ExpectedVersion::{Exact, NoStream, NotRegistered, StreamExists};
    let log = inline();
    log.append("registered", ANY, &[]).unwrap();
    log.append("two", ANY, &[event(), event()]).unwrap();
    let holds = |stream: &str, expected| match log.batch().require(stream, expected).commit() {
        Ok(_) => true,
        Err(AppendError::Conflict { stream: s, expected: e, actual }) => {
            assert_eq!((s.as_str(), e, actual), (stream, expected, log.stream_version(stream)));
            false
        }
        Err(error) => panic!("{error}"),
    };
    let conditions = [ANY, NoStream, Exact(0), StreamExists, NotRegistered, Exact(2), Exact(u64::MAX)];
    let row = |stream| conditions.map(|expected| holds(stream, expected));
    assert_eq!(row("unknown"), [true, true, true, false, true, false, false]);
    assert_eq!(row("registered"), [true, true, true, true, false, false, false]);
    assert_eq!(row("two"), [true, false, false, true, false, true, false]);
    assert_eq!(log.stream_info("unknown"), None, "a check never registers a stream");
    assert_eq!(log.last_position(), 2);
}

#[test]
fn outcomes_tell_versions_positions_time_and_ids() {
    let log = inline();
    let first = log.append("a", ANY, &[event(), event()]).unwrap();
    assert_eq!(
        (first.first_version, first.last_version, first.first_position, first.last_position),
        (1, 2, 1, 2)
    );
    assert_eq!(first.durability, Durability::Synced);
    let empty = log.append("a", ExpectedVersion::Exact(2), &[]).unwrap();
    assert_eq!(
        (empty.first_version, empty.last_version, empty.first_position, empty.last_position),
        (3, 2, 3, 2)
    );
    let id = Uuid::from_u128(77);
    let batch = log
        .batch()
        .append("a", ANY, &[event().with_id(id)])
        .append("b", ExpectedVersion::NoStream, &[event()])
        .append("a", ANY, &[event().with_metadata("why")])
        .commit()
        .unwrap();
    assert_eq!((batch.first_position, batch.last_position), (3, 5));
    let parts: Vec<_> = batch
        .streams
        .iter()
        .map(|s| (&*s.stream, s.first_version, s.last_version, s.first_position))
        .collect();
    assert_eq!(parts, [("a", 3, 3, 3), ("b", 1, 1, 4), ("a", 4, 4, 5)]);
    let events: Vec<_> = log.read_all(0).into_iter().map(Result::unwrap).collect();
    assert_eq!(events[2].id(), id);
    assert_eq!((events[1].id(), events[3].id()), (first.id_at(2), batch.id_at(4)));
    assert_eq!(events[4].metadata(), b"why");
    assert!(events.iter().enumerate().all(|(i, e)| e.position() == i as u64 + 1));
    assert!(
        events
            .windows(2)
            .all(|pair| pair[0].time_nanos() <= pair[1].time_nanos() && pair[0].id() != pair[1].id())
    );
    assert_eq!(events[4].time_nanos(), batch.time_nanos);
    assert_eq!(events[3].time(), batch.time());
    let again: Vec<_> = log.read_all(0).into_iter().map(|e| e.unwrap().id()).collect();
    assert_eq!(again, events.iter().map(|e| e.id()).collect::<Vec<_>>(), "ids are the same at every reading");
}

#[test]
fn bad_input_is_told_and_nothing_is_written() {
    let log = inline();
    let long = "x".repeat(2049);
    let fits = "y".repeat(2048);
    let what = |result: Result<annals::Appended, AppendError>| result.unwrap_err();
    assert!(matches!(what(log.append("", ANY, &[event()])), AppendError::Empty { what: "stream id" }));
    assert!(matches!(
        what(log.append(&long, ANY, &[event()])),
        AppendError::TooLarge { len: 2049, max: 2048, .. }
    ));
    assert!(matches!(
        what(log.append("s", ANY, &[NewEvent::new("", "")])),
        AppendError::Empty { what: "event type" }
    ));
    let long_type = "t".repeat(1025);
    assert!(matches!(
        what(log.append("s", ANY, &[NewEvent::new(&long_type, "")])),
        AppendError::TooLarge { max: 1024, .. }
    ));
    let huge = vec![0; (64 << 20) + 1];
    assert!(matches!(
        what(log.append("s", ANY, &[NewEvent::new("T", &huge)])),
        AppendError::TooLarge { what: "append", .. }
    ));
    assert!(matches!(log.batch().commit().unwrap_err(), AppendError::EmptyBatch));
    let twice = log.batch().append("s", ANY, &[event()]).require("s", ExpectedVersion::NoStream).commit();
    assert_eq!(twice.unwrap_err(), AppendError::ContradictoryConditions { stream: "s".into() });
    let ended = log.batch().tombstone("s", ANY).append("s", ANY, &[event()]).commit();
    assert_eq!(ended.unwrap_err(), AppendError::Gone { stream: "s".into() });
    // The first thing that is wrong is told, whatever comes after it.
    let wrong = log.batch().append("", ANY, &[event()]).append("s", ANY, &[event()]).commit();
    assert!(matches!(wrong.unwrap_err(), AppendError::Empty { .. }));
    assert_eq!((log.last_position(), log.stream_count()), (0, 0));
    // What just fits does, with every byte allowed.
    log.append(&fits, ANY, &[NewEvent::new(&"t".repeat(1024), "")]).unwrap();
    log.append("nul\0/ä\u{10FFFF}", ANY, &[event()]).unwrap();
    assert_eq!(log.stream_version("nul\0/ä\u{10FFFF}"), 1);
}

#[test]
fn an_append_larger_than_batch_and_segment_goes_alone() {
    let options = Options::new().segment_bytes(64 << 10).batch_bytes(4 << 10);
    let dir = tempfile::tempdir().unwrap();
    for mode in [ReadMode::Map, ReadMode::Pread] {
        let log = options.clone().read_mode(mode).open(dir.path()).unwrap();
        let before = log.last_position();
        let huge: Vec<u8> = (0..63 << 20).map(|i: u32| (i >> 7) as u8).collect();
        log.append("s", ANY, &[event()]).unwrap();
        log.append("s", ANY, &[NewEvent::new("Huge", &huge)]).unwrap();
        log.append("s", ANY, &[event()]).unwrap();
        let events: Vec<_> = log.read_all(before).into_iter().map(Result::unwrap).collect();
        assert_eq!(events.iter().map(|e| e.payload().len()).collect::<Vec<_>>(), [7, huge.len(), 7]);
        assert!(events[1].payload() == huge);
        log.close().unwrap();
    }
}

#[test]
fn streams_whose_names_are_prefixes_never_mix() {
    let log = inline();
    for (i, stream) in ["k", "k/0000000000000001", "k/", "k", "k/0000000000000001"].into_iter().enumerate() {
        log.append(stream, ANY, &[NewEvent::new("T", &[i as u8])]).unwrap();
    }
    let payloads = |stream| {
        log.fold_stream(stream, 0, vec![], |mut all, e| {
            assert_eq!(e.stream(), stream);
            all.push(e.payload()[0]);
            all
        })
    };
    assert_eq!(payloads("k").unwrap(), [0, 3]);
    assert_eq!(payloads("k/0000000000000001").unwrap(), [1, 4]);
    assert_eq!(payloads("k/").unwrap(), [2]);
    assert_eq!(log.list_streams("k/", None, 10), ["k/", "k/0000000000000001"]);
    assert_eq!(log.list_streams("", Some("k"), 1), ["k/"]);
    assert_eq!(
        (log.count_streams("k/"), log.count_streams("x"), log.count_streams("")),
        (2, 0, log.stream_count())
    );
    assert_eq!(log.list_streams("", None, 0), Vec::<String>::new());
}

/// Every start, both directions, stream and log, lent and owned, mapped and read: against plain slices of a vector.
#[test]
fn reading_from_any_place_in_both_directions() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [ReadMode::Map, ReadMode::Pread] {
        let log = Options::new().segment_bytes(64 << 10).read_mode(mode).open(dir.path()).unwrap();
        let total = 150;
        if log.last_position() == 0 {
            let mut next = 0u32;
            for append in 0..60u32 {
                let payloads: Vec<_> = (0..1 + append % 4)
                    .map(|i| [&(next + i).to_le_bytes()[..], &vec![7; 1300]].concat())
                    .collect();
                let events: Vec<_> = payloads.iter().map(|p| NewEvent::new("T", p)).collect();
                // Two streams take turns; every append is a run of one to four events.
                log.append(["even", "odd"][(append % 2) as usize], ANY, &events).unwrap();
                next += 1 + append % 4;
            }
        }
        assert_eq!(log.last_position(), total);
        let all: Vec<u64> = (1..=total).collect();
        for place in (0..=total + 2).chain([u64::MAX - 1, u64::MAX]) {
            let forward: Vec<u64> = all.iter().copied().filter(|p| *p > place).collect();
            let mut backward: Vec<u64> = all.iter().copied().filter(|p| *p < place).collect();
            backward.reverse();
            let owned = |cursor: annals::Cursor| {
                cursor.into_iter().map(|e| e.unwrap().position()).collect::<Vec<_>>()
            };
            assert_eq!(owned(log.read_all(place)), forward, "after {place}");
            assert_eq!(owned(log.read_all_backward(place)), backward, "before {place}");
            for stream in ["even", "odd"] {
                let versions: Vec<u64> = (1..=log.stream_version(stream)).collect();
                let mut lent = Vec::new();
                let mut cursor = log.read_stream(stream, place);
                while let Some(event) = cursor.next().unwrap() {
                    lent.push(event.version());
                }
                assert_eq!(lent, versions.iter().copied().filter(|v| *v > place).collect::<Vec<_>>());
                let mut want: Vec<u64> = versions.iter().copied().filter(|v| *v < place).collect();
                want.reverse();
                let mut cursor = log.read_stream_backward(stream, place);
                let mut lent = Vec::new();
                while let Some(event) = cursor.next().unwrap() {
                    assert_eq!(event.stream(), stream);
                    lent.push(event.version());
                }
                assert_eq!(lent, want, "{stream} before {place}");
            }
        }
        for event in log.read_all(0) {
            let event = event.unwrap();
            assert_eq!(
                u32::from_le_bytes(event.payload()[..4].try_into().unwrap()) as u64 + 1,
                event.position()
            );
        }
        // Half lent, half owned: the place is the same.
        let mut cursor = log.read_all(0);
        assert_eq!(cursor.next().unwrap().unwrap().position(), 1);
        assert_eq!(cursor.into_iter().map(|e| e.unwrap().position()).collect::<Vec<_>>(), all[1..]);
        log.close().unwrap();
    }
}

#[test]
fn owned_events_outlive_the_log_and_share_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    log.append("s", ANY, &[NewEvent::new("T", "kept").with_metadata("m")]).unwrap();
    let event = log.read_stream("s", 0).into_iter().next().unwrap().unwrap();
    let payload = event.payload_bytes();
    log.close().unwrap();
    drop(log);
    assert_eq!(
        (event.stream(), event.event_type(), event.metadata(), event.payload()),
        ("s", "T", &b"m"[..], &b"kept"[..])
    );
    drop(event);
    assert_eq!(payload, "kept");
}

#[test]
fn folds_may_use_the_log_and_may_fail() {
    let log = inline();
    log.append("a", ANY, &[event(), event(), event()]).unwrap();
    log.fold_stream("a", 0, (), |(), e| {
        log.append("b", ExpectedVersion::Exact(e.version() - 1), &[event()]).unwrap();
        assert_eq!(log.stream_version("b"), e.version());
    })
    .unwrap();
    #[derive(Debug, PartialEq)]
    struct Enough(u64);
    impl From<ReadError> for Enough {
        fn from(error: ReadError) -> Enough {
            panic!("{error}")
        }
    }
    let result =
        log.try_fold_stream("a", 0, 0, |n, e| if e.version() == 2 { Err(Enough(n)) } else { Ok(n + 1) });
    assert_eq!(result, Err(Enough(1)));
    assert_eq!(log.fold_stream("nobody", 0, 5, |n, _| n + 1).unwrap(), 5);
    assert_eq!(log.fold_stream("a", u64::MAX, 5, |n, _| n + 1).unwrap(), 5);
}

/// However a cursor is read: through sections of one type and of many, in parts, forward and backward, filtered and limited.
#[test]
fn a_fold_gives_what_next_gives() {
    let log = inline();
    for i in 0..12u64 {
        let event = |types: u64| NewEvent::new(["One", "Two"][(i / types % 2) as usize], "payload");
        let own = event(1).with_id(uuid::Uuid::from_u128(u128::from(i) + 1));
        let batch = log.batch().append("s/1", ANY, &[event(1), event(1), event(2), event(3), event(1)]);
        batch.append(&format!("s/{}", i % 3), ANY, &[own, event(4)]).commit().unwrap();
    }
    let queries = [
        Query::everything(),
        Query::everything().of_types(["Two"]),
        Query::prefix("s/1"),
        Query::prefix("s/").of_types(["One"]).after(20).limit(17),
        Query::stream("s/2").backward(),
        Query::everything().after(3).budget(11),
    ];
    let cursors = || {
        let plain = [log.read_all(0), log.read_all(4), log.read_all_backward(50), log.read_stream("s/1", 3)];
        plain.into_iter().chain(queries.iter().map(|query| log.read(query))).collect::<Vec<_>>()
    };
    let told = |event: annals::Event<'_>| {
        (
            event.position(),
            event.version(),
            event.stream().to_owned(),
            event.event_type().to_owned(),
            event.id(),
        )
    };
    for (which, (mut cursor, folded)) in cursors().into_iter().zip(cursors()).enumerate() {
        let mut one_by_one = Vec::new();
        while let Some(event) = cursor.next().unwrap() {
            one_by_one.push(told(event));
        }
        let folded = folded.try_fold(Vec::new(), |mut seen, event| {
            seen.push(told(event));
            Ok::<_, ReadError>(seen)
        });
        assert_eq!(folded.unwrap(), one_by_one, "cursor {which}");
        assert!(one_by_one.len() > 5, "cursor {which} reads next to nothing");
    }
}

#[test]
fn a_tombstoned_stream_is_gone_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    log.append("s", ANY, &[event(), event()]).unwrap();
    log.tombstone("s", ExpectedVersion::Exact(2)).unwrap();
    for log in [log.clone(), {
        log.close().unwrap();
        EventLog::open(dir.path()).unwrap()
    }] {
        let gone = AppendError::Gone { stream: "s".into() };
        if log.status().state == LogState::Open {
            assert_eq!(log.append("s", ANY, &[event()]).unwrap_err(), gone);
            assert_eq!(log.append("s", ANY, &[]).unwrap_err(), gone);
            assert_eq!(log.tombstone("s", ANY).unwrap_err(), gone);
            assert_eq!(log.batch().require("s", ANY).commit().unwrap_err(), gone);
        }
        let mut cursor = log.read_stream("s", 0);
        assert!(matches!(cursor.next(), Err(ReadError::Gone { .. })));
        assert!(matches!(cursor.next(), Ok(None)));
        let info = log.stream_info("s").unwrap();
        assert_eq!((info.version, info.tombstoned), (2, true));
        assert_eq!(log.read_all(0).into_iter().count(), 2, "the log itself keeps its events");
    }
}

#[test]
fn only_one_writer_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    log.append("s", ANY, &[event()]).unwrap();
    assert!(matches!(EventLog::open(dir.path()), Err(OpenError::AlreadyOpen { .. })));
    // Another process meets the same lock: flock(1) tries to take it.
    let taken = std::process::Command::new("flock")
        .args(["--nonblock", "--exclusive"])
        .arg(dir.path())
        .arg("true")
        .status();
    match taken {
        Ok(status) => assert!(!status.success()),
        Err(error) => println!("not checked from another process: no flock command ({error})"),
    }
    // Nothing in the directory can be removed to get around it.
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        assert!(!entry.unwrap().file_name().to_string_lossy().to_lowercase().contains("lock"));
    }
    // Renamed, the directory is the same; in its old place there is room for another log.
    let moved = dir.path().with_extension("moved");
    std::fs::rename(dir.path(), &moved).unwrap();
    assert!(matches!(EventLog::open(&moved), Err(OpenError::AlreadyOpen { .. })));
    std::fs::create_dir(dir.path()).unwrap();
    let other = EventLog::open(dir.path()).unwrap();
    log.append("s", ANY, &[event()]).unwrap();
    assert_eq!((log.last_position(), other.last_position()), (2, 0));
    log.close().unwrap();
    assert_eq!(EventLog::open(&moved).unwrap().last_position(), 2);
    std::fs::remove_dir_all(&moved).unwrap();
}

#[test]
fn a_read_only_open_writes_nothing_and_works_beside_a_writer() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new().idle_witness_after(Duration::from_millis(1));
    let log = options.open(dir.path()).unwrap();
    for _ in 0..10 {
        log.append("s", ANY, &[event()]).unwrap();
    }
    let reader = EventLog::open_read_only(dir.path()).unwrap();
    assert!(reader.last_position() >= 9, "all but perhaps the last batch");
    assert_eq!(reader.append("s", ANY, &[event()]).unwrap_err(), AppendError::ReadOnly);
    assert_eq!(reader.status().state, LogState::ReadOnly);
    assert_eq!(reader.read_all(0).into_iter().filter(Result::is_ok).count() as u64, reader.last_position());
    // The witness bounds the delay.
    let begun = Instant::now();
    while EventLog::open_read_only(dir.path()).unwrap().last_position() < 10 {
        assert!(begun.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(1));
    }
    reader.close().unwrap();
    log.close().unwrap();
    let files = || {
        let mut files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|p| (p.clone(), std::fs::read(p).unwrap())).collect::<Vec<_>>()
    };
    let before = files();
    let reader = EventLog::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.last_position(), 10);
    assert_eq!(reader.read_stream_backward("s", 11).into_iter().count(), 10);
    drop(reader);
    assert!(files() == before);
}

#[test]
fn closing_ends_writing_not_reading_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let clone = log.clone();
    let handles: Vec<_> = (0..100).map(|_| log.submit("s", ANY, &[event()]).unwrap()).collect();
    let mut cursor = log.read_all(0);
    log.close().unwrap();
    clone.close().unwrap();
    for (i, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.wait().unwrap().last_version, i as u64 + 1, "accepted before the close");
    }
    assert_eq!(clone.append("s", ANY, &[event()]).unwrap_err(), AppendError::Closed);
    assert_eq!(clone.submit("s", ANY, &[event()]).unwrap().wait().unwrap_err(), AppendError::Closed);
    assert_eq!(clone.status().state, LogState::Closed);
    let _ = cursor.next().unwrap();
    assert_eq!(clone.read_all(0).into_iter().count(), 100);
    // The directory is free at once, although clones live.
    let again = EventLog::open(dir.path()).unwrap();
    assert_eq!(again.last_position(), 100);
    assert!(again.recovery().closed_cleanly);
    assert_eq!(again.id(), clone.id());
}

#[test]
fn dropping_the_last_handle_closes() {
    let dir = tempfile::tempdir().unwrap();
    let pending = {
        let log = EventLog::open(dir.path()).unwrap();
        log.submit("s", ANY, &[event()]).unwrap()
    };
    assert!(EventLog::open(dir.path()).unwrap().recovery().closed_cleanly);
    assert_eq!(pending.wait().unwrap().last_version, 1);
}

#[test]
fn a_log_of_three_events_is_small() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    for _ in 0..3 {
        log.append("s", ANY, &[event()]).unwrap();
    }
    log.close().unwrap();
    let bytes: u64 =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= 256 << 10, "{bytes} bytes");
}

#[test]
fn options_are_checked() {
    for (options, name) in [
        (Options::new().segment_bytes(1), "segment_bytes"),
        (Options::new().batch_bytes(0), "batch_bytes"),
        (Options::new().append_bytes_max(u64::MAX), "append_bytes_max"),
        (Options::new().idle_witness_after(Duration::ZERO), "idle_witness_after in milliseconds"),
        (
            Options::new().idle_witness_after(Duration::new(1 << 63, 5_000_000)),
            "idle_witness_after in milliseconds",
        ),
    ] {
        assert!(
            matches!(options.open_in_memory(), Err(OpenError::InvalidOption { option, .. }) if option == name)
        );
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll<T>(future: Pin<&mut impl Future<Output = T>>, waker: &Arc<Count>) -> Poll<T> {
    future.poll(&mut Context::from_waker(&Waker::from(waker.clone())))
}

/// There is nothing to wait for, so nobody is made to: no thread is woken for an append, and none for its answer. Only other
/// tasks get their turn once, or one that appends in a loop would keep its thread from them.
#[test]
fn memory_commits_at_once_what_is_submitted() {
    // No witness of an idle log may come between.
    let log = Options::new().idle_witness_after(Duration::from_secs(10)).open_in_memory().unwrap();
    let waker = Arc::new(Count::default());
    for version in 1..100 {
        let mut pending = log.submit("s", ExpectedVersion::Exact(version - 1), &[event()]).unwrap();
        assert!(pending.is_done());
        assert_eq!(log.stream_version("s"), version);
        assert!(poll(pin!(&mut pending), &waker).is_pending());
        assert_eq!(waker.0.load(Ordering::SeqCst), version as usize);
        assert!(poll(pin!(&mut pending), &waker).is_ready());
    }
}

/// On an executor with one thread, polling must never block: here nobody commits until the end, and every poll returns.
#[test]
fn a_full_batch_leaves_handles_pending_in_order() {
    let log = Options::new().background(false).batch_bytes(4 << 10).open_in_memory().unwrap();
    let payload = vec![1; 1500];
    let big = NewEvent::new("T", &payload);
    let waker = Arc::new(Count::default());
    let mut handles: Vec<Pending<annals::Appended>> =
        (0..8).map(|i| log.submit("s", ExpectedVersion::Exact(i), &[big]).unwrap()).collect();
    // Two fit; the rest wait, even one that is small enough to fit.
    assert!(handles[1].assigned().is_some() && handles[2].assigned().is_none());
    handles.push(log.submit("s", ExpectedVersion::Exact(8), &[]).unwrap());
    assert_eq!(log.try_submit("s", ANY, &[event()]).unwrap_err(), AppendError::Full);
    for handle in &mut handles {
        assert!(poll(pin!(handle), &waker).is_pending());
    }
    assert_eq!(log.last_position(), 0);
    // One that is dropped before it was numbered leaves no trace.
    drop(handles.remove(7));
    // A blocking call drives them all.
    log.append("t", ANY, &[event()]).unwrap();
    log.close().unwrap();
    assert!(waker.0.load(Ordering::SeqCst) >= 7);
    for (i, handle) in handles.iter_mut().enumerate() {
        match poll(pin!(handle), &waker) {
            Poll::Ready(Ok(done)) => assert_eq!(done.last_version, i as u64 + 1),
            // It expected the one that was withdrawn before it.
            Poll::Ready(Err(AppendError::Conflict { actual: 7, .. })) => assert_eq!(i, 7),
            other => panic!("{i}: {other:?}"),
        }
    }
}

#[test]
fn handles_can_be_awaited_from_threads_and_are_send() {
    fn is_send<T: Send + 'static>(_: &T) {}
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let handle = log.submit("s", ANY, &[event()]).unwrap();
    is_send(&handle);
    is_send(&log);
    let waker = Arc::new(Count::default());
    let mut handle = pin!(handle);
    let begun = Instant::now();
    let done = loop {
        match poll(handle.as_mut(), &waker) {
            Poll::Ready(done) => break done.unwrap(),
            Poll::Pending => {
                assert!(begun.elapsed() < Duration::from_secs(10));
                std::thread::yield_now();
            }
        }
    };
    assert_eq!((done.last_version, log.stream_version("s")), (1, 1), "awaited means visible");
}

#[test]
fn durability_levels_are_reached_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    for level in [Durability::Sequenced, Durability::Written, Durability::Synced] {
        let done = log.batch().append("s", ANY, &[event()]).durability(level).commit().unwrap();
        assert!(done.durability >= level, "{level:?}");
    }
    assert_eq!(log.last_position(), 3, "a synced append makes those before it durable, too");
}

#[test]
fn a_failed_sync_poisons_and_reading_goes_on() {
    let disk = SimDisk::new(9);
    let options = Options::new().background(false);
    let log = options.open_storage(Arc::new(disk.clone())).unwrap();
    log.append("s", ANY, &[event()]).unwrap();
    disk.fail_op(disk.ops() + 1, ErrorKind::Other);
    let after: Vec<_> = (0..2).map(|_| log.submit("s", ANY, &[event()]).unwrap()).collect();
    for handle in after {
        let Err(AppendError::Poisoned { cause: PoisonCause::Io(fault), outcome }) = handle.wait() else {
            panic!()
        };
        assert_eq!((fault.operation, outcome), ("sync", Outcome::Unknown));
    }
    let ops = disk.ops();
    let later = log.append("s", ANY, &[event()]).unwrap_err();
    assert!(matches!(later, AppendError::Poisoned { outcome: Outcome::NotWritten, .. }), "{later}");
    assert!(matches!(log.status().state, LogState::Poisoned(_)));
    assert_eq!((log.last_position(), log.read_all(0).into_iter().count()), (1, 1));
    assert!(matches!(log.close(), Err(CloseError::Poisoned(_))));
    drop(log);
    assert_eq!(disk.ops(), ops, "nothing is written or synced any more, not by the close either");
    assert!(options.open_storage(Arc::new(disk)).is_ok(), "and the lock is free");
}

/// With its threads: whoever waits when the disk fails is told, at once, whatever way it waits.
#[test]
fn nobody_hangs_when_the_disk_fails() {
    for round in 0..20 {
        let disk = SimDisk::new(round);
        let log = Options::new().batch_bytes(4 << 10).open_storage(Arc::new(disk.clone())).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let log = &log;
                scope.spawn(move || {
                    let payload = vec![0; 1000];
                    loop {
                        let event = NewEvent::new("T", &payload);
                        let stream = format!("s{thread}");
                        let result = match thread % 2 {
                            0 => log.append(&stream, ANY, &[event]),
                            _ => log.submit(&stream, ANY, &[event]).and_then(Pending::wait),
                        };
                        match result {
                            Ok(_) => {}
                            Err(AppendError::Poisoned { .. } | AppendError::SegmentUnavailable(_)) => break,
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(5));
            disk.fail_op(disk.ops() + round % 5, ErrorKind::Other);
            // Chores may have taken the failure; the power going takes what is left.
            std::thread::sleep(Duration::from_millis(5));
            disk.power_off();
        });
        let _ = log.close();
        assert_eq!(log.status().state, LogState::Closed);
    }
}

/// Holds the last handle of a log until it is woken or dropped.
struct Holds(Mutex<Option<EventLog>>);

impl Wake for Holds {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

fn holding(log: EventLog) -> Waker {
    Waker::from(Arc::new(Holds(Mutex::new(Some(log)))))
}

/// Runs something that must not wait for ever.
fn ends(what: &str, run: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        run();
        done.send(()).unwrap();
    });
    assert!(ended.recv_timeout(Duration::from_secs(20)).is_ok(), "{what} hangs, or has failed");
}

/// A waker is user code wherever it is cloned, dropped or woken: it may hold the last handle.
#[test]
fn a_waker_may_hold_the_last_handle() {
    let log =
        || Options::new().background(false).batch_bytes(4 << 10).open_storage(Arc::new(Gated::default()));
    for woken in [true, false] {
        ends("an append that wakes it", move || {
            let log = log().unwrap();
            let mut first = log.submit("s", ANY, &[event()]).unwrap();
            let second = log.submit("s", ANY, &[event()]).unwrap();
            assert!(Pin::new(&mut first).poll(&mut Context::from_waker(&holding(log))).is_pending());
            if woken {
                // Drives, and so wakes.
                second.wait().unwrap();
            }
        });
    }
    for by_drop in [true, false] {
        ends("a handle in the queue", move || {
            let log = log().unwrap();
            let large = [1; 3000];
            let _first = log.submit("s", ANY, &[NewEvent::new("T", &large)]).unwrap();
            let mut queued = log.submit("s", ANY, &[NewEvent::new("T", &large)]).unwrap();
            assert!(queued.assigned().is_none());
            assert!(Pin::new(&mut queued).poll(&mut Context::from_waker(&holding(log))).is_pending());
            if by_drop {
                drop(queued);
            } else {
                let _ = Pin::new(&mut queued).poll(&mut Context::from_waker(Waker::noop()));
            }
        });
    }
}

/// Whoever closes: with the call over, the directory is free.
#[test]
fn to_close_at_the_same_time_frees_the_directory_for_all() {
    let gated = Gated::default();
    for _ in 0..200 {
        let log = Options::new().open_storage(Arc::new(gated.clone())).unwrap();
        log.append("s", ANY, &[event()]).unwrap();
        let both = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                both.wait();
                log.close().unwrap();
            });
            both.wait();
            log.close().unwrap();
            Options::new().open_storage(Arc::new(gated.clone())).unwrap().close().unwrap();
        });
    }
}

/// A storage that panics takes the log with it, and nobody else.
#[test]
fn a_storage_that_panics_keeps_nobody() {
    // In what comes last, and in what is needed for a value that was set lazily.
    for (at, lazy) in [("create checkpoint.tmp", 0), ("allocate spare.tmp", 200 << 10)] {
        ends("a close", move || {
            let panics = Arc::new(AtomicBool::new(false));
            let hooked = {
                let panics = panics.clone();
                Hooked::new(move |operation, name| {
                    let is_it = panics.load(Ordering::SeqCst) && at == format!("{operation} {name}");
                    assert!(!is_it, "as told");
                    Ok(())
                })
            };
            let log = Options::new().background(false).open_storage(Arc::new(hooked)).unwrap();
            log.append("s", ANY, &[event()]).unwrap();
            log.keep_lazily("k", vec![1; lazy]).unwrap();
            panics.store(true, Ordering::SeqCst);
            let closed = log.close();
            assert!(matches!(closed, Err(CloseError::Poisoned(PoisonCause::Panic))), "{at}: {closed:?}");
            assert_eq!(log.close(), closed);
        });
    }
}
