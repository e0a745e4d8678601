//! Claims: names that one holder at a time can have, among all clones of a log.
//!
//! Owns nothing on disk: the directory's lock keeps other processes out, so that a claim in this one is enough.

use crate::engine::log::EventLog;
use crate::engine::shared::Shared;
use std::fmt;
use std::sync::Arc;

/// A name that is this holder's alone until it is dropped.
#[must_use = "a claim is released when it is dropped"]
pub struct Claim {
    shared: Arc<Shared>,
    name: Box<str>,
}

impl EventLog {
    /// Claims a name, or says that somebody has it: another clone of this log, or the same. Never blocks, never touches
    /// the disk. Claims are for roles that must exist once: the worker of a projection, the scheduler. They end with the
    /// guard, or with the process; a claim does not keep the log open.
    pub fn try_claim(&self, name: &str) -> Option<Claim> {
        let fresh = self.shared().claims.lock().insert(name.into());
        fresh.then(|| Claim { shared: self.shared().clone(), name: name.into() })
    }
}

impl Claim {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared.claims.lock().remove(&self.name);
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.name).finish()
    }
}
