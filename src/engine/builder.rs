//! The batch builder: one atomic append over many streams.
//!
//! Owns the fluent calls; each part is checked and encoded as it is added. The first thing that is wrong is kept and told
//! when the batch is sent off; nothing of it is written then.

use crate::engine::keep::{acknowledge, unreserved};
use crate::engine::log::EventLog;
use crate::engine::pending::{self, BatchAppended, Names, Pending};
use crate::engine::request::Request;
use crate::error::AppendError;
use crate::event::NewEvent;
use crate::types::{Durability, ExpectedVersion, KeptCondition};
use std::sync::Arc;

/// A batch in the making. All of it is appended, or nothing.
///
/// ```
/// # use annals::{EventLog, ExpectedVersion, NewEvent};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = EventLog::in_memory()?;
/// let done = log
///     .batch()
///     .append("order-42", ExpectedVersion::NoStream, &[NewEvent::new("OrderPlaced", b"{}")])
///     .append("stock-7", ExpectedVersion::Any, &[NewEvent::new("Reserved", b"{}")])
///     .require("customer-1", ExpectedVersion::NoStream)
///     .commit()?;
/// assert_eq!(done.streams[1].last_version, 1);
/// # Ok(()) }
/// ```
#[must_use = "a batch is nothing until it is committed or submitted"]
#[derive(Debug)]
pub struct BatchBuilder<'a> {
    log: &'a EventLog,
    request: Box<Request>,
    durability: Durability,
    wrong: Option<AppendError>,
}

impl EventLog {
    /// Starts a batch: one atomic append over many streams, with conditions on more.
    pub fn batch(&self) -> BatchBuilder<'_> {
        BatchBuilder::new(self)
    }
}

impl<'a> BatchBuilder<'a> {
    fn new(log: &'a EventLog) -> BatchBuilder<'a> {
        let options = &log.shared().options;
        let request = Request::new(options);
        BatchBuilder { log, request, durability: options.durability, wrong: None }
    }

    fn with(mut self, add: impl FnOnce(&mut Request) -> Result<(), AppendError>) -> Self {
        if self.wrong.is_none() {
            self.wrong = add(&mut self.request).err();
        }
        self
    }

    /// Adds events to a stream. A stream may be named several times, with the same condition each time: it is checked
    /// once, against the stream as it was before the batch. Without events, registers the stream.
    pub fn append(self, stream: &str, expected: ExpectedVersion, events: &[NewEvent<'_>]) -> Self {
        self.with(|request| request.append(stream, expected, events))
    }

    /// The parts that follow name this tenant: streams that are in no tenant yet are bound to it, and a stream of another
    /// tenant is [`AppendError::ForeignTenant`].
    pub fn in_tenant(self, tenant: &str) -> Self {
        self.with(|request| request.name_tenant(tenant))
    }

    /// Registers a stream, with attributes (0..=256 bytes, for the creator's own use) if it is new. See
    /// [`EventLog::create_stream`].
    pub fn create(self, stream: &str, expected: ExpectedVersion, attributes: &[u8]) -> Self {
        self.with(|request| request.create(stream, expected, attributes))
    }

    /// Demands something of a stream without writing to it, and without registering it.
    pub fn require(self, stream: &str, expected: ExpectedVersion) -> Self {
        self.with(|request| request.require(stream, expected))
    }

    /// Ends a stream for good with this batch. See [`EventLog::tombstone`].
    pub fn tombstone(self, stream: &str, expected: ExpectedVersion) -> Self {
        self.with(|request| request.tombstone(stream, expected))
    }

    /// Removes the events of a stream with versions below `first` with this batch. See [`EventLog::truncate_before`].
    pub fn truncate_before(self, stream: &str, first: u64, expected: ExpectedVersion) -> Self {
        self.with(|request| request.truncate_before(stream, first, expected))
    }

    /// Sets a kept value with this batch. See [`EventLog::keep`].
    pub fn keep(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.keep_if(name, KeptCondition::Any, value)
    }

    /// Sets a kept value with this batch, if it is as expected. A name may occur several times in a batch, with the same
    /// condition each time: it is checked once, against the value before the batch, and the last write counts.
    pub fn keep_if(self, name: &str, condition: KeptCondition, value: impl AsRef<[u8]>) -> Self {
        self.with(|request| {
            unreserved(name)?;
            request.keep(name, condition, Some(value.as_ref()))
        })
    }

    /// Deletes a kept value with this batch. See [`EventLog::unkeep`].
    pub fn unkeep(self, name: &str, condition: KeptCondition) -> Self {
        self.with(|request| {
            unreserved(name)?;
            request.keep(name, condition, None)
        })
    }

    /// Demands something of a kept value without writing to it.
    pub fn require_kept(self, name: &str, condition: KeptCondition) -> Self {
        self.with(|request| request.require_kept(name, condition))
    }

    /// What follows is the log's own: whether the batch repeats another one does not depend on it.
    pub(crate) fn own_from_here(self) -> Self {
        self.with(|request| {
            request.own_from = Some(request.drafts.len());
            Ok(())
        })
    }

    /// Whether it is a batch of this log.
    pub(crate) fn is_of(&self, log: &EventLog) -> bool {
        Arc::ptr_eq(self.log.shared(), log.shared())
    }

    /// Takes an event off the list of those set aside; it must be there.
    pub(crate) fn unkeep_parked(self, name: &str) -> Self {
        self.with(|request| request.keep(name, KeptCondition::Present, None))
    }

    /// The same for names of the log's own.
    pub(crate) fn keep_reserved(self, name: &str, value: Option<&[u8]>) -> Self {
        self.with(|request| request.keep(name, KeptCondition::Any, value))
    }

    /// Acknowledges everything up to `position` for a consumer with this batch: what the batch appends and the
    /// consumer's progress are durable together, or neither is. That is exactly-once processing. See
    /// [`EventLog::acknowledge`].
    ///
    /// The place is set to `position`, wherever it stood: batches of one consumer that are under way at once must be sent off
    /// in the order of their events.
    pub fn acknowledge(self, consumer: &str, position: u64) -> Self {
        let end = self.log.last_position();
        self.with(|request| acknowledge(request, consumer, position, end))
    }

    /// What [`BatchBuilder::commit`] waits for, instead of the log's own setting.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Appends the batch and blocks until it has reached its durability.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn commit(self) -> Result<BatchAppended, AppendError> {
        let (log, request, level) = self.ready()?;
        let names = Names::of(&request);
        let (assigned, reached) = log.shared().append(request, level)?;
        Ok(pending::outcome(log.shared(), assigned, names, reached))
    }

    /// Appends the batch without waiting. See [`EventLog::submit`].
    ///
    /// # Errors
    /// Only what is wrong with the batch itself; all else is told by the handle.
    pub fn submit(self) -> Result<Pending<BatchAppended>, AppendError> {
        let (log, request, level) = self.ready()?;
        let names = Names::of(&request);
        Ok(log.submit_request(request, names, level))
    }

    /// The same, but gives up when there is no room at once. See [`EventLog::try_submit`].
    ///
    /// # Errors
    /// As [`EventLog::try_submit`].
    pub fn try_submit(self) -> Result<Pending<BatchAppended>, AppendError> {
        let (log, request, level) = self.ready()?;
        let names = Names::of(&request);
        log.try_submit_request(request, names, level)
    }

    fn ready(mut self) -> Result<(&'a EventLog, Box<Request>, Durability), AppendError> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        self.request.seal()?;
        Ok((self.log, self.request, self.durability))
    }
}
