//! The typed layer: events as Rust types, for users of serde. Feature `serde`.
//!
//! Owns the way from a value to an event and back. Must never touch a file, hold a lock or use more of the crate than any
//! other program can.
//!
//! # Tutorial
//!
//! An event type is an enum (or a struct) of serde's, and one line that lists the event types it stands for:
//!
//! ```
//! use annals::typed::{Metadata, TypedEvent, Types};
//! use annals::{EventLog, ExpectedVersion};
//! use serde::{Deserialize, Serialize};
//! use serde_json::{Value, json};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! enum Order {
//!     #[serde(rename = "OrderPlaced")]
//!     Placed { total: i64, currency: String },
//!     #[serde(rename = "OrderPaid")]
//!     Paid { amount: i64 },
//! }
//!
//! impl TypedEvent for Order {
//!     const TYPES: Types = Types::Variants(&["OrderPlaced", "OrderPaid"]);
//!
//!     // Since version 2 an order says its currency. What was stored before is brought up to it when it is read.
//!     fn schema_version(event_type: &str) -> u32 {
//!         if event_type == "OrderPlaced" { 2 } else { 1 }
//!     }
//!     fn upcast(_: &str, _: u32, mut payload: Value) -> Result<Value, serde_json::Error> {
//!         if let Some(order) = payload.as_object_mut() {
//!             order.insert("currency".into(), json!("EUR"));
//!         }
//!         Ok(payload) // and serde says what is wrong with it, if it is no object
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let log = EventLog::in_memory()?;
//! let request = Metadata::new().with_correlation_id("request-17").with("user", "anna")?;
//! let placed = Order::Placed { total: 42, currency: "CHF".into() };
//! log.append_typed("order-1", ExpectedVersion::NoStream, &[placed], &request)?;
//!
//! // Load the state, decide, append on the condition that nobody was faster.
//! let due = log.fold_typed("order-1", 0, 0, |due, event| match event {
//!     Order::Placed { total, .. } => due + total,
//!     Order::Paid { amount } => due - amount,
//! })?;
//! let paid = Order::Paid { amount: due.state };
//! log.append_typed("order-1", ExpectedVersion::Exact(due.version), &[paid], &request)?;
//!
//! // Any cursor can be typed. What it yields are the values, each with its event as it was recorded.
//! for event in log.read_stream("order-1", 1).typed::<Order>() {
//!     let event = event?;
//!     assert_eq!((event.value, event.recorded.version()), (Order::Paid { amount: 42 }, 2));
//!     // What follows from it belongs to the same request.
//!     let next = Metadata::caused_by(&event.recorded.as_event());
//!     assert_eq!(next.correlation_id().as_deref(), Some("request-17"));
//!     assert_eq!(next.causation_id(), Some(event.recorded.id().to_string()));
//! }
//! # Ok(()) }
//! ```
//!
//! Typed events go into a batch with [`BatchBuilder::append_typed`](crate::BatchBuilder::append_typed), and everywhere
//! else as [`Encoded`]; a lent event is decoded with [`Event::decode`](crate::Event::decode), also inside of a fold.
//!
//! # What is stored
//!
//! Nothing that another program could not read, or write, without this layer:
//!
//! * the event type, in full;
//! * the payload: JSON, of a variant without the tag, which the event type already is. `{"total":42,"currency":"CHF"}`; for
//!   a variant without contents, `null` (internally tagged: `{}`);
//! * the metadata: a JSON object, or nothing if it would be empty. The names `correlation_id` and `causation_id` (texts) and
//!   `schema_version` (a whole number from 1 to 2^32 - 1; absent or `null` means 1) have a meaning, all others are the
//!   user's.
//!
//! # What is refused
//!
//! An event type that [`TypedEvent::TYPES`] does not list, a schema version newer than the one known, and a payload that
//! serde refuses are each a [`DecodeError`], which says where the event stands. Nothing is guessed and nothing skipped; to
//! skip is the caller's decision, since a typed iterator goes on after an event that it could not decode.
//!
//! Metadata that is not a JSON object carries no schema version. Where the known version is 1, that means 1; where there are
//! several to choose from, it is an error.

mod codec;
mod error;
mod event;
mod log;
mod metadata;
mod types;

pub use codec::Encoded;
pub use error::{DecodeError, DecodeFault, EncodeError, MetadataError, TypedAppendError, TypedReadError};
pub use event::TypedEvent;
pub use log::{Decoded, Folded, TypedEvents};
pub use metadata::Metadata;
pub use types::Types;
