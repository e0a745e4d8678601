//! The device under a directory: its own sync latency, how long it takes to write one page and to know that it is there; and
//! how much was written to it.
//!
//! Owns those measurements. The latency is printed beside every figure of a synced append, for no store that syncs can be faster.
//! It overwrites pages that were written before, so that no block is allocated and no size changes: the cheapest sync there is.
//! Must not take what a process was accounted for what the device wrote: a page that is dirtied twice is accounted twice, and a large
//! page whole.

use crate::{Context, Outcome, quantile};
use rustix::fs::{major, minor, syncfs};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Instant;

const PAGE: usize = 4096;
const PAGES: u64 = 1024;
/// Size of the sectors that the kernel counts, whatever the device's own are: Documentation/block/stat.rst.
const SECTOR: u64 = 512;
/// Which of the numbers of a device's `stat` says how many were written, from 0.
const SECTORS_WRITTEN: usize = 6;

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

/// Bytes written to the device that holds a directory since the machine started, by everybody. What the file system still holds back
/// is written first. `None` where no device is told, as of file systems in memory or over several devices.
pub fn written_bytes(dir: &Path) -> Option<u64> {
    let dir = File::open(dir).ok()?;
    syncfs(&dir).ok()?;
    let device = dir.metadata().ok()?.dev();
    let path = format!("/sys/dev/block/{}:{}/stat", major(device), minor(device));
    sectors_written(&fs::read_to_string(path).ok()?).map(|sectors| sectors * SECTOR)
}

fn sectors_written(stat: &str) -> Option<u64> {
    stat.split_whitespace().nth(SECTORS_WRITTEN)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{sectors_written, written_bytes};
    use std::{env, fs};

    #[test]
    fn sectors_are_found_among_the_numbers() {
        let stat = " 1 2 3 4 5 6 77 8 0 9 10 0 0 0 0 11 12\n";
        assert_eq!(sectors_written(stat), Some(77));
        assert_eq!(sectors_written("1 2 3"), None);
        assert_eq!(sectors_written("1 2 3 4 5 6 - 8"), None);
    }

    #[test]
    fn what_is_written_is_counted_where_it_can_be() {
        let dir = tempfile::tempdir_in(env::current_dir().expect("a directory")).expect("a directory");
        let Some(before) = written_bytes(dir.path()) else {
            eprintln!("not run: no device is told of {}", dir.path().display());
            return;
        };
        fs::write(dir.path().join("file"), vec![1; 1 << 20]).expect("a file");
        let after = written_bytes(dir.path()).expect("the same device");
        assert!(after - before >= 1 << 20, "{before} {after}");
    }
}
