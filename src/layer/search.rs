//! Looking things up in an index file: by hash, and by order.
//!
//! Owns the walk over buckets and the search by halves, for whatever stands in rows or cells.

use crate::error::Fault;
use crate::format::cell::{BUCKET_BYTES, Entry, Hits, bucket_of};
use crate::format::layer::Part;
use crate::layer::Damage;
use crate::layer::file::LayerFile;

impl LayerFile {
    /// Looks for a row by the hash of its name. `is_it` is shown sound rows whose hash may be this one; it says what was asked
    /// for, or that it is another one.
    #[inline]
    pub(crate) fn find<T>(
        &self,
        buckets: Part,
        rows: Part,
        hash: u64,
        is_it: impl Fn(&[u8]) -> Result<Option<T>, Fault>,
    ) -> Result<Option<T>, Damage> {
        let place = self.header.part(buckets);
        // What the count leaves out of the part's length is for buckets that run over.
        let all = place.len / BUCKET_BYTES as u64;
        let mut bucket = bucket_of(hash, place.count);
        while bucket < all {
            let raw = self.bucket(buckets, bucket)?;
            let mut hits = Hits::of(&raw, hash);
            for offset in &mut hits {
                self.prefetch_row(rows, offset);
                // A row that is found proves itself, whatever led to it.
                let row = self.row(rows, offset)?;
                match is_it(&row) {
                    Ok(None) => {}
                    Ok(found) => return Ok(found),
                    Err(fault) => return Err(self.damage_in(rows, offset, fault)),
                }
            }
            let is_full = hits.is_full;
            // That it is not here, the bucket has to prove.
            self.prove_bucket(buckets, bucket, &raw)?;
            if !is_full {
                break;
            }
            bucket += 1;
        }
        Ok(None)
    }

    /// Tells the processor of the rows that `find` will look at first, if they are in its memory.
    #[inline]
    pub(crate) fn prefetch_found(&self, buckets: Part, rows: Part, hash: u64) {
        if !self.is_mapped() {
            return;
        }
        let bucket = bucket_of(hash, self.header.part(buckets).count);
        if let Ok(raw) = self.bucket(buckets, bucket) {
            Hits::of(&raw, hash).for_each(|offset| self.prefetch_row(rows, offset));
        }
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
