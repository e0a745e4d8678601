//! The state of a stream, and what a section does to it.
//!
//! Owns the rules of FORMAT.md section 6 for streams. Pure: whoever numbers an append and whoever reads it back come to the same
//! state by the same way.

use crate::error::Fault;
use crate::format::bytes::expect;
use crate::format::cell::Run;
use std::sync::Arc;

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

/// A change of a stream, and the state that it leads to. Whoever has it knows which stream it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamChange {
    pub(crate) hash: u64,
    pub(crate) state: StreamState,
    /// It registers the stream; it binds it to its tenant.
    pub(crate) effect: Effect,
    pub(crate) time: u64,
    pub(crate) change: Change,
}

/// What a change does beside the obvious.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Effect {
    pub(crate) registers: bool,
    pub(crate) binds: bool,
}

/// The state of a stream that conditions, readers and listings ask for again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamState {
    pub(crate) version: u64,
    pub(crate) first_kept: u64,
    /// Position of the last event that was ever appended; 0 if none was.
    pub(crate) last_position: u64,
    pub(crate) creation_ordinal: u64,
    pub(crate) registered: bool,
    pub(crate) tombstoned: bool,
    /// The tenant that it is bound to.
    pub(crate) tenant: Option<Arc<str>>,
}

/// What of a stream can be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readable {
    pub(crate) version: u64,
    pub(crate) first_kept: u64,
    pub(crate) tombstoned: bool,
}

impl Default for StreamState {
    /// A stream that nobody knows.
    fn default() -> StreamState {
        StreamState {
            version: 0,
            first_kept: 1,
            last_position: 0,
            creation_ordinal: 0,
            registered: false,
            tombstoned: false,
            tenant: None,
        }
    }
}

impl StreamState {
    pub(crate) fn readable(&self) -> Readable {
        let StreamState { version, first_kept, tombstoned, .. } = *self;
        Readable { version, first_kept, tombstoned }
    }

    /// Position of the last event that can be read; 0 if there is none.
    pub(crate) fn last_readable(&self) -> u64 {
        let readable = !self.tombstoned && self.first_kept <= self.version;
        if readable { self.last_position } else { 0 }
    }

    /// Whether a change read from disk fits. `starts_late`: the log begins behind its first segment, so that a stream may
    /// first be met in its middle, its state carried later on.
    pub(crate) fn check(&self, change: &Change, starts_late: bool) -> Result<(), Fault> {
        let unknown = starts_late && !self.registered;
        let alive = || expect("whether a tombstoned stream goes on", 0, u64::from(self.tombstoned));
        match change {
            Change::Events(run) => {
                alive()?;
                let due = if unknown { run.first_version.max(1) } else { self.version + 1 };
                expect("first version", due, run.first_version)
            }
            Change::Create { .. } => alive(),
            Change::TruncateBefore { first_kept } => {
                alive()?;
                expect("whether a stream is cut behind its end", 0, u64::from(*first_kept > self.version + 1))
            }
            Change::Tombstone | Change::Carry { .. } => Ok(()),
        }
    }

    /// Goes through a change that fits. `tenant` is the one that the section names; `last_creation` counts registrations.
    pub(crate) fn apply(
        &mut self,
        change: &Change,
        tenant: Option<&Arc<str>>,
        last_creation: &mut u64,
    ) -> Effect {
        let registers = !self.registered;
        if registers {
            self.registered = true;
            *last_creation += 1;
            self.creation_ordinal = *last_creation;
        }
        let binds = self.tenant.is_none() && tenant.is_some();
        if binds {
            self.tenant = tenant.cloned();
        }
        match change {
            Change::Events(run) => {
                (self.version, self.last_position) = (run.last_version(), run.last_position())
            }
            Change::Create { .. } => {}
            // Its runs stay: whoever reads it just now, or reads the log by them, must not miss any.
            Change::Tombstone => self.tombstoned = true,
            Change::TruncateBefore { first_kept } => self.first_kept = self.first_kept.max(*first_kept),
            Change::Carry { version, first_kept, creation_ordinal, tombstoned, .. } => {
                self.version = self.version.max(*version);
                self.first_kept = self.first_kept.max(*first_kept);
                self.creation_ordinal = *creation_ordinal;
                self.tombstoned |= tombstoned;
                *last_creation = (*last_creation).max(*creation_ordinal);
            }
        }
        Effect { registers, binds }
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

    fn goes(state: &mut StreamState, change: Change) -> Result<Effect, Fault> {
        state.check(&change, false)?;
        Ok(state.apply(&change, None, &mut 0))
    }

    #[test]
    fn versions_are_gapless_and_a_tombstone_ends_a_stream_for_good() {
        let mut stream = StreamState::default();
        let first = goes(&mut stream, run(1, 3)).unwrap();
        assert_eq!(first, Effect { registers: true, binds: false });
        assert_eq!(goes(&mut stream, run(4, 2)), Ok(Effect::default()));
        assert!(goes(&mut stream, run(7, 1)).is_err(), "a gap");
        assert!(goes(&mut stream, run(5, 1)).is_err(), "an overlap");
        assert_eq!((stream.version, stream.last_readable()), (5, 5));
        assert!(goes(&mut stream, Change::TruncateBefore { first_kept: 7 }).is_err(), "behind its end");
        goes(&mut stream, Change::TruncateBefore { first_kept: 6 }).unwrap();
        goes(&mut stream, Change::TruncateBefore { first_kept: 2 }).unwrap();
        assert_eq!((stream.first_kept, stream.last_readable(), stream.version), (6, 0, 5));
        goes(&mut stream, Change::Tombstone).unwrap();
        assert!(goes(&mut stream, run(6, 1)).is_err());
        assert!(goes(&mut stream, Change::Create { attributes: Box::default() }).is_err());
        assert_eq!(stream.version, 5);
    }

    #[test]
    fn a_stream_is_bound_once_and_registrations_are_counted() {
        let (shop, bank): (Arc<str>, Arc<str>) = ("shop".into(), "bank".into());
        let mut count = 6;
        let mut stream = StreamState::default();
        let create = Change::Create { attributes: Box::default() };
        let created = stream.apply(&create, None, &mut count);
        assert_eq!((created.registers, stream.creation_ordinal, count), (true, 7, 7));
        assert!(stream.apply(&run(1, 1), Some(&shop), &mut count).binds);
        assert!(!stream.apply(&run(2, 1), Some(&bank), &mut count).binds);
        assert_eq!((stream.tenant.as_deref(), stream.version, count), (Some("shop"), 2, 7));
    }
}
