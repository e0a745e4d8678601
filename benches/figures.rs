//! All figures of the log in one run, each beside the floor of the machine: `cargo bench --bench figures`.
//!
//! Every commit is synced to disk. What is compared runs in turns, in the same run; medians and ratios count, absolute
//! numbers drift. Nothing here fails for being slow. Arguments behind `--`: a number of events (default 1,000,000),
//! `--quick` (100,000), `--dir <path>` (where to put the files; default: inside the build directory).
#![allow(clippy::print_stdout)] // the figures are the output

mod support;

use annals::{CheckpointUse, EventLog, Options};
use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::figure::{Series, Unit, print_head, print_line, quantile};
use support::floor::{BareTable, FRAME_BYTES, PAGE, RECORD_BYTES, RawFile};
use support::walk::Walk;
use support::{Outcome, Workload, Workspace};

/// How much is measured, and where.
struct Scale {
    events: usize,
    streams: usize,
    rounds: usize,
    dir: Option<PathBuf>,
}

impl Scale {
    fn from_arguments() -> Outcome<Scale> {
        let mut events = support::sized(1_000_000, 20_000);
        let mut dir = None;
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => events = 100_000,
                "--dir" => dir = arguments.next().map(PathBuf::from),
                // Whatever else there is comes from cargo and is for other benches.
                number => events = number.parse().unwrap_or(events),
            }
        }
        let streams = (events / 100).clamp(100, 10_000);
        Ok(Scale { events, streams, rounds: support::sized(5, 1), dir })
    }

    /// A part of the events, for what is slow.
    fn part(&self, one_in: usize) -> usize {
        (self.events / one_in).max(64)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    run().map_err(|error| error as Box<dyn Error>)
}

fn run() -> Outcome<()> {
    let scale = Scale::from_arguments()?;
    let work = Workload::new(scale.events, scale.streams);
    let space = Workspace::new(scale.dir.as_deref())?;
    println!(
        "{} events of {} bytes over {} streams, {} rounds, {} processors; every commit synced",
        work.ingested(),
        support::PAYLOAD_BYTES,
        scale.streams,
        scale.rounds,
        std::thread::available_parallelism().map_or(1, usize::from),
    );
    print_head();
    alone(&scale, &work, &space)?;
    crowd(&scale, &work, &space)?;
    bulk(&scale, &work, &space)?;
    pipelined(&scale, &work, &space)?;
    reads(&scale, &work, &space)?;
    reopen(&scale, &space)
}

/// sync1: one thread, one event per append, in turns of a hundred with the floor. A turn of the floor is shorter than the
/// log takes to write its idle witness, so neither is in the other's way.
fn alone(scale: &Scale, work: &Workload, space: &Workspace) -> Outcome<()> {
    const TURN: usize = 100;
    let turns = (scale.part(100) / scale.rounds / TURN).clamp(1, 20);
    let log = space.log("alone")?;
    let mut raw = RawFile::new(&space.path("raw"), 16 << 20)?;
    let mut series: [Series; 6] = Default::default();
    let mut n = 0;
    for _ in 0..scale.rounds {
        let (mut floor, mut annals) = (Vec::new(), Vec::new());
        for _ in 0..turns {
            for _ in 0..TURN {
                n += 1;
                floor.push(nanos(|| raw.append(work, n, 1))?);
            }
            for _ in 0..TURN {
                n += 1;
                annals.push(nanos(|| support::append_one(&log, work, n))?);
            }
        }
        let quantiles = [(&mut floor, 500), (&mut annals, 500)];
        let [floor_p50, annals_p50] = quantiles.map(|(nanos, at)| quantile(nanos, at) / 1e3);
        let tails = [(&floor, 990), (&annals, 990), (&floor, 1000), (&annals, 1000)];
        let tails = tails.map(|(nanos, at)| quantile(&mut nanos.clone(), at) / 1e3);
        let values = [[floor_p50, annals_p50], [tails[0], tails[1]], [tails[2], tails[3]]];
        series.iter_mut().zip(values.as_flattened()).for_each(|(series, value)| series.push(*value));
    }
    for (name, pair) in ["sync1 p50", "sync1 p99", "sync1 max"].iter().zip(series.chunks_exact(2)) {
        print_line(name, Unit::Micros, Some(&pair[0]), &pair[1]);
    }
    log.close()?;
    space.remove("alone")?;
    space.remove("raw")
}

/// conc64: 64 threads, each waiting for its own append. The floor: 64 appends in one write and one sync.
fn crowd(scale: &Scale, work: &Workload, space: &Workspace) -> Outcome<()> {
    const THREADS: usize = 64;
    let each = scale.part(4) / THREADS;
    let (mut floor, mut annals) = (Series::default(), Series::default());
    let mut latencies: [Series; 3] = Default::default();
    let mut raw = RawFile::new(&space.path("raw"), 64 << 20)?;
    for _ in 0..scale.rounds {
        let begun = Instant::now();
        for n in 0..each / 2 {
            raw.append_shared(work, n * THREADS, THREADS)?;
        }
        floor.push_rate(each / 2 * THREADS, begun.elapsed());
        let log = space.log("crowd")?;
        let (took, mut nanos) = support::crowd(&log, work, THREADS, each)?;
        annals.push_rate(each * THREADS, took);
        for (series, at) in latencies.iter_mut().zip([500, 990, 1000]) {
            series.push(quantile(&mut nanos, at) / 1e3);
        }
        log.close()?;
        space.remove("crowd")?;
    }
    print_line("conc64 (floor: 64 to a commit)", Unit::PerSecond, Some(&floor), &annals);
    let names =
        ["append to durable, conc64 p50", "append to durable, conc64 p99", "append to durable, conc64 max"];
    for (name, series) in names.iter().zip(&latencies) {
        print_line(name, Unit::Micros, None, series);
    }
    space.remove("raw")
}

/// batch100 and ingest: one thread, many events per append.
fn bulk(scale: &Scale, work: &Workload, space: &Workspace) -> Outcome<()> {
    let hundreds = scale.part(2) / 100;
    let bytes = (hundreds * 100).max(work.ingested()) * (RECORD_BYTES + 8);
    let mut raw = RawFile::new(&space.path("raw"), bytes)?;
    let mut series: [Series; 5] = Default::default();
    for _ in 0..scale.rounds {
        let [floor_hundred, hundred, floor_ingest, ingest, ingest_two] = &mut series;
        let begun = Instant::now();
        for n in 0..hundreds {
            raw.append(work, n * 100, 100)?;
        }
        floor_hundred.push_rate(hundreds * 100, begun.elapsed());
        let log = space.log("hundred")?;
        let begun = Instant::now();
        for n in 0..hundreds {
            support::append_hundred(&log, work, n)?;
        }
        hundred.push_rate(hundreds * 100, begun.elapsed());
        log.close()?;
        space.remove("hundred")?;

        let begun = Instant::now();
        for n in 0..work.plan.len() / support::INGEST_STREAMS {
            raw.ingest(work, n)?;
        }
        floor_ingest.push_rate(work.ingested(), begun.elapsed());
        for (in_flight, series) in [(1, ingest), (2, ingest_two)] {
            let log = space.log("ingest")?;
            series.push_rate(work.ingested(), support::ingest(&log, work, in_flight)?);
            log.close()?;
            space.remove("ingest")?;
        }
    }
    let [floor_hundred, hundred, floor_ingest, ingest, ingest_two] = &series;
    print_line("batch100", Unit::PerSecond, Some(floor_hundred), hundred);
    print_line("ingest", Unit::PerSecond, Some(floor_ingest), ingest);
    print_line("ingest, two in flight", Unit::PerSecond, Some(floor_ingest), ingest_two);
    space.remove("raw")
}

/// One thread, one event per append, thousands in flight. The floor: as many in one write and one sync.
fn pipelined(scale: &Scale, work: &Workload, space: &Workspace) -> Outcome<()> {
    const TOGETHER: usize = 2048;
    let events = scale.part(2);
    let mut raw = RawFile::new(&space.path("raw"), events * (RECORD_BYTES + FRAME_BYTES))?;
    let (mut floor, mut annals) = (Series::default(), Series::default());
    for _ in 0..scale.rounds {
        let begun = Instant::now();
        for first in (0..events).step_by(TOGETHER) {
            raw.append_shared(work, first, TOGETHER.min(events - first))?;
        }
        floor.push_rate(events, begun.elapsed());
        let log = space.log("pipelined")?;
        annals.push_rate(events, support::pipeline(&log, work, events)?);
        log.close()?;
        space.remove("pipelined")?;
    }
    print_line("pipelined (floor: 2048 to a commit)", Unit::PerSecond, Some(&floor), &annals);
    space.remove("raw")
}

/// Look-ups, folds and scans in a log that the ingest workload wrote; and how large that is. Leaves the log, closed, as
/// `log`, and a copy of it that was never closed as `killed`.
fn reads(scale: &Scale, work: &Workload, space: &Workspace) -> Outcome<()> {
    let walk = Walk::new(&space.path("walk"), work)?;
    // Without an idle witness, the copy is that of a log that was killed right after its last commit.
    let log = Options::new().idle_witness_after(Duration::from_secs(10)).open(space.path("log"))?;
    support::ingest(&log, work, 1)?;
    space.copy("log", "killed")?;
    versions(scale, work, &log)?;

    let mut series: [Series; 6] = Default::default();
    let events = work.ingested();
    // The first round only brings the pages in.
    for round in 0..=scale.rounds {
        let order = work.shuffled_streams(round as u64);
        let mut sum = 0;
        let fold_plain = time(|| order.iter().fold(0, |sum, stream| walk.fold(*stream as usize, sum)));
        let fold_verified = time(|| {
            order.iter().try_fold(0, |sum, stream| walk.fold_verified(*stream as usize, sum)).unwrap_or(0)
        });
        let fold = time(|| support::fold_streams(&log, work, &order).map(|total| sum = total));
        let scan_plain = time(|| walk.scan());
        let scan_verified = time(|| walk.scan_verified().unwrap_or(0));
        let scan = time(|| support::scan(&log).map(|total| sum = sum.wrapping_sub(total)));
        fold.1?;
        scan.1?;
        let floors = [fold_plain.1, fold_verified.1, scan_plain.1, scan_verified.1];
        if sum != 0 || floors.iter().any(|floor| *floor != floors[0]) {
            return Err("floor and log, or fold and scan, read different events".into());
        }
        if round > 0 {
            for (series, took) in series.iter_mut().zip([fold_plain.0, fold_verified.0, fold.0]) {
                series.push_each(events, took);
            }
            for (series, took) in series[3..].iter_mut().zip([scan_plain.0, scan_verified.0, scan.0]) {
                series.push_rate(events, took);
            }
        }
    }
    let [fold_plain, fold_verified, fold, scan_plain, scan_verified, scan] = &series;
    print_line("fold per event (floor: walk)", Unit::Nanos, Some(fold_plain), fold);
    print_line("fold per event (floor: crc + prefetch)", Unit::Nanos, Some(fold_verified), fold);
    print_line("scan (floor: walk)", Unit::PerSecond, Some(scan_plain), scan);
    print_line("scan (floor: crc + prefetch)", Unit::PerSecond, Some(scan_verified), scan);
    log.close()?;
    drop(log);

    let (mut floor, mut size) = (Series::default(), Series::default());
    floor.push(RECORD_BYTES as f64);
    size.push(used_bytes(&space.path("log"))? as f64 / events as f64);
    print_line("bytes per event (floor: record)", Unit::Bytes, Some(&floor), &size);
    drop(walk);
    space.remove("walk")
}

fn versions(scale: &Scale, work: &Workload, log: &EventLog) -> Outcome<()> {
    let table = BareTable::new(work);
    let (mut floor, mut annals) = (Series::default(), Series::default());
    let count = scale.part(2).max(10_000);
    for round in 0..=scale.rounds {
        let picked = work.picked_streams(count, round as u64);
        let ids: Vec<&str> = picked.iter().map(|stream| work.id(*stream as usize)).collect();
        let bare = time(|| ids.iter().fold(0, |sum: u64, id| sum.wrapping_add(table.version(black_box(id)))));
        let asked =
            time(|| ids.iter().fold(0, |sum: u64, id| sum.wrapping_add(log.stream_version(black_box(id)))));
        black_box((bare.1, asked.1));
        if round > 0 {
            floor.push_each(count, bare.0);
            annals.push_each(count, asked.0);
        }
    }
    print_line("version (floor: hash table)", Unit::Nanos, Some(&floor), &annals);
    Ok(())
}

/// Opening `log`, which was closed, and fresh copies of `killed`, which was not. The floor under the second is reading the
/// last segment once: somebody must look at it.
fn reopen(scale: &Scale, space: &Workspace) -> Outcome<()> {
    let (mut clean, mut killed, mut floor) = (Series::default(), Series::default(), Series::default());
    for _ in 0..scale.rounds {
        let (took, log) = time(|| EventLog::open(space.path("log")));
        let log = log?;
        if !log.recovery().closed_cleanly || log.recovery().checkpoint != CheckpointUse::Confirmed {
            return Err("the log was not closed cleanly".into());
        }
        clean.push_millis(took);
        log.close()?;
    }
    for _ in 0..scale.rounds.min(3) {
        space.copy("killed", "copy")?;
        let last = support::segments(&space.path("copy"))?.pop().ok_or("no segment")?;
        let (took, read) = time(|| std::fs::read(last));
        black_box(read?);
        floor.push_millis(took);
        let (took, log) = time(|| EventLog::open(space.path("copy")));
        let log = log?;
        if log.recovery().closed_cleanly {
            return Err("the copy was closed cleanly".into());
        }
        killed.push_millis(took);
        log.close()?;
        drop(log);
        space.remove("copy")?;
    }
    print_line("reopen after a close", Unit::Millis, None, &clean);
    print_line("reopen after a kill (floor: read last)", Unit::Millis, Some(&floor), &killed);
    Ok(())
}

/// Bytes that a closed log really uses. A segment is reserved whole: what counts are its bytes up to the last one that is
/// not zero, and its footer, the last page, if it has one. The spare does not count, all other files do, whole.
fn used_bytes(log: &Path) -> Outcome<usize> {
    let mut used = 0;
    for entry in std::fs::read_dir(log)? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("tmp") => {}
            Some("seg") => {
                let bytes = std::fs::read(&path)?;
                let (frames, footer) = bytes.split_at(bytes.len().saturating_sub(PAGE));
                let last = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
                used += last(frames).next_multiple_of(8) + if last(footer) > 0 { PAGE } else { 0 };
            }
            _ => used += path.metadata()?.len() as usize,
        }
    }
    Ok(used)
}

fn nanos<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<u64> {
    let (took, done) = time(work);
    done.map(|_| took.as_nanos() as u64)
}

fn time<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let done = black_box(work());
    (begun.elapsed(), done)
}
