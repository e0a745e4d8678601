//! [`EventReader`]: events across streams, page by page, for projections.
//!
//! Owns what a [`StreamPosition`] is: the position of the event in the log, as a UUID. They sort alike.

use crate::error::StoreError;
use crate::select::Selected;
use crate::store::EventCoreStore;
use annals::Uuid;
use eventcore_types::{Event, EventFilter, EventPage, EventReader, StreamPosition};

impl EventReader for EventCoreStore {
    type Error = StoreError;

    /// The events of a type that are there now, in the one order of the log, with strictly ascending positions. The type is the
    /// filter's, or else `E`'s. Streams and types are chosen before events are counted; events that cannot be decoded as `E` are
    /// passed over and not counted either: a page that is not full is the end.
    ///
    /// # Errors
    /// [`StoreError::ForeignPosition`] for a page behind a position that no log can have given; one beyond the end of this log
    /// gives an empty page. [`StoreError::Read`].
    async fn read_events<E: Event>(
        &self,
        filter: EventFilter,
        page: EventPage,
    ) -> Result<Vec<(E, StreamPosition)>, StoreError> {
        let after = page.after_position().map_or(Ok(0), number)?;
        let event_type = filter.event_type().unwrap_or_else(|| E::event_type_name());
        let limit: usize = page.limit().into();
        let mut selected = Selected::new(self, filter.stream_prefix(), filter.stream_pattern(), |query| {
            query.of_types([event_type]).after(after)
        });
        let mut events = Vec::new();
        while events.len() < limit {
            let Some(event) = selected.next().await? else { break };
            if let Ok(decoded) = serde_json::from_slice(event.payload()) {
                events.push((decoded, StreamPosition::new(Uuid::from_u128(event.position().into()))));
            }
        }
        Ok(events)
    }
}

/// The position in the log. Anything that no log reaches comes from somewhere else; to read behind it would give nothing for
/// ever, and look as if there were nothing.
fn number(position: StreamPosition) -> Result<u64, StoreError> {
    let uuid = position.into_inner();
    u64::try_from(uuid.as_u128()).map_err(|_| StoreError::ForeignPosition(uuid))
}
