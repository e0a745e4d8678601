//! Waking those who wait.
//!
//! Owns the fence around their code: a waker is the user's, and one that panics must not stop the log, which has done its part.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Wakes them all. No lock may be held.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}
