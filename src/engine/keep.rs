//! Kept values: the calls.
//!
//! Owns setting, deleting, getting and listing them, and what acknowledging means: a consumer's place is a kept value with a
//! reserved name.

use crate::engine::log::EventLog;
use crate::engine::pending::{self, KeptChanged, Names};
use crate::engine::request::{Request, check_bytes, check_len};
use crate::engine::shared::Shared;
use crate::engine::view::{View, segment_at};
use crate::error::{AppendError, Corruption, Fault, ReadError};
use crate::format::NAME_BYTES_MAX;
use crate::format::consumer::{CONSUMER_NAME_BYTES_MAX, RESERVED, decode_place, encode_place, place_name};
use crate::format::section::{Control, IdBlock, SectionEntry, SectionKind};
use crate::index::overlay::KeptPlace;
use crate::segment::reader::Segment;
use crate::types::{Durability, KeptCondition, Location};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// How many bytes may wait to be written lazily. More of them are written at once.
const LAZY_BYTES_MAX: usize = 256 << 10;

/// A kept value as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptValue {
    /// Its name.
    pub name: String,
    /// Its bytes: shared with the segment that holds them, valid for as long as they are held.
    pub value: Bytes,
    /// Which write of the log it is; to be handed to [`KeptCondition::Revision`]. `None` while a value that was set lazily
    /// is not durable.
    pub revision: Option<u64>,
}

impl EventLog {
    /// Keeps a value under a name (1..=2048 bytes), replacing the one that is there. Blocks until that is durable.
    ///
    /// Kept values are for what is small and changes: positions, snapshots, settings. They are not events: they have no
    /// position, and only the last value of a name can be got. A batch writes several, with events or without, at once:
    /// see [`BatchBuilder::keep_if`](crate::BatchBuilder::keep_if).
    ///
    /// # Errors
    /// See [`AppendError`]: [`AppendError::KeptConflict`] if the condition fails, [`AppendError::TooLarge`] above
    /// [`Options::kept_bytes_max`](crate::Options::kept_bytes_max).
    pub fn keep(
        &self,
        name: &str,
        condition: KeptCondition,
        value: impl AsRef<[u8]>,
    ) -> Result<KeptChanged, AppendError> {
        unreserved(name)?;
        self.write_kept(name, condition, Some(value.as_ref()))
    }

    /// Deletes the value of a name, if there is one. Blocks until that is durable.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn unkeep(&self, name: &str, condition: KeptCondition) -> Result<KeptChanged, AppendError> {
        unreserved(name)?;
        self.write_kept(name, condition, None)
    }

    /// Keeps a value without waiting and without a sync of its own: [`EventLog::kept`] shows it at once, and it becomes
    /// durable with the next commit, or within 50 ms (without background threads: with the next commit or at close). Of
    /// several values that are set for one name meanwhile, only the last is written. A crash may lose it; then the value
    /// before is there, whole.
    ///
    /// Takes a short lock and no more, unless more than 256 KiB of such values wait: then it is
    /// [`EventLog::keep`].
    ///
    /// # Errors
    /// As [`EventLog::keep`].
    pub fn keep_lazily(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), AppendError> {
        unreserved(name)?;
        self.write_kept_lazily(name, value.as_ref())
    }

    /// The same for those who must not block: where [`EventLog::keep_lazily`] would write at once and wait, it keeps nothing.
    ///
    /// # Errors
    /// [`AppendError::Full`] when so much waits already: keep the value with a batch, and await that. Else as
    /// [`EventLog::keep`].
    pub fn try_keep_lazily(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), AppendError> {
        unreserved(name)?;
        if self.set_lazily(name, value.as_ref())? { Ok(()) } else { Err(AppendError::Full) }
    }

    /// The value of a name, or `None`. Takes no lock that an append holds while it waits.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn kept(&self, name: &str) -> Result<Option<KeptValue>, ReadError> {
        let shared = self.shared();
        let found = shared.sound(|| {
            shared.lazies.with(|overlay| match overlay.get(name) {
                Some(value) => Ok(Ok(Some(Found::Lazy(value.clone())))),
                None => {
                    let view = shared.view.read();
                    if let Some(error) = &view.broken {
                        return Ok(Err(error.clone()));
                    }
                    Ok(Ok(view.index.kept(name)?.map(|place| view.found(place))))
                }
            })
        });
        found?.map(|found| found.read(name)).transpose()
    }

    /// Values whose names start with `prefix` and are greater than `after`, in byte order, at most `limit`. A page costs
    /// the page. `after` need not exist.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn list_kept(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<KeptValue>, ReadError> {
        self.find_kept(prefix, after, limit)?.into_iter().map(|(name, found)| found.read(&name)).collect()
    }

    /// Names with values, and where the values are.
    fn find_kept(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Found)>, ReadError> {
        let shared = self.shared();
        shared.sound(|| {
            shared.lazies.with(|overlay| {
                let view = shared.view.read();
                if let Some(error) = &view.broken {
                    return Ok(Err(error.clone()));
                }
                let mut lazy = overlay.page(prefix, after).peekable();
                let mut found = Vec::new();
                let set = |(name, value): (&str, &Bytes)| (name.to_owned(), Found::Lazy(value.clone()));
                view.index.kept_page(prefix, after, |name, place| {
                    while found.len() < limit
                        && let Some(next) = lazy.next_if(|(other, _)| **other < *name)
                    {
                        found.push(set(next));
                    }
                    if found.len() < limit {
                        match lazy.next_if(|(other, _)| **other == *name) {
                            Some(next) => found.push(set(next)),
                            None => found.push((name, view.found(place))),
                        }
                    }
                    found.len() < limit
                })?;
                let left = limit - found.len();
                found.extend(lazy.take(left).map(set));
                Ok(Ok(found))
            })
        })
    }

    /// How many names with values start with `prefix`. Costs a look at those that were set or deleted lately, and next to
    /// nothing for all others.
    pub fn count_kept(&self, prefix: &str) -> u64 {
        let shared = self.shared();
        shared.sound(|| {
            shared.lazies.with(|overlay| {
                let view = shared.view.read();
                let mut count = view.index.kept_count(prefix)?;
                for (name, _) in overlay.page(prefix, None) {
                    count += u64::from(view.index.kept(name)?.is_none());
                }
                Ok(count)
            })
        })
    }

    /// All names that start with `prefix`.
    pub(crate) fn kept_names(&self, prefix: &str) -> Result<BTreeSet<String>, ReadError> {
        Ok(self.find_kept(prefix, None, usize::MAX)?.into_iter().map(|(name, _)| name).collect())
    }

    pub(crate) fn append_bytes_max(&self) -> u64 {
        self.shared().options.append_bytes_max
    }

    /// Whether the log takes writes now.
    pub(crate) fn takes_writes(&self) -> Result<(), AppendError> {
        self.shared().sequencer().refusal().map_or(Ok(()), Err)
    }

    /// Notes that a consumer has dealt with every event up to `position`, without waiting: durable with the next commit or
    /// within 50 ms, as [`EventLog::keep_lazily`]. A burst of acknowledgements is one small write. A position that
    /// is acknowledged already changes nothing, if that is visible: batches that acknowledge and are on their way are not
    /// looked for. For one that is durable together with what the events led to, see
    /// [`BatchBuilder::acknowledge`](crate::BatchBuilder::acknowledge).
    ///
    /// # Errors
    /// [`AppendError::BeyondEnd`] if there is no event at `position` yet; else as [`EventLog::keep_lazily`].
    pub fn acknowledge(&self, consumer: &str, position: u64) -> Result<(), AppendError> {
        check_consumer(consumer)?;
        check_position(position, self.last_position())?;
        let lock = self.place_lock(consumer);
        let _only_forward = lock.lock();
        // What cannot be read is written anew.
        if self.acknowledged(consumer).is_ok_and(|place| position <= place) {
            return Ok(());
        }
        self.write_kept_lazily(&place_name(consumer), &encode_place(position))
    }

    /// To be held while a consumer's place is looked at and written.
    pub(crate) fn place_lock(&self, consumer: &str) -> Arc<Mutex<()>> {
        let mut places = self.shared().places.lock();
        if let Some(lock) = places.get(consumer) {
            return lock.clone();
        }
        places.entry(consumer.into()).or_default().clone()
    }

    /// Up to where a consumer has dealt with the log: 0 if it never acknowledged anything.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn acknowledged(&self, consumer: &str) -> Result<u64, ReadError> {
        match self.kept(&place_name(consumer))? {
            None => Ok(0),
            Some(kept) => decode_place(&kept.value).map_err(|fault| self.corrupt_kept(&kept.name, fault)),
        }
    }

    /// What is said of a kept value that is whole, and not what its name says.
    pub(crate) fn corrupt_kept(&self, name: &str, fault: Fault) -> ReadError {
        let place = self.shared().ask(|view| view.index.kept(name));
        let at = place.map_or(Location { segment: 0, offset: 0 }, |place| place.location());
        ReadError::Corrupt(Corruption { at, fault })
    }

    pub(crate) fn write_kept(
        &self,
        name: &str,
        condition: KeptCondition,
        value: Option<&[u8]>,
    ) -> Result<KeptChanged, AppendError> {
        let mut request = Request::new(&self.shared().options);
        request.keep(name, condition, value)?;
        request.seal()?;
        let names = Names::of(&request);
        let (assigned, level) = self.shared().append(request, Durability::Synced)?;
        Ok(pending::outcome(self.shared(), assigned, names, level))
    }

    pub(crate) fn write_kept_lazily(&self, name: &str, value: &[u8]) -> Result<(), AppendError> {
        if self.set_lazily(name, value)? {
            return Ok(());
        }
        self.write_kept(name, KeptCondition::Any, Some(value)).map(|_| ())
    }

    /// Sets a value lazily, unless too much waits to be written already.
    fn set_lazily(&self, name: &str, value: &[u8]) -> Result<bool, AppendError> {
        check_len("kept name", name.len(), NAME_BYTES_MAX)?;
        check_bytes("kept value", value.len() as u64, self.shared().options.kept_bytes_max)?;
        let Ok(first) = self.shared().lazies.set(name, value, LAZY_BYTES_MAX) else {
            // Nothing is set in a log that takes no more.
            return self.shared().sequencer().refusal().map_or(Ok(false), Err);
        };
        if first {
            self.shared().expect_lazies();
        }
        Ok(true)
    }
}

impl Shared {
    /// Sees to it that what was set lazily is written in time.
    fn expect_lazies(&self) {
        let mut seq = self.sequencer();
        seq.lazy_since.get_or_insert_with(Instant::now);
        self.ring_writer();
    }
}

/// A value that is there, before it is read.
enum Found {
    Lazy(Bytes),
    Written { segment: Option<Arc<Segment>>, place: KeptPlace },
}

impl View {
    fn found(&self, place: KeptPlace) -> Found {
        let segment = segment_at(&self.segments, u64::from(place.segment));
        let segment = segment.map(|segment| segment.for_piece(u64::from(place.len)).clone());
        Found::Written { segment, place }
    }
}

impl Found {
    /// Reads the value and checks that it is whole, and of this name.
    fn read(self, name: &str) -> Result<KeptValue, ReadError> {
        let name = name.to_owned();
        let (segment, place) = match self {
            Found::Lazy(value) => return Ok(KeptValue { name, value, revision: None }),
            Found::Written { segment, place } => (segment, place),
        };
        let at = place.location();
        let fault = |fault| ReadError::Corrupt(Corruption { at, fault });
        let segment = segment.ok_or_else(|| fault(Fault::Zeros { what: "the segment of a kept value" }))?;
        let section = segment.shared(place.offset..place.offset + u64::from(place.len))?;
        let entry = SectionEntry {
            number: place.revision,
            events: 0,
            len: place.len,
            id_checksum: place.id_checksum,
            kind: SectionKind::Keep,
        };
        let (block, used) = IdBlock::decode(&section, &entry).map_err(fault)?;
        if block.id != name {
            let what = "whether the section is of this name";
            return Err(fault(Fault::Field { what, expected: 1, found: 0 }));
        }
        match Control::decode(SectionKind::Keep, &section[used..]).map_err(fault)? {
            Control::Keep { value } => {
                let value = section.slice_ref(value);
                Ok(KeptValue { name, value, revision: Some(place.revision) })
            }
            _ => Err(fault(Fault::Kind { what: "control record", found: 0 })),
        }
    }
}

/// Adds an acknowledgement to an append.
pub(crate) fn acknowledge(
    request: &mut Request,
    consumer: &str,
    position: u64,
    end: u64,
) -> Result<(), AppendError> {
    check_consumer(consumer)?;
    check_position(position, end)?;
    request.keep(&place_name(consumer), KeptCondition::Any, Some(&encode_place(position)))
}

pub(crate) fn check_consumer(name: &str) -> Result<(), AppendError> {
    check_len("consumer name", name.len(), CONSUMER_NAME_BYTES_MAX)
}

fn check_position(asked: u64, end: u64) -> Result<(), AppendError> {
    if asked <= end { Ok(()) } else { Err(AppendError::BeyondEnd { what: "position", asked, end }) }
}

/// Names of the log's own are not for its users to write.
pub(crate) fn unreserved(name: &str) -> Result<(), AppendError> {
    if name.starts_with(RESERVED) {
        return Err(AppendError::ReservedName { name: name.to_owned() });
    }
    Ok(())
}
