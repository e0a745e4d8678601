//! Recent ids: which appends near the end of the log carried which ids of the caller's.
//!
//! Owns the window: an append is remembered while its last event is among the last N positions. Both this and what
//! `relearn.rs` makes of the log after an open follow from the log alone, so a repeat is known before and after reopening alike.

use crate::types::Location;
use foldhash::fast::RandomState;
use std::collections::{HashMap, VecDeque};
use uuid::Uuid;

/// Which of the ids of an append is its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// None: its first event carries no id.
    None,
    First,
    /// Any may be, or is no id at all: the bytes are damaged.
    Any,
}

/// An append that carried ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) first_position: u64,
    pub(crate) last_position: u64,
    /// Where its frame stands, or will.
    pub(crate) place: Location,
    /// The batch that makes it durable; 0 if it is.
    pub(crate) batch: u64,
    pub(crate) key: Key,
    pub(crate) ids: Box<[Uuid]>,
}

/// What is known of the ids of an append that comes in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    New,
    /// Its key is that of this append.
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
}

impl RecentIds {
    pub(crate) fn new(window: u64) -> RecentIds {
        RecentIds { window, ..RecentIds::default() }
    }

    /// Looks an append's ids up. `end` is the last position that was given.
    pub(crate) fn look_up(&mut self, ids: &[Uuid], has_key: bool, end: u64) -> Seen {
        self.forget(end);
        if self.by_id.is_empty() {
            return Seen::New;
        }
        let found = |id: &Uuid| {
            let first = *self.by_id.get(id)?;
            self.appends.get(self.appends.partition_point(|append| append.first_position < first))
        };
        if let (Some(key), true) = (ids.first(), has_key)
            && let Some(append) = found(key)
            && (append.key == Key::Any || append.key == Key::First && append.ids.first() == Some(key))
        {
            return Seen::Key { place: append.place, batch: append.batch };
        }
        let other = ids.iter().find_map(|id| found(id).map(|append| (*id, append.batch)));
        other.map_or(Seen::New, |(id, batch)| Seen::Other { id, batch })
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(first_position: u64, ids: &[u128]) -> Remembered {
        let place = Location { segment: 1, offset: first_position * 100 };
        let ids: Box<[Uuid]> = ids.iter().map(|id| Uuid::from_u128(*id)).collect();
        let last_position = first_position + ids.len() as u64 - 1;
        Remembered { first_position, last_position, place, batch: 7, key: Key::First, ids }
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
}
