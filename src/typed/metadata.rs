//! [`Metadata`]: the JSON object beside a payload.
//!
//! Owns the names of the fields that have a meaning. Must never change or lose a field that is somebody else's.

use crate::Event;
use crate::typed::error::{EncodeError, MetadataError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::num::NonZeroU32;

/// An event's metadata: a JSON object with a few fields of a common meaning, and any others.
///
/// A field is kept as the text that it was, so that what is read and written again is the same to the last digit; only the
/// order of the fields is the alphabet's. Of two fields with one name, the last is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The JSON text of each field.
    fields: BTreeMap<String, Box<str>>,
}

impl Metadata {
    /// The name of the field with the correlation id, a text: all that belongs to one request or conversation has the same.
    pub const CORRELATION_ID: &'static str = "correlation_id";
    /// The name of the field with the causation id, a text: the id of the event or command that led to this event.
    pub const CAUSATION_ID: &'static str = "causation_id";
    /// The name of the field with the schema version of the payload, a whole number from 1; absent means 1.
    pub const SCHEMA_VERSION: &'static str = "schema_version";

    /// Metadata without a field: stored as no bytes at all.
    pub fn new() -> Metadata {
        Metadata::default()
    }

    /// What stands beside an event. No bytes are no fields.
    ///
    /// # Errors
    /// [`MetadataError::NotAnObject`] if there are bytes of another kind. [`Event::metadata`] still has them.
    pub fn of(event: &Event<'_>) -> Result<Metadata, MetadataError> {
        Metadata::parse(event.metadata())
    }

    /// For an event that follows from another one: caused by its id, and correlated as it is, or with its id if it begins
    /// the conversation (also if its metadata is not a JSON object). No other field is taken over.
    pub fn caused_by(event: &Event<'_>) -> Metadata {
        let mut cause = Metadata::of(event).unwrap_or_default();
        let next = Metadata::new().with_causation_id(event.id());
        match cause.fields.remove(Metadata::CORRELATION_ID).filter(|json| **json != *"null") {
            Some(correlation) => next.with_json(Metadata::CORRELATION_ID, correlation),
            None => next.with_correlation_id(event.id()),
        }
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Metadata, MetadataError> {
        if bytes.is_empty() {
            return Ok(Metadata::new());
        }
        let fields: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(bytes).map_err(MetadataError::NotAnObject)?;
        Ok(Metadata { fields: fields.into_iter().map(|(name, json)| (name, json.into())).collect() })
    }

    /// The JSON text to hand to [`NewEvent::with_metadata`](crate::NewEvent::with_metadata); empty without a field.
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.fields.is_empty() {
            return Vec::new();
        }
        let fields: Vec<String> =
            self.fields.iter().map(|(name, json)| format!("{}:{json}", quoted(name))).collect();
        format!("{{{}}}", fields.join(",")).into_bytes()
    }

    /// The correlation id, if there is one and it is a text; for ids of another kind there is [`Metadata::get`].
    pub fn correlation_id(&self) -> Option<String> {
        self.get(Metadata::CORRELATION_ID).ok().flatten()
    }

    /// The causation id, if there is one and it is a text; for ids of another kind there is [`Metadata::get`].
    pub fn causation_id(&self) -> Option<String> {
        self.get(Metadata::CAUSATION_ID).ok().flatten()
    }

    /// The schema version of the payload, 1 if nothing is said.
    ///
    /// # Errors
    /// [`MetadataError::Field`] if it is not a whole number from 1 to 2^32 - 1.
    pub fn schema_version(&self) -> Result<u32, MetadataError> {
        Ok(self.get::<NonZeroU32>(Metadata::SCHEMA_VERSION)?.map_or(1, NonZeroU32::get))
    }

    /// A field, of any type that serde can make of it; `None` if it is absent or `null`.
    ///
    /// # Errors
    /// [`MetadataError::Field`] if it is there and of another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, MetadataError> {
        let Some(json) = self.fields.get(name) else { return Ok(None) };
        serde_json::from_str(json).map_err(|source| MetadataError::Field { name: name.to_owned(), source })
    }

    /// Sets a field. `schema_version` is set by the encoding of a typed event, whatever it was before.
    ///
    /// # Errors
    /// [`EncodeError::Json`] if the value cannot be written as JSON.
    pub fn with<T: Serialize + ?Sized>(self, name: &str, value: &T) -> Result<Metadata, EncodeError> {
        let json = serde_json::to_string(value).map_err(EncodeError::Json)?;
        Ok(self.with_json(name, json.into()))
    }

    /// Sets the correlation id.
    #[must_use]
    pub fn with_correlation_id(self, id: impl Display) -> Metadata {
        self.with_json(Metadata::CORRELATION_ID, quoted(&id.to_string()).into())
    }

    /// Sets the causation id.
    #[must_use]
    pub fn with_causation_id(self, id: impl Display) -> Metadata {
        self.with_json(Metadata::CAUSATION_ID, quoted(&id.to_string()).into())
    }

    /// Sets the schema version; 1, which is meant when nothing is said, is not said.
    pub(crate) fn with_schema_version(mut self, version: u32) -> Metadata {
        if version == 1 {
            self.fields.remove(Metadata::SCHEMA_VERSION);
            return self;
        }
        self.with_json(Metadata::SCHEMA_VERSION, version.to_string().into())
    }

    fn with_json(mut self, name: &str, json: Box<str>) -> Metadata {
        self.fields.insert(name.to_owned(), json);
        self
    }
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
