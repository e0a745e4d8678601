//! What the operating system holds of a file in memory, and what it had to bring there from the device.
//!
//! Owns how that is brought about and found out. Must never change a file.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Asks the system to forget what it holds of a file that is synced and that nobody maps. Where it knows how to and does, the next
/// reads come from the device: see [`read_from_device`].
///
/// # Errors
/// If the file cannot be opened, or if the system refuses.
pub fn drop_from_memory(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    let _ = file;
    Ok(())
}

/// How many bytes a page of memory has; `None` where nobody says.
#[must_use]
pub fn page_bytes() -> Option<u64> {
    // proc_pid_smaps(5).
    let maps = fs::read_to_string("/proc/self/smaps").ok()?;
    let size = maps.lines().find_map(|line| line.strip_prefix("KernelPageSize:"))?;
    Some(size.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// How many bytes this thread has had the device read up to now, read-ahead included; `None` where nobody counts them.
#[must_use]
pub fn read_from_device() -> Option<u64> {
    // proc_pid_io(5).
    let counts = fs::read_to_string("/proc/thread-self/io").ok()?;
    counts.lines().find_map(|line| line.strip_prefix("read_bytes: "))?.parse().ok()
}
