//! raft-engine: the log of a Raft store. A stream is a group with a number, a version is an index.
//!
//! Owns the translation. Groups have numbers, not names, there are no conditions and no order over all groups: less than an
//! event store, and so a hard measure for one.

use crate::store::{Can, Entry, Place, Run, Store, Tally};
use crate::workload::EVENT_TYPE;
use measure::{Context, Outcome};
use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

pub(crate) const ENTRY: Entry = Entry {
    name: "raft-engine",
    package: "raft-engine",
    used: "write with sync, no compression (payloads are random); numbers for streams, no conditions, no global order",
    can: Can { check: false, scan: false, ..Can::ALL },
    gathered: false,
    open,
};

fn open(place: &Place<'_>) -> Outcome<Box<dyn Store>> {
    let dir = place.dir.join("raft-engine").to_string_lossy().into_owned();
    let config = Config { dir, batch_compression_threshold: ReadableSize(0), ..Config::default() };
    Ok(Box::new(Raft { engine: Engine::open(config)? }))
}

struct Raft {
    engine: Engine,
}

/// Entries are messages of Protocol Buffers. This one comes with the package and has what is needed, a number, bytes and a
/// name: there is no schema to compile.
type Message = UninterpretedOption;

struct Events;

impl MessageExt for Events {
    type Entry = Message;

    fn index(entry: &Message) -> u64 {
        entry.get_positive_int_value()
    }
}

/// The number in a stream's name.
fn group(stream: &str) -> Outcome<u64> {
    let digits = stream.rsplit('-').next().unwrap_or_default();
    digits.parse().context(|| format!("a number in {stream}"))
}

impl Store for Raft {
    fn append(&self, runs: &[Run<'_>]) -> Outcome<()> {
        let mut batch = LogBatch::default();
        for run in runs {
            let entry = |(n, payload): (usize, &&[u8])| {
                let mut entry = Message::new();
                entry.set_positive_int_value(run.after + n as u64 + 1);
                entry.set_identifier_value(EVENT_TYPE.to_owned());
                entry.set_string_value(payload.to_vec());
                entry
            };
            let entries: Vec<Message> = run.payloads.iter().enumerate().map(entry).collect();
            batch.add_entries::<Events>(group(run.stream)?, &entries)?;
        }
        self.engine.write(&mut batch, true)?;
        Ok(())
    }

    fn version(&self, stream: &str) -> Outcome<u64> {
        Ok(self.engine.last_index(group(stream)?).unwrap_or(0))
    }

    fn fold(&self, stream: &str, tally: &mut Tally) -> Outcome<()> {
        let group = group(stream)?;
        let Some(last) = self.engine.last_index(group) else { return Ok(()) };
        let mut entries = Vec::new();
        self.engine.fetch_entries_to::<Events>(group, 1, last + 1, None, &mut entries)?;
        entries.iter().for_each(|entry| tally.add(entry.get_string_value()));
        Ok(())
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(self.engine.sync()?)
    }
}
