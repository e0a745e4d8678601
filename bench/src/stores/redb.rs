//! redb: one file, copy-on-write B-trees, durability "immediate".
//!
//! Owns the tables and their transactions: one to write at a time, a fresh one for every read.

use crate::store::{Can, Entry, Place, Run, Store, Tally};
use crate::stores::kv::{check, payload, record};
use measure::Outcome;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

pub(crate) const ENTRY: Entry = Entry {
    name: "redb",
    package: "redb",
    used: "Durability::Immediate; tables events, (stream, version) to position, heads",
    can: Can::ALL,
    gathered: true,
    open,
};

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const INDEX: TableDefinition<'_, (&str, u64), u64> = TableDefinition::new("index");
const HEADS: TableDefinition<'_, &str, u64> = TableDefinition::new("heads");

fn open(place: &Place<'_>) -> Outcome<Box<dyn Store>> {
    let database = Database::create(place.dir.join("events.redb"))?;
    let transaction = database.begin_write()?;
    transaction.open_table(EVENTS)?;
    transaction.open_table(INDEX)?;
    transaction.open_table(HEADS)?;
    transaction.commit()?;
    Ok(Box::new(Redb { database }))
}

struct Redb {
    database: Database,
}

impl Store for Redb {
    fn append(&self, runs: &[Run<'_>]) -> Outcome<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut events = transaction.open_table(EVENTS)?;
            let mut index = transaction.open_table(INDEX)?;
            let mut heads = transaction.open_table(HEADS)?;
            let mut position = events.last()?.map_or(0, |(last, _)| last.value());
            let mut bytes = Vec::new();
            for run in runs {
                let found = heads.get(run.stream)?.map_or(0, |version| version.value());
                check(run.stream, run.after, found)?;
                let mut version = run.after;
                for payload in run.payloads {
                    position += 1;
                    version += 1;
                    record(run.stream, version, payload, &mut bytes);
                    events.insert(position, bytes.as_slice())?;
                    index.insert((run.stream, version), position)?;
                }
                heads.insert(run.stream, version)?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn version(&self, stream: &str) -> Outcome<u64> {
        let heads = self.database.begin_read()?.open_table(HEADS)?;
        Ok(heads.get(stream)?.map_or(0, |version| version.value()))
    }

    fn fold(&self, stream: &str, tally: &mut Tally) -> Outcome<()> {
        let transaction = self.database.begin_read()?;
        let events = transaction.open_table(EVENTS)?;
        for entry in transaction.open_table(INDEX)?.range((stream, 0)..=(stream, u64::MAX))? {
            let position = entry?.1.value();
            let event = events.get(position)?.ok_or("the index leads nowhere")?;
            tally.add(payload(event.value())?);
        }
        Ok(())
    }

    fn scan(&self) -> Outcome<Tally> {
        let mut tally = Tally::default();
        for entry in self.database.begin_read()?.open_table(EVENTS)?.iter()? {
            tally.add(payload(entry?.1.value())?);
        }
        Ok(tally)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(())
    }
}
