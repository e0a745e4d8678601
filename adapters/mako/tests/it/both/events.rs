//! Streams of events: appending, loading, folding, conflicts.

use super::make::{event, events, json_of, numbers, stream};
use super::mako::error::{EngineError, WorkflowError};
use super::mako::event_store::{EventStore, ExpectedVersion, InMemoryEventStore};
use super::{Store, append};
use crate::shelf::{fresh, in_memory};
use annals_mako::MakoStore;
use serde_json::json;
use std::sync::Arc;

const NEW: ExpectedVersion = ExpectedVersion::NoStream;

agree!(InMemoryEventStore::new();
    what_was_appended_is_loaded,
    the_store_stamps_what_it_appends,
    a_conflict_says_what_is_there,
    any_version_is_any_version,
    a_stream_that_nobody_knows_is_empty,
    loading_starts_behind_a_number,
    folding_is_loading_without_the_list,
    the_error_of_a_fold_is_its_own,
    nothing_can_be_appended_and_makes_a_stream,
    an_arc_of_a_store_is_a_store,
    the_order_of_a_stream_is_that_of_its_appends,
    one_of_two_that_expect_the_same_wins,
);

async fn what_was_appended_is_loaded<S: Store>(store: &S) {
    let id = stream("process/ä/1");
    let payloads = [
        json!({ "text": "ä\u{0}\"\\/ \u{1F600}", "empty": {}, "list": [1, -1, null, true] }),
        json!([0.1, 1e-7, 123_456_789.123_456_79, 4.35, 1e23, -0.0, 5e-324, f64::MAX, u64::MAX, i64::MIN]),
        json!("a text"),
        json!(null),
    ];
    let new: Vec<_> = payloads.iter().map(|payload| event("Received", payload.clone())).collect();
    let written = append(store, &id, NEW, &new).await.unwrap();
    assert_eq!((written.last_sequence, numbers(&written.events)), (4, vec![1, 2, 3, 4]));
    let loaded = store.load(&id).await.unwrap();
    assert_eq!(json_of(&loaded), json_of(&written.events), "to the last digit and nanosecond");
    for ((loaded, new), payload) in loaded.iter().zip(&new).zip(&payloads) {
        assert_eq!(&loaded.payload, payload);
        assert_eq!((&*loaded.event_type, loaded.schema_version), ("Received", 3));
        assert_eq!(loaded.causation_id, new.causation_id);
        assert_eq!(loaded.correlation_id, new.correlation_id);
        assert_eq!((loaded.conversation_id, loaded.process_id), (new.conversation_id, new.process_id));
        assert_eq!((loaded.tenant_id, &loaded.workflow_id), (new.tenant_id, &new.workflow_id));
    }
}

async fn the_store_stamps_what_it_appends<S: Store>(store: &S) {
    let id = stream("s");
    let before = time::OffsetDateTime::now_utc();
    let first = append(store, &id, NEW, &events(2)).await.unwrap().events;
    let second = append(store, &id, ExpectedVersion::Exact(2), &events(1)).await.unwrap().events;
    assert!(first[0].timestamp >= before && second[0].timestamp >= first[0].timestamp);
    assert_eq!(first[0].timestamp, first[1].timestamp, "one time for one append");
    assert!(first[0].event_id != first[1].event_id && first[0].event_id != second[0].event_id);
    assert_eq!(first[0].event_id.as_uuid().get_version_num(), 4);
    assert!(first.iter().chain(&second).all(|event| event.stream_id == id));
    assert_eq!(second[0].sequence_number, 3);
}

/// What a conflict says, if it is one.
fn conflict<T: std::fmt::Debug>(result: Result<T, EngineError>) -> (u64, u64) {
    match result {
        Err(EngineError::VersionConflict { expected, actual }) => (expected, actual),
        other => panic!("{other:?}"),
    }
}

async fn a_conflict_says_what_is_there<S: Store>(store: &S) {
    let id = stream("s");
    assert_eq!(conflict(append(store, &id, ExpectedVersion::Exact(1), &events(1)).await), (1, 0));
    append(store, &id, ExpectedVersion::Exact(0), &events(3)).await.unwrap();
    for (expected, told) in [
        (NEW, 0),
        (ExpectedVersion::Exact(0), 0),
        (ExpectedVersion::Exact(2), 2),
        (ExpectedVersion::Exact(4), 4),
        (ExpectedVersion::Exact(u64::MAX), u64::MAX),
    ] {
        assert_eq!(conflict(append(store, &id, expected, &events(1)).await), (told, 3));
        assert_eq!(conflict(append(store, &id, expected, &[]).await), (told, 3), "also without events");
    }
    assert_eq!(store.stream_version(&id).await.unwrap(), 3);
    append(store, &id, ExpectedVersion::Exact(3), &events(1)).await.unwrap();
}

async fn any_version_is_any_version<S: Store>(store: &S) {
    let id = stream("s");
    for last in 1..=3 {
        let written = append(store, &id, ExpectedVersion::Any, &events(1)).await.unwrap();
        assert_eq!((written.last_sequence, numbers(&written.events)), (last, vec![last]));
    }
}

async fn a_stream_that_nobody_knows_is_empty<S: Store>(store: &S) {
    let id = stream("unknown");
    assert!(store.load(&id).await.unwrap().is_empty());
    assert!(store.load_from(&id, 7).await.unwrap().is_empty());
    assert_eq!(store.stream_version(&id).await.unwrap(), 0);
    assert_eq!(store.fold_stream(&id, 0, 5, |n, _| Ok(n + 1)).await.unwrap(), 5);
    assert!(store.list_streams(None).await.unwrap().is_empty());
}

async fn loading_starts_behind_a_number<S: Store>(store: &S) {
    let id = stream("s");
    append(store, &id, NEW, &events(5)).await.unwrap();
    for (from, wanted) in
        [(0, vec![1, 2, 3, 4, 5]), (3, vec![4, 5]), (5, vec![]), (6, vec![]), (u64::MAX, vec![])]
    {
        assert_eq!(numbers(&store.load_from(&id, from).await.unwrap()), wanted);
        let folded = store.fold_stream(&id, from, Vec::new(), |mut all, event| {
            all.push(event);
            Ok(all)
        });
        assert_eq!(numbers(&folded.await.unwrap()), wanted);
    }
    assert_eq!(store.stream_version(&id).await.unwrap(), 5);
}

async fn folding_is_loading_without_the_list<S: Store>(store: &S) {
    let id = stream("s");
    append(store, &id, NEW, &events(600)).await.unwrap();
    let sum = |sum: u64, event: super::mako::envelope::EventEnvelope| {
        Ok(sum + event.payload["n"].as_u64().unwrap_or_default())
    };
    assert_eq!(store.fold_stream(&id, 0, 0, sum).await.unwrap(), 600 * 601 / 2);
    assert_eq!(store.fold_stream(&id, 599, 0, sum).await.unwrap(), 600);
}

async fn the_error_of_a_fold_is_its_own<S: Store>(store: &S) {
    let id = stream("s");
    append(store, &id, NEW, &events(4)).await.unwrap();
    let mut seen = 0;
    let refused = store.fold_stream(&id, 0, (), |(), event| {
        seen += 1;
        match event.sequence_number {
            3 => Err(WorkflowError::rejected("three").into()),
            _ => Ok(()),
        }
    });
    let refused = refused.await.unwrap_err();
    assert!(
        matches!(refused, EngineError::Workflow(WorkflowError::CommandRejected { reason }) if reason == "three")
    );
    assert_eq!(seen, 3, "and it is the end");
}

async fn nothing_can_be_appended_and_makes_a_stream<S: Store>(store: &S) {
    let id = stream("empty");
    let written = append(store, &id, NEW, &[]).await.unwrap();
    assert_eq!((written.last_sequence, written.events.len()), (0, 0));
    assert_eq!(store.stream_version(&id).await.unwrap(), 0);
    assert_eq!(store.list_streams(None).await.unwrap(), [id.clone()]);
    append(store, &id, NEW, &[]).await.unwrap();
    append(store, &id, NEW, &events(2)).await.unwrap();
    assert_eq!(append(store, &id, ExpectedVersion::Any, &[]).await.unwrap().last_sequence, 2);
}

async fn an_arc_of_a_store_is_a_store<S: Store + Clone>(store: &S) {
    let (id, shared) = (stream("s"), Arc::new(store.clone()));
    append(&shared, &id, NEW, &events(1)).await.unwrap();
    assert_eq!(shared.load(&id).await.unwrap().len(), 1);
    assert_eq!(shared.list_streams_page(None, None, 9).await.unwrap(), [id.clone()]);
    assert_eq!(store.stream_version(&id).await.unwrap(), 1, "clones are one store");
}

async fn the_order_of_a_stream_is_that_of_its_appends<S: Store>(store: &S) {
    let ids = [stream("a"), stream("b")];
    for round in 0..5 {
        for id in &ids {
            let events = [event("T", json!(round)), event("T", json!(round))];
            append(store, id, ExpectedVersion::Exact(2 * round), &events).await.unwrap();
        }
    }
    for id in &ids {
        let loaded = store.load(id).await.unwrap();
        assert_eq!(numbers(&loaded), (1..=10).collect::<Vec<_>>());
        assert!(loaded.iter().zip(0u64..).all(|(event, i)| event.payload == json!(i / 2)));
    }
}

async fn one_of_two_that_expect_the_same_wins<S: Store>(store: &S) {
    let id = stream("race");
    let (mine, yours) = (events(1), events(1));
    let (one, two) = tokio::join!(append(store, &id, NEW, &mine), append(store, &id, NEW, &yours));
    let (won, lost) = if one.is_ok() { (one, two) } else { (two, one) };
    assert_eq!(conflict(lost), (0, 1), "told what is really there");
    assert_eq!(json_of(&store.load(&id).await.unwrap()), json_of(&won.unwrap().events));
    let again = append(store, &id, ExpectedVersion::Exact(1), &yours).await.unwrap();
    assert_eq!(again.last_sequence, 2);
}

/// In one of the reference stores, `k` shows the events of `k/0000000000000001`.
#[tokio::test]
async fn streams_whose_names_are_prefixes_do_not_mix() {
    let store = fresh();
    let ids = ["k", "k/", "k/0000000000000001", "k0", "k/0000000000000001/0000000000000001"].map(stream);
    for (i, id) in ids.iter().enumerate() {
        append(&*store, id, NEW, &events(i as u64 + 1)).await.unwrap();
    }
    for (i, id) in ids.iter().enumerate() {
        let loaded = EventStore::load(&*store, id).await.unwrap();
        assert_eq!(numbers(&loaded), (1..=i as u64 + 1).collect::<Vec<_>>(), "{id}");
        assert!(loaded.iter().all(|event| event.stream_id == *id));
        assert_eq!(store.stream_version(id).await.unwrap(), i as u64 + 1);
    }
}

/// Threads append without an expectation: each is told the numbers that it really got.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_of_any_version_know_their_numbers() {
    let store = in_memory();
    let id = stream("busy");
    let write = |store: MakoStore, id| async move {
        let mut written = Vec::new();
        for n in 0..50 {
            written.extend(append(&store, &id, ExpectedVersion::Any, &events(n % 3)).await.unwrap().events);
        }
        written
    };
    let writers: Vec<_> = (0..4).map(|_| tokio::spawn(write(store.clone(), id.clone()))).collect();
    let mut written = Vec::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    written.sort_unstable_by_key(|event| event.sequence_number);
    assert_eq!(numbers(&written), (1..=written.len() as u64).collect::<Vec<_>>());
    assert_eq!(json_of(&written), json_of(&EventStore::load(&store, &id).await.unwrap()));
}

/// No lock is held while `f` runs, and what it adds is not its own business.
#[tokio::test]
async fn a_fold_may_use_its_log() {
    let store = fresh();
    let id = stream("s");
    append(&*store, &id, NEW, &events(3)).await.unwrap();
    let log = store.log();
    let seen = store.fold_stream(&id, 0, 0, |seen, _| {
        let more = annals::NewEvent::new("T", "null").with_metadata("{}");
        log.append(&store.stream_name("s"), annals::ExpectedVersion::Any, &[more]).unwrap();
        log.append("another", annals::ExpectedVersion::Any, &[more]).unwrap();
        Ok(seen + 1)
    });
    assert_eq!(seen.await.unwrap(), 3);
    assert_eq!(store.stream_version(&id).await.unwrap(), 6);
}

/// The bytes can be read without this crate.
#[tokio::test]
async fn an_event_stands_in_the_log_as_json() {
    let store = fresh();
    let id = stream("process/42");
    let new = event("SupplierChangeInitiated", json!({ "malo": "51238696012", "kWh": 1.5 }));
    let written = append(&*store, &id, NEW, &[new]).await.unwrap().events.remove(0);
    let found = store.log().event_at(1).unwrap().unwrap();
    assert_eq!((found.stream(), found.version()), ("mako/stream/process/42", 1));
    assert_eq!(found.event_type(), "SupplierChangeInitiated");
    assert_eq!(found.payload(), serde_json::to_vec(&written.payload).unwrap());
    let mut envelope = json_of(&written);
    for said_by_the_log in ["stream_id", "sequence_number", "event_type", "payload"] {
        envelope.as_object_mut().unwrap().remove(said_by_the_log);
    }
    assert_eq!(serde_json::from_slice::<serde_json::Value>(found.metadata()).unwrap(), envelope);
    assert_ne!(found.id(), written.event_id.as_uuid(), "the log's ids are its own");
}
