//! How things end: logs that are closed, poisoned, read only, and events that were removed.

use crate::common::{
    Traces, cause, created, fill, first, memory, next, numbers, place, rest, resumes, soon, waits,
};
use annals::{AppendError, ExpectedVersion, Options, ReadError};
use annals_this::{ThisError, ThisLog};
use futures_util::StreamExt;
use proving::FaultyDisk;
use std::sync::Arc;
use this::events::EventLog;
use this::events::SeekPosition::{Beginning, LastAcknowledged, Latest, Sequence};

#[tokio::test]
async fn closing_gives_every_stream_the_rest_and_then_its_end() {
    let log = memory();
    let behind = log.subscribe("a", Beginning).await.unwrap();
    let beyond = log.subscribe("a", Sequence(9)).await.unwrap();
    let mut waiting = log.subscribe("a", Latest).await.unwrap();
    assert!(waits(&mut waiting));
    let waiting = tokio::spawn(rest(waiting));
    tokio::task::yield_now().await;
    fill(&log, 3).await;
    let traces = Traces::default();
    let collecting = traces.collect();
    log.log().close().unwrap();
    assert_eq!(waiting.await.unwrap(), [1, 2, 3]);
    assert_eq!((rest(behind).await, rest(beyond).await), (vec![1, 2, 3], vec![]));
    drop(collecting);
    assert_eq!(traces.text(), "", "that is no fault");
}

#[tokio::test]
async fn a_closed_log_says_so_and_can_be_read() {
    for durable in [false, true] {
        let log = memory().durable_acks(durable);
        fill(&log, 3).await;
        log.ack("a", 1).await.unwrap();
        log.log().close().unwrap();
        let closed = ThisError::Append(AppendError::Closed);
        assert_eq!(cause(log.append(created("user")).await.unwrap_err()), closed);
        assert_eq!(cause(log.ack("a", 2).await.unwrap_err()), closed);
        assert_eq!(cause(log.seek("a", Beginning).await.unwrap_err()), closed);
        assert_eq!((log.last_seq_no().await, place(&log, "a")), (Some(3), Some(1)));
        assert_eq!(rest(log.subscribe("a", LastAcknowledged).await.unwrap()).await, [2, 3]);
    }
}

#[tokio::test]
async fn a_log_that_is_open_read_only_gives_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let log = ThisLog::open(dir.path()).unwrap();
    fill(&log, 3).await;
    log.ack("a", 1).await.unwrap();
    log.log().close().unwrap();
    let log = ThisLog::new(annals::EventLog::open_read_only(dir.path()).unwrap());
    let read_only = ThisError::Append(AppendError::ReadOnly);
    assert_eq!(cause(log.append(created("user")).await.unwrap_err()), read_only);
    assert_eq!(cause(log.ack("a", 2).await.unwrap_err()), read_only);
    assert_eq!(cause(log.seek("a", Latest).await.unwrap_err()), read_only);
    assert_eq!(rest(log.subscribe("a", LastAcknowledged).await.unwrap()).await, [2, 3]);
}

/// Old events were removed on purpose: the beginning is what is there; who has not seen them all is told.
#[tokio::test]
async fn removed_events_are_told_and_not_passed_over() {
    let log = memory();
    fill(&log, 5).await;
    for (consumer, n) in [("behind", 1), ("just there", 2), ("ahead", 4)] {
        log.ack(consumer, n).await.unwrap();
    }
    let mut before = log.subscribe("a", Beginning).await.unwrap();
    log.log().truncate_before("this/events", 3, ExpectedVersion::Any).unwrap();

    for position in [Beginning, Sequence(0), Sequence(1), LastAcknowledged, Sequence(3)] {
        assert_eq!(first(&log, "new", position, 3).await, [3, 4, 5]);
    }
    assert_eq!((resumes(&log, "just there").await, resumes(&log, "ahead").await), (3, 5));
    let told = ThisError::Read(ReadError::Truncated { first: 3 });
    assert_eq!(cause(log.subscribe("new", Sequence(2)).await.err().unwrap()), told);
    assert_eq!(cause(log.subscribe("behind", LastAcknowledged).await.err().unwrap()), told);
    log.seek("behind", Beginning).await.unwrap();
    assert_eq!(resumes(&log, "behind").await, 3, "a seek mends it");

    let traces = Traces::default();
    let collecting = traces.collect();
    assert!(soon(before.next()).await.is_none(), "a stream from before cannot go on");
    drop(collecting);
    assert!(traces.text().contains("last_given=0 error=events before 3 were removed"), "{}", traces.text());

    // All of them: the numbers go on.
    log.log().truncate_before("this/events", 6, ExpectedVersion::Any).unwrap();
    let mut empty = log.subscribe("new", Beginning).await.unwrap();
    assert!(waits(&mut empty) && waits(&mut log.subscribe("new", Latest).await.unwrap()));
    assert_eq!(log.append(created("user")).await.unwrap(), 6);
    assert_eq!(numbers(&mut empty, 1).await, [6]);
}

#[tokio::test]
async fn a_stream_that_was_ended_for_good_says_so() {
    let log = memory();
    fill(&log, 2).await;
    log.log().tombstone("this/events", ExpectedVersion::Any).unwrap();
    let gone =
        |error| matches!(error, ThisError::Append(AppendError::Gone { stream }) if stream == "this/events");
    assert!(gone(cause(log.append(created("user")).await.unwrap_err())));
    let traces = Traces::default();
    let collecting = traces.collect();
    assert_eq!(rest(log.subscribe("a", Beginning).await.unwrap()).await, [0; 0]);
    drop(collecting);
    assert!(traces.text().contains("it was tombstoned"), "{}", traces.text());
}

/// More than an append may have.
#[tokio::test]
async fn an_event_that_is_too_large_is_refused_and_the_log_goes_on() {
    let options = Options::new().append_bytes_max(64 << 10);
    let log = ThisLog::new(options.open_in_memory().unwrap());
    let large = created(&"x".repeat(70 << 10));
    let error = cause(log.append(large).await.unwrap_err());
    assert!(matches!(error, ThisError::Append(AppendError::TooLarge { .. })), "{error}");
    assert_eq!(log.append(created("user")).await.unwrap(), 1);
}

/// A failed sync is final: everybody is told, what is there can be read, and streams end instead of waiting for ever.
#[tokio::test]
async fn a_poisoned_log_tells_everybody() {
    let disk = FaultyDisk::default();
    let log = ThisLog::new(Options::new().open_storage(Arc::new(disk.clone())).unwrap());
    fill(&log, 2).await;
    let mut events = log.subscribe("a", Beginning).await.unwrap();
    assert_eq!(numbers(&mut events, 2).await, [1, 2]);
    assert!(waits(&mut events));

    disk.set_broken(true);
    let poisoned = |error| matches!(cause(error), ThisError::Append(AppendError::Poisoned { .. }));
    assert!(poisoned(log.append(created("user")).await.unwrap_err()));
    assert!(poisoned(log.ack("a", 1).await.unwrap_err()));
    assert!(poisoned(log.seek("a", Latest).await.unwrap_err()));
    assert_eq!(log.last_seq_no().await, Some(2));

    let traces = Traces::default();
    let collecting = traces.collect();
    assert!(soon(events.next()).await.is_none());
    let mut again = log.subscribe("b", Sequence(2)).await.unwrap();
    assert_eq!(next(&mut again).await.seq_no, Some(2));
    assert!(soon(again.next()).await.is_none());
    drop(collecting);
    let said = traces.text();
    assert_eq!(said.matches("last_given=2 error=no more events can come").count(), 2, "{said}");
}

/// A byte of an event has changed on the disk.
#[tokio::test]
async fn a_damaged_event_ends_the_stream_and_is_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let log = ThisLog::open(dir.path()).unwrap();
    for kind in ["first", "to be damaged", "last"] {
        log.append(created(kind)).await.unwrap();
    }
    log.log().close().unwrap();
    let log = ThisLog::open(dir.path()).unwrap();
    // Behind recovery, which would have told: the file itself, under the log's mapping.
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let place = bytes.windows(13).position(|window| window == b"to be damaged");
        if let Some(place) = place {
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, b"T", place as u64).unwrap();
        }
    }
    let traces = Traces::default();
    let collecting = traces.collect();
    assert_eq!(rest(log.subscribe("a", Beginning).await.unwrap()).await, [1]);
    drop(collecting);
    let said = traces.text();
    assert!(said.contains("last_given=1 error=corrupt at segment 1"), "{said}");
    assert_eq!(first(&log, "a", Sequence(3), 1).await, [3], "what stands behind it can be read");
}
