//! Consumers: readers with a durable place in the log, alone or sharing the work.
//!
//! Owns what is built on subscriptions, claims and kept values, and nothing that those do not offer. A consumer's place is a
//! kept value, so that it can be written together with the events that the work has led to.

mod bell;
mod group;
mod lanes;
mod named;
mod options;
mod parked;

pub use group::{Delivery, Group, GroupNext};
pub use named::{Consumer, Received, Seek};
pub use options::GroupOptions;
pub use parked::Parked;

use crate::error::{AppendError, ReadError};

/// Why a consumer could not be had, or could not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumerError {
    /// Somebody in this process has the consumer of this name. Wait until that one is dropped, or take another name.
    #[error("consumer {name:?} is in use")]
    InUse {
        /// Its name.
        name: String,
    },
    /// Its place could not be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The log, or its place, could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}
