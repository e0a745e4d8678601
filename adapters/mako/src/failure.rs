//! What goes wrong, before a version of mako-engine has a word for it.
//!
//! Owns the one error of this crate. Each version turns it into its `EngineError`, beside its traits.

use annals::{AppendError, ExpectedVersion, ReadError};
use std::fmt;

/// Which of the stores an error speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// Streams of events, and the checkpoints of projections.
    Events,
    /// The outbox.
    Outbox,
    /// Deadlines.
    Deadlines,
    /// The process registry.
    Registry,
    /// Snapshots.
    Snapshots,
    /// The inbox.
    Inbox,
    /// Trading partners.
    Partners,
    /// What was rejected.
    DeadLetters,
}

/// Why a call failed. Nothing of it was written, except where a [`Failure::Store`] says that the outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The stream is not at the version that was expected. Load it again, decide again, append again.
    #[error("expected version {expected}, the stream is at {actual}")]
    Conflict {
        /// What was expected.
        expected: u64,
        /// What is there, durable: a load that follows shows at least this version.
        actual: u64,
    },
    /// An event cannot be written: its payload is no JSON that could be read again.
    #[error("{0}")]
    Unwritable(String),
    /// What stands in a stream is not an event of mako-engine.
    #[error("{0}")]
    Unreadable(String),
    /// Anything else. The text says what and where.
    #[error("{part}: {text}")]
    Store {
        /// Which store.
        part: Part,
        /// What went wrong, in the words of whoever met it.
        text: String,
        /// Whether the same call may succeed later: the disk is full, and will not be for ever.
        transient: bool,
    },
}

impl Failure {
    pub(crate) fn new(part: Part, text: impl Into<String>) -> Failure {
        Failure::Store { part, text: text.into(), transient: false }
    }

    /// A write that the log refused.
    pub(crate) fn append(part: Part, error: &AppendError) -> Failure {
        if let AppendError::Conflict { expected, actual, .. } = error {
            let expected = if let ExpectedVersion::Exact(version) = expected { *version } else { 0 };
            return Failure::Conflict { expected, actual: *actual };
        }
        let transient = matches!(error, AppendError::DiskFull(_) | AppendError::SegmentUnavailable(_));
        Failure::Store { part, text: error.to_string(), transient }
    }

    /// The same, and of what it speaks.
    pub(crate) fn about(mut self, name: &str) -> Failure {
        if let Failure::Store { text, .. } = &mut self {
            *text = format!("{name:?}: {text}");
        }
        self
    }

    /// A read that the log refused.
    pub(crate) fn read(part: Part, what: &str, error: &ReadError) -> Failure {
        Failure::new(part, format!("{what} cannot be read: {error}"))
    }

    /// Something that JSON has no words for, or too many.
    pub(crate) fn encode(part: Part, what: &str, error: &serde_json::Error) -> Failure {
        Failure::new(part, format!("{what} cannot be written as JSON: {error}"))
    }

    /// A kept value that is not what its name says.
    pub(crate) fn decode(part: Part, name: &str, error: &impl fmt::Display) -> Failure {
        Failure::new(part, format!("kept value {name:?} is not what this store writes there: {error}"))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Events => "events",
            Part::Outbox => "outbox",
            Part::Deadlines => "deadlines",
            Part::Registry => "registry",
            Part::Snapshots => "snapshots",
            Part::Inbox => "inbox",
            Part::Partners => "partners",
            Part::DeadLetters => "dead letters",
        })
    }
}
