//! Appends: alone, in a crowd, by the hundred, in bulk and in a pipeline, each beside one write and one sync of the same
//! bytes into space that was zeroed ahead.
#![allow(missing_docs)] // what criterion's macros make

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use std::time::Instant;
use support::floor::RawFile;
use support::group::{group, keep_first};
use support::{INGEST_BATCH, Outcome, Workload, Workspace};

const STREAMS: usize = 10_000;
const THREADS: usize = 64;
const HUNDRED: usize = 100;
/// Events of one iteration of the pipeline.
const PIPELINED: usize = 20_000;

struct Bench {
    work: Workload,
    space: Workspace,
}

impl Bench {
    /// A raw file that holds what a bench writes in one turn; then it starts again, in pages that were written before.
    fn raw(&self) -> Outcome<RawFile> {
        RawFile::new(&self.space.path("raw"), support::sized(256 << 20, 16 << 20))
    }

    /// One commit per iteration, on the floor and in a log.
    fn commits(
        &self,
        criterion: &mut Criterion,
        name: &str,
        events: usize,
        floor: impl Fn(&mut RawFile, &Workload, usize) -> Outcome<()>,
        append: impl Fn(&annals::EventLog, &Workload, usize) -> Outcome<()>,
    ) -> Outcome<()> {
        let mut group = group(criterion, name, events);
        let mut raw = self.raw()?;
        let mut n = 0;
        let mut done = Ok(());
        group.bench_function("floor", |bencher| {
            bencher.iter(|| {
                n += 1;
                keep_first(&mut done, floor(&mut raw, &self.work, n));
            });
        });
        self.space.remove("raw")?;
        let log = self.space.log("log")?;
        group.bench_function("annals", |bencher| {
            bencher.iter(|| {
                n += 1;
                keep_first(&mut done, append(&log, &self.work, n));
            });
        });
        log.close()?;
        self.space.remove("log")?;
        done
    }

    fn single(&self, criterion: &mut Criterion) -> Outcome<()> {
        let floor = |raw: &mut RawFile, work: &Workload, n| raw.append(work, n, 1);
        self.commits(criterion, "append one", 1, floor, |log, work, n| {
            support::append_one(log, work, n).map(drop)
        })
    }

    fn hundred(&self, criterion: &mut Criterion) -> Outcome<()> {
        let floor = |raw: &mut RawFile, work: &Workload, n| raw.append(work, n * HUNDRED, HUNDRED);
        self.commits(criterion, "append a hundred", HUNDRED, floor, |log, work, n| {
            support::append_hundred(log, work, n).map(drop)
        })
    }

    fn ingest(&self, criterion: &mut Criterion) -> Outcome<()> {
        let groups: Vec<&[u32]> = self.work.ingest_groups().collect();
        let floor = |raw: &mut RawFile, work: &Workload, n| raw.ingest(work, n);
        self.commits(criterion, "append 10 to each of 100 streams", INGEST_BATCH, floor, |log, work, n| {
            support::ingest_append(log, work, groups[n % groups.len()], n).commit()?;
            Ok(())
        })
    }

    /// 64 threads, an append of each per iteration; the floor puts 64 into one commit.
    fn crowd(&self, criterion: &mut Criterion) -> Outcome<()> {
        let mut group = group(criterion, "append one from 64 threads", THREADS);
        let mut done = Ok(());
        let mut raw = self.raw()?;
        group.bench_function("floor", |bencher| {
            bencher.iter(|| keep_first(&mut done, raw.append_shared(&self.work, 0, THREADS)));
        });
        self.space.remove("raw")?;
        let log = self.space.log("log")?;
        group.bench_function("annals", |bencher| {
            bencher.iter_custom(|each| {
                let crowd = support::crowd(&log, &self.work, THREADS, each as usize);
                keep_first(&mut done, crowd.map(|(took, _)| took))
            });
        });
        log.close()?;
        self.space.remove("log")?;
        done
    }

    /// One thread that submits and never waits for the newest; the floor puts 2048 into one commit.
    fn pipeline(&self, criterion: &mut Criterion) -> Outcome<()> {
        const TOGETHER: usize = 2048;
        let mut group = group(criterion, "submit one after the other", PIPELINED);
        let mut done = Ok(());
        let mut raw = self.raw()?;
        group.bench_function("floor", |bencher| {
            bencher.iter(|| {
                for first in (0..PIPELINED).step_by(TOGETHER) {
                    let appends = TOGETHER.min(PIPELINED - first);
                    keep_first(&mut done, raw.append_shared(&self.work, first, appends));
                }
            });
        });
        self.space.remove("raw")?;
        let log = self.space.log("log")?;
        group.bench_function("annals", |bencher| {
            bencher.iter_custom(|times| {
                let begun = Instant::now();
                keep_first(
                    &mut done,
                    support::pipeline(&log, &self.work, PIPELINED * times as usize).map(drop),
                );
                begun.elapsed()
            });
        });
        log.close()?;
        self.space.remove("log")?;
        done
    }
}

fn run(criterion: &mut Criterion) -> Outcome<()> {
    let work = Workload::new(support::sized(100_000, 10_000), support::sized(STREAMS, 1000));
    let bench = Bench { work, space: Workspace::new(None)? };
    bench.single(criterion)?;
    bench.crowd(criterion)?;
    bench.hundred(criterion)?;
    bench.ingest(criterion)?;
    bench.pipeline(criterion)
}

fn append(criterion: &mut Criterion) {
    let done = run(criterion);
    assert!(done.is_ok(), "{done:?}");
}

criterion_group!(benches, append);
criterion_main!(benches);
