//! Crash simulation: power cuts, killed processes and failing operations at every step of many small workloads.
//!
//! What must hold after each, whatever the disk kept (the numbers are those of the research that the design rests on):
//! everything acknowledged is there, byte by byte (I1); what is there is a prefix of what was submitted, whole appends only (I2,
//! I3); opening twice shows the same (I5); what was ever shown, or named in a conflict, never vanishes; nothing panics (I7).
//!
//! `ANNALS_CRASH_ROUNDS=n` multiplies the random part; `ANNALS_CRASH_SEED=n` repeats it. Both are printed.

use crate::model::{Expect, Expected, Model, Op, STREAMS, Write};
use crate::simdisk::{Rng, SimDisk, Survive};
use annals::storage::Storage;
use annals::{AppendError, BatchAppended, EventLog, OpenError, Options, Outcome, Pending};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn options() -> Options {
    Options::new().background(false).segment_bytes(64 << 10).batch_bytes(16 << 10)
}

/// What a workload has seen of the log so far.
#[derive(Clone, Default)]
struct Witness {
    /// All that was accepted, in order, as models: `states[i]` is the log after `i` writes.
    states: Vec<Model>,
    /// So many of them were acknowledged.
    acknowledged: usize,
    /// So many of them may be on disk; the rest is known not to be.
    possible: usize,
    /// The largest position that the log ever showed.
    shown: usize,
    /// Versions that a conflict named.
    named: Vec<(&'static str, u64)>,
}

impl Witness {
    fn new() -> Witness {
        Witness { states: vec![Model::default()], ..Witness::default() }
    }

    fn model(&self) -> &Model {
        &self.states[self.states.len() - 1]
    }

    /// Which of the states the log is in, if it is in one that is allowed.
    fn recognise(&self, log: &EventLog) -> Result<usize, String> {
        let mut last = String::from("no state is possible");
        for state in self.acknowledged..=self.possible {
            match self.states[state].difference(log) {
                None => return self.check_promises(log).map(|()| state),
                Some(difference) => last = format!("not state {state}: {difference}"),
            }
        }
        Err(format!("{last} (acknowledged {}, possible {})", self.acknowledged, self.possible))
    }

    fn check_promises(&self, log: &EventLog) -> Result<(), String> {
        if (log.last_position() as usize) < self.shown {
            return Err(format!("position {} was shown, {} is left", self.shown, log.last_position()));
        }
        match self.named.iter().find(|(stream, version)| log.stream_version(stream) < *version) {
            Some((stream, version)) => Err(format!("a conflict named {stream} at {version}, it is gone")),
            None => Ok(()),
        }
    }

    /// From now on the log is known to be in this state.
    fn settle(&mut self, state: usize) {
        self.states.truncate(state + 1);
        self.acknowledged = state;
        self.possible = state;
    }
}

/// A log on a simulated disk, driven by operations.
struct Run {
    disk: SimDisk,
    options: Options,
    log: Option<EventLog>,
    witness: Witness,
    handles: Vec<(usize, Pending<BatchAppended>)>,
    /// The disk failed: from here on nothing is expected to work.
    failed: bool,
    salt: u64,
}

impl Run {
    fn start(disk: SimDisk, options: Options, witness: Witness) -> Run {
        let mut run = Run { disk, options, log: None, witness, handles: Vec::new(), failed: false, salt: 0 };
        run.open();
        run
    }

    fn open(&mut self) {
        match self.options.open_storage(Arc::new(self.disk.clone())) {
            // The power went while the next segment was made ready: nothing can be read any more, nothing was shown.
            Ok(log) if self.disk.list().is_err() => {
                std::mem::forget(log);
                self.failed = true;
            }
            Ok(log) => {
                let state =
                    self.witness.recognise(&log).unwrap_or_else(|wrong| panic!("after open: {wrong}"));
                self.witness.settle(state);
                self.witness.shown = self.witness.shown.max(log.last_position() as usize);
                self.log = Some(log);
            }
            Err(OpenError::Io(_) | OpenError::DiskFull(_)) => self.failed = true,
            Err(error) => panic!("open: {error}"),
        }
    }

    fn run(&mut self, ops: &[Op]) {
        for op in ops {
            if self.failed {
                return;
            }
            self.step(op);
        }
    }

    fn step(&mut self, op: &Op) {
        self.salt += 1;
        if self.log.is_none() {
            self.open();
        }
        match op {
            Op::Wait => self.wait_all(),
            Op::Close => {
                // Handles outlive the log; what they say afterwards is checked as well.
                if let Some(log) = self.log.take() {
                    self.failed |= log.close().is_err();
                }
                self.wait_all();
            }
            Op::Reopen => {
                self.log = None;
                self.wait_all();
                if !self.failed {
                    self.open();
                }
            }
            _ => self.write(op),
        }
        if let Some(log) = &self.log {
            self.witness.shown = self.witness.shown.max(log.last_position() as usize);
        }
    }

    fn write(&mut self, op: &Op) {
        let Some(log) = self.log.clone() else { return };
        let Some(write) = Write::of(op, self.witness.model(), self.salt) else { return };
        let expected = self.witness.model().judge(&write);
        let state = self.witness.states.len();
        if expected == Expected::Done {
            let mut next = self.witness.model().clone();
            next.apply(&write);
            self.witness.states.push(next);
        }
        // A blocking write is one whose handle is waited for at once; the other way in is taken by every third.
        let blocking = !matches!(op, Op::Submit { .. });
        let result = if blocking && self.salt.is_multiple_of(3) {
            Err(write.commit(&log).map(|_| ()))
        } else {
            write.submit(&log).map_err(Err)
        };
        match result {
            Ok(handle) if expected == Expected::Done => {
                self.handles.push((state, handle));
                self.witness.possible = state;
                if blocking {
                    self.wait_all();
                }
            }
            Ok(handle) => self.refused(&expected, handle.wait().map(|_| ())),
            Err(result) if expected == Expected::Done => {
                self.witness.possible = state;
                self.settle_handle(state, result);
            }
            Err(result) => self.refused(&expected, result),
        }
    }

    fn refused(&mut self, expected: &Expected, result: Result<(), AppendError>) {
        match (expected, result) {
            (
                Expected::Conflict { stream, actual },
                Err(AppendError::Conflict { stream: s, actual: a, .. }),
            ) => {
                assert_eq!((*stream, *actual), (s.as_str(), a));
                self.witness.named.push((stream, *actual));
            }
            (Expected::Gone, Err(AppendError::Gone { .. })) => {}
            (Expected::Contradiction, Err(AppendError::ContradictoryConditions { .. })) => {}
            (
                _,
                Err(
                    AppendError::Poisoned { .. }
                    | AppendError::DiskFull(_)
                    | AppendError::SegmentUnavailable(_),
                ),
            ) => self.failed = true,
            (expected, result) => panic!("expected {expected:?}, got {result:?}"),
        }
    }

    fn wait_all(&mut self) {
        for (state, handle) in std::mem::take(&mut self.handles) {
            let result = handle.wait().map(|_| ());
            self.settle_handle(state, result);
        }
    }

    fn settle_handle(&mut self, state: usize, result: Result<(), AppendError>) {
        match result {
            // What changes nothing rests on nothing that is under way: it says nothing about the writes before it.
            Ok(()) if self.witness.states[state] == self.witness.states[state - 1] => {}
            Ok(()) => self.witness.acknowledged = self.witness.acknowledged.max(state),
            Err(AppendError::Poisoned { outcome: Outcome::Unknown, .. }) => self.failed = true,
            Err(
                AppendError::Poisoned { outcome: Outcome::NotWritten, .. }
                | AppendError::DiskFull(_)
                | AppendError::SegmentUnavailable(_)
                | AppendError::Closed,
            ) => {
                self.failed = true;
                self.witness.possible = self.witness.possible.min(state - 1);
            }
            Err(error) => panic!("state {state}: {error}"),
        }
    }
}

/// Opens a crash state and checks all that must hold. Returns what is known afterwards.
fn check(
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
    let state = witness.recognise(&log)?;
    if !deep {
        // Let go without a close: nothing more is written, as after a kill.
        std::mem::forget(log);
        return Ok(());
    }
    // What was shown must survive the next cut, whatever it takes.
    let mut known = witness.clone();
    known.settle(state);
    known.shown = log.last_position() as usize;
    std::mem::forget(log);
    let again = disk.power_cut(rng, Survive::Nothing);
    let mut run = Run::start(again, options.clone(), known);
    // And the log goes on: no stale byte of the torn past comes back.
    run.salt = 1_000_000 + rng.below(1000);
    run.run(&[
        Op::Append { stream: 6, expected: Expect::Any, events: 1, bytes: 20 },
        Op::Submit { stream: 7, expected: Expect::Current(0), events: 2, bytes: 3000 },
        Op::Wait,
        Op::Reopen,
        Op::Append { stream: 0, expected: Expect::Any, events: 0, bytes: 0 },
        Op::Close,
        Op::Reopen,
    ]);
    if run.failed { Err("a healthy disk failed".into()) } else { Ok(()) }
}

/// Every operation of a workload, cut there; every kind of survival; and the recovery itself cut everywhere.
fn crash_everywhere(name: &str, options: &Options, ops: &[Op], rounds: u64, states: &AtomicU64) {
    let seed = name.bytes().fold(7u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut rng = Rng::new(seed);
    let whole = SimDisk::new(seed);
    let mut run = Run::start(whole.clone(), options.clone(), Witness::new());
    run.run(ops);
    assert!(!run.failed, "{name}: fails without a fault");
    drop(run);
    for op in 0..=whole.ops() {
        let disk = SimDisk::new(seed);
        disk.crash_at(op);
        let mut run = Run::start(disk.clone(), options.clone(), Witness::new());
        run.run(ops);
        // Handles that nobody waited for are neither acknowledged nor refuted.
        std::mem::forget(run.log.take());
        let witness = run.witness.clone();
        drop(run);
        let mut survivals = vec![Survive::Nothing, Survive::Everything];
        survivals.extend((0..rounds).map(|i| if i % 2 == 0 { Survive::Random } else { Survive::Garbage }));
        for (i, how) in survivals.into_iter().enumerate() {
            let cut = disk.power_cut(&mut rng, how);
            states.fetch_add(1, Ordering::Relaxed);
            let fail = |wrong: String, step: &str| -> ! {
                panic!(
                    "workload {name:?}, cut at operation {op}, survival {i}{step}: {wrong}\n{:#?}",
                    cut.trace()
                )
            };
            // Recovery, cut at each of its own operations.
            if i < 4 {
                let probe = cut.power_cut(&mut rng, Survive::Nothing);
                std::mem::forget(options.open_storage(Arc::new(probe.clone())));
                for step in 0..probe.ops() {
                    let again = cut.power_cut(&mut rng, Survive::Nothing);
                    again.crash_at(step);
                    std::mem::forget(options.open_storage(Arc::new(again.clone())));
                    let twice = again
                        .power_cut(&mut rng, if step % 2 == 0 { Survive::Random } else { Survive::Garbage });
                    states.fetch_add(1, Ordering::Relaxed);
                    if let Err(wrong) = check(&twice, options, &witness, &mut rng, false) {
                        fail(wrong, &format!(", recovery cut at {step}"));
                    }
                }
            }
            if let Err(wrong) = check(&cut, options, &witness, &mut rng, i % 5 == 0) {
                fail(wrong, "");
            }
        }
    }
}

fn append(stream: usize, events: usize, bytes: usize) -> Op {
    Op::Append { stream, expected: Expect::Any, events, bytes }
}

fn submit(stream: usize, events: usize, bytes: usize) -> Op {
    Op::Submit { stream, expected: Expect::Any, events, bytes }
}

/// Small workloads, each with a point of its own.
fn workloads() -> Vec<(&'static str, Vec<Op>)> {
    use Op::{Close, Reopen, Wait};
    let batch = |parts: &[(usize, usize, usize)]| Op::Batch {
        parts: parts.iter().map(|(stream, events, bytes)| (*stream, Expect::Any, *events, *bytes)).collect(),
        checks: vec![],
    };
    let exact = |stream, off| Op::Append { stream, expected: Expect::Current(off), events: 1, bytes: 10 };
    let many = |op: Op, n: usize| vec![op; n];
    vec![
        ("nothing", vec![]),
        ("one append", vec![append(0, 1, 10)]),
        ("an empty append", vec![append(0, 0, 0)]),
        ("three appends", many(append(0, 1, 10), 3)),
        ("payload of zeros and none", vec![append(0, 1, 0), append(1, 2, 0)]),
        ("to the byte before a page", vec![append(0, 1, 3900), append(0, 1, 1)]),
        ("across pages", many(append(0, 1, 3000), 4)),
        ("a frame of many pages", vec![append(0, 1, 30), append(1, 3, 8000), append(0, 1, 30)]),
        (
            "two streams, one prefix of the other",
            vec![append(0, 1, 9), append(1, 1, 9), append(2, 1, 9), append(0, 1, 9)],
        ),
        ("one batch over streams", vec![batch(&[(0, 1, 9), (1, 2, 50), (0, 1, 9), (3, 0, 0)])]),
        ("batches", many(batch(&[(0, 1, 700), (4, 2, 900), (5, 1, 2000)]), 3)),
        ("conditions", vec![exact(0, 0), exact(0, 0), exact(0, -1), exact(0, 1), exact(0, 0)]),
        ("a conflict on something in flight", vec![submit(0, 1, 10), exact(0, -1), Wait]),
        ("pipelined", vec![submit(0, 1, 10), submit(0, 1, 10), submit(1, 1, 10), Wait]),
        (
            "pipelined over pages",
            vec![submit(0, 1, 2500), submit(0, 1, 2500), submit(1, 1, 2500), Wait, submit(0, 1, 9), Wait],
        ),
        ("pipelined until full", [many(submit(0, 1, 6000), 5), vec![Wait]].concat()),
        ("pipelined and dropped", vec![submit(0, 1, 10), submit(0, 1, 3000), Reopen]),
        (
            "pipelined and closed",
            vec![submit(0, 1, 10), submit(0, 1, 6000), submit(0, 1, 6000), submit(0, 1, 6000), Close],
        ),
        ("tombstone", vec![append(0, 2, 9), Op::Tombstone { stream: 0 }, append(0, 1, 9), append(1, 1, 9)]),
        ("tombstone of nothing", vec![Op::Tombstone { stream: 3 }, append(3, 1, 9)]),
        ("close", vec![append(0, 1, 10), Close]),
        ("close and reopen", vec![append(0, 1, 10), Close, Reopen, append(0, 1, 10), Close]),
        ("reopen again and again", vec![Reopen, append(0, 1, 10), Reopen, Reopen, append(0, 1, 10), Reopen]),
        ("roll", [many(append(0, 2, 8000), 4), vec![append(1, 1, 9)]].concat()),
        ("roll twice", many(append(0, 3, 8900), 6)),
        ("roll, pipelined", [many(submit(0, 2, 8000), 8), vec![Wait]].concat()),
        ("roll and close", [many(append(0, 3, 8900), 3), vec![Close, Reopen, append(0, 1, 10)]].concat()),
        ("a frame that needs a larger segment", vec![append(0, 1, 9), append(0, 9, 9000), append(0, 1, 9)]),
        ("larger segments in a row", vec![append(0, 9, 9000), append(1, 12, 9000), append(0, 1, 9)]),
        (
            "a full segment, then registrations",
            [many(append(0, 3, 8900), 2), many(append(1, 0, 0), 2)].concat(),
        ),
        (
            "registrations in a batch",
            vec![batch(&[(0, 0, 0), (1, 0, 0)]), batch(&[(0, 1, 5), (1, 0, 0)]), Reopen],
        ),
        (
            "checks only",
            vec![
                append(0, 1, 9),
                Op::Batch { parts: vec![], checks: vec![(0, Expect::Exists), (1, Expect::NotRegistered)] },
                Op::Batch { parts: vec![], checks: vec![(0, Expect::NoStream)] },
            ],
        ),
    ]
}

#[test]
fn a_cut_at_every_operation_of_every_workload() {
    let workloads = workloads();
    assert!(workloads.len() >= 30);
    let states = AtomicU64::new(0);
    let padded = options().pad_commits(true);
    // Two cores: two threads, each every second workload.
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (workloads, states, padded) = (&workloads, &states, &padded);
            scope.spawn(move || {
                for (i, (name, ops)) in workloads.iter().enumerate().filter(|(i, _)| i % 2 == half) {
                    crash_everywhere(name, &options(), ops, 24, states);
                    if i % 3 == 0 {
                        crash_everywhere(name, padded, ops, 8, states);
                    }
                }
            });
        }
    });
    println!("{} crash states of {} workloads", states.load(Ordering::Relaxed), workloads.len());
}

/// Random workloads, random cuts. One in a hundred is run twice and must do the very same operations.
#[test]
fn random_workloads_and_random_cuts() {
    let rounds = number_from("ANNALS_CRASH_ROUNDS", 1);
    let seed = number_from("ANNALS_CRASH_SEED", 20_261_120);
    println!("ANNALS_CRASH_SEED={seed} ANNALS_CRASH_ROUNDS={rounds}");
    let states = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for half in 0..2u64 {
            let states = &states;
            scope.spawn(move || {
                for i in (0..900 * rounds).filter(|i| i % 2 == half) {
                    random_round(seed.wrapping_add(i), i % 100 < 2, states);
                }
            });
        }
    });
    println!("{} random crash states", states.load(Ordering::Relaxed));
    assert!(states.load(Ordering::Relaxed) >= 100_000);
}

fn number_from(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn random_round(seed: u64, twice: bool, states: &AtomicU64) {
    let mut rng = Rng::new(seed);
    let ops: Vec<Op> = (0..4 + rng.below(12)).map(|_| Op::draw(&mut |n| rng.below(n))).collect();
    let options = if rng.chance(1, 4) { options().pad_commits(true) } else { options() };
    let go = |crash_at: Option<u64>| {
        let disk = SimDisk::new(seed);
        if seed.is_multiple_of(3) {
            disk.short_writes(true);
        }
        if let Some(op) = crash_at {
            disk.crash_at(op);
        }
        let mut run = Run::start(disk.clone(), options.clone(), Witness::new());
        run.run(&ops);
        std::mem::forget(run.log.take());
        let witness = run.witness.clone();
        (disk, witness)
    };
    let (whole, _) = go(None);
    if twice {
        let (again, _) = go(None);
        assert_eq!(
            (whole.ops(), whole.op_digest()),
            (again.ops(), again.op_digest()),
            "seed {seed} is not deterministic"
        );
    }
    for _ in 0..6 {
        let op = rng.below(whole.ops() + 1);
        let (disk, witness) = go(Some(op));
        for i in 0..19 {
            let how = [Survive::Random, Survive::Garbage, Survive::Nothing, Survive::Everything]
                [(i % 16).min(3) as usize % 4];
            let how = if i >= 4 { if i % 2 == 0 { Survive::Random } else { Survive::Garbage } } else { how };
            let cut = disk.power_cut(&mut rng, how);
            states.fetch_add(1, Ordering::Relaxed);
            if let Err(wrong) = check(&cut, &options, &witness, &mut rng, i == 0) {
                panic!("seed {seed}, cut at operation {op}, survival {i}: {wrong}\n{ops:#?}");
            }
        }
    }
}

/// Each operation fails once: with an error of the device, and for lack of space. What was acknowledged and what was shown is
/// there after a kill, after the power cut that follows it, and no sync that failed is ever tried again.
#[test]
fn every_operation_fails_once() {
    for (name, ops) in &workloads() {
        let whole = SimDisk::new(5);
        Run::start(whole.clone(), options(), Witness::new()).run(ops);
        for op in 0..whole.ops() {
            for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
                let disk = SimDisk::new(op);
                disk.fail_op(op, kind);
                let mut run = Run::start(disk.clone(), options(), Witness::new());
                run.run(ops);
                if run.failed {
                    no_second_sync(&disk, op, name);
                }
                std::mem::forget(run.log.take());
                run.handles.clear();
                let mut rng = Rng::new(op);
                // Killed: the page cache stays, and lies about what the failed sync has lost.
                let killed = disk.process_crash();
                let mut reopened = Run::start(killed.clone(), options(), run.witness.clone());
                assert!(
                    !reopened.failed,
                    "{name}: operation {op} failed with {kind:?}, and the log does not open again"
                );
                std::mem::forget(reopened.log.take());
                let cut = killed.power_cut(&mut rng, Survive::Nothing);
                if let Err(wrong) = check(&cut, &options(), &reopened.witness, &mut rng, true) {
                    panic!(
                        "{name}: operation {op} failed with {kind:?}, killed, cut: {wrong}\n{:#?}",
                        disk.trace()
                    );
                }
            }
        }
    }
}

/// Behind a sync of a segment that failed, no further sync of that file.
fn no_second_sync(disk: &SimDisk, failed: u64, workload: &str) {
    let trace = disk.trace();
    let Some(operation) = trace.get(failed as usize) else { return };
    let is_segment_sync = operation.starts_with("sync ") && operation.contains(".seg");
    if is_segment_sync {
        let again = trace[failed as usize + 1..].iter().find(|later| *later == operation);
        assert_eq!(again, None, "{workload}: a sync that failed was tried again\n{trace:#?}");
    }
}

/// The disk fills up and is freed again, at every size: the answer is `DiskFull`, decided before anything is assigned, and the
/// same handle works again afterwards.
#[test]
fn a_full_disk_refuses_and_recovers_without_reopening() {
    for space in (70..420).step_by(7) {
        let disk = SimDisk::new(space);
        disk.set_space(Some(space << 10));
        let log = match options().open_storage(Arc::new(disk.clone())) {
            Ok(log) => log,
            Err(OpenError::DiskFull(_)) => continue,
            Err(error) => panic!("{space} KiB: {error}"),
        };
        let mut model = Model::default();
        let mut refused = 0;
        for salt in 0..60 {
            let write = Write::of(&append(salt % STREAMS.len(), 1, 7000), &model, salt as u64).unwrap();
            match write.commit(&log) {
                Ok(_) => model.apply(&write),
                Err(AppendError::DiskFull(_)) => refused += 1,
                Err(error) => panic!("{space} KiB: {error}"),
            }
            assert_eq!(model.difference(&log), None);
        }
        assert!(refused > 0, "{space} KiB held 420 KB");
        assert!(log.status().disk_full.is_some());
        disk.set_space(None);
        let write = Write::of(&append(0, 1, 9000), &model, 99).unwrap();
        write.commit(&log).unwrap_or_else(|error| panic!("{space} KiB, freed: {error}"));
        model.apply(&write);
        assert_eq!(model.difference(&log), None);
        assert_eq!(log.status().disk_full, None);
        log.close().unwrap();
        let log =
            options().open_storage(Arc::new(disk.power_cut(&mut Rng::new(1), Survive::Nothing))).unwrap();
        assert_eq!(model.difference(&log), None);
    }
}
