//! The device's own sync latency: how long it takes to write one page and to know that it is there.
//!
//! Owns that measurement. Printed beside every figure of a synced append, for no store that syncs can be faster. It overwrites
//! pages that were written before, so that no block is allocated and no size changes: the cheapest sync there is.

use crate::{Context, Outcome, quantile};
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

const PAGE: usize = 4096;
const PAGES: u64 = 1024;

/// What one page and one `fdatasync` cost, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SyncLatency {
    /// Half of them were faster.
    pub p50: f64,
    /// Of a hundred, one was slower.
    pub p99: f64,
}

impl SyncLatency {
    /// Measures it in a directory, with so many syncs.
    ///
    /// # Errors
    /// What the file system says.
    pub fn measure(dir: &Path, syncs: usize) -> Outcome<SyncLatency> {
        let path = dir.join("sync-latency.tmp");
        let measured = nanos(&path, syncs).context(|| format!("measure syncs in {}", dir.display()));
        let _ = fs::remove_file(&path);
        let mut nanos = measured?;
        Ok(SyncLatency { p50: quantile(&mut nanos, 500) / 1e3, p99: quantile(&mut nanos, 990) / 1e3 })
    }
}

fn nanos(path: &Path, syncs: usize) -> Outcome<Vec<u64>> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all_at(&vec![1; PAGE * PAGES as usize], 0)?;
    file.sync_all()?;
    let mut nanos = Vec::with_capacity(syncs);
    for n in 0..syncs as u64 {
        let page = [n as u8; PAGE];
        let begun = Instant::now();
        file.write_all_at(&page, n % PAGES * PAGE as u64)?;
        file.sync_data()?;
        nanos.push(begun.elapsed().as_nanos() as u64);
    }
    Ok(nanos)
}
