//! What goes wrong, in the words of allsource: which stream, what was expected, what is there, what to do.
//!
//! Owns the texts and which variant stands for what. No cause is dropped on the way.

use allsource_core::domain::entities::{Event, EventStream};
use allsource_core::domain::value_objects::EntityId;
use allsource_core::error::AllSourceError;
use annals::{AppendError, ReadError, StreamInfo};
use std::fmt::Display;

/// A handle is not at the version that is stored.
pub(crate) fn conflict(entity: &EntityId, handle: u64, stored: u64) -> AllSourceError {
    let advice = if handle > stored {
        "the handle has events that were never stored; save_stream stores them"
    } else {
        "somebody else has appended: load the stream again and decide again"
    };
    AllSourceError::ConcurrencyError(format!(
        "stream {:?}: expected version {handle}, which the handle has, but version {stored} is stored; {advice}",
        entity.as_str()
    ))
}

/// A handle has another event at a version than the one that is stored.
pub(crate) fn parted(entity: &EntityId, version: u64, handle: &Event, stored: &Event) -> AllSourceError {
    let (expected, found) = (handle.id(), stored.id());
    let found = if found == expected {
        "it is stored with other contents".to_owned()
    } else {
        format!("event {found} is stored there")
    };
    AllSourceError::ConcurrencyError(format!(
        "stream {:?}: expected event {expected} at version {version}, as the handle has it, but {found}; somebody else \
         has appended: load the stream again and decide again",
        entity.as_str()
    ))
}

/// A handle is not at the version that it was told to expect.
pub(crate) fn unexpected(stream: &EventStream, expected: u64) -> AllSourceError {
    AllSourceError::ConcurrencyError(format!(
        "stream {:?}: expected version {expected}, as expect_version has set it, but the handle is at version {}; what was \
         set holds until it is set anew or cleared",
        stream.stream_id().as_str(),
        stream.current_version()
    ))
}

/// Something is wrong with a handle, or with an event for it.
pub(crate) fn invalid(entity: &EntityId, what: impl Display) -> AllSourceError {
    AllSourceError::ValidationError(format!("stream {:?}: {what}; nothing was stored", entity.as_str()))
}

/// The log has refused to append, and not for the version of the stream.
pub(crate) fn refused(entity: &EntityId, error: AppendError) -> AllSourceError {
    let text = format!("stream {:?}: {error}", entity.as_str());
    match error {
        AppendError::ForeignTenant { .. } => AllSourceError::ValidationError(text),
        AppendError::Empty { .. } | AppendError::TooLarge { .. } | AppendError::ReservedName { .. } => {
            AllSourceError::InvalidInput(text)
        }
        AppendError::ReadOnly => AllSourceError::ReadOnly(text),
        _ => AllSourceError::StorageError(text),
    }
}

/// A stream cannot be read.
pub(crate) fn unreadable(entity: &EntityId, error: &ReadError) -> AllSourceError {
    AllSourceError::StorageError(format!("stream {:?}: {error}", entity.as_str()))
}

/// Something is not in the log as it should be. It is called as the log calls it.
pub(crate) fn damaged(name: &str, what: impl Display) -> AllSourceError {
    AllSourceError::StorageError(format!("{name:?} in the log: {what}"))
}

/// A stream has fewer events than its version says.
pub(crate) fn incomplete(info: &StreamInfo, found: u64) -> AllSourceError {
    damaged(&info.id, format_args!("only {found} of its {} events are there", info.version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use annals::{Outcome, PoisonCause};

    fn variant(error: &AllSourceError) -> &'static str {
        match error {
            AllSourceError::ConcurrencyError(_) => "concurrency",
            AllSourceError::ValidationError(_) => "validation",
            AllSourceError::InvalidInput(_) => "input",
            AllSourceError::ReadOnly(_) => "read only",
            AllSourceError::StorageError(_) => "storage",
            _ => "another",
        }
    }

    #[test]
    fn each_refusal_has_its_variant_and_names_the_stream() {
        let entity = EntityId::new("order-1".into()).unwrap();
        let stream = || "x".to_owned();
        let refused = |error| refused(&entity, error);
        for (error, expected, says) in [
            (
                conflict(&entity, 3, 5),
                "concurrency",
                "expected version 3, which the handle has, but version 5 is stored",
            ),
            (conflict(&entity, 3, 5), "concurrency", "load the stream again"),
            (conflict(&entity, 3, 2), "concurrency", "save_stream"),
            (
                refused(AppendError::ForeignTenant { stream: stream(), named: "bank".into() }),
                "validation",
                "bank",
            ),
            (
                refused(AppendError::TooLarge { what: "stream id", len: 9, max: 8 }),
                "input",
                "stream id has 9",
            ),
            (refused(AppendError::Empty { what: "event type" }), "input", "event type is empty"),
            (refused(AppendError::ReservedName { name: "annals/x".into() }), "input", "reserved"),
            (refused(AppendError::ReadOnly), "read only", "read-only"),
            (refused(AppendError::Closed), "storage", "closed"),
            (refused(AppendError::Gone { stream: stream() }), "storage", "tombstoned"),
            (
                refused(AppendError::Poisoned { cause: PoisonCause::Panic, outcome: Outcome::Unknown }),
                "storage",
                "outcome unknown until the log is reopened",
            ),
        ] {
            let text = error.to_string();
            assert_eq!(variant(&error), expected, "{text}");
            assert!(text.contains("stream \"order-1\"") && text.contains(says), "{text}");
        }
    }
}
