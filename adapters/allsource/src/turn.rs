//! Turns: an async function that could go on for long lets the other tasks of its thread have theirs.
//!
//! Owns no runtime and no clock.

use annals::{ReadError, RecordedEvent, Subscription};
use futures_core::Stream;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// Lets others go first, once.
pub(crate) async fn turn() {
    let mut given = false;
    poll_fn(|context| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The next event, with turns for others every few hundred of them.
pub(crate) async fn next(events: &mut Subscription) -> Option<Result<RecordedEvent, ReadError>> {
    poll_fn(|context| Pin::new(&mut *events).poll_next(context)).await
}
