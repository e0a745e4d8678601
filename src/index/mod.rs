//! What the log says, arranged for questions: derived from the frames, transient, rebuilt by reading them again.
//!
//! Owns the streams, their runs and the marks of positions. Must never touch a file, take a lock, or be asked about
//! frames that are not durable: whoever applies a change has made it so before.

pub(crate) mod marks;
pub(crate) mod streams;

use crate::error::Fault;
use crate::format::frame::{FRAME_HEADER_BYTES, Frame, FrameKind};
use crate::format::section::{Control, ENTRY_BYTES, IdBlock, SectionKind, Sections};
use marks::Marks;
use streams::{Change, Run, StreamChange, Streams};

/// Everything that is derived from the visible part of the log.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) streams: Streams,
    pub(crate) marks: Marks,
    /// The last revision given to a kept value.
    pub(crate) last_revision: u64,
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
                    Control::Keep { .. } | Control::Unkeep | Control::CarryKept { .. } => {
                        self.last_revision = self.last_revision.max(entry.number);
                        continue;
                    }
                    Control::LogStartsAt { ordinal, position } => {
                        self.starts_at = Some((ordinal, position));
                        continue;
                    }
                }
            };
            let number = self.streams.intern(block.id);
            let tenant = (!block.tenant.is_empty()).then(|| block.tenant.into());
            self.streams.check(number, &change)?;
            self.streams.apply(StreamChange { number, tenant, time: frame.header.time, change });
            position += u64::from(entry.events);
        }
        Ok(())
    }
}
