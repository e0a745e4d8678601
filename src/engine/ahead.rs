//! Fetching ahead: bytes that are read soon are on their way to the processor while those before them are looked at.
//!
//! Owns how far ahead, and how much at once. Must never change what is read, nor fail: what is not there is not fetched.

use crate::engine::view::{Segments, segment_at};
use crate::segment::reader::Segment;
use crate::storage::Mapping;
use std::ops::Range;

/// How far ahead of a reader the log is fetched, in bytes: far enough for memory to answer, and not so far that it is out of the
/// nearest cache again before it is read.
const DISTANCE: u64 = 2048;
/// How much is fetched at once, at most. More would only queue, and what is read in one piece the processor fetches by itself.
const AT_ONCE: u64 = 2048;
/// A line of the processor's cache, in bytes.
const LINE: u64 = 64;

/// Bytes of a segment that will be read: fetched bit by bit, as those before them are used up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ahead {
    ordinal: u64,
    range: Range<u64>,
    /// Whether they are the log itself, whose reader follows.
    is_followed: bool,
    /// How long the piece is that they are of, if it is read as one that stands far from others.
    piece: Option<u64>,
}

impl Ahead {
    /// Bytes that stand elsewhere than those that are read now: the last ones of a piece of so many bytes, if it is read as one
    /// that stands far from others.
    pub(crate) fn of(ordinal: u64, range: Range<u64>, piece: Option<u64>) -> Ahead {
        Ahead { ordinal, range, is_followed: false, piece }
    }

    /// The bytes behind an offset, from which a segment is read now.
    pub(crate) fn follow(&mut self, ordinal: u64, offset: u64) {
        let end = offset.saturating_add(DISTANCE);
        // Whole lines are fetched, so that it may have come a bit farther.
        let near = offset..end.saturating_add(LINE);
        let goes_on = self.is_followed && self.ordinal == ordinal && near.contains(&self.range.start);
        let start = if goes_on { self.range.start } else { offset };
        *self = Ahead { ordinal, range: start..end, is_followed: true, piece: None };
    }

    /// The segment of the bytes, if there are any and the processor can be told.
    #[inline]
    pub(crate) fn segment<'s>(&self, segments: &'s Segments) -> Option<&'s Segment> {
        if !Mapping::PREFETCHES || self.range.end == 0 {
            None
        } else {
            let segment = segment_at(segments, self.ordinal)?;
            Some(self.piece.map_or(segment, |len| segment.for_piece(len)))
        }
    }

    /// So many bytes are used up.
    #[inline]
    pub(crate) fn pass(&mut self, segments: &Segments, used: usize) {
        if let Some(segment) = self.segment(segments) {
            self.step(segment, used);
        }
    }

    /// The same for who has found out the segment of the bytes ahead.
    #[inline]
    pub(crate) fn step(&mut self, segment: &Segment, used: usize) {
        segment.prefetch(self.take(used as u64));
    }

    /// What is to be fetched now that so many bytes are used up.
    #[inline]
    fn take(&mut self, used: u64) -> Range<u64> {
        if self.is_followed {
            self.range.end = self.range.end.saturating_add(used);
        }
        // Who has just begun with the log gets ahead of memory by taking twice as many. Elsewhere there is as much time as it
        // takes to read what is read now: all of it at once, and the processor waits for its memory first and computes then.
        let some = if self.is_followed { 2 * used.min(AT_ONCE / 2) } else { used.min(AT_ONCE) };
        let start = self.range.start;
        let end = self.range.end.min(start.saturating_add(some));
        if start < end {
            self.range.start = start.saturating_add((end - start).next_multiple_of(LINE));
        }
        start..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads events of these lengths, which follow each other, and says how far what was fetched comes ahead of each.
    fn follow(lens: &[u64], from: u64) -> Vec<u64> {
        let mut ahead = Ahead::default();
        let (mut at, mut fetched) = (from, from);
        let read = |&len: &u64| {
            ahead.follow(1, at);
            let Range { start, end } = ahead.take(len);
            assert!(start >= fetched, "something is fetched twice");
            fetched = end.max(fetched);
            at += len;
            fetched.saturating_sub(at)
        };
        lens.iter().map(read).collect()
    }

    #[test]
    fn a_reader_of_the_log_gets_memory_ahead_of_it_and_keeps_its_distance() {
        let ahead = follow(&[300; 40], 4096);
        assert!(ahead[0] >= 300, "{ahead:?}");
        assert!(ahead[10..].iter().all(|ahead| (DISTANCE..DISTANCE + LINE).contains(ahead)), "{ahead:?}");
    }

    #[test]
    fn the_next_run_is_there_when_this_one_of_its_length_is_read_and_no_more() {
        let mut ahead = Ahead::of(3, 1000..4000, None);
        let fetched: Vec<Range<u64>> =
            (0..10).map(|_| ahead.take(300)).take_while(|some| !some.is_empty()).collect();
        assert!(fetched.windows(2).all(|two| two[1].start - two[0].end < LINE), "{fetched:?}");
        assert_eq!((fetched[0].start, fetched[fetched.len() - 1].end), (1000, 4000));
        assert_eq!(fetched.len(), 10, "all along this one, not at its start");
        assert!(ahead.take(300).is_empty());
    }

    #[test]
    fn another_place_begins_anew() {
        let mut ahead = Ahead::default();
        ahead.follow(1, 100);
        ahead.take(500);
        for (ordinal, offset) in [(2, 5000), (2, 500_000), (2, 64)] {
            ahead.follow(ordinal, offset);
            assert_eq!(ahead.take(500).start, offset);
        }
    }

    proptest! {
        #[test]
        fn much_is_never_fetched_at_once_and_no_number_is_too_large(
            lens in proptest::collection::vec(prop_oneof![1..2000u64, any::<u64>()], 1..50),
            range in (any::<u64>(), any::<u64>()),
            is_followed in any::<bool>(),
        ) {
            let mut ahead = Ahead::of(1, range.0..range.1, None);
            for len in lens {
                if is_followed {
                    ahead.follow(1, range.0.wrapping_add(len));
                }
                let Range { start, end } = ahead.take(len);
                prop_assert!(end.saturating_sub(start) <= AT_ONCE);
            }
        }
    }
}
