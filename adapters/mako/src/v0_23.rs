//! The traits of mako-engine 0.23.
//!
//! Owns what is of this version alone: one append with all its parts, the first attempt of a message, claims with ids, and
//! rejections that are awaited. The rest is text that is compiled against each version.

use mako_engine as mako;

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

use crate::failure::{Failure, Part};
use crate::inbox::{Claimed, Settle, check_key};
use crate::store::MakoStore;
use mako::dead_letter::{DeadLetterReason, DeadLetterSink, RejectFuture};
use mako::envelope::EventEnvelope;
use mako::error::EngineError;
use mako::event_store::{AppendBatch, AppendResult, AtomicAppend, EventStore};
use mako::ids::{InboxClaimId, OutboxMessageId, StreamId};
use mako::inbox::{CLAIM_LEASE, InboxClaim, InboxStore};
use mako::outbox::{OutboxMessage, OutboxStore};
use time::OffsetDateTime;

/// Reads what is durable and nothing else, in bounded steps.
impl EventStore for MakoStore {
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

/// One commit of the log: durable when it returns.
impl AtomicAppend for MakoStore {
    async fn append(&self, batch: AppendBatch<'_>) -> Result<AppendResult, EngineError> {
        batch.validate()?;
        let AppendBatch { stream_id, expected_version, events, outbox, deadlines, correlations } = batch;
        let parts = events::Parts { stream_id, expected_version, events, outbox, deadlines, correlations };
        let events::Written { last_sequence, events, outbox } = events::append(self, parts).await?;
        Ok(AppendResult { last_sequence, events, outbox })
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

    async fn record_first_attempt(
        &self,
        id: OutboxMessageId,
        at: OffsetDateTime,
    ) -> Result<Option<OffsetDateTime>, EngineError> {
        Ok(self.first_attempt(id.as_uuid(), at).await?)
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
            Claimed::Yes(id) => InboxClaim::Claimed(id.into()),
            Claimed::InFlight => InboxClaim::InFlight,
            Claimed::Duplicate => InboxClaim::Duplicate,
        })
    }

    async fn accept(&self, key: &str, claim: InboxClaimId) -> Result<(), EngineError> {
        settle(self, key, claim, Settle::Accept).await
    }

    async fn abandon(&self, key: &str, claim: InboxClaimId) -> Result<(), EngineError> {
        settle(self, key, claim, Settle::Abandon).await
    }
}

async fn settle(store: &MakoStore, key: &str, claim: InboxClaimId, how: Settle) -> Result<(), EngineError> {
    check_key(key)?;
    if store.settle_key(key, Some(claim.as_uuid()), how).await? {
        return Ok(());
    }
    let text = format!("claim {claim} does not hold {key:?}: it was settled, or its lease was taken over");
    Err(EngineError::inbox(text))
}

/// A rejection is durable when it is answered with `Ok`: an event in a stream of their own.
impl DeadLetterSink for MakoStore {
    fn reject<'a>(&'a self, reason: &'a DeadLetterReason) -> RejectFuture<'a> {
        Box::pin(async move {
            rejections::count(reason);
            let refused = |error| Failure::append(Part::DeadLetters, &error);
            let record = rejections::record(reason)?;
            self.rejected(&record).map_err(refused)?.await.map_err(refused)?;
            Ok(())
        })
    }
}
