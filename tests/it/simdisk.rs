//! A disk that exists only to fail: deterministic, in memory, behind the engine's own storage traits.
//!
//! The fault model, in sectors of 512 bytes. A write goes to the page cache; `sync` takes it to the device. When the
//! power is cut, each sector written since the last sync is, independently of every other, what the device had before,
//! or any one of the contents it was given since; a file's length is the old one or the new one. Under
//! [`Survive::Garbage`] a sector may also be noise, unless `write_at` once made it durable: acknowledged bytes are old or
//! new, never damaged by their neighbours, whereas space that was only allocated or zeroed has no such right. A creation,
//! renaming or removal waits for `sync_directory` (to sync the file does not help its name), and of those that wait any
//! subset survives, in order: a renaming may be there without the creation before it.
//!
//! A sync that fails reports its error once and forgets: pages count as clean though few or none of their sectors
//! reached the device. The cache goes on showing what they should hold, and no later sync writes them; only another write
//! makes them dirty again. `read_device` shows the truth: it writes dirty pages back, as a kernel does before a direct
//! read, and then sees the device. Metadata (lengths, names) is journalled: a failed sync may have written a part of it,
//! and a later one writes the rest. A failed write may have written a beginning; one during which the power goes, a
//! beginning or all. Any other failed operation has done nothing.
//!
//! When a process is killed, nothing is lost and nothing is made durable: the next one finds the same cache.
//!
//! Same calls and same seeds, same outcome: each choice is drawn from the disk's seed and the number of the operation.

use annals::storage::{Access, DeviceRead, File, Lock, Mapping, Storage};
use std::array;
use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display};
use std::io::{self, ErrorKind};
use std::iter;
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SECTOR: usize = 512;
const PAGE: u64 = 4096;
/// How many contents of one dirty sector are remembered; older ones can no longer survive.
const VERSIONS: usize = 8;
/// What a disk holds unless a test says otherwise.
const SPACE: u64 = 1 << 40;

/// Small deterministic randomness (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// A sequence that depends on the seed alone.
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// Any number.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if there is none.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next_u64() % n.max(1)
    }

    /// True `num` times in `den`.
    pub(crate) fn chance(&mut self, num: u64, den: u64) -> bool {
        self.below(den) < num
    }
}

/// What a power cut spares of the things that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Survive {
    /// Nothing at all.
    Nothing,
    /// Everything, in its last state.
    Everything,
    /// Each thing by chance. How likely a sector is to survive differs from file to file: few, half, most.
    Random,
    /// The same, and a sector that `write_at` never made durable may become noise.
    Garbage,
}

impl Survive {
    /// Whether a thing survives that does so by even chance if it is left to chance.
    fn spares(self, rng: &mut Rng) -> bool {
        self == Survive::Everything || self != Survive::Nothing && rng.chance(1, 2)
    }
}

type Sector = Arc<[u8; SECTOR]>;

/// The sectors of a file. One that is missing reads as zeros, and no `write_at` ever made it durable.
type Image = BTreeMap<u64, Sector>;

/// Puts a sector in an image, or takes it out; copies the image only if it is shared and really changes.
fn set(image: &mut Arc<Image>, at: u64, sector: Option<Sector>) {
    match sector {
        Some(sector) => _ = Arc::make_mut(image).insert(at, sector),
        None if image.contains_key(&at) => _ = Arc::make_mut(image).remove(&at),
        None => {}
    }
}

/// Cuts a range into the parts that lie in one sector each: sector, first byte in it, which bytes of the range.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
    let mut done = 0;
    iter::from_fn(move || {
        let at = offset + done as u64;
        let start = at as usize % SECTOR;
        let range = done..len.min(done + SECTOR - start);
        done = range.end;
        (!range.is_empty()).then_some((at / SECTOR as u64, start, range))
    })
}

/// A file. Its cache is not stored as such: it is `dirty` and `lost` on top of `disk`.
#[derive(Clone, Default)]
struct Inode {
    /// What it is called, or was last: for the trace.
    name: Name,
    /// What the device holds for good; shared with the disks that this one comes from.
    disk: Arc<Image>,
    /// The contents that sectors were given since the last sync, oldest first; at least one each.
    dirty: BTreeMap<u64, Vec<Option<Sector>>>,
    /// What the cache shows for sectors that a failed sync dropped. None of them is dirty.
    lost: BTreeMap<u64, Option<Sector>>,
    /// The length that readers see, and the space that is reserved. Whatever lies beyond is zero.
    len: u64,
    durable_len: u64,
}

impl Inode {
    /// A file whose bytes are all durable. Zeros at its end count as never written.
    fn settled(name: &str, bytes: &[u8]) -> Inode {
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let mut inode = Inode { name: name.into(), ..Inode::default() };
        inode.write(0, end, Some(bytes));
        inode.len = bytes.len() as u64;
        inode.sync();
        inode
    }

    /// A sector as a direct read shows it, after dirty pages were written back.
    fn device(&self, at: u64) -> Option<&Sector> {
        self.dirty.get(&at).map_or(self.disk.get(&at), |contents| contents.last()?.as_ref())
    }

    /// A sector as the page cache shows it.
    fn cached(&self, at: u64) -> Option<&Sector> {
        self.lost.get(&at).map_or(self.device(at), Option::as_ref)
    }

    /// Writes bytes, or zeros, to the cache.
    fn write(&mut self, offset: u64, len: usize, bytes: Option<&[u8]>) {
        for (at, start, range) in parts(offset, len) {
            self.len = self.len.max(offset + range.end as u64);
            let content = bytes.map(|bytes| {
                let mut sector = self.cached(at).map_or([0; SECTOR], |sector| **sector);
                sector[start..start + range.len()].copy_from_slice(&bytes[range]);
                Arc::new(sector)
            });
            self.lost.remove(&at);
            let contents = self.dirty.entry(at).or_default();
            contents.drain(..(contents.len() + 1).saturating_sub(VERSIONS));
            contents.push(content);
        }
    }

    /// Makes everything durable that is still known to be dirty.
    fn sync(&mut self) {
        for (at, mut contents) in mem::take(&mut self.dirty) {
            set(&mut self.disk, at, contents.pop().flatten());
        }
        self.durable_len = self.len;
    }

    /// What a failed sync does: all is marked clean, and none or some of it is on the device.
    fn sync_badly(&mut self, rng: &mut Rng) {
        let odds = rng.below(2);
        for (at, mut contents) in mem::take(&mut self.dirty) {
            let last = contents.pop().flatten();
            if rng.chance(odds, 2) {
                set(&mut self.disk, at, last);
            } else {
                self.lost.insert(at, last);
            }
        }
        self.durable_len = if rng.chance(1, 2) { self.len } else { self.durable_len };
    }

    /// The file after a power cut.
    fn survivor(&self, rng: &mut Rng, how: Survive) -> Inode {
        let odds = [1, 4, 7][rng.below(3) as usize];
        let mut disk = self.disk.clone();
        for (&at, contents) in &self.dirty {
            let content = match how {
                Survive::Nothing => continue,
                Survive::Everything => contents.len() - 1,
                Survive::Garbage if !self.disk.contains_key(&at) && rng.chance(1, 4) => {
                    set(&mut disk, at, Some(Arc::new(array::from_fn(|_| rng.next_u64() as u8))));
                    continue;
                }
                _ if rng.chance(odds, 8) => rng.below(contents.len() as u64) as usize,
                _ => continue,
            };
            set(&mut disk, at, contents[content].clone());
        }
        let len = if how.spares(rng) { self.len } else { self.durable_len };
        if len < self.len {
            let image = Arc::make_mut(&mut disk);
            image.split_off(&len.div_ceil(SECTOR as u64));
            if let Some(end) = image.get_mut(&(len / SECTOR as u64)) {
                Arc::make_mut(end)[len as usize % SECTOR..].fill(0);
            }
        }
        Inode { name: self.name.clone(), disk, len, durable_len: len, ..Inode::default() }
    }

    /// Fills `buffer` with what one view of the sectors shows.
    fn read<'a>(
        &'a self,
        offset: u64,
        buffer: &mut [u8],
        view: impl Fn(&'a Inode, u64) -> Option<&'a Sector>,
    ) {
        for (at, start, range) in parts(offset, buffer.len()) {
            match view(self, at) {
                Some(sector) => buffer[range.clone()].copy_from_slice(&sector[start..start + range.len()]),
                None => buffer[range].fill(0),
            }
        }
    }
}

type Name = Arc<str>;
/// Which file has which name. A file has one name at most.
type Directory = BTreeMap<Name, usize>;
/// From here on this file has this name, or none.
type Naming = (usize, Option<Name>);

/// Lets a change of the directory happen.
fn apply(directory: &mut Directory, (inode, name): Naming) {
    directory.retain(|_, other| *other != inode);
    directory.extend(name.map(|name| (name, inode)));
}

/// Everything about a disk.
#[derive(Default)]
struct State {
    seed: u64,
    space: u64,
    /// All files that ever had a name since the restart; their places are their numbers.
    inodes: Vec<Inode>,
    live: Directory,
    durable: Directory,
    /// What happened to the directory since the last sync of it.
    pending: Vec<Naming>,
    // A restart forgets all that follows.
    trace: Vec<String>,
    locked: bool,
    off: bool,
    crash_at: Option<u64>,
    fail: BTreeMap<u64, ErrorKind>,
    fail_reads: bool,
    short_writes: bool,
}

impl State {
    /// Fails if the power is off.
    fn power(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("power is off")) } else { Ok(()) }
    }

    /// Counts an operation and says what becomes of it. The outer error: the power was off, nothing was tried. The
    /// inner one: this operation fails, because the power goes now (it is off afterwards), or for another reason.
    fn step(&mut self, what: impl Display) -> io::Result<io::Result<()>> {
        self.power()?;
        let op = self.trace.len() as u64;
        self.trace.push(what.to_string());
        self.off = self.crash_at.is_some_and(|at| at <= op);
        let fault = self.fail.remove(&op).map(io::Error::from);
        Ok(self.power().and(fault.map_or(Ok(()), Err)))
    }

    /// The choices of the operation that was counted last.
    fn rng(&self) -> Rng {
        Rng::new(self.seed ^ self.trace.len() as u64)
    }

    /// Changes the directory; durable at the next sync of it.
    fn rename(&mut self, inode: usize, name: Option<Name>) {
        self.pending.push((inode, name.clone()));
        apply(&mut self.live, (inode, name.clone()));
        self.inodes[inode].name = name.unwrap_or_else(|| self.inodes[inode].name.clone());
    }

    /// How far a file may reach if it wants to reach `end`, with the space that is left.
    fn reach(&self, inode: usize, end: u64) -> u64 {
        let used = self.live.values().map(|inode| self.inodes[*inode].len).sum();
        end.min(self.inodes[inode].len + self.space.saturating_sub(used))
    }
}

/// The simulated disk. Clones share it; a restart makes another one.
#[derive(Clone)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk. The seed decides how faults turn out, not whether there are any.
    pub(crate) fn new(seed: u64) -> SimDisk {
        SimDisk::from(State { seed, space: SPACE, ..State::default() })
    }

    fn from(state: State) -> SimDisk {
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, if the power is on.
    fn on(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        state.power().map(|()| state)
    }

    /// The power goes during this operation, or the first one after it. The operation does nothing, unless it writes.
    pub(crate) fn crash_at(&self, op: u64) {
        self.state().crash_at = Some(op);
    }

    /// The power goes now.
    pub(crate) fn power_off(&self) {
        self.state().off = true;
    }

    /// Lets go of what uses the disk, as a kill does: nothing that it does at its end reaches the disk.
    pub(crate) fn kill<T>(&self, user: T) {
        let was_off = mem::replace(&mut self.state().off, true);
        drop(user);
        self.state().off = was_off;
    }

    /// Lets one operation fail.
    pub(crate) fn fail_op(&self, op: u64, kind: ErrorKind) {
        self.state().fail.insert(op, kind);
    }

    /// Lets every read of bytes fail, until switched off.
    pub(crate) fn fail_reads(&self, fail: bool) {
        self.state().fail_reads = fail;
    }

    /// Lets writes write only a beginning, or be interrupted.
    pub(crate) fn short_writes(&self, short: bool) {
        self.state().short_writes = short;
    }

    /// How many bytes all files together may take; `None` is plenty. A property of the disk: it survives restarts.
    pub(crate) fn set_space(&self, space: Option<u64>) {
        self.state().space = space.unwrap_or(SPACE);
    }

    /// How many operations have been counted: those that change or sync something, while the power was on.
    pub(crate) fn ops(&self) -> u64 {
        self.state().trace.len() as u64
    }

    /// The counted operations: what was done to which file, and where it matters offset and length; not with which bytes.
    pub(crate) fn trace(&self) -> Vec<String> {
        self.state().trace.clone()
    }

    /// A fingerprint (FNV-1a) of the trace.
    pub(crate) fn op_digest(&self) -> u64 {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        self.trace().join("\n").bytes().fold(0xcbf2_9ce4_8422_2325, step)
    }

    /// A disk as it may be found if the power of this one goes now. This one stays as it is: more can be made of it.
    pub(crate) fn power_cut(&self, rng: &mut Rng, how: Survive) -> SimDisk {
        let state = self.state();
        let mut names = state.durable.clone();
        for naming in &state.pending {
            if how.spares(rng) {
                apply(&mut names, naming.clone());
            }
        }
        let survivor = |(name, inode): (&Name, &usize)| Inode {
            name: name.clone(),
            ..state.inodes[*inode].survivor(rng, how)
        };
        let inodes: Vec<Inode> = names.iter().map(survivor).collect();
        let live: Directory = names.into_keys().zip(0..).collect();
        let durable = live.clone();
        let (seed, space) = (rng.next_u64(), state.space);
        SimDisk::from(State { seed, space, inodes, live, durable, ..State::default() })
    }

    /// A disk as the next process finds it if this one is killed now. This one stays as it is.
    pub(crate) fn process_crash(&self) -> SimDisk {
        let state = self.state();
        let State { seed, space, ref inodes, ref live, ref durable, ref pending, .. } = *state;
        let (live, durable) = (live.clone(), durable.clone());
        let (inodes, pending) = (inodes.clone(), pending.clone());
        SimDisk::from(State { seed, space, inodes, live, durable, pending, ..State::default() })
    }

    /// The names that are durable.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state().durable.keys().map(|name| name.to_string()).collect()
    }

    /// The durable content of a file that has a durable name.
    pub(crate) fn read_file(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let inode = &state.inodes[*state.durable.get(name)?];
        let mut bytes = vec![0; inode.durable_len as usize];
        inode.read(0, &mut bytes, |inode, at| inode.disk.get(&at));
        Some(bytes)
    }

    /// Everything that is durable.
    pub(crate) fn snapshot(&self) -> BTreeMap<String, Vec<u8>> {
        self.names().into_iter().filter_map(|name| Some((name.clone(), self.read_file(&name)?))).collect()
    }

    /// Gives a file this content, in cache and on the device; makes the file if need be. Not counted, nor is the rest
    /// of this surgery.
    pub(crate) fn write_file(&self, name: &str, bytes: Vec<u8>) {
        self.remove_file(name);
        let mut state = self.state();
        let inode = state.inodes.len();
        state.inodes.push(Inode::settled(name, &bytes));
        state.live.insert(name.into(), inode);
        state.durable.insert(name.into(), inode);
    }

    /// Takes a file away, from cache and device.
    pub(crate) fn remove_file(&self, name: &str) {
        let mut state = self.state();
        for inode in [state.live.remove(name), state.durable.remove(name)].into_iter().flatten() {
            state.pending.retain(|(other, _)| *other != inode);
        }
    }

    /// Turns one bit of a file over, in cache and on the device. Panics if there is no such bit.
    pub(crate) fn flip(&self, name: &str, bit: u64) {
        let mut state = self.state();
        let inode = *state.live.get(name).expect("no such file");
        let inode = &mut state.inodes[inode];
        let byte = (bit / 8) as usize;
        assert!((byte as u64) < inode.len, "bit {bit} of {name} is beyond its end");
        let at = (byte / SECTOR) as u64;
        let mut disk = inode.disk.get(&at).cloned();
        let cached = inode.dirty.get_mut(&at).into_iter().flatten().chain(inode.lost.get_mut(&at));
        for content in cached.chain([&mut disk]) {
            Arc::make_mut(content.get_or_insert_with(|| Arc::new([0; SECTOR])))[byte % SECTOR] ^=
                1 << (bit % 8);
        }
        set(&mut inode.disk, at, disk);
    }
}

impl Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

/// The writer's lock; gives it back when dropped.
struct SimLock(SimDisk);

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.state().locked = false;
    }
}

impl Storage for SimDisk {
    fn name(&self) -> String {
        "simulated disk".to_owned()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.on()?.live.keys().map(|name| name.to_string()).collect())
    }

    fn try_lock(&self) -> io::Result<Option<Lock>> {
        let taken = mem::replace(&mut self.on()?.locked, true);
        Ok((!taken).then(|| Box::new(SimLock(self.clone())) as Lock))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        state.step(format_args!("create {name}"))??;
        if state.live.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.rename(inode, Some(name.into()));
        Ok(Arc::new(SimFile { disk: self.clone(), inode, write: true }))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn File>> {
        let inode = *self.on()?.live.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, write }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step(format_args!("rename {from} to {to}"))??;
        let inode = *state.live.get(from).ok_or(ErrorKind::NotFound)?;
        state.rename(inode, Some(to.into()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step(format_args!("remove {name}"))??;
        let inode = *state.live.get(name).ok_or(ErrorKind::NotFound)?;
        state.rename(inode, None);
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.state();
        let fate = state.step("sync_directory")?;
        let waiting = state.pending.len();
        let done = match &fate {
            Ok(()) => waiting,
            Err(_) if state.off => 0,
            Err(_) => state.rng().below(waiting as u64 + 1) as usize,
        };
        let State { durable, pending, .. } = &mut *state;
        pending.drain(..done).for_each(|naming| apply(durable, naming));
        fate
    }
}

/// An open file of a simulated disk.
#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: usize,
    write: bool,
}

impl SimFile {
    /// Counts an operation. One that changes a file opened for reading is refused, and not counted.
    fn step(&self, what: &str, offset: u64, len: u64) -> io::Result<(MutexGuard<'_, State>, io::Result<()>)> {
        if !self.write && what != "sync" {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let mut state = self.disk.state();
        let name = state.inodes[self.inode].name.clone();
        let fate = state.step(format_args!("{what} {name} {offset}+{len}"))?;
        Ok((state, fate))
    }

    /// Writes what comes through of some bytes, or zeros, and says how much that was.
    fn put(&self, what: &str, offset: u64, len: u64, bytes: Option<&[u8]>) -> io::Result<u64> {
        let (mut state, fate) = self.step(what, offset, len)?;
        let mut rng = state.rng();
        let some = match &fate {
            Ok(()) if !state.short_writes || bytes.is_none() || len == 0 => len,
            Ok(()) if rng.chance(1, 4) => return Err(ErrorKind::Interrupted.into()),
            Ok(()) => 1 + rng.below(len),
            Err(_) if state.off && rng.chance(1, 2) => len,
            Err(_) => rng.below(len + 1),
        };
        let fits = state.reach(self.inode, offset.saturating_add(some)).saturating_sub(offset);
        state.inodes[self.inode].write(offset, fits as usize, bytes);
        fate?;
        if fits == 0 && len > 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(fits) }
    }

    /// Fills `buffer` with one view of the file; fails at its end.
    fn read(
        &self,
        offset: u64,
        buffer: &mut [u8],
        view: fn(&Inode, u64) -> Option<&Sector>,
    ) -> io::Result<()> {
        let state = self.disk.on()?;
        if state.fail_reads {
            return Err(io::Error::other("cannot read"));
        }
        let inode = &state.inodes[self.inode];
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > inode.len) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        inode.read(offset, buffer, view);
        Ok(())
    }
}

/// Refuses a range that is not one of whole pages.
fn whole_pages(offset: u64, len: u64) -> io::Result<()> {
    if (offset | len).is_multiple_of(PAGE) { Ok(()) } else { Err(ErrorKind::InvalidInput.into()) }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.on()?.inodes[self.inode].len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let (mut state, fate) = self.step("allocate", 0, len)?;
        fate?;
        if state.reach(self.inode, len) < len {
            return Err(ErrorKind::StorageFull.into());
        }
        let inode = &mut state.inodes[self.inode];
        inode.len = inode.len.max(len);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.put("write_at", offset, bytes.len() as u64, Some(bytes)).map(|written| written as usize)
    }

    fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()> {
        whole_pages(offset, len)?;
        let written = self.put("write_zeros", offset, len, None)?;
        if written < len { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, fate) = self.step("sync", 0, 0)?;
        let mut rng = state.rng();
        match &fate {
            Ok(()) => state.inodes[self.inode].sync(),
            Err(_) if state.off => {}
            Err(_) => state.inodes[self.inode].sync_badly(&mut rng),
        }
        fate
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read(offset, buffer, Inode::cached)
    }

    fn read_device(&self, offset: u64, buffer: &mut [u8]) -> io::Result<DeviceRead> {
        whole_pages(offset, buffer.len() as u64)?;
        self.read(offset, buffer, Inode::device).map(|()| DeviceRead::Direct)
    }

    fn map(&self, _len: u64, _access: Access) -> io::Result<Option<Mapping>> {
        self.disk.on().map(|_| None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const NAME: &str = "f";
    const LEN: usize = 4 * PAGE as usize;

    /// A disk with one empty, allocated, durable file.
    fn disk_with_file(seed: u64) -> (SimDisk, Arc<dyn File>) {
        let disk = SimDisk::new(seed);
        let file = disk.create(NAME).unwrap();
        file.allocate(LEN as u64).unwrap();
        file.sync().unwrap();
        disk.sync_directory().unwrap();
        (disk, file)
    }

    /// What a reader sees, and what the device has.
    fn both(disk: &SimDisk) -> (Vec<u8>, Vec<u8>) {
        let file = disk.open(NAME, false).unwrap();
        let mut bytes = (vec![0; LEN], vec![0; LEN]);
        file.read_at(0, &mut bytes.0).unwrap();
        file.read_device(0, &mut bytes.1).unwrap();
        bytes
    }

    fn sectors(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        bytes.chunks(SECTOR)
    }

    #[test]
    fn synced_bytes_survive_every_cut_and_others_any_subset() {
        let (disk, file) = disk_with_file(1);
        file.write_at(100, &[1; 1000]).unwrap();
        file.sync().unwrap();
        for version in 2..5 {
            file.write_at(1100, &[version; 6000]).unwrap();
        }
        let mut seen = BTreeSet::new();
        for seed in 0..2000 {
            for how in [Survive::Nothing, Survive::Everything, Survive::Random, Survive::Garbage] {
                let (cached, device) = both(&disk.power_cut(&mut Rng::new(seed), how));
                assert_eq!(cached, device, "nothing is dirty after a restart");
                assert!(cached[..100] == [0; 100] && cached[100..1100] == [1; 1000], "seed {seed}");
                let news: Vec<u8> = sectors(&cached).map(|sector| sector[300]).collect();
                match how {
                    Survive::Nothing => assert_eq!(cached[1100..], [0; LEN - 1100]),
                    Survive::Everything => assert_eq!(cached[1100..7100], [4; 6000]),
                    Survive::Random => _ = seen.insert(news),
                    Survive::Garbage => assert!(cached[1100..1536].iter().all(|b| *b == news[2]), "{seed}"),
                }
            }
        }
        assert!(seen.len() > 500, "{} states", seen.len());
    }

    #[test]
    fn noise_comes_only_where_nothing_durable_was_written() {
        let (disk, file) = disk_with_file(2);
        file.write_at(0, &[0; 1024]).unwrap();
        file.write_zeros(PAGE, PAGE).unwrap();
        file.sync().unwrap();
        file.write_at(0, &[7; LEN]).unwrap();
        let mut noisy = BTreeSet::new();
        for seed in 0..300 {
            let (cached, _) = both(&disk.power_cut(&mut Rng::new(seed), Survive::Garbage));
            let pure = |sector: &[u8]| sector == [0; 512] || sector == [7; 512];
            noisy.extend(sectors(&cached).enumerate().filter(|(_, sector)| !pure(sector)).map(|(at, _)| at));
        }
        assert!(noisy.iter().copied().eq(2..LEN / 512), "{noisy:?}");
    }

    #[test]
    fn a_sync_after_a_failed_one_proves_nothing() {
        for seed in 0..50 {
            let (disk, file) = disk_with_file(seed);
            file.write_at(0, &[7; LEN]).unwrap();
            disk.fail_op(disk.ops(), ErrorKind::Other);
            assert!(file.sync().is_err());
            file.sync().unwrap();
            let (cached, device) = both(&disk);
            assert_eq!(cached, [7; LEN]);
            assert!(device.contains(&0), "some sector is lost");
            let after = disk.power_cut(&mut Rng::new(seed), Survive::Everything);
            assert_eq!(both(&after), (device.clone(), device.clone()));
            assert_eq!(both(&disk.process_crash()), (cached, device), "the cache outlives the process");
            file.write_at(0, &[8; LEN]).unwrap();
            file.sync().unwrap();
            assert_eq!(both(&disk), (vec![8; LEN], vec![8; LEN]), "writing again does help");
        }
    }

    #[test]
    fn names_need_the_directory_synced() {
        let disk = SimDisk::new(3);
        disk.write_file("old", vec![1; 10]);
        let file = disk.create("new.tmp").unwrap();
        file.write_at(0, b"new").unwrap();
        file.sync().unwrap();
        disk.rename("new.tmp", "new").unwrap();
        disk.remove("old").unwrap();
        let cut = |seed, how| disk.power_cut(&mut Rng::new(seed), how).names().join(" ");
        assert_eq!(cut(0, Survive::Nothing), "old");
        assert_eq!(cut(0, Survive::Everything), "new");
        let seen: BTreeSet<String> = (0..200).map(|seed| cut(seed, Survive::Random)).collect();
        assert!(seen.iter().eq(["", "new", "new old", "new.tmp", "new.tmp old", "old"]), "{seen:?}");
        disk.fail_op(disk.ops(), ErrorKind::Other);
        assert!(disk.sync_directory().is_err());
        let next = disk.process_crash();
        assert_ne!(next.names(), ["new"], "with this seed the failed sync did not do it all");
        next.sync_directory().unwrap();
        assert_eq!((next.names(), next.list().unwrap()), (vec!["new".to_owned()], vec!["new".to_owned()]));
        assert_eq!(next.read_file("new").unwrap(), b"new");
    }

    #[test]
    fn a_length_is_the_old_or_the_new_one_with_zeros_behind_it() {
        let disk = SimDisk::new(4);
        disk.write_file(NAME, vec![1; 700]);
        let file = disk.open(NAME, true).unwrap();
        file.write_at(700, &[2; 700]).unwrap();
        for seed in 0..100 {
            let after = disk.power_cut(&mut Rng::new(seed), Survive::Random);
            let bytes = after.read_file(NAME).unwrap();
            assert!(bytes.len() == 700 || bytes.len() == 1400);
            assert!(bytes[..700] == [1; 700] && bytes[700..].iter().all(|b| *b == 0 || *b == 2));
            after.open(NAME, true).unwrap().allocate(1400).unwrap();
            let mut grown = [9; 1400];
            after.open(NAME, false).unwrap().read_at(0, &mut grown).unwrap();
            assert!(bytes.len() == 1400 || grown[700..] == [0; 700], "nothing is left beyond the end");
        }
    }

    #[test]
    fn space_runs_out_and_comes_back() {
        let (disk, file) = disk_with_file(5);
        disk.set_space(Some(LEN as u64 + 10));
        let more = disk.create("g").unwrap();
        assert_eq!(more.allocate(11).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(file.write_at(0, &[1; LEN]).unwrap(), LEN, "reserved space is there");
        assert_eq!(more.write_at(0, &[1; 20]).unwrap(), 10);
        assert_eq!(more.write_at(10, &[1; 20]).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(more.len().unwrap(), 10);
        disk.remove(NAME).unwrap();
        more.allocate(LEN as u64).unwrap();
        assert!(more.allocate(u64::MAX).is_err());
    }

    #[test]
    fn the_power_stays_off_and_the_lock_goes_with_the_process() {
        let (disk, file) = disk_with_file(6);
        let lock = disk.try_lock().unwrap();
        assert!(lock.is_some() && disk.try_lock().unwrap().is_none());
        disk.crash_at(disk.ops());
        assert_eq!(file.write_at(0, &[1; LEN]).unwrap_err().to_string(), "power is off");
        let ops = disk.ops();
        assert!(file.sync().is_err() && file.len().is_err() && disk.list().is_err());
        assert!(disk.create("g").is_err() && disk.try_lock().is_err());
        assert_eq!(disk.ops(), ops, "what never reached the disk is not counted");
        let torn = |seed| both(&disk.power_cut(&mut Rng::new(seed), Survive::Random)).0;
        assert!((0..20).any(|seed| torn(seed).contains(&1)), "the write that was cut may survive in part");
        let next = disk.process_crash();
        assert!(next.try_lock().unwrap().is_some());
        assert!(next.try_lock().unwrap().is_some(), "dropped at once, so free again");
        next.power_off();
        assert!(next.list().is_err() && next.open(NAME, false).is_err());
        drop(lock);
    }

    #[test]
    fn equal_seeds_give_equal_disks() {
        let run = |seed| {
            let (disk, file) = disk_with_file(seed);
            disk.short_writes(true);
            let (mut at, mut calls) = (0, 0);
            while at < 9000 {
                at += file.write_at(at as u64, &vec![1; 9000 - at]).unwrap_or(0);
                calls += 1;
            }
            disk.fail_reads(true);
            assert!(calls > 1 && file.read_at(0, &mut [0]).is_err());
            let after = disk.power_cut(&mut Rng::new(seed), Survive::Garbage);
            (disk.trace(), disk.op_digest(), after.snapshot())
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7).1, run(8).1);
    }

    #[test]
    fn surgery_reaches_cache_and_device() {
        let (disk, file) = disk_with_file(8);
        file.write_at(0, &[1; 4]).unwrap();
        disk.flip(NAME, 9);
        disk.flip(NAME, 8 * 5000);
        let (cached, _) = both(&disk);
        assert_eq!((&cached[..4], cached[5000]), (&[1, 3, 1, 1][..], 1));
        file.write_zeros(0, LEN as u64).unwrap();
        assert_eq!(both(&disk).0, [0; LEN], "zeros destroy what was there");
        file.sync().unwrap();
        assert_eq!(disk.read_file(NAME).unwrap(), [0; LEN], "for good");
        disk.write_file(NAME, vec![5; LEN]);
        assert_eq!(both(&disk).1, [5; LEN]);
        disk.remove_file(NAME);
        assert!(disk.snapshot().is_empty() && disk.list().unwrap().is_empty());
    }
}
