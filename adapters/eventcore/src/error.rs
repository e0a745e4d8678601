//! What goes wrong, for those traits whose error is ours to choose, and what the one trait calls it that has its own error.
//!
//! Owns both. Where the foreign error has no room for a cause, the cause goes to `tracing`; nothing is swallowed.

use annals::{AppendError, OpenError, ReadError, Uuid};
use eventcore_types::{EventStoreError, Operation, StreamId};
use std::fmt::Display;

/// Why something was not read, kept, claimed or opened.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The log could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The namespace cannot be used. Choose another one.
    #[error("namespace {namespace:?} {why}")]
    Namespace {
        /// The namespace.
        namespace: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The log could not be read. What was not damaged can be: see [`ReadError`].
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log did not take the write: see [`AppendError`]. Except for [`AppendError::Poisoned`], nothing of it was written.
    #[error(transparent)]
    Write(#[from] AppendError),
    /// A page was asked for behind a position that no log ever gave, such as one of another kind of store. Start from the
    /// beginning, or from a position that this store gave.
    #[error("{0} is not a position of this store")]
    ForeignPosition(Uuid),
    /// A selected event cannot be delivered as it is stored. It is there, and can be read with the log's own calls.
    #[error("the event at position {position}, in stream {stream:?}, has a malformed {field}: {detail}")]
    MalformedEvent {
        /// Its position.
        position: u64,
        /// Its stream, as eventcore would call it.
        stream: String,
        /// Which part of it.
        field: &'static str,
        /// What is wrong with that.
        detail: String,
    },
    /// What is kept as a checkpoint is none. Delete the kept value, or save the checkpoint again.
    #[error("the checkpoint {name:?} is {found:?}, which is no position")]
    MalformedCheckpoint {
        /// The subscription.
        name: String,
        /// What is kept.
        found: String,
    },
    /// Somebody else leads this projector, through another handle on the same log. Try again when they are done.
    #[error("{0:?} is led by another instance")]
    Led(String),
}

/// The failure of an operation. Its type says which operation it was and no more, so the cause goes to the program's traces.
pub(crate) fn failed(operation: Operation, cause: &dyn Display) -> EventStoreError {
    tracing::error!(%operation, %cause, "the event store failed");
    EventStoreError::StoreFailure { operation }
}

/// A stream that could not be read. Damaged bytes are what cannot be deserialized; that error has room to say where.
pub(crate) fn unreadable(stream_id: &StreamId, error: &ReadError) -> EventStoreError {
    match error {
        ReadError::Corrupt(corruption) => EventStoreError::DeserializationFailed {
            stream_id: stream_id.clone(),
            detail: corruption.to_string(),
        },
        error => failed(Operation::ReadStream, error),
    }
}

/// Something that the log did not take. What is wrong with the request itself is said in full, if a stream can be named for it.
pub(crate) fn refused(stream_id: Option<&StreamId>, error: &AppendError) -> EventStoreError {
    match (stream_id, error) {
        (Some(stream_id), AppendError::TooLarge { .. } | AppendError::Empty { .. }) => {
            EventStoreError::SerializationFailed { stream_id: stream_id.clone(), detail: error.to_string() }
        }
        _ => failed(Operation::AppendEvents, error),
    }
}
