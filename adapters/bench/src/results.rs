//! What a run has found, as it is written to JSON and read back.
//!
//! Owns its form, and how a ratio is formed. Must never name the machine or a path.

use crate::store::Promise;
use measure::{Machine, Series, SyncLatency};
use serde::{Deserialize, Serialize};

/// A whole run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// How busy the machine was with other things when the run began.
    pub(crate) load_before: f64,
    pub(crate) rounds: usize,
    pub(crate) events: usize,
    pub(crate) seconds: f64,
    /// The device's own latency, at the beginning of each round.
    pub(crate) device: Vec<SyncLatency>,
    pub(crate) stores: Vec<Note>,
    pub(crate) figures: Vec<Figure>,
    /// Why no syncs were counted; `None` if they were.
    pub(crate) not_counted: Option<String>,
}

/// What is known of a store beforehand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) interface: String,
    pub(crate) name: String,
    pub(crate) promise: Promise,
    pub(crate) used: String,
}

/// One workload on one store.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) interface: String,
    pub(crate) workload: String,
    pub(crate) store: String,
    /// Microseconds for a unit, a value from each round.
    pub(crate) micros: Series,
    /// Units of the first round: calls, or events that are read.
    pub(crate) units: usize,
    /// Syncs for each call that writes, counted beside the rounds.
    pub(crate) syncs: Option<f64>,
    /// Syncs that each call demands; `None` for what only reads.
    pub(crate) demanded: Option<f64>,
}

impl Figure {
    /// Whether there were fewer syncs than durable calls demand.
    pub(crate) fn lacks_syncs(&self) -> bool {
        self.syncs.zip(self.demanded).is_some_and(|(syncs, demanded)| syncs < demanded)
    }
}

impl Results {
    /// The figure of a triple, if it was measured.
    pub(crate) fn figure(&self, interface: &str, workload: &str, store: &str) -> Option<&Figure> {
        let is_it = |figure: &&Figure| {
            figure.interface == interface && figure.workload == workload && figure.store == store
        };
        self.figures.iter().find(is_it)
    }

    /// The figure of a triple, made if there is none.
    pub(crate) fn figure_mut(
        &mut self,
        interface: &str,
        workload: &str,
        store: &str,
        demanded: Option<f64>,
    ) -> &mut Figure {
        let is_it = |figure: &Figure| {
            figure.interface == interface && figure.workload == workload && figure.store == store
        };
        let at = self.figures.iter().position(is_it).unwrap_or_else(|| {
            self.figures.push(Figure {
                interface: interface.to_owned(),
                workload: workload.to_owned(),
                store: store.to_owned(),
                micros: Series::default(),
                units: 0,
                syncs: None,
                demanded,
            });
            self.figures.len() - 1
        });
        &mut self.figures[at]
    }

    /// How many times as long a figure takes as the same work on another store of the interface, round by round.
    pub(crate) fn times(&self, figure: &Figure, other: &str) -> Option<Series> {
        let other = self.figure(&figure.interface, &figure.workload, other)?;
        let ratio = figure.micros.ratio(&other.micros);
        (!ratio.is_empty()).then_some(ratio)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Note, Results};
    use crate::store::{ANNALS, Promise};
    use measure::Machine;

    /// Two stores, two rounds: the other one takes twice and four times as long.
    pub(crate) fn sample() -> Results {
        let machine = Machine {
            processor: "a processor".to_owned(),
            processors: 2,
            memory_gib: 4.0,
            kernel: "linux 6".to_owned(),
            file_system: "ext4".to_owned(),
        };
        let note = |name: &str, promise| Note {
            interface: "mako".to_owned(),
            name: name.to_owned(),
            promise,
            used: "as it is".to_owned(),
        };
        let mut results = Results {
            machine,
            load_before: 0.0,
            rounds: 2,
            events: 10,
            seconds: 1.0,
            device: Vec::new(),
            stores: vec![note(ANNALS, Promise::Synced), note("other", Promise::Memory)],
            figures: Vec::new(),
            not_counted: None,
        };
        for (store, values) in [(ANNALS, [10.0, 100.0]), ("other", [20.0, 400.0])] {
            let figure = results.figure_mut("mako", "append", store, Some(1.0));
            values.into_iter().for_each(|value| figure.micros.push(value));
        }
        results
    }

    #[test]
    fn a_ratio_is_how_many_times_as_long_it_takes() {
        let results = sample();
        let other = results.figure("mako", "append", "other").expect("it is there");
        assert_eq!(results.times(other, ANNALS).expect("both are there").values(), [2.0, 4.0]);
        assert!(results.times(other, "nobody").is_none());
    }

    #[test]
    fn fewer_syncs_than_calls_are_seen() {
        let mut results = sample();
        let figure = results.figure_mut("mako", "append", ANNALS, Some(1.0));
        assert!(!figure.lacks_syncs(), "nothing was counted");
        figure.syncs = Some(0.99);
        assert!(figure.lacks_syncs());
        figure.syncs = Some(1.0);
        assert!(!figure.lacks_syncs());
        figure.demanded = None;
        assert!(!figure.lacks_syncs(), "it only reads");
    }
}
