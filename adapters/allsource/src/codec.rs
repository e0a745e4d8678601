//! Events of allsource as events of the log, and back.
//!
//! Owns the bytes: the payload as it is, and beside it a JSON object with all that the log has no place for. What would not
//! come back exactly as it was is not let in.

use crate::errors::damaged;
use allsource_core::domain::entities::Event;
use allsource_core::error::AllSourceError;
use annals::{NewEvent, RecordedEvent};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Display;
use uuid::Uuid;

/// What is stored beside the payload.
#[derive(Serialize, Deserialize)]
struct Beside<'a> {
    id: Uuid,
    tenant: Cow<'a, str>,
    timestamp: DateTime<Utc>,
    version: i64,
    /// `null` is a value like any other: only an event without metadata has none here.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    metadata: Option<Cow<'a, Value>>,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'static, Value>>, D::Error> {
    Value::deserialize(deserializer).map(|value| Some(Cow::Owned(value)))
}

/// An event, ready to be appended.
pub(crate) struct Encoded<'a> {
    event_type: &'a str,
    payload: Vec<u8>,
    beside: Vec<u8>,
}

impl<'a> Encoded<'a> {
    /// # Errors
    /// If it would not come back as it is: nested more deeply than a reader follows, for example.
    pub(crate) fn of(event: &'a Event) -> Result<Encoded<'a>, AllSourceError> {
        let refuse = |why: &dyn Display| {
            let text =
                format!("event {}: what is stored of it would not be read as it is: {why}", event.id());
            AllSourceError::InvalidEvent(text)
        };
        let beside = Beside {
            id: event.id(),
            tenant: event.tenant_id_str().into(),
            timestamp: event.timestamp(),
            version: event.version(),
            metadata: event.metadata().map(Cow::Borrowed),
        };
        let payload = serde_json::to_vec(event.payload()).map_err(|error| refuse(&error))?;
        let beside = serde_json::to_vec(&beside).map_err(|error| refuse(&error))?;
        let (event_type, entity) = (event.event_type_str(), event.entity_id_str());
        let back = read(entity, event_type, &payload, &beside).map_err(|error| refuse(&error))?;
        if back != *event {
            return Err(refuse(&"it comes back as another one"));
        }
        Ok(Encoded { event_type, payload, beside })
    }

    pub(crate) fn to_append(&self) -> NewEvent<'_> {
        NewEvent::new(self.event_type, &self.payload).with_metadata(&self.beside)
    }
}

/// The event that was stored.
pub(crate) fn decode(entity: &str, stored: &RecordedEvent) -> Result<Event, AllSourceError> {
    read(entity, stored.event_type(), stored.payload(), stored.metadata()).map_err(|error| {
        let (version, position) = (stored.version(), stored.position());
        damaged(
            stored.stream(),
            format_args!("event {version} (position {position} of the log) is not of allsource: {error}"),
        )
    })
}

/// Of ids and types nothing is demanded here: what was let in is given back.
fn read(entity: &str, event_type: &str, payload: &[u8], beside: &[u8]) -> Result<Event, serde_json::Error> {
    let payload = serde_json::from_slice(payload)?;
    let Beside { id, tenant, timestamp, version, metadata } = serde_json::from_slice(beside)?;
    let (event_type, entity, tenant) = (event_type.to_owned(), entity.to_owned(), tenant.into_owned());
    let metadata = metadata.map(Cow::into_owned);
    Ok(Event::reconstruct_from_strings(id, event_type, entity, tenant, payload, timestamp, metadata, version))
}
