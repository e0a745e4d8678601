//! The callers of the watchers, made small: a log that shows events and wakes, and a subscription that follows it.
//!
//! Owns copies of sequences: of `drive`, `publish` and `wake_watchers` in `commit.rs`, of `poll_event` and `look` in
//! `subscription.rs`.

use crate::engine::watchers::{Key, Over, Watcher, Watchers};
use crate::model::Token;
use crate::sync::Mutex;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// What a subscriber learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// The position of an event that it waits for.
    Event(usize),
    Over(Over),
    Cancelled,
}

#[derive(Default)]
pub(crate) struct Log {
    /// The streams of all events that are visible: the first has position 1.
    view: Mutex<Vec<&'static str>>,
    pub(crate) watchers: Watchers,
}

impl Log {
    pub(crate) fn new() -> Arc<Log> {
        Arc::default()
    }

    /// Shows a batch of events, then wakes who waits for them.
    pub(crate) fn publish(&self, batch: &[&'static str]) {
        self.view.lock().extend(batch);
        self.wake_watchers(batch);
    }

    fn wake_watchers(&self, batch: &[&'static str]) {
        self.watchers.wake(|wanted| {
            let view = self.view.lock();
            batch.iter().for_each(|stream| wanted.by_stream(stream));
            drop(view);
        });
    }

    pub(crate) fn end(&self, over: Over) {
        self.watchers.end(over).into_iter().for_each(Waker::wake);
    }

    pub(crate) fn visible(&self) -> usize {
        self.view.lock().len()
    }
}

pub(crate) struct Subscriber {
    log: Arc<Log>,
    key: Key,
    place: usize,
    pub(crate) watcher: Arc<Watcher>,
    pub(crate) token: Arc<Token>,
}

impl Subscriber {
    pub(crate) fn new(log: &Arc<Log>, key: Key) -> Subscriber {
        let watcher = Watcher::new(key.clone());
        Subscriber { log: log.clone(), key, place: 0, watcher, token: Token::new() }
    }

    /// Sleeps until there is an event or the end.
    pub(crate) fn next(&mut self) -> Next {
        let waker = self.token.waker();
        loop {
            match self.poll_event(&waker) {
                Poll::Ready(next) => return next,
                Poll::Pending => self.token.park(),
            }
        }
    }

    /// Asserts that these positions come, in this order.
    pub(crate) fn expect(&mut self, positions: &[usize]) {
        for position in positions {
            assert_eq!(self.next(), Next::Event(*position));
        }
    }

    /// Takes what comes until the end: the positions, and the end.
    pub(crate) fn drain(&mut self) -> (Vec<usize>, Next) {
        let mut positions = Vec::new();
        loop {
            match self.next() {
                Next::Event(position) => positions.push(position),
                end => return (positions, end),
            }
        }
    }

    pub(crate) fn poll_event(&mut self, waker: &Waker) -> Poll<Next> {
        if let Some(found) = self.look() {
            return Poll::Ready(found);
        }
        let over = self.log.watchers.arm(&self.watcher, waker).err();
        if let Some(found) = self.look() {
            return Poll::Ready(found);
        }
        match over {
            None => Poll::Pending,
            Some(over) => Poll::Ready(Next::Over(over)),
        }
    }

    /// Sleeps until the log ends, whatever comes before.
    pub(crate) fn watch(&self) {
        while self.log.watchers.arm(&self.watcher, &self.token.waker()).is_ok() {
            self.token.park();
        }
    }

    fn look(&mut self) -> Option<Next> {
        if self.watcher.is_cancelled() {
            return Some(Next::Cancelled);
        }
        let view = self.log.view.lock();
        while self.place < view.len() {
            self.place += 1;
            let stream = view[self.place - 1];
            let wanted = match &self.key {
                Key::Everything => true,
                Key::Stream(id) => **id == *stream,
                Key::Prefix(prefix) => stream.starts_with(&**prefix),
            };
            if wanted {
                return Some(Next::Event(self.place));
            }
        }
        None
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // Where the checker has found something, there are no threads any more that could let go of a lock.
        if !std::thread::panicking() {
            self.log.watchers.forget(&self.watcher);
        }
    }
}
