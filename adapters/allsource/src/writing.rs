//! Writing: streams are made, appended to, and saved.
//!
//! Owns the batches, and the comparing of a handle with what is stored, which is never overwritten.

use crate::birth::Birth;
use crate::codec::{Encoded, decode};
use crate::errors::{conflict, incomplete, invalid, parted, refused, unreadable};
use crate::repository::{Known, StreamRepository};
use crate::rules::{may_append, may_save};
use crate::turn::turn;
use allsource_core::domain::entities::{Event, EventStream};
use allsource_core::domain::value_objects::{EntityId, TenantId};
use allsource_core::error::Result;
use annals::{AppendError, Durability, ExpectedVersion, NewEvent};

/// How many events are encoded in a row before others have a turn.
const ENCODED_AT_ONCE: usize = 64;

/// What became of a batch.
enum Tried {
    Durable,
    /// Nothing was written: the stream is not as it was when it was looked at.
    Moved {
        stored: u64,
    },
}

impl StreamRepository {
    /// The stream of an entity, as [`StreamRepository::load_stream`] gives it, or a new one without events. A new one is
    /// durable when this returns, with the partition that allsource assigns to the entity today, and stays in it. Of several
    /// calls at once for one entity, one makes it.
    ///
    /// # Errors
    /// `InvalidInput` if the id is too long for a name in the log (some 2,000 bytes; allsource allows 128); `StorageError` if
    /// the log refuses, or if the stream is there and cannot be read.
    pub async fn get_or_create_stream(&self, stream_id: &EntityId) -> Result<EventStream> {
        loop {
            if let Some(stream) = self.load_stream(stream_id).await? {
                return Ok(stream);
            }
            let stream = EventStream::new(stream_id.clone());
            if let Tried::Durable = self.write(&stream, None, None, &[]).await? {
                return Ok(stream);
            }
        }
    }

    /// Appends an event to a stream, and then to its handle, as `EventStream::append_event` does; gives the new version. The
    /// event is durable when this returns. A stream that was never made is made with its first event, in the handle's
    /// partition.
    ///
    /// The handle must be as the stream is stored: at the same version, with the same last event. If it is not, somebody else
    /// has appended since it was loaded, and nothing is stored, whether the handle expects a version or not. So of two handles
    /// with the same state exactly one appends, and no event is lost or numbered twice. `expect_version` is checked against the
    /// handle, and holds until it is set anew or cleared.
    ///
    /// The handle is changed only when the event is durable. If the future is dropped before that, the event may be stored, and
    /// the handle does not know: the next append with it is a `ConcurrencyError`.
    ///
    /// # Errors
    /// * `ConcurrencyError` if the handle is not at the version that it expects, or not as the stream is stored. Load the stream
    ///   again, decide again.
    /// * `ValidationError` if the event is of another entity or another tenant than the stream, or if the handle holds fewer
    ///   events than it counts (which can only be deserialized).
    /// * `InvalidEvent` if the event would not be read as it is (JSON that is nested more than some 120 levels deep).
    /// * `InvalidInput` if an id or a type is too long for the log, the type is empty, or the event is larger than
    ///   [`Options::append_bytes_max`](annals::Options::append_bytes_max).
    /// * `ReadOnly` and `StorageError` if the log refuses: full, closed, poisoned, or the stream cannot be read. Of a poisoned
    ///   log the text says whether the outcome is unknown.
    pub async fn append_to_stream(&self, stream: &mut EventStream, event: Event) -> Result<u64> {
        may_append(stream, &event)?;
        let encoded = Encoded::of(&event)?;
        let (entity, version) = (stream.stream_id(), stream.current_version());
        self.ends_alike(stream)?;
        loop {
            let at = self.known(entity)?.map(|_| version);
            if at.is_none() && version > 0 {
                return Err(conflict(entity, version, 0));
            }
            match self.write(stream, at, Some(event.tenant_id()), &[encoded.to_append()]).await? {
                Tried::Durable => break,
                // Somebody else has made the stream meanwhile, perhaps without events.
                Tried::Moved { .. } if at.is_none() => {}
                Tried::Moved { stored } => return Err(conflict(entity, version, stored)),
            }
        }
        stream.append_event(event)
    }

    /// Stores what the store lacks of a stream: all events of the handle that are not stored yet, in one atomic append, or the
    /// stream itself if it was never made, in the handle's partition. Durable when it returns. If nothing is lacking, nothing is
    /// written.
    ///
    /// What is stored must be what the handle begins with; each event is compared. A handle that is behind the store is a
    /// conflict, too: its version cannot be saved without removing an event. The partition, `created_at` and the tenant of a
    /// stream that is there stay as they are; what the handle expects (`expect_version`) is not part of the stream and is not
    /// asked. Reads the whole stored stream: to add single events, [`StreamRepository::append_to_stream`] is cheaper.
    ///
    /// # Errors
    /// * `ConcurrencyError` if the stored stream has other events, or more. Load it again, decide again.
    /// * `ValidationError` if the handle holds events of another entity, of several tenants, or fewer than it counts; or if its
    ///   watermark says that the events to be stored are not confirmed, since all that is stored is.
    /// * Else as [`StreamRepository::append_to_stream`].
    pub async fn save_stream(&self, stream: &EventStream) -> Result<()> {
        may_save(stream)?;
        let (entity, events) = (stream.stream_id(), stream.events_from(1));
        loop {
            let at = match self.known(entity)? {
                Some(known) => Some(self.begins_alike(entity, known, &events).await?),
                None => None,
            };
            let lacking = events.get(at.unwrap_or(0) as usize..).unwrap_or_default();
            if lacking.is_empty() && at.is_some() {
                return Ok(());
            }
            if !lacking.is_empty() && stream.watermark() < stream.current_version() {
                let (version, watermark) = (stream.current_version(), stream.watermark());
                let what =
                    format_args!("by its watermark only {watermark} of its {version} events are confirmed");
                return Err(invalid(entity, what));
            }
            let mut encoded = Vec::with_capacity(lacking.len());
            for some in lacking.chunks(ENCODED_AT_ONCE) {
                for event in some {
                    encoded.push(Encoded::of(event)?);
                }
                turn().await;
            }
            let lacking: Vec<NewEvent<'_>> = encoded.iter().map(Encoded::to_append).collect();
            // If somebody else was faster, perhaps with the same events, they are compared again.
            if let Tried::Durable = self.write(stream, at, stream.tenant_id(), &lacking).await? {
                return Ok(());
            }
        }
    }

    /// One batch: appends to a stream at this version; without one, makes the stream first.
    async fn write(
        &self,
        stream: &EventStream,
        at: Option<u64>,
        tenant: Option<&TenantId>,
        events: &[NewEvent<'_>],
    ) -> Result<Tried> {
        let entity = stream.stream_id();
        let (name, expected) =
            (self.names.stream(entity), at.map_or(ExpectedVersion::NotRegistered, ExpectedVersion::Exact));
        // Whatever the log was opened with: what is not synced cannot be read.
        let mut batch = self.log.batch().durability(Durability::Synced);
        if let Some(tenant) = tenant {
            batch = batch.in_tenant(&self.names.tenant(tenant));
        }
        if at.is_none() {
            let birth = Birth::of(stream);
            let in_partition = self.names.partition(birth.partition()).name(entity.as_str());
            batch = batch.create(&name, expected, &birth.encode(entity)?).keep(&in_partition, "");
        }
        if !events.is_empty() {
            batch = batch.append(&name, expected, events);
        }
        let done = match batch.submit() {
            Ok(pending) => pending.await,
            Err(error) => Err(error),
        };
        match done {
            Ok(_) => Ok(Tried::Durable),
            Err(AppendError::Conflict { actual, .. }) => Ok(Tried::Moved { stored: actual }),
            Err(error) => Err(refused(entity, error)),
        }
    }

    /// The last event of a handle must be the one that is stored at its version: two handles can be at one version with
    /// different events. If the store does not reach that far, its version will say so.
    fn ends_alike(&self, stream: &EventStream) -> Result<()> {
        let (entity, version) = (stream.stream_id(), stream.current_version());
        let Some(last) = stream.events_from(version).first().copied() else { return Ok(()) };
        let stored = self.log.read_stream(&self.names.stream(entity), version - 1).into_iter().next();
        match stored.transpose().map_err(|error| unreadable(entity, &error))? {
            Some(stored) => alike(entity, version, last, &decode(entity.as_str(), &stored)?),
            None => Ok(()),
        }
    }

    /// What is stored must be what the handle begins with. How many events that is.
    async fn begins_alike(&self, entity: &EntityId, known: Known, handle: &[&Event]) -> Result<u64> {
        let (stored, has) = (known.info.version, handle.len() as u64);
        if stored > has {
            return Err(conflict(entity, has, stored));
        }
        let mut compared = 0;
        let mut events = self.events(entity, stored);
        for event in handle {
            let Some((version, stored)) = events.next().await? else { break };
            alike(entity, version, event, &stored)?;
            compared = version;
        }
        if compared == stored { Ok(stored) } else { Err(incomplete(&known.info, compared)) }
    }
}

fn alike(entity: &EntityId, version: u64, handle: &Event, stored: &Event) -> Result<()> {
    if handle == stored { Ok(()) } else { Err(parted(entity, version, handle, stored)) }
}
