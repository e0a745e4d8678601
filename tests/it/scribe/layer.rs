//! What an index file must say of a range of a log (FORMAT.md section 13).
//!
//! Owns a second opinion on what is derived: rows, runs, marks and counts, from the frames alone.

use super::*;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

const MARK_DISTANCE: u64 = 65_536;
const TOMBSTONED: u16 = 1;
pub(super) const REGISTERED: u16 = 2;
const BOUND: u16 = 4;
pub(super) const HAS_VALUE: u16 = 1;
pub(super) const HAD_VALUE: u16 = 2;

/// A place in the log: ordinal of the segment, offset.
pub(crate) type Place = (u64, u64);

/// What an index file says of its range.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Layer {
    pub(crate) log_id: [u8; 16],
    pub(crate) number: u64,
    pub(crate) salt: u64,
    pub(crate) from: Place,
    pub(crate) to: Place,
    pub(crate) to_salt: u64,
    pub(crate) next_position: u64,
    pub(crate) time: u64,
    pub(crate) batch: u64,
    pub(crate) batch_start: u64,
    pub(crate) first_position: u64,
    pub(crate) revision: u64,
    pub(crate) creation: u64,
    pub(crate) last_frame: u64,
    pub(crate) events: u64,
    pub(crate) checksum: u32,
    /// Position, offset, segment.
    pub(crate) marks: Vec<(u64, u64, u32)>,
    pub(crate) streams: BTreeMap<String, Row>,
    pub(crate) kept: BTreeMap<String, KeptRow>,
    /// By tenant: creation ordinal and hash of the id of each stream that was bound in the range.
    pub(crate) tenants: BTreeMap<String, Vec<(u64, u64)>>,
    /// Frame checksum and body checksum of each frame of a last segment that is not sealed.
    pub(crate) sums: Vec<(u32, u32)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Row {
    pub(crate) flags: u16,
    pub(crate) version: u64,
    pub(crate) first_kept: u64,
    pub(crate) created: u64,
    pub(crate) last_append: u64,
    pub(crate) creation_ordinal: u64,
    pub(crate) last_position: u64,
    pub(crate) runs: Vec<Run>,
    pub(crate) runs_before: u32,
    pub(crate) tenant: String,
    pub(crate) attributes: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Run {
    pub(crate) version: u64,
    pub(crate) position: u64,
    pub(crate) time: u64,
    pub(crate) frame: u64,
    pub(crate) segment: u32,
    pub(crate) section: u32,
    pub(crate) at: u32,
    pub(crate) len: u32,
    pub(crate) events: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeptRow {
    pub(crate) flags: u16,
    pub(crate) revision: u64,
    pub(crate) offset: u64,
    pub(crate) segment: u32,
    pub(crate) len: u32,
    pub(crate) id_checksum: u32,
}

pub(super) fn hash(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

/// Whether a frame must be marked.
fn is_due(last: Option<&(u64, u64, u32)>, (_, offset, segment): &(u64, u64, u32)) -> bool {
    last.is_none_or(|(_, last, of)| of != segment || *offset >= last + MARK_DISTANCE)
}

impl Layer {
    /// What a file must say of the frames from one place on, before another one. The log is whole, and begins with segment 1.
    pub(crate) fn of(log: &Log, from: Place, to: Place) -> Layer {
        let mut layer = Layer { from, to, next_position: 1, first_position: 1, ..Layer::default() };
        let mut streams: BTreeMap<&str, Row> = BTreeMap::new();
        let mut had: BTreeMap<&str, bool> = BTreeMap::new();
        for segment in log.segments.iter().filter(|segment| (segment.header.ordinal, PAGE as u64) <= to) {
            let header = &segment.header;
            (layer.log_id, layer.to_salt) = (header.log_id, header.salt);
            (layer.sums, layer.events, layer.last_frame) = (Vec::new(), 0, 0);
            let place = |placed: &Placed| (header.ordinal, placed.span.start as u64);
            for placed in segment.frames.iter().filter(|placed| place(placed) < to) {
                let frame = &placed.frame;
                layer.next_position = frame.first_position + frame.events();
                (layer.time, layer.batch, layer.batch_start) = (frame.time, frame.batch, placed.batch_start);
                (layer.checksum, layer.last_frame) = (placed.checksum, placed.span.start as u64);
                layer.sums.push((placed.checksum, placed.body_checksum));
                layer.events += frame.events();
                let inside = place(placed) >= from;
                if inside {
                    layer.mark(frame.first_position, place(placed));
                } else {
                    layer.first_position = layer.next_position;
                }
                let mut at = 72 + 24 * frame.sections.len();
                let mut position = frame.first_position;
                for (index, section) in frame.sections.iter().enumerate() {
                    let len = section.encode().1.len();
                    let run = Run {
                        version: section.first,
                        position,
                        time: frame.time,
                        frame: placed.span.start as u64,
                        segment: header.ordinal as u32,
                        section: index as u32,
                        at: at as u32,
                        len: len as u32,
                        events: section.events,
                    };
                    if matches!(section.kind, KEEP | UNKEEP) {
                        layer.keep(section, run, inside, had.entry(&section.id).or_default());
                    } else {
                        layer.stream(section, run, inside, streams.entry(&section.id).or_default());
                    }
                    at += len;
                    position += u64::from(section.events);
                }
            }
            let ends = segment.frames.last().map_or(PAGE, |placed| placed.span.end) as u64;
            if matches!(segment.how, End::Sealed(_)) && (header.ordinal, ends) <= to {
                (layer.sums, layer.events, layer.last_frame) = (Vec::new(), 0, 0);
            }
        }
        layer.kept.retain(|_, row| row.flags != 0);
        layer
    }

    fn mark(&mut self, position: u64, (ordinal, offset): Place) {
        let mark = (position, offset, ordinal as u32);
        if is_due(self.marks.last(), &mark) {
            self.marks.push(mark);
        }
    }

    /// Whether all that must be marked is, and nothing but frames.
    pub(crate) fn marks_right(&self, log: &Log) -> bool {
        let (mut last, mut rest) = (None, &self.marks[..]);
        for segment in &log.segments {
            let ordinal = segment.header.ordinal;
            for placed in &segment.frames {
                let place = (ordinal, placed.span.start as u64);
                let frame = (placed.frame.first_position, place.1, ordinal as u32);
                if !(self.from..self.to).contains(&place) {
                    continue;
                }
                if let Some((mark, behind)) = rest.split_first().filter(|(mark, _)| **mark == frame) {
                    (last, rest) = (Some(mark), behind);
                } else if is_due(last, &frame) {
                    return false;
                }
            }
        }
        rest.is_empty()
    }

    /// Section 6. `row` is the state so far, which becomes the row if the range has a section of the stream.
    fn stream(&mut self, section: &Section, run: Run, inside: bool, row: &mut Row) {
        let content = match &section.content {
            Content::Control(content) => &content[..],
            _ => &[],
        };
        if row.creation_ordinal == 0 {
            self.creation += 1;
            (row.creation_ordinal, row.created, row.first_kept) = (self.creation, run.time, 1);
            row.flags |= if inside { REGISTERED } else { 0 };
            if section.kind == CREATE {
                row.attributes = content.to_vec();
            }
        }
        if row.tenant.is_empty() && !section.tenant.is_empty() {
            row.tenant.clone_from(&section.tenant);
            row.flags |= if inside { BOUND } else { 0 };
            if inside {
                let bound = self.tenants.entry(section.tenant.clone()).or_default();
                bound.push((row.creation_ordinal, hash(&section.id)));
                bound.sort_unstable();
            }
        }
        match section.kind {
            EVENTS => {
                row.version += u64::from(section.events);
                row.last_position = run.position + u64::from(section.events) - 1;
                row.last_append = run.time;
                if inside {
                    row.runs.push(run);
                } else {
                    row.runs_before += 1;
                }
            }
            TOMBSTONE => row.flags |= TOMBSTONED,
            TRUNCATE_BEFORE => row.first_kept = row.first_kept.max(section.first),
            _ => {}
        }
        if inside {
            if !row.tenant.is_empty() {
                self.tenants.entry(row.tenant.clone()).or_default();
            }
            self.streams.insert(section.id.clone(), row.clone());
        }
    }

    /// `had`: whether there is a value so far.
    fn keep(&mut self, section: &Section, run: Run, inside: bool, had: &mut bool) {
        self.revision = section.first;
        if inside {
            let flags = if *had { HAD_VALUE } else { 0 };
            let row = self.kept.entry(section.id.clone()).or_insert(KeptRow { flags, ..KeptRow::default() });
            let before = row.flags & HAD_VALUE;
            *row = if section.kind == KEEP {
                KeptRow {
                    flags: before | HAS_VALUE,
                    revision: section.first,
                    offset: run.frame + u64::from(run.at),
                    segment: run.segment,
                    len: run.len,
                    id_checksum: crc32(&section.id_block()),
                }
            } else {
                KeptRow { flags: before, ..KeptRow::default() }
            };
        }
        *had = section.kind == KEEP;
    }
}
