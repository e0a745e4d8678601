//! The inbox: which messages came in before.
//!
//! Owns how a key stands in the log: a kept value says whether it is claimed or accepted, and an empty one beside it has a name
//! that sorts it by its age, for the purge.

use crate::change::{Changes, PAGE};
use crate::failure::{Failure, Part};
use crate::outbox::split;
use crate::places::sortable;
use crate::store::MakoStore;
use crate::value::{decode, encode};
use annals::KeptValue;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::serde::rfc3339;
use uuid::Uuid;

const PART: Part = Part::Inbox;

/// A key that came in.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum State {
    /// Somebody is at it, until the lease runs out.
    Claimed {
        claim: Uuid,
        #[serde(with = "rfc3339")]
        since: OffsetDateTime,
        #[serde(with = "rfc3339")]
        until: OffsetDateTime,
    },
    /// It was dealt with.
    Accepted {
        #[serde(with = "rfc3339")]
        since: OffsetDateTime,
    },
}

impl State {
    fn since(&self) -> OffsetDateTime {
        match self {
            State::Claimed { since, .. } | State::Accepted { since } => *since,
        }
    }
}

/// How many bytes a key may have, in every version of mako-engine.
const KEY_BYTES_MAX: usize = 509;

/// Refuses a key that is too long.
pub(crate) fn check_key(key: &str) -> Result<(), Failure> {
    let len = key.len();
    if len > KEY_BYTES_MAX {
        return Err(Failure::new(PART, format!("the key has {len} bytes, allowed are {KEY_BYTES_MAX}")));
    }
    Ok(())
}

/// What a claim has brought.
pub(crate) enum Claimed {
    Yes(Uuid),
    InFlight,
    Duplicate,
}

/// How a claim ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settle {
    Accept,
    Abandon,
}

/// A key as it was found.
struct Found {
    value: KeptValue,
    state: State,
}

impl MakoStore {
    /// Removes every key from the inbox whose last claim was made before this time and holds no more. A message that comes in
    /// again after that is taken for a new one: keep keys for longer than anybody sends a message again. Nothing else removes
    /// keys that were accepted, so call this from time to time. Says how many it removed; durable when it returns.
    ///
    /// # Errors
    /// [`Failure::Store`]. What was removed before the error is removed.
    pub async fn purge_inbox(&self, before: OffsetDateTime) -> Result<u64, Failure> {
        let mut purged = 0;
        // A claim that holds stays, and is passed over.
        let mut after = None::<String>;
        loop {
            let now = OffsetDateTime::now_utc();
            let (removed, last) =
                self.change(PART, |changes| self.purge(changes, &after, before, now)).await?;
            purged += removed;
            after = last;
            if after.is_none() {
                return Ok(purged);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Removes what is old on one page. How many, and the last name if there may be more behind it.
    fn purge(
        &self,
        changes: &mut Changes,
        after: &Option<String>,
        before: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<(u64, Option<String>), Failure> {
        let (names, before) = (&self.places.inbox_ages, sortable(before));
        let page = self.log.list_kept(names.prefix(), after.as_deref(), PAGE);
        let page = page.map_err(|error| Failure::read(PART, "the ages of the inbox", &error))?;
        let mut last = page.last().filter(|_| page.len() == PAGE).map(|value| value.name.clone());
        let mut removed = 0;
        for value in &page {
            let (since, key) = split(PART, names.foreign(&value.name).unwrap_or_default())?;
            if *since >= *before {
                last = None;
                break;
            }
            let found = self.inbox_entry(key)?.filter(|found| sortable(found.state.since()) == *since);
            match found {
                Some(Found { state: State::Claimed { until, .. }, .. }) if until > now => continue,
                Some(found) => {
                    changes.unkeep(PART, &found.value);
                    removed += 1;
                }
                None => {}
            }
            changes.clear(PART, value.name.clone());
        }
        Ok((removed, last))
    }

    /// Takes a key, if nobody has it.
    pub(crate) async fn claim_key(&self, key: &str, lease: std::time::Duration) -> Result<Claimed, Failure> {
        let id = Uuid::new_v4();
        self.change(PART, |changes| {
            let now = OffsetDateTime::now_utc();
            let found = self.inbox_entry(key)?;
            match found.as_ref().map(|found| found.state) {
                Some(State::Accepted { .. }) => return Ok(Claimed::Duplicate),
                Some(State::Claimed { until, .. }) if until > now => return Ok(Claimed::InFlight),
                _ => {}
            }
            let state = State::Claimed { claim: id, since: now, until: now + lease };
            self.keep_entry(changes, key, found.as_ref(), &state)?;
            Ok(Claimed::Yes(id))
        })
        .await
    }

    /// Ends a claim; whether it was there to be ended. Without an id, whoever made it.
    pub(crate) async fn settle_key(&self, key: &str, by: Option<Uuid>, how: Settle) -> Result<bool, Failure> {
        self.change(PART, |changes| {
            let Some(found) = self.inbox_entry(key)? else { return Ok(false) };
            let State::Claimed { claim, since, .. } = found.state else { return Ok(false) };
            if by.is_some_and(|by| by != claim) {
                return Ok(false);
            }
            match how {
                Settle::Accept => self.keep_entry(changes, key, Some(&found), &State::Accepted { since })?,
                Settle::Abandon => {
                    changes.unkeep(PART, &found.value);
                    changes.clear(PART, self.age_name(key, since));
                }
            }
            Ok(true)
        })
        .await
    }

    fn inbox_entry(&self, key: &str) -> Result<Option<Found>, Failure> {
        let Some(value) = self.kept(PART, &self.places.inbox.name(key))? else { return Ok(None) };
        let state = decode(PART, &value)?;
        Ok(Some(Found { value, state }))
    }

    /// Sets a key and its age.
    fn keep_entry(
        &self,
        changes: &mut Changes,
        key: &str,
        found: Option<&Found>,
        state: &State,
    ) -> Result<(), Failure> {
        let name = self.places.inbox.name(key);
        let json = encode(PART, &name, state)?;
        changes.keep(PART, name, found.map(|found| &found.value), json);
        let old = found.map(|found| self.age_name(key, found.state.since()));
        let new = self.age_name(key, state.since());
        if old.as_ref() != Some(&new) {
            old.into_iter().for_each(|old| changes.clear(PART, old));
            changes.set(PART, new, Vec::new());
        }
        Ok(())
    }

    fn age_name(&self, key: &str, since: OffsetDateTime) -> String {
        self.places.inbox_ages.name(&format!("{}/{key}", sortable(since)))
    }
}
