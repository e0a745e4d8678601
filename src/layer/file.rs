//! The bytes of an index file, each piece checked as it is read.
//!
//! Owns the choice between mapped and copied bytes, and the bounds: nothing that stands in the file can lead outside of it.

use crate::error::{Fault, IoFault};
use crate::format::PAGE_BYTES;
use crate::format::bytes::{at_most, expect};
use crate::format::cell::{self, BUCKET_BYTES, CELL_BYTES, Entry};
use crate::format::layer::{LayerHeader, Part};
use crate::format::row::{ROW_BYTES_MAX, ROW_HEAD_BYTES, row_len};
use crate::layer::Damage;
use crate::segment::name::index_name;
use crate::storage::{File, Mapping, Storage};
use crate::types::ReadMode;
use std::io;
use std::sync::Arc;

#[derive(Debug)]
enum Source {
    Mapped(Mapping),
    Read(Arc<dyn File>),
}

/// An open index file.
#[derive(Debug)]
pub(crate) struct LayerFile {
    pub(crate) header: LayerHeader,
    /// The checksum of its head, by which a checkpoint knows it.
    pub(crate) sum: u64,
    source: Source,
}

impl LayerFile {
    /// Opens the file with this number, if it is there whole. Its parts are looked at when somebody asks for them.
    pub(crate) fn open(storage: &dyn Storage, number: u64, mode: ReadMode) -> Result<LayerFile, Damage> {
        let name = index_name(number);
        let fault =
            |operation, error: &io::Error| Damage::io(number, 0, IoFault::new(operation, &name, error));
        let file = storage.open(&name, false).map_err(|error| fault("open", &error))?;
        let mut page = [0; PAGE_BYTES];
        file.read_at(0, &mut page).map_err(|error| fault("read", &error))?;
        let wrong = |fault| Damage::new(number, 0, fault);
        let (header, sum) = LayerHeader::decode(&page).map_err(wrong)?;
        expect("number of an index file", number, header.number).map_err(wrong)?;
        let len = file.len().map_err(|error| fault("read", &error))?;
        at_most("end of the parts of an index file", len, header.end()).map_err(wrong)?;
        let mapping = match mode {
            ReadMode::Map => file.map(len).map_err(|error| fault("map", &error))?,
            ReadMode::Pread => None,
        };
        let source = mapping.map_or(Source::Read(file), Source::Mapped);
        Ok(LayerFile { header, sum, source })
    }

    pub(crate) fn damage(&self, offset: u64, fault: Fault) -> Damage {
        Damage::new(self.header.number, offset, fault)
    }

    /// Shows the bytes of a range that lies inside the file.
    #[inline]
    fn read<T>(
        &self,
        offset: u64,
        len: usize,
        look: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<T, Damage> {
        let looked = match &self.source {
            Source::Mapped(mapping) => {
                let bytes = mapping.slice(offset..offset + len as u64);
                bytes
                    .ok_or(Fault::Length { what: "end of the bytes to read", found: offset, max: 0 })
                    .and_then(look)
            }
            Source::Read(file) => {
                let mut bytes = vec![0; len];
                file.read_at(offset, &mut bytes).map_err(|error| {
                    let name = index_name(self.header.number);
                    Damage::io(self.header.number, offset, IoFault::new("read", &name, &error))
                })?;
                look(&bytes)
            }
        };
        looked.map_err(|fault| self.damage(offset, fault))
    }

    /// Where a piece of a part stands in the file, if the part has it.
    #[inline]
    fn place(&self, part: Part, offset: u64, len: usize) -> Result<u64, Damage> {
        let place = self.header.part(part);
        let end = offset.saturating_add(len as u64);
        at_most("end of a piece of an index file", place.len, end)
            .map_err(|fault| self.damage(place.offset, fault))?;
        Ok(place.offset + offset)
    }

    /// Shows the content of a cell of a part.
    #[inline]
    fn cell<T>(
        &self,
        part: Part,
        cell: u64,
        what: &'static str,
        look: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Damage> {
        let at = self.place(part, cell.saturating_mul(CELL_BYTES as u64), CELL_BYTES)?;
        self.read(at, CELL_BYTES, |raw| cell::content(what, raw, self.header.salt, at).map(look))
    }

    /// How many entries the cells of a part hold.
    pub(crate) fn count(&self, part: Part) -> u64 {
        self.header.part(part).count
    }

    /// An entry of a part's cells.
    pub(crate) fn entry<E: Entry>(&self, part: Part, at: u64) -> Result<E, Damage> {
        let in_cell = (at % E::IN_CELL) as usize * E::BYTES;
        self.cell(part, at / E::IN_CELL, E::WHAT, |content| E::get(&content[in_cell..]))
    }

    /// Entries of a part's cells, one after the other.
    pub(crate) fn entries<E: Entry>(
        &self,
        part: Part,
        mut at: u64,
        count: u64,
        mut each: impl FnMut(E),
    ) -> Result<(), Damage> {
        let end = at.saturating_add(count).min(self.count(part));
        while at < end {
            let here = E::IN_CELL - at % E::IN_CELL;
            let here = here.min(end - at);
            let from = (at % E::IN_CELL) as usize * E::BYTES;
            self.cell(part, at / E::IN_CELL, E::WHAT, |content| {
                let bytes = &content[from..from + here as usize * E::BYTES];
                bytes.chunks_exact(E::BYTES).for_each(|raw| each(E::get(raw)));
            })?;
            at += here;
        }
        Ok(())
    }

    /// Shows the slots of a bucket; whether it is full.
    #[inline]
    pub(crate) fn bucket<T>(
        &self,
        part: Part,
        bucket: u64,
        look: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Damage> {
        let at = self.place(part, bucket.saturating_mul(BUCKET_BYTES as u64), BUCKET_BYTES)?;
        self.read(at, BUCKET_BYTES, |raw| cell::content("bucket", raw, self.header.salt, at).map(look))
    }

    /// Shows the bytes of a row of a part, for `look` to decode: with the salt and the offset that its checksum is mixed with.
    #[inline]
    pub(crate) fn row<T>(
        &self,
        part: Part,
        offset: u64,
        look: impl FnOnce(&[u8], u64, u64) -> Result<T, Fault>,
    ) -> Result<T, Damage> {
        let at = self.place(part, offset, ROW_HEAD_BYTES)?;
        // Its length is not known before it is read, but never more than this.
        let rest = self.header.part(part).len - offset;
        let most = rest.min(ROW_BYTES_MAX as u64) as usize;
        self.read(at, most, |raw| {
            let len = row_len(raw)?;
            at_most("end of a row", most as u64, len as u64)?;
            look(&raw[..len], self.header.salt, at)
        })
    }

    /// Tells the processor that these buckets will be looked at soon.
    #[inline]
    pub(crate) fn prefetch_bucket(&self, part: Part, bucket: u64) {
        if let Source::Mapped(mapping) = &self.source {
            mapping.prefetch(self.header.part(part).offset + bucket * BUCKET_BYTES as u64);
        }
    }
}
