//! Named consumers: one reader, one durable place.
//!
//! Owns the walk from the last acknowledged event on. At least once by default: what was not acknowledged durably comes
//! again. Exactly once when the acknowledgement rides in the batch that the event has led to.

use crate::consumer::ConsumerError;
use crate::engine::{BatchAppended, BatchBuilder, Canceller, Claim, EventLog, Next, Subscription};
use crate::error::{AppendError, ReadError};
use crate::event::RecordedEvent;
use crate::format::consumer::{
    done_prefix, encode_place, parked_prefix, place_name, place_prefix, position_of,
};
use crate::query::{Query, Scope};
use crate::types::{Durability, KeptCondition};
use futures_core::Stream;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// What the removal of a kept value takes beside its name, in the body and in the table of sections, at most.
const REMOVAL_BYTES: u64 = 64;

/// Where a consumer is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seek {
    /// At the first event.
    Beginning,
    /// Behind the last event that is visible now.
    Latest,
    /// Behind this position.
    After(u64),
    /// Behind the last event that was acknowledged. Writes nothing.
    LastAcknowledged,
}

/// A reader with a durable place of its own. Alone of its name in the process; others of other names do not concern it.
///
/// ```
/// # use annals::{EventLog, ExpectedVersion, NewEvent, Query};
/// # use std::time::Duration;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = EventLog::in_memory()?;
/// log.append("order-1", ExpectedVersion::Any, &[NewEvent::new("OrderPlaced", "{}")])?;
/// let mut billing = log.consumer("billing", &Query::everything())?;
/// for event in billing.by_ref().take(1) {
///     let event = event?;
///     // Exactly once: the invoice and the consumer's place are written together.
///     let invoice = log.batch().append("invoice-1", ExpectedVersion::NoStream, &[NewEvent::new("Invoiced", "{}")]);
///     event.ack_with(invoice)?;
/// }
/// assert_eq!(log.acknowledged("billing")?, 1);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Consumer {
    log: EventLog,
    name: String,
    query: Query,
    subscription: Subscription,
    durable_acks: bool,
    /// Events behind the place that a group of this name has dealt with.
    marks: BTreeSet<u64>,
    _claim: Claim,
}

/// An event that a [`Consumer`] was given, to be acknowledged when it is dealt with.
#[derive(Debug, Clone)]
pub struct Received {
    event: RecordedEvent,
    log: EventLog,
    consumer: String,
    durable_acks: bool,
}

impl EventLog {
    /// The consumer of this name (1..=1024 bytes), going on behind the last event that it acknowledged; a new one begins
    /// where the query says; if that is from now on, its place is written first, durably. A query over one stream is followed
    /// by position like all others.
    ///
    /// # Errors
    /// [`ConsumerError::InUse`] while another one of this name lives; [`ConsumerError::Append`] for an impossible name.
    pub fn consumer(&self, name: &str, query: &Query) -> Result<Consumer, ConsumerError> {
        let claim = claim(self, name)?;
        let subscription = self.subscribe(&starting(self, name, query)?);
        let (log, name, query) = (self.clone(), name.to_owned(), query.clone());
        let marks = marks(&log, &name)?;
        Ok(Consumer { log, name, query, subscription, durable_acks: false, marks, _claim: claim })
    }

    /// Moves a consumer's place, which need not exist, and blocks until that is durable. A [`Consumer`] of this name that is
    /// reading just now does not notice: use its own [`Consumer::seek`].
    ///
    /// # Errors
    /// [`AppendError::BeyondEnd`] if there is no event at the position yet; else see [`AppendError`].
    pub fn seek_consumer(&self, name: &str, to: Seek) -> Result<(), ConsumerError> {
        crate::engine::check_consumer(name)?;
        let end = self.last_position();
        let position = match to {
            Seek::Beginning => 0,
            Seek::Latest => end,
            Seek::After(asked) if asked > end => {
                return Err(AppendError::BeyondEnd { what: "position", asked, end }.into());
            }
            Seek::After(position) => position,
            Seek::LastAcknowledged => return Ok(()),
        };
        let marks = self.kept_names(&done_prefix(name))?;
        // The place first: marks that a failure leaves behind hide what was dealt with, exactly once.
        Ok(remove(self, &marks, &place_name(name), Some(&encode_place(position)))?)
    }

    /// Forgets a consumer: its place, and if it is a group, what it has set aside. The next one of this name is new. Blocks
    /// until that is durable.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn forget_consumer(&self, name: &str) -> Result<(), ConsumerError> {
        crate::engine::check_consumer(name)?;
        let mut names = self.kept_names(&done_prefix(name))?;
        names.append(&mut self.kept_names(&parked_prefix(name))?);
        Ok(remove(self, &names, &place_name(name), None)?)
    }

    /// Names of the consumers and groups that have a place and are greater than `after`, in byte order, at most `limit`.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn list_consumers(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, ReadError> {
        let after = after.map(place_name);
        let found = self.list_kept(&place_prefix(), after.as_deref(), limit)?;
        let name = |kept: &crate::KeptValue| kept.name.strip_prefix(&place_prefix()).map(str::to_owned);
        Ok(found.iter().filter_map(name).collect())
    }
}

/// Removes kept values, after a consumer's place was written or before it is removed: in one append, if they are not very many.
fn remove(
    log: &EventLog,
    names: &BTreeSet<String>,
    place: &str,
    value: Option<&[u8]>,
) -> Result<(), AppendError> {
    let mut batch = log.batch();
    if value.is_some() {
        batch = batch.keep_reserved(place, value);
    }
    let mut bytes = 0;
    for name in names {
        if bytes > log.append_bytes_max() / 2 {
            std::mem::replace(&mut batch, log.batch()).durability(Durability::Synced).commit()?;
            bytes = 0;
        }
        bytes += name.len() as u64 + REMOVAL_BYTES;
        batch = batch.keep_reserved(name, None);
    }
    if value.is_none() {
        batch = batch.keep_reserved(place, None);
    }
    batch.durability(Durability::Synced).commit()?;
    Ok(())
}

/// The right to be the consumer of a name.
pub(crate) fn claim(log: &EventLog, name: &str) -> Result<Claim, ConsumerError> {
    crate::engine::check_consumer(name)?;
    let in_use = || ConsumerError::InUse { name: name.to_owned() };
    log.try_claim(&place_name(name)).ok_or_else(in_use)
}

/// The query behind a consumer's place, or as it is for a new consumer.
pub(crate) fn starting(log: &EventLog, name: &str, query: &Query) -> Result<Query, ConsumerError> {
    if log.kept(&place_name(name))?.is_none() {
        if !query.from_now {
            return Ok(query.clone());
        }
        // "Now" is now and not when it is opened again: what is given out from here on must not be passed over.
        log.seek_consumer(name, Seek::Latest)?;
    }
    Ok(behind(log, log.acknowledged(name)?, query))
}

/// The events behind a consumer's place that a group of this name has dealt with.
pub(crate) fn marks(log: &EventLog, name: &str) -> Result<BTreeSet<u64>, ReadError> {
    let prefix = done_prefix(name);
    Ok(log.kept_names(&prefix)?.iter().filter_map(|name| position_of(&prefix, name)).collect())
}

/// The query behind a position.
fn behind(log: &EventLog, position: u64, query: &Query) -> Query {
    let place = match &query.scope {
        Scope::Stream(id) => log.version_at(id, position),
        _ => position,
    };
    query.clone().after(place)
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether [`Received::ack`] blocks until the place is durable. Default: no; then a burst of acknowledgements is one
    /// small write within 50 ms, and a crash may bring back the events of that time.
    #[must_use]
    pub fn durable_acks(mut self, durable: bool) -> Consumer {
        self.durable_acks = durable;
        self
    }

    /// Up to where everything is acknowledged.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn acknowledged(&self) -> Result<u64, ReadError> {
        self.log.acknowledged(&self.name)
    }

    /// Goes on elsewhere, and blocks until that place is durable ([`Seek::LastAcknowledged`] is already).
    ///
    /// # Errors
    /// As [`EventLog::seek_consumer`]; the consumer goes on where it is then.
    pub fn seek(&mut self, to: Seek) -> Result<(), ConsumerError> {
        self.log.seek_consumer(&self.name, to)?;
        // Without a place, the query says where to begin.
        let query = starting(&self.log, &self.name, &self.query)?;
        self.marks = marks(&self.log, &self.name)?;
        self.subscription = self.log.subscribe(&query);
        Ok(())
    }

    /// How far the log is ahead of what was read: see [`Subscription::lag`].
    pub fn lag(&self) -> u64 {
        self.subscription.lag()
    }

    /// A handle that ends this consumer's reading from another thread, until it seeks.
    pub fn canceller(&self) -> Canceller {
        self.subscription.canceller()
    }

    /// The next event, waited for at most so long; `Ok(None)` when none came. With a time of zero: what is there now, so that
    /// a loop until `None` catches up. To tell the end from the wait, see [`Consumer::is_ended`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Received>, ReadError> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let left =
                deadline.map_or(timeout, |deadline| deadline.saturating_duration_since(Instant::now()));
            match self.subscription.next_within(left)? {
                Next::Event(event) if self.marks.remove(&event.position()) => {}
                Next::Event(event) => return Ok(Some(self.received(event))),
                Next::TimedOut | Next::Ended => return Ok(None),
            }
        }
    }

    /// Whether no event will come any more: the log was closed and read to its end, or the reading was cancelled.
    pub fn is_ended(&self) -> bool {
        self.subscription.is_ended()
    }

    fn received(&self, event: RecordedEvent) -> Received {
        let (log, consumer) = (self.log.clone(), self.name.clone());
        Received { event, log, consumer, durable_acks: self.durable_acks }
    }
}

impl Iterator for Consumer {
    type Item = Result<Received, ReadError>;

    /// Blocks until there is an event.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.subscription.next()? {
                Ok(event) if self.marks.remove(&event.position()) => {}
                next => return Some(next.map(|event| self.received(event))),
            }
        }
    }
}

impl Stream for Consumer {
    type Item = Result<Received, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match Pin::new(&mut self.subscription).poll_next(context) {
                Poll::Ready(Some(Ok(event))) if self.marks.remove(&event.position()) => {}
                polled => {
                    return polled.map(|next| next.map(|event| event.map(|event| self.received(event))));
                }
            }
        }
    }
}

impl Received {
    /// Acknowledges this event and all before it. See [`Consumer::durable_acks`] for when that is durable. Acknowledging
    /// what was acknowledged already changes nothing.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn ack(&self) -> Result<(), ConsumerError> {
        let position = self.event.position();
        if !self.durable_acks {
            return Ok(self.log.acknowledge(&self.consumer, position)?);
        }
        let lock = self.log.place_lock(&self.consumer);
        let _only_forward = lock.lock();
        let (name, place) = (place_name(&self.consumer), self.log.acknowledged(&self.consumer)?);
        // A place that was set lazily may stand there and not be durable.
        let durable = self.log.kept(&name)?.is_some_and(|kept| kept.revision.is_some());
        if position > place || !durable {
            self.log.write_kept(&name, KeptCondition::Any, Some(&encode_place(position.max(place))))?;
        }
        Ok(())
    }

    /// Commits a batch that acknowledges this event and all before it: exactly once. Blocks until that is
    /// durable. One such batch of a consumer is under way at a time; to have more, submit batches with
    /// [`BatchBuilder::acknowledge`], in the order of their events.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was written or acknowledged then. [`AppendError::AlreadyAcknowledged`] if this event or
    /// one behind it was.
    pub fn ack_with(&self, batch: BatchBuilder<'_>) -> Result<BatchAppended, AppendError> {
        if !batch.is_of(&self.log) {
            return Err(AppendError::OtherLog);
        }
        let lock = self.log.place_lock(&self.consumer);
        let _only_forward = lock.lock();
        let position = self.event.position();
        // Whoever commits what an event leads to twice, or behind what comes after it, has lost the order.
        match self.log.acknowledged(&self.consumer) {
            Ok(place) if position <= place => {
                return Err(AppendError::AlreadyAcknowledged { position, place });
            }
            // What cannot be read is written anew.
            _ => {}
        }
        let acknowledge = |batch: BatchBuilder<'_>| {
            batch
                .own_from_here()
                .acknowledge(&self.consumer, position)
                .durability(Durability::Synced)
                .commit()
        };
        let appended = acknowledge(batch)?;
        if appended.repeated {
            // What the event leads to stands in the log, and nothing was written now.
            acknowledge(self.log.batch())?;
        }
        Ok(appended)
    }

    /// The event itself.
    pub fn into_event(self) -> RecordedEvent {
        self.event
    }
}

impl Deref for Received {
    type Target = RecordedEvent;

    fn deref(&self) -> &RecordedEvent {
        &self.event
    }
}
