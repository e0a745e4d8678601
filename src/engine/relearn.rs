//! Learning the recent ids from a log that was opened.
//!
//! Owns the reading of the window's frames; what is remembered of them is in `recent.rs`. No append with ids is sequenced before
//! it is done, so that none is missing from either; an append without ids waits for it only if
//! one with ids queues before it.

use crate::engine::frames::read_header;
use crate::engine::recent::{RecentIds, Remembered};
use crate::engine::shared::Shared;
use crate::engine::view::segment_at;
use crate::format::FIRST_FRAME;
use crate::format::frame::FrameKind;
use crate::format::record::Record;
use crate::format::section::{IdBlock, SectionKind, Sections};
use crate::segment::reader::Segment;
use crate::types::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

impl Shared {
    /// Reads the recent ids, if nobody has. Blocks for that, or until `stop` says that nobody needs them. The caller holds no
    /// lock.
    pub(crate) fn learn_ids(&self, stop: &AtomicBool) {
        let _one_at_a_time = self.learning.lock();
        if self.sequencer().recent.is_some() {
            return;
        }
        if let Some(recent) = self.read_recent(stop) {
            self.sequencer().recent = Some(recent);
        }
    }

    /// The appends with ids among the last positions of the log.
    fn read_recent(&self, stop: &AtomicBool) -> Option<RecentIds> {
        let window = self.options.idempotency_window;
        let mut recent = RecentIds::new(window);
        let (mark, segments, visible) = self.ask(|view| {
            let from = view.visible.position.saturating_sub(window) + 1;
            Ok((view.index.mark_before(from)?, view.segments.clone(), view.visible))
        });
        let Some(first) = segments.first() else { return Some(recent) };
        let from = mark.unwrap_or(Location { segment: first.header.ordinal, offset: FIRST_FRAME });
        for segment in segments.iter().filter(|segment| segment.header.ordinal >= from.segment) {
            let ordinal = segment.header.ordinal;
            let start = if ordinal == from.segment { from.offset } else { FIRST_FRAME };
            let frames_end = match segment_at(&segments, ordinal + 1) {
                Some(next) => next.header.previous.end,
                None => visible.end.offset,
            };
            let mut offset = start;
            let mut scratch = Vec::new();
            while offset < frames_end {
                if stop.load(Ordering::Relaxed) {
                    return None;
                }
                // Only a damaged header ends the walk through a segment: nothing says where the next frame stands.
                let Some(len) = note_frame(&mut recent, segment, offset, &mut scratch) else { break };
                offset += len;
            }
        }
        recent.forget(visible.position);
        Some(recent)
    }
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
