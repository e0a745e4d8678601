//! Heads: the state of a stream or a kept value as conditions see it, durable or not.
//!
//! Owns the meaning of the conditions (the docs of `ExpectedVersion` and `KeptCondition`), and the states that are not
//! visible yet.

use crate::index::state::StreamState;
use crate::types::{ExpectedVersion, KeptCondition};
use hashbrown::HashTable;
use std::sync::Arc;

/// The state of a stream as of the last append that was sequenced.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) state: StreamState,
    /// The batch that this state comes from; 0 if it is visible.
    pub(crate) batch: u64,
}

impl Head {
    pub(crate) fn meets(&self, expected: ExpectedVersion) -> bool {
        let StreamState { version, registered, .. } = self.state;
        match expected {
            ExpectedVersion::Any => true,
            ExpectedVersion::NoStream => version == 0,
            ExpectedVersion::StreamExists => registered,
            ExpectedVersion::NotRegistered => !registered,
            ExpectedVersion::Exact(expected) => version == expected,
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
    /// With the stream's id as others share it, if somebody does.
    pub(crate) streams: Vec<(Option<Arc<str>>, Head)>,
    pub(crate) kept: Vec<KeptHead>,
}

impl Heads {
    pub(crate) fn clear(&mut self) {
        self.streams.clear();
        self.kept.clear();
    }
}

/// Streams with a state that is not visible yet.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    table: HashTable<(u64, Arc<str>, Head)>,
}

impl Unsettled {
    pub(crate) fn get(&self, id: &str, hash: u64) -> Option<(&Arc<str>, &Head)> {
        if self.table.is_empty() {
            return None;
        }
        self.table.find(hash, |(_, other, _)| **other == *id).map(|(_, id, head)| (id, head))
    }

    pub(crate) fn set(&mut self, id: &Arc<str>, hash: u64, head: Head) {
        match self.table.find_mut(hash, |(_, other, _)| other == id) {
            Some((_, _, known)) => *known = head,
            None => _ = self.table.insert_unique(hash, (hash, id.clone(), head), |(hash, ..)| *hash),
        }
    }

    /// Forgets a state, unless a later batch has changed it.
    pub(crate) fn settle(&mut self, id: &str, hash: u64, batch: u64) {
        if let Ok(entry) = self.table.find_entry(hash, |(_, other, _)| **other == *id)
            && entry.get().2.batch <= batch
        {
            entry.remove();
        }
    }
}
