//! Ways of making a write durable: what the writer of Annals does, beside what it could do instead.
//!
//! Owns the measurement behind the choice of one write and one fdatasync per commit, and of what any log has to pay beside it: for
//! its space, and for callers that take turns. Nothing here is a store: a file that was zeroed beforehand, as Annals does with its
//! segments as long as commits are small, or one that has its space only reserved, or none; and commits of several sizes one
//! behind the other.

use measure::{Context, Outcome, Series, Table, quantile};
use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::{ReadWriteFlags, pwritev2};
use std::fs::{File, OpenOptions};
use std::io::IoSlice;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PAGE: usize = 4096;
/// Sizes of commits, and how many of each make one round: a small one, about those of the workloads batch100 and ingest, and
/// a large one.
const COMMITS: [(usize, usize); 4] = [(PAGE, 300), (32 << 10, 200), (300 << 10, 80), (1 << 20, 40)];
/// Among how many threads turns are measured, and for how long.
const TAKE_TURNS: (usize, Duration) = (64, Duration::from_millis(300));

/// What is done to a file before it is written.
type Prepare = fn(&File, usize) -> Outcome<()>;

/// A way, what its file is, and the flags with which that is opened.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    prepare: Prepare,
    flags: OFlags,
    commit: fn(&File, &[u8], u64) -> Outcome<()>,
}

const fn way(
    name: &'static str,
    prepare: Prepare,
    flags: OFlags,
    commit: fn(&File, &[u8], u64) -> Outcome<()>,
) -> Way {
    Way { name, prepare, flags, commit }
}

const WAYS: [Way; 7] = [
    way("write, fdatasync (Annals)", zero, OFlags::empty(), write_and_sync),
    way("the same of reserved space", reserve, OFlags::empty(), write_and_sync),
    way("the same of a file that grows", nothing, OFlags::empty(), write_and_sync),
    way("O_DSYNC", zero, OFlags::DSYNC, write),
    way("RWF_DSYNC", zero, OFlags::empty(), write_through),
    way("O_DIRECT, fdatasync", zero, OFlags::DIRECT, write_and_sync),
    way("O_DIRECT, O_DSYNC", zero, OFlags::DIRECT.union(OFlags::DSYNC), write),
];

/// How long each of so many commits of so many bytes took.
type Measured = Box<dyn Fn(&Path, usize, usize) -> Outcome<Vec<u64>>>;

/// Measures all ways in turns, and prints what a commit takes with each.
pub(crate) fn measure(dir: &Path, rounds: usize) -> Outcome<()> {
    std::fs::create_dir_all(dir).context(|| format!("make {}", dir.display()))?;
    let named = |way: Way| -> (&'static str, Measured) {
        (way.name, Box::new(move |path, bytes, count| with_calls(path, way, bytes, count)))
    };
    let mut ways: Vec<_> = WAYS.map(named).into();
    ways.push(("the first, while another thread writes as many zeros", Box::new(beside_zeros)));
    ways.push(("the first, by two threads at once: all of them, by their number", Box::new(two_at_once)));
    if cfg!(feature = "uring") {
        ways.push(("io_uring, write, fdatasync", Box::new(with_uring)));
    }
    let mut took: Vec<(&str, Vec<Series>)> =
        ways.iter().map(|(name, _)| (*name, vec![Series::default(); COMMITS.len()])).collect();
    let mut turns = Series::default();
    for _ in 0..rounds {
        for (size, (bytes, count)) in COMMITS.into_iter().enumerate() {
            for ((_, way), (_, series)) in ways.iter().zip(&mut took) {
                let path = dir.join("ways.tmp");
                let nanos = way(&path, bytes, count);
                let _ = std::fs::remove_file(&path);
                series[size].push(quantile(&mut nanos?, 500) / 1e3);
            }
        }
        turns.push(turn());
    }
    let sizes = COMMITS.map(|(bytes, _)| format!("{} KiB, us", bytes >> 10));
    let mut table = Table::new(["a commit of".to_owned()].into_iter().chain(sizes));
    let floor = took[0].1.clone();
    for (name, series) in &took {
        let cells = series.iter().zip(&floor).map(|(series, floor)| {
            let ratio = series.ratio(floor).show(|ratio| format!("{ratio:.2}"));
            format!("{}, {ratio} x", series.show(|micros| format!("{micros:.0}")))
        });
        table.row([(*name).to_owned()].into_iter().chain(cells));
    }
    println!("{}", table.markdown());
    let (threads, _) = TAKE_TURNS;
    println!(
        "A turn among {threads} threads that give way, us: {}",
        turns.show(|micros| format!("{micros:.2}"))
    );
    Ok(())
}

fn with_calls(path: &Path, way: Way, bytes: usize, count: usize) -> Outcome<Vec<u64>> {
    commits(path, (way.prepare, way.flags), way.commit, bytes, count)
}

/// How long each of so many commits took, one behind the other, of a file that was made and opened like this.
fn commits(
    path: &Path,
    (prepare, flags): (Prepare, OFlags),
    commit: impl Fn(&File, &[u8], u64) -> Outcome<()>,
    bytes: usize,
    count: usize,
) -> Outcome<Vec<u64>> {
    prepared(path, prepare, bytes * count)?;
    let file = OpenOptions::new().write(true).custom_flags(flags.bits() as i32).open(path)?;
    let memory = vec![7; bytes + PAGE];
    // What goes past the page cache must begin with a page of memory, too.
    let at = memory.as_ptr().align_offset(PAGE);
    let mut nanos = Vec::with_capacity(count);
    for n in 0..count {
        let begun = Instant::now();
        commit(&file, &memory[at..at + bytes], (n * bytes) as u64)?;
        nanos.push(begun.elapsed().as_nanos() as u64);
    }
    Ok(nanos)
}

/// The first way, while another thread writes as many zeros to another file past the page cache, a few commits at once: what it
/// takes to have a file that is zeroed beforehand, and always the next one.
fn beside_zeros(path: &Path, bytes: usize, count: usize) -> Outcome<Vec<u64>> {
    let other = path.with_extension("zeros");
    prepared(&other, reserve, bytes * count + (1 << 20))?;
    let file = OpenOptions::new().write(true).custom_flags(OFlags::DIRECT.bits() as i32).open(&other)?;
    let (committed, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let step = (4 * bytes).clamp(256 << 10, 1 << 20);
    let zeros = || -> Outcome<()> {
        let memory = vec![0; step + PAGE];
        let at = memory.as_ptr().align_offset(PAGE);
        let mut zeroed = 0;
        while !done.load(Ordering::Relaxed) {
            if zeroed < committed.load(Ordering::Relaxed) {
                file.write_all_at(&memory[at..at + step], zeroed)?;
                zeroed += step as u64;
            } else {
                std::thread::sleep(Duration::from_micros(20));
            }
        }
        Ok(())
    };
    let nanos = std::thread::scope(|scope| {
        let zeros = scope.spawn(zeros);
        let count_bytes = |file: &File, memory: &[u8], at: u64| {
            write_and_sync(file, memory, at)?;
            committed.store(at + memory.len() as u64, Ordering::Relaxed);
            Ok(())
        };
        let nanos = commits(path, (zero, OFlags::empty()), count_bytes, bytes, count);
        done.store(true, Ordering::Relaxed);
        zeros.join().map_err(|_| "a thread panicked")??;
        nanos
    });
    let _ = std::fs::remove_file(&other);
    nanos
}

/// The first way by two threads, each of which has a commit under way: the time of all of them by their number.
fn two_at_once(path: &Path, bytes: usize, count: usize) -> Outcome<Vec<u64>> {
    prepared(path, zero, bytes * count)?;
    let file = OpenOptions::new().write(true).open(path)?;
    let next = AtomicU64::new(0);
    let memory = vec![7; bytes];
    let commits = || -> Outcome<()> {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= count as u64 {
                return Ok(());
            }
            write_and_sync(&file, &memory, n * bytes as u64)?;
        }
    };
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let other = scope.spawn(commits);
        commits()?;
        other.join().map_err(|_| "a thread panicked")?
    })?;
    Ok(vec![begun.elapsed().as_nanos() as u64 / count as u64])
}

/// What it takes a processor to go from one thread to the next, where each gives way to the others, in microseconds.
fn turn() -> f64 {
    let (threads, time) = TAKE_TURNS;
    let (turns, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let take_turns = || {
        let mut own = 0;
        while !done.load(Ordering::Relaxed) {
            std::thread::yield_now();
            own += 1;
        }
        turns.fetch_add(own, Ordering::Relaxed);
    };
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(take_turns);
        }
        std::thread::sleep(time);
        done.store(true, Ordering::Relaxed);
    });
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    begun.elapsed().as_micros() as f64 * processors as f64 / turns.into_inner().max(1) as f64
}

/// A new file that is on the disk as it is to be.
fn prepared(path: &Path, prepare: Prepare, bytes: usize) -> Outcome<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    prepare(&file, bytes)?;
    Ok(file.sync_all()?)
}

/// Zeros: what is written later changes nothing but these bytes.
fn zero(file: &File, bytes: usize) -> Outcome<()> {
    Ok(file.write_all_at(&vec![0; bytes], 0)?)
}

/// Space that is only reserved: the first write of each of its blocks is a change of the file system's, too.
fn reserve(file: &File, bytes: usize) -> Outcome<()> {
    Ok(fallocate(file, FallocateFlags::empty(), 0, bytes as u64)?)
}

/// No space: each commit makes the file longer.
fn nothing(_: &File, _: usize) -> Outcome<()> {
    Ok(())
}

fn write(file: &File, bytes: &[u8], at: u64) -> Outcome<()> {
    Ok(file.write_all_at(bytes, at)?)
}

fn write_and_sync(file: &File, bytes: &[u8], at: u64) -> Outcome<()> {
    file.write_all_at(bytes, at)?;
    Ok(file.sync_data()?)
}

fn write_through(file: &File, bytes: &[u8], at: u64) -> Outcome<()> {
    let written = pwritev2(file, &[IoSlice::new(bytes)], at, ReadWriteFlags::DSYNC)?;
    if written == bytes.len() {
        Ok(())
    } else {
        Err(format!("wrote {written} of {} bytes", bytes.len()).into())
    }
}

#[cfg(feature = "uring")]
fn with_uring(path: &Path, bytes: usize, count: usize) -> Outcome<Vec<u64>> {
    prepared(path, zero, bytes * count)?;
    tokio_uring::start(async {
        let file = tokio_uring::fs::OpenOptions::new().write(true).open(path).await?;
        let mut memory = vec![7; bytes];
        let mut nanos = Vec::with_capacity(count);
        for n in 0..count {
            let begun = Instant::now();
            let (written, back) = file.write_all_at(memory, (n * bytes) as u64).await;
            written?;
            file.sync_data().await?;
            nanos.push(begun.elapsed().as_nanos() as u64);
            memory = back;
        }
        file.close().await?;
        Ok(nanos)
    })
}

#[cfg(not(feature = "uring"))]
fn with_uring(_: &Path, _: usize, _: usize) -> Outcome<Vec<u64>> {
    Err("built without the feature `uring`".into())
}
