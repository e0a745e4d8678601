//! Looking things up in an index file: by hash, and by order.
//!
//! Owns the walk over buckets and the search by halves, for whatever stands in rows or cells.

use crate::error::Fault;
use crate::format::cell::{BUCKET_SLOTS, Entry, Slot, bucket_of};
use crate::format::layer::Part;
use crate::layer::Damage;
use crate::layer::file::LayerFile;

impl LayerFile {
    /// Looks for a row by the hash of its name. `is_it` is shown rows whose hash may be this one: the bytes, and salt and offset
    /// of their checksum; it says what was asked for, or that it is another one.
    #[inline]
    pub(crate) fn find<T>(
        &self,
        buckets: Part,
        rows: Part,
        hash: u64,
        is_it: impl Fn(&[u8], u64, u64) -> Result<Option<T>, Fault>,
    ) -> Result<Option<T>, Damage> {
        let place = self.header.part(buckets);
        // What the count leaves out of the part's length is for buckets that run over.
        let all = place.len / crate::format::cell::BUCKET_BYTES as u64;
        let mut bucket = bucket_of(hash, place.count);
        while bucket < all {
            let mut offsets = [0; BUCKET_SLOTS];
            let (used, matching) = self.bucket(buckets, bucket, |content| {
                let (mut used, mut matching) = (0, 0);
                for slot in Slot::all(content) {
                    used += 1;
                    if let Some(offset) = slot.offset_of(hash) {
                        offsets[matching] = offset;
                        matching += 1;
                    }
                }
                (used, matching)
            })?;
            for offset in &offsets[..matching] {
                if let Some(found) = self.row(rows, *offset, &is_it)? {
                    return Ok(Some(found));
                }
            }
            if used < BUCKET_SLOTS {
                break;
            }
            bucket += 1;
        }
        Ok(None)
    }

    /// The first of the entries `from..to` of a part of which `before` says no; `to` if there is none. It says yes of all those
    /// before that one, and of none behind it.
    pub(crate) fn first_not<E: Entry>(
        &self,
        part: Part,
        from: u64,
        to: u64,
        before: impl Fn(E) -> Result<bool, Damage>,
    ) -> Result<u64, Damage> {
        let (mut low, mut high) = (from, to);
        while low < high {
            let middle = low + (high - low) / 2;
            if before(self.entry(part, middle)?)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}
