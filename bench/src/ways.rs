//! Ways of making a write durable: what the writer of Annals does, beside what it could do instead.
//!
//! Owns the measurement behind the choice of one write and one fdatasync per commit. Nothing here is a store: a file that was
//! zeroed beforehand, as Annals does with its segments as long as commits are small, or one that has its space only reserved; and
//! commits of several sizes one behind the other.

use measure::{Context, Outcome, Series, Table, quantile};
use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::{ReadWriteFlags, pwritev2};
use std::fs::{File, OpenOptions};
use std::io::IoSlice;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Instant;

const PAGE: usize = 4096;
/// Sizes of commits, and how many of each make one round.
const COMMITS: [(usize, usize); 4] = [(PAGE, 300), (64 << 10, 150), (256 << 10, 80), (1 << 20, 40)];

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

const WAYS: [Way; 6] = [
    way("write, fdatasync (Annals)", zero, OFlags::empty(), write_and_sync),
    way("the same of reserved space", reserve, OFlags::empty(), write_and_sync),
    way("O_DSYNC", zero, OFlags::DSYNC, write),
    way("RWF_DSYNC", zero, OFlags::empty(), write_through),
    way("O_DIRECT, fdatasync", zero, OFlags::DIRECT, write_and_sync),
    way("O_DIRECT, O_DSYNC", zero, OFlags::DIRECT.union(OFlags::DSYNC), write),
];

/// Measures all ways in turns, and prints what a commit takes with each.
pub(crate) fn measure(dir: &Path, rounds: usize) -> Outcome<()> {
    std::fs::create_dir_all(dir).context(|| format!("make {}", dir.display()))?;
    let names = WAYS.iter().map(|way| way.name).chain(cfg!(feature = "uring").then_some(URING));
    let mut took: Vec<(&str, Vec<Series>)> =
        names.map(|name| (name, vec![Series::default(); COMMITS.len()])).collect();
    for _ in 0..rounds {
        for (size, (bytes, count)) in COMMITS.into_iter().enumerate() {
            for (which, (_, series)) in took.iter_mut().enumerate() {
                let path = dir.join("ways.tmp");
                let nanos = WAYS.get(which).map_or_else(
                    || with_uring(&path, bytes, count),
                    |way| with_calls(&path, *way, bytes, count),
                );
                let _ = std::fs::remove_file(&path);
                series[size].push(quantile(&mut nanos?, 500) / 1e3);
            }
        }
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
    Ok(())
}

fn with_calls(path: &Path, way: Way, bytes: usize, count: usize) -> Outcome<Vec<u64>> {
    prepared(path, way.prepare, bytes * count)?;
    let file = OpenOptions::new().write(true).custom_flags(way.flags.bits() as i32).open(path)?;
    let memory = vec![7; bytes + PAGE];
    // What goes past the page cache must begin with a page of memory, too.
    let at = memory.as_ptr().align_offset(PAGE);
    let mut nanos = Vec::with_capacity(count);
    for n in 0..count {
        let begun = Instant::now();
        (way.commit)(&file, &memory[at..at + bytes], (n * bytes) as u64)?;
        nanos.push(begun.elapsed().as_nanos() as u64);
    }
    Ok(nanos)
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

const URING: &str = "io_uring, write, fdatasync";

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
