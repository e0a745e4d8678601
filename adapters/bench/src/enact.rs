//! enact-core: what the runtime's own event log writes to, one sequence over all executions.
//!
//! Owns its workloads. The kernel's persistence, which the adapter has as well, is not here: enact-core ships no store for it.

use crate::events::{BATCH, fill, payload};
use crate::store::{ANNALS, ANNALS_IN_MEMORY, Entry, Promise};
use crate::watch::{TASKS, Watch};
use annals::EventLog;
use annals_enact::StreamingStore;
use enact_core::kernel::{ExecutionContext, ExecutionEvent, ExecutionEventType, ExecutionId};
use enact_core::streaming::{EventStore, InMemoryEventStore, JsonlEventStore};
use futures::FutureExt;
use measure::Outcome;
use std::sync::Arc;

const INTERFACE: &str = "enact";

pub(crate) fn entries() -> Vec<Entry> {
    vec![
        Entry {
            interface: INTERFACE,
            name: ANNALS,
            promise: Promise::Synced,
            used: "a commit of the log for an event; those of tasks at once share their syncs",
            run: |dir, watch| async move { annals(StreamingStore::open(dir)?, watch).await }.boxed_local(),
        },
        Entry {
            interface: INTERFACE,
            name: "JsonlEventStore",
            promise: Promise::Unsynced,
            used: "opens and closes the execution's file for every event, and syncs nothing; a page by position reads and \
                   parses all files anew",
            run: |dir, watch| {
                async move {
                    workloads(&(Arc::new(JsonlEventStore::new(dir.join("events")).await?) as _), 0, watch)
                        .await
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
                async move { annals(StreamingStore::new(EventLog::in_memory()?), watch).await }.boxed_local()
            },
        },
        Entry {
            interface: INTERFACE,
            name: "InMemoryEventStore",
            promise: Promise::Memory,
            used: "sequences begin at 0, and `get_after(0)` does not give the first event: a page fewer by one",
            run: |_, watch| {
                async move { workloads(&(Arc::new(InMemoryEventStore::new()) as _), 1, watch).await }
                    .boxed_local()
            },
        },
    ]
}

async fn annals(store: StreamingStore, watch: &mut Watch) -> Outcome<()> {
    let log = store.log().clone();
    workloads(&(Arc::new(store) as _), 0, watch).await?;
    Ok(log.close()?)
}

/// Of a store that does not give so many of its first events by position.
async fn workloads(store: &Arc<dyn EventStore>, not_given: usize, watch: &mut Watch) -> Outcome<()> {
    let each = watch.events.div_ceil(TASKS);
    fill(|task| {
        let store = store.clone();
        async move {
            for n in 0..each {
                store.append(event(&execution("loaded", task), n)).await?;
            }
            Ok(())
        }
    })
    .await?;
    let replay = async || {
        let mut events = 0;
        for task in 0..TASKS {
            events += store.get_by_execution(&execution("loaded", task)).await?.len();
        }
        Ok(events)
    };
    watch.whole("replay", each * TASKS, replay).await?;
    let by_position = async || {
        let (mut events, mut after) = (0, 0);
        loop {
            let page = store.get_after(after, BATCH).await?;
            let Some(last) = page.last() else { return Ok(events) };
            (events, after) = (events + page.len(), last.sequence);
        }
    };
    watch.whole("read all, by pages of 1000", each * TASKS - not_given, by_position).await?;

    let append =
        async |n| store.append(event(&execution("appended", 0), n)).await.map(drop).map_err(Into::into);
    watch.repeat("append", append).await?;
    watch
        .at_once("append, 16 tasks", |task| {
            let store = store.clone();
            move |n| {
                let store = store.clone();
                async move {
                    store.append(event(&execution("task", task), n)).await?;
                    Ok(())
                }
            }
        })
        .await
}

fn execution(name: &str, number: usize) -> ExecutionId {
    ExecutionId::from(format!("exec_{name}_{number}").as_str())
}

fn event(execution: &ExecutionId, n: usize) -> ExecutionEvent {
    let context = ExecutionContext::new(execution.clone());
    ExecutionEvent::new(ExecutionEventType::StepStart, context).with_payload(payload(n))
}
