//! The buckets over the rows of an index file, made when the rows are written.
//!
//! Owns the distribution. Rows come in the order of their names, and so in no order of their hashes: what does not fit into
//! memory at once is done in several passes over the rows.

use crate::error::IoFault;
use crate::format::bytes::{u32_at, u64_at};
use crate::format::cell::{BUCKET_BYTES, BUCKET_SLOTS, Slot, bucket_of, seal};
use crate::format::layer::PartPlace;
use crate::format::row::{ROW_BYTES_MAX, ROW_HEAD_BYTES, sound};
use crate::layer::MakeError;
use crate::layer::part::{Draft, Plan, Rows};
use std::io;

/// How many rows a bucket is made for: little enough that few run over.
const ROWS_PER_BUCKET: u64 = 4;
/// How many buckets are filled in one pass: 64 MiB of them.
const BUCKETS_AT_ONCE: u64 = 1 << 20;
/// How much of the rows is read at once.
const READ_BYTES: usize = 1 << 20;

fn buckets_for(rows: u64) -> u64 {
    rows.div_ceil(ROWS_PER_BUCKET)
}

/// Room for the buckets of at most so many rows, whatever their hashes are.
pub(crate) fn place(plan: &mut Plan, rows_max: u64) -> u64 {
    plan.place((buckets_for(rows_max) + rows_max.div_ceil(BUCKET_SLOTS as u64)) * BUCKET_BYTES as u64)
}

/// Writes the buckets of the rows of a part.
pub(crate) fn write(draft: &Draft<'_>, rows: PartPlace, offset: u64) -> Result<PartPlace, MakeError> {
    write_in_passes(draft, rows, offset, BUCKETS_AT_ONCE)
}

fn write_in_passes(
    draft: &Draft<'_>,
    rows: PartPlace,
    offset: u64,
    at_once: u64,
) -> Result<PartPlace, MakeError> {
    let count = buckets_for(rows.count);
    let mut written = 0;
    let mut out = Rows::new(offset);
    let mut over: Vec<Slot> = Vec::new();
    while written < count {
        let range = written..(written + at_once).min(count);
        let mut pass = Pass::new(range.end - range.start);
        over.drain(..).for_each(|slot| pass.add(0, slot));
        each_row(draft, rows, |hash, offset| {
            let bucket = bucket_of(hash, count);
            if range.contains(&bucket) {
                pass.add(bucket - range.start, Slot::new(hash, offset));
            }
        })?;
        pass.write(draft, &mut out)?;
        over = pass.over;
        written = range.end;
    }
    // What runs over the last one stands behind it.
    for slots in over.chunks(BUCKET_SLOTS) {
        let mut pass = Pass::new(1);
        slots.iter().for_each(|slot| pass.add(0, *slot));
        pass.write(draft, &mut out)?;
    }
    Ok(PartPlace { count, ..out.finish(draft)? })
}

/// Buckets that stand one behind the other.
struct Pass {
    buckets: Vec<[Option<Slot>; BUCKET_SLOTS]>,
    over: Vec<Slot>,
}

impl Pass {
    fn new(buckets: u64) -> Pass {
        Pass { buckets: vec![[None; BUCKET_SLOTS]; buckets as usize], over: Vec::new() }
    }

    /// Puts a slot into a bucket, or into the first one behind it that is not full.
    fn add(&mut self, bucket: u64, slot: Slot) {
        let behind = self.buckets.iter_mut().skip(bucket as usize);
        match behind.flatten().find(|place| place.is_none()) {
            Some(place) => *place = Some(slot),
            None => self.over.push(slot),
        }
    }

    fn write(&self, draft: &Draft<'_>, out: &mut Rows) -> Result<(), MakeError> {
        for bucket in &self.buckets {
            let mut raw = [0; BUCKET_BYTES];
            for (slot, place) in bucket.iter().flatten().zip(raw.chunks_exact_mut(8)) {
                slot.put(place);
            }
            seal(&mut raw, draft.salt, out.next_in_file());
            out.add(draft, |out| out.extend_from_slice(&raw))?;
        }
        Ok(())
    }
}

/// Hash and offset in the part of each row. Each must prove itself: a bucket that rests on what was read wrong would hide a row,
/// and vouch for that with a right checksum.
fn each_row(draft: &Draft<'_>, rows: PartPlace, mut each: impl FnMut(u64, u64)) -> Result<(), MakeError> {
    let wrong = || {
        let error = io::Error::new(io::ErrorKind::InvalidData, "a row is not what was written");
        MakeError::Io(IoFault::new("read back", draft.name, &error))
    };
    let mut buffer = Vec::new();
    let mut offset = 0;
    while offset < rows.len {
        buffer.resize((rows.len - offset).min(READ_BYTES as u64) as usize, 0);
        draft.read(rows.offset + offset, &mut buffer)?;
        let mut at = 0;
        while at + ROW_HEAD_BYTES <= buffer.len() {
            let (row, place) = (&buffer[at..], offset + at as u64);
            let is_whole = row.len() >= (u32_at(row, 8) as usize).min(ROW_BYTES_MAX);
            if !is_whole && at > 0 {
                break;
            }
            let len = sound(row, draft.salt, rows.offset + place).map_err(|_| wrong())?;
            each(u64_at(row, 16), place);
            at += len;
        }
        if at == 0 {
            return Err(wrong());
        }
        offset += at as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::cell::{Hits, content};
    use crate::format::row::{TenantRow, encode};
    use crate::storage::{Memory, Storage};

    /// In whatever passes: each row is found from its bucket on, before one that is not full.
    #[test]
    fn every_row_is_found_where_it_is_looked_for() {
        let crowd = |i: u64| if i.is_multiple_of(3) { u64::MAX - i } else { i << 40 };
        for (rows, at_once) in [(0, 8), (1, 8), (1000, 1 << 20), (1000, 16), (1000, 1)] {
            let file = Memory::new().create("x").unwrap();
            let draft = Draft { file, name: "x", salt: 3, block_bytes: 1 << 10, meanwhile: &|| Ok(()) };
            let mut plan = Plan::new();
            let mut part = Rows::new(plan.place(rows * 64));
            for i in 0..rows {
                let row = TenantRow { name: "t", hash: crowd(i), first_binding: i, bindings: 0 };
                let at = part.next_in_file();
                part.add(&draft, |out| encode(&row, 3, at, out)).unwrap();
            }
            let part = part.finish(&draft).unwrap();
            let at = place(&mut plan, rows);
            let buckets = write_in_passes(&draft, part, at, at_once).unwrap();
            let all = buckets.len / BUCKET_BYTES as u64;
            assert_eq!((buckets.count, at + buckets.len <= plan.place(0)), (rows.div_ceil(4), true));
            let bucket = |bucket: u64| {
                let mut raw = [0; BUCKET_BYTES];
                let at = at + bucket * BUCKET_BYTES as u64;
                draft.read(at, &mut raw).unwrap();
                assert!(content("bucket", &raw, 3, at).is_ok());
                raw
            };
            for i in 0..rows {
                let (hash, offset) = (crowd(i), i * part.len / rows);
                let mut way = bucket_of(hash, buckets.count)..all;
                let found = way.find(|number| {
                    let raw = bucket(*number);
                    let mut hits = Hits::of(&raw, hash);
                    let there = hits.any(|found| found == offset);
                    assert!(there || hits.is_full, "row {i} of {rows}, {at_once} at once");
                    there
                });
                assert!(found.is_some());
            }
        }
    }

    /// Nothing is made of rows that are not what was written: not of any byte that is another one, and not where one is missing.
    #[test]
    fn no_bucket_rests_on_a_row_that_is_wrong() {
        let file = Memory::new().create("x").unwrap();
        let draft = Draft { file, name: "x", salt: 3, block_bytes: 1 << 10, meanwhile: &|| Ok(()) };
        let mut plan = Plan::new();
        let mut part = Rows::new(plan.place(64));
        for hash in [7, u64::MAX] {
            let row = TenantRow { name: "t", hash, first_binding: 0, bindings: 0 };
            let at = part.next_in_file();
            part.add(&draft, |out| encode(&row, 3, at, out)).unwrap();
        }
        let part = part.finish(&draft).unwrap();
        let at = place(&mut plan, 2);
        let makes = |part| write(&draft, part, at).is_ok();
        assert!(makes(part) && !makes(PartPlace { len: part.len - 8, ..part }));
        for offset in part.offset..part.offset + part.len {
            let mut byte = [0];
            draft.read(offset, &mut byte).unwrap();
            draft.write(offset, &[byte[0] ^ 0x80]).unwrap();
            assert!(!makes(part), "{offset}");
            draft.write(offset, &byte).unwrap();
        }
    }
}
