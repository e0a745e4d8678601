//! Frames into the open batch, and batches out of it.
//!
//! Owns the moment in which an append gets its versions, its positions and its bytes, all under the sequencer's lock. That there
//! is room, and that it may, was decided before.

use crate::engine::answer::{Assigned, AssignedKept, AssignedRun, Runs, Wait};
use crate::engine::batch::Batch;
use crate::engine::head::Heads;
use crate::engine::recent::Remembered;
use crate::engine::request::{Draft, Request};
use crate::engine::sequencer::Sequencer;
use crate::engine::spare::ZERO_STEPS;
use crate::engine::view::View;
use crate::format::PAGE_BYTES;
use crate::format::cell::{Mark, Run};
use crate::format::frame::{Chain, FRAME_HEADER_BYTES, FrameHeader, FrameKind};
use crate::format::section::{Control, ENTRY_BYTES, IdBlock, SectionEntry, SectionKind};
use crate::index::overlay::{KeptChange, KeptPlace};
use crate::index::state::{Change, StreamChange};
use crate::options::Options;
use crate::types::{KeptCondition, Location};
use parking_lot::RwLock;

/// Space that was not zeroed costs a commit a change of the file's metadata, as much as writing some hundred kilobytes. A log
/// whose commits are larger than this is being filled in bulk: zeros would only double its bytes.
const BULK_COMMIT: u64 = 512 << 10;

impl Sequencer {
    pub(crate) fn stamp_append(&mut self, heads: &mut Heads, request: &Request, now: u64) -> Assigned {
        let time = now.max(self.tail.chain.time);
        let first_position = self.tail.chain.next_position;
        let mut table = std::mem::take(&mut self.table);
        table.clear();
        let body_at = FRAME_HEADER_BYTES + request.drafts.len() * ENTRY_BYTES;
        let frame_offset = self.open.end();
        let mut position = first_position;
        let mut runs = Vec::new();
        let mut single = None;
        let mut kept = Vec::new();
        for (i, draft) in request.drafts.iter().enumerate() {
            let section = Run {
                first_version: 0,
                first_position: position,
                time,
                frame_offset,
                segment: self.open.segment as u32,
                section: i as u32,
                section_at: (body_at + draft.at as usize) as u32,
                section_len: draft.len,
                count: draft.events,
            };
            let number = if draft.kind.is_kept() {
                let assigned = self.stamp_kept(heads, request, draft, &section);
                kept.push(assigned);
                assigned.revision
            } else {
                let (number, run) = self.stamp_stream(heads, request, draft, section);
                if request.drafts.len() == 1 {
                    single = Some(run);
                } else {
                    runs.push(run);
                }
                number
            };
            SectionEntry {
                number,
                events: draft.events,
                len: draft.len,
                id_checksum: draft.id_checksum,
                kind: draft.kind,
            }
            .encode(&mut table);
            position += u64::from(draft.events);
        }
        self.stamp(FrameKind::Append, time, request.events, &table, &request.body, request.body_checksum);
        self.open.has_appends = true;
        self.table = table;
        if let (false, Some(recent)) = (request.ids.is_empty(), &mut self.recent) {
            recent.note(Remembered {
                first_position,
                last_position: position - 1,
                place: Location { segment: self.open.segment, offset: frame_offset },
                batch: self.open.number,
                keyed: request.has_key,
                ids: request.ids.as_slice().into(),
            });
        }
        let runs = single.map_or(Runs::Many(runs), Runs::One);
        Assigned { first_position, events: request.events, time, runs, kept, repeated: false }
    }

    /// One section about a stream: the number in its entry, and what the caller is told.
    fn stamp_stream(
        &mut self,
        heads: &mut Heads,
        request: &Request,
        draft: &Draft,
        section: Run,
    ) -> (u64, AssignedRun) {
        let party = &request.streams[draft.party as usize];
        let head = &mut heads.streams[draft.party as usize];
        let state = &mut head.state;
        let first_version = state.version + 1;
        let (entry_number, change) = match draft.kind {
            SectionKind::Events => (first_version, Change::Events(Run { first_version, ..section })),
            SectionKind::Tombstone => (state.version, Change::Tombstone),
            SectionKind::TruncateBefore => {
                (draft.number, Change::TruncateBefore { first_kept: draft.number })
            }
            _ => {
                let bytes = request.body.get(draft.at as usize..).unwrap_or_default();
                let bytes = bytes.get(..draft.len as usize).unwrap_or_default();
                let attributes = match Control::decode(draft.kind, &bytes[IdBlock::skip(bytes)..]) {
                    Ok(Control::Create { attributes }) => attributes.into(),
                    _ => Box::default(),
                };
                (0, Change::Create { attributes })
            }
        };
        let tenant = party.tenant.as_ref().filter(|_| party.binds);
        let effect = state.apply(&change, tenant, &mut self.last_creation);
        let (first_position, time) = (section.first_position, section.time);
        let change = StreamChange { hash: party.hash, state: state.clone(), effect, time, change };
        self.open.note(request.streams.id(party), change);
        let (last_version, created) = (state.version, effect.registers);
        let run = AssignedRun { first_version, last_version, first_position, created };
        (entry_number, run)
    }

    /// One section about a kept value.
    fn stamp_kept(
        &mut self,
        heads: &mut Heads,
        request: &Request,
        draft: &Draft,
        section: &Run,
    ) -> AssignedKept {
        self.last_revision += 1;
        let revision = self.last_revision;
        let place = KeptPlace {
            revision,
            offset: section.frame_offset + u64::from(section.section_at),
            segment: section.segment,
            len: draft.len,
            id_checksum: draft.id_checksum,
        };
        let place = (draft.kind == SectionKind::Keep).then_some(place);
        let head = &mut heads.kept[draft.party as usize];
        let replaced = std::mem::replace(&mut head.revision, place.map(|place| place.revision));
        let name = request.kept.id(&request.kept[draft.party as usize]).into();
        self.open.kept_changes.push(KeptChange { name, revision, place, replaces: replaced.is_some() });
        AssignedKept { revision, replaced }
    }

    /// Puts what was set lazily into the open batch, as far as it has room, and as far as no write that waits in the queue was
    /// there before it.
    pub(crate) fn stamp_lazies(&mut self, now: u64, view: &RwLock<View>) -> Result<(), Wait> {
        self.stamp_lazies_before(self.queue_follows(), now, view)
    }

    /// The same for the first so many that were set.
    pub(crate) fn stamp_lazies_before(
        &mut self,
        sets: u64,
        now: u64,
        view: &RwLock<View>,
    ) -> Result<(), Wait> {
        if self.poisoned.is_some() {
            return Ok(());
        }
        let lazies = self.lazies.clone();
        let none_waits = lazies.hand_over(sets, |frame| {
            // The values were checked when they were set; a frame of them is small.
            let mut request = Request::new(&Options::default());
            for (name, value) in frame {
                let _ = request.keep(name, KeptCondition::Any, Some(value));
            }
            let _ = request.seal();
            self.sequence_alone(&request, now, view).map(|sequenced| sequenced.batch)
        })?;
        if none_waits {
            self.lazy_since = None;
        }
        Ok(())
    }

    /// Adds one frame to the open batch. There is room.
    fn stamp(
        &mut self,
        kind: FrameKind,
        time: u64,
        events: u32,
        table: &[u8],
        body: &[u8],
        body_checksum: u32,
    ) {
        let offset = self.open.end();
        let header = FrameHeader {
            kind,
            sections: (table.len() / ENTRY_BYTES) as u32,
            events,
            body_len: body.len() as u64,
            first_position: self.tail.chain.next_position,
            time,
            batch_number: self.open.number,
            batch_start: self.open.start,
            previous: self.tail.chain.checksum,
            body_checksum,
        };
        let checksum = header.encode(self.tail.header.salt, offset, table, &mut self.open.bytes);
        self.open.bytes.extend_from_slice(body);
        let segment = self.open.segment as u32;
        self.open.marks.push(Mark { position: header.first_position, offset, segment });
        self.open.frames += 1;
        // Padding says nothing.
        self.says_closed = kind == FrameKind::Closed || self.says_closed && kind == FrameKind::Pad;
        self.tail.chain = Chain::after(&header, checksum);
        self.tail.digest.add(checksum, body_checksum);
        self.tail.frames += 1;
        self.tail.events += u64::from(events);
    }

    /// Puts a witness into the open batch, which must be empty; where none fits, seals the segment, which is one too.
    pub(crate) fn witness(&mut self, kind: FrameKind, pad: bool) {
        if self.tail.sealed || !self.tail.reserved || !self.open.is_empty() {
            return;
        }
        let end = self.open.end();
        if end + FRAME_HEADER_BYTES as u64 <= self.tail.header.frames_end_max() {
            if pad {
                // Before it: what the log ends with is the witness.
                self.pad(FRAME_HEADER_BYTES as u64);
            }
            self.stamp(kind, self.tail.chain.time, 0, &[], &[], 0);
        } else {
            self.open.footer = Some(self.tail.footer(end));
            self.tail.sealed = true;
        }
    }

    /// Takes the open batch to be committed; the next one opens behind it.
    pub(crate) fn take(&mut self, pad: bool) -> Batch {
        if pad && self.open.frames > 0 {
            self.pad(0);
        }
        let was_in_bulk = self.is_filled_in_bulk();
        self.commit_bytes = (7 * self.commit_bytes + self.open.end() - self.open.start) / 8;
        if was_in_bulk && !self.is_filled_in_bulk() {
            // There are none ahead.
            self.zero_at = 0;
        }
        let mut next = self.spare_batch.take().unwrap_or_default();
        next.follow(&self.open);
        let mut batch = std::mem::replace(&mut self.open, next);
        batch.chain = self.tail.chain;
        batch
    }

    /// Whether commits are so large lately that there should be no zeros ahead of them.
    pub(crate) fn is_filled_in_bulk(&self) -> bool {
        self.commit_bytes > BULK_COMMIT
    }

    /// How much to zero at once ahead of commits as they were lately, if any: as much as a few of them. Readers gain by more, and
    /// so do commits, but one that comes at the same time waits for the device the longer.
    pub(crate) fn zero_step(&self) -> Option<u64> {
        let step = (4 * self.commit_bytes).clamp(*ZERO_STEPS.start(), *ZERO_STEPS.end()).next_power_of_two();
        (!self.is_filled_in_bulk()).then_some(step)
    }

    /// Whether the log has grown to where more zeros are due ahead of it. Says so once.
    pub(crate) fn zeros_are_due(&mut self) -> bool {
        let due = self.open.end() >= self.zero_at;
        if due {
            self.zero_at = u64::MAX;
        }
        due
    }

    /// Fills the open batch so that with so many bytes more it ends with a page, and no later write touches its sectors.
    fn pad(&mut self, more: u64) {
        let end = self.open.end();
        let short = (PAGE_BYTES as u64 - (end + more) % PAGE_BYTES as u64) % PAGE_BYTES as u64;
        if short == 0 {
            return;
        }
        let head = FRAME_HEADER_BYTES as u64;
        let len = if short < head { short + PAGE_BYTES as u64 } else { short };
        if end + len + more > self.tail.header.frames_end_max() {
            // The segment's last frames: nothing will be written behind them but the footer, in a page of its own.
            return;
        }
        let body = vec![0; (len - head) as usize];
        let checksum = crate::format::bytes::crc32(&body);
        self.stamp(FrameKind::Pad, self.tail.chain.time, 0, &[], &body, checksum);
    }

    /// Forgets what is visible now, and keeps the batch's memory.
    pub(crate) fn settle(&mut self, mut batch: Batch) {
        let number = batch.number;
        self.last_heads.settle(number);
        for change in batch.kept_changes.drain(..) {
            if self.unsettled_kept.get(&change.name).is_some_and(|head| head.batch <= number) {
                self.unsettled_kept.remove(&change.name);
            }
        }
        // One huge append must not pin its memory for ever.
        if batch.bytes.capacity() as u64 <= 2 * self.batch_bytes {
            self.spare_batch = Some(batch);
        }
    }
}
