//! Ids and events as they stand in the log, and back.
//!
//! Owns the limits of names, and the rule that what is stored can be read again.

use crate::error::Error;
use annals::RecordedEvent;
use annals::limits::NAME_BYTES_MAX;
use annals_adapter::{Names, json};
use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};

/// The name of something in a branch, if it fits.
pub(crate) fn name(branch: &Names, what: &'static str, id: &str) -> Result<String, Error> {
    let max = NAME_BYTES_MAX.saturating_sub(branch.prefix().len());
    if id.len() > max {
        return Err(Error::TooLong { what, len: id.len(), max });
    }
    Ok(branch.name(id))
}

/// An event as JSON that can be read again: what is acknowledged must not turn out to be unreadable.
pub(crate) fn encode<T: Serialize + DeserializeOwned>(event: &T) -> Result<Vec<u8>, Error> {
    let bytes = json::encode(event).map_err(Error::Unstorable)?;
    serde_json::from_slice::<T>(&bytes).map_err(Error::Unstorable)?;
    Ok(bytes)
}

/// Reads an event of the log.
pub(crate) fn decode<T>(
    event: &RecordedEvent,
    read: impl FnOnce(&RecordedEvent) -> serde_json::Result<T>,
) -> Result<T, Error> {
    let (stream, version) = (event.stream(), event.version());
    read(event).map_err(|source| Error::Undecodable { stream: stream.to_owned(), version, source })
}

/// What an event says of itself must be what its place says.
pub(crate) fn agree(what: &str, says: &str, place: &str) -> serde_json::Result<()> {
    if says == place {
        return Ok(());
    }
    Err(serde_json::Error::custom(format!("its {what} is {says:?}, it stands as {place:?}")))
}
