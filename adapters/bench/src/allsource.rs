//! allsource-core: streams that are handed over whole, with their versions and their watermark.
//!
//! Owns its workloads.

use crate::events::payload;
use crate::store::{ANNALS, ANNALS_IN_MEMORY, Entry, Promise};
use crate::watch::Watch;
use allsource_core::domain::entities::{Event, EventStream};
use allsource_core::domain::repositories::EventStreamRepository;
use allsource_core::domain::value_objects::EntityId;
use allsource_core::infrastructure::repositories::InMemoryEventStreamRepository;
use annals::EventLog;
use annals_allsource::StreamRepository;
use futures::FutureExt;
use measure::Outcome;
use std::sync::Arc;
use tokio::sync::Mutex;

const INTERFACE: &str = "allsource";

/// Events after which a new stream is begun: the repository in memory copies the whole stream with every append.
const LENGTH: usize = 500;

/// Events of a stream that is saved as a whole.
const SAVED: usize = 100;

pub(crate) fn entries() -> Vec<Entry> {
    vec![
        Entry {
            interface: INTERFACE,
            name: ANNALS,
            promise: Promise::Synced,
            used: "an append compares the handle with the last stored event, and writes one; saving compares all, and \
                   writes what is new",
            run: |dir, watch| async move { annals(StreamRepository::open(dir)?, watch).await }.boxed_local(),
        },
        Entry {
            interface: INTERFACE,
            name: ANNALS_IN_MEMORY,
            promise: Promise::Memory,
            used: "the adapter on `EventLog::in_memory`",
            run: |_, watch| {
                async move { annals(StreamRepository::new(EventLog::in_memory()?), watch).await }
                    .boxed_local()
            },
        },
        Entry {
            interface: INTERFACE,
            name: "InMemory repository",
            promise: Promise::Memory,
            used: "`InMemoryEventStreamRepository`: an append copies all events of the handle into a map, and compares nothing \
                   with what is stored. (Its repositories on RocksDB and Postgres are features that are not built here.)",
            run: |_, watch| {
                async move { workloads(&(Arc::new(InMemoryEventStreamRepository::new()) as _), watch).await }
                    .boxed_local()
            },
        },
    ]
}

async fn annals(store: StreamRepository, watch: &mut Watch) -> Outcome<()> {
    let log = store.log().clone();
    workloads(&(Arc::new(store) as _), watch).await?;
    Ok(log.close()?)
}

type Store = Arc<dyn EventStreamRepository>;

async fn workloads(store: &Store, watch: &mut Watch) -> Outcome<()> {
    let loaded = EntityId::new("loaded".to_owned())?;
    store.save_stream(&filled("loaded", watch.events)?).await?;
    let load = async || {
        let stream = store.load_stream(&loaded).await?.ok_or("the stream is not there")?;
        Ok(stream.current_version() as usize)
    };
    watch.whole("load", watch.events, load).await?;

    let mut handle = None;
    watch.repeat("append", async |n| append(store, &mut handle, "appended", n).await).await?;
    watch
        .at_once("append, 16 tasks", |task| {
            // A call takes the handle that the one before has left.
            let (store, handle) = (store.clone(), Arc::new(Mutex::new(None)));
            move |n| {
                let (store, handle) = (store.clone(), handle.clone());
                async move { append(&store, &mut *handle.lock().await, &format!("task-{task}"), n).await }
            }
        })
        .await?;

    let save = async |n| {
        let stream = filled(&format!("saved-{n}"), SAVED)?;
        store.save_stream(&stream).await?;
        match store.get_watermark(stream.stream_id()).await? as usize {
            SAVED => Ok(()),
            other => Err(format!("a watermark of {other} instead of {SAVED}").into()),
        }
    };
    watch.repeat("save 100 events, get the watermark", save).await
}

/// Appends to a stream by its handle, and begins a new one when it is long.
async fn append(store: &Store, handle: &mut Option<EventStream>, name: &str, n: usize) -> Outcome<()> {
    let entity = format!("{name}-{}", n / LENGTH);
    if n.is_multiple_of(LENGTH) {
        *handle = Some(store.get_or_create_stream(&EntityId::new(entity.clone())?).await?);
    }
    let stream = handle.as_mut().ok_or("no stream was made")?;
    store.append_to_stream(stream, event(&entity, n)?).await?;
    Ok(())
}

/// A handle with so many events, which no store knows yet.
fn filled(entity: &str, events: usize) -> Outcome<EventStream> {
    let mut stream = EventStream::new(EntityId::new(entity.to_owned())?);
    for n in 0..events {
        stream.append_event(event(entity, n)?)?;
    }
    Ok(stream)
}

fn event(entity: &str, n: usize) -> Outcome<Event> {
    Ok(Event::from_strings("order.placed".into(), entity.to_owned(), "shop".into(), payload(n), None)?)
}
