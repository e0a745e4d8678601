//! The framework of 0.23 itself: processes, the outbox worker, the deadline scheduler and a migration on one log.

use super::make::{json_of, second};
use super::mako::builder::{As4Sender, EngineBuilder, EngineContext};
use super::mako::dead_letter::DeadLetterReason;
use super::mako::deadline::{Deadline, DeadlineStore};
use super::mako::error::{EngineError, WorkflowError};
use super::mako::event_store::CorrelationEntry;
use super::mako::ids::{ProcessIdentity, TenantId};
use super::mako::migration::{IdentityMigration, MigrationRunner};
use super::mako::outbox::{OutboxMessage, OutboxStore, PendingOutbox};
use super::mako::process::{Process, RunOptions};
use super::mako::registry::{ProcessRegistry, RegistryKey};
use super::mako::snapshot::SnapshotStore;
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Event {
    Asked { malo: String },
    Confirmed,
    Lapsed,
    Noted(u32),
}

#[derive(Clone)]
enum Command {
    Ask { malo: String },
    Confirm,
    Lapse,
    Note(u32),
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct State {
    malo: Option<String>,
    answered: bool,
    lapsed: bool,
    notes: Vec<u32>,
}

impl CommandPayload for Command {}

impl EventPayload for Event {
    fn event_type(&self) -> &'static str {
        match self {
            Event::Asked { .. } => "Asked",
            Event::Confirmed => "Confirmed",
            Event::Lapsed => "Lapsed",
            Event::Noted(_) => "Noted",
        }
    }
}

impl Workflow for SupplierChange {
    type State = State;
    type Event = Event;
    type Command = Command;

    const DEADLINE_LABELS: &'static [&'static str] = &["antwort"];

    fn apply(mut state: State, event: &Event) -> State {
        match event {
            Event::Asked { malo } => state.malo = Some(malo.clone()),
            Event::Confirmed => state.answered = true,
            Event::Lapsed => state.lapsed = true,
            Event::Noted(note) => state.notes.push(*note),
        }
        state
    }

    fn handle(state: &State, command: Command) -> Result<WorkflowOutput<Event>, WorkflowError> {
        match command {
            Command::Ask { malo } if state.malo.is_none() => Ok(WorkflowOutput::with_outbox_and_deadline(
                vec![Event::Asked { malo: malo.clone() }],
                vec![PendingOutbox::new("UTILMD", "9900000000002", json!({ "malo": malo }))],
                PendingDeadline::new("antwort", second(0)),
            )),
            Command::Confirm if !state.lapsed => Ok(vec![Event::Confirmed].into()),
            Command::Lapse => Ok(vec![Event::Lapsed].into()),
            Command::Note(note) => Ok(vec![Event::Noted(note)].into()),
            _ => Err(WorkflowError::rejected("not now")),
        }
    }

    fn on_deadline(_: &Deadline, state: &State) -> Option<Command> {
        (!state.answered && !state.lapsed).then_some(Command::Lapse)
    }
}

type Context = EngineContext<MakoStore, MakoStore, MakoStore, MakoStore, MakoStore>;

fn engine(store: &MakoStore) -> Context {
    let context = EngineBuilder::with_stores(store.clone(), store.clone(), store.clone())
        .with_event_store(store.clone())
        .with_snapshot_store(store.clone())
        .with_dead_letter_sink(store.clone())
        .build();
    context.assert_production_stores();
    context
}

fn workflow() -> WorkflowId {
    WorkflowId::new("supplier-change", "FV2025-10-01")
}

/// A process with its business key.
async fn ask(context: &Context, malo: &str) -> Process<SupplierChange, Arc<MakoStore>> {
    let tenant = TenantId::from_party_id("9900123456789");
    let process = context.spawn::<SupplierChange>(tenant, workflow());
    let tag = CorrelationEntry {
        tenant_id: tenant,
        tag: malo.to_owned(),
        process_id: process.process_id(),
        identity: process.identity(),
    };
    let options = RunOptions::new().correlations(std::slice::from_ref(&tag));
    let ran = process.run(Command::Ask { malo: malo.to_owned() }, options).await.unwrap();
    assert_eq!((ran.events.len(), ran.outbox.len(), ran.deadlines.len()), (1, 1, 1));
    process
}

#[tokio::test]
async fn a_process_lives_on_the_log() {
    let store = fresh();
    let context = engine(&store);
    let process = ask(&context, "51238696012").await;
    let found = context.registry().lookup_correlated(process.tenant_id(), "51238696012").await.unwrap();
    let resumed = context.resume::<SupplierChange>(found[0].clone());
    for note in 0..7 {
        let options = RunOptions::new().snapshot(context.snapshot_store(), 3);
        let ran = resumed.run(Command::Note(note), options).await.unwrap();
        assert_eq!(ran.snapshot_taken, (note + 2) % 3 == 0, "note {note}");
    }
    let refused = resumed.run(Command::Ask { malo: "again".into() }, RunOptions::new()).await.unwrap_err();
    assert!(refused.is_workflow_error());
    let state = State { malo: Some("51238696012".into()), notes: (0..7).collect(), ..State::default() };
    assert_eq!(resumed.state().await.unwrap(), state);
    assert_eq!(resumed.state_with_snapshot(context.snapshot_store()).await.unwrap(), state);
    assert_eq!(resumed.event_count().await.unwrap(), 8);
    let snapshot = context.snapshot_store();
    let snapshot = SnapshotStore::load(snapshot, resumed.stream_id()).await.unwrap().unwrap();
    assert_eq!(snapshot.sequence_number, 6);

    drop((context, process));
    let store = store.reopen();
    let context = engine(&store);
    let resumed = context.resume::<SupplierChange>(found[0].clone());
    assert_eq!(resumed.state_with_snapshot(context.snapshot_store()).await.unwrap(), state);
}

/// They retry on a conflict, each on the state that it finds then.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commands_at_once_all_get_through() {
    let store = fresh();
    let context = Arc::new(engine(&store));
    let process = ask(&context, "1").await;
    let mut at_once = tokio::task::JoinSet::new();
    for note in 0..12 {
        let process = process.clone();
        at_once.spawn(async move {
            process.run(Command::Note(note), RunOptions::new().attempts(200)).await.unwrap();
        });
    }
    at_once.join_all().await;
    let mut notes = process.state().await.unwrap().notes;
    notes.sort_unstable();
    assert_eq!(notes, (0..12).collect::<Vec<_>>());
}

/// The framework asks for the version first and reads the events then: whatever is appended between the two, the state must
/// hold all that the snapshot claims.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_snapshot_taken_while_appends_are_in_flight_claims_only_what_was_applied() {
    let store = fresh();
    let context = engine(&store);
    let process = ask(&context, "51238696012").await;
    let mut appending = tokio::task::JoinSet::new();
    for task in 0..3 {
        let process = process.clone();
        appending.spawn(async move {
            for note in 0..40 {
                process
                    .run(Command::Note(task * 100 + note), RunOptions::new().attempts(1000))
                    .await
                    .unwrap();
            }
        });
    }
    let mut taken = 0;
    while let None | Some(Ok(())) = appending.try_join_next() {
        if process.take_snapshot(context.snapshot_store(), 1).await.unwrap() {
            taken += 1;
            let snapshots = context.snapshot_store();
            let snapshot = SnapshotStore::load(snapshots, process.stream_id()).await.unwrap().unwrap();
            let state: State = serde_json::from_value(snapshot.state).unwrap();
            let applied = u64::from(state.malo.is_some()) + state.notes.len() as u64;
            assert!(
                snapshot.sequence_number <= applied,
                "{} claimed, {applied} applied",
                snapshot.sequence_number
            );
            assert!(process.event_count().await.unwrap() >= applied, "applied, and not durable");
        }
        if appending.is_empty() {
            break;
        }
    }
    assert!(taken > 1, "no snapshot was taken while appends were in flight");
    assert_eq!(process.event_count().await.unwrap(), 121);
}

/// Delivers what it is given, after it has refused it so often.
#[derive(Clone, Default)]
struct Sender {
    delivered: Arc<Mutex<Vec<OutboxMessage>>>,
    unknown: bool,
}

impl As4Sender for Sender {
    async fn send(&self, message: &OutboxMessage) -> Result<(), EngineError> {
        if self.unknown {
            return Err(EngineError::PartnerUnknown { recipient: message.recipient.clone() });
        }
        self.delivered.lock().unwrap().push(message.clone());
        Ok(())
    }
}

/// Runs a worker until something is so.
async fn until(
    worker: impl Future<Output = ()> + Send + 'static,
    stop: CancellationToken,
    mut is_so: impl AsyncFnMut() -> bool,
) {
    let worker = tokio::spawn(worker);
    while !is_so().await {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stop.cancel();
    worker.await.unwrap();
}

#[tokio::test]
async fn the_outbox_worker_delivers_what_processes_send() {
    let store = fresh();
    let context = engine(&store);
    let mut asked = Vec::new();
    for n in 0..5 {
        asked.push(ask(&context, &n.to_string()).await.stream_id().clone());
    }
    let (sender, stop) = (Sender::default(), CancellationToken::new());
    let pause = Duration::from_millis(5);
    let worker = context.run_outbox_worker(sender.clone(), 2, pause, 10, Duration::from_secs(3_600));
    let emptied = async || OutboxStore::is_empty(&*store).await.unwrap();
    until(worker.with_shutdown(stop.clone()).run(), stop, emptied).await;
    let delivered = sender.delivered.lock().unwrap().clone();
    assert_eq!(
        delivered.iter().map(|message| &message.stream_id).collect::<Vec<_>>(),
        asked.iter().collect::<Vec<_>>()
    );
    assert!(delivered.iter().all(|message| message.first_attempt_at.is_some()), "noted before it was sent");
    assert!(names(&store, "mako/outbox/").is_empty());
}

#[tokio::test]
async fn what_cannot_be_delivered_is_rejected_and_gone() {
    let store = fresh();
    let context = engine(&store);
    ask(&context, "1").await;
    let (sender, stop) = (Sender { unknown: true, ..Sender::default() }, CancellationToken::new());
    let worker =
        context.run_outbox_worker(sender, 9, Duration::from_millis(5), 10, Duration::from_secs(3_600));
    let emptied = async || OutboxStore::is_empty(&*store).await.unwrap();
    until(worker.with_shutdown(stop.clone()).run(), stop, emptied).await;
    let letter = store.log().last_event(store.dead_letter_stream()).unwrap().unwrap();
    assert_eq!(letter.event_type(), "outbox_exhausted");
    let letter: serde_json::Value = serde_json::from_slice(letter.payload()).unwrap();
    assert_eq!(letter["last_error"], "no AS4 endpoint configured for recipient 9900000000002");
    let sink = context.dead_letter_sink();
    let context = super::mako::dead_letter::AuditContext::now();
    sink.reject(&DeadLetterReason::TestMessage { context }).await.unwrap();
    assert_eq!(store.log().stream_version(store.dead_letter_stream()), 2);
}

#[tokio::test]
async fn the_scheduler_fires_what_is_due() {
    let store = fresh();
    let context = engine(&store);
    let (late, answered) = (ask(&context, "late").await, ask(&context, "answered").await);
    answered.run(Command::Confirm, RunOptions::new()).await.unwrap();
    let stop = CancellationToken::new();
    let events = context.event_store().clone();
    let fire = move |due: Deadline| {
        let events = events.clone();
        async move {
            let id = ProcessIdentity::new(due.process_id(), due.tenant_id(), due.workflow_id().clone());
            let process = Process::<SupplierChange, _>::from_identity(events, id);
            process.run_timeout(&due, RunOptions::new()).await.map(drop)
        }
    };
    let scheduler = context.run_deadline_scheduler(fire, 1, Duration::from_millis(5));
    let fired = async || DeadlineStore::is_empty(&*store).await.unwrap();
    until(scheduler.with_shutdown(stop.clone()).run(), stop, fired).await;
    assert!(late.state().await.unwrap().lapsed);
    assert!(!answered.state().await.unwrap().lapsed);
    assert!(names(&store, "mako/deadline/").is_empty());
}

/// The framework repoints snapshots and keys to a new format version.
#[tokio::test]
async fn a_migration_finds_its_snapshots_and_keys() {
    let store = fresh();
    let context = engine(&store);
    let process = ask(&context, "1").await;
    process.take_snapshot(context.snapshot_store(), 1).await.unwrap();
    let key = RegistryKey::from_process(process.process_id());
    let registry = context.registry();
    ProcessRegistry::register(registry, process.tenant_id(), &key, process.identity()).await.unwrap();
    let next = WorkflowId::new("supplier-change", "FV2026-04-01");
    let migration = IdentityMigration::<SupplierChange>::new(workflow(), next.clone());
    let runner = MigrationRunner::new(migration, (*store).clone(), (*store).clone());
    let report = runner.run_and_update_registry(&*store).await;
    assert_eq!((report.migrated, report.errors.len()), (1, 0), "{report:?}");
    let found = store.lookup(process.tenant_id(), &key).await.unwrap().unwrap();
    assert_eq!(json_of(&found.workflow_id), json_of(&next));
}
