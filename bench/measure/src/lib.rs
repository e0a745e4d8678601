//! What all benchmarks share: series of values with their spread, tables, and what the machine itself does.
//!
//! Owns the words in which a figure is told: units, medians, ratios, tables, JSON files; and the looks at the machine that
//! need no privileges: the latency of a sync, what a device wrote, the syncs of a process, its memory, its bytes on disk. Must
//! know nothing of any store, nor of Annals.

pub mod device;
pub mod disk;
pub mod json;
pub mod machine;
pub mod marks;
pub mod process;
pub mod series;
pub mod syncs;
pub mod table;
pub mod unit;

pub use device::SyncLatency;
pub use machine::Machine;
pub use series::{Series, quantile};
pub use syncs::{Syncs, Verdict};
pub use table::Table;
pub use unit::Unit;

use std::error::Error;

/// What can fail in a benchmark is told and ends it: nobody looks at the kind.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// An error with what was being done when it came.
pub trait Context<T> {
    /// Adds what was being done.
    ///
    /// # Errors
    /// The same, with more words.
    fn context(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| format!("{}: {}", what(), error.into()).into())
    }
}
