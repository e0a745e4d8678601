//! eventcore: commands that write to several streams at once, and projections that read them all.
//!
//! Owns its workloads.

use crate::events::{BATCH, batches, payload};
use crate::store::{ANNALS, ANNALS_IN_MEMORY, Entry, Promise};
use crate::watch::Watch;
use annals::EventLog;
use annals_eventcore::EventCoreStore;
use eventcore_fs::FileEventStore;
use eventcore_memory::InMemoryEventStore;
use eventcore_sqlite::{SqliteConfig, SqliteEventStore};
use eventcore_types::{
    BatchSize, CommandStateSnapshot, CommandStateSnapshotId, Event, EventFilter, EventPage, EventReader,
    EventStore, StreamId, StreamVersion, StreamWrites, collect_events,
};
use futures::FutureExt;
use measure::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

const INTERFACE: &str = "eventcore";

/// How many streams a command writes to.
const STREAMS: usize = 3;

pub(crate) fn entries() -> Vec<Entry> {
    vec![
        Entry {
            interface: INTERFACE,
            name: ANNALS,
            promise: Promise::Synced,
            used: "one commit of the log for a command, over all its streams",
            run: |dir, watch| async move { annals(EventCoreStore::open(dir)?, watch).await }.boxed_local(),
        },
        Entry {
            interface: INTERFACE,
            name: "eventcore-sqlite",
            promise: Promise::Synced,
            used: "`SqliteEventStore::new`: one connection, a transaction for a command, in WAL mode with SQLite's own \
                   `synchronous = FULL`",
            run: |dir, watch| {
                async move { workloads(&Arc::new(sqlite(dir).await?), watch).await }.boxed_local()
            },
        },
        Entry {
            interface: INTERFACE,
            name: "eventcore-fs",
            promise: Promise::Synced,
            used: "`FileEventStore::open`: a new file for a command, written, synced, renamed, and its directory synced; \
                   one command at a time",
            run: |dir, watch| {
                async move { workloads(&Arc::new(FileEventStore::open(dir)?), watch).await }.boxed_local()
            },
        },
        Entry {
            interface: INTERFACE,
            name: ANNALS_IN_MEMORY,
            promise: Promise::Memory,
            used: "the adapter on `EventLog::in_memory`",
            run: |_, watch| {
                async move { annals(EventCoreStore::new(EventLog::in_memory()?)?, watch).await }.boxed_local()
            },
        },
        Entry {
            interface: INTERFACE,
            name: "eventcore-memory",
            promise: Promise::Memory,
            used: "`InMemoryEventStore::new`",
            run: |_, watch| {
                async move { workloads(&Arc::new(InMemoryEventStore::new()), watch).await }.boxed_local()
            },
        },
    ]
}

async fn annals(store: EventCoreStore, watch: &mut Watch) -> Outcome<()> {
    let log = store.log().clone();
    workloads(&Arc::new(store), watch).await?;
    Ok(log.close()?)
}

async fn sqlite(dir: &Path) -> Outcome<SqliteEventStore> {
    let store = SqliteEventStore::new(SqliteConfig { path: dir.join("events.db"), encryption_key: None })?;
    store.migrate().await?;
    Ok(store)
}

/// What is appended.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Placed {
    stream: StreamId,
    order: Value,
}

impl Event for Placed {
    fn stream_id(&self) -> &StreamId {
        &self.stream
    }

    fn event_type_name() -> &'static str {
        "Placed"
    }
}

/// Events for some streams that are all at one version.
fn writes<'a>(
    streams: impl IntoIterator<Item = &'a StreamId>,
    version: usize,
    numbers: std::ops::Range<usize>,
) -> Outcome<StreamWrites> {
    let mut writes = StreamWrites::new();
    for stream in streams {
        writes = writes.register_stream(stream.clone(), StreamVersion::new(version))?;
        for n in numbers.clone() {
            writes = writes.append(Placed { stream: stream.clone(), order: payload(n) })?;
        }
    }
    Ok(writes)
}

async fn workloads<S>(store: &Arc<S>, watch: &mut Watch) -> Outcome<()>
where
    S: EventStore + EventReader<Error: Error + Send + Sync> + Send + Sync + 'static,
{
    let append = async |streams: &[StreamId], version, numbers| {
        store.append_events(writes(streams, version, numbers)?).await?;
        Outcome::Ok(())
    };

    let loaded = [id("loaded")?];
    for batch in batches(watch.events) {
        append(&loaded, batch.start, batch).await?;
    }
    let load = async || {
        let events = store.read_stream::<Placed>(id("loaded")?).await?;
        Ok(collect_events(events).await?.len())
    };
    watch.whole("load", watch.events, load).await?;
    watch.whole("read all, by pages of 1000", watch.events, async || read_all(&**store).await).await?;

    let one = [id("appended")?];
    watch.repeat("append", async |n| append(&one, n, n..n + 1).await).await?;
    watch
        .at_once("append, 16 tasks", |task| {
            let store = store.clone();
            move |n| {
                let store = store.clone();
                async move {
                    store.append_events(writes(&[id(&format!("task-{task}"))?], n, n..n + 1)?).await?;
                    Ok(())
                }
            }
        })
        .await?;

    let several = (0..STREAMS).map(|n| id(&format!("account-{n}"))).collect::<Outcome<Vec<_>>>()?;
    watch.repeat("append to 3 streams", async |n| append(&several, n, n..n + 1).await).await?;

    let snapshot_id = CommandStateSnapshotId::try_new("order-7")?;
    let save = async |n| {
        let stream_versions = HashMap::from([(id("appended")?, StreamVersion::new(n))]);
        let snapshot =
            CommandStateSnapshot { state: payload(n), stream_versions, replay_checkpoints: Vec::new() };
        Ok(store.save_command_state_snapshot(snapshot_id.clone(), snapshot).await?)
    };
    watch.repeat("save a snapshot", save).await
}

/// All events of all streams; says how many.
async fn read_all<S: EventReader<Error: Error + Send + Sync>>(store: &S) -> Outcome<usize> {
    let (mut page, mut read) = (EventPage::first(BatchSize::new(BATCH)), 0);
    loop {
        let events =
            store.read_events::<Placed>(EventFilter::all(), page).await.map_err(|error| error.to_string())?;
        read += events.len();
        match page.next_from_results(&events) {
            Some(next) => page = next,
            None => return Ok(read),
        }
    }
}

fn id(name: &str) -> Outcome<StreamId> {
    Ok(StreamId::try_new(name)?)
}
