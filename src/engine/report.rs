//! What recovery did: told to the caller, never printed.

use crate::error::{Fault, IoFault};
use crate::storage::DeviceRead;
use crate::types::Location;
use std::time::Duration;

/// What opening a log found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The log was made by this very open.
    pub created: bool,
    /// The last thing in the log says that it was closed.
    pub closed_cleanly: bool,
    /// Number of segments.
    pub segments: u64,
    /// Number of frames that were read.
    pub frames: u64,
    /// Number of events found.
    pub events: u64,
    /// Number of registered streams.
    pub streams: u64,
    /// A batch that was under way at a crash and was never acknowledged was cleared away (or, read-only, passed over).
    pub torn_tail: Option<TornTail>,
    /// A footer that was under way at a crash was cleared away.
    pub torn_footer: bool,
    /// Leftover temporary files that were removed.
    pub removed: Vec<String>,
    /// Files that do not belong to a log. Left alone.
    pub foreign: Vec<String>,
    /// What became of the checkpoint.
    pub checkpoint: CheckpointUse,
    /// What became of the files of the index.
    pub index: IndexUse,
    /// How sure it is that the tail was read from the device. `None` if read-only.
    pub tail_read: Option<DeviceRead>,
    /// How long it took.
    pub took: Duration,
}

/// Bytes that were taken out of the tail.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TornTail {
    /// Where they began.
    pub at: Location,
    /// How many, up to the last that was not zero.
    pub bytes: u64,
    /// The file in the log's directory that keeps a copy; or why there is none.
    pub saved_as: Result<String, IoFault>,
    /// What is wrong with the first of them.
    pub fault: Fault,
}

/// What became of the files of the index. In every case the log says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexUse {
    /// There are none: the log was read for all that it says.
    Missing,
    /// The log was read behind this position only.
    Covers {
        /// The last position that the files speak of.
        position: u64,
    },
    /// A file is missing, damaged, or of another log: the log was read for all that it says, and new files are made.
    Damaged {
        /// The file's number, which is its name.
        file: u64,
    },
}

/// What became of the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointUse {
    /// There is none.
    Missing,
    /// It names a place that the log has.
    Confirmed,
    /// It is damaged; a new one will be written.
    Damaged(Fault),
    /// It belongs to another log; a new one will be written.
    Foreign,
}
