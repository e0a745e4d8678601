//! The stream table: by hash, by id order, and each stream's runs.
//!
//! Owns what is known of each stream, and through its tenants who has which. A stream has a number, given when its id is first
//! interned and good for the life of the handle; it shows up in listings and look-ups once it is registered. The
//! interface takes ids, numbers and changes, so that a mapped base can come to stand under it.

use crate::error::Fault;
use crate::format::bytes::expect;
use crate::index::tenants::{NO_TENANT, Tenants};
use hashbrown::HashTable;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Consecutive events of one stream in one section of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first_version: u64,
    pub(crate) first_position: u64,
    pub(crate) time: u64,
    pub(crate) frame_offset: u64,
    pub(crate) segment: u32,
    /// Which entry of the frame's section table.
    pub(crate) section: u32,
    /// From the frame's start to the section's bytes.
    pub(crate) section_at: u32,
    pub(crate) section_len: u32,
    pub(crate) count: u32,
}

impl Run {
    pub(crate) fn last_version(&self) -> u64 {
        self.first_version + u64::from(self.count) - 1
    }

    pub(crate) fn last_position(&self) -> u64 {
        self.first_position + u64::from(self.count) - 1
    }
}

/// What one section does to one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Events(Run),
    Create {
        attributes: Box<[u8]>,
    },
    Tombstone,
    TruncateBefore {
        first_kept: u64,
    },
    Carry {
        version: u64,
        first_kept: u64,
        created: u64,
        last_append: u64,
        creation_ordinal: u64,
        tombstoned: bool,
        attributes: Box<[u8]>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamChange {
    pub(crate) number: u32,
    /// The tenant that the section names, or none.
    pub(crate) tenant: u32,
    pub(crate) time: u64,
    pub(crate) change: Change,
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: Arc<str>,
    hash: u64,
    pub(crate) version: u64,
    pub(crate) registered: bool,
    pub(crate) tombstoned: bool,
    pub(crate) first_kept: u64,
    /// The number of the tenant that it is bound to.
    pub(crate) tenant: u32,
    pub(crate) attributes: Box<[u8]>,
    pub(crate) created: u64,
    pub(crate) last_append: u64,
    pub(crate) creation_ordinal: u64,
    /// In ascending order of versions, without gaps from the first one on.
    pub(crate) runs: Vec<Run>,
}

impl Stream {
    /// Index of the run that holds `version`, or of the first one behind it.
    pub(crate) fn run_at(&self, version: u64) -> usize {
        self.runs.partition_point(|run| run.last_version() < version)
    }

    /// Index of the run that holds the first event at `position` or behind it.
    pub(crate) fn run_at_position(&self, position: u64) -> usize {
        self.runs.partition_point(|run| run.last_position() < position)
    }

    /// The version that the stream had before the event at `position`.
    pub(crate) fn version_before(&self, position: u64) -> u64 {
        match self.run_at_position(position).checked_sub(1) {
            Some(before) => self.runs[before].last_version(),
            None if self.runs.is_empty() => self.version,
            None => self.runs[0].first_version - 1,
        }
    }

    /// The version of the last event at `position` or before it.
    pub(crate) fn version_at(&self, position: u64) -> u64 {
        match self.runs.get(self.run_at_position(position)) {
            Some(run) if run.first_position <= position => {
                run.first_version + (position - run.first_position)
            }
            _ => self.version_before(position.saturating_add(1)),
        }
    }

    /// The position of a version; 0 if it has none.
    pub(crate) fn position_of(&self, version: u64) -> u64 {
        match self.runs.get(self.run_at(version)) {
            Some(run) if run.first_version <= version => run.first_position + (version - run.first_version),
            _ => 0,
        }
    }

    /// Position of the last event, 0 if there is none to be read.
    pub(crate) fn last_position(&self) -> u64 {
        let readable = !self.tombstoned && self.first_kept <= self.version;
        self.runs.last().filter(|_| readable).map_or(0, Run::last_position)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Stream numbers by hash of the id.
    table: HashTable<u32>,
    streams: Vec<Stream>,
    /// Registered streams by id bytes.
    order: BTreeMap<Arc<str>, u32>,
    last_creation: u64,
    pub(crate) tenants: Tenants,
    /// The log begins behind its first segment: a stream may first be met in its middle, its state carried later on.
    pub(crate) starts_late: bool,
}

impl Streams {
    /// The number of an id that was interned, registered or not.
    #[inline]
    pub(crate) fn find(&self, id: &str) -> Option<u32> {
        self.table.find(xxh3_64(id.as_bytes()), |n| &*self.streams[*n as usize].id == id).copied()
    }

    /// A stream by its number; numbers come from [`Streams::find`] and [`Streams::intern`] only.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> &Stream {
        &self.streams[number as usize]
    }

    /// A registered stream.
    #[inline]
    pub(crate) fn registered(&self, id: &str) -> Option<&Stream> {
        self.find(id).map(|number| self.get(number)).filter(|stream| stream.registered)
    }

    /// The number of an id; gives it one if it has none. Registers nothing.
    pub(crate) fn intern(&mut self, id: &str) -> u32 {
        let hash = xxh3_64(id.as_bytes());
        if let Some(number) = self.table.find(hash, |n| &*self.streams[*n as usize].id == id) {
            return *number;
        }
        let number = self.streams.len() as u32;
        self.streams.push(Stream {
            id: id.into(),
            hash,
            version: 0,
            registered: false,
            tombstoned: false,
            first_kept: 1,
            tenant: NO_TENANT,
            attributes: Box::default(),
            created: 0,
            last_append: 0,
            creation_ordinal: 0,
            runs: Vec::new(),
        });
        self.table.insert_unique(hash, number, |n| self.streams[*n as usize].hash);
        number
    }

    /// Whether a change read from disk fits the stream.
    pub(crate) fn check(&self, number: u32, change: &Change) -> Result<(), Fault> {
        let stream = self.get(number);
        let unknown = self.starts_late && !stream.registered;
        let alive = || expect("whether a tombstoned stream goes on", 0, u64::from(stream.tombstoned));
        match change {
            Change::Events(run) => {
                alive()?;
                let due = if unknown { run.first_version.max(1) } else { stream.version + 1 };
                expect("first version", due, run.first_version)
            }
            Change::Create { .. } => alive(),
            Change::TruncateBefore { first_kept } => {
                alive()?;
                expect(
                    "whether a stream is cut behind its end",
                    0,
                    u64::from(*first_kept > stream.version + 1),
                )
            }
            Change::Tombstone | Change::Carry { .. } => Ok(()),
        }
    }

    /// Applies a change that fits.
    pub(crate) fn apply(&mut self, change: StreamChange) {
        let StreamChange { number, tenant, time, change } = change;
        let stream = &mut self.streams[number as usize];
        let is_new = !stream.registered;
        if is_new {
            stream.registered = true;
            stream.created = time;
            self.last_creation += 1;
            stream.creation_ordinal = self.last_creation;
            self.order.insert(stream.id.clone(), number);
        }
        if stream.tenant == NO_TENANT && tenant != NO_TENANT {
            stream.tenant = tenant;
            self.tenants.bind(tenant, stream.creation_ordinal, number);
        }
        match change {
            Change::Events(run) => {
                stream.version = run.last_version();
                stream.last_append = time;
                stream.runs.push(run);
            }
            // Creating what exists changes nothing: only the first creation brings attributes.
            Change::Create { attributes } if is_new => stream.attributes = attributes,
            Change::Create { .. } => {}
            // Its runs stay: whoever reads it just now, or reads the log by them, must not miss any.
            Change::Tombstone => stream.tombstoned = true,
            Change::TruncateBefore { first_kept } => stream.first_kept = stream.first_kept.max(first_kept),
            Change::Carry {
                version,
                first_kept,
                created,
                last_append,
                creation_ordinal,
                tombstoned,
                attributes,
            } => {
                stream.version = stream.version.max(version);
                stream.first_kept = stream.first_kept.max(first_kept);
                stream.created = created;
                stream.last_append = stream.last_append.max(last_append);
                self.tenants.unbind(stream.tenant, stream.creation_ordinal, number);
                stream.creation_ordinal = creation_ordinal;
                self.tenants.bind(stream.tenant, creation_ordinal, number);
                stream.tombstoned |= tombstoned;
                stream.attributes = attributes;
                self.last_creation = self.last_creation.max(creation_ordinal);
            }
        }
    }

    /// How many streams are registered.
    pub(crate) fn count(&self) -> u64 {
        self.order.len() as u64
    }

    /// Registered streams whose ids start with `prefix` and are greater than `after`, in byte order.
    pub(crate) fn page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Stream> {
        self.page_numbered(prefix, after).map(|(_, stream)| stream)
    }

    /// The same with the streams' numbers.
    pub(crate) fn page_numbered<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> impl Iterator<Item = (u32, &'a Stream)> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.order
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(move |(id, _)| id.starts_with(prefix))
            .map(|(_, number)| (*number, self.get(*number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first_version: u64, count: u32) -> Change {
        let place = Run {
            first_version,
            first_position: first_version,
            time: 5,
            frame_offset: 4096,
            segment: 1,
            section: 0,
            section_at: 96,
            section_len: 64,
            count,
        };
        Change::Events(place)
    }

    fn apply(streams: &mut Streams, id: &str, change: Change) -> Result<(), Fault> {
        let number = streams.intern(id);
        streams.check(number, &change)?;
        streams.apply(StreamChange { number, tenant: NO_TENANT, time: 5, change });
        Ok(())
    }

    fn ids(streams: &Streams, prefix: &str, after: Option<&str>) -> Vec<String> {
        streams.page(prefix, after).map(|s| s.id.to_string()).collect()
    }

    #[test]
    fn versions_are_gapless_and_runs_are_found() {
        let mut streams = Streams::default();
        apply(&mut streams, "s", run(1, 3)).unwrap();
        apply(&mut streams, "s", run(4, 2)).unwrap();
        assert!(apply(&mut streams, "s", run(7, 1)).is_err(), "a gap");
        assert!(apply(&mut streams, "s", run(5, 1)).is_err(), "an overlap");
        let stream = streams.registered("s").unwrap();
        assert_eq!(stream.version, 5);
        assert_eq!([1, 3, 4, 5, 6].map(|v| stream.run_at(v)), [0, 0, 1, 1, 2]);
    }

    #[test]
    fn interning_registers_nothing() {
        let mut streams = Streams::default();
        let number = streams.intern("s");
        assert_eq!((streams.intern("s"), streams.find("s")), (number, Some(number)));
        assert!(streams.registered("s").is_none() && streams.count() == 0);
        apply(&mut streams, "s", Change::Create { attributes: Box::default() }).unwrap();
        assert_eq!((streams.registered("s").unwrap().version, streams.count()), (0, 1));
    }

    #[test]
    fn pages_are_in_byte_order_behind_the_cursor_present_or_not() {
        let mut streams = Streams::default();
        for id in ["k/0000000000000001", "k", "a", "kä", "l", "K"] {
            apply(&mut streams, id, run(1, 1)).unwrap();
        }
        assert_eq!(ids(&streams, "", None), ["K", "a", "k", "k/0000000000000001", "kä", "l"]);
        assert_eq!(ids(&streams, "k", None), ["k", "k/0000000000000001", "kä"]);
        assert_eq!(ids(&streams, "k", Some("k")), ["k/0000000000000001", "kä"]);
        assert_eq!(ids(&streams, "k", Some("k/00")), ["k/0000000000000001", "kä"], "absent cursor");
        assert_eq!(
            ids(&streams, "k", Some("a")),
            ["k", "k/0000000000000001", "kä"],
            "cursor before the prefix"
        );
        assert!(ids(&streams, "k", Some("z")).is_empty(), "cursor behind the prefix");
    }

    #[test]
    fn tombstones_end_a_stream_for_good() {
        let mut streams = Streams::default();
        apply(&mut streams, "s", run(1, 2)).unwrap();
        apply(&mut streams, "s", Change::Tombstone).unwrap();
        assert!(apply(&mut streams, "s", run(3, 1)).is_err());
        assert!(apply(&mut streams, "s", Change::Create { attributes: Box::default() }).is_err());
        assert_eq!(streams.registered("s").unwrap().version, 2);
    }
}
