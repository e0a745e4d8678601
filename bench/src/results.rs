//! What a run found out: the JSON file, and the questions that a report asks of it.
//!
//! Owns the refusal: figures of a workload in which a store did not sync as its commits demand are kept, and are given to
//! nobody who compares.

use measure::{Machine, Series, SyncLatency, Unit, Verdict};
use serde::{Deserialize, Serialize};

/// Everything of one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    /// The device's own latency at the beginning of each round.
    pub(crate) device: Vec<SyncLatency>,
    pub(crate) stores: Vec<StoreNote>,
    pub(crate) checks: Vec<Check>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) failures: Vec<Failure>,
}

/// A store that took part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoreNote {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) used: String,
    pub(crate) checks_versions: bool,
    pub(crate) is_atomic: bool,
    pub(crate) is_gathered: bool,
}

/// Whether a store was durable in a workload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) store: String,
    pub(crate) workload: String,
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
}

/// One figure of one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) store: String,
    pub(crate) figure: String,
    pub(crate) unit: Unit,
    pub(crate) size: Size,
    pub(crate) round: u64,
    pub(crate) value: f64,
}

/// How much was worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Size {
    pub(crate) events: usize,
    pub(crate) streams: usize,
}

/// A job that did not come to its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) store: String,
    pub(crate) workload: String,
    pub(crate) size: Size,
    pub(crate) round: u64,
    pub(crate) why: String,
}

impl Results {
    /// The values of a figure, a round each. Empty if the store has none, or if they are refused.
    pub(crate) fn series(&self, store: &str, figure: &str, size: Size) -> Series {
        if self.is_refused(store, figure) {
            return Series::default();
        }
        self.of(store, figure, size).map(|sample| sample.value).collect()
    }

    /// Whether a store was found not to be durable in the workload of this figure.
    pub(crate) fn is_refused(&self, store: &str, figure: &str) -> bool {
        let workload = figure.split('.').next().unwrap_or(figure);
        let is_it = |check: &&Check| check.store == store && check.workload == workload;
        self.checks.iter().filter(is_it).any(|check| check.verdict.is_refused())
    }

    /// The sizes at which a figure was measured, of whatever store.
    pub(crate) fn sizes(&self, figure: &str) -> Vec<Size> {
        let mut sizes: Vec<Size> =
            self.samples.iter().filter(|sample| sample.figure == figure).map(|sample| sample.size).collect();
        sizes.sort();
        sizes.dedup();
        sizes
    }

    /// The size of the comparison: that at which the most stores took part.
    pub(crate) fn main_size(&self) -> Option<Size> {
        let stores = |size: &Size| {
            let is_there = |note: &&StoreNote| self.of(&note.name, "ingest.rate", *size).next().is_some();
            self.stores.iter().filter(is_there).count()
        };
        let sizes = self.sizes("ingest.rate");
        sizes.into_iter().rev().max_by_key(stores).or_else(|| self.samples.first().map(|sample| sample.size))
    }

    /// Takes what another run found out.
    pub(crate) fn merge(&mut self, other: Results) {
        for note in other.stores {
            if self.stores.iter().all(|known| known.name != note.name) {
                self.stores.push(note);
            }
        }
        self.device.extend(other.device);
        self.checks.extend(other.checks);
        self.samples.extend(other.samples);
        self.failures.extend(other.failures);
        self.rounds = self.rounds.max(other.rounds);
    }

    fn of<'a>(&'a self, store: &'a str, figure: &'a str, size: Size) -> impl Iterator<Item = &'a Sample> {
        self.samples
            .iter()
            .filter(move |sample| sample.store == store && sample.figure == figure && sample.size == size)
    }
}

#[cfg(test)]
mod tests {
    use super::{Check, Machine, Results, Sample, Size};
    use measure::{Unit, Verdict};

    const SIZE: Size = Size { events: 1, streams: 1 };

    fn results() -> Results {
        let machine = Machine {
            processor: String::new(),
            processors: 1,
            memory_gib: 1.0,
            kernel: String::new(),
            file_system: String::new(),
        };
        let sample = |figure: &str| Sample {
            store: "a".to_owned(),
            figure: figure.to_owned(),
            unit: Unit::Micros,
            size: SIZE,
            round: 0,
            value: 1.0,
        };
        let (store, workload) = ("a".to_owned(), "sync1".to_owned());
        let check = Check { store, workload, verdict: Verdict::NotDurable { demanded: 2, seen: 1 } };
        let samples = vec![sample("sync1.p50"), sample("fold")];
        Results {
            machine,
            rounds: 1,
            device: vec![],
            stores: vec![],
            checks: vec![check],
            samples,
            failures: vec![],
        }
    }

    #[test]
    fn what_was_not_durable_is_not_compared() {
        let results = results();
        assert!(results.series("a", "sync1.p50", SIZE).is_empty());
        assert_eq!(results.series("a", "fold", SIZE).median(), Some(1.0));
    }

    #[test]
    fn results_survive_their_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("results.json");
        measure::json::write(&path, &results()).expect("written");
        let read: Results = measure::json::read(&path).expect("read");
        assert!(read.is_refused("a", "sync1.p99"));
        assert_eq!(read.samples.len(), 2);
    }
}
