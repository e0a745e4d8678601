//! [`EventStore`]: reading one stream, appending to many, and the snapshots of commands.
//!
//! Owns the translation of streams and versions. Versions are the log's own, which count events as eventcore does.

use crate::error::{failed, refused, unreadable};
use crate::store::EventCoreStore;
use annals::limits::EVENT_TYPE_BYTES_MAX;
use annals::{AppendError, ExpectedVersion, NewEvent, Query, RecordedEvent};
use eventcore_types::{
    CommandStateSnapshot, CommandStateSnapshotId, Event, EventStore, EventStoreError, EventStream,
    EventStreamSlice, Operation, StreamId, StreamVersion, StreamWriteEntry, StreamWrites,
};
use futures_util::StreamExt;
use std::collections::HashMap;

/// eventcore hands over no metadata; what stands in its place is JSON all the same.
const NO_METADATA: &str = "{}";

impl EventStore for EventCoreStore {
    /// Reads what is in the stream when this is awaited, event by event, in constant memory; a stream that nobody knows is empty.
    /// Never fails by itself: an event of another type than `E`'s, or one that cannot be decoded, is an item
    /// [`EventStoreError::DeserializationFailed`], and the events behind it follow.
    async fn read_stream<E: Event>(&self, stream_id: StreamId) -> Result<EventStream<E>, EventStoreError> {
        Ok(self.events_after(stream_id, StreamVersion::new(0)))
    }

    /// The same, beginning behind a version: the log seeks to it.
    async fn read_stream_after<E: Event>(
        &self,
        stream_id: StreamId,
        exclusive_version: StreamVersion,
    ) -> Result<EventStream<E>, EventStoreError> {
        Ok(self.events_after(stream_id, exclusive_version))
    }

    /// Appends all events in the order of the entries, or none: if every stream has its expected version, also those that no
    /// event goes to. Durable when it returns. Without events, only checks.
    ///
    /// [`EventStoreError::VersionConflict`] names the version that the stream really has, which is durable: a read that follows
    /// shows at least that many events. [`EventStoreError::SerializationFailed`] tells of events that are too large for the log,
    /// or have no type. After [`EventStoreError::StoreFailure`], [`EventLog::status`](annals::EventLog::status) tells what the
    /// matter is, and nothing was written, unless the log is poisoned: then only opening it again tells.
    async fn append_events(&self, writes: StreamWrites) -> Result<EventStreamSlice, EventStoreError> {
        let expected = writes.expected_versions().clone();
        let entries = writes.into_entries();
        if entries.is_empty() && expected.is_empty() {
            return Ok(EventStreamSlice);
        }
        let pending = {
            let mut batch = self.batch();
            for part in entries.chunk_by(|one, next| one.stream_id == next.stream_id) {
                let stream_id = &part[0].stream_id;
                let Some(version) = expected.get(stream_id) else {
                    return Err(EventStoreError::UndeclaredStream { stream_id: stream_id.clone() });
                };
                let events: Vec<NewEvent<'_>> = part.iter().map(new_event).collect();
                batch = batch.append(&self.stream(stream_id), exactly(*version), &events);
            }
            for (stream_id, version) in &expected {
                batch = batch.require(&self.stream(stream_id), exactly(*version));
            }
            batch.submit().map_err(|error| refused(culprit(&entries), &error))?
        };
        // The log has the bytes; waiting needs no second copy.
        drop(entries);
        match pending.await {
            Ok(_) => Ok(EventStreamSlice),
            Err(AppendError::Conflict { stream, actual, .. }) => {
                Err(self.conflict(&expected, &stream, actual))
            }
            Err(error) => Err(failed(Operation::AppendEvents, &error)),
        }
    }

    /// The snapshot as it was saved, or `None`.
    async fn load_command_state_snapshot(
        &self,
        snapshot_id: CommandStateSnapshotId,
    ) -> Result<Option<CommandStateSnapshot>, EventStoreError> {
        self.load_snapshot(&snapshot_id)
    }

    /// Keeps the snapshot, durable when it returns, unless the one that is there knows of an event that this one does not: then
    /// that one stays, and this is `Ok`, too. Of savers at once, none undoes the other.
    async fn save_command_state_snapshot(
        &self,
        snapshot_id: CommandStateSnapshotId,
        snapshot: CommandStateSnapshot,
    ) -> Result<(), EventStoreError> {
        self.save_snapshot(&snapshot_id, &snapshot).await
    }
}

impl EventCoreStore {
    /// What the log calls a stream.
    fn stream(&self, stream_id: &StreamId) -> String {
        self.streams().name(stream_id.as_ref())
    }

    fn events_after<E: Event>(&self, stream_id: StreamId, version: StreamVersion) -> EventStream<E> {
        let query = Query::stream(&self.stream(&stream_id)).after(number(version)).until_now();
        let events = self.log().subscribe(&query);
        EventStream::new(StreamExt::map(events, move |event| match event {
            Ok(event) => decode(&stream_id, &event),
            Err(error) => Err(unreadable(&stream_id, &error)),
        }))
    }

    /// A conflict, in eventcore's words.
    fn conflict(
        &self,
        expected: &HashMap<StreamId, StreamVersion>,
        stream: &str,
        actual: u64,
    ) -> EventStoreError {
        let foreign = self.streams().foreign(stream);
        match expected.iter().find(|(stream_id, _)| Some(stream_id.as_str()) == foreign) {
            Some((stream_id, expected)) => EventStoreError::VersionConflict {
                stream_id: stream_id.clone(),
                expected: *expected,
                actual: version(actual),
            },
            None => {
                failed(Operation::AppendEvents, &format_args!("a conflict on {stream:?}, which nobody named"))
            }
        }
    }
}

/// The entry that a batch is refused for: one whose type no event can have, or else the first.
fn culprit(entries: &[StreamWriteEntry]) -> Option<&StreamId> {
    let untypical = |entry: &&StreamWriteEntry| !(1..=EVENT_TYPE_BYTES_MAX).contains(&entry.event_type.len());
    entries.iter().find(untypical).or(entries.first()).map(|entry| &entry.stream_id)
}

fn new_event(entry: &StreamWriteEntry) -> NewEvent<'_> {
    NewEvent::new(entry.event_type, entry.event_data.get()).with_metadata(NO_METADATA)
}

/// An event of the type that is asked for. Another type is an error even if its JSON could be read as this one.
fn decode<E: Event>(stream_id: &StreamId, event: &RecordedEvent) -> Result<E, EventStoreError> {
    let failed = |detail| EventStoreError::DeserializationFailed { stream_id: stream_id.clone(), detail };
    let (version, found, wanted) = (event.version(), event.event_type(), E::event_type_name());
    if found != wanted {
        return Err(failed(format!("event {version} is of type {found:?}, not {wanted:?}")));
    }
    serde_json::from_slice(event.payload()).map_err(|error| failed(format!("event {version}: {error}")))
}

fn exactly(version: StreamVersion) -> ExpectedVersion {
    ExpectedVersion::Exact(number(version))
}

fn number(version: StreamVersion) -> u64 {
    version.into_inner() as u64
}

/// A count of events, which no machine's memory numbers are too small for.
pub(crate) fn version(number: u64) -> StreamVersion {
    StreamVersion::new(usize::try_from(number).unwrap_or(usize::MAX))
}
