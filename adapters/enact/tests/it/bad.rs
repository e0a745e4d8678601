//! Bad input: each row of the README's table.

use crate::kit::{as_json, directory, emitted, id, in_memory, number, numbered, open, tenant, typed};
use annals::{AppendError, EventLog, ExpectedVersion, NewEvent, Options, ReadError};
use annals_enact::{Error, ExecutionStore, StreamingStore};
use enact_core::kernel::persistence::{EventStore as _, ExecutionEventData};
use enact_core::streaming::EventStore as _;
use serde_json::{Value, json};

/// What fits behind `enact/execution/`, `enact/streaming/` and `enact/`.
const EXECUTION_MAX: usize = 2048 - 16;
const STREAMING_MAX: usize = 2048 - 16;
const TENANT_MAX: usize = 2048 - 6;

fn goal(score: f64) -> ExecutionEventData {
    ExecutionEventData::GoalEvaluated {
        step_id: None,
        goal_id: "g".to_owned(),
        status: "met".to_owned(),
        score: Some(score),
        reason: None,
    }
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!([inner]))
}

fn append(log: &EventLog, stream: &str, event: NewEvent<'_>) {
    log.append(stream, ExpectedVersion::Any, &[event]).unwrap();
}

#[tokio::test]
async fn any_string_is_an_id() {
    let dir = directory();
    let long = "x".repeat(1020);
    let longest = "ä".repeat(EXECUTION_MAX / 2);
    let ids = ["", "/", "a/b", "nul\u{0}byte", "..", "%", "exec_\u{1F600}", &long, &longest];
    let (store, streaming) = {
        let log = open(dir.path());
        (ExecutionStore::new(log.clone()), StreamingStore::new(log))
    };
    for (at, e) in ids.iter().enumerate() {
        let t = tenant(if e.len() > TENANT_MAX { "t" } else { e });
        store.append(&id(e), &t, numbered(at as u64)).await.unwrap();
        streaming.append(emitted(e, at as u64)).await.unwrap();
    }
    drop((store, streaming));
    let log = open(dir.path());
    let (store, streaming) = (ExecutionStore::new(log.clone()), StreamingStore::new(log));
    for (at, e) in ids.iter().enumerate() {
        let events = store.load_events(&id(e)).await.unwrap();
        assert_eq!((events.len(), number(&events[0]), &events[0].execution_id), (1, at as u64, &id(e)));
        assert_eq!(store.list_executions(&events[0].tenant_id, 9, 0).await.unwrap(), [id(e)]);
        let entries = streaming.get_by_execution(&id(e)).await.unwrap();
        assert_eq!((entries.len(), &entries[0].event.context.execution_id), (1, &id(e)));
    }
    assert_eq!(streaming.get_after(0, 100).await.unwrap().len(), ids.len());
}

#[tokio::test]
async fn an_id_that_is_too_long_is_refused_and_reads_as_unknown() {
    let (log, store, streaming) = in_memory();
    let too_long = |what: &str, len: usize, max: usize, error: Error| match error {
        Error::TooLong { what: w, len: l, max: m } => assert_eq!((w, l, m), (what, len, max)),
        other => panic!("{other:?}"),
    };
    let e = id(&"x".repeat(EXECUTION_MAX + 1));
    let refused = typed(store.append(&e, &tenant("t"), numbered(1)).await);
    too_long("execution id", EXECUTION_MAX + 1, EXECUTION_MAX, refused);
    let refused = typed(store.append(&id("e"), &tenant(&"x".repeat(TENANT_MAX + 1)), numbered(1)).await);
    too_long("tenant id", TENANT_MAX + 1, TENANT_MAX, refused);
    let refused = typed(streaming.append(emitted(e.as_str(), 1)).await);
    too_long("execution id", STREAMING_MAX + 1, STREAMING_MAX, refused);
    assert_eq!((log.last_position(), log.stream_count()), (0, 0), "nothing was written");

    assert!(store.load_events(&e).await.unwrap().is_empty());
    assert_eq!(store.get_latest_sequence(&e).await.unwrap(), None);
    assert!(store.list_executions(&tenant(&"x".repeat(5000)), 9, 0).await.unwrap().is_empty());
    assert!(streaming.get_by_execution(&e).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_empty_batch_is_refused_and_makes_no_execution() {
    let (log, store, _) = in_memory();
    assert!(matches!(typed(store.append_batch(&id("e"), &tenant("t"), vec![]).await), Error::EmptyBatch));
    assert_eq!((log.stream_count(), log.list_tenants(None, 9).len()), (0, 0));
    store.append(&id("e"), &tenant("t"), numbered(1)).await.unwrap();
    assert!(matches!(typed(store.append_batch(&id("e"), &tenant("t"), vec![]).await), Error::EmptyBatch));
    assert_eq!(store.count_events(&id("e")).await.unwrap(), 1);
}

#[tokio::test]
async fn a_number_that_json_does_not_have_is_refused_with_its_whole_batch() {
    let (log, store, _) = in_memory();
    for score in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let batch = vec![numbered(1), goal(score)];
        let refused = typed(store.append_batch(&id("e"), &tenant("t"), batch).await);
        assert!(
            matches!(refused, Error::Unstorable(_)) && refused.to_string().contains("score"),
            "{refused}"
        );
    }
    assert_eq!(log.stream_count(), 0);
    store.append(&id("e"), &tenant("t"), goal(-0.0)).await.unwrap();
}

/// A reader of JSON goes down so far only; what it could not read again is not acknowledged.
#[tokio::test]
async fn an_event_nested_too_deep_to_be_read_again_is_refused() {
    let (log, store, streaming) = in_memory();
    let custom = |depth| ExecutionEventData::Custom { event_type: String::new(), data: nested(depth) };
    let refused = typed(store.append(&id("e"), &tenant("t"), custom(200)).await);
    assert!(matches!(refused, Error::Unstorable(_)), "{refused}");
    let refused = typed(streaming.append(emitted("e", 1).with_payload(nested(200))).await);
    assert!(matches!(refused, Error::Unstorable(_)), "{refused}");
    assert_eq!(log.stream_count(), 0);
    store.append(&id("e"), &tenant("t"), custom(120)).await.unwrap();
    streaming.append(emitted("e", 1).with_payload(nested(120))).await.unwrap();
    assert_eq!(as_json(&store.load_events(&id("e")).await.unwrap()[0].event), as_json(&custom(120)));
    assert_eq!(streaming.get_after(0, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_append_larger_than_the_log_takes_is_the_logs_own_error() {
    let log = Options::new().append_bytes_max(64 << 10).open_in_memory().unwrap();
    let (store, streaming) = (ExecutionStore::new(log.clone()), StreamingStore::new(log.clone()));
    let large = json!("x".repeat(100_000));
    let event = ExecutionEventData::Custom { event_type: String::new(), data: large.clone() };
    let refused = typed(store.append_batch(&id("e"), &tenant("t"), vec![numbered(1), event]).await);
    assert!(matches!(refused, Error::Append(AppendError::TooLarge { .. })), "{refused:?}");
    let refused = typed(streaming.append(emitted("e", 1).with_payload(large)).await);
    assert!(matches!(refused, Error::Append(AppendError::TooLarge { .. })), "{refused:?}");
    assert_eq!(log.stream_count(), 0);
}

#[tokio::test]
async fn what_was_written_without_the_store_is_told_with_its_place() {
    let beside = r#"{"tenant_id":"t","timestamp":"2026-01-01T00:00:00Z"}"#;
    let resumed = r#"{"type":"execution_resumed"}"#;
    let wrong = [
        ("execution_resumed", "not json", beside),
        ("execution_resumed", r#"{"type":"unheard_of"}"#, beside),
        ("execution_paused", resumed, beside),
        ("execution_resumed", resumed, ""),
        ("execution_resumed", resumed, r#"{"tenant_id":"t","timestamp":"yesterday"}"#),
    ];
    for (event_type, payload, metadata) in wrong {
        let (log, store, _) = in_memory();
        store.append(&id("e"), &tenant("t"), numbered(1)).await.unwrap();
        append(&log, "enact/execution/e", NewEvent::new(event_type, payload).with_metadata(metadata));
        store.append(&id("e"), &tenant("t"), numbered(3)).await.unwrap();
        match typed(store.load_events(&id("e")).await) {
            Error::Undecodable { stream, version, .. } => {
                assert_eq!((stream.as_str(), version), ("enact/execution/e", 2));
            }
            other => panic!("{other:?}"),
        }
        let behind = store.load_events_after(&id("e"), 2).await.unwrap();
        assert_eq!((behind.len(), number(&behind[0])), (1, 3), "what is behind it can be read");
        assert_eq!(store.count_events(&id("e")).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn what_was_written_without_the_streaming_store_is_told_with_its_place() {
    let good = serde_json::to_string(&emitted("e", 2)).unwrap();
    let elsewhere = serde_json::to_string(&emitted("other", 2)).unwrap();
    for (event_type, payload) in [("step.start", "[]"), ("step.end", &*good), ("step.start", &*elsewhere)] {
        let (log, _, store) = in_memory();
        store.append(emitted("e", 1)).await.unwrap();
        append(&log, "enact/streaming/e", NewEvent::new(event_type, payload));
        let behind = store.append(emitted("e", 3)).await.unwrap();
        for refused in
            [typed(store.get_by_execution(&id("e")).await), typed(store.get_after(0, usize::MAX).await)]
        {
            match refused {
                Error::Undecodable { stream, version, .. } => {
                    assert_eq!((stream.as_str(), version), ("enact/streaming/e", 2));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(store.get_after(0, 1).await.unwrap().len(), 1);
        assert_eq!(as_json(&store.get_after(2, 9).await.unwrap()), as_json(&[behind]));
        assert_eq!(store.latest_sequence().await.unwrap(), 3);
    }
}

#[tokio::test]
async fn an_execution_that_was_cut_or_ended_in_the_log_says_so() {
    let (log, store, streaming) = in_memory();
    store.append_batch(&id("e"), &tenant("t"), (1..=3).map(numbered).collect()).await.unwrap();
    log.truncate_before("enact/execution/e", 3, ExpectedVersion::Any).unwrap();
    let refused = typed(store.load_events(&id("e")).await);
    assert!(
        matches!(refused, Error::Read(ReadError::Truncated { first: 3 })),
        "never a shorter answer: {refused:?}"
    );
    assert_eq!(number(&store.load_events_after(&id("e"), 2).await.unwrap()[0]), 3);

    log.tombstone("enact/execution/e", ExpectedVersion::Any).unwrap();
    let refused = typed(store.load_events(&id("e")).await);
    assert!(matches!(refused, Error::Read(ReadError::Gone { .. })), "{refused:?}");
    let refused = typed(store.append(&id("e"), &tenant("t"), numbered(4)).await);
    assert!(matches!(refused, Error::Append(AppendError::Gone { .. })), "{refused:?}");

    streaming.append(emitted("s", 1)).await.unwrap();
    log.tombstone("enact/streaming/s", ExpectedVersion::Any).unwrap();
    let refused = typed(streaming.get_by_execution(&id("s")).await);
    assert!(matches!(refused, Error::Read(ReadError::Gone { .. })), "{refused:?}");
}

/// A stream that somebody made without a tenant gets the tenant of the first append through the store.
#[tokio::test]
async fn an_execution_of_nobody_gets_the_tenant_of_the_next_append() {
    let (log, store, _) = in_memory();
    log.create_stream("enact/execution/e", ExpectedVersion::Any, b"").unwrap();
    assert!(!store.execution_exists(&id("e")).await.unwrap());
    assert_eq!(store.append(&id("e"), &tenant("t"), numbered(1)).await.unwrap(), 1);
    let refused = typed(store.append(&id("e"), &tenant("u"), numbered(2)).await);
    assert!(matches!(refused, Error::ForeignTenant { .. }));
}
