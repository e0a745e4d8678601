//! this-rs: one log of all that the bus publishes, and consumers that acknowledge.
//!
//! Owns its workloads.

use crate::events::{fill, payload};
use crate::store::{ANNALS, ANNALS_IN_MEMORY, Entry, Promise};
use crate::watch::{TASKS, Watch};
use annals_this::ThisLog;
use futures::{FutureExt, StreamExt};
use measure::Outcome;
use std::sync::Arc;
use this::core::events::{EntityEvent, EventEnvelope, FrameworkEvent};
use this::events::{EventLog, InMemoryEventLog, SeekPosition};
use this::prelude::Uuid;

const INTERFACE: &str = "this";

const CONSUMER: &str = "reader";

pub(crate) fn entries() -> Vec<Entry> {
    vec![
        Entry {
            interface: INTERFACE,
            name: ANNALS,
            promise: Promise::Synced,
            used: "an append is durable when it returns; an acknowledgement is seen at once and durable within 50 ms",
            run: |dir, watch| async move { annals(ThisLog::open(dir)?, watch).await }.boxed_local(),
        },
        Entry {
            interface: INTERFACE,
            name: "Annals, durable acks",
            promise: Promise::Synced,
            used: "`durable_acks(true)`: each acknowledgement waits for its sync; only they are measured",
            run: |dir, watch| {
                async move {
                    let store = ThisLog::open(dir)?.durable_acks(true);
                    let log = store.log().clone();
                    let store: Store = Arc::new(store);
                    filled(&store, watch).await?;
                    acknowledge(&store, watch).await?;
                    Ok(log.close()?)
                }
                .boxed_local()
            },
        },
        Entry {
            interface: INTERFACE,
            name: ANNALS_IN_MEMORY,
            promise: Promise::Memory,
            used: "the adapter on `EventLog::in_memory`",
            run: |_, watch| {
                async move { annals(ThisLog::new(annals::EventLog::in_memory()?), watch).await }.boxed_local()
            },
        },
        Entry {
            interface: INTERFACE,
            name: "InMemoryEventLog",
            promise: Promise::Memory,
            used: "a `Vec` behind a lock, a lock for each event that is read",
            run: |_, watch| {
                async move { workloads(&(Arc::new(InMemoryEventLog::new()) as _), watch).await }.boxed_local()
            },
        },
    ]
}

async fn annals(store: ThisLog, watch: &mut Watch) -> Outcome<()> {
    let log = store.log().clone();
    workloads(&(Arc::new(store) as _), watch).await?;
    Ok(log.close()?)
}

type Store = Arc<dyn EventLog>;

async fn workloads(store: &Store, watch: &mut Watch) -> Outcome<()> {
    let events = filled(store, watch).await?;
    let scan =
        async || Ok(store.subscribe(CONSUMER, SeekPosition::Beginning).await?.take(events).count().await);
    watch.whole("scan", events, scan).await?;
    acknowledge(store, watch).await?;
    watch.repeat("append", async |n| store.append(envelope(n)).await.map(drop).map_err(Into::into)).await?;
    watch
        .at_once("append, 16 tasks", |_| {
            let store = store.clone();
            move |n| {
                let store = store.clone();
                async move {
                    store.append(envelope(n)).await?;
                    Ok(())
                }
            }
        })
        .await
}

/// Appends what will be read; says how much.
async fn filled(store: &Store, watch: &Watch) -> Outcome<usize> {
    let each = watch.events.div_ceil(TASKS);
    fill(|_| {
        let store = store.clone();
        async move {
            for n in 0..each {
                store.append(envelope(n)).await?;
            }
            Ok(())
        }
    })
    .await?;
    Ok(each * TASKS)
}

/// What the framework's runtime does: takes an event, and acknowledges it before it takes the next.
async fn acknowledge(store: &Store, watch: &mut Watch) -> Outcome<()> {
    let mut events = store.subscribe(CONSUMER, SeekPosition::LastAcknowledged).await?;
    let call = async |_| {
        let envelope = events.next().await.ok_or("the log has ended")?;
        store.ack(CONSUMER, envelope.seq_no.ok_or("an event without its number")?).await?;
        Ok(())
    };
    watch.repeat("take an event, acknowledge it", call).await
}

fn envelope(n: usize) -> EventEnvelope {
    let (entity_type, entity_id) = ("order".to_owned(), Uuid::new_v4());
    EventEnvelope::new(FrameworkEvent::Entity(EntityEvent::Created {
        entity_type,
        entity_id,
        data: payload(n),
    }))
}
