//! The spare: the next segment, made ready ahead of need.
//!
//! Owns its birth, its growth and the zeros written into it, up to the moment when it gets its name. From then on it is a
//! live segment, and this file has nothing to do with it any more: taking the spare moves it out of here for good.

use crate::error::IoFault;
use crate::format::segment::SegmentHeader;
use crate::format::{FIRST_FRAME, PAGE_BYTES};
use crate::segment::name::{SPARE, segment_name};
use crate::storage::{File, Storage, write_all_at};
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use uuid::Uuid;

/// Capacity of a log's first segment, in bytes. Each next one is twice as large, up to the option.
pub(crate) const FIRST_CAPACITY: u64 = 64 * 1024;
/// A spare of up to this many bytes is zeroed when it is made.
const ZERO_AT_ONCE: u64 = 256 * 1024;
/// How much is zeroed in one step at least and at most; powers of two.
pub(crate) const ZERO_STEPS: RangeInclusive<u64> = 256 * 1024..=1 << 20;

#[derive(Debug)]
pub(crate) struct Spare {
    file: Arc<dyn File>,
    pub(crate) salt: u64,
    pub(crate) capacity: u64,
    /// Bytes from the start of the file that hold written zeros.
    zeroed: u64,
    /// A sync of it has failed: a later one that succeeds would say nothing.
    spoiled: Option<IoFault>,
}

/// Size of the segment after one of `capacity` bytes, if a frame of `frame` bytes must fit.
pub(crate) fn next_capacity(capacity: u64, segment_bytes: u64, frame: u64) -> u64 {
    let needed = FIRST_FRAME + frame + PAGE_BYTES as u64;
    capacity.saturating_mul(2).min(segment_bytes).max(needed).next_multiple_of(PAGE_BYTES as u64)
}

impl Spare {
    /// Makes a spare with its space reserved. A spare that somebody left behind goes first.
    pub(crate) fn make(storage: &dyn Storage, capacity: u64) -> Result<Spare, IoFault> {
        let fault = |operation| move |error: io::Error| IoFault::new(operation, SPARE, &error);
        match storage.remove(SPARE) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault("remove")(error)),
            _ => {}
        }
        let file = storage.create(SPARE).map_err(fault("create"))?;
        if let Err(error) = file.allocate(capacity) {
            // What was reserved in part is given back, or a full disk would stay full because of us.
            let _ = storage.remove(SPARE);
            return Err(fault("allocate")(error));
        }
        let mut spare = Spare { file, salt: random_salt(), capacity, zeroed: 0, spoiled: None };
        // Where zeros cannot be written, that costs speed. What the device did not take, the next sync tells.
        if capacity <= ZERO_AT_ONCE
            && let Err(fault) = spare.zero_step(capacity, ZERO_AT_ONCE)
            && spare.spoiled.is_some()
        {
            return Err(fault);
        }
        Ok(spare)
    }

    /// Makes it large enough for a frame that did not fit.
    pub(crate) fn grow(&mut self, capacity: u64) -> Result<(), IoFault> {
        if capacity > self.capacity {
            self.file.allocate(capacity).map_err(|error| IoFault::new("allocate", SPARE, &error))?;
            self.capacity = capacity;
        }
        Ok(())
    }

    /// Unless it is zeroed up to `target`, zeros up to the next multiple of `step`; says whether there is more to do. The last
    /// step syncs.
    pub(crate) fn zero_step(&mut self, target: u64, step: u64) -> Result<bool, IoFault> {
        let target = target.min(self.capacity);
        if self.zeroed >= target {
            return Ok(false);
        }
        let len = (self.capacity - self.zeroed).min(step - self.zeroed % step);
        self.file
            .write_zeros(self.zeroed, len)
            .map_err(|error| IoFault::new("write zeros to", SPARE, &error))?;
        self.zeroed += len;
        if self.is_zeroed() {
            // Settles the file's metadata now, not in the first commit.
            if let Err(error) = self.file.sync() {
                let fault = IoFault::new("sync", SPARE, &error);
                self.spoiled = Some(fault.clone());
                return Err(fault);
            }
        }
        Ok(self.zeroed < target)
    }

    /// Why it must not become a segment.
    pub(crate) fn fault(&self) -> Option<&IoFault> {
        self.spoiled.as_ref()
    }

    pub(crate) fn is_zeroed(&self) -> bool {
        self.zeroed >= self.capacity
    }

    /// Makes it a segment: header, sync, name, directory sync. Consumes the spare: nothing writes zeros to it again.
    pub(crate) fn go_live(
        self,
        storage: &dyn Storage,
        header: &SegmentHeader,
    ) -> Result<Arc<dyn File>, IoFault> {
        if let Some(fault) = self.spoiled {
            return Err(fault);
        }
        let fault = |operation, error: io::Error| IoFault::new(operation, SPARE, &error);
        write_all_at(&*self.file, 0, &header.encode())
            .map_err(|error| fault("write the header of", error))?;
        self.file.sync().map_err(|error| fault("sync", error))?;
        let name = segment_name(header.ordinal);
        storage.rename(SPARE, &name).map_err(|error| fault("rename", error))?;
        storage.sync_directory().map_err(|error| IoFault::new("sync the directory of", &name, &error))?;
        Ok(self.file)
    }
}

/// A number that tells segments apart; never 0.
pub(crate) fn random_salt() -> u64 {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    (high ^ low.rotate_left(32)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_double_up_to_the_option_unless_a_frame_needs_more() {
        assert_eq!(next_capacity(64 << 10, 64 << 20, 100), 128 << 10);
        assert_eq!(next_capacity(64 << 20, 64 << 20, 100), 64 << 20);
        assert_eq!(next_capacity(64 << 10, 64 << 20, 1 << 20), (1 << 20) + 8192);
        assert_eq!(next_capacity(u64::MAX, 64 << 10, 60_001) % 4096, 0);
    }
}
