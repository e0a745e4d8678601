//! The floor under appends and look-ups: what the machine does without a log.
//!
//! Owns the raw file, which writes whole pages into space that was zeroed ahead and syncs once per commit, and the bare hash
//! table. No order, no condition, no checksum, no index.

use crate::support::{Outcome, PAYLOAD_BYTES, Workload};
use hashbrown::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(crate) const PAGE: usize = 4096;
const ZEROS: usize = 1 << 20;

/// Bytes of one event, encoded as FORMAT.md section 4 has it, with the payload of the workload.
pub(crate) const RECORD_BYTES: usize = (16 + super::EVENT_TYPE.len() + PAYLOAD_BYTES).next_multiple_of(8);
/// Bytes of a frame with one section, without its events: header, section entry, id block.
pub(crate) const FRAME_BYTES: usize = 72 + SECTION_BYTES;
/// Bytes of a section without its events.
pub(crate) const SECTION_BYTES: usize = 24 + ID_BYTES;
/// Bytes of the id block of a stream of the workload.
pub(crate) const ID_BYTES: usize = 16;

/// A file that is appended to with one write and one sync per commit.
pub(crate) struct RawFile {
    file: File,
    len: u64,
    /// Offset of `pages[0]`, and the pages from there on: what stands in the first one already, then what is new.
    page_at: u64,
    pages: Vec<u8>,
}

impl RawFile {
    /// Makes the file, writes zeros to all of it, syncs them, and lets go of the pages: a log that grows needs new ones, too.
    pub(crate) fn new(path: &Path, len: usize) -> Outcome<RawFile> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        let len = len.next_multiple_of(ZEROS) as u64;
        let zeros = vec![0; ZEROS];
        for at in (0..len).step_by(ZEROS) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
        let raw = RawFile { file, len, page_at: 0, pages: Vec::new() };
        raw.drop_cache()?;
        Ok(raw)
    }

    fn drop_cache(&self) -> Outcome<()> {
        Ok(rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed)?)
    }

    /// Adds bytes to the next commit.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.pages.extend_from_slice(bytes);
    }

    /// Adds one event.
    pub(crate) fn add_record(&mut self, work: &Workload, n: usize) {
        let head = [n as u8; RECORD_BYTES - PAYLOAD_BYTES];
        self.add(&head);
        self.add(work.payload(n));
    }

    /// Adds what an append needs beside its events.
    pub(crate) fn add_overhead(&mut self, bytes: usize) {
        let len = self.pages.len() + bytes;
        self.pages.resize(len, 1);
    }

    /// One write of whole pages, one sync. At the end of the file it begins anew, in pages that were written before.
    pub(crate) fn commit(&mut self) -> Outcome<()> {
        let end = self.pages.len();
        self.pages.resize(end.next_multiple_of(PAGE), 0);
        if self.page_at + self.pages.len() as u64 > self.len {
            self.page_at = 0;
            self.drop_cache()?;
        }
        self.file.write_all_at(&self.pages, self.page_at)?;
        self.file.sync_data()?;
        let full = end & !(PAGE - 1);
        self.page_at += full as u64;
        self.pages.copy_within(full..end, 0);
        self.pages.truncate(end - full);
        Ok(())
    }

    /// One append of so many events to one stream.
    pub(crate) fn append(&mut self, work: &Workload, first: usize, events: usize) -> Outcome<()> {
        self.add_overhead(FRAME_BYTES);
        for n in first..first + events {
            self.add_record(work, n);
        }
        self.commit()
    }

    /// `appends` appends of one event each, in one commit.
    pub(crate) fn append_shared(&mut self, work: &Workload, first: usize, appends: usize) -> Outcome<()> {
        for n in first..first + appends {
            self.add_overhead(FRAME_BYTES);
            self.add_record(work, n);
        }
        self.commit()
    }

    /// One append of the ingest workload.
    pub(crate) fn ingest(&mut self, work: &Workload, n: usize) -> Outcome<()> {
        self.add_overhead(72);
        for section in 0..super::INGEST_STREAMS {
            self.add_overhead(SECTION_BYTES);
            for i in 0..super::INGEST_EVENTS {
                self.add_record(work, n * super::INGEST_BATCH + section * super::INGEST_EVENTS + i);
            }
        }
        self.commit()
    }
}

/// Stream ids and versions in a hash table and nothing else.
pub(crate) struct BareTable(HashMap<String, u64, foldhash::fast::FixedState>);

impl BareTable {
    pub(crate) fn new(work: &Workload) -> BareTable {
        let versions = work.ids.iter().enumerate().map(|(n, id)| (id.clone(), n as u64 + 1));
        BareTable(versions.collect())
    }

    #[inline]
    pub(crate) fn version(&self, id: &str) -> u64 {
        self.0.get(id).copied().unwrap_or(0)
    }
}
