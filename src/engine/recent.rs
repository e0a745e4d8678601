//! Recent ids: which appends near the end of the log carried which ids of the caller's.
//!
//! Owns the window: an append is remembered while its last event is among the last N positions. Both this and what
//! `relearn.rs` makes of the log after an open follow from the log alone, so a repeat is known before and after reopening alike.

use crate::format::record::ID_BYTES;
use crate::types::Location;
use foldhash::fast::RandomState;
use std::collections::{HashMap, VecDeque};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// An append that carried ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) first_position: u64,
    pub(crate) last_position: u64,
    /// Where its frame stands, or will.
    pub(crate) place: Location,
    /// The batch that makes it durable; 0 if it is.
    pub(crate) batch: u64,
    /// Its first event carries the first of the ids: the key of the append.
    pub(crate) keyed: bool,
    pub(crate) ids: Box<[Uuid]>,
}

/// Bytes of the log that are damaged, so that nobody knows which ids are in them, and of which appends.
#[derive(Debug)]
struct Gap {
    last_position: u64,
    /// Where a frame stands, or its header stood, that cannot be read.
    place: Location,
    /// Hashes of everything in them that may be an id, in order.
    ids: Box<[u64]>,
}

/// What is known of the ids of an append that comes in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    New,
    /// Its key is that of this append, or one of its ids may be in this one, which is damaged.
    Key {
        place: Location,
        batch: u64,
    },
    /// This id stands in another append of this batch.
    Other {
        id: Uuid,
        batch: u64,
    },
}

#[derive(Debug, Default)]
pub(crate) struct RecentIds {
    window: u64,
    /// In log order.
    appends: VecDeque<Remembered>,
    /// First position of the append that carries the id.
    by_id: HashMap<Uuid, u64, RandomState>,
    /// In log order.
    gaps: VecDeque<Gap>,
}

impl RecentIds {
    pub(crate) fn new(window: u64) -> RecentIds {
        RecentIds { window, ..RecentIds::default() }
    }

    /// Looks an append's ids up. `end` is the last position that was given.
    pub(crate) fn look_up(&mut self, ids: &[Uuid], has_key: bool, end: u64) -> Seen {
        self.forget(end);
        if self.by_id.is_empty() && self.gaps.is_empty() {
            return Seen::New;
        }
        let found = |id: &Uuid| {
            let first = *self.by_id.get(id)?;
            self.appends.get(self.appends.partition_point(|append| append.first_position < first))
        };
        if let (Some(key), true) = (ids.first(), has_key)
            && let Some(append) = found(key)
            && append.keyed
            && append.ids.first() == Some(key)
        {
            return Seen::Key { place: append.place, batch: append.batch };
        }
        let other = ids.iter().find_map(|id| found(id).map(|append| (*id, append.batch)));
        if let Some((id, batch)) = other {
            return Seen::Other { id, batch };
        }
        let may_be_in = |gap: &&Gap| ids.iter().any(|id| gap.ids.binary_search(&hash(id.as_bytes())).is_ok());
        self.gaps.iter().find(may_be_in).map_or(Seen::New, |gap| Seen::Key { place: gap.place, batch: 0 })
    }

    /// Remembers everything in damaged bytes that may be an id. Ids stand at multiples of 8; most of what does is none, and will
    /// not be asked for. Takes no more memory than the bytes.
    pub(crate) fn note_gap(&mut self, last_position: u64, place: Location, bytes: &[u8]) {
        if self.window == 0 {
            return;
        }
        let raw = (0..bytes.len()).step_by(8).filter_map(|at| bytes[at..].first_chunk::<ID_BYTES>());
        let mut ids: Vec<u64> = raw.map(hash).collect();
        ids.sort_unstable();
        ids.dedup();
        self.gaps.push_back(Gap { last_position, place, ids: ids.into() });
    }

    /// Remembers an append with new ids.
    pub(crate) fn note(&mut self, append: Remembered) {
        if self.window == 0 || append.ids.is_empty() {
            return;
        }
        for id in &append.ids {
            self.by_id.insert(*id, append.first_position);
        }
        let end = append.last_position;
        self.appends.push_back(append);
        self.forget(end);
    }

    pub(crate) fn forget(&mut self, end: u64) {
        while let Some(oldest) = self.appends.front()
            && oldest.last_position.saturating_add(self.window) <= end
        {
            for id in &oldest.ids {
                // An id that came back after the window is the later append's.
                if self.by_id.get(id) == Some(&oldest.first_position) {
                    self.by_id.remove(id);
                }
            }
            self.appends.pop_front();
        }
        while self.gaps.front().is_some_and(|gap| gap.last_position.saturating_add(self.window) <= end) {
            self.gaps.pop_front();
        }
    }
}

fn hash(id: &[u8; ID_BYTES]) -> u64 {
    xxh3_64(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(first_position: u64, ids: &[u128]) -> Remembered {
        let place = Location { segment: 1, offset: first_position * 100 };
        let ids: Box<[Uuid]> = ids.iter().map(|id| Uuid::from_u128(*id)).collect();
        let last_position = first_position + ids.len() as u64 - 1;
        Remembered { first_position, last_position, place, batch: 7, keyed: true, ids }
    }

    #[test]
    fn an_append_is_known_by_its_key_within_the_window_and_not_beyond() {
        let mut recent = RecentIds::new(10);
        recent.note(append(1, &[1, 2]));
        recent.note(append(3, &[3]));
        let ids = |ids: &[u128]| ids.iter().map(|id| Uuid::from_u128(*id)).collect::<Vec<_>>();
        let key = Seen::Key { place: Location { segment: 1, offset: 100 }, batch: 7 };
        assert_eq!(recent.look_up(&ids(&[1, 2]), true, 3), key);
        assert_eq!(
            recent.look_up(&ids(&[1]), true, 11),
            key,
            "its last event is the eleventh before the end"
        );
        let other = |id| Seen::Other { id: Uuid::from_u128(id), batch: 7 };
        assert_eq!(recent.look_up(&ids(&[2]), true, 11), other(2), "not the first event");
        assert_eq!(recent.look_up(&ids(&[1]), false, 11), other(1), "the first event has no id");
        assert_eq!(recent.look_up(&ids(&[9, 3]), true, 11), other(3));
        assert_eq!(recent.look_up(&ids(&[1, 2]), true, 12), Seen::New, "fell out of the window");
        assert_eq!((recent.appends.len(), recent.by_id.len()), (1, 1));
        recent.note(append(13, &[3, 4]));
        assert_eq!((recent.appends.len(), recent.by_id.len()), (1, 2), "an id that came back stays");
    }

    #[test]
    fn what_may_be_in_a_gap_is_told_within_the_window_and_hides_nothing_that_is_known() {
        let mut recent = RecentIds::new(10);
        let id = Uuid::from_u128(7 << 64 | 9);
        let bytes = [&[1; 8], &id.as_bytes()[..], Uuid::from_u128(3).as_bytes(), &[1; 4]].concat();
        let place = Location { segment: 2, offset: 4096 };
        recent.note_gap(2, place, &bytes);
        recent.note(append(3, &[3]));
        let gap = Seen::Key { place, batch: 0 };
        assert_eq!(
            (recent.look_up(&[id], true, 11), recent.look_up(&[id], false, 11)),
            (gap, Seen::Key { place, batch: 0 })
        );
        let known = Seen::Key { place: Location { segment: 1, offset: 300 }, batch: 7 };
        assert_eq!(recent.look_up(&[Uuid::from_u128(3)], true, 11), known);
        assert_eq!(recent.look_up(&[Uuid::from_u128(5)], true, 11), Seen::New);
        assert_eq!(
            (recent.look_up(&[id], true, 12), recent.gaps.len()),
            (Seen::New, 0),
            "fell out of the window"
        );
    }
}
