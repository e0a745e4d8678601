//! A job: one store, one task, one round, in a process of its own.
//!
//! Owns what a parent tells its child and what the child tells back, a line of JSON each. Must hold everything that a child
//! needs: it inherits nothing.

use measure::Unit;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) store: String,
    pub(crate) task: Task,
    /// The directory of this store, made by the parent.
    pub(crate) dir: PathBuf,
    pub(crate) events: usize,
    pub(crate) streams: usize,
    pub(crate) round: u64,
    /// How long one measurement may take; what is slow does a part.
    pub(crate) seconds: f64,
    /// How many events the job before this one left at least.
    pub(crate) left: u64,
    /// Only a few commits, between marks for the count of syncs.
    pub(crate) probe: bool,
}

/// The tasks. What they measure is with them, in `workloads`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Task {
    /// One thread, one event per append.
    Sync1,
    /// 4 threads, one event per append, each waiting for its own.
    Conc4,
    /// The same with 16 threads.
    Conc16,
    /// The same with 64 threads.
    Conc64,
    /// One thread, a hundred events per append.
    Batch100,
    /// One thread, atomic appends to a hundred streams each.
    Ingest,
    /// The ingest workload, then every way of reading, then to be killed while it appends.
    Load,
    /// Opens what another job left when it was killed, and closes it.
    ReopenKilled,
    /// Opens what another job closed, and closes it.
    ReopenClosed,
    /// One thread, one event per append, thousands in flight.
    Pipelined,
    /// Look-ups among many streams.
    Lookup,
    /// Opens, in a fresh process, what the look-ups left.
    LookupOpen,
    /// Appends alone, until a subscriber has them, and beside a thousand subscribers.
    Subscription,
}

impl Task {
    /// The name of its figures begins with this.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Task::Sync1 => "sync1",
            Task::Conc4 => "conc4",
            Task::Conc16 => "conc16",
            Task::Conc64 => "conc64",
            Task::Batch100 => "batch100",
            Task::Ingest => "ingest",
            Task::Load => "load",
            Task::ReopenKilled => "reopen.killed",
            Task::ReopenClosed => "reopen.closed",
            Task::Pipelined => "pipelined",
            Task::Lookup => "lookup",
            Task::LookupOpen => "lookup.open",
            Task::Subscription => "subscription",
        }
    }
}

/// What a child tells.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) figures: Vec<Figure>,
    /// How many syncs the commits between the marks demand at least.
    pub(crate) demanded: u64,
    /// How many events were acknowledged, or found.
    pub(crate) events: u64,
    /// The time was over before all was written.
    pub(crate) is_cut: bool,
}

/// One measured value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) value: f64,
}

impl Answer {
    pub(crate) fn push(&mut self, name: impl Into<String>, unit: Unit, value: f64) {
        self.figures.push(Figure { name: name.into(), unit, value });
    }
}
