//! A place in the queue of appends that wait for room, shared by the queue and the handle.
//!
//! Owns one append until it is sequenced or withdrawn, and wakes whoever waits for that.

use crate::engine::answer::{Sequenced, Wait};
use crate::engine::request::Request;
use parking_lot::Mutex;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::Thread;

#[derive(Debug)]
pub(crate) struct Slot {
    /// How many appends had to queue before it.
    pub(crate) number: u64,
    /// How many values had been set lazily when the append came: it follows those.
    pub(crate) follows: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Queued { request: Box<Request>, now: u64, waker: Option<Waker> },
    Sequenced(Sequenced),
    Withdrawn,
}

impl Slot {
    pub(crate) fn new(request: Box<Request>, now: u64, number: u64, follows: u64) -> Slot {
        Slot { number, follows, state: Mutex::new(State::Queued { request, now, waker: None }) }
    }

    /// Lets `sequence` try; says why the append must wait on, or gives the waker of who waits for the answer. The caller
    /// wakes it once it holds no lock.
    pub(crate) fn admit(
        &self,
        sequence: impl FnOnce(&Request, u64) -> Result<Sequenced, Wait>,
    ) -> Result<Option<Waker>, Wait> {
        let mut state = self.state.lock();
        let State::Queued { request, now, waker } = &mut *state else { return Ok(None) };
        let sequenced = sequence(request, *now)?;
        let waker = waker.take();
        *state = State::Sequenced(sequenced);
        Ok(waker)
    }

    /// Answers the append, if it still waits.
    pub(crate) fn resolve(&self, sequenced: Sequenced) -> Option<Waker> {
        let mut answer = Some(sequenced);
        self.admit(|_, _| answer.take().ok_or(Wait::Turn)).ok().flatten()
    }

    /// The answer, or `None` and a wake-up when there is one.
    pub(crate) fn poll(&self, waker: &Waker) -> Option<Sequenced> {
        // A waker is user code also when it is cloned or dropped: not under the lock.
        let mut other = Some(waker.clone());
        match &mut *self.state.lock() {
            State::Queued { waker: registered, .. } => {
                std::mem::swap(registered, &mut other);
                None
            }
            State::Sequenced(sequenced) => Some(sequenced.clone()),
            State::Withdrawn => None,
        }
    }

    /// The answer, if there is one.
    pub(crate) fn peek(&self) -> Option<Sequenced> {
        match &*self.state.lock() {
            State::Sequenced(sequenced) => Some(sequenced.clone()),
            State::Queued { .. } | State::Withdrawn => None,
        }
    }

    /// Gives the place up, unless the append is sequenced already.
    pub(crate) fn withdraw(&self) {
        let mut given_up = State::Withdrawn;
        let mut state = self.state.lock();
        if matches!(*state, State::Queued { .. }) {
            std::mem::swap(&mut *state, &mut given_up);
        }
        drop(state);
        // With its waker, not under the lock.
        drop(given_up);
    }
}

/// Wakes a parked thread, for those who wait without an executor.
pub(crate) struct ThreadWaker(Thread);

impl ThreadWaker {
    pub(crate) fn current() -> Waker {
        Waker::from(Arc::new(ThreadWaker(std::thread::current())))
    }
}

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
