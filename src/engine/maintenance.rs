//! Chores that the writer must not wait for: the next segment, its zeros, the checkpoint.
//!
//! Owns their pace and their order. A failure here never poisons: no acknowledged byte depends on it.

use crate::engine::sequencer::Ready;
use crate::engine::shared::Shared;
use crate::engine::spare::{Spare, next_capacity};
use crate::error::IoFault;
use crate::format::checkpoint::Checkpoint;
use crate::segment::name::CHECKPOINT_TEMPORARY;
use crate::storage::{Storage, write_all_at};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::io;
use std::time::Duration;

/// Between two steps of zeroing the spare: some 300 MB/s where steps are smallest.
const STEP_PAUSE: Duration = Duration::from_micros(850);
/// It runs ahead of the log's growth by this many bytes at least.
const LEAD: u64 = 1 << 20;

/// What a look for space has brought.
struct Found {
    /// How many appends had queued when it began.
    queued: u64,
    /// The last segment has its space.
    reserved: bool,
    /// The next segment.
    ready: Option<Ready>,
    /// What is not there, and why.
    fault: Option<IoFault>,
    /// For how large a frame it was looked for: there may be some for who needs less.
    asked: u64,
}

impl Shared {
    /// Does what is to be done. Says whether there is more of it soon; if not, whoever commits rings when there is.
    pub(crate) fn maintain(&self) -> bool {
        let (wanted, needed) = {
            let seq = self.sequencer();
            if seq.poisoned.is_some() {
                return false;
            }
            // After a failure only an append that needs the space is a reason to try again.
            (seq.ready.is_none() && seq.disk_full.is_none(), seq.is_short_of_space())
        };
        if wanted || needed {
            self.provide_space();
        }
        let Some(_directory) = self.directory() else { return false };
        let due = self.checkpoint_due.lock().take();
        if let Some(place) = due {
            // Without it, open has one witness less; the next roll or close writes another.
            let _ = self.note(|checkpoint| checkpoint.place = place);
        }
        self.ready_ahead()
    }

    /// Makes the spare that is missing, or lets the one that is too small grow, and tells the sequencer. On failure the
    /// append that waits for it is refused.
    pub(crate) fn provide_space(&self) {
        let Some(directory) = self.directory() else { return };
        // Until the sequencer knows: what is offered must be the spare that is there, and not yet a batch's.
        let mut spare = self.spare.lock();
        let found = self.find_space(&mut spare);
        let mut seq = self.sequencer();
        seq.tail.reserved |= found.reserved;
        seq.ready = found.ready;
        match found.fault {
            Some(fault) => seq.refuse_for_space(&fault, found.queued, found.asked, &self.view),
            None if found.ready.is_some() => {
                seq.disk_full = None;
                seq.admit(&self.view);
            }
            None => {}
        }
        drop((spare, directory));
        if seq.has_work() {
            self.ring_writer();
        }
        self.release(seq);
    }

    fn find_space(&self, spare: &mut Option<Spare>) -> Found {
        let (last, mut found, frame) = {
            let mut seq = self.sequencer();
            // Withdrawn while it may change; whoever needs it meanwhile waits in the queue.
            seq.ready = None;
            let frame = seq.wants_space.take().max(seq.needs_space).unwrap_or(0);
            let (queued, reserved) = (seq.queued, seq.tail.reserved);
            (seq.tail.header, Found { queued, reserved, ready: None, fault: None, asked: frame }, frame)
        };
        if !found.reserved {
            let live = self.live.lock().clone();
            let allocated = live.file.allocate(live.header().capacity);
            let fault = |error| IoFault::new("allocate", &live.segment.file_name(), &error);
            found.fault = allocated.map_err(fault).err();
            found.reserved = found.fault.is_none();
            if !found.reserved {
                // The last segment has none for anybody.
                found.asked = 0;
            }
        }
        let capacity = next_capacity(last.capacity, self.options.segment_bytes, frame);
        let ready = |spare: &Spare| Some(Ready { salt: spare.salt, capacity: spare.capacity });
        match &mut *spare {
            _ if !found.reserved => {}
            // It belongs to a batch that is on its way; the next one is made when it has gone live.
            Some(spare) if spare.salt == last.salt => {}
            Some(spare) if spare.fault().is_none() => {
                // As it was, it will do for others.
                found.fault = if frame > 0 { spare.grow(capacity).err() } else { None };
                found.ready = ready(spare);
            }
            none => {
                // One that is spoiled gives its space back first.
                *none = None;
                match Spare::make(&*self.storage, capacity) {
                    Ok(made) => found.ready = ready(none.insert(made)),
                    Err(fault) => found.fault = Some(fault),
                }
            }
        }
        found
    }

    /// One step of zeroing the spare for what will be written, as far as the log has grown towards it, unless commits are large:
    /// those find space that is reserved, and write their bytes once. Says whether there is more to do.
    fn ready_ahead(&self) -> bool {
        let (used, last_capacity, zero_step) = {
            let seq = self.sequencer();
            (seq.open.end(), seq.tail.header.capacity, seq.zero_step())
        };
        let mut spoiled = None;
        let mut more_at = u64::MAX;
        if let (Some(spare), Some(step)) = (&mut *self.spare.lock(), zero_step) {
            let capacity = spare.capacity as f64;
            let last_capacity = last_capacity as f64;
            // It is ready when the last segment is half full.
            let target = (capacity * 2.0 * used as f64 / last_capacity) as u64 + LEAD;
            // Where zeros cannot be written, that costs speed. What the device did not take, the next sync tells.
            if spare.zero_step(target, step).unwrap_or(false) {
                return true;
            }
            spoiled = spare.fault().cloned();
            let grown = (step as f64 * last_capacity / (2.0 * capacity)) as u64;
            more_at = if spare.is_zeroed() { u64::MAX } else { used + grown };
        }
        let mut seq = self.sequencer();
        // Where commits have just ceased to be large, zeros are due now.
        if zero_step.is_some() || seq.is_filled_in_bulk() {
            seq.zero_at = more_at;
        }
        if spoiled.is_some() {
            // Unless a batch rests on it already, another one takes its place, when an append needs it: it may fail as well.
            (seq.ready, seq.disk_full) = (None, spoiled);
        }
        false
    }

    /// The life of the maintenance thread: until its bell is taken away.
    pub(crate) fn run_maintenance(&self, bell: &Receiver<()>) {
        loop {
            let rung = if self.maintain() {
                bell.recv_timeout(STEP_PAUSE)
            } else {
                bell.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            if rung == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }
}

/// Writes the checkpoint under its name so that either the old one or the new one is there, whatever happens.
pub(crate) fn write_checkpoint(
    storage: &dyn Storage,
    name: &str,
    checkpoint: &Checkpoint,
) -> Result<(), IoFault> {
    let fault = |operation| move |error: io::Error| IoFault::new(operation, name, &error);
    match storage.remove(CHECKPOINT_TEMPORARY) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault("remove")(error)),
        _ => {}
    }
    let file = storage.create(CHECKPOINT_TEMPORARY).map_err(fault("create"))?;
    write_all_at(&*file, 0, &checkpoint.encode()).map_err(fault("write"))?;
    file.sync().map_err(fault("sync"))?;
    storage.rename(CHECKPOINT_TEMPORARY, name).map_err(fault("rename"))?;
    storage.sync_directory().map_err(fault("sync the directory of"))
}
