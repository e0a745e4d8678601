//! Subscriptions: cursors that wait at the end for what comes.
//!
//! Owns a place and, while it is behind, a cursor. Nothing is handed over from the writer: what is visible is read from the
//! log, whoever has just written it. So a subscription can be as slow as it likes, holds no events, and cannot miss one.

use crate::engine::cursor::{Cursor, Events};
use crate::engine::log::EventLog;
use crate::engine::shared::Shared;
use crate::engine::slot::ThreadWaker;
use crate::engine::watchers::{Key, Over, Watcher};
use crate::error::ReadError;
use crate::event::RecordedEvent;
use crate::index::streams::hash_of;
use crate::query::{Query, Scope};
use futures_core::Stream;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How many events a poller is given in a row before it gives way to others.
const GIVEN_AT_ONCE: u32 = 256;
/// How much a poll may pass over before it gives way to others: events, or runs of streams that do not match.
const PASSED_AT_ONCE: u64 = 8192;

/// A reader that follows the log: first what is there, then what comes, in order, each event once, none that could vanish.
///
/// It is an iterator that blocks, and a [`futures_core::Stream`] of no particular runtime; use one or the other. Both end
/// when everything before the log's close was given, when the query's end or limit is reached, or when it is cancelled.
/// After an error it is at its end; subscribe again behind the last event. With [`Query::until_now`] it is the way to read
/// what is there in async code: the stream gives way to other tasks every few hundred events, however fast it could go on.
///
/// It holds the log's internals, not the log: it does not keep it open.
pub struct Subscription {
    shared: Arc<Shared>,
    query: Query,
    /// Everything up to here was given, or did not match.
    place: u64,
    /// A cursor, and the place that was visible when it was made.
    events: Option<(Events, u64)>,
    watcher: Arc<Watcher>,
    /// How many events a poller may still be given in a row.
    given_left: u32,
    ended: bool,
}

/// What a look at the log has brought.
enum Look {
    Event(RecordedEvent),
    Error(ReadError),
    /// Nothing now; more may come.
    Nothing,
    /// Nothing so far: what there was to pass over is not at its end.
    Passed,
    Ended,
}

/// What a wait has brought.
#[derive(Debug, Clone)]
pub enum Next {
    /// An event.
    Event(RecordedEvent),
    /// Nothing came in the given time.
    TimedOut,
    /// Nothing will come any more.
    Ended,
}

/// Ends a [`Subscription`] from elsewhere.
#[derive(Debug, Clone)]
pub struct Canceller {
    watcher: Arc<Watcher>,
}

impl Canceller {
    /// Ends the subscription: who waits for it is woken, and it gives nothing more.
    pub fn cancel(&self) {
        self.watcher.cancel();
    }
}

impl EventLog {
    /// Follows the events that a [`Query`] describes: first those that are there, then those that come. "From now" is
    /// fixed by this call. A stream that does not exist yet can be followed. Neither blocks nor touches the disk.
    pub fn subscribe(&self, query: &Query) -> Subscription {
        let shared = self.shared().clone();
        let mut query = query.clone();
        (query.backward, query.budget) = (false, u64::MAX);
        let key = match &query.scope {
            Scope::Everything => Key::Everything,
            Scope::Stream(id) => Key::Stream(id.clone()),
            Scope::Prefix(prefix) => Key::Prefix(prefix.clone()),
        };
        let watcher = Watcher::new(key);
        let mut subscription = Subscription {
            shared,
            query,
            place: 0,
            events: None,
            watcher,
            given_left: GIVEN_AT_ONCE,
            ended: false,
        };
        let now = subscription.visible().0;
        let query = &mut subscription.query;
        let from_now = std::mem::take(&mut query.from_now);
        if std::mem::take(&mut query.until_now) {
            query.before = query.before.min(now + 1);
        }
        subscription.place = if from_now { now } else { query.after };
        subscription
    }
}

impl Subscription {
    /// How far the log is ahead: events of the scope's order (versions of a stream, else positions) that were not looked
    /// at yet, whether they match or not.
    pub fn lag(&self) -> u64 {
        self.visible().0.min(self.query.before.saturating_sub(1)).saturating_sub(self.place)
    }

    /// Everything up to here was given, or did not match: a version of a stream, else a position. Another subscription
    /// [`after`](Query::after) this place goes on where this one is.
    pub fn place(&self) -> u64 {
        self.place
    }

    /// Whether nothing will come any more.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether the log takes no more appends, so that nothing new will come.
    pub(crate) fn is_over(&self) -> bool {
        self.shared.watchers.over().is_some()
    }

    /// Wakes `waker` when something comes, or the log ends; `false` if it has ended.
    pub(crate) fn watch(&self, waker: &Waker) -> bool {
        self.shared.watchers.arm(&self.watcher, waker).is_ok()
    }

    /// The place as a position: everything of the query up to it was given.
    pub(crate) fn position(&self) -> u64 {
        match &self.query.scope {
            Scope::Stream(id) => {
                let hash = hash_of(id);
                self.shared.ask(|view| view.index.position_of(id, hash, self.place))
            }
            _ => self.place,
        }
    }

    /// A handle that ends this subscription from another thread.
    pub fn canceller(&self) -> Canceller {
        Canceller { watcher: self.watcher.clone() }
    }

    /// The next event, waited for at most so long. Zero: what is there now.
    ///
    /// # Errors
    /// See [`ReadError`]. The subscription is at its end then.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Next, ReadError> {
        // A time that no clock can name is no limit.
        self.wait(Instant::now().checked_add(timeout))
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Result<Next, ReadError> {
        // Most calls find an event: only those that do not pay for a waker.
        match self.look(u64::MAX) {
            Look::Event(event) => return Ok(Next::Event(event)),
            Look::Error(error) => return Err(error),
            Look::Ended => return Ok(Next::Ended),
            Look::Nothing | Look::Passed => {}
        }
        let waker = ThreadWaker::current();
        loop {
            match self.poll_event(&waker, u64::MAX) {
                Poll::Ready(Some(result)) => return result.map(Next::Event),
                Poll::Ready(None) => return Ok(Next::Ended),
                Poll::Pending => {}
            }
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => std::thread::park(),
                Some(Duration::ZERO) => return Ok(Next::TimedOut),
                Some(left) => std::thread::park_timeout(left),
            }
        }
    }

    /// The next event, or the end, or `None` and a wake-up when there is one, or when so much was passed over as `budget` says.
    pub(crate) fn poll_event(
        &mut self,
        waker: &Waker,
        budget: u64,
    ) -> Poll<Option<Result<RecordedEvent, ReadError>>> {
        let mut over = None;
        // What comes between the first look and the arming wakes nobody: look again.
        for armed in [false, true] {
            match self.look(budget) {
                Look::Event(event) => return Poll::Ready(Some(Ok(event))),
                Look::Error(error) => return Poll::Ready(Some(Err(error))),
                Look::Ended => return Poll::Ready(None),
                Look::Passed => {
                    waker.wake_by_ref();
                    return Poll::Pending;
                }
                Look::Nothing if !armed => over = self.shared.watchers.arm(&self.watcher, waker).err(),
                Look::Nothing => {}
            }
        }
        over.map_or(Poll::Pending, |over| Poll::Ready(self.end(over)))
    }

    fn end(&mut self, over: Over) -> Option<Result<RecordedEvent, ReadError>> {
        self.ended = true;
        match over {
            Over::Closed => None,
            Over::Poisoned(cause) => Some(Err(ReadError::Poisoned(cause))),
        }
    }

    /// What is there now, passing over as much as `budget` says at most.
    #[inline]
    fn look(&mut self, budget: u64) -> Look {
        loop {
            self.ended |= self.watcher.is_cancelled() || self.query.limit == 0;
            if self.ended {
                self.events = None;
                return Look::Ended;
            }
            if let Some((events, end)) = &mut self.events {
                match events.next() {
                    Some(Ok(event)) => {
                        self.place = match self.query.scope {
                            Scope::Stream(_) => event.version(),
                            _ => event.position(),
                        };
                        self.query.limit -= u64::from(self.query.limit < u64::MAX);
                        return Look::Event(event);
                    }
                    Some(Err(error)) => {
                        self.ended = true;
                        return Look::Error(error);
                    }
                    None => {
                        let passed = events.stopped_at();
                        // Whatever it left out does not match.
                        let end = events.end().max(*end).min(self.query.before.saturating_sub(1));
                        self.place = self.place.max(passed.unwrap_or(end));
                        self.events = None;
                        if passed.is_some() {
                            return Look::Passed;
                        }
                    }
                }
            }
            if self.place.saturating_add(1) >= self.query.before {
                self.ended = true;
                continue;
            }
            let (end, gone) = self.visible();
            if end <= self.place && !gone {
                return Look::Nothing;
            }
            // The limit is counted here: a cursor without one has less to look at.
            let query = self.query.clone().after(self.place).limit(u64::MAX);
            let query = if query.is_plain() { query } else { query.budget(budget) };
            self.events = Some((Cursor::query(&self.shared, &query).into_iter(), end));
        }
    }

    /// The last place that is visible, and whether the stream has been ended, which a cursor will say.
    fn visible(&self) -> (u64, bool) {
        match &self.query.scope {
            Scope::Stream(id) => {
                let state = self.shared.state(id, hash_of(id));
                // So will it say that the index is broken, by which the stream is not known.
                let Some(state) = state else { return (0, self.shared.view.read().broken.is_some()) };
                let foreign = self
                    .query
                    .tenant
                    .as_ref()
                    .is_some_and(|tenant| state.tenant.as_ref().is_none_or(|bound| **bound != **tenant));
                (state.version, state.tombstoned && !foreign)
            }
            _ => (self.shared.view.read().visible.position, false),
        }
    }
}

impl Iterator for Subscription {
    type Item = Result<RecordedEvent, ReadError>;

    /// Blocks until there is an event.
    fn next(&mut self) -> Option<Self::Item> {
        match self.wait(None) {
            Ok(Next::Event(event)) => Some(Ok(event)),
            Ok(Next::TimedOut | Next::Ended) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl std::iter::FusedIterator for Subscription {}

impl Stream for Subscription {
    type Item = Result<RecordedEvent, ReadError>;

    /// Reads what is there on the calling thread, out of the mapped segments, but only so much in a row; waits for nothing but
    /// events.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.given_left == 0 {
            self.given_left = GIVEN_AT_ONCE;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = self.poll_event(context.waker(), PASSED_AT_ONCE);
        self.given_left = if polled.is_ready() { self.given_left - 1 } else { GIVEN_AT_ONCE };
        polled
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.watchers.forget(&self.watcher);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("query", &self.query)
            .field("place", &self.place)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::PoisonCause;
    use crate::options::Options;
    use crate::storage::Memory;

    #[test]
    fn a_log_that_is_poisoned_while_its_driver_is_between_two_batches_ends_subscriptions() {
        let log = Options::new().background(false).open_storage(Arc::new(Memory::new())).unwrap();
        let mut following = log.subscribe(&Query::everything());
        let mut next = || following.next_within(Duration::ZERO);
        assert!(matches!(next(), Ok(Next::TimedOut)));
        let shared = log.shared();
        shared.sequencer().driving = true;
        shared.poison(shared.sequencer(), 1, PoisonCause::Panic);
        // A batch could still be on its way, and come.
        assert!(matches!(next(), Ok(Next::TimedOut)));
        shared.leave_role(shared.sequencer());
        assert!(matches!(next(), Err(ReadError::Poisoned(PoisonCause::Panic))));
    }
}
