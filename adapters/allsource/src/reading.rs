//! Reading single streams: the aggregate as a whole, its watermark, whether it is whole.
//!
//! Owns the calls of the traits that do so. Gives way to other tasks while it reads.

use crate::codec::decode;
use crate::errors::{incomplete, unreadable};
use crate::repository::{Known, StreamRepository};
use crate::turn::{next, turn};
use allsource_core::domain::entities::{Event, EventStream};
use allsource_core::domain::value_objects::EntityId;
use allsource_core::error::Result;
use annals::{Query, Subscription};
use chrono::{DateTime, Utc};

/// How many bytes of events are decoded in a row before others have a turn.
const BYTES_AT_ONCE: usize = 256 << 10;

impl StreamRepository {
    /// The stream of an entity with all its events, or `None` if it was never made. Its partition is the one that was decided
    /// when it was made. It expects no version, whatever the handle expected that was stored: a lock is its handle's.
    ///
    /// All events of the stream are held in memory: an `EventStream` is all of them. Reads on the calling thread, with turns for
    /// other tasks.
    ///
    /// # Errors
    /// `StorageError` if the stream cannot be read: damaged, cut or ended by others, or not made by this crate.
    pub async fn load_stream(&self, stream_id: &EntityId) -> Result<Option<EventStream>> {
        match self.known(stream_id)? {
            Some(known) => self.load(stream_id, known).await.map(Some),
            None => Ok(None),
        }
    }

    /// The version of the stream; 0 if it was never made. Everything that is stored is confirmed, in order and without
    /// gaps, so the watermark is the version. A look at the log's index.
    ///
    /// # Errors
    /// None; the signature is the trait's.
    pub async fn get_watermark(&self, stream_id: &EntityId) -> Result<u64> {
        Ok(self.log.stream_version(&self.names.stream(stream_id)))
    }

    /// Whether all versions from 1 to the watermark are there. Looks at each: reads, checks its checksum and decodes it.
    /// `true` for a stream that was never made; `false` if events were cut off at its beginning
    /// ([`EventLog::truncate_before`](annals::EventLog::truncate_before), which this crate never calls).
    ///
    /// # Errors
    /// `StorageError`, naming the event, if one of them cannot be read: damaged, or not of allsource.
    pub async fn verify_gapless(&self, stream_id: &EntityId) -> Result<bool> {
        let Some(Known { info, .. }) = self.known(stream_id)? else { return Ok(true) };
        if info.first_version > 1 {
            return Ok(false);
        }
        let mut last = 0;
        let mut events = self.events(stream_id, info.version);
        while let Some((version, _)) = events.next().await? {
            if version != last + 1 {
                return Ok(false);
            }
            last = version;
        }
        Ok(last == info.version)
    }

    /// The aggregate that a stream of the log is.
    pub(crate) async fn load(&self, entity: &EntityId, known: Known) -> Result<EventStream> {
        let Known { info, birth } = known;
        let mut events = Vec::new();
        let mut stored = self.events(entity, info.version);
        while let Some((_, event)) = stored.next().await? {
            events.push(event);
        }
        if events.len() as u64 != info.version {
            return Err(incomplete(&info, events.len() as u64));
        }
        EventStream::reconstruct(
            entity.clone(),
            birth.partition_key()?,
            info.version,
            info.version,
            events,
            None,
            birth.created_at,
            updated_at(birth.created_at, info.last_append_nanos),
        )
    }

    /// The events of a stream with versions up to `last`.
    pub(crate) fn events<'a>(&self, entity: &'a EntityId, last: u64) -> Events<'a> {
        let query = Query::stream(&self.names.stream(entity)).before(last + 1).until_now();
        Events { entity, stored: self.log.subscribe(&query), decoded: 0 }
    }
}

/// The events of a stream, decoded one after the other.
pub(crate) struct Events<'a> {
    entity: &'a EntityId,
    stored: Subscription,
    /// Bytes since others had a turn.
    decoded: usize,
}

impl Events<'_> {
    /// The next event and its version.
    pub(crate) async fn next(&mut self) -> Result<Option<(u64, Event)>> {
        if self.decoded > BYTES_AT_ONCE {
            self.decoded = 0;
            turn().await;
        }
        let Some(stored) = next(&mut self.stored).await else { return Ok(None) };
        let stored = stored.map_err(|error| unreadable(self.entity, &error))?;
        self.decoded += stored.payload().len() + stored.metadata().len();
        Ok(Some((stored.version(), decode(self.entity.as_str(), &stored)?)))
    }
}

/// When a stream was last appended to, or else made. Clocks may have been set back between the two.
fn updated_at(created_at: DateTime<Utc>, last_append_nanos: u64) -> DateTime<Utc> {
    let nanos = i64::try_from(last_append_nanos).unwrap_or(i64::MAX);
    DateTime::from_timestamp_nanos(nanos).max(created_at)
}
