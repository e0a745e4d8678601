//! What the log says, arranged for questions: derived from the frames, transient, rebuilt by reading them again.
//!
//! Owns the streams, their runs, the kept values' places and the marks of positions. Must never touch a file, take a lock, or be
//! asked about frames that are not durable: whoever applies a change has made it so before.

pub(crate) mod ids;
pub(crate) mod kept;
pub(crate) mod marks;
pub(crate) mod streams;
pub(crate) mod tenants;

use crate::error::Fault;
use crate::format::frame::{FRAME_HEADER_BYTES, Frame, FrameKind};
use crate::format::section::{Control, ENTRY_BYTES, IdBlock, SectionKind, Sections};
use kept::{KeptPlace, KeptValues};
use marks::Marks;
use streams::{Change, Run, StreamChange, Streams};
use tenants::NO_TENANT;

/// Everything that is derived from the visible part of the log.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) streams: Streams,
    pub(crate) marks: Marks,
    pub(crate) kept: KeptValues,
    /// What a `log-starts-at` record says: the first segment's ordinal and the first position.
    pub(crate) starts_at: Option<(u64, u64)>,
}

impl Index {
    /// Applies one frame that a walk over a segment came to.
    ///
    /// # Errors
    /// What does not fit what came before, or is not a section: the frame is corrupt. Some of it may be applied.
    pub(crate) fn apply_frame(&mut self, segment: u64, frame: &Frame<'_>) -> Result<(), Fault> {
        self.marks.note(frame.header.first_position, segment, frame.offset);
        let body_at = FRAME_HEADER_BYTES + frame.header.sections as usize * ENTRY_BYTES;
        let mut position = frame.header.first_position;
        if frame.header.kind != FrameKind::Append {
            return Ok(());
        }
        for (i, section) in Sections::new(frame.table, frame.body, frame.header.events).enumerate() {
            let (entry, at, bytes) = section?;
            let (block, used) = IdBlock::decode(bytes, &entry)?;
            let change = if entry.kind == SectionKind::Events {
                Change::Events(Run {
                    first_version: entry.number,
                    first_position: position,
                    time: frame.header.time,
                    frame_offset: frame.offset,
                    segment: segment as u32,
                    section: i as u32,
                    section_at: (body_at + at) as u32,
                    section_len: entry.len,
                    count: entry.events,
                })
            } else if matches!(entry.kind, SectionKind::Keep | SectionKind::Unkeep | SectionKind::CarryKept) {
                // The value is not looked at: it may be long superseded. Whoever gets it checks it.
                if entry.kind == SectionKind::CarryKept {
                    // Carried while it was overwritten: the newer value stands behind this record or before it.
                    if self.kept.get(block.id).is_some_and(|place| place.revision > entry.number) {
                        continue;
                    }
                } else {
                    self.kept.check(entry.number, self.streams.starts_late)?;
                }
                let place = KeptPlace {
                    revision: entry.number,
                    offset: frame.offset + (body_at + at) as u64,
                    segment: segment as u32,
                    len: entry.len,
                    id_checksum: entry.id_checksum,
                };
                let place = (entry.kind != SectionKind::Unkeep).then_some(place);
                self.kept.apply(block.id, entry.number, place);
                continue;
            } else {
                match Control::decode(entry.kind, &bytes[used..])? {
                    Control::Create { attributes } => Change::Create { attributes: attributes.into() },
                    Control::Tombstone => Change::Tombstone,
                    Control::TruncateBefore => Change::TruncateBefore { first_kept: entry.number },
                    Control::CarryStream(carried) => Change::Carry {
                        version: entry.number,
                        first_kept: carried.first_kept,
                        created: carried.created,
                        last_append: carried.last_append,
                        creation_ordinal: carried.creation_ordinal,
                        tombstoned: carried.tombstoned,
                        attributes: carried.attributes.into(),
                    },
                    Control::Keep { .. } | Control::Unkeep | Control::CarryKept { .. } => continue,
                    Control::LogStartsAt { ordinal, position } => {
                        self.starts_at = Some((ordinal, position));
                        continue;
                    }
                }
            };
            let number = self.streams.intern(block.id);
            let tenant =
                if block.tenant.is_empty() { NO_TENANT } else { self.streams.tenants.intern(block.tenant) };
            self.streams.check(number, &change)?;
            self.streams.apply(StreamChange { number, tenant, time: frame.header.time, change });
            position += u64::from(entry.events);
        }
        Ok(())
    }
}
