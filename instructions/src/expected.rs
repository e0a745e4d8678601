//! What was counted before, and how far a count may be from it.
//!
//! Owns the file and the bounds. Counts depend on the compiler and on what the processor can do, so both are written down.

use crate::Outcome;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

/// Percent that a count may be above, where it was counted in the same environment: hash seeds and addresses differ.
const SAME_PERCENT: u64 = 4;
/// And where it was not: another compiler makes other code.
const OTHER_PERCENT: u64 = 25;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Expected {
    pub(crate) environment: String,
    counts: BTreeMap<String, u64>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    AsExpected,
    Cheaper { expected: u64 },
    Dearer { expected: u64 },
    Unknown,
}

impl Expected {
    pub(crate) fn new(environment: String) -> Expected {
        Expected { environment, counts: BTreeMap::new() }
    }

    pub(crate) fn note(&mut self, name: &str, counted: u64) {
        self.counts.insert(name.to_owned(), counted);
    }

    pub(crate) fn was_counted_in(&self, environment: &str) -> bool {
        self.environment == environment
    }

    pub(crate) fn judge(&self, name: &str, counted: u64, environment: &str) -> Verdict {
        let Some(expected) = self.counts.get(name).copied() else { return Verdict::Unknown };
        let percent = if self.was_counted_in(environment) { SAME_PERCENT } else { OTHER_PERCENT };
        // At least one: a few instructions cannot be a few percent off.
        let bound = (expected * percent / 100).max(1);
        match counted {
            _ if counted > expected + bound => Verdict::Dearer { expected },
            _ if counted + bound < expected => Verdict::Cheaper { expected },
            _ => Verdict::AsExpected,
        }
    }

    pub(crate) fn read(file: &Path) -> Outcome<Expected> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
    }

    pub(crate) fn write(&self, file: &Path) -> Outcome<()> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        std::fs::write(file, text + "\n").map_err(|error| format!("{}: {error}", file.display()))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::AsExpected => write!(f, "as expected"),
            Verdict::Cheaper { expected } => {
                write!(f, "CHEAPER than the {expected} written down; update them")
            }
            Verdict::Dearer { expected } => write!(f, "DEARER than the {expected} expected"),
            Verdict::Unknown => write!(f, "NOT WRITTEN DOWN; update"),
        }
    }
}

/// What counts depend on.
pub(crate) fn environment() -> String {
    let compiler = Command::new("rustc").arg("--version").output().ok();
    let compiler = compiler.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    let version: Vec<&str> = compiler.split_whitespace().take(2).collect();
    format!("{} on {}", version.join(" "), processor())
}

#[cfg(target_arch = "x86_64")]
fn processor() -> &'static str {
    let carryless = std::arch::is_x86_feature_detected!("pclmulqdq");
    match std::arch::is_x86_feature_detected!("avx2") {
        true if carryless => "x86-64 with AVX2 and PCLMULQDQ",
        _ => "x86-64 without AVX2 or PCLMULQDQ",
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn processor() -> &'static str {
    std::env::consts::ARCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_told_and_less_is_told_and_little_is_neither() {
        let mut expected = Expected::new("here".to_owned());
        expected.note("append", 1000);
        expected.note("version", 10);
        let judge = |name, counted, environment| expected.judge(name, counted, environment);
        assert_eq!(judge("append", 1040, "here"), Verdict::AsExpected);
        assert_eq!(judge("append", 1041, "here"), Verdict::Dearer { expected: 1000 });
        assert_eq!(judge("append", 959, "here"), Verdict::Cheaper { expected: 1000 });
        assert_eq!(judge("append", 1250, "there"), Verdict::AsExpected);
        assert_eq!(judge("append", 1251, "there"), Verdict::Dearer { expected: 1000 });
        assert_eq!(judge("version", 11, "here"), Verdict::AsExpected);
        assert_eq!(judge("version", 12, "here"), Verdict::Dearer { expected: 10 });
        assert_eq!(judge("scan", 12, "here"), Verdict::Unknown);
    }
}
