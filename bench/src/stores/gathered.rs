//! Appends of many threads, gathered into one commit in front of a store that has one writer.
//!
//! Owns the queue and the choice of who commits: the first that finds nobody committing takes all that wait. This is what the
//! documentation of such stores advises ("batch your writes"), and kinder to them than one commit per append. An append that
//! spoils the commit of the others must not fail them: then each goes alone.

use crate::store::{Run, Store, Tally};
use measure::Outcome;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;

pub(crate) struct Gathered {
    store: Box<dyn Store>,
    queue: Mutex<Queue>,
    done: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Arc<Slot>>,
    is_committing: bool,
}

/// Copied, for its owner sleeps while somebody else commits it.
struct Slot {
    runs: Vec<Owned>,
    outcome: Mutex<Option<Result<(), String>>>,
}

struct Owned {
    stream: String,
    after: u64,
    payloads: Vec<Vec<u8>>,
}

impl Gathered {
    pub(crate) fn new(store: Box<dyn Store>) -> Gathered {
        Gathered { store, queue: Mutex::default(), done: Condvar::new() }
    }

    fn commit(&self, slots: &[Arc<Slot>]) {
        let all: Vec<&Owned> = slots.iter().flat_map(|slot| &slot.runs).collect();
        if self.append_owned(&all).is_ok() {
            slots.iter().for_each(|slot| *slot.outcome.lock() = Some(Ok(())));
            return;
        }
        for slot in slots {
            let alone: Vec<&Owned> = slot.runs.iter().collect();
            *slot.outcome.lock() = Some(self.append_owned(&alone).map_err(|error| error.to_string()));
        }
    }

    fn append_owned(&self, owned: &[&Owned]) -> Outcome<()> {
        let payloads: Vec<Vec<&[u8]>> =
            owned.iter().map(|run| run.payloads.iter().map(Vec::as_slice).collect()).collect();
        let runs: Vec<Run<'_>> = owned
            .iter()
            .zip(&payloads)
            .map(|(run, payloads)| Run { stream: &run.stream, after: run.after, payloads })
            .collect();
        self.store.append(&runs)
    }
}

impl Store for Gathered {
    fn append(&self, runs: &[Run<'_>]) -> Outcome<()> {
        let own = |run: &Run<'_>| Owned {
            stream: run.stream.to_owned(),
            after: run.after,
            payloads: run.payloads.iter().map(|payload| payload.to_vec()).collect(),
        };
        let slot = Arc::new(Slot { runs: runs.iter().map(own).collect(), outcome: Mutex::new(None) });
        let mut queue = self.queue.lock();
        queue.waiting.push(slot.clone());
        loop {
            if let Some(outcome) = slot.outcome.lock().take() {
                return outcome.map_err(Into::into);
            }
            if queue.is_committing {
                self.done.wait(&mut queue);
                continue;
            }
            queue.is_committing = true;
            let slots = std::mem::take(&mut queue.waiting);
            drop(queue);
            self.commit(&slots);
            queue = self.queue.lock();
            queue.is_committing = false;
            self.done.notify_all();
        }
    }

    fn version(&self, stream: &str) -> Outcome<u64> {
        self.store.version(stream)
    }

    fn fold(&self, stream: &str, tally: &mut Tally) -> Outcome<()> {
        self.store.fold(stream, tally)
    }

    fn scan(&self) -> Outcome<Tally> {
        self.store.scan()
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        self.store.close()
    }
}
