//! The last segment at recovery: the only one that may be torn, and the only one that recovery may change.
//!
//! Owns reading it from the device, judging it by the decision table, and clearing what the table calls torn, after everything
//! else has been checked.

use crate::engine::diagnosis::{FooterSeen, Rest, Verdict, diagnose};
use crate::engine::recovery::{LastSegment, Recovery, corrupt, open_fault, read_fault};
use crate::engine::report::TornTail;
use crate::error::{Fault, IoFault, OpenError};
use crate::format::PAGE_BYTES;
use crate::format::bytes::is_zero;
use crate::format::frame::{Frame, FrameKind};
use crate::format::segment::{SegmentFooter, SegmentHeader};
use crate::segment::name::{FileName, segment_name, torn_name};
use crate::segment::scan::{Beyond, Image, Source, Stop, look_beyond};
use crate::storage::{File, write_all_at};
use crate::types::Location;
use std::io;
use std::time::Duration;

/// How much of a segment is read at once.
const READ_BYTES: u64 = 1 << 20;
/// How often a read-only open looks again at a tail that seemed damaged: a writer may be at work on it.
const READ_ONLY_LOOKS: usize = 5;

/// What was seen of the last segment.
struct Judged {
    image: Image,
    verdict: Verdict,
    /// What is wrong where the frames stop.
    stop: Fault,
    /// Where the frames stop.
    end: u64,
    /// Up to where a later batch testifies that the frames are durable.
    proven: u64,
    footer_fault: Option<Fault>,
    beyond: Beyond,
}

impl Recovery<'_> {
    /// The last segment: made durable, read from the device, judged, and if torn, cleared.
    pub(crate) fn last_segment(&mut self, ordinal: u64, first: u64) -> Result<LastSegment, OpenError> {
        let file = self.open(ordinal, self.writable)?;
        if self.writable {
            // What a killed process left in the page cache becomes durable now, or the log is not opened.
            file.sync().map_err(|error| open_fault("sync", &segment_name(ordinal), &error))?;
        }
        let mut page = [0; PAGE_BYTES];
        self.read_tail(&*file, ordinal, 0, &mut page)?;
        let header = self.header(ordinal, &page)?;
        let len = file.len().map_err(|error| open_fault("read", &segment_name(ordinal), &error))?;
        if len < header.capacity {
            // It had its whole length before it had its name: no crash cuts it.
            let fault = Fault::Length { what: "capacity", found: header.capacity, max: len };
            return Err(corrupt(ordinal, len, fault));
        }
        let glanced = self.glance(&*file, &header)?;
        let mut judged = glanced.map_or_else(|| self.judge_last(&*file, &header), Ok)?;
        for _ in 1..READ_ONLY_LOOKS {
            // A writer may have been at work between two reads of a read-only open: then it looks different soon.
            if self.writable || !matches!(judged.verdict, Verdict::Corrupt | Verdict::CorruptFooter) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
            judged = self.judge_last(&*file, &header)?;
        }
        let Judged { mut image, verdict, stop, end, proven, footer_fault, beyond } = judged;
        match verdict {
            Verdict::Corrupt => return Err(corrupt(ordinal, end, stop)),
            Verdict::CorruptFooter => {
                return Err(corrupt(ordinal, header.frames_end_max(), footer_fault.unwrap_or(stop)));
            }
            Verdict::Sealed | Verdict::CleanEnd | Verdict::TornTail | Verdict::TornFooter => {}
        }
        // Judged; now into the index. Without the right to sync, only what somebody else's sync is proven to have covered.
        let show = if self.writable || verdict == Verdict::Sealed { end } else { proven };
        let mut walk = self.start_walk(&header, &*file)?;
        let begun = walk.frames;
        self.note_place(&header, walk.end, walk.chain.checksum);
        self.walk(&mut walk, &mut image, &header, show, false)?;
        if let Stop::Refused(fault) | Stop::Invalid(fault) = walk.stop {
            return Err(corrupt(ordinal, walk.end, fault));
        }
        self.check_met(ordinal)?;
        self.check_start(first)?;
        self.check_checkpoint(header.log_id, first)?;
        // Nothing speaks against the log any more: what is torn may go.
        match verdict {
            Verdict::TornTail => {
                let at = Location { segment: ordinal, offset: end };
                let bytes = beyond.nonzero_end - end;
                let saved_as = self.clear_tail(&*file, &image, at, beyond.nonzero_end)?;
                self.report.torn_tail = Some(TornTail { at, bytes, saved_as, fault: stop });
            }
            Verdict::TornFooter => {
                self.clear(&*file, ordinal, header.frames_end_max(), &vec![0; PAGE_BYTES])?;
                self.report.torn_footer = true;
            }
            _ => {}
        }
        self.pass(&walk, begun);
        let page_at = walk.end & !(PAGE_BYTES as u64 - 1);
        let page = image.fetch(page_at..walk.end).map_err(read_fault)?.to_vec();
        Ok(LastSegment { header, file, page, walk, verdict, beyond })
    }

    /// Whether the segment is as a close has left it: its frames end where the checkpoint of a closed log says, and nothing
    /// follows. Then nothing was written since, no sync can have failed, and there is nothing to be decided. Anything else is
    /// judged in full.
    fn glance(&mut self, file: &dyn File, header: &SegmentHeader) -> Result<Option<Judged>, OpenError> {
        let place = self.checkpoint.as_ref().map(|checkpoint| checkpoint.place);
        let Some(place) = place.filter(|place| self.closed && place.salt == header.salt) else {
            return Ok(None);
        };
        let mut walk = self.start_walk(header, file)?;
        let (at, end) = (Location { segment: header.ordinal, offset: place.end.offset }, place.end.offset);
        if place.end != at || walk.end > end || end > header.frames_end_max() {
            return Ok(None);
        }
        let page = PAGE_BYTES as u64;
        let from = walk.end & !(page - 1);
        // Whoever wrote behind the end began there.
        let to = (end.next_multiple_of(page) + page).min(header.capacity);
        let mut bytes = vec![0; (to - from) as usize];
        let fault = |error: io::Error| open_fault("read", &segment_name(header.ordinal), &error);
        file.read_at(from, &mut bytes).map_err(fault)?;
        let untouched = is_zero(&bytes[(end - from) as usize..]);
        let mut image = Image::new(from, bytes);
        let mut last_kind = self.last_kind;
        let mut met = self.note_place(header, walk.end, walk.chain.checksum);
        let mut visit = |frame: &Frame<'_>| {
            last_kind = Some(frame.header.kind);
            met = self.note_place(header, frame.offset + frame.header.frame_len(), frame.checksum);
            Ok(())
        };
        walk.advance(&mut image, header.salt, end, true, &mut visit).map_err(read_fault)?;
        let as_left = untouched && met && walk.end == end && last_kind == Some(FrameKind::Closed);
        Ok(as_left.then(|| Judged {
            image,
            verdict: Verdict::CleanEnd,
            stop: Fault::Zeros { what: "frame" },
            end,
            proven: end,
            footer_fault: None,
            beyond: Beyond { nonzero_end: end, ..Beyond::default() },
        }))
    }

    /// Reads the last segment and says what it is, without changing anything, on disk or here.
    fn judge_last(&mut self, file: &dyn File, header: &SegmentHeader) -> Result<Judged, OpenError> {
        let footer_at = header.frames_end_max();
        let mut image = self.read_image(file, header)?;
        let mut walk = self.start_walk(header, file)?;
        // What an index file speaks of was durable when it was made.
        let mut proven = walk.end;
        let mut visit = |frame: &Frame<'_>| {
            let end = frame.offset + frame.header.frame_len();
            // A later batch proves that all before it was durable; the checkpoint proves its own place.
            proven = if self.note_place(header, end, frame.checksum) {
                end
            } else {
                proven.max(frame.header.batch_start)
            };
            Ok(())
        };
        walk.advance(&mut image, header.salt, footer_at, true, &mut visit).map_err(read_fault)?;
        let end = walk.end;
        let mut footer_page = [0; PAGE_BYTES];
        footer_page.copy_from_slice(image.fetch(footer_at..header.capacity).map_err(read_fault)?);
        let (footer, footer_fault) = match SegmentFooter::decode(&footer_page, header) {
            Ok(footer) if walk.agrees(&footer) => (FooterSeen::Agrees, None),
            Ok(footer) => (FooterSeen::Disagrees, Some(walk.disagreement(&footer))),
            Err(Fault::Zeros { .. }) => (FooterSeen::Zeros, None),
            Err(fault) => (FooterSeen::Invalid, Some(fault)),
        };
        let beyond = look_beyond(&image, header.salt, end, footer_at);
        let (rest, stop) = match walk.stop {
            Stop::Refused(fault) => (Rest::Refused, fault),
            Stop::Invalid(fault) => match beyond.witness {
                Some(witness) => (Rest::Witness, Fault::Acknowledged { witness, cause: Box::new(fault) }),
                None if beyond.nonzero_end == end => (Rest::Zeros, fault),
                None => (Rest::Remains, fault),
            },
            // No room for another header, yet there may be a few bytes.
            Stop::End if beyond.nonzero_end == end => (Rest::Zeros, Fault::Zeros { what: "frame" }),
            Stop::End => {
                (Rest::Remains, Fault::Field { what: "bytes after the last frame", expected: 0, found: 1 })
            }
        };
        let stop = match (footer, &footer_fault) {
            (FooterSeen::Disagrees, Some(fault)) => fault.clone(),
            _ => stop,
        };
        let verdict = diagnose(true, footer, rest);
        Ok(Judged { image, verdict, stop, end, proven, footer_fault, beyond })
    }

    /// The last segment's bytes as the device has them.
    fn read_image(&mut self, file: &dyn File, header: &SegmentHeader) -> Result<Image, OpenError> {
        let mut bytes = Vec::new();
        let mut chunk = vec![0; READ_BYTES as usize];
        let mut offset = 0;
        let fault = |error: io::Error| open_fault("read", &segment_name(header.ordinal), &error);
        while offset < header.capacity {
            let Some(data) = file.data_from(offset).map_err(fault)? else { break };
            offset = data.max(offset) & !(PAGE_BYTES as u64 - 1);
            if offset >= header.capacity {
                break;
            }
            let some = (header.capacity - offset).min(READ_BYTES) as usize;
            self.read_tail(file, header.ordinal, offset, &mut chunk[..some])?;
            // Zeros at the end are implied: a segment that is hardly used costs hardly any memory.
            if !is_zero(&chunk[..some]) {
                bytes.resize(offset as usize, 0);
                bytes.extend_from_slice(&chunk[..some]);
            }
            offset += some as u64;
        }
        Ok(Image::new(0, bytes))
    }

    /// Reads around the page cache if this open may also sync; else as any reader does.
    fn read_tail(
        &mut self,
        file: &dyn File,
        ordinal: u64,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), OpenError> {
        let fault = |error: io::Error| open_fault("read", &segment_name(ordinal), &error);
        if !self.writable {
            return match file.read_at(offset, buffer) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && offset == 0 => {
                    let fault = Fault::Length { what: "segment header", found: PAGE_BYTES as u64, max: 0 };
                    Err(corrupt(ordinal, 0, fault))
                }
                other => other.map_err(fault),
            };
        }
        if offset == 0 && file.len().map_err(fault)? < buffer.len() as u64 {
            let fault = Fault::Length { what: "segment header", found: PAGE_BYTES as u64, max: 0 };
            return Err(corrupt(ordinal, 0, fault));
        }
        let sure = file.read_device(offset, buffer).map_err(fault)?;
        self.report.tail_read = Some(self.report.tail_read.map_or(sure, |so_far| so_far.min(sure)));
        Ok(())
    }

    /// Saves the torn bytes beside the log, then overwrites them with zeros, and syncs. Read-only, it does neither.
    fn clear_tail(
        &self,
        file: &dyn File,
        image: &Image,
        at: Location,
        nonzero_end: u64,
    ) -> Result<Result<String, IoFault>, OpenError> {
        let torn = image.get(at.offset..nonzero_end);
        let saved_as = if self.writable { self.save(torn, at) } else { Ok(String::new()) };
        let page_at = at.offset & !(PAGE_BYTES as u64 - 1);
        let mut pages = image.get(page_at..at.offset).to_vec();
        pages.resize((nonzero_end - page_at).next_multiple_of(PAGE_BYTES as u64) as usize, 0);
        self.clear(file, at.segment, page_at, &pages)?;
        Ok(saved_as)
    }

    fn clear(&self, file: &dyn File, ordinal: u64, offset: u64, pages: &[u8]) -> Result<(), OpenError> {
        if !self.writable {
            return Ok(());
        }
        let name = segment_name(ordinal);
        write_all_at(file, offset, pages).map_err(|error| open_fault("clear the tail of", &name, &error))?;
        file.sync().map_err(|error| open_fault("sync", &name, &error))
    }

    /// Keeps a copy of what is about to be cleared. A copy that cannot be made does not stop the recovery.
    fn save(&self, torn: &[u8], at: Location) -> Result<String, IoFault> {
        let taken = |count: u64| {
            self.torn_names.contains(&FileName::Torn { segment: at.segment, offset: at.offset, count })
        };
        let count = (1..).find(|count| !taken(*count)).unwrap_or(1);
        let name = torn_name(at.segment, at.offset, count);
        let fault = |error: io::Error| IoFault::new("save the torn tail to", &name, &error);
        let result = self.storage.create(&name).and_then(|file| {
            write_all_at(&*file, 0, torn)?;
            file.sync()?;
            self.storage.sync_directory()
        });
        if result.is_err() {
            let _ = self.storage.remove(&name);
        }
        result.map_err(fault)?;
        Ok(name)
    }
}
