//! Relearning the recent ids from the log, when it is opened.
//!
//! Owns the reading of the window's frames; what is remembered of them is in `recent.rs`.

use crate::engine::frames::read_header;
use crate::engine::recent::{RecentIds, Remembered};
use crate::engine::view::{View, segment_at};
use crate::format::FIRST_FRAME;
use crate::format::frame::FrameKind;
use crate::format::record::Record;
use crate::format::section::{IdBlock, SectionKind, Sections};
use crate::segment::reader::Segment;
use crate::types::Location;
use uuid::Uuid;

/// The appends with ids among the last positions of the log that was just opened.
pub(crate) fn relearn(view: &View, window: u64) -> RecentIds {
    let mut recent = RecentIds::new(window);
    let end = view.visible.position;
    if window == 0 || end == 0 {
        return recent;
    }
    // A damaged index file is for somebody else to mend: reading too much does no harm.
    let mark = view.index.mark_before(end.saturating_sub(window) + 1).ok().flatten();
    let Some(first) = view.segments.first() else { return recent };
    let from = mark.unwrap_or(Location { segment: first.header.ordinal, offset: FIRST_FRAME });
    for segment in view.segments.iter().filter(|segment| segment.header.ordinal >= from.segment) {
        let ordinal = segment.header.ordinal;
        let start = if ordinal == from.segment { from.offset } else { FIRST_FRAME };
        let frames_end = match segment_at(&view.segments, ordinal + 1) {
            Some(next) => next.header.previous.end,
            None => view.visible.end.offset,
        };
        let mut offset = start;
        let mut scratch = Vec::new();
        while offset < frames_end {
            // Only a damaged header ends the walk through a segment: nothing says where the next frame stands.
            let Some(len) = note_frame(&mut recent, segment, offset, &mut scratch) else { break };
            offset += len;
        }
    }
    recent.forget(end);
    recent
}

/// Remembers one frame; its length.
fn note_frame(recent: &mut RecentIds, segment: &Segment, offset: u64, scratch: &mut Vec<u8>) -> Option<u64> {
    let (header, table) = read_header(segment, offset, scratch).ok()?;
    let len = header.frame_len();
    if header.kind != FrameKind::Append || header.events == 0 {
        return Some(len);
    }
    let table = table.to_vec();
    let body = segment.bytes(offset + header.body_at()..offset + len, scratch).ok()?;
    let mut ids = Vec::new();
    let mut keyed = false;
    let mut first = true;
    for section in Sections::new(&table, body, header.events) {
        let Ok((entry, _, bytes)) = section else { break };
        if entry.kind != SectionKind::Events {
            continue;
        }
        let mut at = IdBlock::skip(bytes);
        let mut events = 0;
        while events < u64::from(entry.events) {
            let rest = bytes.get(at..).unwrap_or_default();
            // As it stands: a repeat is compared with the bytes, and is told if they are damaged. Forgetting it instead
            // would let it in a second time.
            let Ok((record, len)) = Record::decode(rest, false) else { break };
            keyed |= first && record.id.is_some();
            first = false;
            ids.extend(record.id.map(|id| Uuid::from_bytes(*id)));
            events += record.removed.max(1);
            at += len;
        }
    }
    recent.note(Remembered {
        first_position: header.first_position,
        last_position: header.next_position() - 1,
        place: Location { segment: segment.header.ordinal, offset },
        batch: 0,
        keyed,
        ids: ids.into(),
    });
    Some(len)
}
