//! Position to place, sparsely: a mark every 64 KiB of log, from which a reader walks the rest.
//!
//! Owns the marks of the newest part of the log; they are in log order, so both their positions and their places ascend.

use crate::format::cell::Mark;

/// Distance between marks, in bytes: what a reader walks at most before it is there.
const MARK_EVERY_BYTES: u64 = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Marks {
    marks: Vec<Mark>,
}

impl Marks {
    /// Tells of a frame; called in log order.
    pub(crate) fn note(&mut self, mark: Mark) {
        let due = self
            .marks
            .last()
            .is_none_or(|last| last.segment != mark.segment || mark.offset >= last.offset + MARK_EVERY_BYTES);
        if due {
            self.marks.push(mark);
        }
    }

    pub(crate) fn all(&self) -> &[Mark] {
        &self.marks
    }

    /// The last mark of which `before` says yes, which ascends with the log; and the first of which it says no.
    pub(crate) fn around(&self, before: impl Fn(&Mark) -> bool) -> (Option<Mark>, Option<Mark>) {
        let at = self.marks.partition_point(before);
        (at.checked_sub(1).and_then(|at| self.marks.get(at)).copied(), self.marks.get(at).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_sparse_and_found_from_both_sides() {
        let mut marks = Marks::default();
        let mark = |position, segment, offset| Mark { position, offset, segment };
        let far = 4096 + MARK_EVERY_BYTES;
        for (position, segment, offset) in [(1, 1, 4096), (2, 1, 5000), (10, 1, far), (20, 2, 4096)] {
            marks.note(mark(position, segment, offset));
        }
        let around = |position| marks.around(|mark| mark.position <= position);
        assert_eq!(around(0), (None, Some(mark(1, 1, 4096))));
        assert_eq!(around(9), (Some(mark(1, 1, 4096)), Some(mark(10, 1, far))), "2 has no mark of its own");
        assert_eq!(around(10), (Some(mark(10, 1, far)), Some(mark(20, 2, 4096))));
        assert_eq!(around(u64::MAX), (Some(mark(20, 2, 4096)), None));
    }
}
