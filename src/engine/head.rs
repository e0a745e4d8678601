//! Heads: the state of a stream or a kept value as conditions see it, durable or not.
//!
//! Owns the meaning of the conditions (the docs of `ExpectedVersion` and `KeptCondition`), and the states of the streams that
//! changed last: must never forget one that is not visible yet.

use crate::index::state::StreamState;
use crate::types::{ExpectedVersion, KeptCondition};
use hashbrown::HashTable;
use smallvec::SmallVec;

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
    pub(crate) streams: Vec<Head>,
    pub(crate) kept: Vec<KeptHead>,
}

impl Heads {
    pub(crate) fn clear(&mut self) {
        self.streams.clear();
        self.kept.clear();
    }
}

/// How many streams whose state is visible are remembered all the same.
const SETTLED_MAX: usize = 14_000;

/// The heads of the streams that changed last: of all whose state is not visible yet, and of some more, whose next append then
/// asks nobody.
#[derive(Debug, Default)]
pub(crate) struct LastHeads {
    table: HashTable<(u64, IdBytes, Head)>,
}

/// The bytes of a stream's id, which must be compared each time: those of usual length stand beside the hash.
type IdBytes = SmallVec<[u8; 40]>;

fn is_of(id: &str, hash: u64) -> impl Fn(&(u64, IdBytes, Head)) -> bool {
    move |(of, other, _)| *of == hash && **other == *id.as_bytes()
}

impl LastHeads {
    pub(crate) fn get(&self, id: &str, hash: u64) -> Option<&Head> {
        self.table.find(hash, is_of(id, hash)).map(|(_, _, head)| head)
    }

    pub(crate) fn set(&mut self, id: &str, hash: u64, head: Head) {
        match self.table.find_mut(hash, is_of(id, hash)) {
            Some((_, _, known)) => *known = head,
            None => {
                _ = self.table.insert_unique(hash, (hash, id.as_bytes().into(), head), |(hash, ..)| *hash)
            }
        }
    }

    /// What is in batches up to `batch` is visible now, and may be forgotten.
    pub(crate) fn settle(&mut self, batch: u64) {
        if self.table.len() > SETTLED_MAX {
            self.table.retain(|(_, _, head)| head.batch > batch);
            // A crowd of streams that came once must not pin memory for ever.
            if self.table.capacity() > 8 * SETTLED_MAX {
                self.table.shrink_to(SETTLED_MAX.max(self.table.len()), |(hash, ..)| *hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::streams::hash_of;

    #[test]
    fn what_is_not_visible_is_never_forgotten() {
        let mut heads = LastHeads::default();
        let id = |i: usize| format!("stream-{i}");
        let set = |heads: &mut LastHeads, i: usize, version: u64, batch: u64| {
            let state = StreamState { version, ..StreamState::default() };
            heads.set(&id(i), hash_of(&id(i)), Head { state, batch });
        };
        let version =
            |heads: &LastHeads, i: usize| heads.get(&id(i), hash_of(&id(i))).map(|head| head.state.version);
        (0..SETTLED_MAX).for_each(|i| set(&mut heads, i, 1, 1));
        heads.settle(1);
        assert_eq!(version(&heads, 7), Some(1), "few are remembered");
        // More than are remembered, all on their way; one of them for the second time.
        (SETTLED_MAX..12 * SETTLED_MAX).for_each(|i| set(&mut heads, i, 2, 2));
        set(&mut heads, 7, 2, 3);
        heads.settle(1);
        assert!((SETTLED_MAX..12 * SETTLED_MAX).all(|i| version(&heads, i) == Some(2)));
        assert_eq!((version(&heads, 7), version(&heads, 8)), (Some(2), None));
        heads.settle(2);
        assert_eq!((version(&heads, 7), version(&heads, SETTLED_MAX)), (Some(2), None));
        assert!(heads.table.capacity() < 4 * SETTLED_MAX, "memory of a crowd is given back");
    }
}
