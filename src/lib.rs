//! An embedded, append-only event log.
//!
//! A program opens a directory and gets durable **streams** of **events**. Events of one stream carry the versions 1, 2, 3, ...
//! without gaps; all events of a log carry positions 1, 2, 3, ... in one global order. An append is atomic, over one stream or
//! over many, and conditional on the versions that its author has seen.
//!
//! ```
//! use annals::{EventLog, ExpectedVersion, NewEvent};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path();
//! let log = EventLog::open(path)?;
//!
//! // Durable when it returns. Ten threads that append at once share their syncs.
//! let done = log.append("order-42", ExpectedVersion::NoStream, &[NewEvent::new("OrderPlaced", r#"{"total":7}"#)])?;
//! assert_eq!((done.first_version, done.last_version), (1, 1));
//!
//! // Atomic over streams; numbered now, durable later: wait for it, poll it, or await it on any runtime.
//! let pending = log
//!     .batch()
//!     .append("order-42", ExpectedVersion::Exact(1), &[NewEvent::new("OrderPaid", "")])
//!     .append("stock-7", ExpectedVersion::Any, &[NewEvent::new("Reserved", "1")])
//!     .require("customer-1", ExpectedVersion::NoStream)
//!     .submit()?;
//! pending.wait()?;
//!
//! // Folds read straight out of the mapped segments, each event's checksum verified, nothing copied.
//! let bytes = log.fold_stream("order-42", 0, 0, |sum, event| sum + event.payload().len())?;
//! assert_eq!(bytes, 11);
//!
//! // Owned events share the segment's bytes and may be kept.
//! for event in log.read_all(0) {
//!     let event = event?;
//!     println!("{} {} {}", event.position(), event.stream(), event.event_type());
//! }
//! log.close()?;
//! # Ok(()) }
//! ```
//!
//! # Life on the log
//!
//! * [`EventLog::subscribe`]: follow what a [`Query`] describes, from the beginning, from a place or from now; blocking or async.
//! * [`EventLog::consumer`] and [`EventLog::group`]: readers with a durable place, alone or sharing the work, at least once or
//!   exactly once.
//! * [`EventLog::keep`]: small values under names, beside the events and in the same batches.
//! * [`EventLog::tenant`]: streams that belong to somebody.
//! * [`NewEvent::with_id`]: appends that can be repeated without harm ([`Options::idempotency_window`]).
//! * [`EventLog::create_stream`], [`EventLog::truncate_before`], [`EventLog::tombstone`]: streams made, cut and ended.
//! * With the feature `serde`, the module `typed`: events of your own types.
//!
//! # What is promised
//!
//! * **Acknowledged is durable.** When [`EventLog::append`] returns, `fdatasync` has returned for its bytes.
//! * **Nothing is shown that could vanish.** Reads, versions, listings and conflicts speak of durable events only. What was
//!   numbered and is not durable yet appears in the outcome of its own append and nowhere else.
//! * **Torn or corrupt is decided, never guessed.** After a crash the log ends behind its last complete append. Damage to
//!   acknowledged data is an error with an address, and nothing is changed: see FORMAT.md section 8 for the rules and for the
//!   one case that cannot be decided.
//! * **A failed sync is final.** The log refuses to write from then on ([`AppendError::Poisoned`]), never syncs again, and goes
//!   on being read. Opened again, it believes the device and not the page cache.
//! * **A full disk is an answer.** [`AppendError::DiskFull`] is given before anything is numbered; when there is space again,
//!   appends work again.
//!
//! # Threads and runtimes
//!
//! [`EventLog`] is a cheap handle, `Clone + Send + Sync`. Blocking calls may drive a commit themselves, on the caller's thread;
//! [`EventLog::submit`] never blocks on the disk and returns a [`Pending`], a plain future of no particular runtime. No lock is
//! held while the caller looks at an event.
//!
//! # Files
//!
//! The bytes on disk are described in FORMAT.md, completely. A closed log can be copied with its directory.

mod consumer;
mod engine;
mod error;
mod event;
mod format;
mod index;
mod layer;
mod options;
mod query;
mod segment;
pub mod storage;
mod sync;
#[cfg(feature = "serde")]
pub mod typed;
mod types;

pub use consumer::{
    Consumer, ConsumerError, Delivery, Group, GroupNext, GroupOptions, Parked, Received, Seek,
};
pub use engine::{
    Appended, BatchAppended, BatchBuilder, Canceller, CheckpointUse, Claim, Cursor, EventLog, Events,
    FromAssigned, IndexUse, KeptChanged, KeptValue, LogState, Next, Pending, RecoveryReport, Status,
    StreamAppended, StreamInfo, Subscription, Tenant, TornTail,
};
pub use error::{
    AppendError, CloseError, Corruption, Fault, IoFault, OpenError, Outcome, PoisonCause, ReadError,
};
pub use event::{Event, NewEvent, RecordedEvent};
pub use options::Options;
pub use query::Query;
pub use types::{Durability, ExpectedVersion, KeptCondition, Location, ReadMode};
pub use uuid::Uuid;

/// Limits of the format that callers may want to know before they meet them (FORMAT.md section 7).
pub mod limits {
    pub use crate::format::consumer::CONSUMER_NAME_BYTES_MAX;
    pub use crate::format::{ATTRIBUTES_BYTES_MAX, EVENT_TYPE_BYTES_MAX, NAME_BYTES_MAX};
}

/// What the threads of a program may do with these types is part of their contract.
const _: () = {
    const fn send_sync<T: Send + Sync + 'static>() {}
    const fn send<T: Send + 'static>() {}
    send_sync::<EventLog>();
    send_sync::<RecordedEvent>();
    send_sync::<AppendError>();
    send_sync::<Options>();
    send::<Pending<Appended>>();
    send::<Pending<BatchAppended>>();
    send::<Cursor>();
    send::<Events>();
    send::<Subscription>();
    send::<Consumer>();
    send::<Claim>();
    send_sync::<Group>();
    send::<Delivery>();
};

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
