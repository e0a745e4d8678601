//! The places of consumers: kept values under reserved names (FORMAT.md section 6.1).
//!
//! Owns their names and their bytes. Names carry their lengths, so that no consumer's can begin with another's.

use super::bytes::{put_u32, put_u64, u32_at, u64_at};
use crate::error::Fault;

/// Names of kept values that begin so are the log's own.
pub(crate) const RESERVED: &str = "annals/";

/// Longest name of a consumer, in bytes.
pub const CONSUMER_NAME_BYTES_MAX: usize = 1024;

/// How much of a reason is kept with an event that is set aside, in bytes.
pub(crate) const REASON_BYTES_MAX: usize = 1024;

/// What the names of consumers' places begin with.
pub(crate) fn place_prefix() -> String {
    place_name("")
}

/// The kept value that holds up to where a consumer has acknowledged.
pub(crate) fn place_name(consumer: &str) -> String {
    format!("{RESERVED}consumer/{consumer}")
}

/// Kept values that say which events behind its place a consumer has acknowledged.
pub(crate) fn done_prefix(consumer: &str) -> String {
    format!("{RESERVED}done/{}:{consumer}/", consumer.len())
}

/// Kept values that say which events a consumer has set aside.
pub(crate) fn parked_prefix(consumer: &str) -> String {
    format!("{RESERVED}parked/{}:{consumer}/", consumer.len())
}

/// The name for one position under a prefix: they sort as the positions do.
pub(crate) fn at_position(prefix: &str, position: u64) -> String {
    format!("{prefix}{position:020}")
}

/// The position that a name ends with.
pub(crate) fn position_of(prefix: &str, name: &str) -> Option<u64> {
    name.strip_prefix(prefix)?.parse().ok()
}

pub(crate) fn encode_place(position: u64) -> [u8; 8] {
    position.to_le_bytes()
}

pub(crate) fn decode_place(value: &[u8]) -> Result<u64, Fault> {
    match <[u8; 8]>::try_from(value) {
        Ok(raw) => Ok(u64::from_le_bytes(raw)),
        Err(_) => Err(wrong_len("place of a consumer", value, 8)),
    }
}

/// An event that was set aside: how often it was tried, when it was given up, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParkedValue {
    pub(crate) attempts: u32,
    pub(crate) time: u64,
    pub(crate) reason: String,
}

const PARKED_HEAD: usize = 16;

impl ParkedValue {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut end = self.reason.len().min(REASON_BYTES_MAX);
        while !self.reason.is_char_boundary(end) {
            end -= 1;
        }
        let mut out = vec![0; PARKED_HEAD];
        put_u64(&mut out, 0, self.time);
        put_u32(&mut out, 8, self.attempts);
        put_u32(&mut out, 12, end as u32);
        out.extend_from_slice(&self.reason.as_bytes()[..end]);
        out
    }

    pub(crate) fn decode(value: &[u8]) -> Result<ParkedValue, Fault> {
        let what = "an event that was set aside";
        let Some((head, reason)) = value.split_first_chunk::<PARKED_HEAD>() else {
            return Err(wrong_len(what, value, PARKED_HEAD));
        };
        if reason.len() != u32_at(head, 12) as usize {
            return Err(wrong_len(what, reason, u32_at(head, 12) as usize));
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Fault::Utf8 { what })?.to_owned();
        Ok(ParkedValue { attempts: u32_at(head, 8), time: u64_at(head, 0), reason })
    }
}

fn wrong_len(what: &'static str, value: &[u8], max: usize) -> Fault {
    Fault::Length { what, found: value.len() as u64, max: max as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_consumer_can_see_another_ones_names() {
        let names = ["a", "a/b", "1:a", "a/1:a"];
        for one in names {
            for other in names.into_iter().filter(|other| *other != one) {
                assert!(
                    !at_position(&parked_prefix(other), 7).starts_with(&parked_prefix(one)),
                    "{one} {other}"
                );
                assert!(!at_position(&done_prefix(other), 7).starts_with(&done_prefix(one)), "{one} {other}");
                assert_ne!(place_name(one), place_name(other));
            }
            assert_eq!(position_of(&done_prefix(one), &at_position(&done_prefix(one), 42)), Some(42));
        }
    }

    #[test]
    fn values_round_trip_and_wrong_ones_are_told() {
        assert_eq!(decode_place(&encode_place(1 << 60)), Ok(1 << 60));
        assert!(decode_place(b"short").is_err());
        let value = ParkedValue { attempts: 3, time: 5, reason: "no such küche".into() };
        let bytes = value.encode();
        assert_eq!(ParkedValue::decode(&bytes), Ok(value));
        for len in 0..bytes.len() {
            assert!(ParkedValue::decode(&bytes[..len]).is_err());
        }
        let long = ParkedValue { attempts: 1, time: 0, reason: "ü".repeat(700) };
        assert_eq!(ParkedValue::decode(&long.encode()).unwrap().reason.len(), REASON_BYTES_MAX);
    }
}
