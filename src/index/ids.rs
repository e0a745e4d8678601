//! Ids that callers gave to events: where in a segment they may stand.
//!
//! Owns hashes and positions; reading the event decides. Filled as far as somebody asked.

use hashbrown::HashTable;
use std::collections::BTreeMap;

/// The ids of one segment, as far as it was looked through.
#[derive(Debug, Default)]
pub(crate) struct SegmentIds {
    /// Hash of an id, and the position of its event.
    table: HashTable<(u64, u64)>,
    upto: u64,
}

/// By the segments' ordinals.
pub(crate) type IdTables = BTreeMap<u64, SegmentIds>;

impl SegmentIds {
    /// The last position that was looked at; 0 if none.
    pub(crate) fn upto(&self) -> u64 {
        self.upto
    }

    /// An event was looked at. Called in the order of positions.
    pub(crate) fn note(&mut self, position: u64, hash: Option<u64>) {
        if let Some(hash) = hash {
            self.table.insert_unique(hash, (hash, position), |(hash, _)| *hash);
        }
        self.upto = position;
    }

    /// Positions of events whose ids have this hash, the last one first.
    pub(crate) fn positions(&self, hash: u64) -> Vec<u64> {
        let of_hash = self.table.iter_hash(hash).filter(|(of, _)| *of == hash);
        let mut found: Vec<u64> = of_hash.map(|(_, position)| *position).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_stand_at_several_positions() {
        let mut ids = SegmentIds::default();
        for (position, hash) in [(5, Some(1)), (6, None), (7, Some(2)), (8, Some(1))] {
            ids.note(position, hash);
        }
        assert_eq!((ids.positions(1), ids.positions(2), ids.positions(3)), (vec![8, 5], vec![7], vec![]));
        assert_eq!(ids.upto(), 8);
    }
}
