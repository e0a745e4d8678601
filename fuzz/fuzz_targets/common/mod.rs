//! What the fuzz targets share: the second opinion on the format, and what must hold of any log that opens.
//!
//! Owns no knowledge of the format; that is `scribe`, written from FORMAT.md alone.

#![allow(dead_code, unused_imports)] // each target uses its part

#[path = "../../../tests/it/scribe/mod.rs"]
pub mod scribe;
#[path = "../../../tests/it/shelf.rs"]
pub mod shelf;

use annals::storage::Memory;
use annals::{EventLog, ExpectedVersion, NewEvent, OpenError, ReadError};
use scribe::Log;
use shelf::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// More events than any input has: an endless cursor is found out here.
const MOST: usize = 1 << 20;

/// Reads a log in every way there is. All must show the same, and what is shown must be what the second opinion says.
pub fn check_log(log: &EventLog, opinion: Option<&Log>) -> Vec<Shown> {
    let (forward, error) = drain(log.read_all(0), MOST);
    let owned = drain_owned(log.read_all(0), MOST);
    assert_eq!((&owned.0, &owned.1), (&forward, &error), "lent and owned");
    assert!(forward.windows(2).all(|pair| pair[0].position < pair[1].position));
    let (mut backward, back_error) = drain(log.read_all_backward(u64::MAX), MOST);
    backward.reverse();
    // Damage ends a forward read behind what is right, and a backward read before it.
    match (&error, &back_error) {
        (None, None) => assert_eq!(backward, forward, "backward"),
        (Some(ReadError::Truncated { .. }), None) => {}
        _ => assert!(back_error.is_some() == error.is_some(), "{error:?}, backward {back_error:?}"),
    }
    let mut by_stream: BTreeMap<&str, Vec<&Shown>> = BTreeMap::new();
    for event in &forward {
        by_stream.entry(&event.stream).or_default().push(event);
    }
    let ids = log.list_streams("", None, usize::MAX);
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "byte order");
    assert_eq!(log.stream_count(), ids.len() as u64);
    for id in &ids {
        let info = log.stream_info(id).expect("a stream that is listed");
        assert_eq!((&info.id, info.version), (id, log.stream_version(id)));
        let (events, stream_error) = drain(log.read_stream(id, 0), MOST);
        let (mut back, back_error) = drain(log.read_stream_backward(id, u64::MAX), MOST);
        back.reverse();
        assert!(events.iter().chain(&back).all(|event| event.stream == *id && event.version <= info.version));
        if stream_error.is_none() {
            assert!(back_error.is_none() && back == events, "{id}: {back_error:?}");
        }
        if error.is_none() && stream_error.is_none() {
            let here = by_stream.remove(&**id).unwrap_or_default();
            let kept = here.into_iter().filter(|event| event.version >= info.first_version);
            assert!(kept.eq(&events), "{id}: by stream and by position");
        }
        let folded = log.fold_stream(id, 0, 0, |count, _| count + 1);
        assert_eq!(folded.ok(), stream_error.is_none().then_some(events.len()), "fold of {id}");
    }
    if let Some(opinion) = opinion {
        check_opinion(log, opinion, &forward, error.as_ref());
    }
    forward
}

/// The reader that was written from FORMAT.md alone must have come to the same events and streams.
fn check_opinion(log: &EventLog, opinion: &Log, forward: &[Shown], error: Option<&ReadError>) {
    let (standing, damaged) = opinion.events();
    // A `log-starts-at` hides what lies before it.
    if opinion.starts_at.is_none() {
        let same = standing.iter().zip(forward).all(|(want, found)| {
            let event = want.event;
            (want.position, want.stream, want.version, want.time)
                == (found.position, &*found.stream, found.version, found.time)
                && opinion.id_of(want) == found.id
                && event.event_type == found.event_type
                && event.metadata == found.metadata
                && event.payload == found.payload
        });
        assert!(same, "{standing:?}\nbut shown is\n{forward:?}");
        let unknown_attributes = matches!(error, Some(ReadError::Corrupt(_)))
            && standing.get(forward.len()).is_some_and(|next| next.event.attributes.is_some());
        if !damaged && !unknown_attributes {
            assert_eq!((forward.len(), error), (standing.len(), None));
        }
    }
    let ids: Vec<_> = opinion.streams.keys().cloned().collect();
    assert_eq!(log.list_streams("", None, usize::MAX), ids);
    for (id, stream) in &opinion.streams {
        let info = log.stream_info(id).expect("a stream that is listed");
        assert_eq!((info.version, info.tombstoned), (stream.version, stream.tombstoned), "{id}");
        assert_eq!(info.tenant.as_deref().unwrap_or_default(), stream.tenant, "tenant of {id}");
        assert_eq!((info.created_nanos, info.last_append_nanos), (stream.created, stream.last_append), "{id}");
        assert_eq!(info.attributes, stream.attributes, "{id}");
        assert_eq!((info.first_version, info.creation_ordinal), (stream.first_kept, stream.creation_ordinal), "{id}");
    }
}

/// Opens a directory to be read: it shows what is proven to be durable, and changes nothing.
pub fn check_read_only(files: &Files, opinion: &Log) {
    let memory = shelve(files);
    let log = options().open_storage_read_only(Arc::new(memory.clone())).expect("what can be written can be read");
    let (shown, error) = drain(log.read_all(0), MOST);
    let proven = opinion.first_unproven();
    let mut want = opinion.events().0.into_iter().filter(|event| event.position < proven);
    if opinion.starts_at.is_none() {
        let same = shown.iter().all(|event| want.next().is_some_and(|want| want.position == event.position));
        assert!(same && (error.is_some() || want.next().is_none()), "read-only: {shown:?}, proven up to {proven}");
    }
    assert!(log.append("a", ExpectedVersion::Any, &[]).is_err());
    log.close().expect("nothing to do");
    assert!(files_of(&memory) == *files, "a read-only open wrote");
}

/// Appends to a log that opened, closes it, and opens it again: everything is still there, and the new event.
pub fn go_on(memory: &Memory, log: &EventLog, before: &[Shown]) {
    let appended = log.append("new", ExpectedVersion::Any, &[NewEvent::new("T", "new")]);
    log.close().expect("memory does not fail");
    let again = open(memory).expect("a log that was closed");
    assert!(again.recovery().closed_cleanly && again.recovery().torn_tail.is_none());
    let (after, _) = drain(again.read_all(0), MOST);
    assert!(after.starts_with(before), "events are gone after a close");
    if let Ok(appended) = appended {
        assert_eq!(again.last_position(), appended.last_position);
        assert_eq!(again.stream_version("new"), appended.last_version);
    }
}

/// Opens a directory; if it does not open, it must be as it was, and say the same again.
pub fn open_or_untouched(files: &Files) -> Result<(Memory, EventLog), OpenError> {
    let memory = shelve(files);
    match open(&memory) {
        Ok(log) => Ok((memory, log)),
        Err(error) => {
            assert!(files_of(&memory) == *files, "changed by an open that failed: {error}");
            assert_eq!(open(&memory).expect_err("refused once"), error);
            Err(error)
        }
    }
}
