//! Position to place, sparsely: a mark every 64 KiB of log, from which a reader walks the rest.
//!
//! Owns the marks; they are in log order, so both their positions and their places ascend.

use crate::types::Location;

/// Distance between marks, in bytes: what a reader walks at most before it is there.
const MARK_EVERY_BYTES: u64 = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    /// First position of the frame at the offset (or of the next frame with an event).
    position: u64,
    offset: u64,
    segment: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Marks {
    marks: Vec<Mark>,
}

impl Marks {
    /// Tells of a frame; called in log order.
    pub(crate) fn note(&mut self, position: u64, segment: u64, offset: u64) {
        let due = self.marks.last().is_none_or(|last| {
            u64::from(last.segment) != segment || offset >= last.offset + MARK_EVERY_BYTES
        });
        if due {
            self.marks.push(Mark { position, offset, segment: segment as u32 });
        }
    }

    /// The last marked frame that does not begin behind `position`: the event stands there or later. `None` if the log
    /// begins behind it.
    pub(crate) fn before(&self, position: u64) -> Option<Location> {
        let behind = self.marks.partition_point(|mark| mark.position <= position);
        self.location(behind.checked_sub(1)?)
    }

    /// The first marked frame that begins behind `position`, if there is one: the event stands before it.
    pub(crate) fn behind(&self, position: u64) -> Option<Location> {
        self.location(self.marks.partition_point(|mark| mark.position <= position))
    }

    /// The marked frame before this place, for walking backwards.
    pub(crate) fn before_place(&self, place: Location) -> Option<Location> {
        let behind = self
            .marks
            .partition_point(|mark| (u64::from(mark.segment), mark.offset) < (place.segment, place.offset));
        self.location(behind.checked_sub(1)?)
    }

    fn location(&self, at: usize) -> Option<Location> {
        let mark = self.marks.get(at)?;
        Some(Location { segment: u64::from(mark.segment), offset: mark.offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_sparse_and_found_from_both_sides() {
        let mut marks = Marks::default();
        let at = |segment, offset| Some(Location { segment, offset });
        assert_eq!(marks.before(1), None);
        marks.note(1, 1, 4096);
        marks.note(2, 1, 5000);
        marks.note(10, 1, 4096 + MARK_EVERY_BYTES);
        marks.note(20, 2, 4096);
        assert_eq!(marks.before(0), None);
        assert_eq!(marks.before(1), at(1, 4096));
        assert_eq!(marks.before(9), at(1, 4096), "position 2 had no mark of its own");
        assert_eq!(marks.before(10), at(1, 4096 + MARK_EVERY_BYTES));
        assert_eq!(marks.before(u64::MAX), at(2, 4096));
        assert_eq!(
            (marks.behind(1), marks.behind(10), marks.behind(20)),
            (at(1, 4096 + MARK_EVERY_BYTES), at(2, 4096), None)
        );
        assert_eq!(marks.before_place(Location { segment: 2, offset: 4096 }), at(1, 4096 + MARK_EVERY_BYTES));
        assert_eq!(marks.before_place(Location { segment: 1, offset: 4096 }), None);
    }
}
