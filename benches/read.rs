//! Reads: folds, scans, look-ups and listings in a log whose streams lie scattered over it, beside a plain walk over a
//! mapped file with the same records in the same places, and beside a bare hash table.
#![allow(missing_docs)] // what criterion's macros make

mod support;

use annals::EventLog;
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use support::floor::BareTable;
use support::group::group;
use support::walk::Walk;
use support::{Outcome, Workload, Workspace};

/// How many ids are on a page of the listing.
const PAGE: usize = 100;

struct Bench {
    work: Workload,
    log: EventLog,
    walk: Walk,
    // Removed last.
    _space: Workspace,
}

impl Bench {
    fn new() -> Outcome<Bench> {
        let work = Workload::new(support::sized(1_000_000, 20_000), support::sized(10_000, 200));
        let space = Workspace::new(None)?;
        let log = space.log("log")?;
        support::ingest(&log, &work, 1)?;
        let walk = Walk::new(&space.path("walk"), &work)?;
        Ok(Bench { work, log, walk, _space: space })
    }

    /// One whole stream per iteration, in random order.
    fn fold(&self, criterion: &mut Criterion) {
        let each = self.work.ingested() / self.work.ids.len();
        let mut group = group(criterion, "fold a stream", each);
        let order = self.work.shuffled_streams(1);
        let mut turn = order.iter().cycle();
        let mut next = move || turn.next().map_or(0, |stream| *stream as usize);
        group.bench_function("floor: walk", |bencher| bencher.iter(|| self.walk.fold(next(), 0)));
        group.bench_function("floor: walk, crc32, prefetch", |bencher| {
            bencher.iter(|| self.walk.fold_verified(next(), 0));
        });
        group.bench_function("annals", |bencher| {
            bencher.iter(|| self.log.fold_stream(self.work.id(next()), 0, 0, support::digest_event));
        });
    }

    /// The whole log per iteration.
    fn scan(&self, criterion: &mut Criterion) {
        let mut group = group(criterion, "scan the log", self.work.ingested());
        group.bench_function("floor: walk", |bencher| bencher.iter(|| self.walk.scan()));
        group.bench_function("floor: walk, crc32, prefetch", |bencher| {
            bencher.iter(|| self.walk.scan_verified());
        });
        group.bench_function("annals", |bencher| bencher.iter(|| support::scan(&self.log).ok()));
    }

    /// One look-up per iteration, of a random stream.
    fn version(&self, criterion: &mut Criterion) {
        let mut group = group(criterion, "version of a stream", 1);
        let table = BareTable::new(&self.work);
        let picked = self.work.picked_streams(1 << 16, 2);
        let mut turn = 0;
        let mut next = move || {
            turn = (turn + 1) % picked.len();
            picked[turn] as usize
        };
        group.bench_function("floor: hash table", |bencher| {
            bencher.iter(|| table.version(black_box(self.work.id(next()))));
        });
        group.bench_function("annals", |bencher| {
            bencher.iter(|| self.log.stream_version(black_box(self.work.id(next()))));
        });
    }

    /// One page of ids per iteration, behind a random stream. The floor: the same page of a sorted array, copied.
    fn page(&self, criterion: &mut Criterion) {
        let mut group = group(criterion, "page of the listing", PAGE);
        let picked = self.work.picked_streams(1 << 10, 3);
        let mut turn = picked.iter().cycle();
        let mut next = move || turn.next().map_or(0, |stream| *stream as usize);
        let sorted = &self.work.ids;
        group.bench_function("floor: sorted array", |bencher| {
            bencher.iter(|| {
                let after = self.work.id(next());
                let from = sorted.partition_point(|id| id.as_str() <= after);
                sorted[from..].iter().take(PAGE).cloned().collect::<Vec<String>>()
            });
        });
        group.bench_function("annals", |bencher| {
            bencher.iter(|| self.log.list_streams("order-", Some(self.work.id(next())), PAGE));
        });
    }
}

fn read(criterion: &mut Criterion) {
    let bench = Bench::new();
    assert!(bench.is_ok(), "{:?}", bench.err());
    if let Ok(bench) = bench {
        bench.fold(criterion);
        bench.scan(criterion);
        bench.version(criterion);
        bench.page(criterion);
    }
}

criterion_group!(benches, read);
criterion_main!(benches);
