//! Learning the recent ids from a log that was opened.
//!
//! Owns the reading of the window's frames; what is remembered of them is in `recent.rs`. No append with ids is sequenced before
//! it is done, so that none is missing from either; an append without ids waits for it only if one with ids queues before it.
//! Must never forget an id because bytes beside it are damaged or were not read: its append would get in a second time.

use crate::engine::frames::read_header;
use crate::engine::recent::{RecentIds, Remembered};
use crate::engine::shared::Shared;
use crate::engine::view::segment_at;
use crate::error::ReadError;
use crate::format::FIRST_FRAME;
use crate::format::cell::Mark;
use crate::format::frame::{FrameHeader, FrameKind};
use crate::format::record::Record;
use crate::format::section::{IdBlock, SectionEntry, SectionKind, Sections};
use crate::layer::Damage;
use crate::segment::reader::Segment;
use crate::types::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

/// Why the ids could not be read.
enum Unread {
    /// By a file of the index, which is to be mended first.
    Index(Damage),
    Log(ReadError),
}

impl From<Damage> for Unread {
    fn from(damage: Damage) -> Unread {
        Unread::Index(damage)
    }
}

impl From<ReadError> for Unread {
    fn from(error: ReadError) -> Unread {
        Unread::Log(error)
    }
}

impl Shared {
    /// Reads the recent ids, if nobody has. Blocks for that, or until `stop` says that nobody needs them. The caller holds no
    /// lock. An error says that they could not be read, and that it may be tried again.
    pub(crate) fn learn_ids(&self, stop: &AtomicBool) -> Result<(), ReadError> {
        loop {
            let one_at_a_time = self.learning.lock();
            if self.sequencer().recent.is_some() {
                return Ok(());
            }
            match self.read_recent(stop) {
                Ok(recent) => {
                    if recent.is_some() {
                        self.sequencer().recent = recent;
                    }
                    return Ok(());
                }
                Err(Unread::Log(error)) => return Err(error),
                Err(Unread::Index(damage)) => {
                    // To mend may call wakers.
                    drop(one_at_a_time);
                    self.mend(&damage);
                }
            }
        }
    }

    /// The appends with ids among the last positions of the log.
    fn read_recent(&self, stop: &AtomicBool) -> Result<Option<RecentIds>, Unread> {
        let window = self.options.idempotency_window;
        let mut recent = RecentIds::new(window);
        let (mark, segments, visible) = {
            let view = self.view.read();
            let from = view.visible.position.saturating_sub(window) + 1;
            (view.index.mark_before(from)?, view.segments.clone(), view.visible)
        };
        let Some(first) = segments.first() else { return Ok(Some(recent)) };
        let from = mark.unwrap_or(Location { segment: first.header.ordinal, offset: FIRST_FRAME });
        let mut scratch = Vec::new();
        // The first position that was not passed yet.
        let mut position = 1;
        for segment in segments.iter().filter(|segment| segment.header.ordinal >= from.segment) {
            let ordinal = segment.header.ordinal;
            let frames_end = match segment_at(&segments, ordinal + 1) {
                Some(next) => next.header.previous.end,
                None => visible.end.offset,
            };
            let mut offset = if ordinal == from.segment { from.offset } else { FIRST_FRAME };
            position = position.max(segment.header.base_position);
            while offset < frames_end {
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                (offset, position) = match read_header(segment, offset, &mut scratch) {
                    Ok((header, table)) => {
                        let (len, table) = (header.frame_len(), table.to_vec());
                        note_frame(&mut recent, segment, offset, (&header, &table), &mut scratch)?;
                        (offset + len, header.next_position())
                    }
                    Err(error @ ReadError::Io(_)) => return Err(error.into()),
                    // It does not say where the next frame stands; the index does, of some.
                    Err(_) => {
                        let place = Location { segment: ordinal, offset };
                        let mark = self.view.read().index.mark_behind_place(place)?;
                        let here =
                            |mark: &Mark| u64::from(mark.segment) == ordinal && mark.offset < frames_end;
                        let behind = segment_at(&segments, ordinal + 1)
                            .map_or(visible.position + 1, |next| next.header.base_position);
                        let (end, next) = mark
                            .filter(here)
                            .map_or((frames_end, behind), |mark| (mark.offset, mark.position));
                        // Or no event is there, and so no id.
                        if next > position {
                            recent.note_gap(next - 1, place, segment.bytes(offset..end, &mut scratch)?);
                        }
                        (end, next.max(position))
                    }
                };
            }
        }
        recent.forget(visible.position);
        Ok(Some(recent))
    }
}

/// Remembers the ids of a frame whose header is sound.
fn note_frame(
    recent: &mut RecentIds,
    segment: &Segment,
    offset: u64,
    (header, table): (&FrameHeader, &[u8]),
    scratch: &mut Vec<u8>,
) -> Result<(), ReadError> {
    if header.kind != FrameKind::Append || header.events == 0 {
        return Ok(());
    }
    let body = segment.bytes(offset + header.body_at()..offset + header.frame_len(), scratch)?;
    let (last_position, place) =
        (header.next_position() - 1, Location { segment: segment.header.ordinal, offset });
    let mut ids = Vec::new();
    for section in Sections::new(table, body, header.events) {
        // A table that is sound and does not fit its body was never written.
        let Ok((entry, _, bytes)) = section else { break };
        if entry.kind == SectionKind::Events {
            let Some(found) = ids_of(&entry, bytes) else {
                recent.note_gap(last_position, place, body);
                return Ok(());
            };
            ids.extend(found);
        }
    }
    let keyed = ids.first().is_some_and(Option::is_some);
    recent.note(Remembered {
        first_position: header.first_position,
        last_position,
        place,
        batch: 0,
        keyed,
        ids: ids.into_iter().flatten().collect(),
    });
    Ok(())
}

/// The ids of a section's events, one by one, as they stand there: a repeat is compared with the bytes, and is told if they are
/// damaged. `None` if a length is wrong, and the ids stand nobody knows where.
fn ids_of(entry: &SectionEntry, section: &[u8]) -> Option<Vec<Option<Uuid>>> {
    let (_, mut at) = IdBlock::decode(section, entry).ok()?;
    let (mut ids, mut events) = (Vec::new(), 0);
    while events < u64::from(entry.events) {
        let (record, len) = Record::decode(section.get(at..)?, false).ok()?;
        ids.push(record.id.map(|id| Uuid::from_bytes(*id)));
        events += record.removed.max(1);
        at += len;
    }
    (at == section.len() && events == u64::from(entry.events)).then_some(ids)
}
