//! The traits of mako-engine 0.22.
//!
//! Owns what is of this version alone: appends with more and more parts, claims without ids, and rejections that nobody waits
//! for. The rest is text that is compiled against each version.

use mako_engine_0_22 as mako;

#[path = "traits/checkpoints.rs"]
mod checkpoints;
#[path = "traits/deadlines.rs"]
mod deadlines;
#[path = "traits/error.rs"]
mod error;
#[path = "traits/events.rs"]
mod events;
#[path = "traits/outbox.rs"]
mod outbox;
#[path = "traits/partners.rs"]
mod partners;
#[path = "traits/registry.rs"]
mod registry;
#[path = "traits/rejections.rs"]
mod rejections;
#[path = "traits/snapshots.rs"]
mod snapshots;

use crate::inbox::{Claimed, Settle, check_key};
use crate::store::MakoStore;
use annals::{AppendError, BatchAppended, Pending};
use mako::dead_letter::{DeadLetterReason, DeadLetterSink};
use mako::deadline::Deadline;
use mako::envelope::{EventEnvelope, NewEvent};
use mako::error::EngineError;
use mako::event_store::{AppendResult, AtomicAppend, CorrelationEntry, EventStore, ExpectedVersion};
use mako::ids::{OutboxMessageId, StreamId};
use mako::inbox::{CLAIM_LEASE, InboxClaim, InboxStore};
use mako::outbox::{OutboxMessage, OutboxStore, PendingOutbox};
use std::fmt::Display;
use time::OffsetDateTime;

async fn append(store: &MakoStore, parts: events::Parts<'_>) -> Result<AppendResult, EngineError> {
    let events::Written { last_sequence, events, .. } = events::append(store, parts).await?;
    Ok(AppendResult { last_sequence, events })
}

/// Reads what is durable and nothing else, in bounded steps; an append is durable when it returns.
impl EventStore for MakoStore {
    async fn append(
        &self,
        stream_id: &StreamId,
        expected_version: ExpectedVersion,
        events: &[NewEvent],
    ) -> Result<AppendResult, EngineError> {
        self.append_with_outbox(stream_id, expected_version, events, &[]).await
    }

    async fn load(&self, stream_id: &StreamId) -> Result<Vec<EventEnvelope>, EngineError> {
        events::load_from(self, stream_id, 0).await
    }

    async fn load_from(
        &self,
        stream_id: &StreamId,
        from_sequence: u64,
    ) -> Result<Vec<EventEnvelope>, EngineError> {
        events::load_from(self, stream_id, from_sequence).await
    }

    async fn stream_version(&self, stream_id: &StreamId) -> Result<u64, EngineError> {
        Ok(self.version(stream_id.as_str()))
    }

    /// In byte order.
    async fn list_streams(&self, prefix: Option<&str>) -> Result<Vec<StreamId>, EngineError> {
        events::stream_ids(self, prefix, None, usize::MAX).await
    }

    /// Costs the page, wherever it lies. The cursor need not exist.
    async fn list_streams_page(
        &self,
        prefix: Option<&str>,
        cursor: Option<&StreamId>,
        limit: usize,
    ) -> Result<Vec<StreamId>, EngineError> {
        events::stream_ids(self, prefix, cursor, limit).await
    }

    /// In constant memory; folds what was there when it was called. `f` may use the store.
    async fn fold_stream<T, F>(
        &self,
        stream_id: &StreamId,
        from_sequence: u64,
        initial: T,
        f: F,
    ) -> Result<T, EngineError>
    where
        T: Send,
        F: FnMut(T, EventEnvelope) -> Result<T, EngineError> + Send,
    {
        events::fold(self, stream_id, from_sequence, initial, f).await
    }
}

/// One commit of the log each, with all parts: none of the methods falls back to one that writes less.
impl AtomicAppend for MakoStore {
    async fn append_with_outbox(
        &self,
        stream_id: &StreamId,
        expected_version: ExpectedVersion,
        events: &[NewEvent],
        outbox: &[PendingOutbox],
    ) -> Result<AppendResult, EngineError> {
        self.append_with_outbox_and_deadlines(stream_id, expected_version, events, outbox, &[]).await
    }

    async fn append_with_outbox_and_deadlines(
        &self,
        stream_id: &StreamId,
        expected_version: ExpectedVersion,
        events: &[NewEvent],
        outbox: &[PendingOutbox],
        deadlines: &[Deadline],
    ) -> Result<AppendResult, EngineError> {
        self.append_with_outbox_deadlines_and_correlations(
            stream_id,
            expected_version,
            events,
            outbox,
            deadlines,
            &[],
        )
        .await
    }

    async fn append_with_outbox_deadlines_and_correlations(
        &self,
        stream_id: &StreamId,
        expected_version: ExpectedVersion,
        events: &[NewEvent],
        outbox: &[PendingOutbox],
        deadlines: &[Deadline],
        correlations: &[CorrelationEntry],
    ) -> Result<AppendResult, EngineError> {
        let parts = events::Parts { stream_id, expected_version, events, outbox, deadlines, correlations };
        append(self, parts).await
    }
}

/// Durable when they return.
impl OutboxStore for MakoStore {
    async fn enqueue(&self, messages: &[OutboxMessage]) -> Result<(), EngineError> {
        outbox::enqueue(self, messages).await
    }

    async fn pending(&self, limit: usize, now: OffsetDateTime) -> Result<Vec<OutboxMessage>, EngineError> {
        outbox::pending(self, limit, now).await
    }

    async fn acknowledge(&self, id: OutboxMessageId) -> Result<(), EngineError> {
        Ok(self.acknowledge_message(id.as_uuid()).await?)
    }

    async fn reschedule(
        &self,
        id: OutboxMessageId,
        deliver_after: OffsetDateTime,
    ) -> Result<(), EngineError> {
        Ok(self.reschedule_message(id.as_uuid(), deliver_after).await?)
    }

    async fn len(&self) -> Result<usize, EngineError> {
        Ok(self.count(self.places.messages.prefix()))
    }
}

/// Durable when they return. A lease runs on the wall clock, and over restarts.
impl InboxStore for MakoStore {
    async fn claim(&self, key: &str) -> Result<InboxClaim, EngineError> {
        check_key(key)?;
        Ok(match self.claim_key(key, CLAIM_LEASE).await? {
            Claimed::Yes(_) => InboxClaim::Claimed,
            Claimed::InFlight => InboxClaim::InFlight,
            Claimed::Duplicate => InboxClaim::Duplicate,
        })
    }

    /// A key that is not claimed stays as it is.
    async fn accept(&self, key: &str) -> Result<(), EngineError> {
        check_key(key)?;
        self.settle_key(key, None, Settle::Accept).await?;
        Ok(())
    }

    /// A key that is not claimed stays as it is.
    async fn abandon(&self, key: &str) -> Result<(), EngineError> {
        check_key(key)?;
        self.settle_key(key, None, Settle::Abandon).await?;
        Ok(())
    }
}

/// This version does not wait for a rejection: it is on its way to the disk when `reject` returns, and durable a moment later. A
/// rejection that cannot be written is told as an event of `tracing`.
impl DeadLetterSink for MakoStore {
    fn reject(&self, reason: &DeadLetterReason) {
        rejections::count(reason);
        let lost = |error: &dyn Display| {
            tracing::error!(reason = reason.label(), detail = %reason, "a rejected message could not be recorded: {error}");
        };
        let record = match rejections::record(reason) {
            Ok(record) => record,
            Err(error) => return lost(&error),
        };
        match self.rejected(&record) {
            Ok(pending) => see_off(pending),
            Err(error) => lost(&error),
        }
    }
}

/// Waits elsewhere until a rejection is durable: while it waits for room, it would be withdrawn with its handle.
fn see_off(pending: Pending<BatchAppended>) {
    let told = |done: Result<BatchAppended, AppendError>| {
        if let Err(error) = done {
            tracing::error!("a rejected message could not be recorded: {error}");
        }
    };
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move { told(pending.await) });
    } else if let Err(error) = std::thread::Builder::new().spawn(move || told(pending.wait())) {
        tracing::error!("a rejected message may not be recorded, no thread can wait for it: {error}");
    }
}
