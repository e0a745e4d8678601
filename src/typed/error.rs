//! The errors of the typed layer, as data: what could not be encoded or decoded, where, and what to do about it.
//!
//! Owns the error types. serde's own error is always the source, never part of the text.

use crate::{AppendError, ReadError};
use std::error::Error;

/// Why a value did not become an event. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// serde refused to write it: a map whose keys are not texts, say, or a `Serialize` of the user's that failed. Mend the
    /// type.
    #[error("the value cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// Its event type is not in [`TypedEvent::TYPES`](crate::typed::TypedEvent::TYPES). Add it there, or give the variant its
    /// old name with `#[serde(rename)]`.
    #[error("event type {event_type:?} is not listed")]
    Unlisted {
        /// The tag that serde wrote.
        event_type: String,
    },
    /// Its JSON is not of the form that [`Types`](crate::typed::Types) says. Name the form that serde's attributes give it.
    #[error("the value's JSON is not tagged as its types say")]
    Form,
}

/// Why metadata could not be understood. The bytes are as they were appended: [`Event::metadata`](crate::Event::metadata).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// It is neither empty nor a JSON object: appended without this layer. Read the bytes as what their author meant.
    #[error("the metadata is not a JSON object")]
    NotAnObject(#[source] serde_json::Error),
    /// A field is not of the type asked for. Ask for another, such as `serde_json::Value`.
    #[error("the metadata's field {name:?} is of another type")]
    Field {
        /// Its name.
        name: String,
        /// What serde says.
        source: serde_json::Error,
    },
}

/// An event that could not be decoded: which, and why. The log is in order, and so are the events around this one.
#[derive(Debug)]
#[non_exhaustive]
pub struct DecodeError {
    /// Its stream.
    pub stream: String,
    /// Its version in the stream.
    pub version: u64,
    /// Its position in the log.
    pub position: u64,
    /// Its type.
    pub event_type: String,
    /// What is wrong.
    pub fault: DecodeFault,
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let DecodeError { stream, version, position, event_type, fault } = self;
        write!(
            f,
            "event {version} of stream {stream:?} at position {position}, of type {event_type:?}: {fault}"
        )
    }
}

/// The text says the fault already, so that the next in the chain is what serde says.
impl Error for DecodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}

/// Why an event could not be decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeFault {
    /// The Rust type does not list the event's type. Decode it as another one, or skip it, if that is what it is for.
    #[error("the type is unknown here")]
    UnknownType,
    /// It was written with a newer schema. Use a newer build of the program.
    #[error("schema version {found} is newer than {known}, the newest known")]
    NewerSchema {
        /// The version of the stored payload.
        found: u32,
        /// The newest that the Rust type knows.
        known: u32,
    },
    /// The metadata does not tell the schema version, and there is more than one to choose from or what it says is not a
    /// version.
    #[error("the metadata tells no schema version (known are those up to {known})")]
    Metadata {
        /// The newest that the Rust type knows.
        known: u32,
        /// What is wrong with the metadata.
        source: MetadataError,
    },
    /// [`TypedEvent::upcast`](crate::typed::TypedEvent::upcast) refused the payload, which was stored by an older program.
    #[error("the payload, stored with schema version {found}, cannot be brought from {step} to {}", step + 1)]
    Upcast {
        /// The version of the stored payload.
        found: u32,
        /// The version from which a step failed.
        step: u32,
        /// What `upcast` returned.
        source: serde_json::Error,
    },
    /// The payload is not JSON, or not what the Rust type expects. If older programs stored it so, raise the schema version
    /// and bring it up to date with [`TypedEvent::upcast`](crate::typed::TypedEvent::upcast).
    #[error("the payload, stored with schema version {found}, is not what version {known} expects")]
    Payload {
        /// The version of the stored payload.
        found: u32,
        /// The newest that the Rust type knows, as which it was decoded.
        known: u32,
        /// What serde says.
        source: serde_json::Error,
    },
}

/// Why typed events were not appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TypedAppendError {
    /// One of them could not be encoded. Nothing was written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The log did not take them.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Why typed reading stopped, or gave no value for an event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TypedReadError {
    /// The log could not be read further.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event was read and could not be decoded. A typed iterator goes on with the next one.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}
