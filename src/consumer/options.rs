//! How a group deals with its work: every knob with its default and its bounds.
//!
//! Owns the settings; what they mean is in `group.rs`.

use std::time::{Duration, Instant};

/// How a group deals with its work. Each setting can be left at its default.
#[derive(Debug, Clone)]
#[must_use]
pub struct GroupOptions {
    pub(crate) window: usize,
    pub(crate) attempts_max: u32,
    pub(crate) retry_after: Duration,
}

impl Default for GroupOptions {
    fn default() -> Self {
        GroupOptions { window: 1024, attempts_max: 5, retry_after: Duration::from_millis(100) }
    }
}

impl GroupOptions {
    /// The defaults.
    pub fn new() -> GroupOptions {
        GroupOptions::default()
    }

    /// How far the group may be ahead of the first event that is not done, in events, at least 1. Default 1024. Too few:
    /// threads stand still when one event takes long. Many: more memory, and more events that come again after a crash.
    pub fn window(mut self, events: usize) -> GroupOptions {
        self.window = events.max(1);
        self
    }

    /// How often an event is tried before it is set aside, at least once. Default 5. Counted from the opening of the group.
    pub fn attempts_max(mut self, attempts: u32) -> GroupOptions {
        self.attempts_max = attempts.max(1);
        self
    }

    /// How long an event waits before it is tried again, and with it its stream. Default 100 ms, at most a year.
    pub fn retry_after(mut self, delay: Duration) -> GroupOptions {
        self.retry_after = delay.min(Duration::from_secs(365 * 24 * 60 * 60));
        self
    }

    /// When an event that failed now is tried again.
    pub(crate) fn due(&self) -> Instant {
        Instant::now() + self.retry_after
    }
}
