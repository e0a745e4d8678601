//! What is rejected: an event of its own, with everything that the reason says.

use super::mako::dead_letter::{AuditContext, DeadLetterReason as Reason};
use super::mako::ids::{OutboxMessageId, Pid};
use super::mako::metrics::EngineMetrics;
use super::reject;
use crate::shelf::{fresh, names};
use annals::{Query, RecordedEvent};
use annals_mako::MakoStore;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

fn context() -> AuditContext {
    let mut context = AuditContext::from_interchange("9900000000001", "9900000000002", "REF-1")
        .with_message_type("UTILMD")
        .with_release_code("S2.1")
        .with_pid(Pid::new(55_001))
        .with_process_id("process/1");
    (context.tenant_id, context.correlation_id) = (Some("tenant".into()), Some("conversation".into()));
    context
}

/// Every reason, and what is to be kept of it beside its label, its text and its context.
fn reasons() -> Vec<(Reason, Value)> {
    let id = OutboxMessageId::new();
    vec![
        (Reason::UnknownPid { pid: Pid::new(99_999), context: context() }, json!({ "pid": 99_999 })),
        (
            Reason::UnknownConversation { conversation_id: "abc".into(), context: context() },
            json!({ "conversation_id": "abc" }),
        ),
        (
            Reason::VersionMismatch { expected: "FV2".into(), received: "FV1".into(), context: context() },
            json!({ "expected": "FV2", "received": "FV1" }),
        ),
        (
            Reason::DuplicateMessage { inbox_key: "key".into(), context: context() },
            json!({ "inbox_key": "key" }),
        ),
        (
            Reason::ProcessingError { message: "ä\u{0}\"".into(), context: context() },
            json!({ "message": "ä\u{0}\"" }),
        ),
        (Reason::TestMessage { context: context() }, json!({})),
        (
            Reason::MissingInterchangeParty { qualifier: "MS", context: context() },
            json!({ "qualifier": "MS" }),
        ),
        (
            Reason::NotDispatchable {
                workflow_name: "w".into(),
                pid: Pid::new(11_001),
                reason: "no arm".into(),
                context: context(),
            },
            json!({ "workflow_name": "w", "pid": 11_001, "skipped": "no arm" }),
        ),
        (
            Reason::OutboxExhausted {
                message_id: id,
                message_type: "APERAK".into(),
                recipient: "9900000000003".into(),
                last_error: "connection refused".into(),
                attempts: 7,
            },
            json!({
                "message_id": id, "message_type": "APERAK", "recipient": "9900000000003",
                "last_error": "connection refused", "attempts": 7,
            }),
        ),
    ]
}

fn letters(store: &MakoStore) -> Vec<RecordedEvent> {
    let letters = store.log().read(&Query::stream(store.dead_letter_stream())).into_iter();
    letters.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn all_that_a_reason_says_is_kept() {
    let store = fresh();
    let reasons = reasons();
    for (reason, _) in &reasons {
        reject(&store, reason).await;
    }
    let store = store.reopen();
    let letters = letters(&store);
    assert_eq!(letters.len(), reasons.len());
    for (letter, (reason, wanted)) in letters.iter().zip(reasons) {
        assert_eq!(letter.event_type(), reason.label());
        let mut wanted = wanted;
        wanted["reason"] = reason.label().into();
        wanted["detail"] = reason.to_string().into();
        if let Some(context) = reason.audit_context() {
            wanted["context"] = json!({
                "message_type": "UTILMD", "release_code": "S2.1", "pid": 55_001,
                "sender_eic": "9900000000001", "receiver_eic": "9900000000002", "message_ref": "REF-1",
                "process_id": "process/1", "tenant_id": "tenant", "correlation_id": "conversation",
                "timestamp": context.timestamp.format(&Rfc3339).unwrap(),
            });
        }
        assert_eq!(serde_json::from_slice::<Value>(letter.payload()).unwrap(), wanted);
        let metadata: Value = serde_json::from_slice(letter.metadata()).unwrap();
        let rejected_at = metadata["rejected_at"].as_str().unwrap();
        time::OffsetDateTime::parse(rejected_at, &Rfc3339).unwrap();
    }
}

/// They stand in a stream of their own, which can be read from its end and followed, and is no stream of a process.
#[tokio::test]
async fn the_last_ones_can_be_read_first() {
    let store = fresh();
    let coming = store.log().subscribe(&Query::stream("mako/dead-letters").from_now());
    for key in ["1", "2", "3"] {
        let reason = Reason::DuplicateMessage { inbox_key: key.into(), context: AuditContext::now() };
        reject(&store, &reason).await;
    }
    let key = |event: &RecordedEvent| {
        serde_json::from_slice::<Value>(event.payload()).unwrap()["inbox_key"].as_str().unwrap().to_owned()
    };
    let last = store.log().read(&Query::stream(store.dead_letter_stream()).backward().limit(2)).into_iter();
    assert_eq!(last.map(|event| key(&event.unwrap())).collect::<Vec<_>>(), ["3", "2"]);
    assert_eq!(coming.take(3).map(|event| key(&event.unwrap())).collect::<Vec<_>>(), ["1", "2", "3"]);
    let streams = super::mako::event_store::EventStore::list_streams(&*store, None).await.unwrap();
    assert!(streams.is_empty() && names(&store, "").is_empty());
}

/// The metric has a label for each unknown PID, its documentation says.
#[tokio::test]
async fn rejections_are_counted() {
    let store = fresh();
    let counted = || format!("{:?}", EngineMetrics::global().snapshot());
    let reason = Reason::UnknownPid { pid: Pid::new(77_123), context: AuditContext::now() };
    assert!(!counted().contains("unknown_pid:77123"));
    reject(&store, &reason).await;
    assert!(counted().contains("unknown_pid:77123"), "{}", counted());
}
