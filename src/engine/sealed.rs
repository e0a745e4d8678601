//! Sealed segments at recovery: walked into the index, or known from index files.
//!
//! Owns the chain from segment to segment, and the place where index files end and the walk goes on: the log must have it, or
//! they are not believed. Changes nothing in any segment.

use crate::engine::covered::Covered;
use crate::engine::diagnosis::{FooterSeen, Rest, Verdict, diagnose};
use crate::engine::layering::write_oldest;
use crate::engine::recovery::{Recovery, corrupt, open_fault, read_page};
use crate::error::{Fault, OpenError};
use crate::format::bytes::expect;
use crate::format::cell::{Entry, FrameSums};
use crate::format::frame::{Chain, FrameKind};
use crate::format::segment::{HeaderFault, Link, SegmentFooter, SegmentHeader};
use crate::format::{FIRST_FRAME, FORMAT_VERSION, PAGE_BYTES};
use crate::layer::{Damage, Range};
use crate::segment::name::segment_name;
use crate::segment::reader::Segment;
use crate::segment::scan::{SegmentSource, Stop, Walk, frame_at};
use crate::storage::File;
use crate::types::Location;
use std::io;
use std::sync::Arc;

/// How much of a log's index is kept in memory while it is opened, in bytes of the log.
const MEMORY_BYTES: u64 = 256 << 20;

impl Recovery<'_> {
    /// Reads a header and compares it with the file's name and with the segment before.
    pub(crate) fn header(
        &mut self,
        ordinal: u64,
        page: &[u8; PAGE_BYTES],
    ) -> Result<SegmentHeader, OpenError> {
        let file = segment_name(ordinal);
        let header = SegmentHeader::decode(page).map_err(|fault| match fault {
            HeaderFault::NewerVersion(found) => {
                OpenError::NewerVersion { file: file.clone(), found, supported: FORMAT_VERSION }
            }
            HeaderFault::UnknownFeature(bits) => {
                OpenError::UnknownFeature { file: file.clone(), bits, read_only_helps: false }
            }
            HeaderFault::Fault(fault) => corrupt(ordinal, 0, fault),
        })?;
        if self.writable && header.unknown_write_features != 0 {
            let bits = header.unknown_write_features;
            return Err(OpenError::UnknownFeature { file, bits, read_only_helps: true });
        }
        let mismatch = |what, expected, found| {
            Err(OpenError::ChainMismatch { ordinal, fault: Fault::Field { what, expected, found } })
        };
        if header.ordinal != ordinal {
            return mismatch("ordinal", ordinal, header.ordinal);
        }
        match self.segments.last().map(|segment| segment.header) {
            Some(before) => {
                if header.log_id != before.log_id {
                    return mismatch("log id", before.log_id.as_u64_pair().0, header.log_id.as_u64_pair().0);
                }
                let previous = header.previous;
                if previous.salt != before.salt {
                    return mismatch("salt of the segment before", before.salt, previous.salt);
                }
                if header.base_position < before.base_position {
                    return mismatch("base position", before.base_position, header.base_position);
                }
                if let Some(end) = self.last_end {
                    if previous.end != end {
                        return mismatch("end of the segment before", end, previous.end);
                    }
                    let (expected, found) = (self.chain.checksum.into(), previous.checksum.into());
                    if found != expected {
                        return mismatch("checksum of the frame before", expected, found);
                    }
                    if header.base_position != self.chain.next_position {
                        return mismatch("base position", self.chain.next_position, header.base_position);
                    }
                }
            }
            None if ordinal == 1 => {
                if header.previous != Link::default() || header.base_position != 1 {
                    return mismatch("base position of the first segment", 1, header.base_position);
                }
            }
            // What lies before was removed; `check_start` wants to see that in writing.
            None => {
                self.chain.next_position = header.base_position;
                self.index.starts_late = true;
            }
        }
        self.note_place(&header, FIRST_FRAME, header.previous.checksum);
        Ok(header)
    }

    pub(crate) fn sealed_segment(&mut self, ordinal: u64) -> Result<(), OpenError> {
        let name = segment_name(ordinal);
        let fault = |error: &io::Error| open_fault("read", &name, error);
        let file = self.open(ordinal, false)?;
        let mut page = [0; PAGE_BYTES];
        read_page(&*file, 0, &mut page).map_err(|error| fault(&error))?;
        let header = self.header(ordinal, &page)?;
        let footer_at = header.capacity - PAGE_BYTES as u64;
        let len = file.len().map_err(|error| fault(&error))?;
        if len < header.capacity {
            let fault = Fault::Length { what: "capacity", found: header.capacity, max: len };
            return Err(corrupt(ordinal, len, fault));
        }
        let new = |file| Segment::new(header, file, self.options.read_mode).map_err(|error| fault(&error));
        let footer = read_page(&*file, footer_at, &mut page).map_err(|error| fault(&error)).and_then(|()| {
            SegmentFooter::decode(&page, &header).map_err(|fault| corrupt(ordinal, footer_at, fault))
        });
        if self.covers(ordinal) {
            // What it holds is known; that it is the one that the next segment follows is said by its footer. If that cannot be
            // read, as much is compared as can be: its events are there, and each proves itself.
            if let Ok(footer) = &footer {
                self.chain = Chain {
                    checksum: footer.last_checksum,
                    next_position: footer.last_position.saturating_add(1),
                    time: footer.last_time.max(self.chain.time),
                    batch_number: footer.last_batch,
                    batch_start: 0,
                };
            }
            self.last_end = footer.ok().map(|footer| footer.end);
            let segment = new(&file)?;
            self.segments.push(Arc::new(segment));
            return Ok(());
        }
        let footer = footer?;
        if let Some(chain) = self.ends_with(&header, &footer)? {
            let segment = new(&file)?;
            self.note_place(&header, footer.end, chain.checksum);
            (self.chain, self.last_end) = (chain, Some(footer.end));
            self.segments.push(Arc::new(segment));
            return Ok(());
        }
        let mut walk = self.start_walk(&header, &*file)?;
        let segment = new(&file)?;
        let begun = walk.frames;
        self.note_place(&header, walk.end, walk.chain.checksum);
        let mut source = SegmentSource { segment: &segment, scratch: Vec::new() };
        self.walk(&mut walk, &mut source, &header, footer.end, false)?;
        let (seen, rest) = match &walk.stop {
            Stop::Refused(_) => (FooterSeen::Agrees, Rest::Refused),
            _ if walk.agrees(&footer) => (FooterSeen::Agrees, Rest::Zeros),
            _ => (FooterSeen::Disagrees, Rest::Remains),
        };
        if diagnose(false, seen, rest) != Verdict::Sealed {
            return Err(corrupt(ordinal, walk.end, walk.disagreement(&footer)));
        }
        self.check_met(ordinal)?;
        self.pass(&walk, begun);
        self.segments.push(Arc::new(segment));
        let to = Location { segment: ordinal, offset: walk.end };
        let range = || Range::sealed(header.log_id, to, header.salt, walk.chain);
        self.index.seal(walk.end, self.options.index_after_bytes, range);
        self.relieve();
        Ok(())
    }

    /// Writes a part of the index to a file, if more is in memory than a log is read for in a while.
    fn relieve(&mut self) {
        let in_memory = self.index.frozen.len() as u64 * self.options.index_after_bytes;
        if self.writable && in_memory > MEMORY_BYTES {
            let number = self.next_number;
            self.next_number += 1;
            self.made.push(number);
            // What cannot be written stays in memory.
            let _ = write_oldest(self.storage, number, &mut self.index, self.options.read_mode);
        }
    }

    /// Whether the index files speak of all of a segment that has successors.
    pub(crate) fn covers(&self, ordinal: u64) -> bool {
        self.covered.as_ref().is_some_and(|covered| ordinal < covered.to.segment)
    }

    /// From which offset on the frames of a segment are news to the index.
    pub(crate) fn news_from(&self, ordinal: u64) -> u64 {
        match &self.covered {
            Some(covered) if covered.to.segment == ordinal => covered.to.offset,
            _ => FIRST_FRAME,
        }
    }

    /// Whether the index files end with this sealed segment, so that there is nothing to walk in it.
    pub(crate) fn ends_with(
        &self,
        header: &SegmentHeader,
        footer: &SegmentFooter,
    ) -> Result<Option<Chain>, OpenError> {
        let Some(covered) = self.covered.as_ref().filter(|covered| covered.to.segment == header.ordinal)
        else {
            return Ok(None);
        };
        let Covered { number, to, to_salt, chain, last_frame, .. } = covered;
        if *last_frame > 0 || to.offset == FIRST_FRAME {
            return Ok(None);
        }
        let last = (to.offset, chain.next_position.saturating_sub(1), chain.batch_number);
        let same = last == (footer.end, footer.last_position, footer.last_batch);
        if !same || (*to_salt, chain.checksum) != (header.salt, footer.last_checksum) {
            return Err(self.do_without(Damage::new(*number, 0, Fault::Zeros { what: "end of the range" })));
        }
        Ok(Some(*chain))
    }

    /// The walk over a segment: from where the index files end, if they end in it, or from its first frame.
    pub(crate) fn start_walk(&mut self, header: &SegmentHeader, file: &dyn File) -> Result<Walk, OpenError> {
        let Some(covered) = self.covered.as_ref().filter(|covered| covered.to.segment == header.ordinal)
        else {
            return Ok(Walk::start(header, &self.chain));
        };
        let Covered { number, to, to_salt, chain, events, last_frame, frames } = covered;
        if *last_frame == 0 {
            // They end before its first frame, which must follow what they end with; or with the segment, which is the last
            // one: what recovery decides, it decides by all of it.
            let before = if to.offset == FIRST_FRAME { *chain } else { self.chain };
            return Ok(Walk::start(header, &before));
        }
        let ends = || -> Result<FrameKind, Fault> {
            expect("salt of the segment", *to_salt, header.salt)?;
            let (end, after, kind) = frame_at(file, header, *last_frame)?;
            expect("end of the last frame", to.offset, end)?;
            expect("checksum of the last frame", chain.checksum.into(), after.checksum.into())?;
            expect("whether the last frame says the same", 1, u64::from(after == *chain))?;
            // The footer will say these of the whole segment.
            let due = chain.next_position.saturating_sub(header.base_position);
            expect("events of the last segment", due, *events)?;
            let last = frames.last_chunk::<{ FrameSums::BYTES }>().map_or(0, |raw| FrameSums::get(raw).frame);
            expect("last of the frame checksums", chain.checksum.into(), last.into())?;
            Ok(kind)
        };
        match ends() {
            Ok(kind) => {
                let walk = Walk::resume(to.offset, *chain, *events, frames);
                self.last_kind = Some(kind);
                Ok(walk)
            }
            Err(fault) => Err(self.do_without(Damage::new(*number, 0, fault))),
        }
    }

    /// Whether the walk over a segment has come by the end of the index files, if they end in it.
    pub(crate) fn check_met(&self, ordinal: u64) -> Result<(), OpenError> {
        match &self.covered {
            Some(covered) if covered.to.segment == ordinal && !self.covered_met => {
                let fault = Fault::Zeros { what: "the frame at the end of the range" };
                Err(self.do_without(Damage::new(covered.number, 0, fault)))
            }
            _ => Ok(()),
        }
    }

    /// Notes that the walk has come to a place, if that is where the index files end.
    pub(crate) fn note_covered(&mut self, ordinal: u64, end: u64, checksum: u32) {
        let here = Location { segment: ordinal, offset: end };
        self.covered_met |=
            self.covered.as_ref().is_some_and(|c| c.to == here && c.chain.checksum == checksum);
    }

    /// Gives up on the index files: the caller returns this error, and recovery begins anew without them.
    pub(crate) fn do_without(&self, damage: Damage) -> OpenError {
        *self.damage.borrow_mut() = Some(damage);
        OpenError::MissingSegment { ordinal: 0 }
    }
}
