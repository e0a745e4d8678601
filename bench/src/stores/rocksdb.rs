//! RocksDB: an LSM tree with a write-ahead log; write batches with `sync`.
//!
//! Owns the column families. Optimistic checks need the heads to stand still until the batch is in: there is one writer at a
//! time. RocksDB would gather the batches of many threads by itself, under a lock for each stream; appends gathered in front
//! of it came out half as fast again.

use crate::store::{Can, Entry, Place, Run, Store, Tally};
use crate::stores::kv::{check, index_key, number, payload, position_key, record};
use measure::Outcome;
use parking_lot::Mutex;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, Direction, IteratorMode, Options,
    ReadOptions, WriteBatch, WriteOptions,
};

pub(crate) const ENTRY: Entry = Entry {
    name: "rocksdb",
    package: "rocksdb",
    used: "WriteOptions::sync, bloom filters, block cache 512 MiB, no compression (payloads are \
           random); column families events, (stream, version) to position, heads",
    can: Can::ALL,
    gathered: true,
    open,
};

fn open(place: &Place<'_>) -> Outcome<Box<dyn Store>> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.increase_parallelism(std::thread::available_parallelism()?.get() as i32);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(512 << 20));
    blocks.set_bloom_filter(10.0, false);
    let mut family = Options::default();
    family.set_block_based_table_factory(&blocks);
    let families = ["events", "index", "heads"].map(|name| ColumnFamilyDescriptor::new(name, family.clone()));
    let database = DB::open_cf_descriptors(&options, place.dir.join("rocksdb"), families)?;
    let mut rocks = Rocks { database, last: Mutex::default() };
    let last = rocks.database.iterator_cf(rocks.family("events")?, IteratorMode::End).next().transpose()?;
    let last = last.map_or(Ok(0), |(key, _)| number(&key))?;
    *rocks.last.get_mut() = last;
    Ok(Box::new(rocks))
}

struct Rocks {
    database: DB,
    /// The last position; held by who writes.
    last: Mutex<u64>,
}

impl Rocks {
    fn family(&self, name: &str) -> Outcome<&ColumnFamily> {
        Ok(self.database.cf_handle(name).ok_or("a column family is missing")?)
    }
}

impl Store for Rocks {
    fn append(&self, runs: &[Run<'_>]) -> Outcome<()> {
        let [events, index, heads] = [self.family("events")?, self.family("index")?, self.family("heads")?];
        let mut last = self.last.lock();
        let mut position = *last;
        let mut batch = WriteBatch::default();
        let mut bytes = Vec::new();
        for run in runs {
            check(run.stream, run.after, self.version(run.stream)?)?;
            let mut version = run.after;
            for payload in run.payloads {
                position += 1;
                version += 1;
                record(run.stream, version, payload, &mut bytes);
                batch.put_cf(events, position_key(position), &bytes);
                batch.put_cf(index, index_key(run.stream, version), position_key(position));
            }
            batch.put_cf(heads, run.stream, position_key(version));
        }
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        self.database.write_opt(batch, &synced)?;
        *last = position;
        Ok(())
    }

    fn version(&self, stream: &str) -> Outcome<u64> {
        let version = self.database.get_pinned_cf(self.family("heads")?, stream)?;
        version.map_or(Ok(0), |version| number(&version))
    }

    fn fold(&self, stream: &str, tally: &mut Tally) -> Outcome<()> {
        let events = self.family("events")?;
        let (first, last) = (index_key(stream, 0), index_key(stream, u64::MAX));
        let mut bounded = ReadOptions::default();
        bounded.set_iterate_upper_bound(last);
        let mode = IteratorMode::From(&first, Direction::Forward);
        for entry in self.database.iterator_cf_opt(self.family("index")?, bounded, mode) {
            let event = self.database.get_pinned_cf(events, entry?.1)?.ok_or("the index leads nowhere")?;
            tally.add(payload(&event)?);
        }
        Ok(())
    }

    fn scan(&self) -> Outcome<Tally> {
        let mut tally = Tally::default();
        let mut events = self.database.raw_iterator_cf(self.family("events")?);
        events.seek_to_first();
        while let Some(event) = events.value() {
            tally.add(payload(event)?);
            events.next();
        }
        events.status()?;
        Ok(tally)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        self.database.cancel_all_background_work(true);
        Ok(())
    }
}
