//! What mako-engine 0.23 promises.

use annals_mako::MakoStore;
use mako::dead_letter::{DeadLetterReason, DeadLetterSink};
use mako::deadline::Deadline;
use mako::envelope::NewEvent;
use mako::error::EngineError;
use mako::event_store::{AppendBatch, AppendResult, AtomicAppend, CorrelationEntry, ExpectedVersion};
use mako::ids::StreamId;
use mako::outbox::PendingOutbox;
use mako_engine as mako;

/// What can be appended to.
trait Store: AtomicAppend {}
impl<S: AtomicAppend> Store for S {}

/// Appends events.
async fn append(
    store: &impl Store,
    stream: &StreamId,
    expected: ExpectedVersion,
    events: &[NewEvent],
) -> Result<AppendResult, EngineError> {
    store.append(AppendBatch::new(stream, expected, events)).await
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
    let batch = AppendBatch::new(stream, expected, events);
    store.append(batch.outbox(outbox).deadlines(deadlines).correlations(correlations)).await
}

/// Hands over what is rejected, and waits until it is durable.
async fn reject(store: &MakoStore, reason: &DeadLetterReason) {
    store.reject(reason).await.unwrap();
}

#[path = "both/appends.rs"]
mod appends;
#[path = "both/bad.rs"]
mod bad;
mod batches;
#[path = "both/checkpoints.rs"]
mod checkpoints;
#[path = "both/deadlines.rs"]
mod deadlines;
#[path = "both/events.rs"]
mod events;
mod first_attempts;
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
