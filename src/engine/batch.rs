//! A batch: the frames that one write and one sync make durable together.
//!
//! Owns the bytes on their way to the disk, whole pages of them, and what they will change in the index. Exists twice at
//! most: the open one, which callers fill, and the one in flight.

use crate::format::PAGE_BYTES;
use crate::format::cell::Mark;
use crate::format::frame::Chain;
use crate::format::segment::{SegmentFooter, SegmentHeader};
use crate::index::overlay::KeptChange;
use crate::index::state::StreamChange;
use crate::index::versions::Move;

#[derive(Default)]
pub(crate) struct Batch {
    /// From 1, never reused. Waiters wait for this number.
    pub(crate) number: u64,
    /// Offset of its first frame: what `batch_start` says in each of its frames.
    pub(crate) start: u64,
    /// Offset of `bytes[0]`: `start` rounded down to a page.
    pub(crate) page_at: u64,
    /// The bytes of the page before `start`, as they are on disk, then the frames.
    pub(crate) bytes: Vec<u8>,
    pub(crate) frames: u64,
    /// Holds appends, not just a witness.
    pub(crate) has_appends: bool,
    /// Seal the segment before anything else.
    pub(crate) footer: Option<SegmentFooter>,
    /// Then make the spare the last segment, with this header; and the chain behind the segment before.
    pub(crate) go_live: Option<(SegmentHeader, Chain)>,
    /// What the index learns when the batch is durable.
    changes: Vec<(u32, StreamChange)>,
    /// The ids of the streams of `changes`, one behind the other; each change knows where its own ends.
    ids: String,
    pub(crate) kept_changes: Vec<KeptChange>,
    /// Where each frame stands.
    pub(crate) marks: Vec<Mark>,
    /// Ordinal of the segment that the frames go to.
    pub(crate) segment: u64,
    /// The chain behind its last frame, set when the batch is taken.
    pub(crate) chain: Chain,
}

impl Batch {
    /// Offset behind the last frame.
    pub(crate) fn end(&self) -> u64 {
        self.page_at + self.bytes.len() as u64
    }

    /// Whether there is nothing to do for it.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames == 0 && self.footer.is_none()
    }

    /// Makes this one the batch that follows `before`, keeping its memory. It begins where `before` ends, with the bytes
    /// that already stand in that page.
    pub(crate) fn follow(&mut self, before: &Batch) {
        self.number = before.number + 1;
        self.begin_at(before.end());
        self.segment = before.segment;
        let kept = before.bytes.len() - (self.start - self.page_at) as usize;
        self.bytes.extend_from_slice(&before.bytes[kept..]);
    }

    /// Empties the batch and puts its start at `offset`; the bytes before it in its page are for the caller to add.
    pub(crate) fn begin_at(&mut self, offset: u64) {
        self.start = offset;
        self.page_at = offset & !(PAGE_BYTES as u64 - 1);
        self.bytes.clear();
        self.frames = 0;
        self.has_appends = false;
        self.footer = None;
        self.go_live = None;
        self.changes.clear();
        self.ids.clear();
        self.kept_changes.clear();
        self.marks.clear();
    }

    /// Notes what a section does to a stream.
    pub(crate) fn note(&mut self, id: &str, change: StreamChange) {
        self.ids.push_str(id);
        self.changes.push((self.ids.len() as u32, change));
    }

    /// What its sections do to streams, in order.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&str, &StreamChange)> + Clone {
        self.changes.iter().scan(0, |at, (end, change)| {
            let id = self.ids.get(std::mem::replace(at, *end as usize)..*end as usize)?;
            Some((id, change))
        })
    }

    /// The versions that its sections lead streams to, in order.
    pub(crate) fn moves(&self) -> impl Iterator<Item = Move<'_>> + Clone {
        self.changes().map(|(id, change)| (id, change.hash, change.state.version))
    }

    /// Fills the last page with zeros, for writing: the log does not end there.
    pub(crate) fn fill_page(&mut self) {
        let len = self.bytes.len().next_multiple_of(PAGE_BYTES);
        self.bytes.resize(len, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_batch_begins_with_the_bytes_of_the_shared_page() {
        let mut first = Batch { number: 7, ..Batch::default() };
        first.begin_at(4096);
        first.bytes = (0..5000u32).map(|i| i as u8).collect();
        let mut next = Batch::default();
        next.follow(&first);
        assert_eq!((next.number, next.start, next.page_at), (8, 9096, 8192));
        assert_eq!(next.bytes, first.bytes[4096..]);
        assert_eq!(next.end(), first.end());
        next.bytes.extend_from_slice(&[9; 4096 - 904]);
        let mut aligned = Batch::default();
        aligned.follow(&next);
        assert_eq!((aligned.start, aligned.page_at, aligned.bytes.len()), (12288, 12288, 0));
    }
}
