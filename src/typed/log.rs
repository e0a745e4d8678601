//! The typed calls: append, batch, read, fold.
//!
//! Owns their contracts and nothing else: each is a few lines over a call that bytes have, too.

use crate::typed::codec::Encoded;
use crate::typed::error::{EncodeError, TypedAppendError, TypedReadError};
use crate::typed::event::TypedEvent;
use crate::typed::metadata::Metadata;
use crate::{Appended, BatchBuilder, Cursor, EventLog, Events, ExpectedVersion, NewEvent, RecordedEvent};
use std::marker::PhantomData;

/// A state folded from a stream, and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded<T> {
    /// What the fold made of the events.
    pub state: T,
    /// The version of the last event in it; what the fold started after if there was none, and so 0 for a new stream. An
    /// append with [`ExpectedVersion::Exact`] of it fails if the stream has moved on.
    pub version: u64,
}

/// A decoded event: the value, with the event that it was made of.
#[derive(Debug, Clone)]
pub struct Decoded<E> {
    /// The value, in the current schema.
    pub value: E,
    /// The event as it was recorded: stream, version, position, time, id, metadata, the stored bytes.
    pub recorded: RecordedEvent,
}

/// Typed events of a cursor: an iterator, see [`Cursor::typed`].
#[derive(Debug)]
pub struct TypedEvents<E> {
    events: Events,
    typed: PhantomData<fn() -> E>,
}

impl EventLog {
    /// Appends typed events to one stream, all of them or none, with the same metadata beside each. Blocks until they are
    /// durable, as [`EventLog::append`] does. Feature `serde`.
    ///
    /// # Errors
    /// See [`TypedAppendError`].
    pub fn append_typed<E: TypedEvent>(
        &self,
        stream: &str,
        expected: ExpectedVersion,
        values: &[E],
        metadata: &Metadata,
    ) -> Result<Appended, TypedAppendError> {
        let encoded = encode(values, metadata)?;
        Ok(self.append(stream, expected, &new_events(&encoded))?)
    }

    /// Folds the typed events of a stream with versions above `after` into a state, and says up to which version: to load
    /// it, from the beginning (`after` 0) or from a state that was kept. Feature `serde`.
    ///
    /// A function that fails, or that wants more of the event than its value, goes into [`EventLog::try_fold_stream`] with
    /// [`Event::decode`](crate::Event::decode).
    ///
    /// # Errors
    /// See [`TypedReadError`]; the first one ends the fold.
    pub fn fold_typed<E: TypedEvent, T>(
        &self,
        stream: &str,
        after: u64,
        init: T,
        mut f: impl FnMut(T, E) -> T,
    ) -> Result<Folded<T>, TypedReadError> {
        let init = Folded { state: init, version: after };
        self.try_fold_stream(stream, after, init, |folded, event| {
            Ok(Folded { state: f(folded.state, event.decode()?), version: event.version() })
        })
    }
}

impl BatchBuilder<'_> {
    /// Adds typed events to a stream, with the same metadata beside each. See [`BatchBuilder::append`]. Feature `serde`.
    ///
    /// # Errors
    /// See [`EncodeError`]; the batch is given up then.
    pub fn append_typed<E: TypedEvent>(
        self,
        stream: &str,
        expected: ExpectedVersion,
        values: &[E],
        metadata: &Metadata,
    ) -> Result<Self, EncodeError> {
        let encoded = encode(values, metadata)?;
        Ok(self.append(stream, expected, &new_events(&encoded)))
    }
}

impl Cursor {
    /// The rest of the cursor's events as values of a type, each with its event as it was recorded. Feature `serde`.
    ///
    /// An event that cannot be decoded is an `Err` in its place, and the next one follows; after an error of the log, there
    /// is nothing more.
    pub fn typed<E: TypedEvent>(self) -> TypedEvents<E> {
        TypedEvents { events: self.into_iter(), typed: PhantomData }
    }
}

impl<E: TypedEvent> Iterator for TypedEvents<E> {
    type Item = Result<Decoded<E>, TypedReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let decoded = |recorded: RecordedEvent| Ok(Decoded { value: recorded.decode()?, recorded });
        Some(self.events.next()?.map_err(TypedReadError::Read).and_then(decoded))
    }
}

impl<E: TypedEvent> std::iter::FusedIterator for TypedEvents<E> {}

fn encode<E: TypedEvent>(values: &[E], metadata: &Metadata) -> Result<Vec<Encoded>, EncodeError> {
    values.iter().map(|value| Encoded::new(value, metadata)).collect()
}

fn new_events(encoded: &[Encoded]) -> Vec<NewEvent<'_>> {
    encoded.iter().map(Encoded::as_event).collect()
}
