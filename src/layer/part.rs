//! Parts of an index file on their way to the disk.
//!
//! Owns the buffers and the places. What a part holds is handed over piece by piece, in its order.

use crate::error::IoFault;
use crate::format::PAGE_BYTES;
use crate::format::cell::{CELL_BYTES, Entry, seal};
use crate::format::layer::PartPlace;
use crate::layer::{MakeError, Meanwhile};
use crate::storage::{File, write_all_at};
use std::marker::PhantomData;
use std::sync::Arc;

/// How much of a part waits in memory before it is written.
const BLOCK_BYTES: u64 = 256 << 10;
/// The same of a large file. A page cache that can holds what was written at once, at a multiple of this size, in one page of
/// that size, and maps it so: to look something up in the file costs a step less of the page table.
const LARGE_BLOCK_BYTES: u64 = 2 << 20;
/// From this size on a file is a large one: below it, the memory for its blocks costs more than they spare.
const LARGE_BYTES: u64 = 32 << 20;

/// The file being made.
#[derive(Clone)]
pub(crate) struct Draft<'m> {
    pub(crate) file: Arc<dyn File>,
    /// What it is called until it is whole.
    pub(crate) name: &'static str,
    pub(crate) salt: u64,
    pub(crate) block_bytes: u64,
    pub(crate) meanwhile: Meanwhile<'m>,
}

impl Draft<'_> {
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), MakeError> {
        (self.meanwhile)()?;
        let fault = |error| MakeError::Io(IoFault::new("write", self.name, &error));
        write_all_at(&*self.file, offset, bytes).map_err(fault)?;
        // Commits meanwhile need not wait for a whole file.
        self.file.begin_writing(offset, bytes.len() as u64);
        Ok(())
    }

    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), MakeError> {
        (self.meanwhile)()?;
        let fault = |error| MakeError::Io(IoFault::new("read", self.name, &error));
        self.file.read_at(offset, buffer).map_err(fault)
    }
}

/// Where parts stand: each behind the most that the one before may become.
#[derive(Debug)]
pub(crate) struct Plan {
    next: u64,
}

impl Plan {
    pub(crate) fn new() -> Plan {
        Plan { next: PAGE_BYTES as u64 }
    }

    /// Room for a part of at most so many bytes.
    pub(crate) fn place(&mut self, len_max: u64) -> u64 {
        let at = self.next;
        self.next = (at + len_max).next_multiple_of(PAGE_BYTES as u64);
        at
    }

    /// In blocks of which size a file with these parts is written, each at a multiple of it.
    pub(crate) fn block_bytes(&self) -> u64 {
        if self.next < LARGE_BYTES { BLOCK_BYTES } else { LARGE_BLOCK_BYTES }
    }
}

/// A part whose pieces are of different lengths.
#[derive(Debug)]
pub(crate) struct Rows {
    place: PartPlace,
    buffer: Vec<u8>,
}

impl Rows {
    pub(crate) fn new(offset: u64) -> Rows {
        Rows { place: PartPlace { offset, len: 0, count: 0 }, buffer: Vec::new() }
    }

    /// Offset of the next row in the part.
    pub(crate) fn next(&self) -> u64 {
        self.place.len
    }

    /// Offset of the next row in the file.
    pub(crate) fn next_in_file(&self) -> u64 {
        self.place.offset + self.place.len
    }

    pub(crate) fn add(
        &mut self,
        draft: &Draft<'_>,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), MakeError> {
        let before = self.buffer.len();
        encode(&mut self.buffer);
        self.place.len += (self.buffer.len() - before) as u64;
        self.place.count += 1;
        let in_last_block = (self.next_in_file() % draft.block_bytes) as usize;
        if self.buffer.len() > in_last_block { self.flush(draft, in_last_block) } else { Ok(()) }
    }

    /// Writes all but the last `kept` bytes of what waits.
    fn flush(&mut self, draft: &Draft<'_>, kept: usize) -> Result<(), MakeError> {
        let at = self.next_in_file() - self.buffer.len() as u64;
        let len = self.buffer.len() - kept;
        draft.write(at, &self.buffer[..len])?;
        self.buffer.drain(..len);
        Ok(())
    }

    pub(crate) fn finish(mut self, draft: &Draft<'_>) -> Result<PartPlace, MakeError> {
        self.flush(draft, 0)?;
        Ok(self.place)
    }
}

/// A part of cells.
#[derive(Debug)]
pub(crate) struct Cells<E> {
    rows: Rows,
    cell: [u8; CELL_BYTES],
    entries: u64,
    entry: PhantomData<E>,
}

impl<E: Entry> Cells<E> {
    pub(crate) fn new(plan: &mut Plan, entries_max: u64) -> Cells<E> {
        let offset = plan.place(entries_max.div_ceil(E::IN_CELL) * CELL_BYTES as u64);
        Cells { rows: Rows::new(offset), cell: [0; CELL_BYTES], entries: 0, entry: PhantomData }
    }

    /// How many entries there are so far.
    pub(crate) fn count(&self) -> u64 {
        self.entries
    }

    pub(crate) fn add(&mut self, draft: &Draft<'_>, entry: E) -> Result<(), MakeError> {
        entry.put(&mut self.cell[(self.entries % E::IN_CELL) as usize * E::BYTES..]);
        self.entries += 1;
        if self.entries.is_multiple_of(E::IN_CELL) { self.end_cell(draft) } else { Ok(()) }
    }

    /// The same for entries as they stand in cells.
    pub(crate) fn copy(&mut self, draft: &Draft<'_>, mut raw: &[u8]) -> Result<(), MakeError> {
        while !raw.is_empty() {
            let at = (self.entries % E::IN_CELL) as usize * E::BYTES;
            let room = E::IN_CELL as usize * E::BYTES - at;
            let (fits, rest) = raw.split_at(raw.len().min(room));
            self.cell[at..at + fits.len()].copy_from_slice(fits);
            self.entries += (fits.len() / E::BYTES) as u64;
            if self.entries.is_multiple_of(E::IN_CELL) {
                self.end_cell(draft)?;
            }
            raw = rest;
        }
        Ok(())
    }

    fn end_cell(&mut self, draft: &Draft<'_>) -> Result<(), MakeError> {
        seal(&mut self.cell, draft.salt, self.rows.next_in_file());
        let cell = std::mem::replace(&mut self.cell, [0; CELL_BYTES]);
        self.rows.add(draft, |out| out.extend_from_slice(&cell))
    }

    pub(crate) fn finish(mut self, draft: &Draft<'_>) -> Result<PartPlace, MakeError> {
        if !self.entries.is_multiple_of(E::IN_CELL) {
            self.end_cell(draft)?;
        }
        Ok(PartPlace { count: self.entries, ..self.rows.finish(draft)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Memory, Storage};

    #[test]
    fn a_part_is_written_in_whole_blocks_but_for_its_ends() {
        let file = Memory::new().create("x").unwrap();
        let draft =
            Draft { file: file.clone(), name: "x", salt: 0, block_bytes: 1 << 10, meanwhile: &|| Ok(()) };
        let mut rows = Rows::new(3000);
        for row in 0..100u8 {
            rows.add(&draft, |out| out.resize(out.len() + 7 * usize::from(row), row)).unwrap();
            // What waits is the block that has begun, or all there is.
            let from = rows.next_in_file() - rows.buffer.len() as u64;
            assert!(
                from == 3000 || from.is_multiple_of(1024) && rows.buffer.len() < 1024,
                "row {row} waits from {from}"
            );
        }
        let place = rows.finish(&draft).unwrap();
        let mut written = vec![0; place.len as usize];
        file.read_at(place.offset, &mut written).unwrap();
        assert!(written.iter().copied().eq((0..100u8).flat_map(|row| [row].repeat(7 * usize::from(row)))));
        assert_eq!(place.count, 100);
    }

    #[test]
    fn only_large_files_have_large_blocks() {
        let mut plan = Plan::new();
        plan.place(LARGE_BYTES - 2 * PAGE_BYTES as u64);
        assert_eq!(plan.block_bytes(), BLOCK_BYTES);
        plan.place(1);
        assert_eq!(plan.block_bytes(), LARGE_BLOCK_BYTES);
    }
}
