//! [`ProjectionSource`]: all events of the store as they are stored, in one order, with a frontier.
//!
//! Owns the envelopes. Nothing is decoded here but what an envelope demands.

use crate::error::StoreError;
use crate::select::Selected;
use crate::store::EventCoreStore;
use crate::streams::version;
use annals::RecordedEvent;
use eventcore_types::{
    BatchSize, DeliveryPosition, DeliverySourceId, DeliveryUpperBound, EventTypeName, PersistedEventEnvelope,
    PersistedEventId, ProjectionSelection, ProjectionSource, ProjectionStreamFilter, StreamId,
};
use serde_json::value::RawValue;
use std::num::NonZeroU64;

impl ProjectionSource for EventCoreStore {
    type Error = StoreError;

    /// `annals/`, the namespace, `/` and the log's id: the same whenever the log is opened, another one for another log or
    /// namespace. A copy of the directory has the same.
    fn source_id(&self) -> &DeliverySourceId {
        self.source()
    }

    /// The position of the store's last event, `None` while there is none, whatever else the log holds. Events become visible
    /// in the order of their positions: below it nothing is ever added.
    ///
    /// What others wrote to the log is passed over once; the clones of a store know together how far.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    async fn high_watermark(&self) -> Result<Option<DeliveryPosition>, StoreError> {
        Ok(NonZeroU64::new(self.last_own_position().await?).map(DeliveryPosition::new))
    }

    /// The selected events behind `after`, up to and with `through`, at most `limit`, as they are there now.
    ///
    /// # Errors
    /// [`StoreError::MalformedEvent`] if one of them cannot be put into an envelope: then there is no page, and the position
    /// tells which one it was. [`StoreError::Read`].
    async fn read_envelopes(
        &self,
        selection: &ProjectionSelection,
        after: Option<DeliveryPosition>,
        through: DeliveryUpperBound,
        limit: BatchSize,
    ) -> Result<Vec<PersistedEventEnvelope>, StoreError> {
        let (prefix, pattern) = match selection.stream_filter() {
            ProjectionStreamFilter::All => (None, None),
            ProjectionStreamFilter::Prefix(prefix) => (Some(prefix), None),
            ProjectionStreamFilter::Pattern(pattern) => (None, Some(pattern)),
        };
        let limit: usize = limit.into();
        let mut selected = Selected::new(self, prefix, pattern, |query| {
            let query = query.of_types(selection.event_types()).after(after.map_or(0, DeliveryPosition::get));
            match through {
                DeliveryUpperBound::Inclusive(last) => query.before(last.get().saturating_add(1)),
                DeliveryUpperBound::Unbounded => query,
            }
        });
        let mut envelopes = Vec::new();
        while envelopes.len() < limit {
            let Some(event) = selected.next().await? else { break };
            envelopes.push(self.envelope(&event)?);
        }
        Ok(envelopes)
    }
}

impl EventCoreStore {
    fn envelope(&self, event: &RecordedEvent) -> Result<PersistedEventEnvelope, StoreError> {
        let stream = self.streams().foreign(event.stream()).unwrap_or_default();
        let malformed = |field, detail: String| StoreError::MalformedEvent {
            position: event.position(),
            stream: stream.to_owned(),
            field,
            detail,
        };
        let stream_id =
            StreamId::try_new(stream).map_err(|error| malformed("stream id", error.to_string()))?;
        if stream_id.as_str() != stream {
            return Err(malformed("stream id", "there are blanks around it".to_owned()));
        }
        let event_type = EventTypeName::try_new(event.event_type())
            .map_err(|error| malformed("type", error.to_string()))?;
        let position =
            NonZeroU64::new(event.position()).ok_or_else(|| malformed("position", "is 0".to_owned()))?;
        Ok(PersistedEventEnvelope::new(
            self.source().clone(),
            DeliveryPosition::new(position),
            PersistedEventId::new(event.id()),
            stream_id,
            version(event.version()),
            event_type,
            raw_json(event.payload()).map_err(|error| malformed("payload", error))?,
            raw_json(event.metadata()).map_err(|error| malformed("metadata", error))?,
        ))
    }
}

/// The bytes as they are, if they are JSON.
fn raw_json(bytes: &[u8]) -> Result<Box<RawValue>, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
