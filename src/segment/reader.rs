//! A segment to read from: its header, its file, and its mappings if it has any.
//!
//! Owns the choice between mapped and copied bytes, and between the two mappings. Must never be asked for bytes that are not yet
//! visible.

use crate::error::{Corruption, Fault, IoFault, ReadError};
use crate::format::segment::SegmentHeader;
use crate::segment::name::segment_name;
use crate::storage::{Access, File, Mapping};
use crate::types::{Location, ReadMode};
use bytes::Bytes;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// A piece of up to so many bytes is brought from the device page by page; a longer one with what stands around it.
const SHORT_BYTES: u64 = 16 << 10;
/// Segments of so many bytes and more are mapped twice.
const MAPPED_TWICE: u64 = 4 << 20;

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    bytes: Source,
    /// The same through another mapping, for short pieces that stand anywhere.
    scattered: Option<Arc<Segment>>,
}

#[derive(Debug)]
enum Source {
    Mapped(Arc<Mapping>),
    Read(Arc<dyn File>),
}

/// The segment that is being written, with its file.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Arc<dyn File>,
}

impl Live {
    pub(crate) fn header(&self) -> &SegmentHeader {
        &self.segment.header
    }
}

impl Segment {
    /// The file must be at least `header.capacity` bytes long. A mapping does without it: however many segments a log has,
    /// only the live one costs descriptors.
    pub(crate) fn new(header: SegmentHeader, file: &Arc<dyn File>, mode: ReadMode) -> io::Result<Segment> {
        let map = |access| match mode {
            ReadMode::Map => file.map(header.capacity, access),
            ReadMode::Pread => Ok(None),
        };
        let mapped = |mapping| Source::Mapped(Arc::new(mapping));
        let Some(onward) = map(Access::Onward)? else {
            return Ok(Segment { header, bytes: Source::Read(file.clone()), scattered: None });
        };
        // A process may have so many mappings only, and around what is small there is little to bring in. Nor does it matter why
        // there is none.
        let scattered =
            if header.capacity >= MAPPED_TWICE { map(Access::Scattered).ok().flatten() } else { None };
        let scattered =
            scattered.map(|mapping| Arc::new(Segment { header, bytes: mapped(mapping), scattered: None }));
        Ok(Segment { header, bytes: mapped(onward), scattered })
    }

    /// The same segment, as a piece of so many bytes is best read that may stand far from what was read before: with a short one
    /// that is not in memory, nothing else is brought from the device. How much the system brings in otherwise is a matter of the
    /// device; it may be some thousand times as much.
    #[inline]
    pub(crate) fn for_piece(self: &Arc<Self>, len: u64) -> &Arc<Segment> {
        self.scattered.as_ref().filter(|_| len <= SHORT_BYTES).unwrap_or(self)
    }

    pub(crate) fn file_name(&self) -> String {
        segment_name(self.header.ordinal)
    }

    pub(crate) fn corrupt(&self, offset: u64, fault: Fault) -> Corruption {
        Corruption { at: Location { segment: self.header.ordinal, offset }, fault }
    }

    /// The bytes of a visible range: a slice of the mapping, or a copy in `scratch`.
    #[inline]
    pub(crate) fn bytes<'a>(
        &'a self,
        range: Range<u64>,
        scratch: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], ReadError> {
        self.check(&range)?;
        match &self.bytes {
            Source::Mapped(mapping) => Ok(mapping.slice(range).unwrap_or_default()),
            Source::Read(file) => {
                scratch.resize((range.end - range.start) as usize, 0);
                self.read(&**file, range.start, scratch)?;
                Ok(scratch)
            }
        }
    }

    /// The bytes of a range that [`Segment::check`] has passed, if the segment is mapped.
    #[inline]
    pub(crate) fn mapped(&self, range: Range<u64>) -> Option<&[u8]> {
        match &self.bytes {
            Source::Mapped(mapping) => mapping.slice(range),
            Source::Read(_) => None,
        }
    }

    pub(crate) fn is_mapped(&self) -> bool {
        matches!(self.bytes, Source::Mapped(_))
    }

    /// The same as shared bytes that outlive the segment handle.
    pub(crate) fn shared(&self, range: Range<u64>) -> Result<Bytes, ReadError> {
        self.check(&range)?;
        match &self.bytes {
            Source::Mapped(mapping) => {
                let held = crate::storage::MappedRange::new(mapping.clone(), range);
                Ok(held.map(Bytes::from_owner).unwrap_or_default())
            }
            Source::Read(file) => {
                let mut copy = vec![0; (range.end - range.start) as usize];
                self.read(&**file, range.start, &mut copy)?;
                Ok(Bytes::from(copy))
            }
        }
    }

    /// Hints that these bytes will be read soon.
    #[inline]
    pub(crate) fn prefetch(&self, range: Range<u64>) {
        if let Source::Mapped(mapping) = &self.bytes {
            mapping.prefetch(range);
        }
    }

    /// See [`Mapping::bring_in`](crate::storage::Mapping::bring_in). Not for who reads on, whom the system runs ahead of anyway.
    pub(crate) fn bring_in(&self, range: Range<u64>) {
        if let Source::Mapped(mapping) = &self.bytes {
            mapping.bring_in(range);
        }
    }

    /// Whether a range lies inside the segment.
    pub(crate) fn check(&self, range: &Range<u64>) -> Result<(), ReadError> {
        if range.start <= range.end && range.end <= self.header.capacity {
            return Ok(());
        }
        let fault =
            Fault::Length { what: "end of the bytes to read", found: range.end, max: self.header.capacity };
        Err(self.corrupt(range.start, fault).into())
    }

    fn read(&self, file: &dyn File, offset: u64, buffer: &mut [u8]) -> Result<(), IoFault> {
        file.read_at(offset, buffer).map_err(|error| IoFault::new("read", &self.file_name(), &error))
    }
}
