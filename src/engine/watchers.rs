//! Watchers: those who wait for events that are not there yet.
//!
//! Owns who waits for what, and the promise that none of them sleeps through what it waits for. The protocol: a watcher first
//! arms itself, then looks at the log once more, then sleeps; whoever makes events visible first shows them, then takes the
//! watchers out of here and wakes them. Whichever of the two comes second sees the other. An idle watcher costs a commit
//! nothing but the look into two tables.

use crate::engine::wake::wake_all;
use crate::error::PoisonCause;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};
use std::collections::{BTreeMap, HashMap};
use std::task::Waker;

/// What a watcher waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    Everything,
    Stream(Box<str>),
    /// Streams whose ids start with this.
    Prefix(Box<str>),
}

/// Why nothing more will come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Over {
    Closed,
    Poisoned(PoisonCause),
}

/// Somebody who waits, now and then.
#[derive(Debug)]
pub(crate) struct Watcher {
    key: Key,
    /// 1 once it is cancelled. Looked at for each event, and so no part of the state.
    cancelled: AtomicU64,
    state: Mutex<WatcherState>,
}

#[derive(Debug, Default)]
struct WatcherState {
    /// Is in the tables.
    armed: bool,
    waker: Option<Waker>,
}

impl Watcher {
    pub(crate) fn new(key: Key) -> Arc<Watcher> {
        Arc::new(Watcher { key, cancelled: AtomicU64::new(0), state: Mutex::default() })
    }

    /// Ends the waiting for good, and wakes who waits.
    pub(crate) fn cancel(&self) {
        // First the flag, then the waker: whoever puts one there afterwards looks at the flag once more.
        self.cancelled.store(1, Ordering::SeqCst);
        let waker = self.state.lock().waker.take();
        wake_all(waker);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst) != 0
    }

    fn disarm(&self) -> Option<Waker> {
        let mut state = self.state.lock();
        state.armed = false;
        state.waker.take()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Watchers {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    everything: Vec<Arc<Watcher>>,
    streams: HashMap<Box<str>, Vec<Arc<Watcher>>>,
    /// By length, then by prefix: a stream's id is looked up once per length.
    prefixes: BTreeMap<usize, HashMap<Box<str>, Vec<Arc<Watcher>>>>,
    over: Option<Over>,
}

impl Watchers {
    /// Sees to it that `waker` is woken when something comes. The caller looks at the log once more after this call, and
    /// sleeps only if there is still nothing. `Err`: nothing more will come, but the log is still to be looked at once more.
    pub(crate) fn arm(&self, watcher: &Arc<Watcher>, waker: &Waker) -> Result<(), Over> {
        // A waker's clone is the user's code: not under the tables' lock.
        let waker = waker.clone();
        let mut tables = self.tables.lock();
        if let Some(over) = &tables.over {
            return Err(over.clone());
        }
        let (new, old) = {
            let mut state = watcher.state.lock();
            (!std::mem::replace(&mut state.armed, true), state.waker.replace(waker))
        };
        if new {
            tables.list(&watcher.key).push(watcher.clone());
        }
        drop(tables);
        drop(old);
        Ok(())
    }

    /// Why nothing more will come, if so.
    pub(crate) fn over(&self) -> Option<Over> {
        self.tables.lock().over.clone()
    }

    /// Forgets a watcher.
    pub(crate) fn forget(&self, watcher: &Arc<Watcher>) {
        let waker = {
            let mut tables = self.tables.lock();
            if watcher.state.lock().armed {
                tables.list(&watcher.key).retain(|other| !Arc::ptr_eq(other, watcher));
                tables.clean(&watcher.key);
            }
            watcher.disarm()
        };
        drop(waker);
    }

    /// Wakes those who wait for what has just become visible: `tell` names the streams. Everything is shown before.
    pub(crate) fn wake(&self, tell: impl FnOnce(&mut Wanted<'_>)) {
        let woken = {
            let mut tables = self.tables.lock();
            let woken = std::mem::take(&mut tables.everything);
            let mut wanted = Wanted { tables: &mut tables, woken };
            if !wanted.tables.streams.is_empty() || !wanted.tables.prefixes.is_empty() {
                tell(&mut wanted);
            }
            wanted.woken
        };
        wake_all(woken.iter().filter_map(|watcher| watcher.disarm()));
    }

    /// Nothing more will come. The caller wakes those who waited, once it holds no lock.
    pub(crate) fn end(&self, over: Over) -> Vec<Waker> {
        let mut tables = self.tables.lock();
        // A poisoned log that is closed is closed; one that is closed is not poisoned any more.
        if tables.over != Some(Over::Closed) {
            tables.over = Some(over);
        }
        let mut woken = std::mem::take(&mut tables.everything);
        woken.extend(std::mem::take(&mut tables.streams).into_values().flatten());
        let prefixes = std::mem::take(&mut tables.prefixes);
        woken.extend(prefixes.into_values().flat_map(HashMap::into_values).flatten());
        drop(tables);
        woken.iter().filter_map(|watcher| watcher.disarm()).collect()
    }
}

/// The watchers that a commit wakes, while they are being found.
pub(crate) struct Wanted<'a> {
    tables: &'a mut Tables,
    woken: Vec<Arc<Watcher>>,
}

impl Wanted<'_> {
    /// A stream has changed.
    pub(crate) fn by_stream(&mut self, id: &str) {
        self.woken.extend(self.tables.streams.remove(id).into_iter().flatten());
        let mut emptied = false;
        for (len, prefixes) in self.tables.prefixes.range_mut(..=id.len()) {
            if let Some(prefix) = id.get(..*len)
                && let Some(watchers) = prefixes.remove(prefix)
            {
                self.woken.extend(watchers);
                emptied |= prefixes.is_empty();
            }
        }
        if emptied {
            self.tables.prefixes.retain(|_, prefixes| !prefixes.is_empty());
        }
    }
}

impl Tables {
    fn list(&mut self, key: &Key) -> &mut Vec<Arc<Watcher>> {
        match key {
            Key::Everything => &mut self.everything,
            Key::Stream(id) => self.streams.entry(id.clone()).or_default(),
            Key::Prefix(prefix) => {
                self.prefixes.entry(prefix.len()).or_default().entry(prefix.clone()).or_default()
            }
        }
    }

    /// Drops what is empty around a key.
    fn clean(&mut self, key: &Key) {
        match key {
            Key::Everything => {}
            Key::Stream(id) => {
                if self.streams.get(id).is_some_and(Vec::is_empty) {
                    self.streams.remove(id);
                }
            }
            Key::Prefix(prefix) => {
                if let Some(prefixes) = self.prefixes.get_mut(&prefix.len()) {
                    prefixes.retain(|_, watchers| !watchers.is_empty());
                }
                self.prefixes.retain(|_, prefixes| !prefixes.is_empty());
            }
        }
    }
}
