//! A directory of a real file system.
//!
//! Owns the system calls: pwrite, fdatasync, fallocate, flock, O_DIRECT. Must never retry a sync, and never let a file
//! become sparse. Everything is relative to the directory's own descriptor, so that renaming the directory harms nothing.

use super::{Access, DeviceRead, File, Lock, Mapping, Storage};
use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags};
use std::fs::File as StdFile;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PAGE: usize = 4096;
/// How much of a device is read at once, through an aligned buffer.
const CHUNK: usize = 256 * 1024;

/// As far back as something may still be on its way to the device: a step of zeros, a block of an index file.
#[cfg(target_os = "linux")]
const MOST_BEGUN: u64 = 2 << 20;

/// A directory on disk.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    directory: OwnedFd,
}

impl Disk {
    /// Opens the directory; makes it (and its parents) first if `create`. Touches nothing in it. A directory made here
    /// is itself synced into its parent, so that a durable log does not vanish with its directory.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if it does not exist and `create` is off; else what the system says.
    pub fn open(path: impl AsRef<Path>, create: bool) -> io::Result<Disk> {
        let path = path.as_ref();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match fs::open(path, flags, Mode::empty()) {
            Err(error) if error == rustix::io::Errno::NOENT && create => {
                create_directories(path)?;
                fs::open(path, flags, Mode::empty())?
            }
            other => other?,
        };
        Ok(Disk { path: path.to_owned(), directory })
    }

    fn file(&self, name: &str, flags: OFlags) -> io::Result<StdFile> {
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        Ok(StdFile::from(fs::openat(&self.directory, name, flags | OFlags::CLOEXEC, mode)?))
    }

    fn wrap(&self, name: &str, file: StdFile, write: bool) -> io::Result<Arc<dyn File>> {
        // The second descriptor is taken now, while the name is known to mean this file. Who only reads has no use for it:
        // what the device has is asked by who may also write.
        let direct =
            direct_flags().filter(|_| write).and_then(|flags| self.file(name, flags | OFlags::RDWR).ok());
        Ok(Arc::new(DiskFile { file, direct }))
    }
}

/// Makes a directory and its missing parents, each synced into the one above.
fn create_directories(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !parent.exists() {
        create_directories(parent)?;
    }
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    StdFile::open(parent)?.sync_all()
}

impl Storage for Disk {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn try_lock(&self) -> io::Result<Option<Lock>> {
        // A descriptor of its own: flock belongs to it, and dropping it unlocks. On the directory and not on a lock file,
        // which could be unlinked and made again under a living owner.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let lock = fs::openat(&self.directory, ".", flags, Mode::empty())?;
        match fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(DirectoryLock(lock)))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = self.file(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        self.wrap(name, file, true)
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn File>> {
        let file = self.file(name, if write { OFlags::RDWR } else { OFlags::RDONLY })?;
        self.wrap(name, file, write)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(fs::renameat(&self.directory, from, &self.directory, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(fs::unlinkat(&self.directory, name, AtFlags::empty())?)
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(fs::fsync(&self.directory)?)
    }
}

/// The writer's lock on the directory.
struct DirectoryLock(OwnedFd);

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Said, not left to closing the descriptor: a process that another thread is just starting shares it until its
        // `exec`, and would hold the lock for that long.
        let _ = fs::flock(&self.0, FlockOperation::Unlock);
    }
}

#[derive(Debug)]
struct DiskFile {
    /// Every write and every sync goes through this descriptor: a sync reports errors of writes made through it.
    file: StdFile,
    /// The same file around the page cache, where the file system can. Reads use it, and who waits for zeros.
    direct: Option<StdFile>,
}

#[cfg(target_os = "linux")]
fn direct_flags() -> Option<OFlags> {
    Some(OFlags::DIRECT)
}

#[cfg(not(target_os = "linux"))]
fn direct_flags() -> Option<OFlags> {
    None
}

/// A buffer that starts at a page, as O_DIRECT demands.
#[derive(Debug)]
struct AlignedBuffer {
    bytes: Vec<u8>,
    start: usize,
}

impl AlignedBuffer {
    fn new() -> AlignedBuffer {
        let bytes = vec![0; CHUNK + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE);
        AlignedBuffer { bytes, start }
    }

    fn slice_mut(&mut self, len: usize) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + len]
    }
}

impl DiskFile {
    /// Writes zeros from `from` to `to`, many in one call: what is written at once may become one large page in memory.
    fn fill(&self, from: u64, to: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let slices = [IoSlice::new(&ZEROS); 16];
        let mut at = from;
        while at < to {
            let left = to - at;
            let whole = (left / ZEROS.len() as u64).min(slices.len() as u64) as usize;
            let written = match whole {
                0 => self.file.write_at(&ZEROS[..left as usize], at),
                _ => rustix::io::pwritev(&self.file, &slices[..whole], at).map_err(io::Error::from),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(some) => at += some as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_direct(direct: &StdFile, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut aligned = AlignedBuffer::new();
        for (i, chunk) in buffer.chunks_mut(CHUNK).enumerate() {
            let space = aligned.slice_mut(chunk.len().next_multiple_of(PAGE));
            direct.read_exact_at(space, offset + (i * CHUNK) as u64)?;
            chunk.copy_from_slice(&space[..chunk.len()]);
        }
        Ok(())
    }
}

impl File for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let old = self.len()?;
        // What lies below the old length was filled when it was made, by this same branch.
        let result = reserve(&self.file, len).unwrap_or_else(|| self.fill(old, len));
        if result.is_err() {
            // ext4 keeps what it got, and the longer length with it.
            let _ = self.file.set_len(old);
        }
        result
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()> {
        self.fill(offset, offset + len)?;
        // All of it with the sync would hold up the commits that the device is asked for meanwhile.
        self.begin_writing(offset, len);
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn begin_writing(&self, offset: u64, len: u64) {
        // More than the device can do would hold up others as well: what was begun before comes first.
        if let Some(direct) = &self.direct {
            let before = offset.saturating_sub(MOST_BEGUN);
            super::mapping::await_write_back(direct, before, offset - before);
        }
        super::mapping::begin_write_back(&self.file, offset, len);
    }

    fn sync(&self) -> io::Result<()> {
        // One call, no loop: EINTR from a sync counts as a failure.
        Ok(fs::fdatasync(&self.file)?)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    #[cfg(target_os = "linux")]
    fn data_from(&self, offset: u64) -> io::Result<Option<u64>> {
        match fs::seek(&self.file, fs::SeekFrom::Data(offset)) {
            Ok(found) => Ok(Some(found)),
            Err(rustix::io::Errno::NXIO) => Ok(None),
            // Not every file system knows.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => Ok(Some(offset)),
            Err(error) => Err(error.into()),
        }
    }

    fn read_device(&self, offset: u64, buffer: &mut [u8]) -> io::Result<DeviceRead> {
        if let Some(direct) = &self.direct {
            match Self::read_direct(direct, offset, buffer) {
                Ok(()) => return Ok(DeviceRead::Direct),
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                Err(error) => return Err(error),
            }
        }
        let dropped = drop_cache(&self.file, offset, buffer.len());
        self.read_at(offset, buffer)?;
        Ok(if dropped { DeviceRead::Dropped } else { DeviceRead::Cached })
    }

    fn map(&self, len: u64, access: Access) -> io::Result<Option<Mapping>> {
        match Mapping::new(&self.file, len, access) {
            // A process may have so many mappings only (on Linux, `vm.max_map_count`): what is not mapped is read.
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => Ok(None),
            mapped => mapped.map(Some),
        }
    }
}

/// Reserves space, or `None` where the file system cannot.
#[cfg(target_os = "linux")]
fn reserve(file: &StdFile, len: u64) -> Option<io::Result<()>> {
    use rustix::io::Errno;
    loop {
        match fs::fallocate(file, fs::FallocateFlags::empty(), 0, len) {
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return None,
            other => return Some(other.map_err(io::Error::from)),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_file: &StdFile, _len: u64) -> Option<io::Result<()>> {
    None
}

/// Drops the cached pages of a range and says whether they are really gone: a mapping elsewhere keeps them.
#[cfg(target_os = "linux")]
fn drop_cache(file: &StdFile, offset: u64, len: usize) -> bool {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    // Of the whole file: a large page stays that sticks out of the range.
    if fs::fadvise(file, 0, None, fs::Advice::DontNeed).is_err() {
        return false;
    }
    let mut byte = [0];
    (0..len).step_by(PAGE).all(|at| {
        let mut buffer = [io::IoSliceMut::new(&mut byte)];
        preadv2(file, &mut buffer, offset + at as u64, ReadWriteFlags::NOWAIT) == Err(Errno::AGAIN)
    })
}

#[cfg(not(target_os = "linux"))]
fn drop_cache(_file: &StdFile, _offset: u64, _len: usize) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::write_all_at;

    #[test]
    fn the_lock_is_on_the_directory_and_inside_one_process_too() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (Disk::open(dir.path(), false).unwrap(), Disk::open(dir.path(), false).unwrap());
        let held = a.try_lock().unwrap();
        assert!(held.is_some());
        assert!(b.try_lock().unwrap().is_none() && a.try_lock().unwrap().is_none());
        drop(held);
        assert!(b.try_lock().unwrap().is_some());
    }

    #[test]
    fn directories_are_made_only_when_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c");
        assert_eq!(Disk::open(&path, false).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(Disk::open(&path, true).unwrap().list().unwrap().is_empty());
    }

    #[test]
    fn what_is_written_is_read_back_every_way() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), false).unwrap();
        let file = disk.create("f").unwrap();
        assert!(disk.create("f").is_err(), "create never takes an existing file");
        file.allocate(64 * 1024).unwrap();
        assert_eq!(file.len().unwrap(), 64 * 1024);
        file.write_zeros(0, 64 * 1024).unwrap();
        let bytes: Vec<u8> = (0..8192u32).map(|i| i as u8).collect();
        write_all_at(&*file, 4096, &bytes).unwrap();
        file.sync().unwrap();
        let mut back = vec![0; 8192];
        file.read_at(4096, &mut back).unwrap();
        assert_eq!(back, bytes);
        back.fill(0);
        file.read_device(4096, &mut back).unwrap();
        assert_eq!(back, bytes);
        let map = file.map(64 * 1024, Access::Onward).unwrap().unwrap();
        assert_eq!(map.slice(4096..12288), Some(&bytes[..]));
        assert_eq!(map.slice(64 * 1024..64 * 1024 + 1), None);
        assert_eq!(map.slice(0..u64::MAX), None);
        #[cfg(target_pointer_width = "64")]
        assert!(file.map(1 << 62, Access::Onward).unwrap().is_none(), "more than there are addresses");
        disk.rename("f", "g").unwrap();
        disk.sync_directory().unwrap();
        assert_eq!(disk.list().unwrap(), ["g"]);
        disk.remove("g").unwrap();
        assert!(disk.list().unwrap().is_empty());
    }

    #[test]
    fn zeros_are_written_up_to_the_last_byte_and_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let file = Disk::open(dir.path(), false).unwrap().create("f").unwrap();
        let mut bytes = vec![7; 4 << 20];
        for (offset, len) in [(0, 4096), (8192, 64 << 10), (1 << 20, (2 << 20) + (200 << 10) + 4096)] {
            write_all_at(&*file, 0, &bytes).unwrap();
            file.write_zeros(offset as u64, len as u64).unwrap();
            bytes[offset..offset + len].fill(0);
            let mut back = vec![1; bytes.len()];
            file.read_at(0, &mut back).unwrap();
            assert!(back == bytes, "{offset}+{len}");
        }
    }

    #[test]
    fn space_that_was_reserved_only_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), false).unwrap();
        let file = disk.create("f").unwrap();
        file.allocate(1 << 20).unwrap();
        write_all_at(&*file, 512 << 10, &[7; 4096]).unwrap();
        // A file system that cannot tell says that all may be data.
        for (from, least) in [(0, 0), (4096, 4096), (512 << 10, 512 << 10)] {
            let found = file.data_from(from).unwrap().unwrap();
            assert!((least..=512 << 10).contains(&found), "{from}: {found}");
        }
        assert!(file.data_from((512 << 10) + 4096).unwrap().is_none_or(|at| at >= (512 << 10) + 4096));
        assert_eq!(file.data_from(1 << 20).unwrap_or(None), None);
    }

    #[test]
    fn allocating_again_keeps_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), false).unwrap();
        let file = disk.create("f").unwrap();
        file.allocate(8192).unwrap();
        write_all_at(&*file, 0, b"kept").unwrap();
        file.allocate(16384).unwrap();
        file.allocate(8192).unwrap();
        assert_eq!(file.len().unwrap(), 16384);
        let mut back = [0; 4];
        file.read_at(0, &mut back).unwrap();
        assert_eq!(&back, b"kept");
    }
}
