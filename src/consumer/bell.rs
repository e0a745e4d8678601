//! A bell: wakes those who wait for work, whoever rings it.
//!
//! Owns the waiting. A ring between a look at the work and the wait is not lost: the wait is for a number to change.

use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::task::Wake;
use std::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Bell {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    /// How often it was rung; to be asked before the look.
    pub(crate) fn rings(&self) -> u64 {
        *self.rings.lock()
    }

    pub(crate) fn ring(&self) {
        *self.rings.lock() += 1;
        self.rung.notify_all();
    }

    /// Waits until it was rung since, or until the deadline.
    pub(crate) fn wait(&self, since: u64, deadline: Option<Instant>) {
        let mut rings = self.rings.lock();
        while *rings == since {
            match deadline {
                None => self.rung.wait(&mut rings),
                Some(deadline) => {
                    if self.rung.wait_until(&mut rings, deadline).timed_out() {
                        return;
                    }
                }
            }
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}
