//! What all benches share: the workload, with fixed seeds, and the directories it runs in.
//!
//! Owns the shape of the events, the names of the streams and the order in which they are touched, so that Annals and the
//! floors of the machine (`floor`, `walk`) do the same work. Must use nothing of the crate but its public interface.
#![allow(dead_code)] // each bench uses its part

pub(crate) mod figure;
pub(crate) mod floor;
pub(crate) mod group;
pub(crate) mod walk;

use annals::{Appended, BatchBuilder, Event, EventLog, ExpectedVersion, NewEvent, Options, Pending};
use std::collections::VecDeque;
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What a bench returns.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

pub(crate) const PAYLOAD_BYTES: usize = 256;
pub(crate) const EVENT_TYPE: &str = "OrderPlaced";
/// The ingest workload: atomic appends of so many events to each of so many streams.
pub(crate) const INGEST_EVENTS: usize = 10;
pub(crate) const INGEST_STREAMS: usize = 100;
pub(crate) const INGEST_BATCH: usize = INGEST_EVENTS * INGEST_STREAMS;
/// How many different payloads go round.
const PAYLOADS: usize = 1024;
/// How many appends the pipelined workload has in flight.
const PIPELINE: usize = 4096;

/// Whether times matter: `cargo bench` says so. Otherwise a bench only proves that it runs, as fast as it can.
pub(crate) fn is_measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// `full` when times matter, else `smoke`.
pub(crate) fn sized(full: usize, smoke: usize) -> usize {
    if is_measuring() { full } else { smoke }
}

/// SplitMix64: the same numbers on every machine and in every year.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Streams, payloads, and which stream gets events when.
pub(crate) struct Workload {
    pub(crate) ids: Vec<String>,
    payloads: Vec<[u8; PAYLOAD_BYTES]>,
    /// Streams in the order in which the ingest workload writes to them, a hundred to an append.
    pub(crate) plan: Vec<u32>,
}

impl Workload {
    /// `events` are what the ingest workload writes in all: rounded down so that each stream gets as many.
    pub(crate) fn new(events: usize, streams: usize) -> Workload {
        let mut random = Random::new(0xA77A15);
        let mut payloads = vec![[0; PAYLOAD_BYTES]; PAYLOADS];
        for payload in &mut payloads {
            payload.fill_with(|| random.next() as u8);
        }
        let mut plan = Vec::new();
        let mut order: Vec<u32> = (0..streams as u32).collect();
        for _ in 0..events / (streams * INGEST_EVENTS) {
            random.shuffle(&mut order);
            plan.extend_from_slice(&order);
        }
        let ids = (0..streams).map(|stream| format!("order-{stream:06}")).collect();
        Workload { ids, payloads, plan }
    }

    /// How many events the ingest workload writes.
    pub(crate) fn ingested(&self) -> usize {
        self.plan.len() * INGEST_EVENTS
    }

    pub(crate) fn id(&self, stream: usize) -> &str {
        &self.ids[stream % self.ids.len()]
    }

    pub(crate) fn payload(&self, n: usize) -> &[u8; PAYLOAD_BYTES] {
        &self.payloads[n % PAYLOADS]
    }

    pub(crate) fn event(&self, n: usize) -> NewEvent<'_> {
        NewEvent::new(EVENT_TYPE, self.payload(n))
    }

    /// The streams of each append of the ingest workload.
    pub(crate) fn ingest_groups(&self) -> impl Iterator<Item = &[u32]> {
        self.plan.chunks_exact(INGEST_STREAMS)
    }

    /// Streams in random order, each once.
    pub(crate) fn shuffled_streams(&self, seed: u64) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.ids.len() as u32).collect();
        Random::new(seed).shuffle(&mut order);
        order
    }

    /// Streams picked at random.
    pub(crate) fn picked_streams(&self, count: usize, seed: u64) -> Vec<u32> {
        let mut random = Random::new(seed);
        (0..count).map(|_| random.below(self.ids.len()) as u32).collect()
    }
}

/// Appends one event.
pub(crate) fn append_one(log: &EventLog, work: &Workload, n: usize) -> Outcome<Appended> {
    Ok(log.append(work.id(n), ExpectedVersion::Any, &[work.event(n)])?)
}

/// Appends a hundred events to one stream.
pub(crate) fn append_hundred(log: &EventLog, work: &Workload, n: usize) -> Outcome<Appended> {
    let events: [NewEvent<'_>; 100] = std::array::from_fn(|i| work.event(n * 100 + i));
    Ok(log.append(work.id(n), ExpectedVersion::Any, &events)?)
}

/// One append of the ingest workload, not sent off yet.
pub(crate) fn ingest_append<'a>(
    log: &'a EventLog,
    work: &Workload,
    group: &[u32],
    n: usize,
) -> BatchBuilder<'a> {
    let mut batch = log.batch();
    for (i, stream) in group.iter().enumerate() {
        let first = n * INGEST_BATCH + i * INGEST_EVENTS;
        let events: [NewEvent<'_>; INGEST_EVENTS] = std::array::from_fn(|k| work.event(first + k));
        batch = batch.append(work.id(*stream as usize), ExpectedVersion::Any, &events);
    }
    batch
}

/// The whole ingest workload, with so many appends in flight: with one, each is waited for.
pub(crate) fn ingest(log: &EventLog, work: &Workload, in_flight: usize) -> Outcome<Duration> {
    let mut waiting = VecDeque::with_capacity(in_flight);
    let begun = Instant::now();
    for (n, group) in work.ingest_groups().enumerate() {
        let batch = ingest_append(log, work, group, n);
        if in_flight <= 1 {
            batch.commit()?;
            continue;
        }
        if waiting.len() == in_flight
            && let Some(oldest) = waiting.pop_front()
        {
            Pending::wait(oldest)?;
        }
        waiting.push_back(batch.submit()?);
    }
    for pending in waiting {
        pending.wait()?;
    }
    Ok(begun.elapsed())
}

/// `count` appends of one event, thousands in flight, one thread: until the last is durable.
pub(crate) fn pipeline(log: &EventLog, work: &Workload, count: usize) -> Outcome<Duration> {
    let mut waiting = VecDeque::with_capacity(PIPELINE);
    let begun = Instant::now();
    for n in 0..count {
        if waiting.len() == PIPELINE
            && let Some(oldest) = waiting.pop_front()
        {
            Pending::wait(oldest)?;
        }
        waiting.push_back(log.submit(work.id(n), ExpectedVersion::Any, &[work.event(n)])?);
    }
    for pending in waiting {
        pending.wait()?;
    }
    Ok(begun.elapsed())
}

/// `threads` that append one event after the other, `each` times, each waiting for its own. Gives the time from the first
/// append to the last answer, and how long each append took, in nanoseconds.
pub(crate) fn crowd(
    log: &EventLog,
    work: &Workload,
    threads: usize,
    each: usize,
) -> Outcome<(Duration, Vec<u64>)> {
    let start = Barrier::new(threads + 1);
    let member = |number: usize| -> Outcome<Vec<u64>> {
        let mut latencies = Vec::with_capacity(each);
        start.wait();
        for i in 0..each {
            let begun = Instant::now();
            append_one(log, work, number + i * threads)?;
            latencies.push(begun.elapsed().as_nanos() as u64);
        }
        Ok(latencies)
    };
    std::thread::scope(|scope| {
        let member = &member;
        let crowd: Vec<_> = (0..threads).map(|number| scope.spawn(move || member(number))).collect();
        start.wait();
        let begun = Instant::now();
        let mut latencies = Vec::with_capacity(threads * each);
        for thread in crowd {
            latencies.extend(thread.join().map_err(|_| "a thread panicked")??);
        }
        Ok((begun.elapsed(), latencies))
    })
}

/// What every fold and scan does with an event's payload, here and on the floor: touch both ends.
#[inline]
pub(crate) fn digest(sum: u64, payload: &[u8]) -> u64 {
    let ends = payload.first().zip(payload.last()).map_or(0, |(first, last)| u64::from(first ^ last));
    sum.wrapping_add(payload.len() as u64).wrapping_add(ends)
}

/// The same, of an event.
#[inline]
pub(crate) fn digest_event(sum: u64, event: Event<'_>) -> u64 {
    digest(sum, event.payload())
}

/// Folds whole streams, in this order.
pub(crate) fn fold_streams(log: &EventLog, work: &Workload, order: &[u32]) -> Outcome<u64> {
    let mut sum = 0;
    for stream in order {
        sum = log.fold_stream(work.id(*stream as usize), 0, sum, digest_event)?;
    }
    Ok(sum)
}

/// Reads the whole log in its global order.
pub(crate) fn scan(log: &EventLog) -> Outcome<u64> {
    log.read_all(0).try_fold(0, |sum, event| Ok(digest_event(sum, event)))
}

/// Where a bench keeps its files: on the disk that holds the build, unless told otherwise, and gone afterwards. A system's
/// own temporary directory may be memory, on which a sync costs nothing.
pub(crate) struct Workspace {
    root: TempDir,
}

impl Workspace {
    pub(crate) fn new(parent: Option<&Path>) -> Outcome<Workspace> {
        let parent = match (parent, option_env!("CARGO_TARGET_TMPDIR")) {
            (Some(parent), _) => parent.to_owned(),
            (None, Some(parent)) => PathBuf::from(parent),
            (None, None) => std::env::current_dir()?.join("target").join("figures"),
        };
        std::fs::create_dir_all(&parent)?;
        Ok(Workspace { root: tempfile::Builder::new().prefix("annals-bench-").tempdir_in(parent)? })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A new, empty log.
    pub(crate) fn log(&self, name: &str) -> Outcome<EventLog> {
        Ok(Options::new().open(self.path(name))?)
    }

    /// Removes what was measured, and lets the disk come to rest before the next.
    pub(crate) fn remove(&self, name: &str) -> Outcome<()> {
        let path = self.path(name);
        if path.is_dir() {
            std::fs::remove_dir_all(path)?;
        } else {
            std::fs::remove_file(path)?;
        }
        // Freed blocks are told to the device when the file system's journal commits: now, not in somebody's measurement.
        File::open(self.root.path())?.sync_all()?;
        std::thread::sleep(Duration::from_millis(sized(100, 0) as u64));
        Ok(())
    }

    /// Copies a directory, whatever its owner is doing with it, and makes the copy durable.
    pub(crate) fn copy(&self, from: &str, to: &str) -> Outcome<()> {
        let target = self.path(to);
        std::fs::create_dir_all(&target)?;
        for entry in std::fs::read_dir(self.path(from))? {
            let entry = entry?;
            let copy = target.join(entry.file_name());
            std::fs::copy(entry.path(), &copy)?;
            File::open(copy)?.sync_all()?;
        }
        File::open(target)?.sync_all()?;
        Ok(())
    }
}

/// The segments of a log, oldest first.
pub(crate) fn segments(log: &Path) -> Outcome<Vec<PathBuf>> {
    let entries = std::fs::read_dir(log)?.collect::<Result<Vec<_>, _>>()?;
    let mut paths: Vec<_> = entries.iter().map(std::fs::DirEntry::path).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    paths.sort();
    Ok(paths)
}
