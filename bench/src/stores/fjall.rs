//! fjall: an LSM tree with a journal; batches with `PersistMode::SyncData`, which is `fdatasync`.
//!
//! Owns the keyspaces. Optimistic checks need the heads to stand still until the batch is in: there is one writer at a time.

use crate::store::{Can, Entry, Place, Run, Store, Tally};
use crate::stores::kv::{check, index_key, number, payload, position_key, record};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use measure::Outcome;
use parking_lot::Mutex;

pub(crate) const ENTRY: Entry = Entry {
    name: "fjall",
    package: "fjall",
    used: "batches with PersistMode::SyncData, cache 512 MiB; keyspaces events, (stream, version) to position, heads",
    can: Can::ALL,
    gathered: true,
    open,
};

fn open(place: &Place<'_>) -> Outcome<Box<dyn Store>> {
    let database = Database::builder(place.dir.join("fjall")).cache_size(512 << 20).open()?;
    let events = database.keyspace("events", KeyspaceCreateOptions::default)?;
    let index = database.keyspace("index", KeyspaceCreateOptions::default)?;
    let heads =
        database.keyspace("heads", || KeyspaceCreateOptions::default().expect_point_read_hits(true))?;
    let last = events.last_key_value().map(|last| last.key()).transpose()?;
    let last = Mutex::new(last.map_or(Ok(0), |key| number(&key))?);
    Ok(Box::new(Fjall { database, events, index, heads, last }))
}

struct Fjall {
    database: Database,
    events: Keyspace,
    index: Keyspace,
    heads: Keyspace,
    /// The last position; held by who writes.
    last: Mutex<u64>,
}

impl Store for Fjall {
    fn append(&self, runs: &[Run<'_>]) -> Outcome<()> {
        let mut last = self.last.lock();
        let mut position = *last;
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        let mut bytes = Vec::new();
        for run in runs {
            check(run.stream, run.after, self.version(run.stream)?)?;
            let mut version = run.after;
            for payload in run.payloads {
                position += 1;
                version += 1;
                record(run.stream, version, payload, &mut bytes);
                batch.insert(&self.events, position_key(position), bytes.as_slice());
                batch.insert(&self.index, index_key(run.stream, version), position_key(position));
            }
            batch.insert(&self.heads, run.stream, position_key(version));
        }
        batch.commit()?;
        *last = position;
        Ok(())
    }

    fn version(&self, stream: &str) -> Outcome<u64> {
        self.heads.get(stream)?.map_or(Ok(0), |version| number(&version))
    }

    fn fold(&self, stream: &str, tally: &mut Tally) -> Outcome<()> {
        let keys = index_key(stream, 0);
        for entry in self.index.prefix(&keys[..=stream.len()]) {
            let event = self.events.get(entry.value()?)?.ok_or("the index leads nowhere")?;
            tally.add(payload(&event)?);
        }
        Ok(())
    }

    fn scan(&self) -> Outcome<Tally> {
        let mut tally = Tally::default();
        for entry in self.events.iter() {
            tally.add(payload(&entry.value()?)?);
        }
        Ok(tally)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}
