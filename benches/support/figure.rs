//! Figures: what several rounds measured, and a line of a table for it.
//!
//! Owns medians, spreads, ratios and their printing. A ratio is formed within a round and only then is its median taken:
//! a machine that is slow in one round is slow for both.
#![allow(clippy::print_stdout)] // a table is what it is for

use std::time::Duration;

/// What a figure counts.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Micros,
    Millis,
    Nanos,
    PerSecond,
    Bytes,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Micros => "us",
            Unit::Millis => "ms",
            Unit::Nanos => "ns",
            Unit::PerSecond => "ev/s",
            Unit::Bytes => "bytes",
        }
    }

    fn print(self, value: f64) -> String {
        match self {
            Unit::PerSecond if value >= 1e6 => format!("{:.2} M", value / 1e6),
            Unit::PerSecond => format!("{:.1} k", value / 1e3),
            Unit::Micros | Unit::Nanos | Unit::Millis if value < 10.0 => format!("{value:.2}"),
            Unit::Micros | Unit::Nanos | Unit::Millis | Unit::Bytes => format!("{value:.1}"),
        }
    }
}

/// One value from each round.
#[derive(Clone, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// So many events in so much time.
    pub(crate) fn push_rate(&mut self, events: usize, took: Duration) {
        self.push(events as f64 / took.as_secs_f64());
    }

    /// So much time for so many.
    pub(crate) fn push_each(&mut self, count: usize, took: Duration) {
        self.push(took.as_nanos() as f64 / count as f64);
    }

    pub(crate) fn push_millis(&mut self, took: Duration) {
        self.push(took.as_secs_f64() * 1e3);
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    fn ratio(&self, floor: &Series) -> Series {
        Series(self.0.iter().zip(&floor.0).map(|(value, floor)| value / floor).collect())
    }

    /// Median, and in brackets the least and the most.
    fn show(&self, print: impl Fn(f64) -> String) -> String {
        let sorted = self.sorted();
        match (sorted.first(), sorted.get(sorted.len() / 2), sorted.last()) {
            (Some(least), Some(_), Some(most)) if least == most => print(*least),
            (Some(least), Some(median), Some(most)) => {
                format!("{} ({} .. {})", print(*median), print(*least), print(*most))
            }
            _ => "-".to_owned(),
        }
    }
}

/// The value that `per_mille` of a thousand do not exceed.
pub(crate) fn quantile(nanos: &mut [u64], per_mille: usize) -> f64 {
    nanos.sort_unstable();
    let at = (nanos.len() * per_mille / 1000).min(nanos.len().saturating_sub(1));
    nanos.get(at).map_or(0.0, |nanos| *nanos as f64)
}

/// Prints the head of the table.
pub(crate) fn print_head() {
    println!("{:<39} {:>31} {:>31}   Annals / floor", "median (least .. most)", "floor", "Annals");
}

/// Prints one line of the table.
pub(crate) fn print_line(name: &str, unit: Unit, floor: Option<&Series>, annals: &Series) {
    let show = |series: &Series| series.show(|value| unit.print(value));
    let ratio = floor.map(|floor| annals.ratio(floor).show(|ratio| format!("{ratio:.2}")));
    println!(
        "{:<39} {:>31} {:>31}   {}",
        format!("{name}, {}", unit.name()),
        floor.map_or("-".to_owned(), show),
        show(annals),
        ratio.unwrap_or_default(),
    );
}
