//! Recovery: from a directory, in whatever state its last user left it, to a log that can be shown.
//!
//! Owns the order of steps: first make durable, then read from the device, then decide, then act, then show. Can be cut
//! anywhere and done again. Changes nothing unless the decision table says torn; never repairs damage.

use crate::engine::diagnosis::{FooterSeen, Rest, Verdict, diagnose};
use crate::engine::report::{CheckpointUse, RecoveryReport, TornTail};
use crate::engine::sequencer::Tail;
use crate::engine::spare::{FIRST_CAPACITY, Spare, next_capacity};
use crate::engine::view::{View, Watermark};
use crate::error::{Corruption, Fault, IoFault, OpenError, ReadError};
use crate::format::checkpoint::Checkpoint;
use crate::format::frame::{Chain, Frame, FrameKind};
use crate::format::segment::{HeaderFault, Link, SegmentFooter, SegmentHeader};
use crate::format::{FIRST_FRAME, FORMAT_VERSION, PAGE_BYTES};
use crate::index::Index;
use crate::options::Options;
use crate::segment::name::{CHECKPOINT, FileName, segment_name, torn_name};
use crate::segment::reader::Segment;
use crate::segment::scan::{Beyond, Image, SegmentSource, Source, Stop, Walk, look_beyond};
use crate::storage::{File, Storage, write_all_at};
use crate::types::Location;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How much of a segment is read at once.
const READ_BYTES: u64 = 1 << 20;
/// How often a read-only open looks again at a tail that seemed damaged: a writer may be at work on it.
const READ_ONLY_LOOKS: usize = 5;

/// A log that is ready to be shown.
pub(crate) struct Recovered {
    pub(crate) log_id: Uuid,
    pub(crate) view: View,
    pub(crate) tail: Tail,
    /// Offset where the next frame goes, and the bytes before it in its page.
    pub(crate) end: u64,
    pub(crate) page: Vec<u8>,
    pub(crate) next_batch: u64,
    /// The last frame has no witness yet.
    pub(crate) unwitnessed: bool,
    pub(crate) live: Arc<Segment>,
    pub(crate) report: RecoveryReport,
}

/// An error of the operating system while opening, as the caller should see it.
pub(crate) fn open_fault(operation: &'static str, file: &str, error: &io::Error) -> OpenError {
    from_fault(IoFault::new(operation, file, error))
}

fn read_fault(error: ReadError) -> OpenError {
    match error {
        ReadError::Corrupt(corruption) => OpenError::Corrupt(corruption),
        ReadError::Io(fault) => OpenError::Io(fault),
        // Cursors say these; a walk over a segment has no stream and no start.
        ReadError::Gone { .. } | ReadError::Truncated { .. } => OpenError::MissingSegment { ordinal: 0 },
    }
}

/// The names in the directory, sorted out.
struct Inventory {
    segments: Vec<u64>,
    has_checkpoint: bool,
    has_index: bool,
    torn: Vec<FileName>,
    temporary: Vec<String>,
    foreign: Vec<String>,
}

impl Inventory {
    fn take(storage: &dyn Storage) -> Result<Inventory, OpenError> {
        let names = storage.list().map_err(|error| open_fault("list", ".", &error))?;
        let mut inventory = Inventory {
            segments: Vec::new(),
            has_checkpoint: false,
            has_index: false,
            torn: Vec::new(),
            temporary: Vec::new(),
            foreign: Vec::new(),
        };
        for name in names {
            match FileName::parse(&name) {
                FileName::Segment(ordinal) => inventory.segments.push(ordinal),
                FileName::Checkpoint => inventory.has_checkpoint = true,
                FileName::Temporary => inventory.temporary.push(name),
                torn @ FileName::Torn { .. } => inventory.torn.push(torn),
                FileName::Index(_) => inventory.has_index = true,
                FileName::Foreign => inventory.foreign.push(name),
            }
        }
        inventory.segments.sort_unstable();
        inventory.foreign.sort_unstable();
        inventory.temporary.sort_unstable();
        Ok(inventory)
    }

    /// What speaks against taking a directory without a segment for an empty one.
    fn evidence(&self) -> Option<String> {
        if self.has_checkpoint {
            return Some(CHECKPOINT.to_owned());
        }
        if self.has_index || !self.torn.is_empty() {
            return Some("other files of a log".to_owned());
        }
        self.foreign.first().cloned()
    }
}

/// Opens the log in a storage: recovers it, or makes it.
pub(crate) fn recover(
    storage: &dyn Storage,
    options: &Options,
    writable: bool,
) -> Result<Recovered, OpenError> {
    let begun = Instant::now();
    let inventory = Inventory::take(storage)?;
    let created = inventory.segments.is_empty();
    if created {
        if let Some(found) = inventory.evidence() {
            return Err(OpenError::NotALog { path: storage.name(), found });
        }
        if !options.create || !writable {
            return Err(OpenError::NotFound { path: storage.name() });
        }
    }
    if writable {
        // Everything that a directory listing shows must be durable before anything in it is.
        storage.sync_directory().map_err(|error| open_fault("sync the directory of", ".", &error))?;
    }
    if created {
        create_first(storage, options)?;
    }
    let ordinals = if created { vec![1] } else { inventory.segments.clone() };
    let mut recovery = Recovery {
        storage,
        options,
        writable,
        index: Index::default(),
        segments: Vec::with_capacity(ordinals.len()),
        chain: Chain::default(),
        last_end: 0,
        frames: 0,
        events: 0,
        checkpoint: None,
        checkpoint_met: false,
        last_kind: None,
        torn_names: inventory.torn,
        report: RecoveryReport {
            created,
            closed_cleanly: false,
            segments: ordinals.len() as u64,
            frames: 0,
            events: 0,
            streams: 0,
            torn_tail: None,
            torn_footer: false,
            removed: Vec::new(),
            foreign: inventory.foreign,
            checkpoint: CheckpointUse::Missing,
            tail_read: None,
            took: begun.elapsed(),
        },
    };
    if inventory.has_checkpoint {
        recovery.read_checkpoint()?;
    }
    let mut recovered = recovery.run(&ordinals)?;
    if writable {
        // Only now: an open that refuses has changed nothing. A new log took its spare's place already.
        for name in inventory.temporary {
            match storage.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(open_fault("remove", &name, &error));
                }
                _ => recovered.report.removed.push(name),
            }
        }
    }
    recovered.report.took = begun.elapsed();
    Ok(recovered)
}

/// Makes the first segment of a new log.
fn create_first(storage: &dyn Storage, options: &Options) -> Result<(), OpenError> {
    let header = SegmentHeader {
        rewritten: false,
        log_id: Uuid::new_v4(),
        salt: 0,
        ordinal: 1,
        base_position: 1,
        capacity: next_capacity(FIRST_CAPACITY / 2, options.segment_bytes, 0),
        created: crate::engine::shared::now(),
        previous: Link::default(),
        unknown_write_features: 0,
    };
    let spare = Spare::make(storage, header.capacity).map_err(from_fault)?;
    let header = SegmentHeader { salt: spare.salt, ..header };
    spare.go_live(storage, &header).map_err(from_fault)?;
    Ok(())
}

fn from_fault(fault: IoFault) -> OpenError {
    match fault.kind {
        _ if fault.is_disk_full() => OpenError::DiskFull(fault),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => OpenError::ReadOnly(fault),
        _ => OpenError::Io(fault),
    }
}

struct Recovery<'a> {
    storage: &'a dyn Storage,
    options: &'a Options,
    writable: bool,
    index: Index,
    segments: Vec<Arc<Segment>>,
    /// The chain as far as it was walked.
    chain: Chain,
    /// Where the frames of the segment before end.
    last_end: u64,
    frames: u64,
    events: u64,
    checkpoint: Option<Checkpoint>,
    checkpoint_met: bool,
    last_kind: Option<FrameKind>,
    torn_names: Vec<FileName>,
    report: RecoveryReport,
}

impl Recovery<'_> {
    fn read_checkpoint(&mut self) -> Result<(), OpenError> {
        let mut page = [0; PAGE_BYTES];
        let read = self.storage.open(CHECKPOINT, false).and_then(|file| file.read_at(0, &mut page));
        match read {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.report.checkpoint = CheckpointUse::Damaged(Fault::Length {
                    what: "checkpoint",
                    found: PAGE_BYTES as u64,
                    max: 0,
                });
                return Ok(());
            }
            Err(error) => return Err(open_fault("read", CHECKPOINT, &error)),
        }
        match Checkpoint::decode(&page) {
            Ok(checkpoint) => self.checkpoint = Some(checkpoint),
            Err(fault) => self.report.checkpoint = CheckpointUse::Damaged(fault),
        }
        Ok(())
    }

    fn run(mut self, ordinals: &[u64]) -> Result<Recovered, OpenError> {
        for pair in ordinals.windows(2) {
            if pair[1] != pair[0] + 1 {
                return Err(OpenError::MissingSegment { ordinal: pair[0] + 1 });
            }
        }
        let Some((last, sealed)) = ordinals.split_last() else {
            return Err(OpenError::NotFound { path: self.storage.name() });
        };
        for ordinal in sealed {
            self.sealed_segment(*ordinal)?;
        }
        let tail = self.last_segment(*last, ordinals[0])?;
        self.finish(tail)
    }

    /// A first segment that is not the first of the log must have been left by retention, which says so in the log.
    fn check_start(&self, first: u64) -> Result<(), OpenError> {
        let allowed = self.index.starts_at.is_some_and(|(ordinal, _)| first <= ordinal);
        if first == 1 || allowed { Ok(()) } else { Err(OpenError::MissingSegment { ordinal: first - 1 }) }
    }

    /// Whether the log reaches the place that the checkpoint names; asked before anything is changed.
    fn check_checkpoint(&mut self, log_id: Uuid, first: u64) -> Result<(), OpenError> {
        let Some(checkpoint) = self.checkpoint else { return Ok(()) };
        if checkpoint.log_id != log_id {
            self.report.checkpoint = CheckpointUse::Foreign;
            return Ok(());
        }
        if !self.checkpoint_met && checkpoint.end.segment >= first {
            return Err(OpenError::LostTail { at: checkpoint.end, position: checkpoint.last_position });
        }
        self.report.checkpoint = CheckpointUse::Confirmed;
        Ok(())
    }

    /// Reads a header and compares it with the file's name and with the segment before.
    fn header(&mut self, ordinal: u64, page: &[u8; PAGE_BYTES]) -> Result<SegmentHeader, OpenError> {
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
                let link = Link { salt: before.salt, end: self.last_end, checksum: self.chain.checksum };
                if header.previous.salt != link.salt {
                    return mismatch("salt of the segment before", link.salt, header.previous.salt);
                }
                if header.previous != link {
                    return mismatch("end of the segment before", link.end, header.previous.end);
                }
                if header.base_position != self.chain.next_position {
                    return mismatch("base position", self.chain.next_position, header.base_position);
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
                self.index.streams.starts_late = true;
            }
        }
        self.note_place(&header, FIRST_FRAME, header.previous.checksum);
        Ok(header)
    }

    /// Whether this is the place that the checkpoint names; remembers it if so.
    fn note_place(&mut self, header: &SegmentHeader, end: u64, checksum: u32) -> bool {
        let here = Location { segment: header.ordinal, offset: end };
        let met = self.checkpoint.as_ref().is_some_and(|checkpoint| {
            checkpoint.end == here && checkpoint.checksum == checksum && checkpoint.salt == header.salt
        });
        self.checkpoint_met |= met;
        met
    }

    /// Walks frames into the index.
    fn walk(
        &mut self,
        walk: &mut Walk,
        source: &mut dyn Source,
        header: &SegmentHeader,
        end: u64,
        check_bodies: bool,
    ) -> Result<(), OpenError> {
        let ordinal = header.ordinal;
        let mut visit = |frame: &Frame<'_>| {
            self.index.apply_frame(ordinal, frame)?;
            self.last_kind = Some(frame.header.kind);
            self.note_place(header, frame.offset + frame.header.frame_len(), frame.checksum);
            Ok(())
        };
        walk.advance(source, header.salt, end, check_bodies, &mut visit).map_err(read_fault)
    }

    fn sealed_segment(&mut self, ordinal: u64) -> Result<(), OpenError> {
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
        read_page(&*file, footer_at, &mut page).map_err(|error| fault(&error))?;
        let footer =
            SegmentFooter::decode(&page, &header).map_err(|fault| corrupt(ordinal, footer_at, fault))?;
        let segment = Segment::new(header, file, self.options.read_mode).map_err(|error| fault(&error))?;
        let mut walk = Walk::start(&header, &self.chain);
        let mut source = SegmentSource { segment: &segment, scratch: Vec::new() };
        self.walk(&mut walk, &mut source, &header, footer.end, false)?;
        let (seen, rest) = match &walk.stop {
            Stop::Refused(_) => (FooterSeen::Agrees, Rest::Refused),
            _ if agrees(&footer, &walk) => (FooterSeen::Agrees, Rest::Zeros),
            _ => (FooterSeen::Disagrees, Rest::Remains),
        };
        if diagnose(false, seen, rest) != Verdict::Sealed {
            return Err(corrupt(ordinal, walk.end, fault_at(&walk, &footer)));
        }
        self.pass(&walk);
        self.segments.push(Arc::new(segment));
        Ok(())
    }

    /// Takes over what a walk found.
    fn pass(&mut self, walk: &Walk) {
        self.chain = walk.chain;
        self.last_end = walk.end;
        self.frames += walk.frames;
        self.events += walk.events;
    }

    fn open(&self, ordinal: u64, write: bool) -> Result<Arc<dyn File>, OpenError> {
        let name = segment_name(ordinal);
        self.storage.open(&name, write).map_err(|error| open_fault("open", &name, &error))
    }

    /// The last segment: made durable, read from the device, judged, and if torn, cleared.
    fn last_segment(&mut self, ordinal: u64, first: u64) -> Result<LastSegment, OpenError> {
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
        let mut judged = self.judge_last(&*file, &header)?;
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
        let mut walk = Walk::start(&header, &self.chain);
        self.walk(&mut walk, &mut image, &header, show, false)?;
        if let Stop::Refused(fault) | Stop::Invalid(fault) = walk.stop {
            return Err(corrupt(ordinal, walk.end, fault));
        }
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
        self.pass(&walk);
        let page_at = walk.end & !(PAGE_BYTES as u64 - 1);
        let page = image.fetch(page_at..walk.end).map_err(read_fault)?.to_vec();
        Ok(LastSegment { header, file, page, walk, verdict, beyond })
    }

    /// Reads the last segment and says what it is, without changing anything, on disk or here.
    fn judge_last(&mut self, file: &dyn File, header: &SegmentHeader) -> Result<Judged, OpenError> {
        let footer_at = header.frames_end_max();
        let mut image = self.read_image(file, header)?;
        let mut walk = Walk::start(header, &self.chain);
        let mut proven = FIRST_FRAME;
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
            Ok(footer) if agrees(&footer, &walk) => (FooterSeen::Agrees, None),
            Ok(footer) => (FooterSeen::Disagrees, Some(fault_at(&walk, &footer))),
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
        while offset < header.capacity {
            let some = (header.capacity - offset).min(READ_BYTES) as usize;
            self.read_tail(file, header.ordinal, offset, &mut chunk[..some])?;
            // Zeros at the end are implied: a segment that is hardly used costs hardly any memory.
            if !crate::format::bytes::is_zero(&chunk[..some]) {
                bytes.resize(offset as usize, 0);
                bytes.extend_from_slice(&chunk[..some]);
            }
            offset += some as u64;
        }
        Ok(Image::new(bytes))
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

    fn finish(mut self, last: LastSegment) -> Result<Recovered, OpenError> {
        let LastSegment { header, file, page, walk, verdict, beyond } = last;
        let name = segment_name(header.ordinal);
        let next_batch = walk.chain.batch_number.max(beyond.batch_number) + 1;
        if self.writable {
            // A number that no log reaches; but one that could never be read again must not be written.
            crate::format::bytes::at_most("batch number", crate::types::NUMBER_MAX, next_batch)
                .map_err(|fault| corrupt(header.ordinal, walk.end, fault))?;
        }
        let mut reserved = true;
        if self.writable && verdict != Verdict::Sealed {
            // A copy may have come without its reserved space. A full disk is no reason not to open.
            match file.allocate(header.capacity) {
                Ok(()) => {}
                Err(error) if matches!(open_fault("", "", &error), OpenError::DiskFull(_)) => {
                    reserved = false
                }
                Err(error) => return Err(open_fault("allocate", &name, &error)),
            }
        }
        let live = Segment::new(header, file, self.options.read_mode)
            .map_err(|error| open_fault("map", &name, &error))?;
        let live = Arc::new(live);
        self.segments.push(live.clone());
        self.report.frames = self.frames;
        self.report.events = self.events;
        self.report.streams = self.index.streams.count();
        self.report.closed_cleanly =
            self.last_kind == Some(FrameKind::Closed) && self.report.torn_tail.is_none() && walk.frames > 0
                || verdict == Verdict::Sealed
                || self.report.created;
        let visible = Watermark {
            position: walk.chain.next_position - 1,
            end: Location { segment: header.ordinal, offset: walk.end },
        };
        let witnessed = matches!(self.last_kind, None | Some(FrameKind::Closed | FrameKind::Idle));
        Ok(Recovered {
            log_id: header.log_id,
            view: View { index: self.index, segments: Arc::new(self.segments), visible },
            end: walk.end,
            page,
            next_batch,
            unwitnessed: !(witnessed || verdict == Verdict::Sealed || walk.frames == 0),
            tail: Tail {
                header,
                chain: walk.chain,
                frames: walk.frames,
                events: walk.events,
                digest: walk.digest,
                sealed: verdict == Verdict::Sealed,
                reserved,
            },
            live,
            report: self.report,
        })
    }
}

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

struct LastSegment {
    header: SegmentHeader,
    file: Arc<dyn File>,
    /// The bytes of the last page up to the end.
    page: Vec<u8>,
    walk: Walk,
    verdict: Verdict,
    beyond: Beyond,
}

/// Whether a footer says what a walk over the frames found.
fn agrees(footer: &SegmentFooter, walk: &Walk) -> bool {
    footer.end == walk.end
        && footer.frames == walk.frames
        && footer.events == walk.events
        && footer.last_position == walk.chain.next_position - 1
        && footer.last_batch == walk.chain.batch_number
        && footer.last_checksum == walk.chain.checksum
        && footer.digest == walk.digest.value()
}

/// Why the frames do not reach where the footer says, or disagree with it.
fn fault_at(walk: &Walk, footer: &SegmentFooter) -> Fault {
    match &walk.stop {
        Stop::Invalid(fault) | Stop::Refused(fault) if walk.end != footer.end => fault.clone(),
        Stop::Refused(fault) => fault.clone(),
        _ if walk.end != footer.end => {
            Fault::Field { what: "end of the frames", expected: footer.end, found: walk.end }
        }
        _ => Fault::Field {
            what: "counts and digest of the footer",
            expected: walk.frames,
            found: footer.frames,
        },
    }
}

fn read_page(file: &dyn File, offset: u64, page: &mut [u8; PAGE_BYTES]) -> io::Result<()> {
    file.read_at(offset, page)
}

fn corrupt(segment: u64, offset: u64, fault: Fault) -> OpenError {
    OpenError::Corrupt(Corruption { at: Location { segment, offset }, fault })
}
