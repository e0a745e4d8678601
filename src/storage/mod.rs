//! Bytes to and from a disk, behind two traits: a directory ([`Storage`]) and a file in it ([`File`]).
//!
//! Owns the contract that the engine's safety rests on, and nothing of the format: no magic, no frame, no event. Three
//! things implement it: [`Disk`], [`Memory`], and the simulated disk of this crate's own tests. Implement it yourself to
//! test a program against a failing disk, and pass it to [`Options::open_storage`](crate::Options::open_storage).

mod disk;
mod mapping;
mod memory;

pub use disk::Disk;
pub(crate) use mapping::MappedRange;
pub use mapping::Mapping;
pub use memory::Memory;

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::sync::Arc;

/// Held while a log is open for writing; dropping it lets the next one in.
pub type Lock = Box<dyn Any + Send + Sync>;

/// A directory that holds one log. Names are plain file names, without a path.
///
/// All methods may be called from several threads at once. None retries; each reports the first error it meets.
pub trait Storage: Debug + Send + Sync {
    /// How to call this directory in messages.
    fn name(&self) -> String;

    /// Whether writing and syncing never wait for a device: then an append that is submitted is committed at once, which is
    /// faster than to hand it to another thread.
    fn is_memory(&self) -> bool {
        false
    }

    /// The names in the directory, in any order. Reads what is in the directory now, synced or not.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Takes the writer's lock, or `None` if another handle holds it, in this process or another. Never blocks. Fails
    /// if the system cannot lock: a log without a lock is not opened.
    fn try_lock(&self) -> io::Result<Option<Lock>>;

    /// Creates an empty file; fails if the name exists. The entry is durable after [`Storage::sync_directory`].
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Opens an existing file for reading and, if `write`, for writing.
    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name, replacing one that has it. Durable after [`Storage::sync_directory`]; until then a
    /// power cut leaves the old state or the new one.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after [`Storage::sync_directory`].
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes every creation, renaming and removal so far durable. After an error their state is unknown; the caller
    /// must not try again and take a success for an answer.
    fn sync_directory(&self) -> io::Result<()>;
}

/// An open file.
///
/// All methods may be called from several threads at once. The engine never reads a byte that it has not finished
/// writing, and never has two writes to one place under way.
pub trait File: Debug + Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Makes the file at least `len` bytes long and reserves the space, so that writes below `len` cannot fail for lack
    /// of it. Bytes that were not there before read as zeros. Never a sparse file. Durable after [`File::sync`].
    ///
    /// All or nothing: if it fails, the file is as long as before, and what was reserved in part is given back, or a disk that
    /// was full for a moment would stay full. Nothing is written to the file meanwhile.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Writes some of `bytes` at `offset` and says how many. Fewer than all is legal, as is
    /// [`io::ErrorKind::Interrupted`]; the engine deals with both. In the operating system's hands on return,
    /// durable after [`File::sync`].
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Writes zeros to whole pages of a file that holds nothing yet. Offset and length are multiples of 4096. A storage with a
    /// page cache leaves them there, for whoever writes those pages next, and has the device begin to write them at once.
    fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Has the device begin with what was written to a range: a little at a time, so that the sync finds less to do, and syncs
    /// of other files meanwhile have less to wait for. May wait for what was begun with just before the range. Nothing is
    /// durable for it, and a failure is left for the sync to tell. A storage without a page cache has nothing to do, which is
    /// what the provided method does.
    fn begin_writing(&self, _offset: u64, _len: u64) {}

    /// Makes all writes so far durable (`fdatasync`). After an error nothing is known about any of them, and a second
    /// call that succeeds proves nothing: operating systems mark the lost pages clean.
    fn sync(&self) -> io::Result<()>;

    /// Fills `buffer` from `offset`; [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Where the first byte at `offset` or behind it stands that may be other than zero; `None` if there is none up to the
    /// end of the file. Lets whoever looks for what is written pass over space that was reserved only. A storage that cannot
    /// tell gives back `offset`.
    fn data_from(&self, offset: u64) -> io::Result<Option<u64>> {
        Ok(Some(offset))
    }

    /// As [`File::read_at`], but what the device has, not what a cache believes. Offset and length are multiples of 4096.
    /// Says how sure that is.
    fn read_device(&self, offset: u64, buffer: &mut [u8]) -> io::Result<DeviceRead>;

    /// Maps the first `len` bytes for reading, or `None` if this storage cannot. The file is at least that long and
    /// does not shrink while the mapping lives.
    fn map(&self, len: u64, access: Access) -> io::Result<Option<Mapping>>;
}

/// How a mapping will be read: what the system brings from the device with a page that is not in memory. Never what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// From place to place: what stands around is brought in as well.
    Onward,
    /// In short pieces that stand anywhere: each page by itself.
    Scattered,
}

/// How a tail was read at recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DeviceRead {
    /// Through the page cache: this file system offers nothing better, and the cache could not be emptied.
    Cached,
    /// From the device, after the cache had been dropped and found empty.
    Dropped,
    /// From the device, around the cache.
    Direct,
}

/// Writes all of `bytes`: goes on after short writes and interruptions, and takes a write of nothing for an error.
///
/// # Errors
/// The first error of [`File::write_at`] that is not an interruption; some of the bytes may be written then.
pub(crate) fn write_all_at(file: &dyn File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(offset, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                let written = written.min(bytes.len());
                offset += written as u64;
                bytes = &bytes[written..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
