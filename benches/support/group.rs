//! How long criterion looks at each bench: short, as the floor beside it says what the machine is worth today.

use crate::support::Outcome;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};
use std::time::Duration;

/// A group whose iterations handle so many events, or other things, each.
pub(crate) fn group<'a>(
    criterion: &'a mut Criterion,
    name: &str,
    elements: usize,
) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .throughput(Throughput::Elements(elements as u64))
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    group
}

/// Keeps the first error, and gives what there is otherwise: an iteration has nowhere to return one.
pub(crate) fn keep_first<T: Default>(done: &mut Outcome<()>, result: Outcome<T>) -> T {
    result.unwrap_or_else(|error| {
        if done.is_ok() {
            *done = Err(error);
        }
        T::default()
    })
}
