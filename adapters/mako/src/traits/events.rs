//! Events of this version: appended with all that belongs to them, and read.
//!
//! Compiled against each version of mako-engine.

use super::mako::deadline::Deadline;
use super::mako::envelope::{EventEnvelope, NewEvent};
use super::mako::error::EngineError;
use super::mako::event_store::{CorrelationEntry, ExpectedVersion};
use super::mako::ids::{OutboxMessageId, StreamId};
use super::mako::outbox::{OutboxMessage, PendingOutbox};
use super::mako::version::WorkflowId;
use super::{deadlines, outbox};
use crate::failure::{Failure, Part};
use crate::registry::Entry;
use crate::store::MakoStore;
use crate::stream::{Batch, Metadata, Stamped, Workflow, part_of_event, parts};
use crate::value::encode;
use annals::RecordedEvent;
use std::borrow::Cow;
use time::OffsetDateTime;

/// What an append is asked to write.
pub(super) struct Parts<'a> {
    pub(super) stream_id: &'a StreamId,
    pub(super) expected_version: ExpectedVersion,
    pub(super) events: &'a [NewEvent],
    pub(super) outbox: &'a [PendingOutbox],
    pub(super) deadlines: &'a [Deadline],
    pub(super) correlations: &'a [CorrelationEntry],
}

/// What an append has written.
pub(super) struct Written {
    pub(super) last_sequence: u64,
    pub(super) events: Vec<EventEnvelope>,
    #[allow(dead_code, reason = "mako-engine 0.22 returns the events only")]
    pub(super) outbox: Vec<OutboxMessage>,
}

/// Appends all of it, or nothing.
pub(super) async fn append(store: &MakoStore, parts: Parts<'_>) -> Result<Written, EngineError> {
    let Parts { stream_id, expected_version, events, outbox, deadlines, correlations } = parts;
    check(stream_id)?;
    if events.is_empty() && !outbox.is_empty() {
        return Err(EngineError::outbox("a message needs an event in the same batch that causes it"));
    }
    let now = OffsetDateTime::now_utc();
    // Which numbers the events have is known when they are written; nothing that is stored says it.
    let stamp = |event: &NewEvent| EventEnvelope::from_new(event.clone(), stream_id.clone(), 0, now);
    let mut envelopes: Vec<EventEnvelope> = events.iter().map(stamp).collect();
    let messages = materialise(outbox, &envelopes, now);
    let written = store
        .append_batch(&Batch {
            stream: stream_id.as_str(),
            expected: match expected_version {
                ExpectedVersion::Any => annals::ExpectedVersion::Any,
                ExpectedVersion::NoStream => annals::ExpectedVersion::NoStream,
                ExpectedVersion::Exact(version) => annals::ExpectedVersion::Exact(version),
            },
            events: envelopes.iter().map(stamped).collect::<Result<_, _>>()?,
            messages: messages.iter().map(outbox::entry).collect::<Result<_, _>>()?,
            deadlines: deadlines.iter().map(deadlines::entry).collect::<Result<_, _>>()?,
            correlations: correlations.iter().map(correlation).collect::<Result<_, _>>()?,
        })
        .await?;
    for (envelope, version) in envelopes.iter_mut().zip(written.first_version..) {
        envelope.sequence_number = version;
    }
    Ok(Written { last_sequence: written.last_version, events: envelopes, outbox: messages })
}

/// Refuses what is no stream id: one that was deserialized has not been checked, and would end every listing.
pub(super) fn check(stream_id: &StreamId) -> Result<(), EngineError> {
    StreamId::try_new(stream_id.as_str()).map(drop)
}

/// Makes messages of what a workflow wants to send. Ids are fresh and ascend: messages of one append, which have one time, are
/// delivered in their order.
fn materialise(
    pending: &[PendingOutbox],
    envelopes: &[EventEnvelope],
    now: OffsetDateTime,
) -> Vec<OutboxMessage> {
    let Some(last) = envelopes.last() else { return Vec::new() };
    let mut ids: Vec<OutboxMessageId> = pending.iter().map(|_| OutboxMessageId::new()).collect();
    ids.sort_unstable();
    let message = |(pending, id): (&PendingOutbox, OutboxMessageId)| {
        let cause = envelopes.get(pending.caused_by_event_index).unwrap_or(last);
        let mut message = OutboxMessage::new(
            cause.stream_id.clone(),
            cause.process_id,
            cause.tenant_id,
            cause.correlation_id,
            cause.conversation_id,
            cause.event_id,
            pending.message_type.clone(),
            pending.recipient.clone(),
            pending.payload.clone(),
        );
        message.message_id = id;
        message.payload_schema = pending.payload_schema.clone();
        message.created_at = now;
        message.deliver_after = pending.deliver_after;
        message.workflow_name = cause.workflow_id.name.clone();
        message
    };
    pending.iter().zip(ids).map(message).collect()
}

/// An event as it stands in the log.
fn stamped(envelope: &EventEnvelope) -> Result<Stamped<'_>, Failure> {
    let metadata = Metadata {
        event_id: envelope.event_id.as_uuid(),
        timestamp: envelope.timestamp,
        correlation_id: envelope.correlation_id.as_uuid(),
        causation_id: envelope.causation_id.map(|id| id.as_uuid()),
        conversation_id: envelope.conversation_id.as_uuid(),
        process_id: envelope.process_id.as_uuid(),
        tenant_id: envelope.tenant_id.as_uuid(),
        workflow_id: Workflow {
            name: Cow::Borrowed(&envelope.workflow_id.name),
            format_version: Cow::Borrowed(envelope.workflow_id.format_version.as_str()),
        },
        schema_version: envelope.schema_version,
    };
    Ok(Stamped {
        event_type: &envelope.event_type,
        metadata: part_of_event("metadata", &metadata)?,
        payload: part_of_event("payload", &envelope.payload)?,
    })
}

fn correlation(entry: &CorrelationEntry) -> Result<Entry<'_>, Failure> {
    Ok(Entry {
        tenant: entry.tenant_id.as_uuid(),
        tag: &entry.tag,
        process: entry.process_id.as_uuid(),
        json: encode(Part::Registry, &entry.tag, &entry.identity)?,
    })
}

/// Folds the events of a stream behind a sequence number.
pub(super) async fn fold<T, F>(
    store: &MakoStore,
    stream_id: &StreamId,
    from_sequence: u64,
    initial: T,
    mut f: F,
) -> Result<T, EngineError>
where
    T: Send,
    F: FnMut(T, EventEnvelope) -> Result<T, EngineError> + Send,
{
    let fold = |value, event: &RecordedEvent| f(value, envelope(event, stream_id)?);
    store.fold(stream_id.as_str(), from_sequence, initial, fold).await
}

/// The events of a stream behind a sequence number.
pub(super) async fn load_from(
    store: &MakoStore,
    stream_id: &StreamId,
    from_sequence: u64,
) -> Result<Vec<EventEnvelope>, EngineError> {
    fold(store, stream_id, from_sequence, Vec::new(), |mut events, event| {
        events.push(event);
        Ok(events)
    })
    .await
}

/// An event as this version knows it.
fn envelope(event: &RecordedEvent, stream_id: &StreamId) -> Result<EventEnvelope, Failure> {
    let (metadata, payload) = parts(event)?;
    let workflow = metadata.workflow_id;
    Ok(EventEnvelope {
        event_id: metadata.event_id.into(),
        stream_id: stream_id.clone(),
        sequence_number: event.version(),
        timestamp: metadata.timestamp,
        correlation_id: metadata.correlation_id.into(),
        causation_id: metadata.causation_id.map(Into::into),
        conversation_id: metadata.conversation_id.into(),
        process_id: metadata.process_id.into(),
        tenant_id: metadata.tenant_id.into(),
        workflow_id: WorkflowId::new(workflow.name, workflow.format_version.into_owned()),
        event_type: event.event_type().into(),
        schema_version: metadata.schema_version,
        payload,
    })
}

/// Ids of streams, in byte order.
pub(super) async fn stream_ids(
    store: &MakoStore,
    prefix: Option<&str>,
    after: Option<&StreamId>,
    limit: usize,
) -> Result<Vec<StreamId>, EngineError> {
    let ids = store.stream_ids(prefix.unwrap_or_default(), after.map(StreamId::as_str), limit).await;
    ids.into_iter().map(StreamId::try_new).collect()
}
