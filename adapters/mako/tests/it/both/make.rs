//! Things of this version, made for tests.

use super::mako::deadline::Deadline;
use super::mako::envelope::{EventEnvelope, NewEvent};
use super::mako::event_store::CorrelationEntry;
use super::mako::ids::{
    CausationId, ConversationId, CorrelationId, EventId, ProcessId, ProcessIdentity, StreamId, TenantId,
};
use super::mako::outbox::OutboxMessage;
use super::mako::version::WorkflowId;
use serde::Serialize;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

pub fn stream(id: &str) -> StreamId {
    StreamId::try_new(id).unwrap()
}

pub fn workflow() -> WorkflowId {
    WorkflowId::new("supplier-change", "FV2025-10-01")
}

pub fn event(event_type: &str, payload: Value) -> NewEvent {
    NewEvent::new(
        CorrelationId::new(),
        Some(CausationId::new()),
        ConversationId::new(),
        ProcessId::new(),
        TenantId::new(),
        workflow(),
        event_type,
        3,
        payload,
    )
}

/// So many events, with their numbers.
pub fn events(count: u64) -> Vec<NewEvent> {
    (1..=count).map(|n| event("Counted", json!({ "n": n }))).collect()
}

pub fn message(created_at: OffsetDateTime, deliver_after: Option<OffsetDateTime>) -> OutboxMessage {
    let mut message = OutboxMessage::new(
        stream("process/1"),
        ProcessId::new(),
        TenantId::new(),
        CorrelationId::new(),
        ConversationId::new(),
        EventId::new(),
        "APERAK",
        "4012345000023",
        json!({ "positive": true }),
    );
    message.created_at = created_at;
    message.deliver_after = deliver_after;
    message
}

pub fn deadline(of: &StreamId, label: &str, due_at: OffsetDateTime) -> Deadline {
    Deadline::new(of.clone(), ProcessId::new(), TenantId::new(), workflow(), label, due_at)
}

/// The same deadline with another time and stream: their fields are private, their JSON is not.
pub fn changed(deadline: &Deadline, of: &StreamId, due_at: OffsetDateTime) -> Deadline {
    let mut json = json_of(deadline);
    let donor = json_of(&self::deadline(of, "", due_at));
    json["stream_id"] = donor["stream_id"].clone();
    json["due_at"] = donor["due_at"].clone();
    serde_json::from_value(json).unwrap()
}

pub fn identity() -> ProcessIdentity {
    ProcessIdentity::new(ProcessId::new(), TenantId::new(), workflow())
}

pub fn correlation(tag: &str) -> CorrelationEntry {
    let identity = identity();
    CorrelationEntry {
        tenant_id: identity.tenant_id,
        tag: tag.to_owned(),
        process_id: identity.process_id,
        identity,
    }
}

/// Most types of mako-engine cannot be compared; their JSON can.
pub fn json_of(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

pub fn numbers(events: &[EventEnvelope]) -> Vec<u64> {
    events.iter().map(|event| event.sequence_number).collect()
}

/// A time so many seconds after 2026 began.
pub fn second(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_767_225_600).unwrap() + Duration::seconds(seconds)
}

pub fn ago(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() - Duration::seconds(seconds)
}
