//! What the tests have in common: events, logs, streams, and a rule that both stores are put to.

use annals_this::{ThisError, ThisLog};
use futures_util::StreamExt;
use serde_json::json;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use this::core::events::{EntityEvent, EventEnvelope, FrameworkEvent, LinkEvent};
use this::events::{EventLog, InMemoryEventLog, SeekPosition};
use this::prelude::Uuid;

/// What `subscribe` gives.
pub(crate) type Events = Pin<Box<dyn futures_util::Stream<Item = EventEnvelope> + Send>>;

/// An entity of a type was created.
pub(crate) fn created(entity_type: &str) -> EventEnvelope {
    let (entity_type, entity_id, data) = (entity_type.to_owned(), Uuid::new_v4(), json!({"name": "test"}));
    EventEnvelope::new(FrameworkEvent::Entity(EntityEvent::Created { entity_type, entity_id, data }))
}

/// A link of a type was made.
pub(crate) fn linked(link_type: &str) -> EventEnvelope {
    let (link_id, source_id, target_id) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let link_type = link_type.to_owned();
    let event = LinkEvent::Created { link_type, link_id, source_id, target_id, metadata: None };
    EventEnvelope::new(FrameworkEvent::Link(event))
}

/// The type of the entity that an event is about.
pub(crate) fn entity_type(envelope: &EventEnvelope) -> &str {
    envelope.event.entity_type().unwrap()
}

/// Everything that an envelope says; equal texts are equal envelopes.
pub(crate) fn text(envelope: &EventEnvelope) -> String {
    format!("{envelope:?}")
}

pub(crate) fn memory() -> ThisLog {
    ThisLog::new(annals::EventLog::in_memory().unwrap())
}

/// Puts the framework's own store, the adapter in memory and the adapter on disk to one rule.
pub(crate) async fn both(rule: impl AsyncFn(Arc<dyn EventLog>)) {
    rule(Arc::new(InMemoryEventLog::new())).await;
    ours(rule).await;
}

/// Puts only the adapter to a rule, in memory and on disk.
pub(crate) async fn ours(rule: impl AsyncFn(Arc<dyn EventLog>)) {
    rule(Arc::new(memory())).await;
    let dir = tempfile::tempdir().unwrap();
    rule(Arc::new(ThisLog::open(dir.path()).unwrap())).await;
}

/// Appends `type_1` to `type_<n>`.
pub(crate) async fn fill(log: &dyn EventLog, n: u64) {
    for i in 1..=n {
        log.append(created(&format!("type_{i}"))).await.unwrap();
    }
}

/// Waits for what must come, and fails instead of waiting for ever.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("it does not come")
}

/// Waits until something is so, and fails if it never is.
pub(crate) async fn until(what: impl AsyncFn() -> bool) {
    soon(async {
        while !what().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

pub(crate) async fn next(events: &mut Events) -> EventEnvelope {
    soon(events.next()).await.expect("the stream has ended")
}

/// The numbers of the next events.
pub(crate) async fn numbers(events: &mut Events, n: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < n {
        numbers.push(next(events).await.seq_no.unwrap());
    }
    numbers
}

/// The numbers of the first events from a position.
pub(crate) async fn first(log: &dyn EventLog, consumer: &str, position: SeekPosition, n: usize) -> Vec<u64> {
    numbers(&mut log.subscribe(consumer, position).await.unwrap(), n).await
}

/// The number of the first event behind what a consumer has acknowledged.
pub(crate) async fn resumes(log: &dyn EventLog, consumer: &str) -> u64 {
    first(log, consumer, SeekPosition::LastAcknowledged, 1).await[0]
}

/// A stream has nothing to give now, and has not ended.
pub(crate) fn waits(events: &mut Events) -> bool {
    matches!(events.as_mut().poll_next(&mut Context::from_waker(Waker::noop())), Poll::Pending)
}

/// The numbers that a stream gives until it ends; and that it stays at its end.
pub(crate) async fn rest(mut events: Events) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(envelope) = soon(events.next()).await {
        numbers.push(envelope.seq_no.unwrap());
    }
    for _ in 0..3 {
        assert!(soon(events.next()).await.is_none(), "it goes on behind its end");
    }
    numbers
}

/// What an error of the trait holds.
pub(crate) fn cause(error: anyhow::Error) -> ThisError {
    error.downcast().expect("every error is a ThisError")
}

/// A log as a kill would leave it now: its files are copied as they are, and opened.
pub(crate) fn killed(dir: &Path) -> (tempfile::TempDir, ThisLog) {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let log = ThisLog::open(copy.path()).unwrap();
    (copy, log)
}

/// Where a consumer is.
pub(crate) fn place(log: &ThisLog, consumer: &str) -> Option<u64> {
    log.consumer_state(consumer).unwrap().last_acked
}

/// What a program's traces say while it lives.
#[derive(Clone, Default)]
pub(crate) struct Traces(Arc<Mutex<Vec<u8>>>);

impl Traces {
    /// Collects the traces of this thread, until the guard goes.
    pub(crate) fn collect(&self) -> tracing::subscriber::DefaultGuard {
        let traces = self.clone();
        let collector =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || traces.clone()).finish();
        tracing::subscriber::set_default(collector)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Traces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
