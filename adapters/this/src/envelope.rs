//! An envelope of the framework, and the event of the log that it becomes.
//!
//! Owns the bytes: event type, payload and metadata. Pure; must never know a stream or a consumer.
//!
//! The payload is the event's JSON as the framework itself writes it, the event type is what its flows call a trigger
//! (`entity.created`), the metadata holds the rest of the envelope. The number is the event's version in its stream.

use crate::error::ThisError;
use annals::{NewEvent, RecordedEvent};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use this::core::events::{EntityEvent, EventEnvelope, FrameworkEvent, LinkEvent};
use this::prelude::{DateTime, Utc, Uuid};

/// How many arrays and objects may stand inside of one another in an event's data. The reader of JSON stops at 128, and the
/// payload is one itself.
const LEVELS_MAX: usize = 126;

/// What an envelope has beside its event.
#[derive(Debug, Serialize, Deserialize)]
struct Rest {
    id: Uuid,
    timestamp: DateTime<Utc>,
    /// The link's metadata is there, and is `null`: the event's own JSON says the same of none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    null_metadata: bool,
}

/// An envelope as it is written.
pub(crate) struct Written {
    event_type: String,
    payload: Vec<u8>,
    metadata: Vec<u8>,
}

/// Why an event of the log is no envelope: somebody else has written it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undecodable {
    #[error("its payload is not an event: {0}")]
    Payload(serde_json::Error),
    #[error("its metadata is not the rest of an envelope: {0}")]
    Metadata(serde_json::Error),
    #[error("its type is {found:?}, but its payload is of type {expected:?}")]
    Type { found: String, expected: String },
}

/// The name that triggers of flows have for an event.
fn event_type(event: &FrameworkEvent) -> String {
    format!("{}.{}", event.event_kind(), event.action())
}

/// The part of an event that is the application's own.
fn data(event: &FrameworkEvent) -> Option<&Value> {
    match event {
        FrameworkEvent::Entity(EntityEvent::Created { data, .. } | EntityEvent::Updated { data, .. }) => {
            Some(data)
        }
        FrameworkEvent::Link(LinkEvent::Created { metadata, .. }) => metadata.as_ref(),
        FrameworkEvent::Entity(EntityEvent::Deleted { .. })
        | FrameworkEvent::Link(LinkEvent::Deleted { .. }) => None,
    }
}

/// Whether a value has at most so many arrays and objects inside of one another.
fn fits(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(values) => levels > 0 && values.iter().all(|value| fits(value, levels - 1)),
        Value::Object(members) => levels > 0 && members.values().all(|value| fits(value, levels - 1)),
        _ => true,
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, ThisError> {
    annals_adapter::json::encode(value).map_err(|error| ThisError::Unencodable { cause: error.to_string() })
}

impl Written {
    /// Writes an envelope, if it can be read again. Its number is not part of it.
    pub(crate) fn new(envelope: &EventEnvelope) -> Result<Written, ThisError> {
        let EventEnvelope { id, timestamp, event, seq_no: _ } = envelope;
        if !data(event).is_none_or(|data| fits(data, LEVELS_MAX)) {
            return Err(ThisError::TooDeep { max: LEVELS_MAX });
        }
        let null_metadata =
            matches!(event, FrameworkEvent::Link(_)) && data(event).is_some_and(Value::is_null);
        let rest = Rest { id: *id, timestamp: *timestamp, null_metadata };
        Ok(Written { event_type: event_type(event), payload: json(event)?, metadata: json(&rest)? })
    }

    pub(crate) fn as_event(&self) -> NewEvent<'_> {
        NewEvent::new(&self.event_type, &self.payload).with_metadata(&self.metadata)
    }
}

/// The envelope that was written, with its number.
pub(crate) fn read(recorded: &RecordedEvent) -> Result<EventEnvelope, Undecodable> {
    let mut event: FrameworkEvent =
        serde_json::from_slice(recorded.payload()).map_err(Undecodable::Payload)?;
    let rest: Rest = serde_json::from_slice(recorded.metadata()).map_err(Undecodable::Metadata)?;
    let (found, expected) = (recorded.event_type(), event_type(&event));
    if found != expected {
        return Err(Undecodable::Type { found: found.to_owned(), expected });
    }
    if let FrameworkEvent::Link(LinkEvent::Created { metadata: metadata @ None, .. }) = &mut event
        && rest.null_metadata
    {
        *metadata = Some(Value::Null);
    }
    Ok(EventEnvelope { id: rest.id, timestamp: rest.timestamp, event, seq_no: Some(recorded.version()) })
}
