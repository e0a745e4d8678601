//! Single events: by position, by id, the last one of a stream or under a prefix.
//!
//! Owns the filling of the tables of ids. They are made from the log, segment by segment, when somebody asks for an id that a
//! caller gave; a log that nobody asks keeps none. Ids that the log itself derived need none.

use crate::engine::cursor::Cursor;
use crate::engine::log::EventLog;
use crate::engine::shared::Shared;
use crate::error::ReadError;
use crate::event::{RecordedEvent, derived_position};
use crate::index::streams::hash_of;
use crate::query::Query;
use std::sync::Arc;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

impl EventLog {
    /// The event at a position, or `None` if there is none yet.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn event_at(&self, position: u64) -> Result<Option<RecordedEvent>, ReadError> {
        let Some(after) = position.checked_sub(1) else { return Ok(None) };
        Cursor::log(self.shared(), after, position.saturating_add(1), false).into_iter().next().transpose()
    }

    /// The event with an id, given by the appender or derived by the log; `None` if there is none. If an id was given twice,
    /// farther apart than [`Options::idempotency_window`](crate::Options::idempotency_window), the later one.
    ///
    /// For a derived id this is [`EventLog::event_at`]. For others, the log is looked through from its end, once: each
    /// segment's ids are remembered from then on, some 20 bytes each.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn event_by_id(&self, id: Uuid) -> Result<Option<RecordedEvent>, ReadError> {
        let is_it = |event: &RecordedEvent| event.id() == id;
        if let Some(position) = derived_position(self.id(), id)
            && let Some(event) = self.event_at(position)?.filter(is_it)
        {
            return Ok(Some(event));
        }
        let segments = self.shared().view.read().segments.clone();
        let mut last = self.last_position();
        let hash = xxh3_64(id.as_bytes());
        for segment in segments.iter().rev() {
            let header = &segment.header;
            let found = self.shared().positions_of(hash, header.ordinal, header.base_position, last)?;
            for position in found {
                if let Some(event) = self.event_at(position)?.filter(is_it) {
                    return Ok(Some(event));
                }
            }
            last = header.base_position - 1;
        }
        Ok(None)
    }

    /// The last event of a stream, or `None`.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn last_event(&self, stream: &str) -> Result<Option<RecordedEvent>, ReadError> {
        let last = self.read(&Query::stream(stream).backward().limit(1)).into_iter().next();
        match last.transpose() {
            Err(ReadError::Truncated { .. }) => Ok(None),
            last => last,
        }
    }

    /// The last event of all streams whose ids start with `prefix`, or `None`. Costs a look into the index for each such
    /// stream, whatever else the log holds. Tombstoned streams have no last event.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn last_event_under(&self, prefix: &str) -> Result<Option<RecordedEvent>, ReadError> {
        let position = self.shared().ask_whole(|view| {
            let mut last = None;
            view.index.page(prefix, None, |id| {
                let state = view.index.state(&id, hash_of(&id))?;
                last = last.max(state.map(|state| state.last_readable()));
                Ok(true)
            })?;
            Ok(last)
        })?;
        position.map_or(Ok(None), |position| self.event_at(position))
    }
}

impl Shared {
    /// Positions in a segment at which an id with this hash may stand, the last one first.
    fn positions_of(
        self: &Arc<Self>,
        hash: u64,
        ordinal: u64,
        base: u64,
        last: u64,
    ) -> Result<Vec<u64>, ReadError> {
        let from = {
            let mut tables = self.id_tables.lock();
            let ids = tables.entry(ordinal).or_default();
            if ids.upto() >= last {
                return Ok(ids.positions(hash));
            }
            ids.upto().max(base - 1)
        };
        // The log may have to come from the disk, and damage of the index may have to be told to others: not under the lock.
        let (mut given, mut upto) = (Vec::new(), from);
        let mut look = || -> Result<(), ReadError> {
            let mut cursor = Cursor::log(self, from, last + 1, false);
            while let Some(event) = cursor.next()? {
                upto = event.position;
                given.extend(event.own_id.map(|id| (upto, xxh3_64(id))));
            }
            Ok(())
        };
        let looked = look();
        let mut tables = self.id_tables.lock();
        let ids = tables.entry(ordinal).or_default();
        // Somebody else may have looked there meanwhile.
        let notes = given.into_iter().map(|(position, hash)| (position, Some(hash))).chain([(upto, None)]);
        for (position, hash) in notes {
            if position > ids.upto() {
                ids.note(position, hash);
            }
        }
        looked?;
        Ok(ids.positions(hash))
    }
}
