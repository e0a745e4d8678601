//! The framework of 0.22 itself: processes, the outbox worker and the deadline scheduler on one log.

use super::make::second;
use super::mako::builder::{As4Sender, EngineBuilder, EngineContext};
use super::mako::deadline::{Deadline, DeadlineStore};
use super::mako::error::{EngineError, WorkflowError};
use super::mako::event_store::CorrelationEntry;
use super::mako::ids::{ProcessIdentity, TenantId};
use super::mako::outbox::{OutboxMessage, OutboxStore, PendingOutbox};
use super::mako::process::Process;
use super::mako::registry::ProcessRegistry;
use super::mako::version::WorkflowId;
use super::mako::workflow::{CommandPayload, EventPayload, PendingDeadline, Workflow, WorkflowOutput};
use crate::shelf::{fresh, names};
use annals_mako::MakoStore;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A customer wants another supplier: asked, and confirmed or lapsed.
struct SupplierChange;

#[derive(Serialize, Deserialize)]
enum Event {
    Asked,
    Lapsed,
}

#[derive(Clone)]
enum Command {
    Ask,
    Lapse,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct State {
    asked: u32,
    lapsed: bool,
}

impl CommandPayload for Command {}

impl EventPayload for Event {
    fn event_type(&self) -> &'static str {
        match self {
            Event::Asked => "Asked",
            Event::Lapsed => "Lapsed",
        }
    }
}

impl Workflow for SupplierChange {
    type State = State;
    type Event = Event;
    type Command = Command;

    fn apply(mut state: State, event: &Event) -> State {
        match event {
            Event::Asked => state.asked += 1,
            Event::Lapsed => state.lapsed = true,
        }
        state
    }

    fn handle(_: &State, command: Command) -> Result<WorkflowOutput<Event>, WorkflowError> {
        Ok(match command {
            Command::Ask => WorkflowOutput::with_outbox_and_deadline(
                vec![Event::Asked],
                vec![PendingOutbox::new("UTILMD", "9900000000002", json!({}))],
                PendingDeadline::new("antwort", second(0)),
            ),
            Command::Lapse => vec![Event::Lapsed].into(),
        })
    }

    fn on_deadline(_: &Deadline, state: &State) -> Option<Command> {
        (!state.lapsed).then_some(Command::Lapse)
    }
}

#[derive(Clone, Default)]
struct Sender(Arc<Mutex<Vec<OutboxMessage>>>);

impl As4Sender for Sender {
    async fn send(&self, message: &OutboxMessage) -> Result<(), EngineError> {
        self.0.lock().unwrap().push(message.clone());
        Ok(())
    }
}

#[tokio::test]
async fn a_process_asks_and_lapses() {
    let store = fresh();
    let context: EngineContext<MakoStore, MakoStore, MakoStore, MakoStore, MakoStore> =
        EngineBuilder::with_stores((*store).clone(), (*store).clone(), (*store).clone())
            .with_event_store((*store).clone())
            .with_snapshot_store((*store).clone())
            .with_dead_letter_sink((*store).clone())
            .build();
    context.assert_production_stores();
    let tenant = TenantId::from_party_id("9900123456789");
    let id = WorkflowId::new("supplier-change", "FV2025-10-01");
    let process = context.spawn::<SupplierChange>(tenant, id);
    let tag = CorrelationEntry {
        tenant_id: tenant,
        tag: "51238696012".to_owned(),
        process_id: process.process_id(),
        identity: process.identity(),
    };
    let tags = std::slice::from_ref(&tag);
    process.execute_and_enqueue_with_deadlines_and_correlations(Command::Ask, &[], tags).await.unwrap();
    assert!(process.take_snapshot(context.snapshot_store(), 1).await.unwrap());
    let found = context.registry().lookup_correlated(tenant, "51238696012").await.unwrap();
    let resumed = context.resume::<SupplierChange>(found[0].clone());
    assert_eq!(resumed.state_with_snapshot(context.snapshot_store()).await.unwrap().asked, 1);

    let (sender, stop) = (Sender::default(), CancellationToken::new());
    let pause = Duration::from_millis(5);
    let worker = context.run_outbox_worker(sender.clone(), 2, pause, 10, Duration::from_secs(3_600));
    let events = context.event_store().clone();
    let fire = move |due: Deadline| {
        let events = events.clone();
        async move {
            let id = ProcessIdentity::new(due.process_id(), due.tenant_id(), due.workflow_id().clone());
            Process::<SupplierChange, _>::from_identity(events, id).execute_timeout(&due).await.map(drop)
        }
    };
    let scheduler = context.run_deadline_scheduler(fire, 9, pause);
    let worker = tokio::spawn(worker.with_shutdown(stop.clone()).run());
    let scheduler = tokio::spawn(scheduler.with_shutdown(stop.clone()).run());
    while !OutboxStore::is_empty(&*store).await.unwrap() || !DeadlineStore::is_empty(&*store).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stop.cancel();
    worker.await.unwrap();
    scheduler.await.unwrap();
    assert_eq!(sender.0.lock().unwrap().len(), 1);
    assert!(resumed.state().await.unwrap().lapsed);
    assert!(names(&store, "mako/outbox/").is_empty() && names(&store, "mako/deadline/").is_empty());
}
