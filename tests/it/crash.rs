//! Crash simulation: power cuts, killed processes and failing operations at every step of many small workloads.
//!
//! What must hold after each, whatever the disk kept (the numbers are those of the research that the design rests on):
//! everything acknowledged is there, byte by byte (I1); what is there is a prefix of what was submitted, whole appends only
//! (I2, I3), events and kept values together; opening twice shows the same (I5); what was ever shown, or named in a refusal,
//! never vanishes; a value that was set lazily is the last one, or the last one that was written, never torn; an append that
//! is repeated is answered as the first time, or appended if it is not there; nothing panics (I7).
//!
//! `ANNALS_CRASH_ROUNDS=n` multiplies the random part; `ANNALS_CRASH_SEED=n` repeats it. Both are printed.

mod run;
mod workloads;

use crate::model::{Model, Op, STREAMS, Write};
use crate::scribe;
use crate::simdisk::{Rng, SimDisk, Survive};
use annals::{AppendError, ExpectedVersion, NewEvent, OpenError, Options};
use run::{Run, WINDOW, Witness, check, options};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use workloads::{append, workloads};

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
        let witness = run.kill();
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
                probe.kill(options.open_storage(Arc::new(probe.clone())));
                for step in 0..probe.ops() {
                    let again = cut.power_cut(&mut rng, Survive::Nothing);
                    again.crash_at(step);
                    again.kill(options.open_storage(Arc::new(again.clone())));
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

#[test]
fn a_cut_at_every_operation_of_every_workload() {
    let workloads = workloads();
    assert!(workloads.len() >= 30);
    let states = AtomicU64::new(0);
    let padded = options().pad_commits(true);
    // With an index file for each full segment, and at each close.
    let indexed = options().index_after_bytes(4 << 10);
    // Two cores: two threads, each every second workload.
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (workloads, states, padded, indexed) = (&workloads, &states, &padded, &indexed);
            scope.spawn(move || {
                for (i, (name, ops)) in workloads.iter().enumerate().filter(|(i, _)| i % 2 == half) {
                    crash_everywhere(name, &options(), ops, 24, states);
                    if i % 3 == 0 {
                        crash_everywhere(name, padded, ops, 8, states);
                    } else {
                        crash_everywhere(name, indexed, ops, 6, states);
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

/// A log that was closed and is written to again: whatever a cut leaves of the new bytes, recovery sees all of it, and clears
/// what is torn. Were the old close still believed, what is torn would stay behind the end and speak up in a later life.
#[test]
fn nothing_torn_stays_behind_a_close_that_is_over() {
    let large = vec![0xA5; 40 << 10];
    let mut torn = 0;
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let options = options();
        let log = options.open_storage(Arc::new(disk.clone())).unwrap();
        log.append("s", ExpectedVersion::Any, &[NewEvent::new("T", "small")]).unwrap();
        log.close().unwrap();
        // Cut somewhere in the second life.
        let begun = disk.ops();
        disk.crash_at(begun + seed % 20);
        if let Ok(log) = options.open_storage(Arc::new(disk.clone())) {
            let _ = log.append("s", ExpectedVersion::Any, &[NewEvent::new("T", &large)]);
            disk.kill(log);
        }
        let cut = disk.power_cut(&mut Rng::new(seed), Survive::Random);
        let log = options.open_storage(Arc::new(cut.clone())).unwrap();
        torn += u64::from(log.recovery().torn_tail.is_some());
        assert!((1..=2).contains(&log.last_position()));
        log.close().unwrap();
        let image = cut.read_file(&format!("{:020}.seg", 1)).unwrap();
        let read = scribe::read_log(std::slice::from_ref(&image)).unwrap();
        let last = &read.segments[0];
        assert_eq!(last.how, scribe::End::Clean, "seed {seed}");
        assert!(image[last.end..].iter().all(|byte| *byte == 0), "seed {seed}");
    }
    assert!(torn > 10, "{torn}");
}

fn number_from(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn random_round(seed: u64, twice: bool, states: &AtomicU64) {
    let mut rng = Rng::new(seed);
    let ops: Vec<Op> = (0..4 + rng.below(12)).map(|_| Op::draw(&mut |n| rng.below(n))).collect();
    let options = if rng.chance(1, 4) { options().pad_commits(true) } else { options() };
    let options = if rng.chance(1, 2) { options.index_after_bytes(4 << 10) } else { options };
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
        let witness = run.kill();
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
                let witness = run.kill();
                let mut rng = Rng::new(op);
                // Killed: the page cache stays, and lies about what the failed sync has lost.
                let killed = disk.process_crash();
                let reopened = Run::start(killed.clone(), options(), witness);
                assert!(
                    !reopened.failed,
                    "{name}: operation {op} failed with {kind:?}, and the log does not open again"
                );
                let witness = reopened.kill();
                let cut = killed.power_cut(&mut rng, Survive::Nothing);
                if let Err(wrong) = check(&cut, &options(), &witness, &mut rng, true) {
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
        let mut model = Model::new(WINDOW);
        let mut refused = 0;
        for salt in 0..60 {
            let op = append(salt % STREAMS.len(), 1, 7000);
            let write = Write::of(&op, &model, salt as u64, log.last_position()).unwrap();
            match write.send(&log) {
                Ok(_) => model = model.perform(&write).unwrap().0,
                Err(AppendError::DiskFull(_)) => refused += 1,
                Err(error) => panic!("{space} KiB: {error}"),
            }
            assert_eq!(model.difference(&log), None);
        }
        assert!(refused > 0, "{space} KiB held 420 KB");
        assert!(log.status().disk_full.is_some());
        disk.set_space(None);
        let write = Write::of(&append(0, 1, 9000), &model, 99, log.last_position()).unwrap();
        write.send(&log).unwrap_or_else(|error| panic!("{space} KiB, freed: {error}"));
        model = model.perform(&write).unwrap().0;
        assert_eq!(model.difference(&log), None);
        assert_eq!(log.status().disk_full, None);
        log.close().unwrap();
        let log =
            options().open_storage(Arc::new(disk.power_cut(&mut Rng::new(1), Survive::Nothing))).unwrap();
        assert_eq!(model.difference(&log), None);
    }
}
