//! Answers: what the sequencer says of an append, on its way to whoever asked.
//!
//! Owns the values only; when they may be told is for the committer to say.

use crate::engine::request::{Draft, Request};
use crate::error::AppendError;
use crate::layer::Damage;
use crate::types::Location;
use std::sync::Arc;
use uuid::Uuid;

/// What was given to the events of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) first_position: u64,
    pub(crate) events: u32,
    pub(crate) time: u64,
    /// One for each section about a stream that the caller asked for, in order.
    pub(crate) runs: Runs,
    /// One for each section about a kept value, in order.
    pub(crate) kept: Vec<AssignedKept>,
    /// It was appended before, and this is what it was given then.
    pub(crate) repeated: bool,
}

/// What was given to the events of one section. Without events: first is last + 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AssignedRun {
    pub(crate) first_version: u64,
    pub(crate) last_version: u64,
    pub(crate) first_position: u64,
    /// The section registered the stream.
    pub(crate) created: bool,
}

/// What was given to a kept value that was set or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AssignedKept {
    pub(crate) revision: u64,
    /// The revision that it had before.
    pub(crate) replaced: Option<u64>,
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
    /// An append with its key was made before: the answer is what that one was given, if it is the same. Asked of the
    /// stored bytes once they are visible; `result` says nothing then.
    pub(crate) repeats: Option<Arc<Repeat>>,
}

impl Sequenced {
    pub(crate) fn refused(error: AppendError) -> Sequenced {
        Sequenced { result: Err(error), batch: 0, written: false, repeats: None }
    }
}

/// What the repeat wants to append, and where its original stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Repeat {
    pub(crate) key: Uuid,
    pub(crate) place: Location,
    /// Ids of the streams, by party.
    pub(crate) streams: Vec<Box<str>>,
    pub(crate) drafts: Vec<Draft>,
    /// How many of the drafts are the caller's; what the log has added for a consumer stands behind them.
    pub(crate) compared: usize,
    pub(crate) body: Vec<u8>,
}

impl Repeat {
    pub(crate) fn new(request: &Request, place: Location) -> Repeat {
        Repeat {
            key: request.ids.first().copied().unwrap_or_default(),
            place,
            streams: request.streams.iter().map(|party| request.streams.id(party).into()).collect(),
            drafts: request.drafts.clone(),
            compared: request.own_from.unwrap_or(request.drafts.len()),
            body: request.body.clone(),
        }
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

/// What keeps the queue from going on until somebody, without the lock, has done something about it.
pub(crate) enum Obstacle {
    /// A file of the index is damaged: it must be mended.
    Damage(Damage),
    /// The recent ids must be read from the log.
    IdsUnread,
}

/// Why an append cannot be, or not now.
pub(crate) enum Refusal {
    /// With the batch that the answer rests on.
    Told(AppendError, u64),
    /// The index must be mended first.
    Unknown(Damage),
}

impl From<Damage> for Refusal {
    fn from(damage: Damage) -> Refusal {
        Refusal::Unknown(damage)
    }
}
