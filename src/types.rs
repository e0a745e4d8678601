//! The small vocabulary that every floor shares: conditions, durability, places.
//!
//! Owns no behaviour beyond arithmetic and display. Must never import another module of the crate.

use std::fmt;

/// The largest number of a log, be it a position, version, revision, ordinal or batch number: 2^62 - 1 (FORMAT.md section 7).
pub(crate) const NUMBER_MAX: u64 = (1 << 62) - 1;

/// What an append demands of a stream before it adds to it.
///
/// Conditions are checked against everything that was appended before, durable or not yet, so that appends can be
/// pipelined. A condition that fails is a conflict, and nothing of the batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ExpectedVersion {
    /// No condition.
    #[default]
    Any,
    /// The stream has no event: its version is 0, whether it is registered or not. The same as `Exact(0)`.
    NoStream,
    /// The stream is registered, even if it has no event.
    StreamExists,
    /// The stream was never registered: for those who create it.
    NotRegistered,
    /// The stream has exactly this version, that is, this many events were appended to it.
    Exact(u64),
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExpectedVersion::Any => f.write_str("any version"),
            ExpectedVersion::NoStream => f.write_str("no events"),
            ExpectedVersion::StreamExists => f.write_str("an existing stream"),
            ExpectedVersion::NotRegistered => f.write_str("an unregistered stream"),
            ExpectedVersion::Exact(version) => write!(f, "version {version}"),
        }
    }
}

/// What a write demands of a kept value before it sets or deletes it.
///
/// Checked, like [`ExpectedVersion`], against everything that was written before, durable or not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum KeptCondition {
    /// No condition.
    #[default]
    Any,
    /// There is no value of this name.
    Absent,
    /// There is a value of this name.
    Present,
    /// The value is the one of this revision: nobody has set or deleted it since.
    Revision(u64),
}

impl fmt::Display for KeptCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeptCondition::Any => f.write_str("any value or none"),
            KeptCondition::Absent => f.write_str("no value"),
            KeptCondition::Present => f.write_str("a value"),
            KeptCondition::Revision(revision) => write!(f, "revision {revision}"),
        }
    }
}

/// What an append has survived when it returns: a ladder, each level includes the ones before.
///
/// Every append is synced as soon as the disk allows, whatever its level: a level only says how long the caller waits.
/// Readers and subscribers see events once they are [`Durability::Synced`], never before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// Accepted and numbered, in memory only. Survives nothing; a crash of the process may lose it.
    Sequenced,
    /// Handed to the operating system. Survives a crash of the process (`kill -9`), not a power cut.
    Written,
    /// On the device: `fdatasync` has returned. Survives a power cut. The default.
    #[default]
    Synced,
}

/// How segments are read. The results are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ReadMode {
    /// Through read-only memory mappings: no copy, and no system call for what is in memory. The default. A device that cannot
    /// deliver a page, or another program that truncates a segment, ends the process with SIGBUS. A segment takes up to two
    /// mappings: with one, the system reads ahead; through the other, short pieces come alone. A file for which the process has
    /// no mapping left (on Linux, `vm.max_map_count` says how many it may have) is read as with `Pread`.
    #[default]
    Map,
    /// With `pread` into buffers of the cursor: an input/output error is an error.
    Pread,
}

/// A place in the log: a segment's ordinal and a byte offset inside its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Ordinal of the segment, from 1; its file name is this number.
    pub segment: u64,
    /// Offset in that file, in bytes.
    pub offset: u64,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} offset {}", self.segment, self.offset)
    }
}
