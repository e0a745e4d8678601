//! Read-only mappings of segment files, and what else is asked of the memory that stands for a file: the one place of the crate
//! with `unsafe`.
//!
//! Owns the argument why slices of a file that is still being written are sound. Must never hand out a slice of bytes
//! that may change their value.

#![allow(unsafe_code)]

use crate::storage::Access;
use memmap2::{Advice, MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// A file mapped for reading.
#[derive(Debug)]
pub struct Mapping {
    raw: MmapRaw,
}

impl Mapping {
    /// Whether [`Mapping::prefetch`] does anything.
    pub(crate) const PREFETCHES: bool = cfg!(target_arch = "x86_64");

    /// Maps the first `len` bytes of `file`, which must be at least that long, to be read like this.
    ///
    /// # Errors
    /// What `mmap` reports; no memory is the likely one.
    pub fn new(file: &File, len: u64, access: Access) -> io::Result<Mapping> {
        let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let raw = MmapOptions::new().len(len).map_raw_read_only(file)?;
        if access == Access::Scattered {
            // A system that does not take the hint brings in more than is read.
            let _ = raw.advise(Advice::Random);
        }
        Ok(Mapping { raw })
    }

    /// The bytes of a range that was completely written before this call and is never written with other values again:
    /// in a log, anything below the visible end. `None` if it reaches outside of the mapping.
    #[inline]
    pub(crate) fn slice(&self, range: Range<u64>) -> Option<&[u8]> {
        if range.start > range.end || range.end > self.raw.len() as u64 {
            return None;
        }
        let len = (range.end - range.start) as usize;
        // SAFETY: the range lies inside the mapping, which lives as long as `self`. The mapping is read-only, so nothing
        // in this process writes through it. The file is written by `pwrite` into the same page cache, and that is the
        // one hazard: the page that holds the log's tail is written again with every batch. But it is written with the
        // same values for all bytes that were written before (the writer keeps the tail page in memory and only ever
        // adds to it), so the bytes of this range, which the caller took from below the visible end, do not change
        // their value while the slice lives; storing an equal byte is not observable. Segments are never truncated,
        // zeroed or reused once they have their name, so the pages do not go away. A file that another program
        // truncates or a device that fails raises SIGBUS, which ends the process: it does not give wrong bytes.
        Some(unsafe { std::slice::from_raw_parts(self.raw.as_ptr().add(range.start as usize), len) })
    }

    /// Has the system bring in the pages of a range from the device if they are not in memory, without waiting for them. A system
    /// call: for who knows that they are not. What goes wrong shows when they are read.
    pub(crate) fn bring_in(&self, range: Range<u64>) {
        let end = range.end.min(self.raw.len() as u64);
        if let Some(len) = end.checked_sub(range.start).filter(|len| *len > 0) {
            let _ = self.raw.advise_range(Advice::WillNeed, range.start as usize, len as usize);
        }
    }

    /// Tells the processor that the bytes of a range will be wanted soon. Costs next to nothing if they are already near. What of
    /// it lies outside is left out.
    #[inline]
    pub(crate) fn prefetch(&self, range: Range<u64>) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let Range { start: mut at, end } = range;
            let end = end.min(self.raw.len() as u64);
            while at < end {
                // SAFETY: a prefetch reads nothing that the program can see and faults on no address; this one is inside
                // the mapping anyway. SSE is part of every x86-64.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(self.raw.as_ptr().add(at as usize).cast()) };
                // Lines are 64 bytes long.
                at += 64;
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = range;
    }
}

/// Has the device begin to write what the page cache has of a range, without waiting for it: a later sync finds that much less to
/// do. Nothing is durable for it (sync_file_range(2) says why), so what goes wrong is left for the sync to tell.
#[cfg(target_os = "linux")]
pub(crate) fn begin_write_back(file: &File, offset: u64, len: u64) {
    sync_file_range(file, offset, len, libc::SYNC_FILE_RANGE_WRITE);
}

/// Waits until the device has written what it was told to begin with. `file` is a descriptor that nothing is synced through: a
/// wait takes notice of writes that failed, and a sync through the same one would not hear of them.
#[cfg(target_os = "linux")]
pub(crate) fn await_write_back(file: &File, offset: u64, len: u64) {
    sync_file_range(file, offset, len, libc::SYNC_FILE_RANGE_WAIT_BEFORE);
}

#[cfg(target_os = "linux")]
fn sync_file_range(file: &File, offset: u64, len: u64, flags: libc::c_uint) {
    use std::os::fd::AsRawFd;
    let (Ok(offset), Ok(len)) = (offset.try_into(), len.try_into()) else { return };
    // SAFETY: it takes numbers only and touches no memory of this process; the borrow keeps the descriptor open.
    unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, flags) };
}

/// A range of a mapping that keeps it alive: what an owned event's bytes hold on to.
#[derive(Debug, Clone)]
pub(crate) struct MappedRange {
    mapping: Arc<Mapping>,
    range: Range<u64>,
}

impl MappedRange {
    /// `None` if the range reaches outside. The same duty towards the bytes as in [`Mapping::slice`].
    pub(crate) fn new(mapping: Arc<Mapping>, range: Range<u64>) -> Option<MappedRange> {
        mapping.slice(range.clone())?;
        Some(MappedRange { mapping, range })
    }
}

impl AsRef<[u8]> for MappedRange {
    fn as_ref(&self) -> &[u8] {
        self.mapping.slice(self.range.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proving::{drop_from_memory, read_from_device};
    use std::path::Path;

    /// As much as any device lets be asked for at once.
    const LEN: u64 = 64 << 10;

    /// A file of which nothing is in memory, and its mapping.
    fn cold(path: &Path) -> Mapping {
        std::fs::write(path, vec![7; LEN as usize]).unwrap();
        let file = File::open(path).unwrap();
        file.sync_all().unwrap();
        drop_from_memory(path).unwrap();
        Mapping::new(&file, LEN, Access::Scattered).unwrap()
    }

    /// Reads all of it, which comes from the device when this returns if it was not there before.
    fn read(mapping: &Mapping) {
        assert!(mapping.slice(0..LEN).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 7)));
    }

    #[test]
    fn what_is_asked_for_comes_though_nobody_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (cold(&dir.path().join("read")), cold(&dir.path().join("asked")));
        let count = || read_from_device().unwrap_or_default();
        let before = count();
        read(&one);
        if count() < before + LEN {
            return println!("not shown here: what is read does not come from a device, or nobody counts it");
        }
        let before = count();
        // Ranges that reach outside, or are none, ask for what there is.
        #[allow(clippy::reversed_empty_ranges)]
        [LEN..u64::MAX, u64::MAX..0, 100..u64::MAX].into_iter().for_each(|range| other.bring_in(range));
        // Counted when it is asked for, by the thread that asks.
        assert!(count() >= before + LEN);
        read(&other);
    }
}
