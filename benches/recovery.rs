//! Opening a log: after a clean close, and after a kill (a copy of a live directory, in which nobody closed anything).
//! Beside it, what cannot be avoided: opening and mapping every file, and reading the last segment once.
#![allow(missing_docs)] // what criterion's macros make

mod support;

use annals::{EventLog, Options};
use criterion::{Criterion, criterion_group, criterion_main};
use std::time::{Duration, Instant};
use support::group::{group, keep_first};
use support::{Outcome, Workload, Workspace};

struct Bench {
    space: Workspace,
}

impl Bench {
    /// Makes `log`, closed, and `killed`, a copy that never was.
    fn new() -> Outcome<Bench> {
        let work = Workload::new(support::sized(1_000_000, 20_000), support::sized(10_000, 200));
        let space = Workspace::new(None)?;
        // Without an idle witness, as if the kill came right behind the last commit.
        let log = Options::new().idle_witness_after(Duration::from_secs(10)).open(space.path("log"))?;
        support::ingest(&log, &work, 1)?;
        space.copy("log", "killed")?;
        log.close()?;
        Ok(Bench { space })
    }

    fn closed(&self, criterion: &mut Criterion) -> Outcome<()> {
        let mut group = group(criterion, "open after a close", 1);
        let segments = support::segments(&self.space.path("log"))?;
        group.bench_function("floor: map every segment", |bencher| {
            bencher.iter(|| segments.iter().all(|path| support::walk::map_file(path).is_ok()));
        });
        let mut done = Ok(());
        group.bench_function("annals", |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| self.open("log", &mut done)).sum());
        });
        done
    }

    fn killed(&self, criterion: &mut Criterion) -> Outcome<()> {
        let mut group = group(criterion, "open after a kill", 1);
        let last = support::segments(&self.space.path("killed"))?.pop().ok_or("no segment")?;
        group.bench_function("floor: read the last segment", |bencher| {
            bencher.iter(|| std::fs::read(&last));
        });
        let mut done = Ok(());
        group.bench_function("annals", |bencher| {
            bencher.iter_custom(|times| {
                let once = |_| {
                    keep_first(&mut done, self.space.copy("killed", "copy"));
                    let took = self.open("copy", &mut done);
                    keep_first(&mut done, self.space.remove("copy"));
                    took
                };
                (0..times).map(once).sum()
            });
        });
        done
    }

    /// How long it takes to open a log; closing it is not counted.
    fn open(&self, log: &str, done: &mut Outcome<()>) -> Duration {
        let begun = Instant::now();
        let opened = EventLog::open(self.space.path(log));
        let took = begun.elapsed();
        let closed = opened.map_err(Into::into).and_then(|log| log.close().map_err(Into::into));
        keep_first(done, closed);
        took
    }
}

fn run(criterion: &mut Criterion) -> Outcome<()> {
    let bench = Bench::new()?;
    bench.closed(criterion)?;
    bench.killed(criterion)
}

fn recovery(criterion: &mut Criterion) {
    let done = run(criterion);
    assert!(done.is_ok(), "{done:?}");
}

criterion_group!(benches, recovery);
criterion_main!(benches);
