//! What mako-engine 0.22 promises.

use annals_mako::MakoStore;
use mako::dead_letter::{DeadLetterReason, DeadLetterSink};
use mako::deadline::Deadline;
use mako::envelope::NewEvent;
use mako::error::EngineError;
use mako::event_store::{AppendResult, AtomicAppend, CorrelationEntry, EventStore, ExpectedVersion};
use mako::ids::StreamId;
use mako::outbox::PendingOutbox;
use mako_engine_0_22 as mako;

/// What can be appended to.
trait Store: EventStore {}
impl<S: EventStore> Store for S {}

/// Appends events.
async fn append(
    store: &impl Store,
    stream: &StreamId,
    expected: ExpectedVersion,
    events: &[NewEvent],
) -> Result<AppendResult, EngineError> {
    store.append(stream, expected, events).await
}

/// Appends events with all that belongs to them.
async fn append_all(
    store: &MakoStore,
    stream: &StreamId,
    expected: ExpectedVersion,
    events: &[NewEvent],
    outbox: &[PendingOutbox],
    deadlines: &[Deadline],
    correlations: &[CorrelationEntry],
) -> Result<AppendResult, EngineError> {
    AtomicAppend::append_with_outbox_deadlines_and_correlations(
        store,
        stream,
        expected,
        events,
        outbox,
        deadlines,
        correlations,
    )
    .await
}

/// Hands over what is rejected, and waits until it is durable.
async fn reject(store: &MakoStore, reason: &DeadLetterReason) {
    let before = store.log().stream_version(store.dead_letter_stream());
    store.reject(reason);
    while store.log().stream_version(store.dead_letter_stream()) == before {
        tokio::task::yield_now().await;
    }
}

#[path = "both/appends.rs"]
mod appends;
mod atomics;
#[path = "both/bad.rs"]
mod bad;
#[path = "both/checkpoints.rs"]
mod checkpoints;
#[path = "both/deadlines.rs"]
mod deadlines;
#[path = "both/events.rs"]
mod events;
mod framework;
mod inbox;
#[path = "both/listing.rs"]
mod listing;
#[path = "both/make.rs"]
pub(crate) mod make;
#[path = "both/outbox.rs"]
mod outbox;
#[path = "both/partners.rs"]
mod partners;
#[path = "both/registry.rs"]
mod registry;
#[path = "both/rejections.rs"]
mod rejected;
mod rejections;
#[path = "both/snapshots.rs"]
mod snapshots;
