//! Customers change their supplier: mako-engine with all of its stores on one log.
//!
//! ```text
//! cargo run --release -p annals-mako --example supplier_change -- [DIR]
//! ```
//!
//! Three customers want to be supplied by us. For each of them a process asks the supplier they have now, by a message that the
//! outbox worker delivers, and starts a deadline, which the scheduler watches: event, message, deadline and business key in one
//! append. One supplier confirms (twice, as messages do come twice), one does not answer in time, and one cannot be reached. At the
//! end, the log is read: what became of the customers, what is left to do, and what the dead letters say.
//!
//! Run again, it says what it found: the processes of the runs before, and whatever was not finished in them.

use annals::{Query, RecordedEvent};
use annals_mako::MakoStore;
use mako_engine::builder::{As4Sender, EngineBuilder, EngineContext};
use mako_engine::deadline::{Deadline, DeadlineStore};
use mako_engine::envelope::EventEnvelope;
use mako_engine::error::{EngineError, WorkflowError};
use mako_engine::event_store::{CorrelationEntry, EventStore};
use mako_engine::ids::{ProcessIdentity, TenantId};
use mako_engine::inbox::{InboxClaim, InboxStore, inbox_key};
use mako_engine::outbox::{OutboxMessage, OutboxStore, PendingOutbox};
use mako_engine::process::{Process, RunOptions};
use mako_engine::projection::{Projection, ProjectionRunner};
use mako_engine::registry::ProcessRegistry;
use mako_engine::version::WorkflowId;
use mako_engine::workflow::{CommandPayload, EventPayload, PendingDeadline, Workflow, WorkflowOutput};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

/// Our own code as a supplier, and those of others: one confirms, one does not answer, one has no endpoint.
const OURS: &str = "9900123456789";
const CONFIRMS: &str = "9900000000001";
const SILENT: &str = "9900000000002";
const UNREACHABLE: &str = "9900000000003";

/// The change of a customer's supplier, from the question to its end.
struct SupplierChange;

#[derive(Serialize, Deserialize)]
enum Event {
    Asked { malo: String, supplier: String },
    Confirmed,
    Lapsed,
}

#[derive(Clone)]
enum Command {
    Ask { malo: String, supplier: String, answer_until: OffsetDateTime },
    Confirm,
    Lapse,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct State {
    malo: String,
    supplier: String,
    ending: Option<String>,
}

impl CommandPayload for Command {}

impl EventPayload for Event {
    fn event_type(&self) -> &'static str {
        match self {
            Event::Asked { .. } => "SupplierChangeAsked",
            Event::Confirmed => "SupplierChangeConfirmed",
            Event::Lapsed => "SupplierChangeLapsed",
        }
    }
}

impl Workflow for SupplierChange {
    type State = State;
    type Event = Event;
    type Command = Command;

    const DEADLINE_LABELS: &'static [&'static str] = &["answer"];

    fn apply(mut state: State, event: &Event) -> State {
        match event {
            Event::Asked { malo, supplier } => {
                (state.malo, state.supplier) = (malo.clone(), supplier.clone());
            }
            Event::Confirmed => state.ending = Some("confirmed".to_owned()),
            Event::Lapsed => state.ending = Some("no answer in time".to_owned()),
        }
        state
    }

    fn handle(state: &State, command: Command) -> Result<WorkflowOutput<Event>, WorkflowError> {
        match command {
            Command::Ask { malo, supplier, answer_until } => Ok(WorkflowOutput::with_outbox_and_deadline(
                vec![Event::Asked { malo: malo.clone(), supplier: supplier.clone() }],
                vec![PendingOutbox::new("UTILMD", supplier, json!({ "malo": malo, "from": OURS }))],
                PendingDeadline::new("answer", answer_until),
            )),
            _ if state.ending.is_some() => Err(WorkflowError::rejected("the change has ended")),
            Command::Confirm => Ok(vec![Event::Confirmed].into()),
            Command::Lapse => Ok(vec![Event::Lapsed].into()),
        }
    }

    fn on_deadline(_: &Deadline, state: &State) -> Option<Command> {
        state.ending.is_none().then_some(Command::Lapse)
    }
}

/// The way to other suppliers.
struct Wire;

impl As4Sender for Wire {
    async fn send(&self, message: &OutboxMessage) -> Result<(), EngineError> {
        match &*message.recipient {
            UNREACHABLE => Err(EngineError::PartnerUnknown { recipient: message.recipient.clone() }),
            _ => Ok(()),
        }
    }
}

/// A read model: what it was shown in this run.
#[derive(Default)]
struct Ended {
    confirmed: u64,
    lapsed: u64,
}

impl Projection for Ended {
    fn name(&self) -> &'static str {
        "ended"
    }

    fn handle_event(&mut self, event: &EventEnvelope) {
        self.confirmed += u64::from(&*event.event_type == "SupplierChangeConfirmed");
        self.lapsed += u64::from(&*event.event_type == "SupplierChangeLapsed");
    }
}

/// The engine, with every store on one log.
type Engine = EngineContext<MakoStore, MakoStore, MakoStore, MakoStore, MakoStore>;

fn engine(store: &MakoStore) -> Engine {
    EngineBuilder::with_stores(store.clone(), store.clone(), store.clone())
        .with_event_store(store.clone())
        .with_snapshot_store(store.clone())
        .with_dead_letter_sink(store.clone())
        .build()
}

fn tenant() -> TenantId {
    TenantId::from_party_id(OURS)
}

/// A customer's process: its event, its message, its deadline and its business key in one append.
async fn ask(engine: &Engine, malo: &str, supplier: &str) -> Result<(), EngineError> {
    let process =
        engine.spawn::<SupplierChange>(tenant(), WorkflowId::new("supplier-change", "FV2025-10-01"));
    let key = [CorrelationEntry {
        tenant_id: tenant(),
        tag: malo.to_owned(),
        process_id: process.process_id(),
        identity: process.identity(),
    }];
    let answer_until = OffsetDateTime::now_utc() + Duration::from_millis(300);
    let command = Command::Ask { malo: malo.to_owned(), supplier: supplier.to_owned(), answer_until };
    process.run(command, RunOptions::new().correlations(&key)).await.map(drop)
}

/// A confirmation comes in: once it is dealt with, and never again. Whether it was new.
async fn confirmation(engine: &Engine, store: &MakoStore, malo: &str) -> Result<bool, Box<dyn Error>> {
    let key = inbox_key(CONFIRMS, &format!("confirmation-{malo}"))?;
    let InboxClaim::Claimed(claim) = store.claim(&key).await? else { return Ok(false) };
    for identity in engine.registry().lookup_correlated(tenant(), malo).await? {
        engine.resume::<SupplierChange>(identity).run(Command::Confirm, RunOptions::new()).await?;
    }
    store.accept(&key, claim).await?;
    Ok(true)
}

/// Runs the outbox worker and the deadline scheduler until both have nothing left to do.
async fn work(engine: &Engine, store: &MakoStore) -> Result<(), Box<dyn Error>> {
    let (stop, pause) = (CancellationToken::new(), Duration::from_millis(20));
    let worker = engine.run_outbox_worker(Wire, 50, pause, 10, Duration::from_secs(72 * 3_600));
    let events = engine.event_store().clone();
    let fire = move |deadline: Deadline| lapse(events.clone(), deadline);
    let scheduler = engine.run_deadline_scheduler(fire, 50, pause);
    let worker = tokio::spawn(worker.with_shutdown(stop.clone()).run());
    let scheduler = tokio::spawn(scheduler.with_shutdown(stop.clone()).run());
    while !OutboxStore::is_empty(store).await? || !DeadlineStore::is_empty(store).await? {
        tokio::time::sleep(pause).await;
    }
    stop.cancel();
    worker.await?;
    scheduler.await?;
    Ok(())
}

/// A deadline has passed: the process it belongs to decides what that means.
async fn lapse(events: Arc<MakoStore>, deadline: Deadline) -> Result<(), EngineError> {
    let workflow = deadline.workflow_id().clone();
    let identity = ProcessIdentity::new(deadline.process_id(), deadline.tenant_id(), workflow);
    let process = Process::<SupplierChange, _>::from_identity(events, identity);
    process.run_timeout(&deadline, RunOptions::new()).await.map(drop)
}

/// What became of each of the customers whose codes begin like this.
async fn report(engine: &Engine, malos: &[String], out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    writeln!(out, "\ncustomer          asked            events  what became of it")?;
    for malo in malos {
        for identity in engine.registry().lookup_correlated(tenant(), malo).await? {
            let process = engine.resume::<SupplierChange>(identity);
            let (state, events) = (process.state().await?, process.event_count().await?);
            let ending = state.ending.as_deref().unwrap_or("open");
            writeln!(out, "{:<16}  {:<15}  {events:>6}  {ending}", state.malo, state.supplier)?;
        }
    }
    Ok(())
}

/// What an event of the dead letters says.
fn dead_letter(event: &RecordedEvent) -> Result<String, Box<dyn Error>> {
    let letter: Value = serde_json::from_slice(event.payload())?;
    let text = |field: &str| letter[field].as_str().unwrap_or_default().to_owned();
    Ok(format!("{} to {}: {}", text("message_type"), text("recipient"), text("last_error")))
}

async fn run(store: &MakoStore, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let engine = engine(store);
    let before = store.list_streams(Some("process/")).await?.len();
    let (messages, deadlines) = (OutboxStore::len(store).await?, DeadlineStore::len(store).await?);
    writeln!(
        out,
        "Found     {before} processes of earlier runs, {messages} messages and {deadlines} deadlines open"
    )?;

    let malos: Vec<String> = (1..=3).map(|n| format!("{:011}", 51_238_696_000 + before + n)).collect();
    for (malo, supplier) in malos.iter().zip([CONFIRMS, SILENT, UNREACHABLE]) {
        ask(&engine, malo, supplier).await?;
    }
    let (messages, deadlines) = (OutboxStore::len(store).await?, DeadlineStore::len(store).await?);
    writeln!(
        out,
        "Asked     3 suppliers: {messages} messages wait in the outbox, {deadlines} deadlines run"
    )?;

    let first = confirmation(&engine, store, &malos[0]).await?;
    let second = confirmation(&engine, store, &malos[0]).await?;
    let answer = |new| if new { "dealt with" } else { "known already" };
    writeln!(out, "Answered  a confirmation came in twice: {}, then {}", answer(first), answer(second))?;

    work(&engine, store).await?;
    writeln!(out, "Worked    until no message was left to deliver, and no deadline to watch")?;
    report(&engine, &malos, out).await?;

    let mut ended = Ended::default();
    ProjectionRunner::catch_up_persistent(&mut ended, store, Some("process/"), "ended").await?;
    writeln!(out, "\nSince the last run, {} confirmed and {} lapsed.", ended.confirmed, ended.lapsed)?;
    let letters = store.log().read(&Query::stream(store.dead_letter_stream()).backward().limit(1));
    for letter in letters {
        writeln!(out, "The last dead letter: {}.", dead_letter(&letter?)?)?;
    }
    let (streams, events) = (store.list_streams(None).await?.len(), store.log().last_position());
    writeln!(out, "In the log: {streams} processes, and {events} events with the dead letters.")?;
    Ok(())
}

/// Opens the log in a directory, runs, and closes it. Opening and closing block: they are outside of the runtime.
fn run_in(dir: &Path, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let store = MakoStore::open(dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build()?;
    runtime.block_on(run(&store, out))?;
    Ok(store.log().close()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args_os().nth(1).unwrap_or_else(|| "target/supplier-change".into());
    run_in(Path::new(&dir), &mut io::stdout())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_twice_and_finds_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        for (found, events) in [(0, 6), (3, 12)] {
            let mut out = Vec::new();
            run_in(dir.path(), &mut out).unwrap();
            let out = String::from_utf8(out).unwrap();
            for line in [
                &format!("Found     {found} processes of earlier runs, 0 messages and 0 deadlines open"),
                "Asked     3 suppliers: 3 messages wait in the outbox, 3 deadlines run",
                "Answered  a confirmation came in twice: dealt with, then known already",
                "9900000000001         2  confirmed",
                "9900000000002         2  no answer in time",
                "9900000000003         2  no answer in time",
                "Since the last run, 1 confirmed and 2 lapsed.",
                "The last dead letter: UTILMD to 9900000000003: no AS4 endpoint configured for recipient 9900000000003.",
                &format!(
                    "In the log: {} processes, and {} events with the dead letters.",
                    found + 3,
                    events + found / 3 + 1
                ),
            ] {
                assert!(out.contains(line), "{line}\n is not in\n{out}");
            }
        }
    }
}
