//! The outbox: messages that wait for their delivery.
//!
//! Owns how they stand in the log. A message is a kept value, under its id; beside it, one empty value has a name that sorts it:
//! by its creation among those that are ready, or by its time among those that are deferred. Both change in one batch, on the
//! condition that the message is as it was found: so a message that was acknowledged stays away, whatever else was under way.

use crate::change::{Changes, PAGE, last_of_each};
use crate::failure::{Failure, Part};
use crate::places::sortable;
use crate::store::MakoStore;
use crate::value::{decode, encode};
use annals::KeptValue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BinaryHeap;
use time::OffsetDateTime;
use time::serde::rfc3339;
use uuid::Uuid;

const PART: Part = Part::Outbox;

/// A message to be enqueued.
pub(crate) struct Entry {
    pub(crate) id: Uuid,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) deliver_after: Option<OffsetDateTime>,
    pub(crate) json: Vec<u8>,
}

/// A message as it stands in the log, whichever version wrote it: what the store changes, and the rest as it is.
#[derive(Serialize, Deserialize)]
struct Message {
    #[serde(with = "rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "rfc3339::option")]
    deliver_after: Option<OffsetDateTime>,
    attempt_count: u32,
    #[serde(default, with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    first_attempt_at: Option<OffsetDateTime>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl MakoStore {
    /// Enqueues messages, all or none. One that is there already is replaced.
    pub(crate) async fn enqueue_messages(&self, messages: &[Entry]) -> Result<(), Failure> {
        self.change(PART, |changes| self.add_messages(changes, messages)).await
    }

    pub(crate) fn add_messages(&self, changes: &mut Changes, messages: &[Entry]) -> Result<(), Failure> {
        for message in last_of_each(messages, |message| message.id) {
            let name = self.message_name(message.id);
            let found = self.kept(PART, &name)?;
            if let Some(found) = &found {
                let old = decode::<Message>(PART, found)?;
                changes.clear(PART, self.sorted(message.id, old.created_at, old.deliver_after));
            }
            changes.keep(PART, name, found.as_ref(), message.json.clone());
            changes.set(PART, self.sorted(message.id, message.created_at, message.deliver_after), Vec::new());
        }
        Ok(())
    }

    /// Removes a message, if it is there.
    pub(crate) async fn acknowledge_message(&self, id: Uuid) -> Result<(), Failure> {
        self.change(PART, |changes| {
            if let Some((found, message)) = self.message(id)? {
                changes.unkeep(PART, &found);
                changes.clear(PART, self.sorted(id, message.created_at, message.deliver_after));
            }
            Ok(())
        })
        .await
    }

    /// Defers a message, if it is there, and counts the attempt.
    pub(crate) async fn reschedule_message(
        &self,
        id: Uuid,
        deliver_after: OffsetDateTime,
    ) -> Result<(), Failure> {
        self.change(PART, |changes| {
            let Some((found, mut message)) = self.message(id)? else { return Ok(()) };
            changes.clear(PART, self.sorted(id, message.created_at, message.deliver_after));
            message.deliver_after = Some(deliver_after);
            message.attempt_count = message.attempt_count.saturating_add(1);
            changes.set(PART, self.sorted(id, message.created_at, message.deliver_after), Vec::new());
            changes.keep(PART, found.name.clone(), Some(&found), encode(PART, &found.name, &message)?);
            Ok(())
        })
        .await
    }

    /// Notes when a message was first sent, unless that is noted already, and says when it was. `None` if it is not there.
    pub(crate) async fn first_attempt(
        &self,
        id: Uuid,
        at: OffsetDateTime,
    ) -> Result<Option<OffsetDateTime>, Failure> {
        self.change(PART, |changes| {
            let Some((found, mut message)) = self.message(id)? else { return Ok(None) };
            if message.first_attempt_at.is_none() {
                message.first_attempt_at = Some(at);
                changes.keep(PART, found.name.clone(), Some(&found), encode(PART, &found.name, &message)?);
            }
            Ok(message.first_attempt_at)
        })
        .await
    }

    /// The oldest messages that may be delivered now, at most `limit`. Looks at the names of those, and at the names of all
    /// deferred ones whose time has come; reads no message that it does not return.
    pub(crate) async fn pending_messages<M: DeserializeOwned>(
        &self,
        limit: usize,
        now: OffsetDateTime,
        may_go: impl Fn(&M) -> bool,
    ) -> Result<Vec<M>, Failure> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        // Deferred ones first: one that is deferred meanwhile is then seen once, or not at all.
        let mut oldest = self.deferred(limit, now).await?;
        let mut ready = 0;
        let places = &self.places;
        self.scan(PART, places.ready.prefix(), |value| {
            oldest.push(places.ready.foreign(&value.name).unwrap_or_default().to_owned());
            ready += 1;
            Ok(ready < limit)
        })
        .await?;
        oldest.sort_unstable();
        oldest.dedup();
        oldest.truncate(limit);
        let mut messages = Vec::with_capacity(oldest.len());
        for (i, place) in oldest.iter().enumerate() {
            let (_, id) = split(PART, place)?;
            // One that is gone was acknowledged a moment ago.
            if let Some(found) = self.kept(PART, &places.messages.name(id))? {
                let message = decode(PART, &found)?;
                if may_go(&message) {
                    messages.push(message);
                }
            }
            if i % PAGE == PAGE - 1 {
                tokio::task::yield_now().await;
            }
        }
        Ok(messages)
    }

    /// The oldest of the deferred messages whose time has come: `<creation time>/<id>`, in no order.
    async fn deferred(&self, limit: usize, now: OffsetDateTime) -> Result<Vec<String>, Failure> {
        let (now, names) = (sortable(now), &self.places.deferred);
        // The youngest of those that were kept so far is on top.
        let mut oldest = BinaryHeap::new();
        self.scan(PART, names.prefix(), |value| {
            let (time, place) = split(PART, names.foreign(&value.name).unwrap_or_default())?;
            if *time > *now {
                return Ok(false);
            }
            oldest.push(place.to_owned());
            if oldest.len() > limit {
                oldest.pop();
            }
            Ok(true)
        })
        .await?;
        Ok(oldest.into_vec())
    }

    fn message_name(&self, id: Uuid) -> String {
        self.places.messages.name(&id.to_string())
    }

    fn message(&self, id: Uuid) -> Result<Option<(KeptValue, Message)>, Failure> {
        let Some(found) = self.kept(PART, &self.message_name(id))? else { return Ok(None) };
        let message = decode(PART, &found)?;
        Ok(Some((found, message)))
    }

    /// The name that sorts a message.
    fn sorted(&self, id: Uuid, created_at: OffsetDateTime, deliver_after: Option<OffsetDateTime>) -> String {
        let place = format!("{}/{id}", sortable(created_at));
        match deliver_after {
            None => self.places.ready.name(&place),
            Some(time) => self.places.deferred.under(&sortable(time)).name(&place),
        }
    }
}

/// What stands before the first `/` of a name that sorts something, and behind it.
pub(crate) fn split(part: Part, name: &str) -> Result<(&str, &str), Failure> {
    let parts = name.split_once('/');
    parts.ok_or_else(|| Failure::new(part, format!("{name:?} is no name that this store writes")))
}
