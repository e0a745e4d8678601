//! From a value to the parts of an event, and back.
//!
//! Owns the decision which schema version an event has and what becomes of it. Must never guess one.

use crate::typed::error::{DecodeError, DecodeFault, EncodeError, MetadataError};
use crate::typed::event::TypedEvent;
use crate::typed::metadata::Metadata;
use crate::{Event, NewEvent, RecordedEvent};
use serde_json::{Deserializer, Value};

/// A typed event made ready to be appended, wherever a [`NewEvent`] can be.
///
/// ```
/// # use annals::{EventLog, ExpectedVersion, typed::{Encoded, Metadata, TypedEvent, Types}};
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Measured { celsius: f64 }
///
/// impl TypedEvent for Measured {
///     const TYPES: Types = Types::One("Measured");
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let log = EventLog::in_memory()?;
/// let event = Encoded::new(&Measured { celsius: 21.5 }, &Metadata::new())?;
/// log.submit("cellar", ExpectedVersion::Any, &[event.as_event()])?.wait()?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    event_type: &'static str,
    metadata: Vec<u8>,
    payload: Vec<u8>,
}

impl Encoded {
    /// Encodes a value. The schema version goes into the metadata, unless it is 1.
    ///
    /// JSON has no NaN and no infinities: serde writes `null` for them, which does not become a number again. Keep them
    /// out of events, or make them an `Option`.
    ///
    /// # Errors
    /// See [`EncodeError`].
    pub fn new<E: TypedEvent>(value: &E, metadata: &Metadata) -> Result<Encoded, EncodeError> {
        let json = serde_json::to_vec(value).map_err(EncodeError::Json)?;
        let (event_type, payload) = E::TYPES.split(json)?;
        let metadata = metadata.clone().with_schema_version(known::<E>(event_type)).to_bytes();
        Ok(Encoded { event_type, metadata, payload })
    }

    /// The event type of the value.
    pub fn event_type(&self) -> &'static str {
        self.event_type
    }

    /// The event to append. It borrows its parts, and may be given an id of its own.
    pub fn as_event(&self) -> NewEvent<'_> {
        NewEvent::new(self.event_type, &self.payload).with_metadata(&self.metadata)
    }
}

impl Event<'_> {
    /// The event as a value of a type: for lent events, such as those of a cursor or inside of
    /// [`EventLog::try_fold_stream`](crate::EventLog::try_fold_stream). Feature `serde`.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode<E: TypedEvent>(&self) -> Result<E, DecodeError> {
        decode(self).map_err(|fault| DecodeError {
            stream: self.stream().to_owned(),
            version: self.version(),
            position: self.position(),
            event_type: self.event_type().to_owned(),
            fault,
        })
    }
}

impl RecordedEvent {
    /// The event as a value of a type: also for what subscriptions, consumers and groups give. Feature `serde`.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode<E: TypedEvent>(&self) -> Result<E, DecodeError> {
        self.as_event().decode()
    }
}

fn decode<E: TypedEvent>(event: &Event<'_>) -> Result<E, DecodeFault> {
    let event_type = event.event_type();
    if !E::TYPES.names().contains(&event_type) {
        return Err(DecodeFault::UnknownType);
    }
    let known = known::<E>(event_type);
    let found = stored(event.metadata(), known).map_err(|source| DecodeFault::Metadata { known, source })?;
    if found > known {
        return Err(DecodeFault::NewerSchema { found, known });
    }
    let wrong = |source| DecodeFault::Payload { found, known, source };
    if found == known {
        let mut json = Deserializer::from_slice(event.payload());
        let value = E::TYPES.join(event_type, &mut json).map_err(wrong)?;
        json.end().map_err(wrong)?;
        return Ok(value);
    }
    let mut payload: Value = serde_json::from_slice(event.payload()).map_err(wrong)?;
    for step in found..known {
        payload = E::upcast(event_type, step, payload).map_err(|source| DecodeFault::Upcast {
            found,
            step,
            source,
        })?;
    }
    E::TYPES.join(event_type, payload).map_err(wrong)
}

/// The newest schema version of an event type. Versions count from 1.
fn known<E: TypedEvent>(event_type: &str) -> u32 {
    E::schema_version(event_type).max(1)
}

/// The schema version with which a payload was stored.
fn stored(metadata: &[u8], known: u32) -> Result<u32, MetadataError> {
    match Metadata::parse(metadata) {
        // There is only one that it can be: foreign metadata is no reason to refuse the event.
        Err(_) if known == 1 => Ok(1),
        parsed => parsed?.schema_version(),
    }
}
