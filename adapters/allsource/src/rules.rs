//! What a handle must be, and an event for it, before the store is asked.
//!
//! Owns the rules that need no store. allsource's own aggregate leaves most of them to its callers.

use crate::errors::{invalid, unexpected};
use allsource_core::domain::entities::{Event, EventStream};
use allsource_core::error::Result;

/// Whether this event may be the next of this handle.
pub(crate) fn may_append(stream: &EventStream, event: &Event) -> Result<()> {
    is_whole(stream)?;
    if let Some(expected) = stream.expected_version()
        && expected != stream.current_version()
    {
        return Err(unexpected(stream, expected));
    }
    is_of(stream, event)
}

/// Whether this handle may be stored as it is.
pub(crate) fn may_save(stream: &EventStream) -> Result<()> {
    is_whole(stream)?;
    stream.events_from(1).into_iter().try_for_each(|event| is_of(stream, event))
}

/// Handles can be deserialized, and then hold anything.
fn is_whole(stream: &EventStream) -> Result<()> {
    let (events, version) = (stream.event_count() as u64, stream.current_version());
    if events == version {
        return Ok(());
    }
    Err(invalid(
        stream.stream_id(),
        format_args!("the handle is at version {version} and has {events} events"),
    ))
}

/// A stream has the events of one entity and of one tenant: that of its first event.
fn is_of(stream: &EventStream, event: &Event) -> Result<()> {
    if event.entity_id() != stream.stream_id() {
        let what = format_args!("event {} is of the entity {:?}", event.id(), event.entity_id_str());
        return Err(invalid(stream.stream_id(), what));
    }
    match stream.tenant_id() {
        Some(tenant) if tenant != event.tenant_id() => {
            let (id, theirs) = (event.id(), event.tenant_id_str());
            let what =
                format_args!("it belongs to the tenant {:?}, event {id} to {theirs:?}", tenant.as_str());
            Err(invalid(stream.stream_id(), what))
        }
        _ => Ok(()),
    }
}
