//! From frames to the index: what a walk over the log hands over.
//!
//! Owns the reading of sections. What does not fit what came before is a fault of the frame.

use crate::error::Fault;
use crate::format::bytes::expect;
use crate::format::cell::{Mark, Run};
use crate::format::frame::{FRAME_HEADER_BYTES, Frame, FrameKind};
use crate::format::section::{Control, ENTRY_BYTES, IdBlock, SectionEntry, SectionKind, Sections};
use crate::index::Index;
use crate::index::overlay::{KeptChange, KeptPlace};
use crate::index::state::{Change, StreamChange};
use crate::index::streams::hash_of;
use crate::layer::Damage;
use std::sync::Arc;

/// Why a frame was not taken into the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// It does not fit what came before, or is not what it says: the frame is corrupt.
    Frame(Fault),
    /// What came before cannot be looked up: the index is damaged, and the frame may be right.
    Index(Damage),
}

impl From<Fault> for Rejected {
    fn from(fault: Fault) -> Rejected {
        Rejected::Frame(fault)
    }
}

impl From<Damage> for Rejected {
    fn from(damage: Damage) -> Rejected {
        Rejected::Index(damage)
    }
}

impl Index {
    /// Applies one frame that a walk over a segment came to. If it is rejected, some of it may be applied.
    pub(crate) fn apply_frame(&mut self, segment: u64, frame: &Frame<'_>) -> Result<(), Rejected> {
        let header = &frame.header;
        let mark = Mark { position: header.first_position, offset: frame.offset, segment: segment as u32 };
        self.overlay.mark(mark);
        if header.kind != FrameKind::Append {
            return Ok(());
        }
        let body_at = FRAME_HEADER_BYTES + header.sections as usize * ENTRY_BYTES;
        let mut position = header.first_position;
        for (i, section) in Sections::new(frame.table, frame.body, header.events).enumerate() {
            let (entry, at, bytes) = section?;
            let (block, used) = IdBlock::decode(bytes, &entry)?;
            let section_at = (body_at + at) as u32;
            match entry.kind {
                SectionKind::Events => {
                    let run = Run {
                        first_version: entry.number,
                        first_position: position,
                        time: header.time,
                        frame_offset: frame.offset,
                        segment: segment as u32,
                        section: i as u32,
                        section_at,
                        section_len: entry.len,
                        count: entry.events,
                    };
                    self.replay_stream(&block, header.time, Change::Events(run))?;
                    position += u64::from(entry.events);
                }
                SectionKind::Keep | SectionKind::Unkeep | SectionKind::CarryKept => {
                    let offset = frame.offset + u64::from(section_at);
                    self.replay_kept(&block, &entry, segment as u32, offset)?;
                }
                _ => {
                    let change = match Control::decode(entry.kind, &bytes[used..])? {
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
                        Control::LogStartsAt { ordinal, position } => {
                            self.starts_at = Some((ordinal, position));
                            continue;
                        }
                        Control::Keep { .. } | Control::Unkeep | Control::CarryKept { .. } => continue,
                    };
                    self.replay_stream(&block, header.time, change)?;
                }
            }
        }
        Ok(())
    }

    fn replay_stream(&mut self, block: &IdBlock<'_>, time: u64, change: Change) -> Result<(), Rejected> {
        let hash = hash_of(block.id);
        let mut state = self.state(block.id, hash)?.unwrap_or_default();
        state.check(&change, self.starts_late)?;
        // A stream names the same tenant again and again.
        let tenant: Option<Arc<str>> = match &state.tenant {
            Some(bound) => Some(bound.clone()),
            None => (!block.tenant.is_empty()).then(|| block.tenant.into()),
        };
        let effect = state.apply(&change, tenant.as_ref(), &mut self.last_creation);
        self.apply(block.id, &StreamChange { hash, state, effect, time, change });
        Ok(())
    }

    fn replay_kept(
        &mut self,
        block: &IdBlock<'_>,
        entry: &SectionEntry,
        segment: u32,
        offset: u64,
    ) -> Result<(), Rejected> {
        // The value is not looked at: it may be long superseded. Whoever gets it checks it.
        let known = self.kept(block.id)?;
        if entry.kind == SectionKind::CarryKept {
            // Carried while it was overwritten: the newer value stands behind this record or before it.
            if known.is_some_and(|place| place.revision > entry.number) {
                return Ok(());
            }
        } else {
            let due = self.last_revision + 1;
            let due = if self.starts_late { due.max(entry.number) } else { due };
            expect("revision of a kept value", due, entry.number)?;
        }
        let place = KeptPlace {
            revision: entry.number,
            offset,
            segment,
            len: entry.len,
            id_checksum: entry.id_checksum,
        };
        let place = (entry.kind != SectionKind::Unkeep).then_some(place);
        let name = block.id.into();
        self.apply_kept(&KeptChange { name, revision: entry.number, place, replaces: known.is_some() });
        Ok(())
    }
}
