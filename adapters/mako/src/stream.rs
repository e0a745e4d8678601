//! Streams of events.
//!
//! Owns the one batch that an append is, and reading: how an event stands in the log, and how it is got out without blocking.

use crate::change::{Changes, PAGE};
use crate::failure::{Failure, Part};
use crate::store::MakoStore;
use crate::{deadline, outbox, registry};
use annals::{AppendError, Durability, ExpectedVersion, NewEvent, Query, RecordedEvent, StreamAppended};
use annals_adapter::json;
use futures_core::Stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::pin::Pin;
use time::OffsetDateTime;
use time::serde::rfc3339;
use uuid::Uuid;

const PART: Part = Part::Events;

/// What stands beside an event's payload: the envelope, as far as the log does not say it itself.
#[derive(Serialize, Deserialize)]
pub(crate) struct Metadata<'a> {
    pub(crate) event_id: Uuid,
    #[serde(with = "rfc3339")]
    pub(crate) timestamp: OffsetDateTime,
    pub(crate) correlation_id: Uuid,
    pub(crate) causation_id: Option<Uuid>,
    pub(crate) conversation_id: Uuid,
    pub(crate) process_id: Uuid,
    pub(crate) tenant_id: Uuid,
    pub(crate) workflow_id: Workflow<'a>,
    pub(crate) schema_version: u32,
}

/// Which workflow made an event.
#[derive(Serialize, Deserialize)]
pub(crate) struct Workflow<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) format_version: Cow<'a, str>,
}

/// An event to be appended.
pub(crate) struct Stamped<'a> {
    pub(crate) event_type: &'a str,
    pub(crate) metadata: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

/// One atomic write: events, and everything that must land with them.
pub(crate) struct Batch<'a> {
    pub(crate) stream: &'a str,
    pub(crate) expected: ExpectedVersion,
    pub(crate) events: Vec<Stamped<'a>>,
    pub(crate) messages: Vec<outbox::Entry>,
    pub(crate) deadlines: Vec<deadline::Entry>,
    pub(crate) correlations: Vec<registry::Entry<'a>>,
}

impl MakoStore {
    /// Appends a batch, all of it or nothing, and says which versions its events have.
    pub(crate) async fn append_batch(&self, batch: &Batch<'_>) -> Result<StreamAppended, Failure> {
        let stream = self.places.streams.name(batch.stream);
        let events: Vec<NewEvent<'_>> = batch.events.iter().map(Stamped::as_new).collect();
        loop {
            let mut changes = Changes::default();
            self.add_messages(&mut changes, &batch.messages)?;
            self.add_deadlines(&mut changes, &batch.deadlines)?;
            self.add_correlations(&mut changes, &batch.correlations)?;
            let append = self.log.batch().append(&stream, batch.expected, &events);
            let Some(done) = self.submit(PART, append, &changes).await? else { continue };
            let written = done.streams.into_iter().next();
            return written.ok_or_else(|| Failure::new(PART, "the log does not say what it has appended"));
        }
    }

    /// Folds the events of a stream behind a version, as they are now. Gives way to other tasks every few hundred events; holds
    /// nothing while `f` runs.
    pub(crate) async fn fold<T, E: From<Failure>>(
        &self,
        stream: &str,
        after: u64,
        initial: T,
        mut f: impl FnMut(T, &RecordedEvent) -> Result<T, E>,
    ) -> Result<T, E> {
        let query = Query::stream(&self.places.streams.name(stream)).after(after).until_now();
        let (mut events, mut value) = (self.log.subscribe(&query), initial);
        while let Some(event) = std::future::poll_fn(|cx| Pin::new(&mut events).poll_next(cx)).await {
            let event = event.map_err(|error| Failure::read(PART, &format!("stream {stream:?}"), &error))?;
            value = f(value, &event)?;
        }
        Ok(value)
    }

    /// The version of a stream: 0 if nobody knows it.
    pub(crate) fn version(&self, stream: &str) -> u64 {
        self.log.stream_version(&self.places.streams.name(stream))
    }

    /// Ids of streams that begin with `prefix` and are greater than `after`, in byte order, at most `limit`. Gives way to other
    /// tasks between pages.
    pub(crate) async fn stream_ids(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let names = &self.places.streams;
        let (prefix, mut after) = (names.name(prefix), after.map(|id| names.name(id)));
        let mut ids = Vec::new();
        while ids.len() < limit {
            let wanted = PAGE.min(limit - ids.len());
            let page = self.log.list_streams(&prefix, after.as_deref(), wanted);
            let last = page.len() < wanted;
            after = page.last().cloned();
            ids.extend(page.iter().filter_map(|name| names.foreign(name)).map(str::to_owned));
            if last {
                break;
            }
            tokio::task::yield_now().await;
        }
        ids
    }

    /// An event that says what was rejected, to be appended.
    pub(crate) fn rejected(
        &self,
        record: &Stamped<'_>,
    ) -> Result<annals::Pending<annals::BatchAppended>, AppendError> {
        let batch = self.log.batch().durability(Durability::Synced);
        batch.append(&self.places.dead_letters, ExpectedVersion::Any, &[record.as_new()]).submit()
    }
}

/// The parts of an event of mako-engine.
pub(crate) fn parts(event: &RecordedEvent) -> Result<(Metadata<'static>, Value), Failure> {
    let unreadable = |what, error| {
        let (version, stream) = (event.version(), event.stream());
        Failure::Unreadable(format!("the {what} of version {version} of stream {stream:?}: {error}"))
    };
    let metadata = serde_json::from_slice(event.metadata()).map_err(|error| unreadable("metadata", error))?;
    let payload = serde_json::from_slice(event.payload()).map_err(|error| unreadable("payload", error))?;
    Ok((metadata, payload))
}

/// The JSON of a part of an event.
pub(crate) fn part_of_event(what: &str, part: &impl Serialize) -> Result<Vec<u8>, Failure> {
    json::encode(part)
        .map_err(|error| Failure::Unwritable(format!("the {what} cannot be written as JSON: {error}")))
}

impl<'a> Stamped<'a> {
    fn as_new(&'a self) -> NewEvent<'a> {
        NewEvent::new(self.event_type, &self.payload).with_metadata(&self.metadata)
    }
}
