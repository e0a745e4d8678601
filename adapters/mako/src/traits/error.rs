//! What this version calls what goes wrong.
//!
//! Compiled against each version of mako-engine.

use super::mako::error::EngineError;
use crate::failure::{Failure, Part};

impl From<Failure> for EngineError {
    fn from(failure: Failure) -> EngineError {
        match failure {
            Failure::Conflict { expected, actual } => EngineError::VersionConflict { expected, actual },
            Failure::Unwritable(text) => EngineError::Serialization(text),
            Failure::Unreadable(text) => EngineError::Deserialization(text),
            Failure::Store { part, text: message, transient } => match part {
                Part::Events => EngineError::Store { message, transient },
                Part::Outbox => EngineError::Outbox { message, transient },
                Part::Deadlines => EngineError::Deadline { message, transient },
                Part::Registry => EngineError::Registry { message, transient },
                Part::Snapshots => EngineError::Snapshot { message, transient },
                Part::Inbox => EngineError::Inbox { message, transient },
                Part::Partners => EngineError::Partner { message, transient },
                Part::DeadLetters => EngineError::DeadLetter { message, transient },
            },
        }
    }
}
