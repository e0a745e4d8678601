//! A log and its model, driven side by side on a storage that does not fail.

use super::ops::{Cond, Op, Piece, Way};
use super::state::Model;
use super::write::{Answer, Told, Write, set_lazily};
use annals::storage::Storage;
use annals::{AppendError, BatchAppended, EventLog, Next, Options, Pending, Query, Subscription};
use std::sync::Arc;
use std::time::Duration;

type Expected = Result<Answer, AppendError>;

pub struct Driver {
    options: Options,
    storage: Arc<dyn Storage>,
    /// Whether threads of the log's own may commit at any moment.
    background: bool,
    pub log: EventLog,
    /// Everything that was accepted, visible or not.
    pub model: Model,
    waiting: Vec<(Write, Expected, Pending<BatchAppended>)>,
    /// Follows the log since it was opened, and so many events of it were given.
    follower: Subscription,
    followed: u64,
    salt: u64,
}

impl Driver {
    pub fn new(options: Options, storage: Arc<dyn Storage>, background: bool, window: u64) -> Driver {
        let options = options.background(background).idempotency_window(window);
        let log = options.open_storage(storage.clone()).unwrap();
        let follower = log.subscribe(&Query::everything());
        let (model, waiting) = (Model::new(window), Vec::new());
        Driver { options, storage, background, log, model, waiting, follower, followed: 0, salt: 0 }
    }

    /// Does an operation, and compares every answer.
    pub fn step(&mut self, op: &Op) {
        self.salt += 1;
        match op {
            Op::Wait => {
                self.wait();
                self.compare();
            }
            Op::Close => self.reopen(true),
            Op::Reopen => self.reopen(false),
            // When the log's own threads write it, nobody can foretell; then it is not set lazily.
            Op::Lazy { name, bytes } if self.background => {
                let keep = Piece::Keep { name: *name, condition: Cond::Any, bytes: *bytes };
                self.write(&Op::one(keep, Way::Call));
            }
            Op::Place { consumer, ahead } if self.background => {
                let acknowledge = Piece::Acknowledge { consumer: *consumer, ahead: *ahead };
                self.write(&Op::one(acknowledge, Way::Commit));
            }
            Op::Lazy { .. } | Op::Place { .. } => {
                // What waits for room has no place in the order of things set lazily.
                if self.waiting.iter().any(|(_, _, handle)| handle.assigned().is_none()) {
                    self.wait();
                }
                set_lazily(op, &self.log, &mut self.model, self.salt).unwrap();
            }
            _ => self.write(op),
        }
        self.follow();
        self.observe();
    }

    /// Whatever has committed, has written what was set lazily.
    fn observe(&mut self) {
        let log = &self.log;
        self.model.flush(|name| log.kept(name).unwrap().is_some_and(|kept| kept.revision.is_some()));
    }

    fn write(&mut self, op: &Op) {
        let Some(mut write) = Write::of(op, &self.model, self.salt, self.log.last_position()) else { return };
        if write.acknowledges() {
            self.wait();
            write.visible = self.log.last_position();
        }
        self.send(write);
    }

    /// Sends a write to both.
    pub fn send(&mut self, write: Write) {
        if write.has_kept() && Model::malformed(&write).is_none() {
            self.model.flush(|_| true);
        }
        let expected = self.model.perform(&write).map(|(next, answer)| {
            self.model = next;
            answer
        });
        match write.way {
            Way::Submit => match write.submit(&self.log) {
                Ok(handle) => self.waiting.push((write, expected, handle)),
                Err(error) => told(&write, &expected, Err(error)),
            },
            _ => told(&write, &expected, write.send(&self.log)),
        }
    }

    /// Waits for everything that is under way.
    pub fn wait(&mut self) {
        for (write, expected, handle) in self.waiting.drain(..) {
            if let Some(assigned) = handle.assigned() {
                told(&write, &expected, assigned.map(Told::Batch));
            }
            told(&write, &expected, handle.wait().map(Told::Batch));
        }
        self.observe();
    }

    /// Compares all that is shown. Nothing may be under way.
    pub fn compare(&mut self) {
        self.observe();
        assert_eq!(self.model.difference(&self.log), None);
    }

    pub fn reopen(&mut self, by_close: bool) {
        if by_close {
            self.log.close().unwrap();
            self.wait();
            self.compare();
        }
        self.log = EventLog::in_memory().unwrap();
        self.wait();
        self.model.flush(|_| true);
        self.log = self.options.open_storage(self.storage.clone()).unwrap();
        self.compare();
        // The old one ended with the log, behind its last event.
        self.follow();
        assert_eq!(self.followed, self.model.events.len() as u64);
        assert!(matches!(self.follower.next_within(Duration::ZERO), Ok(Next::Ended)));
        self.follower = self.log.subscribe(&Query::everything().after(self.followed));
    }

    /// Each event once, in order.
    fn follow(&mut self) {
        while let Next::Event(event) = self.follower.next_within(Duration::ZERO).unwrap() {
            self.followed += 1;
            assert_eq!(event.position(), self.followed);
        }
    }

    /// The end: closed, and shown to a reader.
    pub fn finish(mut self, number: &mut dyn FnMut(u64) -> u64) {
        self.wait();
        self.compare();
        assert_eq!(self.model.look(&self.log, number, 30), None);
        self.reopen(false);
        assert_eq!(self.model.look(&self.log, number, 10), None);
        self.log.close().unwrap();
        let reader = self.options.open_storage_read_only(self.storage.clone()).unwrap();
        assert_eq!(self.model.difference(&reader), None);
        assert_eq!(self.model.look(&reader, number, 5), None);
    }
}

fn told(write: &Write, expected: &Expected, result: Result<Told, AppendError>) {
    match (expected, &result) {
        (Ok(answer), Ok(done)) if done.agrees(answer) => {}
        (Err(want), Err(error)) if want == error => {}
        _ => panic!("{write:#?}\nexpected {expected:#?}\ngot {result:#?}"),
    }
}
