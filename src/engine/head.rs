//! Heads: the state of a stream as conditions see it, durable or not.
//!
//! Owns the meaning of the conditions (the table in the docs of `ExpectedVersion`). Pure.

use crate::index::streams::Stream;
use crate::types::ExpectedVersion;

/// The state of a stream as of the last append that was sequenced.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Head {
    pub(crate) version: u64,
    pub(crate) registered: bool,
    pub(crate) tombstoned: bool,
    /// The batch that this state comes from; 0 if it is visible.
    pub(crate) batch: u64,
}

impl Head {
    pub(crate) fn visible(stream: &Stream) -> Head {
        Head {
            version: stream.version,
            registered: stream.registered,
            tombstoned: stream.tombstoned,
            batch: 0,
        }
    }

    pub(crate) fn meets(&self, expected: ExpectedVersion) -> bool {
        match expected {
            ExpectedVersion::Any => true,
            ExpectedVersion::NoStream => self.version == 0,
            ExpectedVersion::StreamExists => self.registered,
            ExpectedVersion::NotRegistered => !self.registered,
            ExpectedVersion::Exact(version) => self.version == version,
        }
    }
}
