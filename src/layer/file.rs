//! The bytes of an index file, each piece checked as it is read.
//!
//! Owns the choice between mapped and copied bytes, and the bounds: nothing that stands in the file can lead outside of it.

use crate::error::{Fault, IoFault};
use crate::format::PAGE_BYTES;
use crate::format::bytes::{at_most, expect};
use crate::format::cell::{self, BUCKET_BYTES, CELL_BYTES, Entry};
use crate::format::layer::{LayerHeader, Part};
use crate::format::row::{self, ROW_BYTES_MAX, ROW_HEAD_BYTES, Row};
use crate::layer::Damage;
use crate::segment::name::index_name;
use crate::storage::{Access, File, Mapping, Storage};
use crate::types::{NUMBER_MAX, ReadMode};
use std::io;
use std::ops::Deref;
use std::sync::Arc;

/// A row with a name of usual length takes so many bytes at most.
const ROW_BYTES: u64 = 192;

#[derive(Debug)]
enum Source {
    Mapped(Mapping),
    Read(Arc<dyn File>),
}

/// Bytes of an index file.
pub(crate) enum Piece<'a> {
    Mapped(&'a [u8]),
    Copied(Vec<u8>),
}

impl Piece<'_> {
    #[inline]
    fn truncate(&mut self, len: usize) {
        match self {
            Piece::Mapped(bytes) => *bytes = &bytes[..len],
            Piece::Copied(bytes) => bytes.truncate(len),
        }
    }
}

impl Deref for Piece<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Piece::Mapped(bytes) => bytes,
            Piece::Copied(bytes) => bytes,
        }
    }
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
            ReadMode::Map => file.map(len, Access::Onward).map_err(|error| fault("map", &error))?,
            ReadMode::Pread => None,
        };
        let source = mapping.map_or(Source::Read(file), Source::Mapped);
        Ok(LayerFile { header, sum, source })
    }

    pub(crate) fn is_mapped(&self) -> bool {
        matches!(self.source, Source::Mapped(_))
    }

    pub(crate) fn damage(&self, offset: u64, fault: Fault) -> Damage {
        Damage::new(self.header.number, offset, fault)
    }

    /// The same, at an offset of a part.
    #[cold]
    pub(crate) fn damage_in(&self, part: Part, offset: u64, fault: Fault) -> Damage {
        self.damage(self.header.part(part).offset + offset, fault)
    }

    /// The bytes of a range that lies inside the file.
    #[inline]
    fn piece(&self, offset: u64, len: usize) -> Result<Piece<'_>, Damage> {
        match &self.source {
            Source::Mapped(mapping) => match mapping.slice(offset..offset + len as u64) {
                Some(bytes) => Ok(Piece::Mapped(bytes)),
                None => Err(self.outside(offset, len, self.header.end())),
            },
            Source::Read(file) => self.copy(&**file, offset, len).map(Piece::Copied),
        }
    }

    /// Something was to be read that does not end before `end`.
    #[cold]
    fn outside(&self, offset: u64, len: usize, end: u64) -> Damage {
        let found = offset.saturating_add(len as u64);
        self.damage(offset, Fault::Length { what: "end of a piece of an index file", found, max: end })
    }

    /// A row speaks of an entry that the part does not have.
    #[cold]
    pub(crate) fn lacks(&self, part: Part, at: u64) -> Damage {
        let (found, max) = (at.saturating_add(1), self.count(part));
        self.damage_in(part, 0, Fault::Length { what: "entries of a part of an index file", found, max })
    }

    fn copy(&self, file: &dyn File, offset: u64, len: usize) -> Result<Vec<u8>, Damage> {
        let mut bytes = vec![0; len];
        file.read_at(offset, &mut bytes).map_err(|error| {
            let number = self.header.number;
            Damage::io(number, offset, IoFault::new("read", &index_name(number), &error))
        })?;
        Ok(bytes)
    }

    /// Where a piece of a part stands in the file, if the part has it.
    #[inline]
    fn place(&self, part: Part, offset: u64, len: usize) -> Result<u64, Damage> {
        let place = self.header.part(part);
        if offset.saturating_add(len as u64) > place.len {
            return Err(self.outside(place.offset.saturating_add(offset), len, place.offset + place.len));
        }
        Ok(place.offset + offset)
    }

    /// The entries of the cell with this number.
    #[inline]
    fn cell<E: Entry>(&self, part: Part, cell: u64) -> Result<Piece<'_>, Damage> {
        let at = self.place(part, cell.saturating_mul(CELL_BYTES as u64), CELL_BYTES)?;
        let piece = self.piece(at, CELL_BYTES)?;
        match cell::content(E::WHAT, &piece, self.header.salt, at) {
            Ok(_) => Ok(piece),
            Err(fault) => Err(self.damage(at, fault)),
        }
    }

    /// How many entries the cells of a part hold.
    pub(crate) fn count(&self, part: Part) -> u64 {
        self.header.part(part).count
    }

    /// An entry of a part's cells.
    pub(crate) fn entry<E: Entry>(&self, part: Part, at: u64) -> Result<E, Damage> {
        if at >= self.count(part) {
            return Err(self.lacks(part, at));
        }
        let in_cell = (at % E::IN_CELL) as usize * E::BYTES;
        let entry = self.cell::<E>(part, at / E::IN_CELL).map(|content| E::get(&content[in_cell..]))?;
        self.bounded::<E>(part, at, entry.reckoned())?;
        Ok(entry)
    }

    /// Whether the numbers of entries, their bits together, are such as a log has.
    #[inline]
    fn bounded<E: Entry>(&self, part: Part, at: u64, reckoned: u64) -> Result<(), Damage> {
        let offset = at / E::IN_CELL * CELL_BYTES as u64;
        at_most(E::WHAT, NUMBER_MAX, reckoned).map_err(|fault| self.damage_in(part, offset, fault))
    }

    /// Entries of a part's cells, one after the other: all of them, or damage.
    pub(crate) fn entries<E: Entry>(
        &self,
        part: Part,
        at: u64,
        count: u64,
        mut each: impl FnMut(E),
    ) -> Result<(), Damage> {
        let end = at.saturating_add(count);
        if end > self.count(part) {
            return Err(self.lacks(part, end - 1));
        }
        let mut reckoned = 0;
        self.raw_entries::<E>(part, at, count, |raw| {
            for raw in raw.chunks_exact(E::BYTES) {
                let entry = E::get(raw);
                reckoned |= entry.reckoned();
                each(entry);
            }
        })?;
        self.bounded::<E>(part, at, reckoned)
    }

    /// The same as they stand there, a cell's at a time, and only those that there are.
    pub(crate) fn raw_entries<E: Entry>(
        &self,
        part: Part,
        mut at: u64,
        count: u64,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Damage> {
        let end = at.saturating_add(count).min(self.count(part));
        while at < end {
            let here = E::IN_CELL - at % E::IN_CELL;
            let here = here.min(end - at);
            let from = (at % E::IN_CELL) as usize * E::BYTES;
            let content = self.cell::<E>(part, at / E::IN_CELL)?;
            each(&content[from..from + here as usize * E::BYTES]);
            at += here;
        }
        Ok(())
    }

    /// The bytes of a bucket, whose checksum may be wrong.
    #[inline]
    pub(crate) fn bucket(&self, part: Part, bucket: u64) -> Result<Piece<'_>, Damage> {
        let at = self.place(part, bucket.saturating_mul(BUCKET_BYTES as u64), BUCKET_BYTES)?;
        self.piece(at, BUCKET_BYTES)
    }

    /// Whether the checksum of these bytes, which are those of a bucket, is right.
    #[inline]
    pub(crate) fn prove_bucket(&self, part: Part, bucket: u64, raw: &[u8]) -> Result<(), Damage> {
        let at = self.header.part(part).offset + bucket * BUCKET_BYTES as u64;
        match cell::content("bucket", raw, self.header.salt, at) {
            Ok(_) => Ok(()),
            Err(fault) => Err(self.damage(at, fault)),
        }
    }

    /// The bytes of a row of a part, whose checksum is right.
    #[inline]
    pub(crate) fn row(&self, part: Part, offset: u64) -> Result<Piece<'_>, Damage> {
        let at = self.place(part, offset, ROW_HEAD_BYTES)?;
        // Its length is not known before it is read, but never more than this.
        let rest = self.header.part(part).len - offset;
        let mut piece = self.piece(at, rest.min(ROW_BYTES_MAX as u64) as usize)?;
        match row::sound(&piece, self.header.salt, at) {
            Ok(len) => piece.truncate(len),
            Err(fault) => return Err(self.damage(at, fault)),
        }
        Ok(piece)
    }

    /// The row of these bytes, which stand at an offset of a part.
    pub(crate) fn decoded<'r, R: Row<'r>>(
        &self,
        part: Part,
        offset: u64,
        raw: &'r [u8],
    ) -> Result<R, Damage> {
        row::decode(raw).map_err(|fault| self.damage_in(part, offset, fault))
    }

    /// Tells the processor that all of this row will be looked at, not only where its length stands.
    #[inline]
    pub(crate) fn prefetch_row(&self, part: Part, offset: u64) {
        if let Source::Mapped(mapping) = &self.source {
            let at = self.header.part(part).offset.saturating_add(offset);
            mapping.prefetch(at..at.saturating_add(ROW_BYTES));
        }
    }

    /// Tells the processor that the cells of these entries will be looked at soon.
    pub(crate) fn prefetch_cells<E: Entry>(&self, part: Part, at: u64, count: u64) {
        if let Source::Mapped(mapping) = &self.source {
            let (cell, end) = (at / E::IN_CELL, at.saturating_add(count).div_ceil(E::IN_CELL));
            let offset = self.header.part(part).offset.saturating_add(cell.saturating_mul(CELL_BYTES as u64));
            mapping.prefetch(offset..offset.saturating_add(end.saturating_sub(cell) * CELL_BYTES as u64));
        }
    }

    /// Tells the processor that these buckets will be looked at soon.
    #[inline]
    pub(crate) fn prefetch_bucket(&self, part: Part, bucket: u64) {
        if let Source::Mapped(mapping) = &self.source {
            let at = self.header.part(part).offset + bucket * BUCKET_BYTES as u64;
            mapping.prefetch(at..at + BUCKET_BYTES as u64);
        }
    }
}
