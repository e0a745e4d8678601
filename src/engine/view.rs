//! What readers see: the index, the segments and the watermark, behind one lock.
//!
//! Owns the rule that all of a batch becomes visible at once: the index changes and the watermark moves under the same
//! write lock, after the batch is durable. `appended >= durable >= visible`; the first two are the sequencer's and the
//! committer's.

use crate::error::ReadError;
use crate::index::Index;
use crate::segment::reader::Segment;
use crate::types::Location;
use std::sync::Arc;

/// The visible end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watermark {
    /// Position of the last visible event; 0 if there is none.
    pub(crate) position: u64,
    /// Where the last visible frame ends.
    pub(crate) end: Location,
}

/// All segments, in order, without gaps.
pub(crate) type Segments = Arc<Vec<Arc<Segment>>>;

#[derive(Debug)]
pub(crate) struct View {
    pub(crate) index: Index,
    pub(crate) segments: Segments,
    pub(crate) visible: Watermark,
    /// Why the index cannot say all that the log says. Nobody reads by it then.
    pub(crate) broken: Option<ReadError>,
}

impl View {
    /// Adds the segment that has just got its name. It holds nothing visible yet.
    pub(crate) fn push_segment(&mut self, segment: Arc<Segment>) {
        let mut segments = Vec::with_capacity(self.segments.len() + 1);
        segments.extend(self.segments.iter().cloned());
        segments.push(segment);
        self.segments = Arc::new(segments);
    }
}

/// The segment with this ordinal.
pub(crate) fn segment_at(segments: &[Arc<Segment>], ordinal: u64) -> Option<&Arc<Segment>> {
    let first = segments.first()?.header.ordinal;
    segments.get(usize::try_from(ordinal.checked_sub(first)?).ok()?)
}
