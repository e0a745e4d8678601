//! okaywal: a write-ahead log without an index: what an append alone costs.
//!
//! Owns the translation. What was checkpointed is recycled, so nothing is read back.

use crate::store::{Can, Entry, Place, Run, Store};
use crate::stores::kv::record;
use measure::Outcome;
use okaywal::{Configuration, EntryId, LogManager, SegmentReader, WriteAheadLog};
use std::io;

pub(crate) const ENTRY: Entry = Entry {
    name: "okaywal",
    package: "okaywal",
    used: "segments of 64 MiB, an entry per append, a chunk per event; append only: no index, no conditions",
    can: Can::APPEND,
    gathered: true,
    open,
};

fn open(place: &Place<'_>) -> Outcome<Box<dyn Store>> {
    let configuration = Configuration::default_for(place.dir.join("okaywal"))
        .preallocate_bytes(64 << 20)
        .checkpoint_after_bytes(48 << 20)
        .buffer_bytes(256 << 10);
    Ok(Box::new(Okay { log: configuration.open(Forgetful)? }))
}

struct Okay {
    log: WriteAheadLog,
}

/// Lets everything be recycled.
#[derive(Debug)]
struct Forgetful;

impl LogManager for Forgetful {
    fn recover(&mut self, _: &mut okaywal::Entry<'_>) -> io::Result<()> {
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        Ok(())
    }
}

impl Store for Okay {
    fn append(&self, runs: &[Run<'_>]) -> Outcome<()> {
        let mut entry = self.log.begin_entry()?;
        let mut bytes = Vec::new();
        for run in runs {
            for (n, payload) in run.payloads.iter().enumerate() {
                record(run.stream, run.after + n as u64 + 1, payload, &mut bytes);
                entry.write_chunk(&bytes)?;
            }
        }
        entry.commit()?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(self.log.shutdown()?)
    }
}
