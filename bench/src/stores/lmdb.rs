//! LMDB, through heed: default flags, so that every commit is synced.
//!
//! Owns the databases and their transactions: one to write at a time, a fresh one for every read. Positions are appended, not
//! inserted, as LMDB's documentation recommends for keys in order.

use crate::store::{Can, Entry, Place, Run, Store, Tally};
use crate::stores::kv::{check, index_key, payload, record};
use heed::byteorder::BE;
use heed::types::{Bytes, Str, U64};
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, PutFlags};
use measure::Outcome;

pub(crate) const ENTRY: Entry = Entry {
    name: "lmdb",
    package: "heed",
    used: "default flags (synced), MDB_APPEND for events; databases events, (stream, version) to position, heads",
    can: Can::ALL,
    gathered: true,
    open,
};

/// Address space, not disk.
const MAP_BYTES: usize = 1 << 38;

#[allow(unsafe_code)]
fn open(place: &Place<'_>) -> Outcome<Box<dyn Store>> {
    // SAFETY: the directory is this process's own; nobody else opens or changes the file.
    let env = unsafe { EnvOpenOptions::new().map_size(MAP_BYTES).max_dbs(3).open(place.dir)? };
    let databases = env.create_databases_and_commit(env.write_txn()?, |opener, transaction| {
        let events = opener.create_database(transaction, Some("events"))?;
        let index = opener.create_database(transaction, Some("index"))?;
        let heads = opener.create_database(transaction, Some("heads"))?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit((events, index, heads)))
    })?;
    let (events, index, heads) = databases.unwrap_commit();
    Ok(Box::new(Lmdb { env, events, index, heads }))
}

struct Lmdb {
    env: Env,
    events: Database<'static, U64<BE>, Bytes>,
    index: Database<'static, Bytes, U64<BE>>,
    heads: Database<'static, Str, U64<BE>>,
}

impl Store for Lmdb {
    fn append(&self, runs: &[Run<'_>]) -> Outcome<()> {
        let mut transaction = self.env.write_txn()?;
        let mut position = self.events.last(&transaction)?.map_or(0, |(last, _)| last);
        let mut bytes = Vec::new();
        for run in runs {
            check(run.stream, run.after, self.heads.get(&transaction, run.stream)?.unwrap_or(0))?;
            let mut version = run.after;
            for payload in run.payloads {
                position += 1;
                version += 1;
                record(run.stream, version, payload, &mut bytes);
                self.events.put_with_flags(&mut transaction, PutFlags::APPEND, &position, &bytes)?;
                self.index.put(&mut transaction, &index_key(run.stream, version), &position)?;
            }
            self.heads.put(&mut transaction, run.stream, &version)?;
        }
        Ok(transaction.commit()?)
    }

    fn version(&self, stream: &str) -> Outcome<u64> {
        let transaction = self.env.read_txn()?;
        Ok(self.heads.get(&transaction, stream)?.unwrap_or(0))
    }

    fn fold(&self, stream: &str, tally: &mut Tally) -> Outcome<()> {
        let transaction = self.env.read_txn()?;
        let keys = index_key(stream, 0);
        for entry in self.index.prefix_iter(&transaction, &keys[..=stream.len()])? {
            let event = self.events.get(&transaction, &entry?.1)?.ok_or("the index leads nowhere")?;
            tally.add(payload(event)?);
        }
        Ok(())
    }

    fn scan(&self) -> Outcome<Tally> {
        let transaction = self.env.read_txn()?;
        let mut tally = Tally::default();
        for entry in self.events.iter(&transaction)? {
            tally.add(payload(entry?.1)?);
        }
        Ok(tally)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        self.env.prepare_for_closing().wait();
        Ok(())
    }
}
