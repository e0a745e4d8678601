//! The batch builder: one atomic append over many streams.
//!
//! Owns the fluent calls; each part is checked and encoded as it is added. The first thing that is wrong is kept and told
//! when the batch is sent off; nothing of it is written then.

use crate::engine::log::EventLog;
use crate::engine::pending::{self, BatchAppended, Pending};
use crate::engine::request::Request;
use crate::error::AppendError;
use crate::event::NewEvent;
use crate::types::{Durability, ExpectedVersion};

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
    request: Request,
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
        let request = Request::new(options.append_bytes_max);
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

    /// Demands something of a stream without writing to it, and without registering it.
    pub fn require(self, stream: &str, expected: ExpectedVersion) -> Self {
        self.with(|request| request.require(stream, expected))
    }

    /// Ends a stream for good with this batch. See [`EventLog::tombstone`].
    pub fn tombstone(self, stream: &str, expected: ExpectedVersion) -> Self {
        self.with(|request| request.tombstone(stream, expected))
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
        let names = names(&request);
        let (assigned, reached) = log.shared().append(request, level)?;
        Ok(pending::outcome(log.shared(), &assigned, &names, reached))
    }

    /// Appends the batch without waiting. See [`EventLog::submit`].
    ///
    /// # Errors
    /// Only what is wrong with the batch itself; all else is told by the handle.
    pub fn submit(self) -> Result<Pending<BatchAppended>, AppendError> {
        let (log, request, level) = self.ready()?;
        let names = names(&request);
        Ok(log.submit_request(request, names, level))
    }

    /// The same, but gives up when there is no room at once. See [`EventLog::try_submit`].
    ///
    /// # Errors
    /// As [`EventLog::try_submit`].
    pub fn try_submit(self) -> Result<Pending<BatchAppended>, AppendError> {
        let (log, request, level) = self.ready()?;
        let names = names(&request);
        log.try_submit_request(&request, names, level)
    }

    fn ready(mut self) -> Result<(&'a EventLog, Request, Durability), AppendError> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        self.request.seal()?;
        Ok((self.log, self.request, self.durability))
    }
}

fn names(request: &Request) -> Vec<String> {
    request.parties.iter().map(|party| party.id.to_string()).collect()
}
