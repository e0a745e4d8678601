//! [Annals](annals) as the event log of this-rs: the framework's [`EventLog`](this::events::EventLog) trait on disk.
//!
//! What the framework publishes is durable when `append` returns, its consumers go on behind their last acknowledgement after a
//! restart or a crash, and subscriptions give every event, first what is there, then what comes.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! use annals_this::ThisLog;
//! use futures_util::StreamExt;
//! use this::core::events::{EntityEvent, EventEnvelope, FrameworkEvent};
//! use this::events::{EventLog, SeekPosition};
//! use this::prelude::Uuid;
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path();
//! let log = ThisLog::open(path)?;
//! let event = EntityEvent::Deleted { entity_type: "user".into(), entity_id: Uuid::new_v4() };
//! let seq_no = log.append(EventEnvelope::new(FrameworkEvent::Entity(event))).await?;
//! assert_eq!(seq_no, 1);
//!
//! let mut events = log.subscribe("mail", SeekPosition::LastAcknowledged).await?;
//! let envelope = events.next().await.expect("the log is open");
//! assert_eq!(envelope.event.action(), "deleted");
//! log.ack("mail", 1).await?;
//! # Ok(()) }
//! ```
//!
//! The calls are described at [`ThisLog`], what stands where in the log in the README.

mod envelope;
mod error;
mod followed;
mod log;

pub use error::ThisError;
pub use log::ThisLog;

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
