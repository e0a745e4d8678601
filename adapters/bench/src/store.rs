//! Who takes part: a store of an interface, what it promises, and how its workloads are run.
//!
//! Owns the list. Must never leave out what a store does not promise: the report is made from what stands here.

use crate::watch::Watch;
use crate::{allsource, enact, eventcore, mako, this_rs};
use futures::future::LocalBoxFuture;
use measure::Outcome;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The adapter on a directory: what all others are compared with.
pub(crate) const ANNALS: &str = "Annals";

/// The adapter on a log in memory: what those that only have memory are compared with, too.
pub(crate) const ANNALS_IN_MEMORY: &str = "Annals in memory";

/// What a store promises when a call that writes has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Promise {
    /// It is synced to the device.
    Synced,
    /// The system has it: it survives the program, and no power cut.
    Unsynced,
    /// It is gone with the program.
    Memory,
}

impl Promise {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Promise::Synced => "durable",
            Promise::Unsynced => "not durable: not synced",
            Promise::Memory => "not durable: memory only",
        }
    }
}

/// A store of an interface.
pub(crate) struct Entry {
    pub(crate) interface: &'static str,
    pub(crate) name: &'static str,
    pub(crate) promise: Promise,
    /// What it does with a write, and how it is used here.
    pub(crate) used: &'static str,
    /// Opens it in an empty directory, runs its workloads, and closes it.
    pub(crate) run: for<'a> fn(&'a Path, &'a mut Watch) -> LocalBoxFuture<'a, Outcome<()>>,
}

/// All, the adapter first in each interface.
pub(crate) fn all() -> Vec<Entry> {
    [mako::entries(), eventcore::entries(), enact::entries(), allsource::entries(), this_rs::entries()]
        .into_iter()
        .flatten()
        .collect()
}
