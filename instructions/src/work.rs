//! What is counted: appends, look-ups, folds and scans, as a program would call them.
//!
//! Owns the logs that they work on. Each work does the same for the same number of operations, whatever the machine.

use crate::Outcome;
use annals::{Event, EventLog, ExpectedVersion, NewEvent, Options, Pending};
use std::hint::black_box;

/// One thing that is counted.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    /// What the count is of.
    pub(crate) unit: &'static str,
    /// How many are done; and twice as many, in another run.
    pub(crate) operations: u64,
    /// How many units one operation has.
    pub(crate) units_per_operation: u64,
    run: fn(u64) -> Outcome<()>,
}

const PAYLOAD: [u8; 256] = [7; 256];
/// Streams of the logs that are read, and the appends and events that each has.
const STREAMS: u64 = 4_000;
const RUNS: u64 = 3;
const RUN_EVENTS: u64 = 10;

const fn work(
    name: &'static str,
    unit: &'static str,
    (operations, units_per_operation): (u64, u64),
    run: fn(u64) -> Outcome<()>,
) -> Work {
    Work { name, unit, operations, units_per_operation, run }
}

pub(crate) const ALL: &[Work] = &[
    work("append, one by one", "event", (2_000, 1), append),
    work("submit, 500 in flight", "event", (10, 500), submit),
    work("batch of 20 streams", "event", (50, 20 * RUN_EVENTS), batch),
    work("version, asked again", "look-up", (20_000, 1), version_again),
    work("version, asked once", "look-up", (STREAMS / 2, 1), version_once),
    work("fold", "event", (STREAMS / 2, RUNS * RUN_EVENTS), fold),
    work("scan", "event", (1, STREAMS * RUNS * RUN_EVENTS), scan),
];

pub(crate) fn run(name: &str, operations: &str) -> Outcome<()> {
    let work = ALL.iter().find(|work| work.name == name).ok_or_else(|| format!("no work {name:?}"))?;
    let operations = operations.parse().map_err(|error| format!("{operations:?}: {error}"))?;
    (work.run)(operations)
}

fn append(operations: u64) -> Outcome<()> {
    let (log, _dir) = to_write()?;
    let names = names(100);
    for i in 0..operations {
        let (of, version) = (i % 100, i / 100);
        let event = NewEvent::new("Credited", &PAYLOAD);
        log.append(&names[of as usize], ExpectedVersion::Exact(version), &[event]).map_err(told)?;
    }
    Ok(())
}

fn submit(operations: u64) -> Outcome<()> {
    let (log, _dir) = to_write()?;
    let names = names(100);
    for round in 0..operations {
        let submitted: Result<Vec<Pending<_>>, _> = (0..500)
            .map(|i| {
                let (of, version) = (i % 100, 5 * round + i / 100);
                let event = NewEvent::new("Credited", &PAYLOAD);
                log.submit(&names[of as usize], ExpectedVersion::Exact(version), &[event])
            })
            .collect();
        for pending in submitted.map_err(told)? {
            pending.wait().map_err(told)?;
        }
    }
    Ok(())
}

fn batch(operations: u64) -> Outcome<()> {
    let (log, _dir) = to_write()?;
    let names = names(100);
    let events = [NewEvent::new("Credited", &PAYLOAD); RUN_EVENTS as usize];
    for i in 0..operations {
        let mut batch = log.batch();
        for of in 0..20 {
            let name = &names[((20 * i + of) % 100) as usize];
            batch = batch.append(name, ExpectedVersion::Exact(i / 5 * RUN_EVENTS), &events);
        }
        batch.commit().map_err(told)?;
    }
    Ok(())
}

fn version_again(operations: u64) -> Outcome<()> {
    with_read_log(|log| {
        let names = names(100);
        for i in 0..operations {
            let version = log.stream_version(black_box(&names[(i % 100) as usize]));
            expect(version, RUNS * RUN_EVENTS)?;
        }
        Ok(())
    })
}

fn version_once(operations: u64) -> Outcome<()> {
    with_read_log(|log| {
        let names = names(STREAMS);
        for name in &names[..operations as usize] {
            expect(log.stream_version(black_box(name)), RUNS * RUN_EVENTS)?;
        }
        Ok(())
    })
}

fn fold(operations: u64) -> Outcome<()> {
    with_read_log(|log| {
        let names = names(STREAMS);
        for name in &names[..operations as usize] {
            let sum = log.fold_stream(name, 0, 0, add).map_err(told)?;
            expect(sum, RUNS * RUN_EVENTS * 7)?;
        }
        Ok(())
    })
}

fn scan(operations: u64) -> Outcome<()> {
    with_read_log(|log| {
        for _ in 0..operations {
            let mut cursor = log.read_all(0);
            let mut sum = 0;
            while let Some(event) = cursor.next().map_err(told)? {
                sum = add(sum, event);
            }
            expect(sum, STREAMS * RUNS * RUN_EVENTS * 7)?;
        }
        Ok(())
    })
}

fn add(sum: u64, event: Event<'_>) -> u64 {
    sum + u64::from(event.payload()[0])
}

/// A log to be appended to, which the caller's thread drives alone.
fn to_write() -> Outcome<(EventLog, tempfile::TempDir)> {
    let dir = tempfile::tempdir().map_err(told)?;
    let log = Options::new().background(false).open(dir.path()).map_err(told)?;
    Ok((log, dir))
}

/// A log that was filled, closed and opened again, so that its streams are in a file of the index.
fn with_read_log(work: impl FnOnce(&EventLog) -> Outcome<()>) -> Outcome<()> {
    let dir = tempfile::tempdir().map_err(told)?;
    let options = Options::new().background(false).segment_bytes(16 << 20).index_after_bytes(1 << 20);
    let log = options.clone().open(dir.path()).map_err(told)?;
    let names = names(STREAMS);
    let events = [NewEvent::new("Credited", &PAYLOAD); RUN_EVENTS as usize];
    for round in 0..RUNS {
        for chunk in names.chunks(200) {
            let mut batch = log.batch();
            for name in chunk {
                batch = batch.append(name, ExpectedVersion::Exact(round * RUN_EVENTS), &events);
            }
            batch.commit().map_err(told)?;
        }
    }
    log.close().map_err(told)?;
    let log = options.open(dir.path()).map_err(told)?;
    work(&log)
}

fn names(count: u64) -> Vec<String> {
    (0..count).map(|i| format!("account-{i:08}")).collect()
}

/// What was read is what was written: who reads nothing is fast.
fn expect(found: u64, expected: u64) -> Outcome<()> {
    if found == expected { Ok(()) } else { Err(format!("found {found}, expected {expected}")) }
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
