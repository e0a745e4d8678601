//! An [Annals](annals) log under the traits of eventcore.
//!
//! [`EventCoreStore`] is an `EventStore`, `EventReader`, `CheckpointStore`, `ProjectorCoordinator` and `ProjectionSource` of
//! `eventcore-types`: commands are executed on it, projections run on it, with their checkpoints and their leadership in the same
//! log.
//!
//! ```
//! use annals_eventcore::EventCoreStore;
//! use eventcore_types::{CheckpointStore, StreamPosition};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path();
//! let store = EventCoreStore::open(path)?;
//! let position = StreamPosition::new(annals::Uuid::from_u128(7));
//! store.save("balances", position).await?; // durable here
//! assert_eq!(store.load("balances").await?, Some(position));
//! # Ok(()) }
//! ```
//!
//! The README has commands and projections, what stands where in the log, and what happens when something is wrong.

mod checkpoints;
mod coordinator;
mod error;
mod reader;
mod select;
mod snapshots;
mod source;
mod store;
mod streams;
mod watermark;

pub use coordinator::Leadership;
pub use error::StoreError;
pub use store::EventCoreStore;
