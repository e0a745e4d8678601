//! What a figure counts, and how it is written.
//!
//! Owns the names of the units and the number of digits. Must never convert a value: a figure is stored in its unit.

use serde::{Deserialize, Serialize};

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nanoseconds for one of something.
    Nanos,
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Events per second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// A plain number.
    Count,
}

impl Unit {
    /// Its name behind a number.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Nanos => "ns",
            Unit::Micros => "us",
            Unit::Millis => "ms",
            Unit::PerSecond => "ev/s",
            Unit::Bytes => "bytes",
            Unit::Count => "",
        }
    }

    /// Whether less is better.
    pub fn is_cost(self) -> bool {
        self != Unit::PerSecond
    }

    /// A value with as many digits as it deserves, without the unit's name.
    pub fn write(self, value: f64) -> String {
        match value.abs() {
            size if size >= 1e9 => format!("{:.2} G", value / 1e9),
            size if size >= 1e7 => format!("{:.1} M", value / 1e6),
            size if size >= 1e6 => format!("{:.2} M", value / 1e6),
            size if size >= 1e4 => format!("{:.1} k", value / 1e3),
            size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
            size if size >= 10.0 => format!("{value:.1}"),
            size if size >= 0.1 => format!("{value:.2}"),
            _ => format!("{value:.3}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Unit;

    #[test]
    fn numbers_are_short() {
        let written =
            [2_616_340.0, 47_123.0, 312.4, 97.25, 1.234, 0.012].map(|value| Unit::PerSecond.write(value));
        assert_eq!(written, ["2.62 M", "47.1 k", "312", "97.2", "1.23", "0.012"]);
    }
}
