//! The walk over the frames of a segment, and the search for a witness: used by recovery, by reading and by tests alike.
//!
//! Owns what "the frames of a segment" means. Must never decide what to do about what it finds, and never change a byte.

use crate::error::{Fault, ReadError};
use crate::format::FIRST_FRAME;
use crate::format::bytes::PartSums;
use crate::format::cell::{Entry, FrameSums};
use crate::format::frame::{
    Chain, FRAME_HEADER_BYTES, FRAME_MAGIC, Frame, FrameFault, FrameHeader, FrameKind, FramePlace,
};
use crate::format::segment::{Digest, SegmentFooter, SegmentHeader};
use crate::segment::reader::Segment;
use crate::storage::File;
use std::ops::Range;

/// Bytes of a segment, by offset. Ranges asked for end at or before the segment's capacity.
pub(crate) trait Source {
    fn fetch(&mut self, range: Range<u64>) -> Result<&[u8], ReadError>;
}

/// A segment read as readers read it.
pub(crate) struct SegmentSource<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) scratch: Vec<u8>,
}

impl Source for SegmentSource<'_> {
    fn fetch(&mut self, range: Range<u64>) -> Result<&[u8], ReadError> {
        self.segment.bytes(range, &mut self.scratch)
    }
}

/// A segment's bytes from some offset on, in memory; zeros from their end on. Nobody asks for what lies before.
#[derive(Debug, Default)]
pub(crate) struct Image {
    base: u64,
    bytes: Vec<u8>,
}

impl Image {
    pub(crate) fn new(base: u64, mut bytes: Vec<u8>) -> Image {
        // The last bytes of a frame header or a section table may be zeros that were left out.
        bytes.resize(bytes.len() + crate::format::PAGE_BYTES, 0);
        Image { base, bytes }
    }

    /// Offset behind the last byte of a range that is not zero; its start if there is none.
    pub(crate) fn nonzero_end(&self, range: Range<u64>) -> u64 {
        let start = range.start;
        start + self.get(range).iter().rposition(|b| *b != 0).map_or(0, |at| at as u64 + 1)
    }

    /// The bytes of a range, as far as they were read; the rest is zeros.
    pub(crate) fn get(&self, range: Range<u64>) -> &[u8] {
        let at = |offset: u64| offset.saturating_sub(self.base) as usize;
        let end = at(range.end).min(self.bytes.len());
        self.bytes.get(at(range.start).min(end)..end).unwrap_or_default()
    }
}

impl Source for Image {
    fn fetch(&mut self, range: Range<u64>) -> Result<&[u8], ReadError> {
        let at = |offset: u64| offset.saturating_sub(self.base) as usize;
        let (start, end) = (at(range.start), at(range.end));
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        Ok(&self.bytes[start..end])
    }
}

/// Why a walk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// At the end that was given, or because no header fits any more.
    End,
    /// No valid frame here: never written, torn or damaged.
    Invalid(Fault),
    /// A frame here that no crash can have left: it does not follow, or its content is wrong behind a right checksum.
    Refused(Fault),
}

/// What a walk saw.
pub(crate) struct Walk {
    /// Where it ended: behind the last frame.
    pub(crate) end: u64,
    /// What the next frame must follow.
    pub(crate) chain: Chain,
    pub(crate) frames: u64,
    pub(crate) events: u64,
    pub(crate) digest: Digest,
    pub(crate) stop: Stop,
}

impl Walk {
    /// The start of a walk over this segment: nothing seen. `before` is the end of the segment before.
    pub(crate) fn start(header: &SegmentHeader, before: &Chain) -> Walk {
        Walk {
            end: FIRST_FRAME,
            chain: Chain {
                checksum: header.previous.checksum,
                next_position: header.base_position,
                time: before.time,
                batch_number: before.batch_number,
                batch_start: 0,
            },
            frames: 0,
            events: 0,
            digest: Digest::new(),
            stop: Stop::End,
        }
    }

    /// A walk that goes on behind the frames with these checksums, the last of which ends at `end`.
    pub(crate) fn resume(end: u64, chain: Chain, events: u64, frames: &[u8]) -> Walk {
        let mut digest = Digest::new();
        digest.add_all(frames);
        Walk { end, chain, frames: (frames.len() / FrameSums::BYTES) as u64, events, digest, stop: Stop::End }
    }

    /// Walks on from where this walk stands up to `end`, and shows each frame to `visit`. Bodies are compared with
    /// their checksum if `check_bodies`. A fault that `visit` returns ends the walk as refused.
    pub(crate) fn advance(
        &mut self,
        source: &mut dyn Source,
        salt: u64,
        end: u64,
        check_bodies: bool,
        visit: &mut dyn FnMut(&Frame<'_>) -> Result<(), Fault>,
    ) -> Result<(), ReadError> {
        self.stop = Stop::End;
        while self.end + FRAME_HEADER_BYTES as u64 <= end {
            let place = FramePlace { salt, offset: self.end, end_max: end };
            match self.step(source, place, check_bodies, visit)? {
                Stop::End => {}
                stop => {
                    self.stop = stop;
                    break;
                }
            }
        }
        Ok(())
    }

    /// One frame; `Stop::End` means "go on".
    fn step(
        &mut self,
        source: &mut dyn Source,
        place: FramePlace,
        check_bodies: bool,
        visit: &mut dyn FnMut(&Frame<'_>) -> Result<(), Fault>,
    ) -> Result<Stop, ReadError> {
        let offset = place.offset;
        let raw = source.fetch(offset..offset + FRAME_HEADER_BYTES as u64)?;
        let Some(raw) = raw.first_chunk() else { return Ok(Stop::End) };
        let lengths = match FrameHeader::check_lengths(raw, place) {
            Ok(lengths) => lengths,
            Err(fault) => return Ok(Stop::Invalid(fault)),
        };
        // The header proves itself before its lengths are believed for more than the table.
        let head = source.fetch(offset..offset + lengths.body_at)?;
        let (header, checksum) = match FrameHeader::decode(head, place) {
            Ok((header, _, checksum)) => (header, checksum),
            Err(FrameFault::Invalid(fault)) => return Ok(Stop::Invalid(fault)),
            Err(FrameFault::Refused(fault)) => return Ok(Stop::Refused(fault)),
        };
        let bytes = source.fetch(offset..offset + lengths.frame)?;
        let (head, body) = bytes.split_at(lengths.body_at as usize);
        let table = &head[FRAME_HEADER_BYTES..];
        if check_bodies && let Err(fault) = header.check_body(body) {
            return Ok(Stop::Invalid(fault));
        }
        let frame = Frame { offset, header, table, body, checksum };
        if let Err(fault) = header
            .check_kind(body)
            .and_then(|()| header.check_follows(offset, &self.chain))
            .and_then(|()| visit(&frame))
        {
            return Ok(Stop::Refused(fault));
        }
        self.chain = Chain::after(&header, checksum);
        self.digest.add(checksum, header.body_checksum);
        self.frames += 1;
        self.events += u64::from(header.events);
        self.end = offset + lengths.frame;
        Ok(Stop::End)
    }

    /// Whether a footer says what a walk over the frames found.
    pub(crate) fn agrees(&self, footer: &SegmentFooter) -> bool {
        footer.end == self.end
            && footer.frames == self.frames
            && footer.events == self.events
            && footer.last_position == self.chain.next_position - 1
            && footer.last_batch == self.chain.batch_number
            && footer.last_checksum == self.chain.checksum
            && footer.digest == self.digest.value()
    }

    /// Why the frames do not reach where the footer says, or disagree with it.
    pub(crate) fn disagreement(&self, footer: &SegmentFooter) -> Fault {
        match &self.stop {
            Stop::Invalid(fault) | Stop::Refused(fault) if self.end != footer.end => fault.clone(),
            Stop::Refused(fault) => fault.clone(),
            _ if self.end != footer.end => {
                Fault::Field { what: "end of the frames", expected: footer.end, found: self.end }
            }
            _ => Fault::Field {
                what: "counts and digest of the footer",
                expected: self.frames,
                found: footer.frames,
            },
        }
    }
}

/// Where the frame at an offset ends, what the next one has to follow, and its kind, read from the file.
pub(crate) fn frame_at(
    file: &dyn File,
    header: &SegmentHeader,
    offset: u64,
) -> Result<(u64, Chain, FrameKind), Fault> {
    let place = FramePlace { salt: header.salt, offset, end_max: header.frames_end_max() };
    let unreadable = |_| Fault::Zeros { what: "frame" };
    let mut raw = vec![0; FRAME_HEADER_BYTES];
    file.read_at(offset, &mut raw).map_err(unreadable)?;
    let raw_head = raw.first_chunk().ok_or(Fault::Zeros { what: "frame" })?;
    let lengths = FrameHeader::check_lengths(raw_head, place)?;
    raw.resize(lengths.body_at as usize, 0);
    file.read_at(offset, &mut raw).map_err(unreadable)?;
    match FrameHeader::decode(&raw, place) {
        Ok((frame, _, checksum)) => Ok((offset + lengths.frame, Chain::after(&frame, checksum), frame.kind)),
        Err(FrameFault::Invalid(fault) | FrameFault::Refused(fault)) => Err(fault),
    }
}

/// What lies beyond a bad place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Beyond {
    /// Offset of the first frame header whose batch starts beyond the bad place.
    pub(crate) witness: Option<u64>,
    /// The largest batch number in any frame header with a right checksum.
    pub(crate) batch_number: u64,
    /// Offset behind the last byte that is not zero.
    pub(crate) nonzero_end: u64,
}

/// Looks through all that was allocated behind the bad place `from` (FORMAT.md section 8, "witness").
pub(crate) fn look_beyond(image: &Image, salt: u64, from: u64, end_max: u64) -> Beyond {
    let mut beyond = Beyond { nonzero_end: image.nonzero_end(from..end_max.max(from)), ..Beyond::default() };
    let first = from.next_multiple_of(8);
    let sums = PartSums::new(image.get(first..end_max));
    let mut offset = first;
    while offset < beyond.nonzero_end {
        // The magic first: it is what most places fail, at the price of one comparison.
        if image.get(offset..offset + 4) == FRAME_MAGIC {
            let place = FramePlace { salt, offset, end_max };
            if let Some((batch_start, batch_number)) =
                FrameHeader::batch_at(&sums, (offset - first) as usize, place)
            {
                beyond.batch_number = beyond.batch_number.max(batch_number.min(crate::types::NUMBER_MAX - 1));
                if batch_start > from && beyond.witness.is_none() {
                    beyond.witness = Some(offset);
                }
            }
        }
        offset += 8;
    }
    beyond
}
