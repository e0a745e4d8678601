//! SierraDB: an event store of partitions; each stream has a partition key of its own.
//!
//! Owns the translation, and the runtime that its async calls need. A transaction lies in one partition, so an append to many
//! streams is many transactions here, all in flight at once: not atomic.

use crate::store::{Can, Entry, Place, Run, Store, Tally};
use crate::workload::EVENT_TYPE;
use measure::Outcome;
use sierradb::database::{Database, DatabaseBuilder, ExpectedVersion, NewEvent, Transaction};
use sierradb::id::{uuid_to_partition_hash, uuid_v7_with_partition_hash};
use sierradb::{IterDirection, StreamId};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;
use uuid::Uuid;

pub(crate) const ENTRY: Entry = Entry {
    name: "sierradb",
    package: "sierradb",
    used: "default buckets, sync interval 1 ms (default 5, and 50 when idle), no compression; a partition key per stream",
    can: Can { atomic: false, scan: false, ..Can::ALL },
    gathered: false,
    open,
};

const PARTITIONS: u16 = 1024;

fn open(place: &Place<'_>) -> Outcome<Box<dyn Store>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let database = {
        let _entered = runtime.enter();
        DatabaseBuilder::new()
            .sync_interval(Duration::from_millis(1))
            .sync_idle_interval(Duration::from_millis(1))
            .compression(false)
            .open(place.dir.join("sierradb"))?
    };
    Ok(Box::new(Sierra { runtime, database }))
}

struct Sierra {
    runtime: Runtime,
    database: Database,
}

/// The partition key of a stream: always the same.
fn key(stream: &str) -> Uuid {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(stream);
    Uuid::from_u64_pair(hash, hash.rotate_left(32))
}

fn partition(key: Uuid) -> u16 {
    uuid_to_partition_hash(key) % PARTITIONS
}

fn transaction(run: &Run<'_>) -> Outcome<Transaction> {
    let key = key(run.stream);
    let stream_id = StreamId::new(run.stream)?;
    let timestamp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let event = |(n, payload): (usize, &&[u8])| NewEvent {
        event_id: uuid_v7_with_partition_hash(uuid_to_partition_hash(key)),
        stream_id: stream_id.clone(),
        stream_version: ExpectedVersion::from_next_version(run.after + n as u64),
        event_name: EVENT_TYPE.to_owned(),
        timestamp,
        metadata: Vec::new(),
        payload: payload.to_vec(),
    };
    Ok(Transaction::new(key, partition(key), run.payloads.iter().enumerate().map(event).collect())?)
}

impl Store for Sierra {
    fn append(&self, runs: &[Run<'_>]) -> Outcome<()> {
        if let [run] = runs {
            self.runtime.block_on(self.database.append_events(transaction(run)?))?;
            return Ok(());
        }
        let append = |run| -> Outcome<_> {
            let (database, transaction) = (self.database.clone(), transaction(run)?);
            Ok(self.runtime.spawn(async move { database.append_events(transaction).await }))
        };
        let appends = runs.iter().map(append).collect::<Outcome<Vec<_>>>()?;
        self.runtime.block_on(async {
            for append in appends {
                append.await??;
            }
            Ok(())
        })
    }

    fn version(&self, stream: &str) -> Outcome<u64> {
        let id = StreamId::new(stream)?;
        let latest = self.runtime.block_on(self.database.get_stream_version(partition(key(stream)), &id))?;
        Ok(latest.map_or(0, |latest| latest.version + 1))
    }

    fn fold(&self, stream: &str, tally: &mut Tally) -> Outcome<()> {
        let id = StreamId::new(stream)?;
        self.runtime.block_on(async {
            let partition = partition(key(stream));
            let mut events = self.database.read_stream(partition, id, 0, IterDirection::Forward).await?;
            while let Some(committed) = events.next_batch(100).await? {
                for event in committed.into_iter().flatten() {
                    tally.add(&event.payload);
                }
            }
            Ok(())
        })
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        self.runtime.block_on(self.database.shutdown());
        Ok(())
    }
}
