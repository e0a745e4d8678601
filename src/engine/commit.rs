//! Commits: batch by batch to the disk, then into view, then the good news.
//!
//! Owns the role of driving, which exists once: whoever has set `driving` writes and syncs, and nobody else does. One batch is
//! in flight at a time; the next is written only after the one before is durable. The first failed write or sync ends it all:
//! no second sync is ever tried.

use crate::engine::answer::{Assigned, Obstacle, Sequenced};
use crate::engine::batch::Batch;
use crate::engine::layering::sealed_range;
use crate::engine::progress::Reached;
use crate::engine::request::Request;
use crate::engine::sequencer::{Entry, Phase, Sequencer};
use crate::engine::shared::{Shared, now};
use crate::engine::slot::{Slot, ThreadWaker};
use crate::engine::view::Watermark;
use crate::engine::watchers::Over;
use crate::error::{AppendError, IoFault, Outcome, PoisonCause};
use crate::format::checkpoint::DurablePlace;
use crate::format::frame::Chain;
use crate::format::segment::SegmentHeader;
use crate::format::{FIRST_FRAME, PAGE_BYTES};
use crate::segment::reader::{Live, Segment};
use crate::storage::write_all_at;
use crate::types::{Durability, Location};
use parking_lot::MutexGuard;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

impl Shared {
    /// A blocking append, all the way to its level.
    pub(crate) fn append(
        &self,
        request: Box<Request>,
        level: Durability,
    ) -> Result<(Assigned, Durability), AppendError> {
        let time = now();
        let mut seq = self.sequencer();
        let sequenced = match seq.enter(request, time, &self.view) {
            Entry::Sequenced(sequenced, request) if sequenced.batch == 0 => {
                self.release(seq);
                request.recycle();
                sequenced
            }
            Entry::Sequenced(sequenced, request) => {
                self.see_to_it(seq, sequenced.written && level == Durability::Synced);
                request.recycle();
                sequenced
            }
            Entry::Queued(slot) => {
                self.notify_driver(seq);
                self.wait_slot(&slot)
            }
        };
        self.settle_wait(sequenced, level)
    }

    /// Waits for the state that an answer rests on, then gives the answer.
    pub(crate) fn settle_wait(
        &self,
        sequenced: Sequenced,
        level: Durability,
    ) -> Result<(Assigned, Durability), AppendError> {
        // Only what was written can be told early; an answer that rests on other appends waits for them in full.
        let level = if sequenced.written { level } else { Durability::Synced };
        match self.wait_batch(sequenced.batch, level) {
            Reached::Failed { batch } => Err(self.failure(&sequenced, batch)),
            _ => {
                let level = self.progress.level(sequenced.batch);
                Ok((self.resolve(sequenced)?, level))
            }
        }
    }

    /// The answer to an append, once what it rests on is visible.
    pub(crate) fn resolve(&self, sequenced: Sequenced) -> Result<Assigned, AppendError> {
        match sequenced.repeats {
            Some(repeat) => repeat.answer(self),
            None => sequenced.result,
        }
    }

    /// What an append is told whose batch, or the batch its answer rests on, was not durable when the log was poisoned.
    pub(crate) fn failure(&self, sequenced: &Sequenced, failed: u64) -> AppendError {
        let cause = self.sequencer().poisoned.clone().map_or(PoisonCause::Panic, |(_, cause)| cause);
        // Only the failed batch itself can have reached the disk in part.
        let maybe = (sequenced.written || sequenced.repeats.is_some()) && sequenced.batch == failed;
        AppendError::Poisoned { cause, outcome: if maybe { Outcome::Unknown } else { Outcome::NotWritten } }
    }

    fn wait_batch(&self, batch: u64, level: Durability) -> Reached {
        if !self.options.background {
            while self.progress.reached(batch, level) == Reached::NotYet && self.help() {}
        }
        match self.progress.reached(batch, level) {
            Reached::NotYet => self.progress.wait(batch, level),
            reached => reached,
        }
    }

    pub(crate) fn wait_slot(&self, slot: &Arc<Slot>) -> Sequenced {
        let waker = ThreadWaker::current();
        loop {
            if let Some(sequenced) = slot.poll(&waker) {
                return sequenced;
            }
            if self.options.background || !self.help() {
                std::thread::park();
            }
        }
    }

    /// Drives one batch, or finds space, if there is need and nobody else does. Says whether it did anything.
    pub(crate) fn help(&self) -> bool {
        let seq = self.sequencer();
        if seq.driving {
            return false;
        }
        if seq.has_work() {
            let seq = self.drive(seq);
            self.leave_role(seq);
            return true;
        }
        let needs_space = seq.is_short_of_space();
        self.release(seq);
        if needs_space && !self.options.background {
            self.provide_space_guarded();
            return true;
        }
        false
    }

    /// Takes the role and commits one batch. The role stays taken.
    pub(crate) fn drive<'a>(&'a self, mut seq: MutexGuard<'a, Sequencer>) -> MutexGuard<'a, Sequencer> {
        (seq.driving, seq.driver) = (true, Some(std::thread::current().id()));
        // A storage that panics may do so on anybody's thread, and the role must not be lost with it.
        let driven = catch_unwind(AssertUnwindSafe(|| self.drive_batch(seq)));
        let mut seq = driven.unwrap_or_else(|_| {
            self.poison(self.sequencer(), self.progress.next_batch(), PoisonCause::Panic);
            self.sequencer()
        });
        self.end_if_poisoned(&mut seq);
        seq
    }

    /// What was on its way when somebody else poisoned the log has come, and was seen: nothing more will.
    fn end_if_poisoned(&self, seq: &mut Sequencer) {
        if let Some((_, cause)) = &seq.poisoned {
            let woken = self.watchers.end(Over::Poisoned(cause.clone()));
            seq.to_wake.extend(woken);
        }
    }

    fn drive_batch<'a>(&'a self, mut seq: MutexGuard<'a, Sequencer>) -> MutexGuard<'a, Sequencer> {
        // What is in the open batch already does not wait for it.
        while seq.open.is_empty()
            && let Some(obstacle) = seq.obstacle.take()
        {
            self.release(seq);
            let unread = match obstacle {
                Obstacle::Damage(damage) => {
                    self.mend(&damage);
                    None
                }
                Obstacle::IdsUnread => self.learn_ids(&AtomicBool::new(false)).err(),
            };
            seq = self.sequencer();
            // Told to the append that came to it; the next one has it tried again.
            seq.ids_unread = unread;
            seq.admit(&self.view);
            seq.ids_unread = None;
        }
        seq.admit(&self.view);
        let _ = seq.stamp_lazies(now(), &self.view);
        if seq.open.is_empty() || seq.poisoned.is_some() {
            return seq;
        }
        let mut batch = seq.take(self.options.pad_commits);
        // Those who wait get their places in the next batch while this one is on its way. What was set lazily goes first,
        // or a crowd would keep it out; what finds no room now is tried again.
        let _ = seq.stamp_lazies(now(), &self.view);
        seq.admit(&self.view);
        let zeros_are_due = seq.zeros_are_due();
        self.release(seq);
        if zeros_are_due {
            self.ring_maintenance();
        }
        let result = catch_unwind(AssertUnwindSafe(|| {
            self.write(&mut batch)?;
            self.publish(&batch);
            Ok(())
        }));
        match result.unwrap_or(Err(PoisonCause::Panic)) {
            Ok(()) => {
                self.progress.advance_durable(batch.number);
                self.wake_watchers(&batch);
                let mut seq = self.sequencer();
                seq.unwitnessed_since = batch.has_appends.then(Instant::now);
                seq.settle(batch);
                seq
            }
            Err(cause) => {
                self.poison(self.sequencer(), batch.number, cause);
                self.sequencer()
            }
        }
    }

    /// Gives the role back; what is left to do is the writer thread's, or without one, done here.
    pub(crate) fn leave_role<'a>(&'a self, mut seq: MutexGuard<'a, Sequencer>) {
        loop {
            while !self.options.background && seq.has_work() {
                seq = self.drive(seq);
            }
            // The sequencer may have been let go of since the last batch.
            self.end_if_poisoned(&mut seq);
            seq.driving = false;
            if seq.has_work() || seq.writer_sleeps && seq.unwitnessed_since.is_some() {
                self.ring_writer();
            }
            if seq.phase == Phase::Closing {
                self.role_bell.notify_all();
            }
            let needs_space = seq.needs_space.is_some();
            self.release(seq);
            if self.options.background {
                return;
            }
            let chores = || {
                self.maintain();
                self.settle_index(&self.stop_indexing, true);
            };
            // What was appended here is durable, whatever becomes of what is done after it.
            if catch_unwind(AssertUnwindSafe(chores)).is_err() {
                return self.poison(self.sequencer(), self.progress.next_batch(), PoisonCause::Panic);
            }
            seq = self.sequencer();
            // The append that waited has room now, or its answer; the room must be used by somebody, and the next one may
            // need more.
            if !needs_space || seq.driving || !(seq.has_work() || seq.needs_space.is_some()) {
                self.release(seq);
                return;
            }
        }
    }

    /// The same for an append that nobody waits for here: it is committed at once where that takes no time.
    pub(crate) fn see_to_submitted(&self, seq: MutexGuard<'_, Sequencer>, written: bool) -> bool {
        self.see_to_it(seq, written && self.options.background && self.storage.is_memory())
    }

    /// Sees to it that what was just entered will be committed. Says whether it was, here: alone, and while nobody commits, that
    /// saves a hand-over to another thread and back.
    fn see_to_it(&self, seq: MutexGuard<'_, Sequencer>, may_drive: bool) -> bool {
        let at_once = may_drive && seq.is_alone();
        if at_once {
            let seq = self.drive(seq);
            self.leave_role(seq);
        } else {
            self.notify_driver(seq);
        }
        at_once
    }

    /// Lets go of the sequencer, and tells whoever commits what was just entered.
    pub(crate) fn notify_driver(&self, seq: MutexGuard<'_, Sequencer>) {
        if !seq.driving && seq.has_work() {
            self.ring_writer();
        }
        self.release(seq);
    }

    /// Everything that a batch asks of the disk, in the order of FORMAT.md section 10.
    fn write(&self, batch: &mut Batch) -> Result<(), PoisonCause> {
        let mut live = self.live.lock();
        if let Some(footer) = &batch.footer {
            let at = live.header().capacity - PAGE_BYTES as u64;
            self.write_and_sync(&live, at, &footer.encode())?;
        }
        if let Some((header, chain)) = &batch.go_live {
            *live = self.go_live(header, chain)?;
        }
        if batch.frames == 0 {
            return Ok(());
        }
        let end = batch.bytes.len();
        batch.fill_page();
        let fault = |operation, error| IoFault::new(operation, &live.segment.file_name(), &error);
        write_all_at(&*live.file, batch.page_at, &batch.bytes).map_err(|error| fault("write", error))?;
        self.progress.advance_written(batch.number);
        live.file.sync().map_err(|error| fault("sync", error))?;
        batch.bytes.truncate(end);
        Ok(())
    }

    fn write_and_sync(&self, live: &Live, offset: u64, bytes: &[u8]) -> Result<(), PoisonCause> {
        let fault = |operation, error| IoFault::new(operation, &live.segment.file_name(), &error);
        write_all_at(&*live.file, offset, bytes).map_err(|error| fault("write", error))?;
        Ok(live.file.sync().map_err(|error| fault("sync", error))?)
    }

    /// Makes the spare the last segment.
    fn go_live(&self, header: &SegmentHeader, chain: &Chain) -> Result<Live, PoisonCause> {
        // The lock is what ends the zeroing: its last write has returned, and there is no further one. It is held until the
        // name is free again, or the next spare would be made in this one's place.
        let mut slot = self.spare.lock();
        let spare = slot.take_if(|it| (it.salt, it.capacity) == (header.salt, header.capacity));
        let spare = spare.ok_or(PoisonCause::Panic)?;
        let file = spare.go_live(&*self.storage, header)?;
        drop(slot);
        let segment = Segment::new(*header, &file, self.options.read_mode).map_err(|error| {
            IoFault::new("map", &crate::segment::name::segment_name(header.ordinal), &error)
        })?;
        let segment = Arc::new(segment);
        {
            let mut view = self.view.write();
            view.push_segment(segment.clone());
            let end = header.previous.end;
            view.index.seal(end, self.options.index_after_bytes, || sealed_range(header, chain));
        }
        self.ring_indexing();
        *self.checkpoint_due.lock() = Some(first_place(header));
        self.ring_maintenance();
        Ok(Live { segment, file })
    }

    /// Shows a durable batch: all of it at once.
    fn publish(&self, batch: &Batch) {
        let mut view = self.view.write();
        batch.marks.iter().for_each(|mark| view.index.overlay.mark(*mark));
        self.versions.hide(batch.moves());
        batch.changes().for_each(|(id, change)| view.index.apply(id, change));
        batch.kept_changes.iter().for_each(|change| view.index.apply_kept(change));
        view.visible = Watermark {
            position: batch.chain.next_position - 1,
            end: Location { segment: batch.segment, offset: batch.end() },
        };
        self.versions.show(batch.moves());
        drop(view);
        self.lazies.settle(batch.number);
    }

    /// Wakes those who wait for what a batch has brought.
    fn wake_watchers(&self, batch: &Batch) {
        if batch.has_appends {
            self.watchers.wake(|wanted| batch.changes().for_each(|(id, _)| wanted.by_stream(id)));
        }
    }
}

/// The place where the first frame of a segment will stand, which is durable once the segment is live.
pub(crate) fn first_place(header: &SegmentHeader) -> DurablePlace {
    DurablePlace {
        end: Location { segment: header.ordinal, offset: FIRST_FRAME },
        salt: header.salt,
        last_position: header.base_position - 1,
        batch_number: 0,
        checksum: header.previous.checksum,
    }
}
