//! Lanes: the work of a group, one lane for each stream.
//!
//! Owns the order within a stream (one event of a stream is out at a time, the next one comes when that one is done) and the
//! count of what is out. Pure: no lock, no clock of its own, no log.

use crate::event::RecordedEvent;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::time::Instant;

/// An event to be worked on.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) event: RecordedEvent,
    /// How often it was given out and came back.
    pub(crate) failures: u32,
    /// Why it came back the last time.
    pub(crate) reason: String,
    /// It was set aside before; the group's place does not wait for it.
    pub(crate) replayed: bool,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Work>,
    /// One of its events is out, or it waits to be tried again.
    busy: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: HashMap<String, Lane>,
    /// Streams whose next event may be given out.
    ready: VecDeque<String>,
    /// Streams that wait for a time.
    delayed: BinaryHeap<Reverse<(Instant, String)>>,
    /// Positions that were taken from the log and are not done.
    open: BTreeSet<u64>,
    /// Positions that are done, behind one that is not: they come again after a crash, or have a mark.
    finished: BTreeSet<u64>,
    /// Positions of replays that are looked up, wait or are out.
    replays: BTreeSet<u64>,
    /// Those of them that are looked up.
    announced: BTreeSet<u64>,
}

impl Lanes {
    /// How many events wait, are out, or are done behind one that is not.
    pub(crate) fn len(&self) -> usize {
        self.open.len() + self.finished.len()
    }

    /// Whether nothing waits or is out, replays included.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.replays.is_empty()
    }

    /// The lowest position that is not done.
    pub(crate) fn first_open(&self) -> Option<u64> {
        self.open.first().copied()
    }

    /// Takes an event in.
    pub(crate) fn add(&mut self, work: Work) {
        if !work.replayed {
            self.open.insert(work.event.position());
        }
        let stream = work.event.stream().to_owned();
        let lane = self.lanes.entry(stream.clone()).or_default();
        lane.waiting.push_back(work);
        if !lane.busy && lane.waiting.len() == 1 {
            self.ready.push_back(stream);
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Gives out the next event of a stream that has none out.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Work> {
        while let Some(Reverse((due, _))) = self.delayed.peek()
            && *due <= now
        {
            if let Some(Reverse((_, stream))) = self.delayed.pop() {
                if let Some(lane) = self.lanes.get_mut(&stream) {
                    lane.busy = false;
                }
                self.ready.push_back(stream);
            }
        }
        loop {
            let stream = self.ready.pop_front()?;
            // A stream may stand here twice, once for an event that was withdrawn or came back since.
            let Some(lane) = self.lanes.get_mut(&stream).filter(|lane| !lane.busy) else { continue };
            if let Some(work) = lane.waiting.pop_front() {
                lane.busy = true;
                return Some(work);
            }
            self.lanes.remove(&stream);
        }
    }

    /// When the next delayed stream is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.delayed.peek().map(|Reverse((due, _))| *due)
    }

    /// An event that was given out is done with.
    pub(crate) fn done(&mut self, work: &Work) {
        let position = work.event.position();
        if work.replayed {
            self.replays.remove(&position);
        } else {
            self.open.remove(&position);
            self.finished.insert(position);
            self.finished =
                self.first_open().map_or_else(BTreeSet::new, |first| self.finished.split_off(&first));
        }
        let stream = work.event.stream();
        let Some(lane) = self.lanes.get_mut(stream) else { return };
        lane.busy = false;
        if lane.waiting.is_empty() {
            self.lanes.remove(stream);
        } else {
            self.ready.push_back(stream.to_owned());
        }
    }

    /// An event that was given out comes back, to be given out again from `due` on; those behind it in its stream wait.
    pub(crate) fn put_back(&mut self, work: Work, due: Instant) {
        let of = if work.replayed { &mut self.replays } else { &mut self.open };
        of.insert(work.event.position());
        self.finished.remove(&work.event.position());
        let stream = work.event.stream().to_owned();
        let lane = self.lanes.entry(stream.clone()).or_default();
        lane.busy = true;
        lane.waiting.push_front(work);
        self.delayed.push(Reverse((due, stream)));
    }

    /// Announces the replay of an event that was set aside. `false`: it is on its way already.
    pub(crate) fn begin_replay(&mut self, position: u64) -> bool {
        let fresh = self.replays.insert(position);
        if fresh {
            self.announced.insert(position);
        }
        fresh
    }

    /// Takes in what was announced, unless it was withdrawn meanwhile.
    pub(crate) fn add_replay(&mut self, work: Work) -> bool {
        let wanted = self.announced.remove(&work.event.position());
        if wanted {
            self.add(work);
        }
        wanted
    }

    /// Takes the announcement of a replay back.
    pub(crate) fn end_replay(&mut self, position: u64) {
        self.announced.remove(&position);
        self.replays.remove(&position);
    }

    /// Withdraws a replay that waits; one that is out goes on.
    pub(crate) fn withdraw_replay(&mut self, position: u64) {
        if self.announced.contains(&position) {
            self.end_replay(position);
            return;
        }
        let mut waiting = self.lanes.values_mut().map(|lane| &mut lane.waiting);
        let is_it = |work: &Work| work.replayed && work.event.position() == position;
        let found = waiting.find_map(|waiting| Some((waiting.iter().position(is_it)?, waiting)));
        if let Some((at, waiting)) = found {
            waiting.remove(at);
            self.end_replay(position);
        }
    }
}
