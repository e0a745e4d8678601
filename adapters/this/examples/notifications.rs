//! The framework itself: its bus publishes, its runtime of flows tells people of it, and the log between the two outlives both.
//!
//! ```text
//! cargo run -p annals-this --example notifications -- [DIR]
//! ```
//!
//! People follow one another, which the bus publishes. A flow makes a notification of each follow and delivers it to a mailbox.
//! In the middle of the day the runtime is stopped while people go on, and the program closes its log; opened again, the runtime
//! goes on behind what it has acknowledged. Run it twice: it says what it found from the run before.

use annals_this::ThisLog;
use anyhow::{Result, ensure};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use this::config::sinks::SinkType;
use this::core::events::{EventBus, FrameworkEvent, LinkEvent};
use this::events::sinks::{Sink, SinkRegistry};
use this::events::{EventLog, FlowRuntime, SeekPosition, compile_flow};
use this::prelude::Uuid;
use this::storage::InMemoryLinkService;
use tokio::task::{JoinHandle, spawn_blocking};

const CONSUMER: &str = "notifications";

/// The flow, as it would stand in `this.yaml`.
fn flow() -> Value {
    json!({
        "name": "tell of new followers",
        "trigger": {"kind": "link.created", "link_type": "follows"},
        "pipeline": [
            {"map": {"template": {"to": "{{ metadata.whom }}", "text": "{{ metadata.who }} follows you"}}},
            {"deliver": {"sink": "mailbox"}}
        ]
    })
}

/// Where notifications arrive.
#[derive(Debug, Default)]
struct Mailbox(Mutex<Vec<String>>);

impl Mailbox {
    /// Takes out what has arrived, in the order of the alphabet.
    fn empty(&self) -> Vec<String> {
        let mut letters = self.0.lock().map(|mut letters| std::mem::take(&mut *letters)).unwrap_or_default();
        letters.sort();
        letters
    }
}

#[async_trait]
impl Sink for Mailbox {
    async fn deliver(&self, payload: Value, _: Option<&str>, _: &HashMap<String, Value>) -> Result<()> {
        let [to, text] = ["to", "text"].map(|part| payload[part].as_str().unwrap_or_default());
        let letter = format!("{to:<6} {text}");
        self.0.lock().map(|mut letters| letters.push(letter)).map_err(|error| anyhow::anyhow!("{error}"))
    }

    fn name(&self) -> &str {
        "mailbox"
    }

    fn sink_type(&self) -> SinkType {
        SinkType::Custom
    }
}

/// Opens the log, on a thread that may block.
async fn open(directory: &Path) -> Result<Arc<ThisLog>> {
    let directory = directory.to_owned();
    Ok(Arc::new(spawn_blocking(move || ThisLog::open(directory)).await??))
}

/// Writes what is still to be written. Clones may live on: the log is closed for them, too.
async fn close(log: &ThisLog) -> Result<()> {
    let log = log.log().clone();
    Ok(spawn_blocking(move || log.close()).await??)
}

/// Starts the framework's runtime behind what it has acknowledged.
fn start(log: &Arc<ThisLog>, mailbox: &Arc<Mailbox>) -> Result<JoinHandle<()>> {
    let flows = vec![compile_flow(&serde_json::from_value(flow())?)?];
    let sinks = Arc::new(SinkRegistry::new());
    sinks.register("mailbox", mailbox.clone());
    let links = Arc::new(InMemoryLinkService::new());
    let runtime = FlowRuntime::new(flows, log.clone(), links, HashMap::new());
    let runtime = runtime.with_sink_registry(sinks).with_consumer_name(CONSUMER);
    Ok(runtime.run(SeekPosition::LastAcknowledged))
}

/// Waits until the runtime has acknowledged everything, and stops it.
async fn stop(log: &ThisLog, runtime: JoinHandle<()>) -> Result<()> {
    let mut rounds = 0;
    while log.consumer_state(CONSUMER)?.last_acked != log.last_seq_no().await {
        ensure!(rounds < 6000, "the runtime does not get on");
        tokio::time::sleep(Duration::from_millis(5)).await;
        rounds += 1;
    }
    runtime.abort();
    let _ = runtime.await;
    Ok(())
}

/// Publishes links, and waits until they are in the log: the bus itself does not wait.
async fn publish(log: &Arc<ThisLog>, link_type: &str, pairs: &[(&str, &str)]) -> Result<()> {
    let bus = EventBus::new(64).with_event_log(log.clone());
    let before = log.last_seq_no().await.unwrap_or(0);
    for (who, whom) in pairs {
        bus.publish(FrameworkEvent::Link(LinkEvent::Created {
            link_type: link_type.to_owned(),
            link_id: Uuid::new_v4(),
            source_id: Uuid::new_v4(),
            target_id: Uuid::new_v4(),
            metadata: Some(json!({"who": who, "whom": whom})),
        }));
    }
    let last = before + pairs.len() as u64;
    let mut events = log.subscribe("publisher", SeekPosition::Sequence(last)).await?;
    let arrived = futures_util::StreamExt::next(&mut events);
    ensure!(tokio::time::timeout(Duration::from_secs(30), arrived).await?.is_some(), "the log was closed");
    Ok(())
}

fn show(out: &mut impl Write, letters: &[String]) -> Result<()> {
    letters.iter().try_for_each(|letter| writeln!(out, "  {letter}"))?;
    Ok(())
}

async fn run(directory: &Path, out: &mut impl Write) -> Result<()> {
    let log = open(directory).await?;
    let found = log.last_seq_no().await.unwrap_or(0);
    let told = log.consumer_state(CONSUMER)?.last_acked.unwrap_or(0);
    writeln!(
        out,
        "Opened {}: {found} events of earlier runs, {told} of them dealt with",
        directory.display()
    )?;

    let mailbox = Arc::new(Mailbox::default());
    writeln!(out, "\nMorning: the runtime is at work")?;
    let runtime = start(&log, &mailbox)?;
    publish(&log, "follows", &[("anna", "bert"), ("carla", "bert"), ("bert", "anna")]).await?;
    publish(&log, "likes", &[("anna", "carla")]).await?;
    stop(&log, runtime).await?;
    let morning = mailbox.empty();
    show(out, &morning)?;

    writeln!(out, "\nNoon: the runtime has stopped, people go on, and then the program ends")?;
    publish(&log, "follows", &[("dora", "anna"), ("emil", "anna")]).await?;
    writeln!(out, "  {} in the mailbox, {} events in the log", mailbox.empty().len(), found + 6)?;
    close(&log).await?;

    let log = open(directory).await?;
    let place = log.consumer_state(CONSUMER)?.last_acked.unwrap_or(0);
    writeln!(out, "\nEvening: opened again, the runtime goes on behind event {place}")?;
    let runtime = start(&log, &mailbox)?;
    stop(&log, runtime).await?;
    let evening = mailbox.empty();
    show(out, &evening)?;
    close(&log).await?;

    // What a run before has left, because it was killed, has come in the morning.
    ensure!(morning.len() >= 3 && evening.len() == 2, "{} and {} have come", morning.len(), evening.len());
    let arrived = morning.len() + evening.len();
    writeln!(out, "\n5 follows, {arrived} notifications: none was lost while nobody was there.")?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let directory =
        std::env::args_os().nth(1).map_or_else(|| "target/this-notifications".into(), PathBuf::from);
    run(&directory, &mut std::io::stdout()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_runs_twice_in_one_directory() {
        let directory = tempfile::tempdir().unwrap();
        for found in [0, 6] {
            let mut out = Vec::new();
            run(directory.path(), &mut out).await.unwrap();
            let out = String::from_utf8(out).unwrap();
            assert!(
                out.contains(&format!(": {found} events of earlier runs, {found} of them dealt with")),
                "{out}"
            );
            assert!(out.contains(&format!("goes on behind event {}", found + 4)), "{out}");
            assert!(
                out.ends_with("5 follows, 5 notifications: none was lost while nobody was there.\n"),
                "{out}"
            );
        }
    }
}
