//! The sequencer: conditions, versions, positions, time, and the open batch. Everything here happens under one lock.
//!
//! Owns the order of the log from the moment of acceptance. Never touches a file and never waits: what cannot be done now
//! is queued, in order, and done when the batch before is taken or space is found.

use crate::engine::answer::{Assigned, AssignedRun, Obstacle, Refusal, Repeat, Runs, Sequenced, Wait};
use crate::engine::batch::Batch;
use crate::engine::head::{Head, Heads, KeptHead, LastHeads};
use crate::engine::lazies::Lazies;
use crate::engine::recent::{RecentIds, Seen};
use crate::engine::request::Request;
use crate::engine::slot::Slot;
use crate::engine::tail::Tail;
use crate::engine::view::View;
use crate::error::{AppendError, IoFault, Outcome, PoisonCause, ReadError};
use crate::format::frame::FRAME_HEADER_BYTES;
use crate::format::section::ENTRY_BYTES;
use crate::format::segment::{Link, SegmentHeader};
use crate::format::{FIRST_FRAME, PAGE_BYTES};
use foldhash::fast::FixedState;
use parking_lot::RwLock;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::thread::ThreadId;
use std::time::Instant;

/// What becomes of an append that comes in.
pub(crate) enum Entry {
    Sequenced(Sequenced, Box<Request>),
    Queued(Arc<Slot>),
}

/// A segment that is made ready: what the sequencer must know of it to stamp frames for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) salt: u64,
    pub(crate) capacity: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    Closing,
    Closed,
    ReadOnly,
}

pub(crate) struct Sequencer {
    pub(crate) phase: Phase,
    /// The batch in which the log was poisoned, and why.
    pub(crate) poisoned: Option<(u64, PoisonCause)>,
    /// Somebody is committing: the role that exists once.
    pub(crate) driving: bool,
    /// Who has it, or had it last.
    pub(crate) driver: Option<ThreadId>,
    /// The log is closed, and its directory is the next one's.
    pub(crate) left: bool,
    pub(crate) open: Batch,
    pub(crate) tail: Tail,
    /// The next segment, if it is ready.
    pub(crate) ready: Option<Ready>,
    /// The append at the head of the queue needs a segment with room for so many bytes.
    pub(crate) needs_space: Option<u64>,
    /// Somebody who is not in the queue needs one.
    pub(crate) wants_space: Option<u64>,
    /// One or the other was found since the lock was taken: whoever lets go of it rings the maintenance thread.
    pub(crate) need_is_new: bool,
    /// The last attempt to find space failed.
    pub(crate) disk_full: Option<IoFault>,
    /// When the last batch with appends became durable, if no witness follows it yet.
    pub(crate) unwitnessed_since: Option<Instant>,
    /// Since when values that were set lazily wait to be written.
    pub(crate) lazy_since: Option<Instant>,
    /// The last frame says that the log was closed, and nothing came since.
    pub(crate) says_closed: bool,
    /// What a commit holds lately: a mean over some of them.
    pub(crate) commit_bytes: u64,
    /// Where the log must end for more zeros to be due ahead of it.
    pub(crate) zero_at: u64,
    /// The writer thread sleeps without an alarm.
    pub(crate) writer_sleeps: bool,
    /// Who waits for an answer that is there now; woken by whoever lets go of the lock.
    pub(crate) to_wake: Vec<Waker>,
    queue: VecDeque<Arc<Slot>>,
    /// How many appends had to queue so far.
    pub(crate) queued: u64,
    pub(crate) last_heads: LastHeads,
    pub(crate) batch_bytes: u64,
    /// Memory to use again.
    pub(crate) spare_batch: Option<Batch>,
    /// Kept values with a state that is not visible yet, by name.
    pub(crate) unsettled_kept: HashMap<Box<str>, KeptHead, FixedState>,
    /// The last revision and the last creation ordinal that were given.
    pub(crate) last_revision: u64,
    pub(crate) last_creation: u64,
    /// What must be done before the queue can go on.
    pub(crate) obstacle: Option<Obstacle>,
    /// The ids that callers gave to events near the end. `None` until they have been read from the log.
    pub(crate) recent: Option<RecentIds>,
    /// Why they could not be read just now, for the append that asked for it.
    pub(crate) ids_unread: Option<ReadError>,
    pub(crate) lazies: Arc<Lazies>,
    heads: Heads,
    pub(crate) table: Vec<u8>,
}

impl Sequencer {
    /// `page` holds the bytes of the tail's last page up to `end`.
    pub(crate) fn new(
        tail: Tail,
        end: u64,
        page: &[u8],
        next_batch: u64,
        batch_bytes: u64,
        phase: Phase,
    ) -> Self {
        let mut open = Batch::default();
        (open.number, open.segment) = (next_batch, tail.header.ordinal);
        open.begin_at(end);
        open.bytes.extend_from_slice(page);
        Sequencer {
            phase,
            poisoned: None,
            driving: false,
            driver: None,
            left: false,
            open,
            tail,
            ready: None,
            needs_space: None,
            wants_space: None,
            need_is_new: false,
            disk_full: None,
            unwitnessed_since: None,
            lazy_since: None,
            says_closed: false,
            commit_bytes: 0,
            zero_at: u64::MAX,
            writer_sleeps: false,
            to_wake: Vec::new(),
            queue: VecDeque::new(),
            queued: 0,
            last_heads: LastHeads::default(),
            batch_bytes,
            spare_batch: None,
            unsettled_kept: HashMap::default(),
            last_revision: 0,
            last_creation: 0,
            obstacle: None,
            recent: None,
            ids_unread: None,
            lazies: Arc::default(),
            heads: Heads::default(),
            table: Vec::new(),
        }
    }

    /// Position of the last event that was sequenced.
    pub(crate) fn appended(&self) -> u64 {
        self.tail.chain.next_position - 1
    }

    /// Whether somebody should drive.
    pub(crate) fn has_work(&self) -> bool {
        self.poisoned.is_none()
            && (!self.open.is_empty()
                || (!self.queue.is_empty() && self.needs_space.is_none())
                || self.obstacle.is_some())
    }

    /// Whether appends wait for room.
    pub(crate) fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// How many lazily set values the first append in the queue follows; all, if there is none.
    pub(crate) fn queue_follows(&self) -> u64 {
        self.queue.front().map_or(u64::MAX, |slot| slot.follows)
    }

    /// Whether this thread is committing, and has called somebody who asks.
    pub(crate) fn is_driven_here(&self) -> bool {
        self.driving && self.driver == Some(std::thread::current().id())
    }

    /// Whether an append alone in the open batch may be committed by its own caller.
    pub(crate) fn is_alone(&self) -> bool {
        !self.driving && self.open.frames == 1 && self.queue.is_empty()
    }

    /// Whether the log takes no more appends, and how it says so.
    pub(crate) fn refusal(&self) -> Option<AppendError> {
        if let Some((_, cause)) = &self.poisoned {
            return Some(AppendError::Poisoned { cause: cause.clone(), outcome: Outcome::NotWritten });
        }
        match self.phase {
            Phase::Open => None,
            Phase::Closing | Phase::Closed => Some(AppendError::Closed),
            Phase::ReadOnly => Some(AppendError::ReadOnly),
        }
    }

    /// Takes in an append: numbers it and gives it back, or lets it wait behind those who wait already.
    pub(crate) fn enter(&mut self, request: Box<Request>, now: u64, view: &RwLock<View>) -> Entry {
        match self.try_enter(&request, now, view) {
            Ok(sequenced) => Entry::Sequenced(sequenced, request),
            Err(wait) => {
                if let Wait::Space { bytes } = wait
                    && self.queue.is_empty()
                {
                    self.need_space(bytes);
                }
                let slot = Arc::new(Slot::new(request, now, self.queued, self.lazies.followed()));
                self.queued += 1;
                self.queue.push_back(slot.clone());
                Entry::Queued(slot)
            }
        }
    }

    /// The same without waiting.
    pub(crate) fn try_enter(
        &mut self,
        request: &Request,
        now: u64,
        view: &RwLock<View>,
    ) -> Result<Sequenced, Wait> {
        if let Some(error) = self.refusal() {
            return Ok(self.refused(request, error));
        }
        if !self.queue.is_empty() {
            return Err(Wait::Turn);
        }
        self.sequence(request, now, u64::MAX, view)
    }

    /// Somebody waits for a segment with room for so many bytes.
    pub(crate) fn need_space(&mut self, bytes: u64) {
        (self.needs_space, self.need_is_new) = (Some(bytes), true);
    }

    /// The same, for somebody who is not in the queue.
    pub(crate) fn want_space(&mut self, bytes: u64) {
        (self.wants_space, self.need_is_new) = (self.wants_space.max(Some(bytes)), true);
    }

    pub(crate) fn is_short_of_space(&self) -> bool {
        self.needs_space.is_some() || self.wants_space.is_some()
    }

    /// Gives those who wait their turn, in order, as far as there is room.
    pub(crate) fn admit(&mut self, view: &RwLock<View>) {
        if self.poisoned.is_some() {
            return;
        }
        self.needs_space = None;
        // It stays in the queue meanwhile: a storage that panics must not keep its answer from it.
        while let Some(slot) = self.queue.front().cloned() {
            match slot.admit(|request, now| self.sequence(request, now, slot.follows, view)) {
                Ok(waker) => {
                    self.queue.pop_front();
                    self.to_wake.extend(waker);
                }
                Err(wait) => {
                    if let Wait::Space { bytes } = wait {
                        self.need_space(bytes);
                    }
                    return;
                }
            }
        }
    }

    /// Tells the append that waits for space that there is none, and lets the next ones try. Refused are only those that had come
    /// before it was looked for, the first `queued`, and need as much as was `asked` for; for others, it is looked for anew.
    pub(crate) fn refuse_for_space(&mut self, fault: &IoFault, queued: u64, asked: u64, view: &RwLock<View>) {
        self.disk_full = Some(fault.clone());
        // The space may have been wanted for what is set lazily: only who needs it himself is refused.
        self.admit(view);
        while self.needs_space.is_some_and(|needs| needs >= asked)
            && self.queue.front().is_some_and(|slot| slot.number < queued)
            && let Some(slot) = self.queue.pop_front()
        {
            self.to_wake.extend(slot.resolve(Sequenced::refused(AppendError::no_segment(fault.clone()))));
            self.admit(view);
        }
    }

    /// Refuses all who wait.
    pub(crate) fn refuse_queue(&mut self, error: &AppendError) {
        self.needs_space = None;
        for slot in std::mem::take(&mut self.queue) {
            let refused = slot.admit(|request, _| Ok(self.refused(request, error.clone())));
            self.to_wake.extend(refused.ok().flatten());
        }
    }

    /// What an append is told that is not taken any more. Of one that was made before it is not said that it was not written.
    fn refused(&mut self, request: &Request, error: AppendError) -> Sequenced {
        let AppendError::Poisoned { cause, .. } = error else { return Sequenced::refused(error) };
        self.ids_unread = None;
        let outcome = match self.seen(request) {
            Ok(Some(seen)) => return seen,
            Ok(None) => Outcome::NotWritten,
            // What was made before the log was opened has not been read.
            Err(_) => Outcome::Unknown,
        };
        Sequenced::refused(AppendError::Poisoned { cause, outcome })
    }

    /// The heart: ids, conditions, room, numbers, bytes. Either all of the append is in the open batch afterwards, or nothing.
    fn sequence(
        &mut self,
        request: &Request,
        now: u64,
        follows: u64,
        view: &RwLock<View>,
    ) -> Result<Sequenced, Wait> {
        if !request.kept.is_empty() {
            // What was set lazily before this gets its revision first, and is what conditions see.
            self.stamp_lazies_before(follows, now, view)?;
        }
        self.sequence_alone(request, now, view)
    }

    /// The same, whatever is set lazily.
    pub(crate) fn sequence_alone(
        &mut self,
        request: &Request,
        now: u64,
        view: &RwLock<View>,
    ) -> Result<Sequenced, Wait> {
        let mut heads = std::mem::take(&mut self.heads);
        heads.clear();
        let verdict = self.sequence_with(&mut heads, request, now, view);
        self.heads = heads;
        verdict
    }

    /// The answer to an append by its ids, if they were appended before.
    fn seen(&mut self, request: &Request) -> Result<Option<Sequenced>, Obstacle> {
        if request.ids.is_empty() {
            return Ok(None);
        }
        let end = self.appended();
        let Some(recent) = &mut self.recent else {
            let error = self.ids_unread.take().ok_or(Obstacle::IdsUnread)?;
            return Ok(Some(Sequenced::refused(AppendError::unreadable(request.ids[0], error))));
        };
        let (result, batch, place) = match recent.look_up(&request.ids, request.has_key, end) {
            Seen::New => return Ok(None),
            Seen::Key { place, batch } => (Err(AppendError::EmptyBatch), batch, Some(place)),
            Seen::Other { id, batch } => (Err(AppendError::IdReused { id }), batch, None),
        };
        let repeats = place.map(|place| Arc::new(Repeat::new(request, place)));
        Ok(Some(Sequenced { result, batch, written: false, repeats }))
    }

    fn sequence_with(
        &mut self,
        heads: &mut Heads,
        request: &Request,
        now: u64,
        view: &RwLock<View>,
    ) -> Result<Sequenced, Wait> {
        let answer = |result, batch| Sequenced { result, batch, written: false, repeats: None };
        // 1. Was it appended before? Asked first: a repeat must not meet the versions that its original left behind.
        match self.seen(request) {
            Ok(None) => {}
            Ok(Some(seen)) => return Ok(seen),
            Err(obstacle) => {
                self.obstacle = Some(obstacle);
                return Err(Wait::Turn);
            }
        }
        // 2. Conditions, against all that was sequenced before.
        let rests_on = match self.check(heads, request, view) {
            Ok(batch) => batch,
            Err(Refusal::Told(error, batch)) => return Ok(answer(Err(error), batch)),
            Err(Refusal::Unknown(damage)) => {
                // Whoever drives mends the index, and this one takes its turn then.
                self.obstacle = Some(Obstacle::Damage(damage));
                return Err(Wait::Turn);
            }
        };
        // 3. Is there anything to write?
        let settled = |party: u32| {
            let binds = request.streams[party as usize].binds;
            let state = &heads.streams[party as usize].state;
            state.registered && (state.tenant.is_some() || !binds)
        };
        if request.only_registers() && request.drafts.iter().all(|draft| settled(draft.party)) {
            let position = self.tail.chain.next_position;
            let run = |party: u32| unchanged(heads.streams[party as usize].state.version, position);
            let runs = request.drafts.iter().map(|draft| run(draft.party)).collect();
            let assigned = Assigned {
                first_position: position,
                events: 0,
                time: self.tail.chain.time,
                runs: one_or_many(runs),
                kept: Vec::new(),
                repeated: false,
            };
            return Ok(answer(Ok(assigned), rests_on));
        }
        if let Err(error) = self.check_numbers(heads, request) {
            return Ok(answer(Err(error), rests_on));
        }
        // 4. Room. Nothing was changed up to here.
        let table_len = request.drafts.len() * ENTRY_BYTES;
        self.make_room((FRAME_HEADER_BYTES + table_len + request.body.len()) as u64)?;
        // 5. Versions, the frame, and what the index will learn.
        let assigned = self.stamp_append(heads, request, now);
        for (head, party) in heads.streams.drain(..).zip(&*request.streams) {
            if party.written {
                self.last_heads.set(
                    request.streams.id(party),
                    party.hash,
                    Head { batch: self.open.number, ..head },
                );
            }
        }
        for (head, party) in heads.kept.iter().zip(&*request.kept) {
            if party.written {
                let head = KeptHead { batch: self.open.number, ..*head };
                self.unsettled_kept.insert(request.kept.id(party).into(), head);
            }
        }
        Ok(Sequenced { result: Ok(assigned), batch: self.open.number, written: true, repeats: None })
    }

    /// Sees to it that a frame of `bytes` fits the open batch, rolling onto the ready segment if that is what it takes.
    fn make_room(&mut self, bytes: u64) -> Result<(), Wait> {
        let end = self.open.end();
        let fits =
            !self.tail.sealed && self.tail.reserved && end + bytes <= self.tail.header.frames_end_max();
        if self.open.frames > 0 {
            let full = end - self.open.start + bytes > self.batch_bytes;
            return if fits && !full { Ok(()) } else { Err(Wait::Turn) };
        }
        if fits {
            return Ok(());
        }
        match self.ready {
            Some(ready)
                if FIRST_FRAME + bytes <= ready.capacity - PAGE_BYTES as u64 && self.tail.reserved =>
            {
                self.roll_onto(ready);
                Ok(())
            }
            _ => Err(Wait::Space { bytes }),
        }
    }

    /// Turns the open batch, still empty, into the first one of the next segment.
    fn roll_onto(&mut self, ready: Ready) {
        let old = &self.tail;
        let end = self.open.end();
        let header = SegmentHeader {
            rewritten: false,
            log_id: old.header.log_id,
            salt: ready.salt,
            ordinal: old.header.ordinal + 1,
            base_position: old.chain.next_position,
            capacity: ready.capacity,
            created: old.chain.time,
            previous: Link { salt: old.header.salt, end, checksum: old.chain.checksum },
            unknown_write_features: 0,
        };
        // A footer may already be on its way with this very batch: sealed early, then rolled before it was taken.
        let footer = self.open.footer.take().or_else(|| (!old.sealed).then(|| old.footer(end)));
        let chain = old.chain;
        self.open.begin_at(FIRST_FRAME);
        self.open.footer = footer;
        self.open.go_live = Some((header, chain));
        self.open.segment = header.ordinal;
        self.tail = Tail::fresh(header, &chain);
        self.ready = None;
    }
}

fn unchanged(version: u64, next_position: u64) -> AssignedRun {
    AssignedRun {
        first_version: version + 1,
        last_version: version,
        first_position: next_position,
        created: false,
    }
}

fn one_or_many(mut runs: Vec<AssignedRun>) -> Runs {
    match (runs.len(), runs.pop()) {
        (1, Some(run)) => Runs::One(run),
        (_, last) => {
            runs.extend(last);
            Runs::Many(runs)
        }
    }
}
