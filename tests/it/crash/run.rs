//! A log on a simulated disk, driven by operations, and what must be there after its end.

use crate::model::{Answer, Expect, Model, Op, Told, Way, Write, set_lazily};
use crate::simdisk::{Rng, SimDisk, Survive};
use annals::storage::Storage;
use annals::{AppendError, BatchAppended, EventLog, KeptCondition, OpenError, Options, Outcome, Pending};
use std::sync::Arc;

/// For how many positions ids are remembered: few, so that appends leave the window while a workload goes on.
pub(super) const WINDOW: u64 = 9;

pub(super) fn options() -> Options {
    Options::new().background(false).segment_bytes(64 << 10).batch_bytes(16 << 10).idempotency_window(WINDOW)
}

/// What a workload has seen of the log so far.
#[derive(Clone)]
pub(super) struct Witness {
    /// All that was accepted, in order, as models: each is the log after a write, or with one more value set lazily.
    states: Vec<Model>,
    /// This one was acknowledged.
    acknowledged: usize,
    /// No later one can be on disk.
    possible: usize,
    /// The largest position and the largest revision that the log ever showed.
    shown: usize,
    shown_revision: u64,
    /// What appends were refused for. It rests on something durable.
    told: Vec<AppendError>,
    /// Every write with ids that was tried, whatever became of it.
    tried: Vec<Write>,
}

impl Witness {
    pub(super) fn new() -> Witness {
        Witness {
            states: vec![Model::new(WINDOW)],
            acknowledged: 0,
            possible: 0,
            shown: 0,
            shown_revision: 0,
            told: Vec::new(),
            tried: Vec::new(),
        }
    }

    pub(super) fn model(&self) -> &Model {
        &self.states[self.states.len() - 1]
    }

    fn push(&mut self, model: Model) -> usize {
        self.states.push(model);
        self.states.len() - 1
    }

    /// Which of the states the log is in, if it is in one that is allowed.
    fn recognise(&self, log: &EventLog, disk: &SimDisk) -> Result<Model, String> {
        let mut last = String::from("no state is possible");
        let mut found: Vec<Model> = Vec::new();
        for state in self.acknowledged..=self.possible {
            let mut model = self.states[state].clone();
            // What was set lazily and not written before the end is lost. Whether it was written shows in its revision.
            let known = model.last_revision;
            let written = |name: &str| {
                let kept = log.kept(name).ok().flatten();
                kept.is_some_and(|kept| kept.revision.is_some_and(|revision| revision > known))
            };
            model.flush(written);
            model.lazy.clear();
            if found.iter().any(|other| other.last_revision == model.last_revision) {
                continue;
            }
            match model.difference(log) {
                None => found.push(model),
                Some(difference) => last = format!("not state {state}: {difference}"),
            }
        }
        let model = match found.len() {
            0 => {
                let bounds = format!("acknowledged {}, possible {}", self.acknowledged, self.possible);
                return Err(format!("{last} ({bounds})"));
            }
            1 => found.pop(),
            // What deletes a value that is not there changes nothing but the next revision.
            _ => {
                let copy = disk.process_crash();
                let probe = options().open_storage(Arc::new(copy.clone())).unwrap();
                let next = probe.keep("probe", KeptCondition::Any, "").unwrap().revision;
                copy.kill(probe);
                found.into_iter().find(|model| model.last_revision + 1 == next)
            }
        };
        let model = model.ok_or("no state has these revisions")?;
        self.check_promises(log, &model).map(|()| model)
    }

    fn check_promises(&self, log: &EventLog, model: &Model) -> Result<(), String> {
        if (log.last_position() as usize) < self.shown {
            return Err(format!("position {} was shown, {} is left", self.shown, log.last_position()));
        }
        if model.last_revision < self.shown_revision {
            return Err(format!(
                "revision {} was shown, {} is left",
                self.shown_revision, model.last_revision
            ));
        }
        let is_kept = |told: &&AppendError| match told {
            AppendError::Conflict { stream, actual, .. } => log.stream_version(stream) >= *actual,
            AppendError::KeptConflict { actual, .. } => model.last_revision >= actual.unwrap_or(0),
            AppendError::Gone { stream } => log.stream_info(stream).is_some_and(|info| info.tombstoned),
            AppendError::ForeignTenant { stream, named } => {
                log.stream_info(stream).and_then(|info| info.tenant).is_some_and(|tenant| tenant != *named)
            }
            AppendError::IdReused { id } => model.events.iter().any(|event| event.new.id == Some(*id)),
            _ => true,
        };
        match self.told.iter().find(|told| !is_kept(told)) {
            Some(told) => Err(format!("it was told {told}, and that is gone")),
            None => Ok(()),
        }
    }

    /// From now on the log is known to be in this state.
    fn settle(&mut self, model: Model) {
        self.states = vec![model];
        (self.acknowledged, self.possible) = (0, 0);
    }
}

type Expected = Result<Answer, AppendError>;

/// A write under way: the state behind it, if it changes anything.
struct Waiting {
    state: Option<usize>,
    expected: Expected,
    handle: Pending<BatchAppended>,
}

pub(super) struct Run {
    disk: SimDisk,
    options: Options,
    pub(super) log: Option<EventLog>,
    pub(super) witness: Witness,
    waiting: Vec<Waiting>,
    /// The disk failed: from here on nothing is expected to work.
    pub(super) failed: bool,
    salt: u64,
}

impl Run {
    pub(super) fn start(disk: SimDisk, options: Options, witness: Witness) -> Run {
        let mut run = Run { disk, options, log: None, witness, waiting: Vec::new(), failed: false, salt: 0 };
        run.open();
        run
    }

    fn open(&mut self) {
        match self.options.open_storage(Arc::new(self.disk.clone())) {
            // The power went while the next segment was made ready: nothing can be read any more, nothing was shown.
            Ok(log) if self.disk.list().is_err() => {
                self.disk.kill(log);
                self.failed = true;
            }
            Ok(log) => {
                let model = self
                    .witness
                    .recognise(&log, &self.disk)
                    .unwrap_or_else(|wrong| panic!("after open: {wrong}"));
                self.witness.settle(model);
                self.log = Some(log);
                self.observe();
            }
            Err(OpenError::Io(_) | OpenError::DiskFull(_)) => self.failed = true,
            Err(error) => panic!("open: {error}"),
        }
    }

    pub(super) fn run(&mut self, ops: &[Op]) {
        for op in ops {
            if self.failed {
                return;
            }
            self.step(op);
        }
    }

    /// Ends it here, as a kill does. Handles that nobody waited for are neither acknowledged nor refuted.
    pub(super) fn kill(self) -> Witness {
        self.disk.kill((self.log, self.waiting));
        self.witness
    }

    fn step(&mut self, op: &Op) {
        self.salt += 1;
        if self.log.is_none() {
            self.open();
        }
        match op {
            Op::Wait => self.wait_all(),
            Op::Close => self.close(),
            Op::Reopen => {
                self.log = None;
                self.wait_all();
                if !self.failed {
                    self.open();
                }
            }
            Op::Lazy { .. } | Op::Place { .. } => self.set_lazily(op),
            _ => {
                let Some(log) = &self.log else { return };
                if let Some(write) = Write::of(op, self.witness.model(), self.salt, log.last_position()) {
                    self.write(&write);
                }
            }
        }
        self.observe();
    }

    /// What the log shows by now must stay. What was set lazily shows its revision once it is durable.
    fn observe(&mut self) {
        // A disk that is gone is no longer read.
        let Some(log) = self.log.clone().filter(|_| self.disk.list().is_ok()) else { return };
        self.witness.shown = self.witness.shown.max(log.last_position() as usize);
        for kept in log.list_kept("", None, usize::MAX).unwrap() {
            self.witness.shown_revision = self.witness.shown_revision.max(kept.revision.unwrap_or(0));
        }
        let is_written = |name: &str| log.kept(name).unwrap().is_some_and(|kept| kept.revision.is_some());
        if self.witness.model().lazy.keys().any(|name| is_written(name)) {
            let mut next = self.witness.model().clone();
            next.flush(is_written);
            let state = self.witness.push(next);
            (self.witness.possible, self.witness.acknowledged) = (state, state);
        }
    }

    fn close(&mut self) {
        // Handles outlive the log; what they say afterwards is checked as well.
        let Some(log) = self.log.take() else { return };
        let closed = log.close().is_ok();
        self.failed |= !closed;
        let mut next = self.witness.model().clone();
        next.flush(|_| true);
        let state = self.witness.push(next);
        self.witness.possible = self.witness.possible.max(state);
        self.wait_all();
        if closed && !self.failed {
            self.witness.acknowledged = state;
        }
    }

    fn set_lazily(&mut self, op: &Op) {
        // What waits for room has no place in the order of things set lazily.
        if self.waiting.iter().any(|waiting| waiting.handle.assigned().is_none()) {
            self.wait_all();
            self.observe();
        }
        let Some(log) = self.log.clone().filter(|_| !self.failed) else { return };
        let mut next = self.witness.model().clone();
        match set_lazily(op, &log, &mut next, self.salt) {
            Ok(()) => self.witness.possible = self.witness.push(next),
            Err(AppendError::Poisoned { .. } | AppendError::DiskFull(_)) => self.failed = true,
            Err(error) => panic!("{op:?}: {error}"),
        }
    }

    fn write(&mut self, write: &Write) {
        let Some(log) = self.log.clone() else { return };
        let malformed = Model::malformed(write).is_some();
        if !malformed && !write.ids().0.is_empty() && !self.witness.tried.contains(write) {
            self.witness.tried.push(write.clone());
        }
        if !malformed && write.has_kept() && !self.witness.model().lazy.is_empty() {
            let mut next = self.witness.model().clone();
            next.flush(|_| true);
            self.witness.possible = self.witness.push(next);
        }
        let mut state = None;
        let expected = match self.witness.model().perform(write) {
            Ok((next, answer)) => {
                if next != *self.witness.model() {
                    state = Some(self.witness.push(next));
                }
                Ok(answer)
            }
            Err(error) => Err(error),
        };
        self.witness.possible = state.unwrap_or(self.witness.possible);
        // A blocking write is one whose handle is waited for at once; the other way in is taken by every third.
        let blocking = write.way != Way::Submit;
        if blocking && !self.salt.is_multiple_of(3) {
            return self.settle(state, &expected, malformed, write.send(&log));
        }
        match write.submit(&log) {
            Ok(handle) => {
                self.waiting.push(Waiting { state, expected, handle });
                if blocking {
                    self.wait_all();
                }
            }
            Err(error) => self.settle(state, &expected, malformed, Err(error)),
        }
    }

    fn wait_all(&mut self) {
        for Waiting { state, expected, handle } in std::mem::take(&mut self.waiting) {
            let result = handle.wait().map(Told::Batch);
            self.settle(state, &expected, false, result);
        }
    }

    fn settle(
        &mut self,
        state: Option<usize>,
        expected: &Expected,
        malformed: bool,
        result: Result<Told, AppendError>,
    ) {
        match (expected, result) {
            (Ok(answer), Ok(told)) => {
                assert!(told.agrees(answer), "expected {answer:?}, got {told:?}");
                // What changes nothing rests on nothing that is under way, unless it repeats something.
                let rests_on = |model: &Model| model.events.len() as u64 >= answer.last_position;
                let original = || self.witness.states.iter().position(rests_on);
                let state = if answer.repeated { original() } else { state };
                self.witness.acknowledged = self.witness.acknowledged.max(state.unwrap_or(0));
            }
            (Err(want), Err(error)) if *want == error => {
                if !malformed {
                    self.witness.told.push(error);
                }
            }
            (_, Err(AppendError::Poisoned { outcome: Outcome::Unknown, .. })) => self.failed = true,
            (
                _,
                Err(
                    AppendError::Poisoned { outcome: Outcome::NotWritten, .. }
                    | AppendError::DiskFull(_)
                    | AppendError::SegmentUnavailable(_)
                    | AppendError::Closed,
                ),
            ) => {
                self.failed = true;
                if let Some(state) = state {
                    self.witness.possible = self.witness.possible.min(state - 1);
                }
            }
            // The power is gone, and nobody noticed yet.
            (_, Err(AppendError::OriginalUnreadable { .. })) if self.disk.list().is_err() => {
                self.failed = true
            }
            (expected, result) => panic!("expected {expected:?}, got {result:?}"),
        }
    }

    /// Sends every write with ids once more: each is answered as the first time if it is there and not too long ago, and
    /// appended if it never was.
    fn repeat_all(&mut self) {
        for write in self.witness.tried.clone() {
            let Some(log) = self.log.as_ref().filter(|_| !self.failed) else { return };
            let visible = log.last_position();
            self.write(&Write { visible, way: Way::Commit, ..write });
            self.observe();
        }
    }
}

/// Opens a crash state and checks all that must hold. Returns what is known afterwards.
pub(super) fn check(
    disk: &SimDisk,
    options: &Options,
    witness: &Witness,
    rng: &mut Rng,
    deep: bool,
) -> Result<(), String> {
    let log = match options.open_storage(Arc::new(disk.clone())) {
        Ok(log) => log,
        Err(error) => return Err(format!("open: {error}")),
    };
    let model = witness.recognise(&log, disk)?;
    if !deep {
        disk.kill(log);
        return Ok(());
    }
    if let Some(wrong) = model.look(&log, &mut |n| rng.below(n), 3) {
        return Err(wrong);
    }
    // What was shown must survive the next cut, whatever it takes.
    let mut known = witness.clone();
    known.settle(model);
    known.shown = log.last_position() as usize;
    disk.kill(log);
    let again = disk.power_cut(rng, Survive::Nothing);
    let mut run = Run::start(again, options.clone(), known);
    run.salt = 1_000_000 + rng.below(1000);
    run.repeat_all();
    // And the log goes on: no stale byte of the torn past comes back.
    run.run(&[
        Op::Append { stream: 6, expected: Expect::Any, events: 1, bytes: 20 },
        Op::Submit { stream: 7, expected: Expect::Current(0), events: 2, bytes: 3000 },
        Op::Lazy { name: 2, bytes: 30 },
        Op::Wait,
        Op::Reopen,
        Op::Append { stream: 0, expected: Expect::Any, events: 0, bytes: 0 },
        Op::Lazy { name: 2, bytes: 40 },
        Op::Close,
        Op::Reopen,
    ]);
    if run.failed { Err("a healthy disk failed".into()) } else { Ok(()) }
}
