//! What is appended through every interface, and by whom before something is read.
//!
//! Owns the payload. Must be the same for every store.

use crate::watch::TASKS;
use measure::Outcome;
use serde_json::{Value, json};
use std::future::Future;
use tokio::task::JoinSet;

/// How many events a filling append has, where there are appends of many.
pub(crate) const BATCH: usize = 1_000;

/// A payload of some 200 bytes.
pub(crate) fn payload(n: usize) -> Value {
    json!({ "number": n, "customer": "9900123456789", "text": "An order of seven things was placed, paid and sent. ".repeat(3) })
}

/// The numbers from 0 to `events`, in batches.
pub(crate) fn batches(events: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..events).step_by(BATCH).map(move |first| first..events.min(first + BATCH))
}

/// Fills a store before it is read, by [`TASKS`] tasks that get their numbers.
pub(crate) async fn fill<F>(task: impl Fn(usize) -> F) -> Outcome<()>
where
    F: Future<Output = Outcome<()>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    (0..TASKS).for_each(|number| {
        tasks.spawn(task(number));
    });
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}
