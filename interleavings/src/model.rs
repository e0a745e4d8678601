//! Running a scenario through all its interleavings, and the threads' way to sleep until they are woken.
//!
//! Owns the bounds. Must not use loom's own `park`: a lock that is taken in between makes it forget its token.

use crate::sync::Mutex;
use loom::model::Builder;
use loom::sync::Condvar;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};

pub(crate) use loom::thread::spawn;

/// One scenario at a time: each run maps its threads' stacks anew, and two cores that do so in one process hinder each other.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Explores every interleaving, or those with at most so many preemptions.
pub(crate) fn explore(preemptions: Option<usize>, scenario: fn()) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut builder = Builder::new();
    (builder.preemption_bound, builder.max_branches) = (preemptions, 10_000);
    builder.check(scenario);
}

/// Demands that the checker finds an interleaving in which the scenario ends with a panic that says this. Few preemptions are
/// enough for whatever was broken so far.
pub(crate) fn finds(complaint: &str, scenario: fn()) {
    let outcome = catch_unwind(AssertUnwindSafe(|| explore(Some(3), scenario)));
    let panic = outcome.expect_err("the break was not found");
    let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    let said = said.unwrap_or_default();
    assert!(said.contains(complaint), "found something else: {said}");
}

/// What a thread parks on: as the standard library's parking, with a token that is left for a thread that is still awake.
#[derive(Debug, Default)]
pub(crate) struct Token {
    left: Mutex<bool>,
    bell: Condvar,
}

impl Token {
    pub(crate) fn new() -> Arc<Token> {
        Arc::default()
    }

    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }

    pub(crate) fn park(&self) {
        let mut left = self.left.lock();
        while !*left {
            left = self.bell.wait(left).unwrap();
        }
        *left = false;
    }
}

impl Wake for Token {
    fn wake(self: Arc<Self>) {
        *self.left.lock() = true;
        self.bell.notify_all();
    }
}
