//! The stream that a subscriber holds.
//!
//! Owns its end: a stream of envelopes cannot carry an error, so one that meets something it cannot give ends there, and says
//! where in the program's traces. It must never pass over an event.

use crate::envelope::read;
use annals::Subscription;
use futures_core::Stream;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use this::core::events::EventEnvelope;

/// The events behind a place, for one consumer.
pub(crate) struct Followed {
    /// `None` once it has ended.
    subscription: Option<Subscription>,
    stream: String,
    consumer: String,
}

impl Followed {
    pub(crate) fn new(subscription: Subscription, stream: &str, consumer: &str) -> Followed {
        Followed {
            subscription: Some(subscription),
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
        }
    }

    /// Ends the stream behind the event with this number.
    fn fail(&mut self, last_given: u64, error: &dyn Error) {
        self.subscription = None;
        tracing::error!(
            stream = self.stream,
            consumer = self.consumer,
            last_given,
            error = %error,
            "a subscription has ended: what stands behind its last event cannot be given"
        );
    }
}

impl Stream for Followed {
    type Item = EventEnvelope;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<EventEnvelope>> {
        let Some(subscription) = &mut self.subscription else { return Poll::Ready(None) };
        let last_given = subscription.place();
        let next = ready!(Pin::new(subscription).poll_next(context));
        Poll::Ready(match next {
            Some(Ok(event)) => read(&event).map_err(|error| self.fail(last_given, &error)).ok(),
            Some(Err(error)) => {
                self.fail(last_given, &error);
                None
            }
            None => {
                self.subscription = None;
                None
            }
        })
    }
}
