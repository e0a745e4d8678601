//! What a store must do to take part: the one trait behind which all of them run.
//!
//! Owns the words that workloads and stores share. Must not favour anybody: a workload calls the trait and nothing else.

use measure::Outcome;

/// Events for one stream, appended only if the stream has the version that its author saw.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) stream: &'a str,
    /// The version that the stream has before; 0 if it is new.
    pub(crate) after: u64,
    pub(crate) payloads: &'a [&'a [u8]],
}

/// What was read, in a form that does not depend on its order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    digest: u64,
}

impl Tally {
    /// What every fold and every scan does with a payload: touch both ends.
    #[inline]
    pub(crate) fn add(&mut self, payload: &[u8]) {
        let ends = payload.first().zip(payload.last()).map_or(0, |(first, last)| u64::from(first ^ last));
        self.events += 1;
        self.bytes += payload.len() as u64;
        self.digest = self.digest.wrapping_add(ends);
    }
}

/// One store, open in its directory. Every call may come from many threads at once.
pub(crate) trait Store: Send + Sync {
    /// Appends all runs or none. Durable when it returns.
    fn append(&self, runs: &[Run<'_>]) -> Outcome<()>;

    /// The version of a stream: how many events it has.
    fn version(&self, _stream: &str) -> Outcome<u64> {
        Err("this store keeps no versions".into())
    }

    /// Reads all events of a stream, oldest first.
    fn fold(&self, _stream: &str, _tally: &mut Tally) -> Outcome<()> {
        Err("this store has no streams".into())
    }

    /// Reads all events in their global order.
    fn scan(&self) -> Outcome<Tally> {
        Err("this store has no global order".into())
    }

    /// Closes the store as its documentation says.
    fn close(self: Box<Self>) -> Outcome<()>;

    /// The sum of the versions of many streams. Provided, so that the loop runs inside: what is called through the trait is
    /// not the single look-up.
    fn versions(&self, streams: &[&str]) -> Outcome<u64> {
        streams.iter().try_fold(0, |sum, stream| Ok(sum + self.version(stream)?))
    }

    /// Folds many streams.
    fn folds(&self, streams: &[&str], tally: &mut Tally) -> Outcome<()> {
        streams.iter().try_for_each(|stream| self.fold(stream, tally))
    }
}

/// What a store can do: what it cannot is not asked of it, and stands as a dash in the tables.
#[derive(Clone, Copy, Default)]
pub(crate) struct Can {
    /// Refuses an append whose author saw another version.
    pub(crate) check: bool,
    /// Appends to many streams as one.
    pub(crate) atomic: bool,
    pub(crate) version: bool,
    pub(crate) fold: bool,
    pub(crate) scan: bool,
    /// Finds its events again when it is opened.
    pub(crate) reopen: bool,
}

impl Can {
    pub(crate) const ALL: Can =
        Can { check: true, atomic: true, version: true, fold: true, scan: true, reopen: true };
    pub(crate) const APPEND: Can =
        Can { check: false, atomic: true, version: false, fold: false, scan: false, reopen: false };
}

/// Where a store is to be opened, and what is to come.
pub(crate) struct Place<'a> {
    pub(crate) dir: &'a std::path::Path,
    /// How many events will be written at most: what the raw file makes ready ahead. No store is told.
    pub(crate) events: usize,
}

/// A store that takes part.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// The package whose version the report names; empty for the machine itself.
    pub(crate) package: &'static str,
    /// How it is used, in one sentence for the report.
    pub(crate) used: &'static str,
    pub(crate) can: Can,
    /// Whether concurrent appends are gathered in front of it: it does not share syncs by itself, or less well.
    pub(crate) gathered: bool,
    pub(crate) open: fn(&Place<'_>) -> Outcome<Box<dyn Store>>,
}
