//! All stores of mako-engine on one embedded, append-only event log.

#![allow(
    clippy::duplicate_mod,
    reason = "the texts in `traits` are compiled against each version of mako-engine"
)]

mod change;
mod checkpoint;
mod deadline;
mod failure;
mod inbox;
mod json;
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
