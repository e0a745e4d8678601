//! The sections of the whole log, frame by frame, in the one global order or against it.
//!
//! Owns the walk over the frames of visible segments. Every header is checked by its checksum before its lengths are used.

use crate::engine::place::{Extent, Found, Section, fetch};
use crate::engine::view::{Segments, segment_at};
use crate::error::{Corruption, Fault, ReadError};
use crate::format::FIRST_FRAME;
use crate::format::bytes::expect;
use crate::format::cell::FrameSums;
use crate::format::frame::{FRAME_HEADER_BYTES, FrameFault, FrameHeader, FramePlace};
use crate::format::section::{ENTRY_BYTES, IdBlock, SectionEntry, SectionKind};
use crate::segment::reader::Segment;
use crate::types::Location;
use std::sync::Arc;

pub(crate) struct FrameSource {
    /// The next frame; backward, the place that is reached already.
    at: Location,
    end: Location,
    /// Backward: the frames of the block before `at`, the next one last.
    block: Vec<Location>,
    frame: OpenFrame,
}

/// A frame, and which of its sections are still to come.
#[derive(Default)]
struct OpenFrame {
    segment: Option<Arc<Segment>>,
    time: u64,
    sections: Vec<FrameSection>,
    next: usize,
}

#[derive(Clone, Copy)]
struct FrameSection {
    entry: SectionEntry,
    /// Offset in the segment.
    offset: u64,
    first_position: u64,
}

impl FrameSource {
    pub(crate) fn new(at: Location, end: Location) -> FrameSource {
        FrameSource { at, end, block: Vec::new(), frame: OpenFrame::default() }
    }

    /// The next section with events, opened.
    pub(crate) fn next(&mut self, extent: &Extent) -> Result<Option<Found>, ReadError> {
        match self.next_section(extent)? {
            Some(section) => self.open(section, extent),
            None => Ok(None),
        }
    }

    fn next_section(&mut self, extent: &Extent) -> Result<Option<FrameSection>, ReadError> {
        loop {
            let frame = &mut self.frame;
            let next = if extent.backward {
                frame.sections.pop()
            } else {
                frame.next += 1;
                frame.sections.get(frame.next - 1).copied()
            };
            if next.is_some() {
                return Ok(next);
            }
            if !self.next_frame(extent)? {
                return Ok(None);
            }
        }
    }

    /// Opens the next frame that may hold something wanted.
    fn next_frame(&mut self, extent: &Extent) -> Result<bool, ReadError> {
        loop {
            let Some(place) =
                (if extent.backward { self.previous_place(extent)? } else { self.next_place(extent) })
            else {
                return Ok(false);
            };
            let FrameSource { at, frame, .. } = self;
            let segment =
                segment_at(&extent.segments, place.segment).ok_or_else(|| missing_segment(place))?;
            let mut scratch = Vec::new();
            let (header, table) = read_header(segment, place.offset, &mut scratch)?;
            if !extent.backward {
                *at = Location { offset: place.offset + header.frame_len(), ..place };
                if header.first_position >= extent.wanted.end {
                    return Ok(false);
                }
            } else if header.next_position() <= extent.wanted.start {
                return Ok(false);
            }
            let wanted = header.events > 0
                && header.next_position() > extent.wanted.start
                && header.first_position < extent.wanted.end;
            if !wanted {
                continue;
            }
            frame.sections.clear();
            let mut position = header.first_position;
            let mut offset = place.offset + header.body_at();
            for raw in table.as_chunks::<ENTRY_BYTES>().0 {
                let entry =
                    SectionEntry::decode(raw).map_err(|fault| segment.corrupt(place.offset, fault))?;
                let next_position = position + u64::from(entry.events);
                // A cursor may begin or end in the middle of a frame: what lies outside must not cost it anything.
                let wanted = next_position > extent.wanted.start && position < extent.wanted.end;
                if entry.kind == SectionKind::Events && wanted {
                    frame.sections.push(FrameSection { entry, offset, first_position: position });
                }
                position = next_position;
                offset += u64::from(entry.len);
            }
            expect("end of the sections", place.offset + header.frame_len(), offset)
                .map_err(|fault| segment.corrupt(place.offset, fault))?;
            frame.segment = Some(segment.clone());
            frame.time = header.time;
            frame.next = 0;
            return Ok(true);
        }
    }

    /// Where the next frame stands, forward.
    fn next_place(&mut self, extent: &Extent) -> Option<Location> {
        let FrameSource { at, end, .. } = self;
        while *at < *end {
            match frames_end(&extent.segments, at.segment, *end) {
                Some(frames_end) if at.offset < frames_end => return Some(*at),
                Some(_) => *at = Location { segment: at.segment + 1, offset: FIRST_FRAME },
                None => return None,
            }
        }
        None
    }

    /// Where the frame before stands. Frames can only be walked forwards, so a block of them is, from a mark.
    fn previous_place(&mut self, extent: &Extent) -> Result<Option<Location>, ReadError> {
        let FrameSource { at, end, block, .. } = self;
        loop {
            if let Some(place) = block.pop() {
                return Ok(Some(place));
            }
            let Some(mark) = extent.shared.ask_whole(|view| view.index.mark_before_place(*at))? else {
                return Ok(None);
            };
            let segment = segment_at(&extent.segments, mark.segment).ok_or_else(|| missing_segment(mark))?;
            let frames_end = frames_end(&extent.segments, mark.segment, *end).unwrap_or(mark.offset);
            let block_end = if at.segment == mark.segment { at.offset } else { frames_end };
            let mut offset = mark.offset;
            let mut scratch = Vec::new();
            while offset < block_end {
                block.push(Location { offset, ..mark });
                offset += read_header(segment, offset, &mut scratch)?.0.frame_len();
            }
            *at = mark;
        }
    }

    fn open(&self, section: FrameSection, extent: &Extent) -> Result<Option<Found>, ReadError> {
        let Some(segment) = &self.frame.segment else { return Ok(None) };
        let range = section.offset..section.offset + u64::from(section.entry.len);
        let fetched = fetch(segment, range, self.frame.time, extent.owned)?;
        let fault = |fault| segment.corrupt(section.offset, fault);
        let (block, first_at) = IdBlock::decode(fetched.bytes(), &section.entry).map_err(fault)?;
        let id = IdBlock::id_range(block.id.len());
        let FrameSection { entry, first_position, .. } = section;
        let section = Section { id, ..fetched };
        Ok(Some(Found {
            section,
            first_at,
            first_version: entry.number,
            first_position,
            count: entry.events,
        }))
    }
}

/// Where the frames of a segment end, for a cursor that ends at `end`.
pub(crate) fn frames_end(segments: &Segments, ordinal: u64, end: Location) -> Option<u64> {
    if ordinal == end.segment {
        return Some(end.offset);
    }
    segment_at(segments, ordinal + 1).map(|next| next.header.previous.end)
}

/// The frame header at a place that a walk came to, checked.
pub(crate) fn read_header<'a>(
    segment: &'a Segment,
    offset: u64,
    scratch: &'a mut Vec<u8>,
) -> Result<(FrameHeader, &'a [u8]), ReadError> {
    decode_header(segment, offset, scratch).map(|(header, table, _)| (header, table))
}

/// The same with its checksum.
fn decode_header<'a>(
    segment: &'a Segment,
    offset: u64,
    scratch: &'a mut Vec<u8>,
) -> Result<(FrameHeader, &'a [u8], u32), ReadError> {
    let end_max = segment.header.frames_end_max();
    let place = FramePlace { salt: segment.header.salt, offset, end_max };
    let fault = |fault| ReadError::from(segment.corrupt(offset, fault));
    let head_end = offset + FRAME_HEADER_BYTES as u64;
    let raw = segment.bytes(offset..head_end, scratch)?;
    let lengths = match raw.first_chunk() {
        Some(raw) => FrameHeader::check_lengths(raw, place).map_err(fault)?,
        None => return Err(fault(Fault::Length { what: "frame header", found: head_end, max: end_max })),
    };
    let head = segment.bytes(offset..offset + lengths.body_at, scratch)?;
    match FrameHeader::decode(head, place) {
        Ok(decoded) => Ok(decoded),
        Err(FrameFault::Invalid(wrong) | FrameFault::Refused(wrong)) => Err(fault(wrong)),
    }
}

pub(crate) fn missing_segment(at: Location) -> ReadError {
    ReadError::Corrupt(Corruption { at, fault: Fault::Zeros { what: "the segment of a frame" } })
}

/// The checksums of all frames of a segment up to `end`, in order, and where the last one stands.
pub(crate) fn frame_sums(segment: &Segment, end: u64) -> Result<(Vec<FrameSums>, u64), ReadError> {
    let mut sums = Vec::new();
    let mut scratch = Vec::new();
    let (mut offset, mut last) = (FIRST_FRAME, 0);
    while offset < end {
        let (header, _, frame) = decode_header(segment, offset, &mut scratch)?;
        sums.push(FrameSums { frame, body: header.body_checksum });
        last = offset;
        offset += header.frame_len();
    }
    Ok((sums, last))
}
