//! Which events of the store: by prefix or pattern of their streams and by their types, as the log can be asked for them.
//!
//! Owns the translation into a query, and what a query cannot say: patterns. Both readers over all streams use it.

use crate::store::EventCoreStore;
use annals::{Query, ReadError, RecordedEvent, Subscription};
use annals_adapter::Names;
use eventcore_types::{StreamPattern, StreamPrefix};
use futures_util::StreamExt;

/// What begins a part of a pattern that is not literal.
const WILDCARDS: [char; 3] = ['*', '?', '['];

/// The events of some streams of the store that are there now, in the order of their positions.
///
/// Gives way to other tasks by itself, however much it passes over, and holds one event at a time.
pub(crate) struct Selected<'a> {
    events: Subscription,
    streams: &'a Names,
    pattern: Option<&'a StreamPattern>,
}

impl<'a> Selected<'a> {
    /// `place` sets the bounds of the query.
    pub(crate) fn new(
        store: &'a EventCoreStore,
        prefix: Option<&StreamPrefix>,
        pattern: Option<&'a StreamPattern>,
        place: impl FnOnce(Query) -> Query,
    ) -> Selected<'a> {
        let begins = match (prefix, pattern) {
            (Some(prefix), _) => prefix.as_ref(),
            (None, Some(pattern)) => literal_prefix(pattern),
            (None, None) => "",
        };
        let query = Query::prefix(&store.streams().name(begins)).until_now();
        Selected { events: store.log().subscribe(&place(query)), streams: store.streams(), pattern }
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordedEvent>, ReadError> {
        while let Some(event) = StreamExt::next(&mut self.events).await.transpose()? {
            let stream = self.streams.foreign(event.stream());
            if self.pattern.is_none_or(|pattern| stream.is_some_and(|stream| pattern.matches(stream))) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}

/// What every stream that matches a pattern begins with.
fn literal_prefix(pattern: &StreamPattern) -> &str {
    pattern.split(WILDCARDS).next().unwrap_or_default()
}
