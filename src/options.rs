//! Options: every knob with its default, its bounds and what goes wrong at either end.
//!
//! Owns their validation, done once by open. Must never hold a knob that only a test would turn.

use crate::error::OpenError;
use crate::format::{BODY_BYTES_MAX, KEPT_BYTES_MAX};
use crate::types::{Durability, ReadMode};
use std::time::Duration;

/// How to open a log. Each option can be left at its default.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let log = annals::Options::new().segment_bytes(16 << 20).open(dir.path())?;
/// # log.close()?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    pub(crate) create: bool,
    pub(crate) segment_bytes: u64,
    pub(crate) batch_bytes: u64,
    pub(crate) append_bytes_max: u64,
    pub(crate) kept_bytes_max: u64,
    pub(crate) idempotency_window: u64,
    pub(crate) index_after_bytes: u64,
    pub(crate) durability: Durability,
    pub(crate) read_mode: ReadMode,
    pub(crate) verify_reads: bool,
    pub(crate) idle_witness_after: Duration,
    pub(crate) pad_commits: bool,
    pub(crate) background: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            create: true,
            segment_bytes: 64 << 20,
            batch_bytes: 4 << 20,
            append_bytes_max: 64 << 20,
            kept_bytes_max: 1 << 20,
            idempotency_window: 65_536,
            index_after_bytes: 16 << 20,
            durability: Durability::Synced,
            read_mode: ReadMode::Map,
            verify_reads: true,
            idle_witness_after: Duration::from_millis(25),
            pad_commits: false,
            background: true,
        }
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Options {
        Options::default()
    }

    /// Whether to make the directory and a log in it if there is none. Default: yes. Without it, a mistyped path is
    /// [`OpenError::NotFound`] and not a new, empty log.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Size that segment files grow to, in bytes. Default 64 MiB, allowed 64 KiB to 4 GiB. The first segments are smaller
    /// (64 KiB, doubling), and one append that needs more gets a larger one. Too small: many files, and a roll (four syncs)
    /// every few appends. Too large: recovery reads the last segment whole, into memory as far as it is used.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// How many bytes may wait in memory for the next commit. Default 4 MiB, allowed 4 KiB to 1 GiB. When they are there,
    /// appends wait their turn. Too small: crowds share fewer syncs. Too large: the last in a full batch waits long.
    pub fn batch_bytes(mut self, bytes: u64) -> Self {
        self.batch_bytes = bytes;
        self
    }

    /// The largest single append, in bytes as encoded. Default 64 MiB, allowed 64 KiB to 1 GiB. Larger ones are refused
    /// with [`AppendError::TooLarge`](crate::AppendError::TooLarge). An append may be larger than a batch or a segment: it
    /// goes alone then.
    pub fn append_bytes_max(mut self, bytes: u64) -> Self {
        self.append_bytes_max = bytes;
        self
    }

    /// The largest kept value, in bytes. Default 1 MiB, allowed 4 KiB to 64 MiB. Larger ones are refused with
    /// [`AppendError::TooLarge`](crate::AppendError::TooLarge); values that are there already can be read all the same.
    pub fn kept_bytes_max(mut self, bytes: u64) -> Self {
        self.kept_bytes_max = bytes;
        self
    }

    /// For how many positions behind the end of the log the ids are remembered that callers gave to events
    /// ([`NewEvent::with_id`](crate::NewEvent::with_id)). Default 65,536, allowed 0 (off) to 2^24. An append whose first
    /// event's id is remembered is recognized as a repeat and gets the first result, also after the log was opened again;
    /// older ones are only protected by [`ExpectedVersion::Exact`](crate::ExpectedVersion::Exact) and
    /// [`ExpectedVersion::NoStream`](crate::ExpectedVersion::NoStream). Costs some 60 bytes of memory per id, and reading
    /// the window once, in the background, after the log was opened; appends with ids that come before that wait for it.
    /// Where the window is damaged, whatever may have been an id there is refused with
    /// [`AppendError::OriginalUnreadable`](crate::AppendError::OriginalUnreadable), which costs as much memory as the damaged
    /// bytes; an id whose own bytes are damaged is not known any more.
    pub fn idempotency_window(mut self, positions: u64) -> Self {
        self.idempotency_window = positions;
        self
    }

    /// After how many bytes of log the index of them is written to a file, in bytes. Default 16 MiB, allowed 4 KiB to 1 GiB;
    /// it happens when a segment is full. What is not in a file is in memory, some 200 bytes for each stream and 56 for each
    /// append to one, and is derived anew when the log is opened. Small: many small files, merged often. Large: more memory,
    /// and a slower open after a crash.
    pub fn index_after_bytes(mut self, bytes: u64) -> Self {
        self.index_after_bytes = bytes;
        self
    }

    /// What blocking appends wait for, unless they say otherwise. Default [`Durability::Synced`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How reads get at the bytes. Default [`ReadMode::Map`].
    pub fn read_mode(mut self, mode: ReadMode) -> Self {
        self.read_mode = mode;
        self
    }

    /// Whether each event's checksum is compared when it is read. Default: yes. Off, a read is some nanoseconds faster and
    /// a damaged event may be handed out.
    pub fn verify_reads(mut self, verify: bool) -> Self {
        self.verify_reads = verify;
        self
    }

    /// After how long without a commit the log writes a small witness frame, which lets recovery tell damage to the last
    /// batch from a torn write (FORMAT.md section 8, "the residual"). Default 25 ms, allowed 1 ms to 10 s. Needs
    /// background threads. Short: 72 bytes and a sync after nearly every append of a slow trickle. Long: a larger window.
    pub fn idle_witness_after(mut self, after: Duration) -> Self {
        self.idle_witness_after = after;
        self
    }

    /// Whether to fill each commit up to a whole 4096-byte page. Default: no. Costs half a page per commit, and frees
    /// the log from its one assumption about devices: that rewriting a sector with the same bytes and more cannot harm it.
    pub fn pad_commits(mut self, pad: bool) -> Self {
        self.pad_commits = pad;
        self
    }

    /// Whether to run the writer's and the maintenance thread. Default: yes. Without them every commit is driven by a
    /// blocking call (`append`, `wait`, `close`), handles make no progress by being polled, segments are made ready in the
    /// append that needs them, and no idle witness is written. For tests that must be deterministic.
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// Whether every option is within its bounds.
    pub(crate) fn validate(&self) -> Result<(), OpenError> {
        let within = |option, found, min, max| {
            if (min..=max).contains(&found) {
                Ok(())
            } else {
                Err(OpenError::InvalidOption { option, found, min, max })
            }
        };
        let idle = u64::try_from(self.idle_witness_after.as_millis()).unwrap_or(u64::MAX);
        within("segment_bytes", self.segment_bytes, 64 << 10, 4 << 30)?;
        within("batch_bytes", self.batch_bytes, 4 << 10, 1 << 30)?;
        within("append_bytes_max", self.append_bytes_max, 64 << 10, BODY_BYTES_MAX)?;
        within("kept_bytes_max", self.kept_bytes_max, 4 << 10, KEPT_BYTES_MAX as u64)?;
        within("idempotency_window", self.idempotency_window, 0, 1 << 24)?;
        within("index_after_bytes", self.index_after_bytes, 4 << 10, 1 << 30)?;
        within("idle_witness_after in milliseconds", idle, 1, 10_000)
    }
}
