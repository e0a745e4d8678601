//! What can go wrong in a store, as data.
//!
//! Owns the one error type of the crate. The traits answer with `anyhow::Error`; what is inside is always this.

use annals::{AppendError, CloseError, IoFault, LogState, ReadError, Status};

/// Why a store did not do what it was asked. In a trait's `anyhow::Error`, `downcast_ref` finds it:
///
/// ```
/// use annals_enact::{Error, ExecutionStore};
/// use enact_core::kernel::persistence::{EventStore, ExecutionEventData};
/// use enact_core::kernel::{ExecutionId, TenantId};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// let store = ExecutionStore::new(annals::EventLog::in_memory()?);
/// let execution = ExecutionId::new();
/// store.append(&execution, &TenantId::from("shop"), ExecutionEventData::ExecutionResumed).await?;
/// let refused = store.append(&execution, &TenantId::from("bank"), ExecutionEventData::ExecutionResumed).await;
/// assert!(matches!(refused.unwrap_err().downcast_ref(), Some(Error::ForeignTenant { .. })));
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The execution is bound to the tenant of its first append, for good. Nothing was written. Append as that tenant, or
    /// to an execution of this one.
    #[error("execution {execution:?} belongs to another tenant than {tenant:?}; nothing was written")]
    ForeignTenant {
        /// The execution.
        execution: String,
        /// The tenant that was named.
        tenant: String,
    },
    /// An id does not fit into a name of the log. Nothing was written. Use a shorter one.
    #[error("the {what} has {len} bytes, at most {max} fit; nothing was written")]
    TooLong {
        /// Which id.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The most that fit, in this namespace.
        max: usize,
    },
    /// A batch without events has no first sequence. Nothing was written. Append at least one event.
    #[error("the batch is empty: there is no first sequence to tell; nothing was written")]
    EmptyBatch,
    /// JSON cannot hold the event so that it comes back: a value nested more than some 120 deep, a number that is not
    /// finite. Nothing was written. Change the event.
    #[error("the event would not come back as it is: {0}; nothing was written")]
    Unstorable(#[source] serde_json::Error),
    /// An event that stands where the store's events stand is none of them, or says something else than its place: somebody
    /// wrote it without the store. The log holds its bytes; the events before and behind it can be read by asking for those
    /// after their sequences.
    #[error("event {version} of stream {stream:?} is not an event of this store: {source}")]
    Undecodable {
        /// The stream, as the log calls it.
        stream: String,
        /// The event's version in it.
        version: u64,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// The log refused the append; each variant says what to do. Unless it is [`AppendError::Poisoned`] with
    /// [`Outcome::Unknown`](annals::Outcome::Unknown), nothing was written.
    #[error("the log did not take it: {0}")]
    Append(#[from] AppendError),
    /// The log could not be read; each variant says what to do.
    #[error("the log cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The log takes no events now. The text says what to do.
    #[error("the log takes no events: {}", advice(.0))]
    NotReady(Box<Status>),
    /// The log is closed, but not everything went well.
    #[error("closing the log: {0}")]
    Close(#[from] CloseError),
    /// The async runtime ended before the log was closed. The log is closed when its last handle is dropped.
    #[error("the runtime ended before the log was closed: {0}")]
    Interrupted(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What is wrong with a log that takes no events, and what to do about it.
fn advice(status: &Status) -> String {
    match (&status.state, &status.disk_full) {
        (LogState::Closed, _) => "it is closed; open it again".to_owned(),
        (LogState::ReadOnly, _) => "it was opened to be read; open it for writing".to_owned(),
        (LogState::Poisoned(cause), _) => {
            format!("{cause}; close it and open it again, which decides from the disk what is there")
        }
        (_, Some(fault)) => no_room(fault),
        (state, None) => format!("it is in the state {state:?}"),
    }
}

fn no_room(fault: &IoFault) -> String {
    format!("{fault}; free some space, or see to what it says, and appends work again without reopening")
}
