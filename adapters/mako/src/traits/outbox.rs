//! Messages of this version.
//!
//! Compiled against each version of mako-engine.

use super::mako::error::EngineError;
use super::mako::outbox::OutboxMessage;
use crate::failure::{Failure, Part};
use crate::outbox::Entry;
use crate::store::MakoStore;
use crate::value::encode;
use time::OffsetDateTime;

/// A message as it stands in the log.
pub(super) fn entry(message: &OutboxMessage) -> Result<Entry, Failure> {
    Ok(Entry {
        id: message.message_id.as_uuid(),
        created_at: message.created_at,
        deliver_after: message.deliver_after,
        json: encode(Part::Outbox, &format!("message {}", message.message_id), message)?,
    })
}

pub(super) async fn enqueue(store: &MakoStore, messages: &[OutboxMessage]) -> Result<(), EngineError> {
    let entries = messages.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    Ok(store.enqueue_messages(&entries).await?)
}

pub(super) async fn pending(
    store: &MakoStore,
    limit: usize,
    now: OffsetDateTime,
) -> Result<Vec<OutboxMessage>, EngineError> {
    let may_go = |message: &OutboxMessage| message.deliver_after.is_none_or(|time| time <= now);
    Ok(store.pending_messages(limit, now, may_go).await?)
}
