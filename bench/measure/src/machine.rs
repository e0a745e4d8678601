//! The machine that was measured on, as far as a reader of the figures needs to know it.
//!
//! Owns that description. Must never name the machine, its users or its paths.

use crate::{Outcome, disk};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// What figures depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The model of its processor.
    pub processor: String,
    /// How many threads run at once.
    pub processors: usize,
    /// Gibibytes of memory.
    pub memory_gib: f64,
    /// Its operating system and the version of its kernel.
    pub kernel: String,
    /// The file system under the stores.
    pub file_system: String,
}

impl Machine {
    /// Looks at this machine, and at the file system of a directory.
    ///
    /// # Errors
    /// What the file system says.
    pub fn look(dir: &Path) -> Outcome<Machine> {
        Ok(Machine {
            processor: field("/proc/cpuinfo", "model name")
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: field("/proc/meminfo", "MemTotal")
                .and_then(|kib| kib.split_whitespace().next()?.parse::<f64>().ok())
                .map_or(0.0, |kib| (kib / f64::from(1 << 20) * 10.0).round() / 10.0),
            kernel: [std::env::consts::OS.to_owned(), kernel()].join(" ").trim_end().to_owned(),
            file_system: disk::file_system(dir)?.to_owned(),
        })
    }
}

/// The version only: what a distribution adds to it says nothing about speed.
fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.split(['-', '+', '\n']).next().unwrap_or_default().to_owned()
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
