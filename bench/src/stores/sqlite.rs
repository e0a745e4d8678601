//! SQLite: write-ahead log, `synchronous=FULL`, memory-mapped reads, prepared statements.
//!
//! Owns the tables and their statements. Each thread that reads has a connection of its own; there is one that writes.

use crate::store::{Can, Entry, Place, Run, Store, Tally};
use crate::stores::kv::check;
use crate::workload::EVENT_TYPE;
use measure::Outcome;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::path::Path;

pub(crate) const ENTRY: Entry = Entry {
    name: "sqlite",
    package: "rusqlite",
    used: "WAL, synchronous=FULL, mmap_size=4 GiB; events by position, unique index (stream, version), heads",
    can: Can::ALL,
    gathered: true,
    open,
};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS events (
        position INTEGER PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL, type TEXT NOT NULL, payload BLOB NOT NULL
    );
    CREATE UNIQUE INDEX IF NOT EXISTS versions ON events (stream, version);
    CREATE TABLE IF NOT EXISTS heads (stream TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
";
const HEAD: &str = "SELECT version FROM heads WHERE stream = ?1";

fn open(place: &Place<'_>) -> Outcome<Box<dyn Store>> {
    let path = place.dir.join("events.db");
    let writer = connect(&path)?;
    writer.execute_batch(TABLES)?;
    let reader = connect(&path)?;
    Ok(Box::new(Sqlite { writer: Mutex::new(writer), reader: Mutex::new(reader) }))
}

fn connect(path: &Path) -> Outcome<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=4294967296; PRAGMA cache_size=-262144;",
    )?;
    connection.set_prepared_statement_cache_capacity(16);
    Ok(connection)
}

struct Sqlite {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

impl Store for Sqlite {
    fn append(&self, runs: &[Run<'_>]) -> Outcome<()> {
        let mut writer = self.writer.lock();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut head = transaction.prepare_cached(HEAD)?;
            let mut event = transaction.prepare_cached(
                "INSERT INTO events (stream, version, type, payload) VALUES (?1, ?2, ?3, ?4)",
            )?;
            let mut advance = transaction.prepare_cached("INSERT OR REPLACE INTO heads VALUES (?1, ?2)")?;
            for run in runs {
                let found: Option<i64> = head.query_row([run.stream], |row| row.get(0)).optional()?;
                check(run.stream, run.after, found.unwrap_or(0) as u64)?;
                let mut version = run.after as i64;
                for payload in run.payloads {
                    version += 1;
                    event.execute(params![run.stream, version, EVENT_TYPE, payload])?;
                }
                advance.execute(params![run.stream, version])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn version(&self, stream: &str) -> Outcome<u64> {
        let reader = self.reader.lock();
        let mut head = reader.prepare_cached(HEAD)?;
        let version: Option<i64> = head.query_row([stream], |row| row.get(0)).optional()?;
        Ok(version.unwrap_or(0) as u64)
    }

    fn fold(&self, stream: &str, tally: &mut Tally) -> Outcome<()> {
        let reader = self.reader.lock();
        let mut events = reader
            .prepare_cached("SELECT version, type, payload FROM events WHERE stream = ?1 ORDER BY version")?;
        let mut rows = events.query([stream])?;
        while let Some(row) = rows.next()? {
            tally.add(row.get_ref(2)?.as_blob()?);
        }
        Ok(())
    }

    fn scan(&self) -> Outcome<Tally> {
        let reader = self.reader.lock();
        let mut events = reader.prepare_cached(
            "SELECT position, stream, version, type, payload FROM events ORDER BY position",
        )?;
        let mut rows = events.query([])?;
        let mut tally = Tally::default();
        while let Some(row) = rows.next()? {
            tally.add(row.get_ref(4)?.as_blob()?);
        }
        Ok(tally)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        self.reader.into_inner().close().map_err(|(_, error)| error)?;
        Ok(self.writer.into_inner().close().map_err(|(_, error)| error)?)
    }
}
