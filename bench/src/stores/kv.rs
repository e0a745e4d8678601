//! How a user lays events into a key-value store: an events table by position, an index (stream, version) to position, and a
//! table of heads, with the version of each stream and the position of its last event.
//!
//! Owns the encodings, the same for all such stores. Must hold no more than an event needs to be read back whole.

use crate::workload::EVENT_TYPE;
use measure::Outcome;

/// A position as a key that sorts.
pub(crate) fn position_key(position: u64) -> [u8; 8] {
    position.to_be_bytes()
}

/// A stream and a version as a key: all versions of a stream lie beside each other, in order.
pub(crate) fn index_key(stream: &str, version: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(stream.len() + 9);
    key.extend_from_slice(stream.as_bytes());
    key.push(0);
    key.extend_from_slice(&version.to_be_bytes());
    key
}

/// A number as a value, or the end of a key.
pub(crate) fn number(bytes: &[u8]) -> Outcome<u64> {
    Ok(u64::from_be_bytes(*bytes.last_chunk().ok_or("a number has eight bytes")?))
}

/// An event as a value: stream, version, type, payload.
pub(crate) fn record(stream: &str, version: u64, payload: &[u8], into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(&version.to_be_bytes());
    into.extend_from_slice(&(stream.len() as u16).to_be_bytes());
    into.extend_from_slice(&(EVENT_TYPE.len() as u16).to_be_bytes());
    into.extend_from_slice(stream.as_bytes());
    into.extend_from_slice(EVENT_TYPE.as_bytes());
    into.extend_from_slice(payload);
}

/// The payload of an event.
#[inline]
pub(crate) fn payload(record: &[u8]) -> Outcome<&[u8]> {
    let length = |at: usize| -> Outcome<usize> {
        let bytes = record.get(at..at + 2).and_then(|bytes| bytes.first_chunk()).ok_or("a record is cut")?;
        Ok(usize::from(u16::from_be_bytes(*bytes)))
    };
    Ok(record.get(12 + length(8)? + length(10)?..).ok_or("a record is cut")?)
}

/// Refuses an append whose author saw another version.
pub(crate) fn check(stream: &str, expected: u64, found: u64) -> Outcome<()> {
    if expected == found {
        return Ok(());
    }
    Err(format!("conflict: {stream} has version {found}, not {expected}").into())
}

#[cfg(test)]
mod tests {
    use super::{index_key, number, payload, record};

    #[test]
    fn what_is_laid_in_comes_out() {
        let mut bytes = Vec::new();
        record("order-1", 7, b"payload", &mut bytes);
        assert_eq!(payload(&bytes).expect("a record"), b"payload");
        assert!(payload(&bytes[..11]).is_err());
        assert_eq!(number(&index_key("order-1", 7)).expect("a number"), 7);
        assert!(index_key("order-1", 255) < index_key("order-1", 256));
        assert!(index_key("order-1", 256) < index_key("order-10", 1));
    }
}
