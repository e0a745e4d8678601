//! Many threads on one log, on a real disk: appends, pipelines and readers at once.

use annals::{EventLog, ExpectedVersion, NewEvent, Options, Pending};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Every thread owns a stream and must see each of its own appends at once; readers must never see a gap, a step back, or half
/// of a batch that went to two streams.
#[test]
fn writers_and_readers_agree_at_every_moment() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().segment_bytes(256 << 10).batch_bytes(32 << 10).open(dir.path()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8u64)
            .map(|thread| {
                let log = &log;
                scope.spawn(move || {
                    let stream = format!("thread-{thread}");
                    for i in 0..150u64 {
                        let payload = vec![thread as u8; (i * 13 % 700) as usize];
                        let event = NewEvent::new("T", &payload);
                        let batch = log
                            .batch()
                            .append(&stream, ExpectedVersion::Exact(2 * i), &[event, event])
                            .append(&format!("mirror-{thread}"), ExpectedVersion::Exact(i), &[event])
                            .commit()
                            .unwrap();
                        assert_eq!(batch.streams[0].last_version, 2 * i + 2);
                        assert_eq!(log.stream_version(&stream), 2 * i + 2, "read your own writes");
                    }
                })
            })
            .collect();
        for reader in 0..2 {
            let (log, done) = (&log, &done);
            scope.spawn(move || {
                let mut seen = 0;
                while !done.load(Ordering::Relaxed) {
                    // The mirror is written by the same batch: whoever sees one half sees the other.
                    let thread = seen % 8;
                    let mirror = log.stream_version(&format!("mirror-{thread}"));
                    let stream = log.fold_stream(&format!("thread-{thread}"), 0, 0, |n, e| {
                        assert_eq!(e.version(), n + 1);
                        n + 1
                    });
                    assert!(stream.unwrap() >= 2 * mirror, "half of a batch");
                    // In either order, also when both are asked for so often that no lock is taken for it.
                    let (both, half) = (format!("thread-{thread}"), format!("mirror-{thread}"));
                    for _ in 0..20 {
                        let early = log.stream_version(&half);
                        assert!(log.stream_version(&both) >= 2 * early, "half of a batch");
                        let early = log.stream_version(&both);
                        assert!(2 * log.stream_version(&half) >= early, "half of a batch");
                    }
                    let before = log.last_position();
                    let events = log.read_all(before.saturating_sub(50)).into_iter();
                    let positions: Vec<u64> = events.map(|e| e.unwrap().position()).collect();
                    assert!(positions.windows(2).all(|pair| pair[1] == pair[0] + 1));
                    assert!(positions.last().copied().unwrap_or(before) >= before, "a step back");
                    seen += 1 + reader;
                }
            });
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(log.last_position(), 8 * 150 * 3);
    log.close().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    assert_eq!(log.last_position(), 8 * 150 * 3);
    assert!(log.recovery().segments > 3);
}

/// However many streams a batch goes to, and though each is asked for all the time: the first and the last that it shows.
#[test]
fn a_batch_over_many_streams_is_seen_at_once() {
    const STREAMS: usize = 300;
    let log = EventLog::in_memory().unwrap();
    let names: Vec<String> = (0..STREAMS).map(|i| format!("s{i}")).collect();
    let changes = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while changes.load(Ordering::Relaxed) < 500 {
                let first = log.stream_version(&names[0]);
                assert!(log.stream_version(&names[STREAMS - 1]) >= first, "half of a batch");
                changes.fetch_add(usize::from(first != last), Ordering::Relaxed);
                last = first;
            }
        });
        // Until the reader has come across many of them.
        for version in (0..).take_while(|_| !reader.is_finished()) {
            let mut batch = log.batch();
            for name in &names {
                batch = batch.append(name, ExpectedVersion::Exact(version), &[NewEvent::new("T", "")]);
            }
            batch.commit().unwrap();
        }
    });
}

#[test]
fn pipelines_through_small_batches_and_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let log = Options::new().segment_bytes(64 << 10).batch_bytes(16 << 10).open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3u64 {
            let log = &log;
            scope.spawn(move || {
                let stream = format!("p{thread}");
                let payload = vec![7; 2000];
                let handles: Vec<_> = (0..600u64)
                    .map(|i| {
                        log.submit(&stream, ExpectedVersion::Exact(i), &[NewEvent::new("T", &payload)])
                            .unwrap()
                    })
                    .collect();
                for (i, handle) in handles.into_iter().enumerate() {
                    assert_eq!(
                        handle.wait().unwrap().last_version,
                        i as u64 + 1,
                        "in the order of submission"
                    );
                }
            });
        }
    });
    assert_eq!(log.last_position(), 1800);
}

/// Exactly one of many who expect the same wins each round, and the losers see the winner when they look again.
#[test]
fn one_of_many_with_the_same_expectation_wins() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let wins: u64 = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8)
            .map(|_| {
                let log = &log;
                scope.spawn(move || {
                    let mut wins = 0;
                    while log.stream_version("race") < 100 {
                        let version = log.stream_version("race");
                        match log.append("race", ExpectedVersion::Exact(version), &[NewEvent::new("T", "x")])
                        {
                            Ok(_) => wins += 1,
                            Err(annals::AppendError::Conflict { actual, .. }) => {
                                assert!(actual > version);
                                assert!(log.stream_version("race") >= actual, "the winner is visible");
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                    wins
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).sum()
    });
    assert_eq!(wins, log.stream_version("race"));
}

/// Handles dropped at once: what was numbered becomes durable all the same.
#[test]
fn letting_go_of_handles_cancels_nothing_that_was_numbered() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    let mut numbered = 0;
    for _ in 0..2000 {
        let handle: Pending<_> = log.submit("s", ExpectedVersion::Any, &[NewEvent::new("T", "x")]).unwrap();
        numbered += u64::from(handle.assigned().is_some());
        drop(handle);
    }
    log.close().unwrap();
    assert_eq!(log.stream_version("s"), numbered);
}
