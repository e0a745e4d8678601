//! Heads: the state of a stream or a kept value as conditions see it, durable or not.
//!
//! Owns the meaning of the conditions (the docs of `ExpectedVersion` and `KeptCondition`). Pure.

use crate::index::streams::Stream;
use crate::types::{ExpectedVersion, KeptCondition};

/// The state of a stream as of the last append that was sequenced.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Head {
    pub(crate) version: u64,
    pub(crate) registered: bool,
    pub(crate) tombstoned: bool,
    /// The number of the tenant that it is bound to.
    pub(crate) tenant: u32,
    /// The batch that this state comes from; 0 if it is visible.
    pub(crate) batch: u64,
}

impl Head {
    pub(crate) fn visible(stream: &Stream) -> Head {
        Head {
            version: stream.version,
            registered: stream.registered,
            tombstoned: stream.tombstoned,
            tenant: stream.tenant,
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

/// The state of a kept value as of the last write that was sequenced.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KeptHead {
    /// `None`: there is no value.
    pub(crate) revision: Option<u64>,
    /// The batch that this state comes from; 0 if it is visible.
    pub(crate) batch: u64,
}

impl KeptHead {
    pub(crate) fn meets(&self, condition: KeptCondition) -> bool {
        match condition {
            KeptCondition::Any => true,
            KeptCondition::Absent => self.revision.is_none(),
            KeptCondition::Present => self.revision.is_some(),
            KeptCondition::Revision(revision) => self.revision == Some(revision),
        }
    }
}

/// The states of an append's parties, in their order.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    /// With the stream's number, if it has one.
    pub(crate) streams: Vec<(Option<u32>, Head)>,
    pub(crate) kept: Vec<KeptHead>,
}

impl Heads {
    pub(crate) fn clear(&mut self) {
        self.streams.clear();
        self.kept.clear();
    }
}
