//! Events that a group has set aside because they could not be dealt with.
//!
//! Owns the list and the way back. What is set aside is durable before the group's place passes it.

use crate::consumer::ConsumerError;
use crate::consumer::group::Group;
use crate::format::consumer::{ParkedValue, at_position, parked_prefix, position_of};
use crate::types::KeptCondition;

/// An event that was set aside. The event itself is at [`EventLog::event_at`](crate::EventLog::event_at).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parked {
    /// Its position.
    pub position: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// What was said about the last failure, up to 1024 bytes of it.
    pub reason: String,
    /// When it was set aside, nanoseconds since 1970.
    pub parked_nanos: u64,
}

impl Group {
    /// Events that were set aside, with positions above `after`, in order, at most `limit`.
    ///
    /// # Errors
    /// See [`ReadError`](crate::ReadError).
    pub fn parked(&self, after: u64, limit: usize) -> Result<Vec<Parked>, ConsumerError> {
        let prefix = parked_prefix(self.name());
        let from = at_position(&prefix, after);
        let mut found = Vec::new();
        for kept in self.log().list_kept(&prefix, Some(&from), limit)? {
            let Some(position) = position_of(&prefix, &kept.name) else { continue };
            let value = ParkedValue::decode(&kept.value)
                .map_err(|fault| self.log().corrupt_kept(&kept.name, fault))?;
            let ParkedValue { attempts, reason, time } = value;
            found.push(Parked { position, attempts, reason, parked_nanos: time });
        }
        Ok(found)
    }

    /// Gives an event that was set aside to the group's members again, behind what its stream has waiting. It stays in the
    /// list until one of them acknowledges it. `false`: it is not in the list, or is on its way already.
    ///
    /// # Errors
    /// See [`ReadError`](crate::ReadError).
    pub fn replay(&self, position: u64) -> Result<bool, ConsumerError> {
        self.replay_from_list(position, |position| {
            let name = at_position(&parked_prefix(self.name()), position);
            if self.log().kept(&name)?.is_none() { Ok(None) } else { self.log().event_at(position) }
        })
    }

    /// Gives everything that was set aside to the members again; how many events that are.
    ///
    /// # Errors
    /// See [`ReadError`](crate::ReadError).
    pub fn replay_all(&self) -> Result<u64, ConsumerError> {
        let (mut after, mut count) = (0, 0);
        loop {
            let page = self.parked(after, 256)?;
            let Some(last) = page.last() else { return Ok(count) };
            after = last.position;
            for parked in &page {
                count += u64::from(self.replay(parked.position)?);
            }
        }
    }

    /// Takes an event off the list without dealing with it, and blocks until that is durable. `false`: it is not in the
    /// list. A replay that waits is withdrawn; one that a member works on goes on.
    ///
    /// # Errors
    /// See [`AppendError`](crate::AppendError).
    pub fn discard(&self, position: u64) -> Result<bool, ConsumerError> {
        let name = at_position(&parked_prefix(self.name()), position);
        let was_there = self.log().write_kept(&name, KeptCondition::Any, None)?.replaced.is_some();
        self.withdraw(position);
        Ok(was_there)
    }
}
