//! The floor: what the machine does without a log.
//!
//! Owns a file of records that is written in whole pages into space zeroed ahead, with one write and one sync per commit; a
//! bare hash table for versions; and a walk over the mapped file whose places are known ahead. No condition, no index on disk,
//! no recovery. Must do nothing that a store could not do, so that the distance to it is the price of a store.

use crate::store::{Can, Entry, Place, Run, Store, Tally};
use crate::workload::EVENT_TYPE;
use hashbrown::HashMap;
use measure::{Context, Outcome};
use memmap2::Mmap;
use parking_lot::{Mutex, MutexGuard};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

const PAGE: usize = 4096;
const ZEROS: usize = 1 << 20;
/// Bytes in front of a record's type and payload: checksum, length, and what else an event has.
const HEAD: usize = 16;
/// Bytes of a commit and of a run beside their records.
const COMMIT_BYTES: usize = 72;
const RUN_BYTES: usize = 40;
const LINE: usize = 64;
/// More than a record of the workloads takes.
const RECORD_BYTES: usize = 320;

pub(crate) const ENTRY: Entry = Entry {
    name: "raw",
    package: "",
    used: "the floor: one write and one fdatasync per commit, a bare hash table, a plain walk in memory",
    can: CAN,
    gathered: true,
    open: |place| open(place, false),
};

pub(crate) const CHECKED: Entry = Entry {
    name: "raw+crc32",
    package: "",
    used: "the same; its walk compares each record's CRC-32 and prefetches the next run",
    can: CAN,
    gathered: true,
    open: |place| open(place, true),
};

const CAN: Can = Can { check: false, atomic: true, version: true, fold: true, scan: true, reopen: false };

fn open(place: &Place<'_>, is_checked: bool) -> Outcome<Box<dyn Store>> {
    let path = place.dir.join("raw");
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let file = file.context(|| format!("make {}", path.display()))?;
    let records = place.events * (HEAD + EVENT_TYPE.len() + 256 + 5 + RUN_BYTES / 10);
    // Commits of single events have more around them; there are fewer of those events.
    let len = (records + records / 8).next_multiple_of(ZEROS).max(16 << 20);
    let zeros = vec![0; ZEROS];
    for at in (0..len).step_by(ZEROS) {
        file.write_all_at(&zeros, at as u64)?;
    }
    file.sync_all()?;
    // A log that grows needs new pages, too.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    let map = map(&file)?;
    let writer = Writer {
        len: len as u64,
        page_at: 0,
        pages: Vec::new(),
        is_checked,
        names: String::new(),
        new: vec![],
    };
    Ok(Box::new(Raw { file, map, is_checked, writer: Mutex::new(writer), table: Mutex::default() }))
}

#[allow(unsafe_code)]
fn map(file: &File) -> Outcome<Mmap> {
    // SAFETY: the file is this process's own; nobody truncates it, and what is read was written before.
    Ok(unsafe { Mmap::map(file)? })
}

struct Raw {
    file: File,
    map: Mmap,
    is_checked: bool,
    writer: Mutex<Writer>,
    table: Mutex<Table>,
}

/// The end of the file: what stands in its last page already, then what is new.
struct Writer {
    len: u64,
    page_at: u64,
    pages: Vec<u8>,
    is_checked: bool,
    /// Runs that the table does not have yet, their names end to end: it is filled when somebody reads, at nobody's cost.
    names: String,
    new: Vec<New>,
}

struct New {
    name_end: usize,
    place: (usize, usize),
}

#[derive(Default)]
struct Table {
    versions: Bare<u64>,
    /// Where the runs of each stream begin, and how many records each has.
    streams: Bare<Vec<(usize, usize)>>,
    /// The same of all runs, in the order of the file.
    all: Vec<(usize, usize)>,
}

/// A hash table with a fast hash and nothing else.
pub(crate) type Bare<V> = HashMap<String, V, foldhash::fast::FixedState>;

impl Writer {
    fn end(&self) -> usize {
        self.page_at as usize + self.pages.len()
    }

    fn add(&mut self, bytes: usize) {
        let len = self.pages.len() + bytes;
        self.pages.resize(len, 1);
    }

    fn add_record(&mut self, payload: &[u8]) {
        let start = self.pages.len();
        self.pages.extend_from_slice(&[0; HEAD]);
        self.pages.extend_from_slice(EVENT_TYPE.as_bytes());
        self.pages.extend_from_slice(payload);
        let len = self.pages.len().next_multiple_of(8);
        self.pages.resize(len, 0);
        self.pages[start + 4..start + 8].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        if self.is_checked {
            let checksum = crc32fast::hash(&self.pages[start + 4..]);
            self.pages[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
        }
    }

    /// One write of whole pages, one sync.
    fn commit(&mut self, file: &File) -> Outcome<()> {
        let end = self.pages.len();
        self.pages.resize(end.next_multiple_of(PAGE), 0);
        if self.page_at + self.pages.len() as u64 > self.len {
            return Err("the raw file is full".into());
        }
        file.write_all_at(&self.pages, self.page_at)?;
        file.sync_data()?;
        let full = end & !(PAGE - 1);
        self.page_at += full as u64;
        self.pages.copy_within(full..end, 0);
        self.pages.truncate(end - full);
        Ok(())
    }
}

impl Table {
    fn fill(&mut self, names: &str, new: &[New]) {
        let mut name_at = 0;
        for run in new {
            let name = &names[name_at..run.name_end];
            *self.versions.entry_ref(name).or_default() += run.place.1 as u64;
            self.streams.entry_ref(name).or_default().push(run.place);
            self.all.push(run.place);
            name_at = run.name_end;
        }
    }
}

impl Raw {
    fn table(&self) -> MutexGuard<'_, Table> {
        let mut table = self.table.lock();
        let (names, new) = {
            let mut writer = self.writer.lock();
            (std::mem::take(&mut writer.names), std::mem::take(&mut writer.new))
        };
        table.fill(&names, &new);
        table
    }

    #[inline]
    fn record(&self, at: usize) -> Outcome<(&[u8], usize)> {
        let length = u32::from_le_bytes(*self.map[at + 4..].first_chunk().ok_or("the file is cut")?) as usize;
        let start = at + HEAD + EVENT_TYPE.len();
        Ok((&self.map[start..start + length], (start + length).next_multiple_of(8)))
    }

    fn walk(&self, runs: &[(usize, usize)], tally: &mut Tally) -> Outcome<()> {
        if self.is_checked { self.walk_checked(runs, tally) } else { self.walk_plain(runs, tally) }
    }

    fn walk_plain(&self, runs: &[(usize, usize)], tally: &mut Tally) -> Outcome<()> {
        for &(mut at, count) in runs {
            for _ in 0..count {
                let (payload, next) = self.record(at)?;
                tally.add(payload);
                at = next;
            }
        }
        Ok(())
    }

    fn walk_checked(&self, runs: &[(usize, usize)], tally: &mut Tally) -> Outcome<()> {
        for (n, &(mut at, count)) in runs.iter().enumerate() {
            // One record of the next run for each of this one: more at once would only queue.
            let mut ahead = runs.get(n + 1).map_or(usize::MAX, |run| run.0);
            for _ in 0..count {
                if ahead < self.map.len() {
                    (ahead..ahead + RECORD_BYTES).step_by(LINE).for_each(|line| self.prefetch(line));
                    ahead += RECORD_BYTES;
                }
                let (payload, next) = self.record(at)?;
                let stored = u32::from_le_bytes(*self.map[at..].first_chunk().ok_or("the file is cut")?);
                if crc32fast::hash(&self.map[at + 4..next]) != stored {
                    return Err("a checksum is wrong".into());
                }
                tally.add(payload);
                at = next;
            }
        }
        Ok(())
    }

    #[inline]
    #[allow(unsafe_code)]
    fn prefetch(&self, at: usize) {
        #[cfg(target_arch = "x86_64")]
        if at < self.map.len() {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch reads nothing that the program can see, and the address lies inside the mapping.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.map.as_ptr().add(at).cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }
}

impl Store for Raw {
    fn append(&self, runs: &[Run<'_>]) -> Outcome<()> {
        let mut writer = self.writer.lock();
        writer.add(COMMIT_BYTES);
        for run in runs {
            writer.add(RUN_BYTES);
            let place = (writer.end(), run.payloads.len());
            run.payloads.iter().for_each(|payload| writer.add_record(payload));
            writer.names.push_str(run.stream);
            let name_end = writer.names.len();
            writer.new.push(New { name_end, place });
        }
        writer.commit(&self.file)
    }

    fn version(&self, stream: &str) -> Outcome<u64> {
        Ok(self.table().versions.get(stream).copied().unwrap_or(0))
    }

    fn fold(&self, stream: &str, tally: &mut Tally) -> Outcome<()> {
        self.folds(&[stream], tally)
    }

    fn scan(&self) -> Outcome<Tally> {
        let mut tally = Tally::default();
        self.walk(&self.table().all, &mut tally)?;
        Ok(tally)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(())
    }

    /// The table is locked once: the floor is the look-up itself.
    fn versions(&self, streams: &[&str]) -> Outcome<u64> {
        let table = self.table();
        Ok(streams.iter().filter_map(|stream| table.versions.get(*stream)).sum())
    }

    fn folds(&self, streams: &[&str], tally: &mut Tally) -> Outcome<()> {
        let table = self.table();
        let mut runs = streams.iter().filter_map(|stream| table.streams.get(*stream));
        runs.try_for_each(|runs| self.walk(runs, tally))
    }
}
