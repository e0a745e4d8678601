//! All stores of mako-engine on one embedded, append-only event log: [`MakoStore`].
//!
//! Events, outbox, deadlines, process registry, snapshots, inbox, projection checkpoints, partners and dead letters, durable
//! when their methods return. Everything that one append carries is one commit. With the feature `v0_22`, the same type has
//! the traits of mako-engine 0.22 as well, on the same bytes: a log that was written with one version goes on with the other.
//!
//! ```
//! use annals_mako::MakoStore;
//! use mako_engine::builder::EngineBuilder;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path();
//! let store = MakoStore::open(path)?;
//! let engine = EngineBuilder::with_stores(store.clone(), store.clone(), store.clone())
//!     .with_event_store(store.clone())
//!     .with_snapshot_store(store.clone())
//!     .with_dead_letter_sink(store.clone())
//!     .build();
//! engine.assert_production_stores();
//! store.log().close()?;
//! # Ok(()) }
//! ```
//!
//! README.md says where everything stands in the log, what is guaranteed, what is refused, and what is different from the stores
//! that mako-engine brings along.
//!
//! # How it is built
//!
//! `stream`, `outbox`, `deadline`, `registry`, `inbox`, `checkpoint` and `value` do the work, on names (`places`), JSON
//! (`json`) and batches with conditions (`change`), and know no version of mako-engine. The texts in `traits` turn the types
//! of a version into that and back; they are compiled against each version, in `v0_23` and `v0_22`, beside what is of that
//! version alone.

#![allow(
    clippy::duplicate_mod,
    reason = "the texts in `traits` are compiled against each version of mako-engine"
)]

mod change;
mod checkpoint;
mod deadline;
mod failure;
mod inbox;
mod outbox;
mod places;
mod registry;
mod store;
mod stream;
#[cfg(feature = "v0_22")]
mod v0_22;
mod v0_23;
mod value;

pub use failure::{Failure, Part};
pub use store::MakoStore;

/// What the threads of a program may do with these types is part of their contract.
const _: () = {
    const fn send_sync<T: Send + Sync + Clone + 'static>() {}
    send_sync::<MakoStore>();
    send_sync::<Failure>();
};

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
