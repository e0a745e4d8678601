//! What the stores with dynamic consistency boundaries share: a stream is a tag, and a condition is "nothing with these tags
//! behind the position that I have read up to".
//!
//! Owns what a user of such a store keeps in hand, the position of its last look. A thread appends to streams of its own, so what
//! it wrote last is all that it has to have seen.

use std::cell::Cell;

thread_local! {
    static SEEN: Cell<u64> = const { Cell::new(0) };
}

/// The position up to which this thread has seen the log.
pub(super) fn seen() -> u64 {
    SEEN.get()
}

/// It saw the log up to here.
pub(super) fn see(position: u64) {
    SEEN.set(position);
}

/// A stream as a tag.
pub(super) fn tag(stream: &str) -> String {
    format!("stream:{stream}")
}
