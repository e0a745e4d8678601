//! What can go wrong, as data.
//!
//! Owns the error type that callers find in every `anyhow::Error` of this crate. Must never hold a text that a program would have
//! to parse.

use annals::{AppendError, ReadError};

/// Why a call failed. The trait's methods return it inside of an `anyhow::Error`:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// use annals_this::{ThisError, ThisLog};
/// use this::events::EventLog;
///
/// let log = ThisLog::new(annals::EventLog::in_memory()?);
/// let error = log.ack("mail", 7).await.unwrap_err();
/// assert!(matches!(error.downcast_ref(), Some(ThisError::BeyondEnd { seq_no: 7, last: 0, .. })));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ThisError {
    /// The log did not take an event or a place. [`AppendError`] says why, and what to do about it; only for a poisoned log is
    /// it unknown whether anything was written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A place could not be read, or events that the consumer has not seen were removed ([`ReadError::Truncated`]): seek it to an
    /// event that is kept.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The namespace `annals` is the log's own. Choose another one.
    #[error("the namespace \"annals\" is the log's own")]
    ReservedNamespace,
    /// A name does not fit into the names of the log. Choose a shorter one.
    #[error("the {what} has {len} bytes, {max} fit into a name of the log")]
    NameTooLong {
        /// Which name: `consumer` or `namespace`.
        what: &'static str,
        /// Its length in bytes, as written in the log.
        len: usize,
        /// The most that fit.
        max: usize,
    },
    /// The event's data is nested so deeply that it could not be read again. Nothing was written.
    #[error(
        "the event's data has more than {max} arrays and objects inside of one another, and could not be read again"
    )]
    TooDeep {
        /// How many levels can be read.
        max: usize,
    },
    /// The event cannot be written as JSON. Nothing was written.
    #[error("the event cannot be written as JSON: {cause}")]
    Unencodable {
        /// What the encoder says.
        cause: String,
    },
    /// There is no such event yet: it cannot have been processed. The consumer's place is as it was.
    #[error("consumer {consumer:?} acknowledges event {seq_no}, but the last one is {last}")]
    BeyondEnd {
        /// The consumer.
        consumer: String,
        /// What it acknowledges.
        seq_no: u64,
        /// The last event of the log, 0 if there is none.
        last: u64,
    },
    /// The kept value that should be the consumer's place is something else, which this adapter did not write. Acknowledge or
    /// seek to set it anew.
    #[error("the place of consumer {consumer:?} is not a number: {found:?}")]
    NotAPlace {
        /// The consumer.
        consumer: String,
        /// What is there, as far as it is text.
        found: String,
    },
}
