//! Every error of the crate, as data: what went wrong, where, and in each variant's text what the caller can do.
//!
//! Owns the error types. Must never hold a lock, a file or a string that a program would have to parse.

use crate::types::{ExpectedVersion, KeptCondition, Location};
use std::io;
use uuid::Uuid;

/// What is wrong with some bytes. Always comes with a [`Location`] or a file name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A checksum over these bytes does not match.
    #[error("checksum of the {what} is {found:#010x}, its bytes give {expected:#010x}")]
    Checksum {
        /// What the checksum covers.
        what: &'static str,
        /// Computed from the bytes.
        expected: u32,
        /// Stored beside them.
        found: u32,
    },
    /// A field has a value that the format or its neighbours forbid.
    #[error("{what} is {found}, expected {expected}")]
    Field {
        /// The field.
        what: &'static str,
        /// What it should be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// A length or an offset points outside of what may hold it.
    #[error("{what} is {found}, more than {max}")]
    Length {
        /// The field.
        what: &'static str,
        /// What it says.
        found: u64,
        /// The most that can be.
        max: u64,
    },
    /// A kind that this version does not know.
    #[error("unknown kind {found} of {what}")]
    Kind {
        /// Of what.
        what: &'static str,
        /// The number found.
        found: u64,
    },
    /// Text that is not UTF-8.
    #[error("{what} is not UTF-8")]
    Utf8 {
        /// The field.
        what: &'static str,
    },
    /// The bytes are all zero where a frame should be.
    #[error("zeros where {what} should be")]
    Zeros {
        /// What should be there.
        what: &'static str,
    },
    /// Nothing valid here, although a frame at `witness` was written only after this was durable.
    #[error("acknowledged bytes are damaged ({cause}); the frame at offset {witness} was written after them")]
    Acknowledged {
        /// Offset of the later frame, in the same segment.
        witness: u64,
        /// What is wrong with the bytes here.
        cause: Box<Fault>,
    },
    /// An event carries an attribute that changes its meaning and that this version does not know.
    #[error("event has the attribute {tag:#06x}, which this version cannot interpret")]
    Attribute {
        /// The attribute's tag.
        tag: u16,
    },
}

/// Damage in acknowledged data. Nothing was changed on disk. Restore the file from a copy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("corrupt at {at}: {fault}")]
pub struct Corruption {
    /// Where.
    pub at: Location,
    /// What is wrong there.
    pub fault: Fault,
}

/// An operation of the operating system that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {operation} {file}: {kind}{}", os_code.map(|c| format!(" (os error {c})")).unwrap_or_default())]
pub struct IoFault {
    /// What was tried: `read`, `write`, `sync`, ...
    pub operation: &'static str,
    /// The file, relative to the log's directory.
    pub file: String,
    /// The kind of error.
    pub kind: io::ErrorKind,
    /// The operating system's own number, if it gave one.
    pub os_code: Option<i32>,
}

impl IoFault {
    pub(crate) fn new(operation: &'static str, file: &str, error: &io::Error) -> Self {
        IoFault { operation, file: file.to_owned(), kind: error.kind(), os_code: error.raw_os_error() }
    }

    /// Whether it is for lack of space that the operation failed.
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(self.kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Why a log could not be opened. In every case the directory is as it was, except that a torn tail may already have
/// been cleared by a recovery that failed later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory does not exist and creating it was not asked for, or a read-only open found no log in it.
    #[error("there is no log in {path}; open it with `create(true)` to make one")]
    NotFound {
        /// The directory.
        path: String,
    },
    /// The directory holds other things and no segment. Choose an empty directory, or restore the missing segments.
    #[error("{path} is not a log: it has no segment, but it has {found}")]
    NotALog {
        /// The directory.
        path: String,
        /// A name found there.
        found: String,
    },
    /// Another handle has the log open for writing, in this process or another. Close that one, or open read-only.
    #[error("{path} is already open for writing")]
    AlreadyOpen {
        /// The directory.
        path: String,
    },
    /// Written by a newer version of the format. Use a newer Annals. Nothing was changed.
    #[error("{file} has format version {found}; this build reads up to {supported}")]
    NewerVersion {
        /// The file.
        file: String,
        /// Its version.
        found: u16,
        /// The newest that this build knows.
        supported: u16,
    },
    /// Uses a feature that this build does not know. Use a newer Annals, or open read-only if `read_only_helps`.
    #[error("{file} uses unknown features {bits:#x}")]
    UnknownFeature {
        /// The file.
        file: String,
        /// The unknown bits.
        bits: u32,
        /// Whether a read-only open would work.
        read_only_helps: bool,
    },
    /// Acknowledged data is damaged. Nothing was changed. Restore the file from a copy.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// A segment file is not there. Put it back.
    #[error("segment {ordinal} is missing")]
    MissingSegment {
        /// Its ordinal.
        ordinal: u64,
    },
    /// A segment does not belong to the one before it: swapped, duplicated, from another log or an older copy.
    #[error("segment {ordinal} does not follow the one before it: {fault}")]
    ChainMismatch {
        /// The later of the two segments.
        ordinal: u64,
        /// What does not match.
        fault: Fault,
    },
    /// The checkpoint names a durable place that the log does not have. The end of the log is missing or was
    /// replaced: restore the newer segments, or remove the file `checkpoint` to accept the loss.
    #[error("the log was durable up to position {position} at {at}, but it does not reach that place")]
    LostTail {
        /// Where the log was known to be durable.
        at: Location,
        /// The last position at that time.
        position: u64,
    },
    /// An option is out of its bounds.
    #[error("option {option} is {found}, allowed is {min}..={max}")]
    InvalidOption {
        /// The option's name.
        option: &'static str,
        /// What was given.
        found: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// There is no room for the first segment. Free some space and open again.
    #[error("no space left for the log: {0}")]
    DiskFull(IoFault),
    /// The directory or a file cannot be written. Open read-only, or mend the permissions.
    #[error("the log cannot be written: {0}")]
    ReadOnly(IoFault),
    /// The operating system refused something else.
    #[error(transparent)]
    Io(#[from] IoFault),
}

/// Why an append, or another write, was not done. Except for [`AppendError::Poisoned`] with
/// [`Outcome::Unknown`], nothing of it was written and nothing will be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A stream is not at the version that the caller expected. Read it again, decide again, append again. From a
    /// blocking call or an awaited handle, `actual` is durable: a read started now shows at least that version.
    #[error("stream {stream:?}: expected {expected}, it is at version {actual}")]
    Conflict {
        /// The stream.
        stream: String,
        /// What was expected of it.
        expected: ExpectedVersion,
        /// Its version, 0 if it has no event.
        actual: u64,
    },
    /// A kept value is not as the caller expected. Get it again, decide again. As for [`AppendError::Conflict`], `actual`
    /// is durable.
    #[error("kept value {name:?}: expected {expected}, it has {}", Revision(*actual))]
    KeptConflict {
        /// Its name.
        name: String,
        /// What was expected of it.
        expected: KeptCondition,
        /// Its revision; `None` if there is no value of this name.
        actual: Option<u64>,
    },
    /// The stream was tombstoned. It takes no event ever again; use another id.
    #[error("stream {stream:?} is gone: it was tombstoned")]
    Gone {
        /// The stream.
        stream: String,
    },
    /// The stream is bound to another tenant than the one that was named. Streams never change their tenant.
    #[error("stream {stream:?} does not belong to tenant {named:?}")]
    ForeignTenant {
        /// The stream.
        stream: String,
        /// The tenant that was named.
        named: String,
    },
    /// An id was given to two events: twice in one append, or again within the window of
    /// [`Options::idempotency_window`](crate::Options::idempotency_window) with other events beside it, other contents,
    /// or cut into other appends. Repeat an append exactly as it was, or give new ids.
    #[error("event id {id} was used before, and not in an append like this one")]
    IdReused {
        /// The id.
        id: Uuid,
    },
    /// An append with these ids was made before, or may have been, but what is stored cannot be read to compare. If the error is
    /// one of the operating system's, try again; damage stays, and is no longer met once the ids have fallen out of the window.
    #[error("the append with event id {id} cannot be compared with the stored one: {error}")]
    OriginalUnreadable {
        /// The first event's id.
        id: Uuid,
        /// Why not.
        error: Box<ReadError>,
    },
    /// A version or a position lies behind the last one. Ask for the end first.
    #[error("{what} {asked} lies beyond the end, {end}")]
    BeyondEnd {
        /// What was named.
        what: &'static str,
        /// The number that was asked for.
        asked: u64,
        /// The largest one possible.
        end: u64,
    },
    /// The event was acknowledged before, or one behind it was: what it leads to must not be written again.
    #[error("position {position} is acknowledged already, the consumer stands at {place}")]
    AlreadyAcknowledged {
        /// The event's position.
        position: u64,
        /// The consumer's place.
        place: u64,
    },
    /// The batch was started on another log than the event comes from. Nothing was written to either.
    #[error("the batch belongs to another log")]
    OtherLog,
    /// Names that begin with `annals/` are the log's own: the places of its consumers. Use another name.
    #[error("kept name {name:?} begins with \"annals/\", which is reserved")]
    ReservedName {
        /// The name.
        name: String,
    },
    /// One batch demands two different things of one stream or kept value. Give each one condition.
    #[error("{stream:?} has two different conditions in one batch")]
    ContradictoryConditions {
        /// The stream or the kept value.
        stream: String,
    },
    /// The batch holds neither an event, nor a stream, nor a kept value, nor a check.
    #[error("the batch is empty")]
    EmptyBatch,
    /// A name or a part of an event is empty, although it must not be.
    #[error("{what} is empty")]
    Empty {
        /// What is empty.
        what: &'static str,
    },
    /// Something is longer than its limit (FORMAT.md section 7, or `append_bytes_max`).
    #[error("{what} has {len} bytes, allowed are {max}")]
    TooLarge {
        /// What is too long.
        what: &'static str,
        /// Its length in bytes (or, for `sections`, their number).
        len: u64,
        /// The most allowed.
        max: u64,
    },
    /// Only from the `try_` calls: the open batch has no room now. Try again, or use the call that waits.
    #[error("the open batch is full")]
    Full,
    /// The disk has no room for the next segment. Nothing was assigned; reads go on; appends work again as soon as
    /// there is space, without reopening.
    #[error("no space left on the disk: {0}")]
    DiskFull(IoFault),
    /// The next segment could not be made ready, for another reason than space. Nothing was assigned; every append that
    /// needs it tries again. See to what the error says: permissions, limits, a failing device.
    #[error("the next segment cannot be made ready: {0}")]
    SegmentUnavailable(IoFault),
    /// A write or a sync failed, now or earlier, and no more is tried. Close the log and open it again: recovery
    /// decides from the disk what is there.
    #[error("the log is poisoned: {cause}; this append: {outcome}")]
    Poisoned {
        /// The first failure.
        cause: PoisonCause,
        /// What became of this append.
        outcome: Outcome,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// The log was opened read-only.
    #[error("the log is open read-only")]
    ReadOnly,
}

/// What became of an append that met a poisoned log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing was written.
    NotWritten,
    /// It may or may not be on the disk. Only reopening tells.
    Unknown,
}

/// A revision that may be none, for messages.
struct Revision(Option<u64>);

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(revision) => write!(f, "revision {revision}"),
            None => f.write_str("none"),
        }
    }
}

impl AppendError {
    /// An append with this id may have been made, and cannot be looked at.
    pub(crate) fn unreadable(id: Uuid, error: ReadError) -> AppendError {
        AppendError::OriginalUnreadable { id, error: Box::new(error) }
    }

    /// What an append is told for which no segment could be made ready.
    pub(crate) fn no_segment(fault: IoFault) -> AppendError {
        if fault.is_disk_full() {
            AppendError::DiskFull(fault)
        } else {
            AppendError::SegmentUnavailable(fault)
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Outcome::NotWritten => "nothing was written",
            Outcome::Unknown => "outcome unknown until the log is reopened",
        })
    }
}

/// The first failure of a log that refuses to write since.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoisonCause {
    /// Writing or syncing a live segment, or its directory entry, failed.
    #[error(transparent)]
    Io(#[from] IoFault),
    /// A thread that was committing panicked.
    #[error("a committing thread panicked")]
    Panic,
    /// A file of the index is damaged, and so is the log from which it would be made anew. What can fail says so from now on;
    /// what cannot (versions, infos, lists and counts of streams) tells of a part of the log only, or of nothing.
    #[error("the index cannot be made anew: {0}")]
    Index(Box<ReadError>),
}

/// Why a read stopped. The cursor yields nothing more; what it gave before is right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// An event's bytes are damaged. Events before and after it can be read: start another cursor behind it.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// The operating system refused a read. In [`ReadMode::Map`](crate::ReadMode) most such faults kill the process
    /// with a signal instead.
    #[error(transparent)]
    Io(#[from] IoFault),
    /// The stream was tombstoned.
    #[error("stream {stream:?} is gone: it was tombstoned")]
    Gone {
        /// The stream.
        stream: String,
    },
    /// What was asked for was removed on purpose. Start at `first` or later.
    #[error("events before {first} were removed")]
    Truncated {
        /// The first version (of a stream) or position (of the log) that is kept.
        first: u64,
    },
    /// Only from subscriptions: the log is poisoned, so that no further event can come. Everything visible was given
    /// before. Open the log again and subscribe behind the last event.
    #[error("no more events can come, the log is poisoned: {0}")]
    Poisoned(PoisonCause),
}

/// Why a close could not make everything durable and say so on disk. The log is closed all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The log was poisoned before or during the close.
    #[error("the log is poisoned: {0}")]
    Poisoned(PoisonCause),
    /// Everything acknowledged is durable, but no room was found for values that were set lazily since the last commit.
    #[error("everything acknowledged is durable, but values set lazily were lost: {0}")]
    LazyLost(IoFault),
    /// Everything appended is durable, but the checkpoint could not be written. The next open does without.
    #[error("everything is durable, but the checkpoint was not written: {0}")]
    Checkpoint(IoFault),
}
