//! [`TypedEvent`]: what a user says about an event type.
//!
//! Owns the trait and its defaults, no more: how it is used is in `codec.rs`.

use crate::typed::types::Types;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A Rust type whose values are events: an enum with a variant for each event type, or a struct for a single one.
///
/// serde's own attributes say how the JSON looks: `rename` sets a variant's event type apart from its name in Rust, `alias`
/// accepts an old one as well (to be listed in [`TypedEvent::TYPES`], too), `default` fills in what older events lack.
pub trait TypedEvent: Serialize + DeserializeOwned {
    /// The event types that it stands for, and where serde puts their names. A value of another one is not encoded and an
    /// event of another one not decoded: a variant renamed by accident is found by its first test, and never stored.
    const TYPES: Types;

    /// The version of the payload's schema, per event type: what is encoded now, and the newest that can be decoded. 1, if
    /// it never changed. Raise it with a change that serde's attributes do not bridge.
    fn schema_version(event_type: &str) -> u32 {
        let _ = event_type;
        1
    }

    /// Brings a payload of an older schema one step further, from `version` to `version + 1`. Called at reading, once for
    /// each step up to [`TypedEvent::schema_version`]; what is stored stays as it is.
    ///
    /// # Errors
    /// If the payload is not what that version had: `serde::de::Error::custom` makes an error of a text. It becomes the
    /// source of a [`DecodeFault::Upcast`](crate::typed::DecodeFault).
    fn upcast(event_type: &str, version: u32, payload: Value) -> Result<Value, serde_json::Error> {
        let _ = (event_type, version);
        Ok(payload)
    }
}
