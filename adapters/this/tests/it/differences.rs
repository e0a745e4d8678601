//! Where the adapter does not do what the framework's own store does: each difference shown on both.

use crate::common::{cause, created, fill, memory, ours, place, resumes, waits};
use annals_this::{ThisError, ThisLog};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::sync::Arc;
use this::core::events::{EntityEvent, EventEnvelope, FrameworkEvent};
use this::events::SeekPosition::{Beginning, LastAcknowledged, Latest, Sequence};
use this::events::{EventLog, InMemoryEventLog};
use this::prelude::Uuid;

/// "Acknowledge that a consumer has processed up to a sequence number": nobody has processed what is not there.
#[tokio::test]
async fn an_acknowledgement_beyond_the_end_is_refused_and_not_a_hole_to_come() {
    let reference = InMemoryEventLog::new();
    fill(&reference, 5).await;
    reference.ack("a", 9).await.unwrap();
    fill(&reference, 5).await;
    assert_eq!(resumes(&reference, "a").await, 10, "6 to 9 are skipped, and nobody was told");

    ours(async |log| {
        let error = cause(log.ack("a", 1).await.unwrap_err());
        assert_eq!(error, ThisError::BeyondEnd { consumer: "a".to_owned(), seq_no: 1, last: 0 });
        fill(&*log, 5).await;
        log.ack("a", 2).await.unwrap();
        for beyond in [6, 9, u64::MAX] {
            let error = cause(log.ack("a", beyond).await.unwrap_err());
            assert_eq!(error, ThisError::BeyondEnd { consumer: "a".to_owned(), seq_no: beyond, last: 5 });
        }
        assert_eq!(resumes(&*log, "a").await, 3, "the place is as it was");
        log.ack("a", 5).await.unwrap();
        fill(&*log, 1).await;
        assert_eq!(resumes(&*log, "a").await, 6);
    })
    .await;
}

/// "The next `subscribe` with `LastAcknowledged` will use this position", and `Sequence` is to "start from a specific sequence
/// number": so does every other subscription from it.
#[tokio::test]
async fn a_seek_to_a_number_begins_with_that_event() {
    let reference = InMemoryEventLog::new();
    fill(&reference, 5).await;
    reference.seek("a", Sequence(3)).await.unwrap();
    assert_eq!(resumes(&reference, "a").await, 4, "3 is skipped, although nobody has acknowledged it");

    ours(async |log| {
        fill(&*log, 5).await;
        for n in 1..=5 {
            log.seek("a", Sequence(n)).await.unwrap();
            assert_eq!(resumes(&*log, "a").await, n);
            log.seek("a", LastAcknowledged).await.unwrap();
            assert_eq!(resumes(&*log, "a").await, n, "to go where it is changes nothing");
        }
        log.seek("a", Sequence(0)).await.unwrap();
        assert_eq!(resumes(&*log, "a").await, 1);
    })
    .await;
}

/// A seek is a wish and not a claim: it may name an event that is not there yet, which is waited for.
#[tokio::test]
async fn a_seek_beyond_the_end_waits_for_that_event_and_not_for_the_one_behind_it() {
    let reference = InMemoryEventLog::new();
    fill(&reference, 2).await;
    reference.seek("a", Sequence(5)).await.unwrap();
    fill(&reference, 4).await;
    assert_eq!(resumes(&reference, "a").await, 6);

    ours(async |log| {
        fill(&*log, 2).await;
        log.seek("a", Sequence(5)).await.unwrap();
        fill(&*log, 2).await;
        let mut events = log.subscribe("a", LastAcknowledged).await.unwrap();
        assert!(waits(&mut events));
        fill(&*log, 1).await;
        assert_eq!(crate::common::numbers(&mut events, 1).await, [5]);
        for never in [1 << 62, u64::MAX] {
            log.seek("a", Sequence(never)).await.unwrap();
            assert!(waits(&mut log.subscribe("a", LastAcknowledged).await.unwrap()));
        }
        log.ack("a", 4).await.unwrap();
        assert_eq!(resumes(&*log, "a").await, 5, "an acknowledgement brings it back");
    })
    .await;
}

/// A name of the log has at most 2,048 bytes, and `this/consumer/` is in front.
#[tokio::test]
async fn a_consumer_whose_name_is_too_long_is_told_so_by_every_call() {
    let (fits, too_long) = ("c".repeat(2034), "c".repeat(2035));
    let reference = InMemoryEventLog::new();
    fill(&reference, 2).await;
    reference.ack(&too_long, 1).await.unwrap();
    assert_eq!(resumes(&reference, &too_long).await, 2);

    let log = memory();
    fill(&log, 2).await;
    log.ack(&fits, 1).await.unwrap();
    log.seek(&fits, Sequence(2)).await.unwrap();
    assert_eq!(resumes(&log, &fits).await, 2);
    let told = ThisError::NameTooLong { what: "consumer", len: 2035, max: 2034 };
    assert_eq!(cause(log.ack(&too_long, 1).await.unwrap_err()), told);
    for position in [Beginning, Latest, LastAcknowledged, Sequence(1)] {
        assert_eq!(cause(log.seek(&too_long, position.clone()).await.unwrap_err()), told);
        assert_eq!(cause(log.subscribe(&too_long, position).await.err().unwrap()), told);
    }
    assert_eq!(log.consumer_state(&too_long).unwrap_err(), told);
    assert_eq!(log.log().count_kept(""), 1, "nothing was written for it");
}

/// Arrays inside of one another, so many.
fn nested(levels: usize) -> EventEnvelope {
    let data = (0..levels).fold(Value::Null, |inner, _| json!([inner]));
    let (entity_type, entity_id) = ("user".to_owned(), Uuid::new_v4());
    EventEnvelope::new(FrameworkEvent::Entity(EntityEvent::Updated { entity_type, entity_id, data }))
}

/// What could not be read again would end every subscription that comes to it.
#[tokio::test]
async fn data_that_could_not_be_read_again_is_refused() {
    let reference = InMemoryEventLog::new();
    assert_eq!(reference.append(nested(127)).await.unwrap(), 1);

    let log = memory();
    let error = cause(log.append(nested(127)).await.unwrap_err());
    assert_eq!((error, log.last_seq_no().await), (ThisError::TooDeep { max: 126 }, None));
    assert_eq!(log.append(nested(126)).await.unwrap(), 1, "no number was used up");
}

/// There, who waits for an event that cannot come waits for ever. Here, the end of the log is the end of its streams.
#[tokio::test]
async fn a_stream_ends_with_its_log() {
    let reference = InMemoryEventLog::new();
    fill(&reference, 2).await;
    let mut events = reference.subscribe("a", Beginning).await.unwrap();
    drop(reference);
    assert_eq!(crate::common::numbers(&mut events, 2).await, [1, 2]);
    assert!(waits(&mut events));

    let log = memory();
    fill(&log, 2).await;
    let events = log.subscribe("a", Beginning).await.unwrap();
    drop(log);
    let given: Vec<_> = crate::common::soon(events.collect::<Vec<_>>()).await;
    assert_eq!(given.iter().map(|envelope| envelope.seq_no).collect::<Vec<_>>(), [Some(1), Some(2)]);
}

/// What it is for.
#[tokio::test]
async fn a_new_start_finds_the_events_and_the_places() {
    let reference = InMemoryEventLog::new();
    fill(&reference, 2).await;
    drop(reference);
    assert_eq!(InMemoryEventLog::new().last_seq_no().await, None);

    let dir = tempfile::tempdir().unwrap();
    let log = ThisLog::open(dir.path()).unwrap();
    fill(&log, 5).await;
    log.ack("a", 3).await.unwrap();
    log.seek("b", Sequence(5)).await.unwrap();
    drop(log);
    let log: Arc<ThisLog> = Arc::new(ThisLog::open(dir.path()).unwrap());
    assert_eq!((log.last_seq_no().await, place(&log, "a"), place(&log, "b")), (Some(5), Some(3), Some(4)));
    assert_eq!((resumes(&*log, "a").await, resumes(&*log, "b").await, resumes(&*log, "c").await), (4, 5, 1));
    assert_eq!(log.append(created("new")).await.unwrap(), 6);
}
