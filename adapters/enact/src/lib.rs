//! The event stores of the [`enact_core`] runtime, on an [Annals](annals) log.
//!
//! * [`ExecutionStore`] is the kernel's persistence: `enact_core::kernel::persistence::EventStore`.
//! * [`StreamingStore`] is what the runtime's own `EventLog` and emitters write to: `enact_core::streaming::EventStore`.
//!
//! Both keep their events in one directory, durable when an append says `Ok`, beside whatever else the log carries. They are
//! two types, because both traits have a method `append`.
//!
//! The README has the tables: where things stand in the log, what is guaranteed, what becomes of bad input.

mod backend;
mod error;
mod execution;
mod seen;
mod stored;
mod streaming;

pub use error::Error;
pub use execution::ExecutionStore;
pub use streaming::StreamingStore;

/// The namespace of a store that was not given another one.
const NAMESPACE: &str = "enact";

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
