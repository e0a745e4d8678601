//! Recovery: from a directory, in whatever state its last user left it, to a log that can be shown.
//!
//! Owns the order of steps: first make durable, then read from the device, then decide, then act, then show. Can be cut
//! anywhere and done again. Changes nothing unless the decision table says torn; never repairs damage.

use crate::engine::commit::first_place;
use crate::engine::covered::{Covered, IndexFiles};
use crate::engine::diagnosis::Verdict;
use crate::engine::inventory::Inventory;
use crate::engine::layering::refs;
use crate::engine::report::{CheckpointUse, RecoveryReport};
use crate::engine::spare::{FIRST_CAPACITY, Spare, next_capacity};
use crate::engine::tail::Tail;
use crate::engine::view::{View, Watermark};
use crate::error::{Corruption, Fault, IoFault, OpenError, ReadError};
use crate::format::PAGE_BYTES;
use crate::format::checkpoint::{Checkpoint, DurablePlace};
use crate::format::frame::{Chain, Frame, FrameKind};
use crate::format::segment::{Link, SegmentHeader};
use crate::index::Index;
use crate::index::replay::Rejected;
use crate::layer::Damage;
use crate::options::Options;
use crate::segment::name::{CHECKPOINT, CLOSED, FileName, index_name, segment_name};
use crate::segment::reader::{Live, Segment};
use crate::segment::scan::{Beyond, Source, Walk};
use crate::storage::{File, Storage};
use crate::types::Location;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How often a read-only open lists a directory at most in which a segment seems to be missing, and how long it waits between.
const READ_ONLY_LOOKS: usize = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

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
    pub(crate) live: Live,
    pub(crate) checkpoint: Checkpoint,
    /// The number of the next index file.
    pub(crate) next_number: u64,
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
    let (checkpoint, closed) = read_checkpoint(storage)?;
    let list = || Inventory::take(storage).map_err(|error| open_fault("list", ".", &error));
    let mut inventory = list()?;
    for _ in 1..READ_ONLY_LOOKS {
        // A directory is not listed at once: beside a writer, a segment may be seen and not the one that came just before it.
        if writable || !inventory.has_gap() {
            break;
        }
        std::thread::sleep(BETWEEN_LOOKS);
        inventory = list()?;
    }
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
    let mut files = IndexFiles::find(storage, options, &checkpoint, &ordinals, &inventory);
    let damage = RefCell::new(None);
    let mut recovered = loop {
        let mut recovery = Recovery {
            storage,
            options,
            writable,
            index: Index::new(files.layers.clone()),
            segments: Vec::with_capacity(ordinals.len()),
            chain: Chain::default(),
            last_end: None,
            frames: 0,
            checkpoint: None,
            checkpoint_met: false,
            closed,
            covered: files.covered.clone(),
            covered_met: false,
            damage: &damage,
            next_number: files.next_number,
            made: Vec::new(),
            last_kind: None,
            torn_names: inventory.torn.clone(),
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
                foreign: inventory.foreign.clone(),
                checkpoint: CheckpointUse::Missing,
                index: files.used,
                tail_read: None,
                took: begun.elapsed(),
            },
        };
        match &checkpoint {
            None => {}
            Some(Ok(checkpoint)) => recovery.checkpoint = Some(checkpoint.clone()),
            Some(Err(fault)) => recovery.report.checkpoint = CheckpointUse::Damaged(fault.clone()),
        }
        let mut made = Vec::new();
        let error = match recovery.run(&ordinals, &mut made) {
            Ok(recovered) => break recovered,
            Err(error) => error,
        };
        // An open that refuses leaves nothing behind.
        made.iter().for_each(|number| _ = storage.remove(&index_name(*number)));
        match damage.take() {
            Some(found) => files = files.without(&found),
            None => return Err(error),
        }
    };
    if writable {
        // Only now: an open that refuses has changed nothing. A new log took its spare's place already.
        if inventory.has_closed {
            reopen(storage, closed)?;
        }
        let used = refs(&recovered.view.index);
        let unused =
            inventory.indexes.iter().filter(|number| used.iter().all(|layer| layer.number != **number));
        let unused: Vec<String> = unused.map(|number| index_name(*number)).collect();
        for name in inventory.temporary.into_iter().chain(unused) {
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

/// A checkpoint, or what is wrong with it; `None` if there is none.
type ReadCheckpoint = Option<Result<Checkpoint, Fault>>;

/// The checkpoint, and whether it is that of a log that was closed.
fn read_checkpoint(storage: &dyn Storage) -> Result<(ReadCheckpoint, bool), OpenError> {
    let read = |name: &str| {
        let mut page = [0; PAGE_BYTES];
        match storage.open(name, false).and_then(|file| file.read_at(0, &mut page)) {
            Ok(()) => Ok(Some(Checkpoint::decode(&page))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Ok(Some(Err(Fault::Length { what: "checkpoint", found: PAGE_BYTES as u64, max: 0 })))
            }
            Err(error) => Err(open_fault("read", name, &error)),
        }
    };
    let closed = read(CLOSED)?;
    if matches!(closed, Some(Ok(_))) {
        return Ok((closed, true));
    }
    Ok((read(CHECKPOINT)?.or(closed), false))
}

/// Takes it back that the log was closed, durably, before anything is written to it.
fn reopen(storage: &dyn Storage, valid: bool) -> Result<(), OpenError> {
    if valid {
        storage.rename(CLOSED, CHECKPOINT).map_err(|error| open_fault("rename", CLOSED, &error))?;
    } else {
        storage.remove(CLOSED).map_err(|error| open_fault("remove", CLOSED, &error))?;
    }
    storage.sync_directory().map_err(|error| open_fault("sync the directory of", ".", &error))
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
    /// Where the frames of the segment before end; `None` if that is not known.
    pub(crate) last_end: Option<u64>,
    pub(crate) frames: u64,
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) checkpoint_met: bool,
    /// The checkpoint says that the log was closed there, and that nothing was written to it since.
    pub(crate) closed: bool,
    /// Where the index files end, and whether the log was found to have that place.
    pub(crate) covered: Option<Covered>,
    pub(crate) covered_met: bool,
    /// Why recovery must begin anew, without index files.
    pub(crate) damage: &'a RefCell<Option<Damage>>,
    /// The number of the next index file, and those that were made.
    pub(crate) next_number: u64,
    pub(crate) made: Vec<u64>,
    pub(crate) last_kind: Option<FrameKind>,
    pub(crate) torn_names: Vec<FileName>,
    pub(crate) report: RecoveryReport,
}

impl Recovery<'_> {
    fn run(mut self, ordinals: &[u64], made: &mut Vec<u64>) -> Result<Recovered, OpenError> {
        let result = self.all(ordinals);
        made.append(&mut self.made);
        self.finish(result?)
    }

    fn all(&mut self, ordinals: &[u64]) -> Result<LastSegment, OpenError> {
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
        if self.covers(*last) {
            // The log is shorter than they say; whether it lost its tail is for the checkpoint to say.
            let number = self.covered.as_ref().map_or(0, |covered| covered.number);
            let fault = Fault::Zeros { what: "the segment in which the range ends" };
            return Err(self.do_without(Damage::new(number, 0, fault)));
        }
        self.last_segment(*last, ordinals[0])
    }

    /// A first segment that is not the first of the log must have been left by retention, which says so in the log.
    pub(crate) fn check_start(&self, first: u64) -> Result<(), OpenError> {
        let allowed = self.index.starts_at.is_some_and(|(ordinal, _)| first <= ordinal);
        if first == 1 || allowed { Ok(()) } else { Err(OpenError::MissingSegment { ordinal: first - 1 }) }
    }

    /// Whether the log reaches the place that the checkpoint names; asked before anything is changed.
    pub(crate) fn check_checkpoint(&mut self, log_id: Uuid, first: u64) -> Result<(), OpenError> {
        let Some(checkpoint) = &self.checkpoint else { return Ok(()) };
        if checkpoint.log_id != log_id {
            self.report.checkpoint = CheckpointUse::Foreign;
            return Ok(());
        }
        let DurablePlace { end, last_position, .. } = checkpoint.place;
        // What lies before the end of the index files was there when they were made.
        let met = self.checkpoint_met || self.covered.as_ref().is_some_and(|covered| end <= covered.to);
        if !met && end.segment >= first {
            return Err(OpenError::LostTail { at: end, position: last_position });
        }
        self.report.checkpoint = CheckpointUse::Confirmed;
        Ok(())
    }

    /// Whether this is the place that the checkpoint names; remembers it if so.
    pub(crate) fn note_place(&mut self, header: &SegmentHeader, end: u64, checksum: u32) -> bool {
        let here = Location { segment: header.ordinal, offset: end };
        let met = self.checkpoint.as_ref().is_some_and(|checkpoint| {
            let place = &checkpoint.place;
            place.end == here && place.checksum == checksum && place.salt == header.salt
        });
        self.note_covered(header.ordinal, end, checksum);
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
        let news_from = self.news_from(ordinal);
        let mut visit = |frame: &Frame<'_>| {
            if frame.offset >= news_from {
                self.index.apply_frame(ordinal, frame).map_err(|rejected| match rejected {
                    Rejected::Frame(fault) => fault,
                    Rejected::Index(damage) => {
                        *self.damage.borrow_mut() = Some(damage);
                        Fault::Zeros { what: "index" }
                    }
                })?;
            }
            // Padding says nothing.
            if frame.header.kind != FrameKind::Pad {
                self.last_kind = Some(frame.header.kind);
            }
            self.note_place(header, frame.offset + frame.header.frame_len(), frame.checksum);
            Ok(())
        };
        walk.advance(source, header.salt, end, check_bodies, &mut visit).map_err(read_fault)?;
        // A damaged index is not the log's fault.
        let damage = self.damage.borrow_mut().take();
        match damage {
            Some(damage) => Err(self.do_without(damage)),
            None => Ok(()),
        }
    }

    /// Takes over what a walk found.
    pub(crate) fn pass(&mut self, walk: &Walk, begun: u64) {
        self.chain = walk.chain;
        self.last_end = Some(walk.end);
        self.frames += walk.frames - begun;
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
        let segment = Segment::new(header, &file, self.options.read_mode)
            .map_err(|error| open_fault("map", &name, &error))?;
        let live = Live { segment: Arc::new(segment), file };
        self.segments.push(live.segment.clone());
        self.report.frames = self.frames;
        let first = self.segments.first().map_or(1, |segment| segment.header.base_position);
        self.report.events = walk.chain.next_position - first;
        self.report.streams = self.index.registered;
        self.report.closed_cleanly =
            self.last_kind == Some(FrameKind::Closed) && self.report.torn_tail.is_none() && walk.frames > 0
                || verdict == Verdict::Sealed
                || self.report.created;
        let visible = Watermark {
            position: walk.chain.next_position - 1,
            end: Location { segment: header.ordinal, offset: walk.end },
        };
        let place = match (&self.checkpoint, &self.report.checkpoint) {
            (Some(checkpoint), CheckpointUse::Confirmed) => checkpoint.place,
            _ => first_place(&header),
        };
        let checkpoint = Checkpoint { log_id: header.log_id, place, layers: refs(&self.index) };
        let witnessed = matches!(self.last_kind, None | Some(FrameKind::Closed | FrameKind::Idle));
        Ok(Recovered {
            log_id: header.log_id,
            view: View { index: self.index, segments: Arc::new(self.segments), visible, broken: None },
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
            checkpoint,
            next_number: self.next_number,
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

pub(crate) fn read_page(file: &dyn File, offset: u64, page: &mut [u8; PAGE_BYTES]) -> io::Result<()> {
    file.read_at(offset, page)
}

pub(crate) fn corrupt(segment: u64, offset: u64, fault: Fault) -> OpenError {
    OpenError::Corrupt(Corruption { at: Location { segment, offset }, fault })
}
