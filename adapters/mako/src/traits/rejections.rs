//! Rejected messages of this version.
//!
//! Compiled against each version of mako-engine.

use super::mako::dead_letter::{AuditContext, DeadLetterReason};
use super::mako::metrics::EngineMetrics;
use crate::failure::{Failure, Part};
use crate::stream::Stamped;
use crate::value::encode;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What the log keeps of a rejection: all that the reason says.
pub(super) fn record(reason: &DeadLetterReason) -> Result<Stamped<'static>, Failure> {
    let event_type = reason.label();
    let mut payload = json!({ "reason": event_type, "detail": reason.to_string() });
    if let Value::Object(fields) = &mut payload {
        fields.extend(fields_of(reason));
        if let Some(context) = reason.audit_context() {
            fields.insert("context".to_owned(), audit(context)?);
        }
    }
    let metadata = json!({ "rejected_at": text(OffsetDateTime::now_utc())? });
    Ok(Stamped {
        event_type,
        metadata: encode(Part::DeadLetters, event_type, &metadata)?,
        payload: encode(Part::DeadLetters, event_type, &payload)?,
    })
}

/// Counts a rejection, by the label that the metrics promise.
pub(super) fn count(reason: &DeadLetterReason) {
    let metrics = EngineMetrics::global();
    match reason {
        DeadLetterReason::UnknownPid { pid, .. } => {
            metrics.dead_letter_recorded(&format!("unknown_pid:{pid}"))
        }
        _ => metrics.dead_letter_recorded(reason.label()),
    }
}

/// What a reason says of itself.
fn fields_of(reason: &DeadLetterReason) -> Map<String, Value> {
    use DeadLetterReason as Reason;
    let fields = match reason {
        Reason::UnknownPid { pid, .. } => json!({ "pid": pid.as_u32() }),
        Reason::UnknownConversation { conversation_id, .. } => json!({ "conversation_id": conversation_id }),
        Reason::VersionMismatch { expected, received, .. } => {
            json!({ "expected": expected, "received": received })
        }
        Reason::DuplicateMessage { inbox_key, .. } => json!({ "inbox_key": inbox_key }),
        Reason::ProcessingError { message, .. } => json!({ "message": message }),
        Reason::MissingInterchangeParty { qualifier, .. } => json!({ "qualifier": qualifier }),
        Reason::NotDispatchable { workflow_name, pid, reason, .. } => {
            json!({ "workflow_name": workflow_name, "pid": pid.as_u32(), "skipped": reason })
        }
        Reason::OutboxExhausted { message_id, message_type, recipient, last_error, attempts } => json!({
            "message_id": message_id,
            "message_type": message_type,
            "recipient": recipient,
            "last_error": last_error,
            "attempts": attempts,
        }),
        // A test message has its context only; what a later version adds has its detail.
        _ => Value::Null,
    };
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn audit(context: &AuditContext) -> Result<Value, Failure> {
    Ok(json!({
        "message_type": context.message_type,
        "release_code": context.release_code,
        "pid": context.pid.map(|pid| pid.as_u32()),
        "sender_eic": context.sender_eic,
        "receiver_eic": context.receiver_eic,
        "message_ref": context.message_ref,
        "process_id": context.process_id,
        "tenant_id": context.tenant_id,
        "correlation_id": context.correlation_id,
        "timestamp": text(context.timestamp)?,
    }))
}

fn text(time: OffsetDateTime) -> Result<String, Failure> {
    time.format(&Rfc3339)
        .map_err(|error| Failure::new(Part::DeadLetters, format!("{time} cannot be written: {error}")))
}
