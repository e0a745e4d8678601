//! Consumer groups: threads that share the work of one consumer, stream by stream.
//!
//! Owns who works on what, and the group's place: everything up to it is done. Events of one stream come one after the other,
//! in order; those of different streams to whoever is free. What is done behind the place is written down only if it must
//! never come again: exactly once costs a small mark per event, at least once does not.

use crate::consumer::ConsumerError;
use crate::consumer::bell::Bell;
use crate::consumer::lanes::{Lanes, Work};
use crate::consumer::named::{claim, marks, starting};
use crate::consumer::options::GroupOptions;
use crate::engine::{BatchAppended, BatchBuilder, Claim, EventLog, Pending, Subscription};
use crate::error::{AppendError, ReadError};
use crate::event::RecordedEvent;
use crate::format::consumer::{
    ParkedValue, at_position, done_prefix, encode_place, parked_prefix, place_name,
};
use crate::query::Query;
use crate::types::{Durability, KeptCondition};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many marks a batch removes at most.
const MARKS_AT_ONCE: usize = 64;

/// A consumer whose work is shared by threads: each clone is a member. See [`EventLog::group`].
#[derive(Clone)]
pub struct Group {
    inner: Arc<Inner>,
    /// This clone has been told as an iterator that there is nothing more.
    ended: bool,
}

struct Inner {
    log: EventLog,
    name: String,
    options: GroupOptions,
    bell: Arc<Bell>,
    state: Mutex<State>,
    _claim: Claim,
}

struct State {
    subscription: Subscription,
    lanes: Lanes,
    /// The place that the log held when the group was opened.
    begun_at: u64,
    /// Positions behind the place that must not be given out again; each stands in the log as a mark.
    marks: BTreeSet<u64>,
    /// What ended the reading.
    ended: Option<Result<(), ReadError>>,
    stopped: bool,
}

/// What a member has got.
#[derive(Debug)]
pub enum GroupNext {
    /// An event to work on.
    Delivery(Delivery),
    /// Nothing came in the given time.
    TimedOut,
    /// Nothing will come any more.
    Ended,
}

/// An event that a member of a group works on. Dropped without an answer, it counts as failed.
pub struct Delivery {
    inner: Arc<Inner>,
    /// Gone when it was answered.
    work: Option<Box<Work>>,
    event: RecordedEvent,
}

impl EventLog {
    /// Opens the group of this name (1..=1024 bytes), going on behind its place; a new one begins where the query says.
    /// Clone it for each thread that is to share its work. A group and a consumer of one name are the same consumer.
    ///
    /// # Errors
    /// [`ConsumerError::InUse`] while another one of this name lives, [`ConsumerError::Append`] for an impossible name.
    pub fn group(&self, name: &str, query: &Query, options: GroupOptions) -> Result<Group, ConsumerError> {
        let claim = claim(self, name)?;
        let subscription = self.subscribe(&starting(self, name, query)?);
        let (begun_at, marks) = (self.acknowledged(name)?, marks(self, name)?);
        let lanes = Lanes::default();
        let state = State { subscription, lanes, begun_at, marks, ended: None, stopped: false };
        let inner = Inner {
            log: self.clone(),
            name: name.to_owned(),
            options,
            bell: Arc::default(),
            state: Mutex::new(state),
            _claim: claim,
        };
        Ok(Group { inner: Arc::new(inner), ended: false })
    }
}

impl Group {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    pub(crate) fn log(&self) -> &EventLog {
        &self.inner.log
    }

    /// How many positions lie between the group's place, up to which everything is done, and the end of the log. Events that
    /// do not match count until a member has looked past them.
    pub fn lag(&self) -> u64 {
        let place = self.inner.state.lock().place();
        self.log().last_position().saturating_sub(place)
    }

    /// Ends the group: members that wait get [`GroupNext::Ended`], what is being worked on can still be acknowledged.
    pub fn stop(&self) {
        self.inner.state.lock().stopped = true;
        self.inner.bell.ring();
    }

    /// The next event to work on, waited for at most so long.
    ///
    /// # Errors
    /// [`ConsumerError::Read`] if the log cannot be read, for every member from then on; [`ConsumerError::Append`] if an
    /// event that was dropped too often could not be set aside.
    pub fn next_within(&self, timeout: Duration) -> Result<GroupNext, ConsumerError> {
        self.wait(Instant::now().checked_add(timeout))
    }

    fn wait(&self, deadline: Option<Instant>) -> Result<GroupNext, ConsumerError> {
        let inner = &self.inner;
        let waker = Waker::from(inner.bell.clone());
        loop {
            let rings = inner.bell.rings();
            let now = Instant::now();
            let (next, due) = {
                let mut state = inner.state.lock();
                let next = state.next(&inner.options, &waker, now)?;
                if state.lanes.is_ready() {
                    // One event for each ring would leave the others asleep.
                    inner.bell.ring();
                }
                (next, state.lanes.next_due())
            };
            match next {
                Some(GroupWork::Ended) => return Ok(GroupNext::Ended),
                Some(GroupWork::Work(work)) if work.failures >= inner.options.attempts_max => {
                    inner.park(work)?;
                }
                Some(GroupWork::Work(work)) => {
                    let (inner, event) = (inner.clone(), work.event.clone());
                    return Ok(GroupNext::Delivery(Delivery { inner, work: Some(Box::new(work)), event }));
                }
                None if deadline.is_some_and(|deadline| deadline <= now) => return Ok(GroupNext::TimedOut),
                None => inner.bell.wait(rings, due.into_iter().chain(deadline).min()),
            }
        }
    }

    /// Takes in an event that was set aside, unless it is on its way already or `find` does not find it.
    pub(crate) fn replay_from_list(
        &self,
        position: u64,
        find: impl FnOnce(u64) -> Result<Option<RecordedEvent>, ReadError>,
    ) -> Result<bool, ConsumerError> {
        // Announced before the list is looked at: whoever acknowledges it in between is seen there.
        if !self.inner.state.lock().lanes.begin_replay(position) {
            return Ok(false);
        }
        let found = find(position);
        let mut state = self.inner.state.lock();
        let Ok(Some(event)) = found else {
            state.lanes.end_replay(position);
            drop(state);
            // It may have been all that others were waiting for.
            self.inner.bell.ring();
            return Ok(found?.is_some());
        };
        let wanted =
            state.lanes.add_replay(Work { event, failures: 0, reason: String::new(), replayed: true });
        drop(state);
        self.inner.bell.ring();
        Ok(wanted)
    }

    /// Withdraws a replay that nobody works on, and tells those who wait for it.
    pub(crate) fn withdraw(&self, position: u64) {
        self.inner.state.lock().lanes.withdraw_replay(position);
        self.inner.bell.ring();
    }
}

enum GroupWork {
    Work(Work),
    Ended,
}

impl State {
    /// Work for one member; `None` if there is none now.
    fn next(
        &mut self,
        options: &GroupOptions,
        waker: &Waker,
        now: Instant,
    ) -> Result<Option<GroupWork>, ReadError> {
        // A closed log takes no acknowledgement: what is out or waits will come again, to whoever opens it.
        self.stopped |= self.subscription.is_over();
        if self.stopped {
            return Ok(Some(GroupWork::Ended));
        }
        loop {
            if let Some(work) = self.lanes.take(now) {
                return Ok(Some(GroupWork::Work(work)));
            }
            if self.lanes.len() >= options.window {
                // Nothing is read now, but the end of the log must wake those who wait.
                self.stopped |= !self.subscription.watch(waker);
                return Ok(self.stopped.then_some(GroupWork::Ended));
            }
            match &self.ended {
                Some(Err(error)) => return Err(error.clone()),
                Some(Ok(())) => return Ok(self.lanes.is_empty().then_some(GroupWork::Ended)),
                None => {}
            }
            match self.subscription.poll_event(waker, u64::MAX) {
                Poll::Pending => return Ok(None),
                Poll::Ready(None) => {
                    self.ended = Some(Ok(()));
                    self.stopped |= self.subscription.is_over();
                    if self.stopped {
                        return Ok(Some(GroupWork::Ended));
                    }
                }
                Poll::Ready(Some(Err(error))) => self.ended = Some(Err(error)),
                Poll::Ready(Some(Ok(event))) => {
                    if !self.marks.contains(&event.position()) {
                        self.lanes.add(Work { event, failures: 0, reason: String::new(), replayed: false });
                    }
                }
            }
        }
    }

    /// Up to here everything is done.
    fn place(&self) -> u64 {
        let read = self.subscription.position();
        self.lanes.first_open().map_or(read, |first| first - 1).max(self.begun_at)
    }
}

impl Inner {
    /// Adds to a batch what the group writes about an event that is done with it, and sends it off. Under the state's lock
    /// as far as the order of the writes: the place must never go back behind marks that were removed.
    fn submit<'a>(
        &'a self,
        work: &Work,
        batch: BatchBuilder<'a>,
    ) -> Result<Pending<BatchAppended>, AppendError> {
        if !batch.is_of(&self.log) {
            return Err(AppendError::OtherLog);
        }
        let mut state = self.state.lock();
        let position = work.event.position();
        let marks = done_prefix(&self.name);
        let batch = batch.own_from_here();
        let mut batch = if work.replayed {
            // If it has left the list, somebody has dealt with it: it must not be done twice.
            batch.unkeep_parked(&at_position(&parked_prefix(&self.name), position))
        } else {
            batch.keep_reserved(&at_position(&marks, position), Some(&[]))
        };
        let place = state.place();
        batch = batch.keep_reserved(&place_name(&self.name), Some(&encode_place(place)));
        let passed: Vec<u64> = state.marks.range(..=place).take(MARKS_AT_ONCE).copied().collect();
        for mark in &passed {
            batch = batch.keep_reserved(&at_position(&marks, *mark), None);
        }
        let pending = batch.durability(Durability::Synced).submit()?;
        // If the batch fails, they stay in the log, and are found when the group is opened again.
        passed.iter().for_each(|mark| {
            state.marks.remove(mark);
        });
        Ok(pending)
    }

    /// Commits a batch that says that an event is dealt with.
    fn acknowledge(&self, work: &Work, batch: BatchBuilder<'_>) -> Result<BatchAppended, AppendError> {
        let appended = self.submit(work, batch)?.wait()?;
        if appended.repeated {
            // What the event leads to stands in the log, and nothing was written now.
            self.submit(work, self.log.batch())?.wait()?;
        }
        Ok(appended)
    }

    /// An event is done with, and the log says so or will.
    fn done(&self, work: &Work, marked: bool) {
        let mut state = self.state.lock();
        let (before, position) = (state.place(), work.event.position());
        if marked && !work.replayed {
            state.marks.insert(position);
        }
        state.lanes.done(work);
        let place = state.place();
        // It is passed now, and so may be others that have no mark. Under the lock, for the order of the writes.
        if place > before.max(position) {
            // A log that takes no more says so to whoever acknowledges next; those others come again.
            let _ = self.log.write_kept_lazily(&place_name(&self.name), &encode_place(place));
        }
        drop(state);
        self.bell.ring();
    }

    /// Puts an event back.
    fn put_back(&self, work: Work) {
        self.state.lock().lanes.put_back(work, self.options.due());
        self.bell.ring();
    }

    /// Sets an event aside, durably, and goes on behind it.
    fn park(&self, work: Work) -> Result<(), AppendError> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let value = ParkedValue {
            attempts: work.failures,
            time: since.map_or(0, |since| since.as_nanos() as u64),
            reason: work.reason.clone(),
        };
        let position = work.event.position();
        let name = at_position(&parked_prefix(&self.name), position);
        let batch = self.log.batch();
        let parked = if work.replayed {
            batch
                .keep_reserved(&name, Some(&value.encode()))
                .durability(Durability::Synced)
                .commit()
                .map(|_| ())
        } else {
            let batch = batch.keep_reserved(&name, Some(&value.encode()));
            self.acknowledge(&work, batch).map(|_| ())
        };
        match parked {
            Ok(()) => {
                self.done(&work, true);
                Ok(())
            }
            Err(error) => {
                self.put_back(work);
                Err(error)
            }
        }
    }
}

impl Delivery {
    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.work.as_ref().map_or(0, |work| work.failures + 1)
    }

    /// Whether the event was set aside before, and is being replayed.
    pub fn is_replayed(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.replayed)
    }

    /// Says that the event is dealt with. The group's place follows without waiting, as [`EventLog::keep_lazily`]; after a
    /// crash the event may come again. An event that is being replayed leaves the list of those set aside durably.
    ///
    /// # Errors
    /// See [`AppendError`]; the event comes again.
    pub fn ack(mut self) -> Result<(), AppendError> {
        let Some(work) = self.work.take().map(|work| *work) else { return Ok(()) };
        let inner = self.inner.clone();
        if work.replayed {
            let name = at_position(&parked_prefix(&inner.name), work.event.position());
            if let Err(error) = inner.log.write_kept(&name, KeptCondition::Any, None) {
                inner.put_back(work);
                return Err(error);
            }
            inner.done(&work, false);
            return Ok(());
        }
        let mut state = inner.state.lock();
        let before = state.place();
        state.lanes.done(&work);
        let place = state.place();
        // Under the lock, for the order of the writes.
        let written = if place > before {
            inner.log.write_kept_lazily(&place_name(&inner.name), &encode_place(place))
        } else {
            inner.log.takes_writes()
        };
        if written.is_err() {
            state.lanes.put_back(work, inner.options.due());
        }
        drop(state);
        inner.bell.ring();
        written
    }

    /// Commits a batch that says that the event is dealt with: exactly once. Blocks as [`BatchBuilder::commit`] does,
    /// until it is durable.
    ///
    /// # Errors
    /// See [`AppendError`]; the event comes again.
    pub fn ack_with(mut self, batch: BatchBuilder<'_>) -> Result<BatchAppended, AppendError> {
        let Some(work) = self.work.take().map(|work| *work) else { return Err(AppendError::EmptyBatch) };
        let inner = self.inner.clone();
        match inner.acknowledge(&work, batch) {
            Ok(appended) => {
                inner.done(&work, true);
                Ok(appended)
            }
            Err(error) => {
                let parked = at_position(&parked_prefix(&inner.name), work.event.position());
                match &error {
                    AppendError::KeptConflict { name, .. } if *name == parked => inner.done(&work, false),
                    _ => inner.put_back(work),
                }
                Err(error)
            }
        }
    }

    /// Says that the event could not be dealt with, and why. It comes again after
    /// [`GroupOptions::retry_after`], before the others of its stream; after
    /// [`GroupOptions::attempts_max`] it is set aside, durably, and its stream goes on. Says whether it was set aside.
    ///
    /// # Errors
    /// See [`AppendError`]: it could not be set aside, and comes again.
    pub fn nack(mut self, reason: &str) -> Result<bool, AppendError> {
        let Some(mut work) = self.work.take().map(|work| *work) else { return Ok(false) };
        work.failures += 1;
        reason.clone_into(&mut work.reason);
        if work.failures >= self.inner.options.attempts_max {
            return self.inner.park(work).map(|()| true);
        }
        self.inner.put_back(work);
        Ok(false)
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(mut work) = self.work.take().map(|work| *work) {
            work.failures += 1;
            "dropped without an answer".clone_into(&mut work.reason);
            self.inner.put_back(work);
        }
    }
}

impl Deref for Delivery {
    type Target = RecordedEvent;

    fn deref(&self) -> &RecordedEvent {
        &self.event
    }
}

impl Iterator for Group {
    type Item = Result<Delivery, ConsumerError>;

    /// Blocks until there is an event to work on. After an error, this clone is at its end.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.wait(None) {
            Ok(GroupNext::Delivery(delivery)) => Some(Ok(delivery)),
            Ok(GroupNext::TimedOut | GroupNext::Ended) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Group").field(&self.inner.name).finish()
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("event", &self.event).field("attempt", &self.attempt()).finish()
    }
}
