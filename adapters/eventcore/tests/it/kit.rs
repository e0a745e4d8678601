//! What the tests have in common: events, a store on a directory of its own, short words for long calls, and rules that run on
//! this store and on eventcore's own in memory.

use annals_eventcore::EventCoreStore;
use eventcore_types::{
    BatchSize, CheckpointStore, Event, EventFilter, EventPage, EventReader, EventStore, EventStoreError,
    ProjectorCoordinator, StreamId, StreamPosition, StreamVersion, StreamWrites, collect_events,
};
use serde::{Deserialize, Serialize};
use std::fmt::{Debug, Display};
use tempfile::TempDir;

/// What all tests write, mostly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Noted {
    pub(crate) stream: StreamId,
    pub(crate) text: String,
}

impl Event for Noted {
    fn stream_id(&self) -> &StreamId {
        &self.stream
    }

    fn event_type_name() -> &'static str {
        "Noted"
    }
}

/// Of the same shape as [`Noted`], and not the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shouted {
    pub(crate) stream: StreamId,
    pub(crate) text: String,
}

impl Event for Shouted {
    fn stream_id(&self) -> &StreamId {
        &self.stream
    }

    fn event_type_name() -> &'static str {
        "Shouted"
    }
}

pub(crate) fn id(stream: &str) -> StreamId {
    StreamId::try_new(stream).unwrap()
}

pub(crate) fn noted(stream: &str, text: &str) -> Noted {
    Noted { stream: id(stream), text: text.to_owned() }
}

pub(crate) fn shouted(stream: &str, text: &str) -> Shouted {
    Shouted { stream: id(stream), text: text.to_owned() }
}

/// A store on a directory of its own.
pub(crate) struct Kit {
    pub(crate) store: EventCoreStore,
    pub(crate) dir: TempDir,
}

impl Kit {
    pub(crate) fn new() -> Kit {
        let dir = tempfile::tempdir().unwrap();
        Kit { store: EventCoreStore::open(dir.path()).unwrap(), dir }
    }

    /// The same directory, closed and opened again.
    pub(crate) fn reopened(self) -> Kit {
        let Kit { store, dir } = self;
        store.log().close().unwrap();
        drop(store);
        Kit { store: EventCoreStore::open(dir.path()).unwrap(), dir }
    }
}

/// What a backend of eventcore is.
pub(crate) trait Backend:
    EventStore
    + EventReader<Error: Debug + Display>
    + CheckpointStore
    + ProjectorCoordinator<Guard: Debug + 'static>
    + Send
    + Sync
    + 'static
{
}

impl<T> Backend for T where
    T: EventStore
        + EventReader<Error: Debug + Display>
        + CheckpointStore
        + ProjectorCoordinator<Guard: Debug + 'static>
        + Send
        + Sync
        + 'static
{
}

/// Runs each rule on this store, on a directory, and on eventcore's own, in memory.
macro_rules! on_both {
    ($($rule:ident),* $(,)?) => {
        mod ours {
            $(#[tokio::test]
            async fn $rule() {
                super::$rule(&crate::kit::Kit::new().store).await;
            })*
        }
        mod reference {
            $(#[tokio::test]
            async fn $rule() {
                super::$rule(&eventcore_memory::InMemoryEventStore::new()).await;
            })*
        }
    };
}
pub(crate) use on_both;

/// Writes to be, with what is expected of each stream.
pub(crate) fn expecting(versions: &[(&str, usize)]) -> StreamWrites {
    versions.iter().fold(StreamWrites::new(), |writes, (stream, version)| {
        writes.register_stream(id(stream), StreamVersion::new(*version)).unwrap()
    })
}

/// The same, with events.
pub(crate) fn writes<E: Event>(
    versions: &[(&str, usize)],
    events: impl IntoIterator<Item = E>,
) -> StreamWrites {
    events.into_iter().fold(expecting(versions), |writes, event| writes.append(event).unwrap())
}

/// Appends notes to a stream that has so many events.
pub(crate) async fn note(store: &impl EventStore, stream: &str, version: usize, texts: &[&str]) {
    let events: Vec<Noted> = texts.iter().map(|text| noted(stream, text)).collect();
    store.append_events(writes(&[(stream, version)], events)).await.map(|_| ()).unwrap();
}

/// The version conflict that an append met.
pub(crate) async fn conflict(store: &impl EventStore, writes: StreamWrites) -> (String, usize, usize) {
    match store.append_events(writes).await {
        Err(EventStoreError::VersionConflict { stream_id, expected, actual }) => {
            (stream_id.into_inner(), expected.into_inner(), actual.into_inner())
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("no conflict"),
    }
}

/// All events of a stream, or the first error.
pub(crate) async fn read<E: Event>(store: &impl EventStore, stream: &str) -> Result<Vec<E>, EventStoreError> {
    collect_events(store.read_stream::<E>(id(stream)).await?).await
}

/// The texts of a stream's notes.
pub(crate) async fn texts(store: &impl EventStore, stream: &str) -> Vec<String> {
    read::<Noted>(store, stream).await.unwrap().into_iter().map(|noted| noted.text).collect()
}

/// The texts of a page of notes, with their positions.
pub(crate) async fn page<S: EventReader<Error: Debug>>(
    store: &S,
    filter: EventFilter,
    after: Option<StreamPosition>,
    limit: usize,
) -> Vec<(String, StreamPosition)> {
    let limit = BatchSize::new(limit);
    let page = after.map_or(EventPage::first(limit), |after| EventPage::after(after, limit));
    let events = store.read_events::<Noted>(filter, page).await.unwrap();
    events.into_iter().map(|(noted, position)| (noted.text, position)).collect()
}

/// The same without positions, from the beginning.
pub(crate) async fn all<S: EventReader<Error: Debug>>(store: &S, filter: EventFilter) -> Vec<String> {
    page(store, filter, None, usize::MAX).await.into_iter().map(|(text, _)| text).collect()
}

/// A position as the store gives it.
pub(crate) fn position(number: u64) -> StreamPosition {
    StreamPosition::new(annals::Uuid::from_u128(number.into()))
}
