//! Kept values: which names have one, its revision, and where it stands.
//!
//! Owns names and places, never a value: opening a log with a million overwritten values reads none of them.

use crate::error::Fault;
use crate::format::bytes::expect;
use crate::types::Location;
use std::collections::BTreeMap;
use std::ops::Bound;

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
}

#[derive(Debug, Default)]
pub(crate) struct KeptValues {
    places: BTreeMap<Box<str>, KeptPlace>,
    /// The last revision that was given.
    pub(crate) last_revision: u64,
}

impl KeptValues {
    pub(crate) fn get(&self, name: &str) -> Option<&KeptPlace> {
        self.places.get(name)
    }

    /// Names that start with `prefix` and are greater than `after`, in byte order.
    pub(crate) fn page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a str, &'a KeptPlace)> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.places
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(move |(name, _)| name.starts_with(prefix))
            .map(|(name, place)| (&**name, place))
    }

    /// Whether a revision read from disk is the next one. `starts_late`: the log may begin behind some of them.
    pub(crate) fn check(&self, revision: u64, starts_late: bool) -> Result<(), Fault> {
        let due = self.last_revision + 1;
        let due = if starts_late { due.max(revision) } else { due };
        expect("revision of a kept value", due, revision)
    }

    pub(crate) fn apply(&mut self, name: &str, revision: u64, place: Option<KeptPlace>) {
        self.last_revision = self.last_revision.max(revision);
        match (place, self.places.get_mut(name)) {
            // Most changes overwrite: the name is there already.
            (Some(place), Some(known)) => *known = place,
            (Some(place), None) => {
                self.places.insert(name.into(), place);
            }
            (None, _) => {
                self.places.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_of_a_name_counts() {
        let mut kept = KeptValues::default();
        for (name, is_kept) in [("b", true), ("a", true), ("b", true), ("ab", true), ("a", false)] {
            let revision = kept.last_revision + 1;
            kept.check(revision, false).unwrap();
            let place = KeptPlace { revision, offset: 4096, segment: 1, len: 24, id_checksum: 0 };
            kept.apply(name, revision, is_kept.then_some(place));
        }
        assert_eq!((kept.get("b").unwrap().revision, kept.get("a")), (3, None));
        let names = |prefix, after| kept.page(prefix, after).map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(
            (names("", None), names("a", None), names("", Some("ab"))),
            (vec!["ab", "b"], vec!["ab"], vec!["b"])
        );
        assert!(
            kept.check(5, false).is_err() && kept.check(7, false).is_err(),
            "revisions neither repeat nor skip"
        );
        assert!(kept.check(7, true).is_ok() && kept.check(5, true).is_err());
    }
}
