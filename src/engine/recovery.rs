//! Recovery: from a directory, in whatever state its last user left it, to a log that can be shown.
//!
//! Owns the order of steps: first make durable, then read from the device, then decide, then act, then show. Can be cut
//! anywhere and done again. Changes nothing unless the decision table says torn; never repairs damage.

use crate::engine::diagnosis::{FooterSeen, Rest, Verdict, diagnose};
use crate::engine::inventory::Inventory;
use crate::engine::report::{CheckpointUse, RecoveryReport};
use crate::engine::spare::{FIRST_CAPACITY, Spare, next_capacity};
use crate::engine::tail::Tail;
use crate::engine::view::{View, Watermark};
use crate::error::{Corruption, Fault, IoFault, OpenError, ReadError};
use crate::format::checkpoint::Checkpoint;
use crate::format::frame::{Chain, Frame, FrameKind};
use crate::format::segment::{HeaderFault, Link, SegmentFooter, SegmentHeader};
use crate::format::{FIRST_FRAME, FORMAT_VERSION, PAGE_BYTES};
use crate::index::Index;
use crate::options::Options;
use crate::segment::name::{CHECKPOINT, FileName, segment_name};
use crate::segment::reader::Segment;
use crate::segment::scan::{Beyond, SegmentSource, Source, Stop, Walk};
use crate::storage::{File, Storage};
use crate::types::Location;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

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
    /// The last frame says that the log was closed.
    pub(crate) says_closed: bool,
    pub(crate) live: Arc<Segment>,
    pub(crate) report: RecoveryReport,
}

/// An error of the operating system while opening, as the caller should see it.
pub(crate) fn open_fault(operation: &'static str, file: &str, error: &io::Error) -> OpenError {
    from_fault(IoFault::new(operation, file, error))
}

pub(crate) fn read_fault(error: ReadError) -> OpenError {
    match error {
        ReadError::Corrupt(corruption) => OpenError::Corrupt(corruption),
        ReadError::Io(fault) => OpenError::Io(fault),
        // Cursors say these; a walk over a segment has no stream and no start.
        ReadError::Gone { .. } | ReadError::Truncated { .. } | ReadError::Poisoned(_) => {
            OpenError::MissingSegment { ordinal: 0 }
        }
    }
}

/// Opens the log in a storage: recovers it, or makes it.
pub(crate) fn recover(
    storage: &dyn Storage,
    options: &Options,
    writable: bool,
) -> Result<Recovered, OpenError> {
    let begun = Instant::now();
    // Before the names: beside a writer, a checkpoint read later could speak of a segment that was not listed yet.
    let checkpoint = read_checkpoint(storage)?;
    let inventory = Inventory::take(storage).map_err(|error| open_fault("list", ".", &error))?;
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
    match checkpoint {
        None => {}
        Some(Ok(checkpoint)) => recovery.checkpoint = Some(checkpoint),
        Some(Err(fault)) => recovery.report.checkpoint = CheckpointUse::Damaged(fault),
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

/// The checkpoint, or what is wrong with it; `None` if there is none.
fn read_checkpoint(storage: &dyn Storage) -> Result<Option<Result<Checkpoint, Fault>>, OpenError> {
    let mut page = [0; PAGE_BYTES];
    match storage.open(CHECKPOINT, false).and_then(|file| file.read_at(0, &mut page)) {
        Ok(()) => Ok(Some(Checkpoint::decode(&page))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Ok(Some(Err(Fault::Length { what: "checkpoint", found: PAGE_BYTES as u64, max: 0 })))
        }
        Err(error) => Err(open_fault("read", CHECKPOINT, &error)),
    }
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

pub(crate) struct Recovery<'a> {
    pub(crate) storage: &'a dyn Storage,
    pub(crate) options: &'a Options,
    pub(crate) writable: bool,
    pub(crate) index: Index,
    pub(crate) segments: Vec<Arc<Segment>>,
    /// The chain as far as it was walked.
    pub(crate) chain: Chain,
    /// Where the frames of the segment before end.
    pub(crate) last_end: u64,
    pub(crate) frames: u64,
    pub(crate) events: u64,
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) checkpoint_met: bool,
    pub(crate) last_kind: Option<FrameKind>,
    pub(crate) torn_names: Vec<FileName>,
    pub(crate) report: RecoveryReport,
}

impl Recovery<'_> {
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
    pub(crate) fn check_start(&self, first: u64) -> Result<(), OpenError> {
        let allowed = self.index.starts_at.is_some_and(|(ordinal, _)| first <= ordinal);
        if first == 1 || allowed { Ok(()) } else { Err(OpenError::MissingSegment { ordinal: first - 1 }) }
    }

    /// Whether the log reaches the place that the checkpoint names; asked before anything is changed.
    pub(crate) fn check_checkpoint(&mut self, log_id: Uuid, first: u64) -> Result<(), OpenError> {
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
    pub(crate) fn note_place(&mut self, header: &SegmentHeader, end: u64, checksum: u32) -> bool {
        let here = Location { segment: header.ordinal, offset: end };
        let met = self.checkpoint.as_ref().is_some_and(|checkpoint| {
            checkpoint.end == here && checkpoint.checksum == checksum && checkpoint.salt == header.salt
        });
        self.checkpoint_met |= met;
        met
    }

    /// Walks frames into the index.
    pub(crate) fn walk(
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
            // Padding says nothing.
            if frame.header.kind != FrameKind::Pad {
                self.last_kind = Some(frame.header.kind);
            }
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
            _ if walk.agrees(&footer) => (FooterSeen::Agrees, Rest::Zeros),
            _ => (FooterSeen::Disagrees, Rest::Remains),
        };
        if diagnose(false, seen, rest) != Verdict::Sealed {
            return Err(corrupt(ordinal, walk.end, walk.disagreement(&footer)));
        }
        self.pass(&walk);
        self.segments.push(Arc::new(segment));
        Ok(())
    }

    /// Takes over what a walk found.
    pub(crate) fn pass(&mut self, walk: &Walk) {
        self.chain = walk.chain;
        self.last_end = walk.end;
        self.frames += walk.frames;
        self.events += walk.events;
    }

    pub(crate) fn open(&self, ordinal: u64, write: bool) -> Result<Arc<dyn File>, OpenError> {
        let name = segment_name(ordinal);
        self.storage.open(&name, write).map_err(|error| open_fault("open", &name, &error))
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
            says_closed: self.last_kind == Some(FrameKind::Closed),
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

/// The last segment, judged and cleared.
pub(crate) struct LastSegment {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn File>,
    /// The bytes of the last page up to the end.
    pub(crate) page: Vec<u8>,
    pub(crate) walk: Walk,
    pub(crate) verdict: Verdict,
    pub(crate) beyond: Beyond,
}

fn read_page(file: &dyn File, offset: u64, page: &mut [u8; PAGE_BYTES]) -> io::Result<()> {
    file.read_at(offset, page)
}

pub(crate) fn corrupt(segment: u64, offset: u64, fault: Fault) -> OpenError {
    OpenError::Corrupt(Corruption { at: Location { segment, offset }, fault })
}
