//! Series: one value from each round, its median, its spread, its ratio to another.
//!
//! Owns how values of several rounds become one figure. A ratio is formed within a round and only then is its median taken: a
//! machine that is slow in one round is slow for both. Must never drop a value for being far from the others.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One value from each round, in their order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Series(Vec<f64>);

impl Series {
    /// Adds the value of the next round.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Adds: so many events in so much time.
    pub fn push_rate(&mut self, events: usize, took: Duration) {
        self.push(rate(events, took));
    }

    /// Adds nanoseconds: so much time for so many.
    pub fn push_each(&mut self, count: usize, took: Duration) {
        self.push(each(count, took));
    }

    /// Adds milliseconds.
    pub fn push_millis(&mut self, took: Duration) {
        self.push(took.as_secs_f64() * 1e3);
    }

    /// The values, a round each.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value in the middle; of two in the middle, their mean.
    pub fn median(&self) -> Option<f64> {
        let sorted = self.sorted();
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = sorted[(sorted.len() - 1) / 2];
        Some((lower + upper) / 2.0)
    }

    /// The least and the most.
    pub fn spread(&self) -> Option<(f64, f64)> {
        let sorted = self.sorted();
        Some((*sorted.first()?, *sorted.last()?))
    }

    /// This over `floor`, round by round.
    pub fn ratio(&self, floor: &Series) -> Series {
        Series(self.0.iter().zip(&floor.0).map(|(value, floor)| value / floor).collect())
    }

    /// Median, and in brackets the least and the most if they are written differently; `-` without values.
    pub fn show(&self, write: impl Fn(f64) -> String) -> String {
        let (Some(median), Some((least, most))) = (self.median(), self.spread()) else {
            return "-".to_owned();
        };
        let [median, least, most] = [median, least, most].map(write);
        if least == most { median } else { format!("{median} ({least} .. {most})") }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Series {
        Series(values.into_iter().collect())
    }
}

/// So many in so much time: how many in a second.
pub fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// So much time for so many: nanoseconds for one.
pub fn each(count: usize, took: Duration) -> f64 {
    took.as_nanos() as f64 / count as f64
}

/// The value that `per_mille` of a thousand do not exceed; 0 without values. Sorts them.
pub fn quantile(nanos: &mut [u64], per_mille: usize) -> f64 {
    nanos.sort_unstable();
    let at = (nanos.len() * per_mille / 1000).min(nanos.len().saturating_sub(1));
    nanos.get(at).map_or(0.0, |nanos| *nanos as f64)
}

#[cfg(test)]
mod tests {
    use super::{Series, quantile};

    #[test]
    fn a_median_is_in_the_middle() {
        let series: Series = [3.0, 1.0, 2.0].into_iter().collect();
        assert_eq!(series.median(), Some(2.0));
        assert_eq!(series.spread(), Some((1.0, 3.0)));
        assert_eq!(Series::default().median(), None);
        let even: Series = [4.0, 1.0].into_iter().collect();
        assert_eq!(even.median(), Some(2.5));
    }

    #[test]
    fn a_ratio_is_formed_within_a_round() {
        let fast: Series = [1.0, 10.0, 2.0].into_iter().collect();
        let slow: Series = [2.0, 20.0, 4.0].into_iter().collect();
        assert_eq!(slow.ratio(&fast).values(), [2.0, 2.0, 2.0]);
    }

    #[test]
    fn quantiles() {
        let mut nanos: Vec<u64> = (1..=1000).rev().collect();
        assert_eq!(quantile(&mut nanos, 500), 501.0);
        assert_eq!(quantile(&mut nanos, 990), 991.0);
        assert_eq!(quantile(&mut nanos, 1000), 1000.0);
        assert_eq!(quantile(&mut [], 500), 0.0);
    }
}
