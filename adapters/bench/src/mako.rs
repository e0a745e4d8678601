//! mako-engine: events of processes, and the messages that go with them.
//!
//! Owns its workloads. Events and outbox are two traits: some stores are both, others are a pair.

use crate::events::{batches, payload};
use crate::store::{ANNALS, ANNALS_IN_MEMORY, Entry, Promise};
use crate::watch::Watch;
use annals::EventLog;
use annals_mako::MakoStore;
use futures::FutureExt;
use mako_engine::envelope::NewEvent;
use mako_engine::event_store::{AppendBatch, AtomicAppend, EventStore, ExpectedVersion, InMemoryEventStore};
use mako_engine::ids::{ConversationId, CorrelationId, OutboxMessageId, ProcessId, StreamId, TenantId};
use mako_engine::outbox::{InMemoryOutboxStore, OutboxStore, PendingOutbox};
use mako_engine::store_slatedb::SlateDbStore;
use mako_engine::version::WorkflowId;
use measure::Outcome;
use slatedb::object_store::local::LocalFileSystem;
use std::collections::VecDeque;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

const INTERFACE: &str = "mako";

/// How many messages a delivery worker of the engine asks for at a time.
const CLAIMED: usize = 50;

pub(crate) fn entries() -> Vec<Entry> {
    vec![
        Entry {
            interface: INTERFACE,
            name: ANNALS,
            promise: Promise::Synced,
            used: "one commit of the log for an append with all that belongs to it",
            run: |dir, watch| async move { annals(&MakoStore::open(dir)?, watch).await }.boxed_local(),
        },
        Entry {
            interface: INTERFACE,
            name: "SlateDB, synced",
            promise: Promise::Synced,
            used: "`SlateDbStore::open` on a local object store `with_fsync(true)`; a write waits for the next flush of \
                   SlateDB's log, every 100 ms, an interval that `SlateDbStore` does not let one set",
            run: |dir, watch| async move { slate(synced(dir).await?, watch).await }.boxed_local(),
        },
        Entry {
            interface: INTERFACE,
            name: "SlateDB",
            promise: Promise::Unsynced,
            used: "`SlateDbStore::open_local`: as above, but no file is synced",
            run: |dir, watch| {
                async move { slate(SlateDbStore::open_local(dir).await?, watch).await }.boxed_local()
            },
        },
        Entry {
            interface: INTERFACE,
            name: ANNALS_IN_MEMORY,
            promise: Promise::Memory,
            used: "the adapter on `EventLog::in_memory`",
            run: |_, watch| {
                async move { annals(&MakoStore::new(EventLog::in_memory()?), watch).await }.boxed_local()
            },
        },
        Entry {
            interface: INTERFACE,
            name: "InMemory stores",
            promise: Promise::Memory,
            used: "`InMemoryEventStore` beside `InMemoryOutboxStore`, between which nothing is atomic: messages are handed \
                   over after the append; claiming and acknowledging go through all messages",
            run: |_, watch| {
                let (events, outbox) = (InMemoryEventStore::new(), InMemoryOutboxStore::new());
                async move { workloads(&Stores { events, outbox, is_pair: true }, watch).await }.boxed_local()
            },
        },
    ]
}

async fn annals(store: &MakoStore, watch: &mut Watch) -> Outcome<()> {
    let stores = Stores { events: store.clone(), outbox: store.clone(), is_pair: false };
    workloads(&stores, watch).await?;
    Ok(store.log().close()?)
}

async fn synced(dir: &Path) -> Outcome<SlateDbStore> {
    let files = LocalFileSystem::new_with_prefix(dir)?.with_fsync(true);
    Ok(SlateDbStore::open("db", Arc::new(files)).await?)
}

async fn slate(store: SlateDbStore, watch: &mut Watch) -> Outcome<()> {
    let stores = Stores { events: store.clone(), outbox: store.clone(), is_pair: false };
    workloads(&stores, watch).await?;
    Ok(store.close().await?)
}

/// An event store and an outbox.
#[derive(Clone)]
struct Stores<E, O> {
    events: E,
    outbox: O,
    /// Whether the outbox does not see what was appended with events.
    is_pair: bool,
}

/// What the workloads need of them, with futures that may go to other threads: the traits of mako-engine do not say so, but
/// those of each store are.
trait Store: Clone + Send + Sync + 'static {
    fn append(
        &self,
        stream: &StreamId,
        expected: usize,
        events: &[NewEvent],
        messages: &[PendingOutbox],
    ) -> impl Future<Output = Outcome<()>> + Send;
    fn load(&self, stream: &StreamId) -> impl Future<Output = Outcome<usize>> + Send;
    fn claim(&self) -> impl Future<Output = Outcome<Vec<OutboxMessageId>>> + Send;
    fn acknowledge(&self, message: OutboxMessageId) -> impl Future<Output = Outcome<()>> + Send;
}

macro_rules! stores {
    ($($events:ty, $outbox:ty;)*) => {$(
        impl Store for Stores<$events, $outbox> {
            async fn append(
                &self,
                stream: &StreamId,
                expected: usize,
                events: &[NewEvent],
                messages: &[PendingOutbox],
            ) -> Outcome<()> {
                let batch = AppendBatch::new(stream, ExpectedVersion::Exact(expected as u64), events);
                let appended = self.events.append(batch.outbox(messages)).await?;
                if self.is_pair && !appended.outbox.is_empty() {
                    self.outbox.enqueue(&appended.outbox).await?;
                }
                Ok(())
            }

            async fn load(&self, stream: &StreamId) -> Outcome<usize> {
                Ok(EventStore::load(&self.events, stream).await?.len())
            }

            async fn claim(&self) -> Outcome<Vec<OutboxMessageId>> {
                let messages = self.outbox.pending_now(CLAIMED).await?;
                Ok(messages.into_iter().map(|message| message.message_id).collect())
            }

            async fn acknowledge(&self, message: OutboxMessageId) -> Outcome<()> {
                Ok(OutboxStore::acknowledge(&self.outbox, message).await?)
            }
        }
    )*};
}

stores! {
    MakoStore, MakoStore;
    SlateDbStore, SlateDbStore;
    InMemoryEventStore, InMemoryOutboxStore;
}

async fn workloads(store: &impl Store, watch: &mut Watch) -> Outcome<()> {
    let loaded = stream("loaded")?;
    for batch in batches(watch.events) {
        store.append(&loaded, batch.start, &batch.map(event).collect::<Vec<_>>(), &[]).await?;
    }
    watch.whole("load", watch.events, async || store.load(&loaded).await).await?;

    let appended = stream("appended")?;
    watch.repeat("append", async |n| store.append(&appended, n, &[event(n)], &[]).await).await?;
    watch
        .at_once("append, 16 tasks", |task| {
            let store = store.clone();
            move |n| {
                let store = store.clone();
                async move { store.append(&stream(&format!("task-{task}"))?, n, &[event(n)], &[]).await }
            }
        })
        .await?;

    let sending = stream("sending")?;
    let call = async |n| store.append(&sending, n, &[event(n)], &[message(n)]).await;
    watch.repeat("append with a message", call).await?;

    let messages: Vec<_> = (0..watch.events.min(2_000)).map(message).collect();
    store.append(&stream("waiting")?, 0, &[event(0)], &messages).await?;
    let mut claimed = VecDeque::new();
    let deliver = async |_| {
        if claimed.is_empty() {
            claimed.extend(store.claim().await?);
        }
        store.acknowledge(claimed.pop_front().ok_or("no message is pending")?).await
    };
    watch.repeat_up_to("claim 50, acknowledge each", messages.len(), deliver).await
}

fn stream(name: &str) -> Outcome<StreamId> {
    Ok(StreamId::try_new(format!("process/bench/{name}"))?)
}

fn event(n: usize) -> NewEvent {
    let (correlation, conversation, process) =
        (CorrelationId::new(), ConversationId::new(), ProcessId::new());
    let tenant = TenantId::from_party_id("9900123456789");
    let workflow = WorkflowId::new("supplier-change", "FV2025-10-01");
    NewEvent::new(correlation, None, conversation, process, tenant, workflow, "Placed", 1, payload(n))
}

fn message(n: usize) -> PendingOutbox {
    PendingOutbox::new("UTILMD", "9900000000001", payload(n))
}
