//! The overlay: what the newest part of the log says, in memory.
//!
//! Owns the streams and kept values that this part speaks of, and nothing about others: older layers stand below. Each entry
//! holds the state behind the last change, so that whoever finds one need not look further down for it.

use crate::format::cell::{Mark, Run};
use crate::index::marks::Marks;
use crate::index::state::{Change, StreamChange, StreamState};
use crate::types::Location;
use hashbrown::HashTable;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// A stream that this part of the log speaks of.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: Arc<str>,
    pub(crate) hash: u64,
    pub(crate) state: StreamState,
    /// When an event was last appended; 0 if none was in this part.
    pub(crate) last_append: u64,
    /// When and with what it was registered, if that was in this part.
    pub(crate) origin: Option<Origin>,
    /// Its runs in this part, in the order of versions. Where streams are many, few have more than one.
    pub(crate) runs: SmallVec<[Run; 1]>,
}

/// How a stream came into being.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Origin {
    pub(crate) created: u64,
    pub(crate) attributes: Box<[u8]>,
}

/// Where the newest value of a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptPlace {
    pub(crate) revision: u64,
    /// Offset of the section in its segment.
    pub(crate) offset: u64,
    pub(crate) segment: u32,
    pub(crate) len: u32,
    pub(crate) id_checksum: u32,
}

impl KeptPlace {
    pub(crate) fn location(&self) -> Location {
        Location { segment: u64::from(self.segment), offset: self.offset }
    }
}

/// What one section does to one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptChange {
    pub(crate) name: Box<str>,
    pub(crate) revision: u64,
    /// `None`: deleted.
    pub(crate) place: Option<KeptPlace>,
    /// There was a value just before.
    pub(crate) replaces: bool,
}

/// What this part of the log says about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptEntry {
    pub(crate) place: Option<KeptPlace>,
    /// There was a value before this part.
    pub(crate) had_value: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// Numbers of entries by hash of the id.
    table: HashTable<u32>,
    pub(crate) entries: Vec<Entry>,
    /// Those that were registered in this part, by id bytes.
    pub(crate) registered: BTreeMap<Arc<str>, u32>,
    /// By tenant: creation ordinals and numbers of the entries that were bound to it in this part, ascending.
    pub(crate) bound: BTreeMap<Arc<str>, Vec<(u64, u32)>>,
    pub(crate) kept: BTreeMap<Box<str>, KeptEntry>,
    pub(crate) marks: Marks,
    /// How many runs all entries have.
    pub(crate) runs: u64,
}

impl Overlay {
    /// An empty one with room for as many streams as this one has: the next part of the log will be much like it.
    pub(crate) fn next(&self) -> Overlay {
        Overlay {
            table: HashTable::with_capacity(self.entries.len()),
            entries: Vec::with_capacity(self.entries.len()),
            ..Overlay::default()
        }
    }

    #[inline]
    pub(crate) fn find(&self, id: &str, hash: u64) -> Option<&Entry> {
        let number = self.table.find(hash, |n| &*self.entries[*n as usize].id == id)?;
        self.entries.get(*number as usize)
    }

    pub(crate) fn apply(&mut self, id: &str, change: &StreamChange) {
        let StreamChange { hash, state, effect, time, change } = change;
        let found = self.table.find(*hash, |n| *self.entries[*n as usize].id == *id).copied();
        let number = found.unwrap_or_else(|| {
            let number = self.entries.len() as u32;
            self.entries.push(Entry {
                id: id.into(),
                hash: *hash,
                state: StreamState::default(),
                last_append: 0,
                origin: None,
                runs: SmallVec::new(),
            });
            self.table.insert_unique(*hash, number, |n| self.entries[*n as usize].hash);
            number
        });
        let entry = &mut self.entries[number as usize];
        let old_ordinal = entry.state.creation_ordinal;
        entry.state = state.clone();
        if effect.registers {
            entry.origin = Some(Origin { created: *time, attributes: Box::default() });
            self.registered.insert(entry.id.clone(), number);
        }
        match (change, &mut entry.origin) {
            (Change::Events(run), _) => {
                entry.last_append = *time;
                entry.runs.push(*run);
                self.runs += 1;
            }
            // Creating what exists changes nothing: only the first creation brings attributes.
            (Change::Create { attributes }, Some(origin)) if effect.registers => {
                origin.attributes = attributes.clone();
            }
            (Change::Carry { created, last_append, attributes, .. }, origin) => {
                entry.last_append = entry.last_append.max(*last_append);
                if let Some(origin) = origin {
                    *origin = Origin { created: *created, attributes: attributes.clone() };
                }
            }
            _ => {}
        }
        let ordinal = state.creation_ordinal;
        if let Some(tenant) = &state.tenant {
            if effect.binds {
                self.bind(tenant.clone(), ordinal, number);
            } else if ordinal != old_ordinal && old_ordinal > 0 {
                self.rebind(tenant, old_ordinal, ordinal, number);
            }
        }
    }

    fn bind(&mut self, tenant: Arc<str>, ordinal: u64, number: u32) {
        let streams = self.bound.entry(tenant).or_default();
        // Most streams are bound when they are created: that is an append to the list.
        let at = streams.partition_point(|(other, _)| *other < ordinal);
        streams.insert(at, (ordinal, number));
    }

    /// A carried state has brought another ordinal.
    fn rebind(&mut self, tenant: &Arc<str>, old: u64, new: u64, number: u32) {
        let Some(streams) = self.bound.get_mut(tenant) else { return };
        if let Ok(at) = streams.binary_search(&(old, number)) {
            streams.remove(at);
            self.bind(tenant.clone(), new, number);
        }
    }

    pub(crate) fn apply_kept(&mut self, change: &KeptChange) {
        match self.kept.get_mut(&change.name) {
            // Most changes overwrite: the name is there already.
            Some(known) => known.place = change.place,
            None => {
                let entry = KeptEntry { place: change.place, had_value: change.replaces };
                self.kept.insert(change.name.clone(), entry);
            }
        }
        // A value that came and went leaves nothing.
        if change.place.is_none() && self.kept.get(&change.name).is_some_and(|entry| !entry.had_value) {
            self.kept.remove(&change.name);
        }
    }

    /// Names that this part speaks of, from a prefix on or behind a name.
    pub(crate) fn kept_from<'a>(
        &'a self,
        from: Bound<&'a str>,
    ) -> impl Iterator<Item = (&'a str, &'a KeptEntry)> {
        self.kept.range::<str, _>((from, Bound::Unbounded)).map(|(name, entry)| (&**name, entry))
    }

    /// Streams that were registered in this part, from an id on or behind one.
    pub(crate) fn registered_from<'a>(&'a self, from: Bound<&'a str>) -> impl Iterator<Item = &'a Arc<str>> {
        self.registered.range::<str, _>((from, Bound::Unbounded)).map(|(id, _)| id)
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        self.marks.note(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_comes_and_goes_leaves_nothing() {
        let mut overlay = Overlay::default();
        let mut change = |name: &str, revision, is_kept: bool, replaces| {
            let place = KeptPlace { revision, offset: 4096, segment: 1, len: 24, id_checksum: 0 };
            let place = is_kept.then_some(place);
            overlay.apply_kept(&KeptChange { name: name.into(), revision, place, replaces });
            let names: Vec<_> =
                overlay.kept.iter().map(|(name, entry)| (&**name, entry.place.is_some())).collect();
            names.iter().map(|(name, is)| format!("{name}{}", if *is { "" } else { "-" })).collect::<String>()
        };
        assert_eq!(change("a", 1, true, false), "a");
        assert_eq!(change("b", 2, false, true), "ab-", "there was one before");
        assert_eq!(change("a", 3, true, true), "ab-");
        assert_eq!(change("a", 4, false, true), "b-");
        assert_eq!(change("b", 5, true, false), "b");
        assert_eq!(change("b", 6, false, true), "b-");
    }
}
