//! Answers: what the sequencer says of an append, on its way to whoever asked.
//!
//! Owns the values only; when they may be told is for the committer to say.

use crate::error::AppendError;

/// What was given to the events of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) first_position: u64,
    pub(crate) events: u32,
    pub(crate) time: u64,
    /// One for each section that the caller asked for, in order.
    pub(crate) runs: Runs,
}

/// What was given to the events of one section. Without events: first is last + 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AssignedRun {
    pub(crate) party: u32,
    pub(crate) first_version: u64,
    pub(crate) last_version: u64,
    pub(crate) first_position: u64,
}

/// One without a heap, as most appends have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Runs {
    One(AssignedRun),
    Many(Vec<AssignedRun>),
}

impl Runs {
    pub(crate) fn as_slice(&self) -> &[AssignedRun] {
        match self {
            Runs::One(run) => std::slice::from_ref(run),
            Runs::Many(runs) => runs,
        }
    }
}

/// An append that has its answer, which may be told once the batch is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sequenced {
    pub(crate) result: Result<Assigned, AppendError>,
    /// The batch that holds it, or the last one that its answer rests on; 0 if that is all durable already.
    pub(crate) batch: u64,
    /// Whether anything of it is in that batch.
    pub(crate) written: bool,
}

impl Sequenced {
    pub(crate) fn refused(error: AppendError) -> Sequenced {
        Sequenced { result: Err(error), batch: 0, written: false }
    }
}

/// Why an append must wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The open batch has no room; the next one will.
    Turn,
    /// No segment has room for a frame of so many bytes.
    Space { bytes: u64 },
}
