//! The one place that times: named work is done on a store, and its time per unit is kept.
//!
//! Owns the loops around calls (one after another, many tasks at once, the whole of something), when they are cut off, and the
//! marks around work whose syncs are counted. Must never know which store it works on: all get the same.

use measure::{Context, Outcome, syncs};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How many tasks append at once.
pub(crate) const TASKS: usize = 16;

/// How many calls each of them has at least, if it is not cut off: with fewer, they would not meet.
const CALLS_MIN: usize = 10;

/// One workload on one store, once.
pub(crate) struct Lap {
    pub(crate) workload: &'static str,
    /// Microseconds for one unit: a call, or an event that is read.
    pub(crate) micros: f64,
    /// How many units there were.
    pub(crate) units: usize,
    /// How many syncs each unit demands, if the units are calls that write. Those of tasks at once may share one.
    pub(crate) demanded: Option<f64>,
}

/// Times the workloads of one store in one round.
pub(crate) struct Watch {
    /// Events of what is read, and the most calls of a workload that writes.
    pub(crate) events: usize,
    limit: Duration,
    /// Where marks are set around what writes, if syncs are counted.
    marks: Option<PathBuf>,
    laps: Vec<Lap>,
}

impl Watch {
    pub(crate) fn new(events: usize, limit: Duration, marks: Option<PathBuf>) -> Watch {
        Watch { events, limit, marks, laps: Vec::new() }
    }

    pub(crate) fn into_laps(self) -> Vec<Lap> {
        self.laps
    }

    /// A call that writes, again and again, each when the one before has returned. It is told how many were before it.
    pub(crate) async fn repeat(
        &mut self,
        workload: &'static str,
        call: impl AsyncFnMut(usize) -> Outcome<()>,
    ) -> Outcome<()> {
        self.repeat_up_to(workload, self.events, call).await
    }

    /// The same, and at most so many calls.
    pub(crate) async fn repeat_up_to(
        &mut self,
        workload: &'static str,
        most: usize,
        mut call: impl AsyncFnMut(usize) -> Outcome<()>,
    ) -> Outcome<()> {
        self.mark(syncs::mark_begin)?;
        let (begun, mut calls) = (Instant::now(), 0);
        while calls < most && (calls == 0 || begun.elapsed() < self.limit) {
            call(calls).await.context(|| format!("{workload}, call {}", calls + 1))?;
            calls += 1;
        }
        self.lap(workload, begun.elapsed(), calls, Some(1.0))
    }

    /// The same by [`TASKS`] tasks at once, each waiting for its own calls only: the time is that of all, over all calls.
    pub(crate) async fn at_once<F, C>(
        &mut self,
        workload: &'static str,
        task: impl Fn(usize) -> C,
    ) -> Outcome<()>
    where
        F: Future<Output = Outcome<()>> + Send,
        C: FnMut(usize) -> F + Send + 'static,
    {
        let (each, limit) = (self.events.div_ceil(TASKS).max(CALLS_MIN), self.limit);
        let mut tasks = JoinSet::new();
        self.mark(syncs::mark_begin)?;
        let begun = Instant::now();
        for number in 0..TASKS {
            let mut call = task(number);
            tasks.spawn(async move {
                let mut calls = 0;
                while calls < each && (calls == 0 || begun.elapsed() < limit) {
                    call(calls).await?;
                    calls += 1;
                }
                Outcome::Ok(calls)
            });
        }
        let mut calls = 0;
        while let Some(done) = tasks.join_next().await {
            calls += done?.context(|| workload.to_owned())?;
        }
        self.lap(workload, begun.elapsed(), calls, Some(1.0 / TASKS as f64))
    }

    /// Something that is read as a whole, and says how many events it was: once to warm up, once for the clock.
    pub(crate) async fn whole(
        &mut self,
        workload: &'static str,
        expected: usize,
        mut read: impl AsyncFnMut() -> Outcome<usize>,
    ) -> Outcome<()> {
        let mut took = Duration::ZERO;
        for _ in 0..2 {
            let begun = Instant::now();
            let events = read().await.context(|| workload.to_owned())?;
            took = begun.elapsed();
            if events != expected {
                return Err(format!("{workload}: {events} events instead of {expected}").into());
            }
        }
        self.lap(workload, took, expected, None)
    }

    fn lap(
        &mut self,
        workload: &'static str,
        took: Duration,
        units: usize,
        demanded: Option<f64>,
    ) -> Outcome<()> {
        if demanded.is_some() {
            self.mark(syncs::mark_end)?;
        }
        self.laps.push(Lap { workload, micros: took.as_secs_f64() * 1e6 / units as f64, units, demanded });
        Ok(())
    }

    fn mark(&self, set: fn(&Path) -> Outcome<()>) -> Outcome<()> {
        self.marks.as_deref().map_or(Ok(()), set)
    }
}
