//! Outcomes of appends, and the handle to one that is under way.
//!
//! Owns the translation from what the sequencer assigned to what the user sees. Polling a handle does no input or output
//! and parks no thread.

use crate::engine::answer::{Assigned, Sequenced};
use crate::engine::progress::Reached;
use crate::engine::request::Request;
use crate::engine::shared::Shared;
use crate::engine::slot::Slot;
use crate::error::AppendError;
use crate::event::derived_id;
use crate::types::Durability;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// What became of an append to one stream.
///
/// An append without events registers the stream and assigns nothing: then `first_version` is `last_version + 1` and
/// `first_position` is `last_position + 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// Version of the first event.
    pub first_version: u64,
    /// Version of the last event: the stream's version now.
    pub last_version: u64,
    /// Position of the first event.
    pub first_position: u64,
    /// Position of the last event.
    pub last_position: u64,
    /// Time given to all events of the append, nanoseconds since 1970.
    pub time_nanos: u64,
    /// This call registered the stream: nobody knew it before.
    pub created: bool,
    /// The append was made before, and this is what it was given then (see
    /// [`Options::idempotency_window`](crate::Options::idempotency_window)).
    pub repeated: bool,
    /// The level reached when this was told; at least what was asked for.
    pub durability: Durability,
    log_id: Uuid,
}

/// What became of one part of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamAppended {
    /// The stream.
    pub stream: String,
    /// Version of the part's first event; `last_version + 1` if it has none.
    pub first_version: u64,
    /// Version of the stream after this part.
    pub last_version: u64,
    /// Position of the part's first event; of the next event to come if it has none.
    pub first_position: u64,
    /// This part registered the stream: nobody knew it before.
    pub created: bool,
}

/// What became of a kept value that was set or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptChanged {
    /// Its name.
    pub name: String,
    /// The revision that this change has; larger than all before, in the whole log.
    pub revision: u64,
    /// The revision of the value that was there before, if there was one. Not known of a repeated append.
    pub replaced: Option<u64>,
    /// The level reached when this was told; at least what was asked for.
    pub durability: Durability,
}

/// What became of a batch over many streams.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchAppended {
    /// Position of the batch's first event.
    pub first_position: u64,
    /// Position of its last event; `first_position - 1` if it has none.
    pub last_position: u64,
    /// Time given to all events of the batch, nanoseconds since 1970.
    pub time_nanos: u64,
    /// One for each part about a stream, in the order in which the parts were added.
    pub streams: Vec<StreamAppended>,
    /// One for each kept value that was set or deleted, in the order in which they were added.
    pub kept: Vec<KeptChanged>,
    /// The batch was appended before, and this is what it was given then (see
    /// [`Options::idempotency_window`](crate::Options::idempotency_window)).
    pub repeated: bool,
    /// The level reached when this was told; at least what was asked for.
    pub durability: Durability,
    log_id: Uuid,
}

impl Appended {
    /// The id of the event at this position, if it was appended without one of its own: [`Event::id`](crate::Event::id)
    /// will say the same.
    pub fn id_at(&self, position: u64) -> Uuid {
        derived_id(self.log_id, position)
    }

    /// When the events were appended.
    pub fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.time_nanos)
    }
}

impl BatchAppended {
    /// The id of the event at this position, if it was appended without one of its own: [`Event::id`](crate::Event::id)
    /// will say the same.
    pub fn id_at(&self, position: u64) -> Uuid {
        derived_id(self.log_id, position)
    }

    /// When the events were appended.
    pub fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.time_nanos)
    }
}

/// An outcome, made from what the sequencer assigned. Not for users to implement.
pub trait FromAssigned: Sized {
    #[doc(hidden)]
    fn from_assigned(parts: Parts) -> Self;
}

/// How an append calls its parties, for its outcome: a name for each part, in the order of the parts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    pub(crate) streams: Vec<String>,
    pub(crate) kept: Vec<String>,
}

impl Names {
    pub(crate) fn of(request: &Request) -> Names {
        Names {
            streams: request.stream_parts().map(str::to_owned).collect(),
            kept: request.kept_parts().map(str::to_owned).collect(),
        }
    }
}

/// What an outcome is made of.
#[doc(hidden)]
pub struct Parts {
    assigned: Assigned,
    names: Names,
    durability: Durability,
    log_id: Uuid,
}

impl FromAssigned for Appended {
    fn from_assigned(Parts { assigned, durability, log_id, .. }: Parts) -> Self {
        let run = assigned.runs.as_slice().first();
        Appended {
            first_version: run.map_or(0, |run| run.first_version),
            last_version: run.map_or(0, |run| run.last_version),
            first_position: assigned.first_position,
            last_position: last_position(&assigned),
            time_nanos: assigned.time,
            created: run.is_some_and(|run| run.created),
            repeated: assigned.repeated,
            durability,
            log_id,
        }
    }
}

impl FromAssigned for KeptChanged {
    fn from_assigned(Parts { assigned, names, durability, .. }: Parts) -> Self {
        let kept = assigned.kept.first();
        KeptChanged {
            name: names.kept.into_iter().next().unwrap_or_default(),
            revision: kept.map_or(0, |kept| kept.revision),
            replaced: kept.and_then(|kept| kept.replaced),
            durability,
        }
    }
}

impl FromAssigned for BatchAppended {
    fn from_assigned(Parts { assigned, names, durability, log_id }: Parts) -> Self {
        let runs = assigned.runs.as_slice().iter().zip(names.streams);
        let streams = runs.map(|(run, stream)| StreamAppended {
            stream,
            first_version: run.first_version,
            last_version: run.last_version,
            first_position: run.first_position,
            created: run.created,
        });
        let kept = assigned.kept.iter().zip(names.kept).map(|(kept, name)| KeptChanged {
            name,
            revision: kept.revision,
            replaced: kept.replaced,
            durability,
        });
        BatchAppended {
            first_position: assigned.first_position,
            last_position: last_position(&assigned),
            time_nanos: assigned.time,
            streams: streams.collect(),
            kept: kept.collect(),
            repeated: assigned.repeated,
            durability,
            log_id,
        }
    }
}

fn last_position(assigned: &Assigned) -> u64 {
    assigned.first_position + u64::from(assigned.events) - 1
}

/// Makes an outcome of what was assigned.
pub(crate) fn outcome<T: FromAssigned>(
    shared: &Shared,
    assigned: Assigned,
    names: Names,
    durability: Durability,
) -> T {
    T::from_assigned(Parts { assigned, names, durability, log_id: shared.log_id })
}

/// An append under way: wait for it, poll it, await it, or let it go.
///
/// Once an append is numbered ([`Pending::assigned`] tells), dropping the handle cancels nothing: the append becomes durable
/// or the log is poisoned. Before that, it waits in a queue for room, and dropping the handle withdraws it.
///
/// An append to a log in memory is done at once; awaited, it gives way to other tasks once all the same, or a task that appends
/// in a loop would keep its thread from them.
///
/// The handle holds the log's internals, not the log: it does not keep the log open.
#[must_use = "an append that still waits for room is withdrawn when its handle is dropped"]
pub struct Pending<T> {
    shared: Arc<Shared>,
    state: State,
    names: Names,
    level: Durability,
    registered: Option<Waker>,
    /// The append was done when it was submitted: the first poll gives way to other tasks.
    gives_way: bool,
    outcome: std::marker::PhantomData<fn() -> T>,
}

enum State {
    Sequenced(Sequenced),
    Queued(Arc<Slot>),
    /// The handle is being waited for, and this is the end of it.
    Told,
}

impl<T: FromAssigned> Pending<T> {
    pub(crate) fn sequenced(
        shared: Arc<Shared>,
        sequenced: Sequenced,
        names: Names,
        level: Durability,
        gives_way: bool,
    ) -> Self {
        let mut pending = Pending::of(shared, State::Sequenced(sequenced), names, level);
        pending.gives_way = gives_way;
        pending
    }

    pub(crate) fn queued(shared: Arc<Shared>, slot: Arc<Slot>, names: Names, level: Durability) -> Self {
        Pending::of(shared, State::Queued(slot), names, level)
    }

    fn of(shared: Arc<Shared>, state: State, names: Names, level: Durability) -> Self {
        let outcome = std::marker::PhantomData;
        Pending { shared, state, names, level, registered: None, gives_way: false, outcome }
    }

    /// What the append was given, or why it was refused: known as soon as it is numbered, long before it is durable.
    /// `None` while it waits for room, and for a repeat while the first append is not visible.
    ///
    /// **Provisional**: it rests on appends that a crash could still lose, its own and those before. Only
    /// [`Pending::wait`] and awaiting tell what is durable.
    pub fn assigned(&self) -> Option<Result<T, AppendError>> {
        let sequenced = match &self.state {
            State::Sequenced(sequenced) => sequenced.clone(),
            State::Queued(slot) => slot.peek()?,
            State::Told => return None,
        };
        if sequenced.repeats.is_some() {
            // Only the stored bytes tell whether it is the same append.
            let visible = self.shared.progress.reached(sequenced.batch, Durability::Synced) == Reached::Yes;
            let level = Durability::Synced;
            return visible.then(|| {
                self.shared.resolve(sequenced).map(|a| outcome(&self.shared, a, self.names.clone(), level))
            });
        }
        let level = self.shared.progress.level(sequenced.batch);
        Some(sequenced.result.map(|assigned| outcome(&self.shared, assigned, self.names.clone(), level)))
    }

    /// Blocks until the append has reached its level, or failed.
    ///
    /// # Errors
    /// See [`AppendError`]. A conflict is told only once the state that it rests on is durable.
    pub fn wait(mut self) -> Result<T, AppendError> {
        if let State::Queued(slot) = &self.state {
            let slot = slot.clone();
            self.state = State::Sequenced(self.shared.wait_slot(&slot));
        }
        let State::Sequenced(sequenced) = mem::replace(&mut self.state, State::Told) else {
            return Err(AppendError::Closed);
        };
        // Perhaps nobody commits just now, and this thread has nothing better to do.
        if self.shared.progress.reached(sequenced.batch, self.level) == Reached::NotYet {
            self.shared.help();
        }
        let (assigned, durability) = self.shared.settle_wait(sequenced, self.level)?;
        Ok(outcome(&self.shared, assigned, mem::take(&mut self.names), durability))
    }

    /// Whether [`Pending::wait`] would return at once.
    pub fn is_done(&self) -> bool {
        let (batch, written) = match &self.state {
            State::Sequenced(sequenced) => (sequenced.batch, sequenced.written),
            State::Queued(slot) => match slot.peek() {
                Some(sequenced) => (sequenced.batch, sequenced.written),
                None => return false,
            },
            State::Told => return true,
        };
        let level = if written { self.level } else { Durability::Synced };
        self.shared.progress.reached(batch, level) != Reached::NotYet
    }
}

impl<T: FromAssigned> Future for Pending<T> {
    type Output = Result<T, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if mem::take(&mut this.gives_way) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let State::Queued(slot) = &this.state {
            match slot.poll(context.waker()) {
                None => return Poll::Pending,
                Some(sequenced) => this.state = State::Sequenced(sequenced),
            }
        }
        let State::Sequenced(sequenced) = &this.state else { return Poll::Pending };
        // Awaiting always means durable, unless the append itself asked for less.
        let level = if sequenced.written { this.level } else { Durability::Synced };
        let mut reached = this.shared.progress.reached(sequenced.batch, level);
        if reached == Reached::NotYet
            && !this.registered.as_ref().is_some_and(|w| w.will_wake(context.waker()))
        {
            this.shared.progress.register(sequenced.batch, context.waker());
            this.registered = Some(context.waker().clone());
            reached = this.shared.progress.reached(sequenced.batch, level);
        }
        match reached {
            Reached::NotYet => Poll::Pending,
            Reached::Failed { batch } => Poll::Ready(Err(this.shared.failure(sequenced, batch))),
            Reached::Yes => Poll::Ready(this.shared.resolve(sequenced.clone()).map(|assigned| {
                let level = this.shared.progress.level(sequenced.batch);
                outcome(&this.shared, assigned, this.names.clone(), level)
            })),
        }
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        if let State::Queued(slot) = &self.state {
            slot.withdraw();
        }
    }
}

impl<T> Unpin for Pending<T> {}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Sequenced(sequenced) => format!("numbered, batch {}", sequenced.batch),
            State::Queued(_) => "waiting for room".to_owned(),
            State::Told => "told".to_owned(),
        };
        f.debug_struct("Pending").field("state", &state).finish_non_exhaustive()
    }
}
