//! The framework's runtime of flows: what it consumes, acknowledges, and goes on with after a new start.

use crate::common::{both, created, linked, place, until};
use annals_this::ThisLog;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use this::config::sinks::SinkType;
use this::core::events::{EventBus, EventEnvelope, FrameworkEvent, LinkEvent};
use this::events::SeekPosition::{self, Beginning, LastAcknowledged, Latest};
use this::events::sinks::{Sink, SinkRegistry};
use this::events::{CompiledFlow, EventLog, FlowRuntime, compile_flow};
use this::storage::InMemoryLinkService;
use tokio::task::JoinHandle;

/// A sink that shows what it was given.
#[derive(Debug, Default)]
pub(crate) struct Shown(Mutex<Vec<Value>>);

impl Shown {
    /// What was shown, as texts, sorted: tasks that publish keep no order.
    pub(crate) fn titles(&self) -> Vec<String> {
        let shown = self.0.lock().unwrap();
        let mut titles: Vec<_> =
            shown.iter().map(|shown| shown["title"].as_str().unwrap().to_owned()).collect();
        titles.sort();
        titles
    }
}

#[async_trait::async_trait]
impl Sink for Shown {
    async fn deliver(
        &self,
        payload: Value,
        _: Option<&str>,
        _: &HashMap<String, Value>,
    ) -> anyhow::Result<()> {
        self.0.lock().unwrap().push(payload);
        Ok(())
    }

    fn name(&self) -> &str {
        "shown"
    }

    fn sink_type(&self) -> SinkType {
        SinkType::Custom
    }
}

pub(crate) fn flow(name: &str, trigger: Value, mut steps: Vec<Value>, title: &str) -> CompiledFlow {
    steps.extend([json!({"map": {"template": {"title": title}}}), json!({"deliver": {"sink": "shown"}})]);
    let config = json!({"name": name, "trigger": trigger, "pipeline": steps});
    compile_flow(&serde_json::from_value(config).unwrap()).unwrap()
}

/// Follows of links, new users, and one that always fails.
fn flows() -> Vec<CompiledFlow> {
    let admins = json!({"filter": {"condition": "entity_type == \"admin\""}});
    vec![
        flow(
            "follows",
            json!({"kind": "link.created", "link_type": "follows"}),
            vec![],
            "{{ metadata }} follows",
        ),
        flow("entities", json!({"kind": "entity.created"}), vec![], "new {{ entity_type }}"),
        flow("admins", json!({"kind": "entity.created"}), vec![admins], "an admin"),
        flow("fails", json!({"kind": "entity.created"}), vec![], "{{ nobody.knows }}"),
    ]
}

pub(crate) fn run(
    log: Arc<dyn EventLog>,
    flows: Vec<CompiledFlow>,
    sink: Arc<dyn Sink>,
    consumer: &str,
    position: SeekPosition,
) -> JoinHandle<()> {
    let registry = Arc::new(SinkRegistry::new());
    registry.register("shown", sink);
    let links = Arc::new(InMemoryLinkService::new());
    let runtime = FlowRuntime::new(flows, log, links, HashMap::new()).with_sink_registry(registry);
    runtime.with_consumer_name(consumer).run(position)
}

async fn stop(runtime: JoinHandle<()>) {
    runtime.abort();
    assert!(runtime.await.unwrap_err().is_cancelled());
}

/// A link of somebody who follows.
fn follows(who: &str) -> EventEnvelope {
    let mut envelope = linked("follows");
    if let FrameworkEvent::Link(LinkEvent::Created { metadata, .. }) = &mut envelope.event {
        *metadata = Some(json!(who));
    }
    envelope
}

/// How far a consumer has acknowledged, of any store: what it resumes with is waited for.
async fn acknowledged(log: &Arc<dyn EventLog>, consumer: &str, n: u64) -> bool {
    let mut events = log.subscribe(consumer, LastAcknowledged).await.unwrap();
    // Nothing behind it is there: everything is acknowledged.
    log.last_seq_no().await == Some(n) && crate::common::waits(&mut events)
}

#[tokio::test]
async fn flows_run_on_what_matches_and_everything_is_acknowledged() {
    both(async |log| {
        let shown = Arc::new(Shown::default());
        let runtime = run(log.clone(), flows(), shown.clone(), "flow-runtime", Beginning);
        for envelope in [follows("anna"), created("user"), linked("likes"), created("admin")] {
            log.append(envelope).await.unwrap();
        }
        until(async || acknowledged(&log, "flow-runtime", 4).await).await;
        assert_eq!(shown.titles(), ["an admin", "anna follows", "new admin", "new user"]);
        stop(runtime).await;
    })
    .await;
}

/// A link's metadata that is `null` is another thing for a flow than none: it may be named.
#[tokio::test]
async fn what_a_flow_sees_is_what_was_published() {
    both(async |log| {
        let shown = Arc::new(Shown::default());
        let mut null = linked("follows");
        if let FrameworkEvent::Link(LinkEvent::Created { metadata, .. }) = &mut null.event {
            *metadata = Some(Value::Null);
        }
        for envelope in [null, linked("follows")] {
            log.append(envelope).await.unwrap();
        }
        let runtime = run(log.clone(), flows(), shown.clone(), "c", Beginning);
        until(async || acknowledged(&log, "c", 2).await).await;
        assert_eq!(shown.titles(), [" follows"], "the other has nothing that could be shown");
        stop(runtime).await;
    })
    .await;
}

#[tokio::test]
async fn a_runtime_goes_on_behind_its_last_acknowledgement() {
    both(async |log| {
        let shown = Arc::new(Shown::default());
        log.append(follows("anna")).await.unwrap();
        let runtime = run(log.clone(), flows(), shown.clone(), "c", LastAcknowledged);
        log.append(follows("bert")).await.unwrap();
        until(async || acknowledged(&log, "c", 2).await).await;
        stop(runtime).await;
        log.append(follows("carla")).await.unwrap();
        assert_eq!(shown.titles(), ["anna follows", "bert follows"]);
        let runtime = run(log.clone(), flows(), shown.clone(), "c", LastAcknowledged);
        until(async || acknowledged(&log, "c", 3).await).await;
        assert_eq!(shown.titles(), ["anna follows", "bert follows", "carla follows"]);
        stop(runtime).await;
    })
    .await;
}

#[tokio::test]
async fn runtimes_with_other_names_each_see_everything() {
    both(async |log| {
        let (one, other, late) =
            (Arc::new(Shown::default()), Arc::new(Shown::default()), Arc::new(Shown::default()));
        log.append(follows("anna")).await.unwrap();
        let late_one = run(log.clone(), flows(), late.clone(), "late", Latest);
        // Its position is resolved when its task first runs.
        tokio::task::yield_now().await;
        let runtimes = [
            run(log.clone(), flows(), one.clone(), "one", Beginning),
            run(log.clone(), flows(), other.clone(), "other", LastAcknowledged),
            late_one,
        ];
        log.append(follows("bert")).await.unwrap();
        for consumer in ["one", "other", "late"] {
            until(async || acknowledged(&log, consumer, 2).await).await;
        }
        assert_eq!(one.titles(), ["anna follows", "bert follows"]);
        assert_eq!((other.titles(), late.titles()), (one.titles(), vec!["bert follows".to_owned()]));
        for runtime in runtimes {
            stop(runtime).await;
        }
    })
    .await;
}

/// Bus, log, runtime and sink over three starts of the program.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_started_again_misses_nothing_and_shows_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    let shown = Arc::new(Shown::default());
    for start in 1..=3u64 {
        let log = Arc::new(ThisLog::open(dir.path()).unwrap());
        let bus = EventBus::new(64).with_event_log(log.clone());
        let runtime = run(log.clone(), flows(), shown.clone(), "c", LastAcknowledged);
        for i in 0..20 {
            let who = format!("{start}.{i}");
            bus.publish(follows(&who).event);
            expected.push(format!("{who} follows"));
        }
        until(async || place(&log, "c") == Some(start * 40 - 20)).await;
        stop(runtime).await;
        // Published while no runtime is there to see it.
        for i in 20..40 {
            let who = format!("{start}.{i}");
            bus.publish(follows(&who).event);
            expected.push(format!("{who} follows"));
        }
        until(async || log.last_seq_no().await == Some(start * 40)).await;
        let closing = log.log().clone();
        tokio::task::spawn_blocking(move || closing.close()).await.unwrap().unwrap();
        if start < 3 {
            // The next start shows these, before its own.
            continue;
        }
        let log = Arc::new(ThisLog::open(dir.path()).unwrap());
        let runtime = run(log.clone(), flows(), shown.clone(), "c", LastAcknowledged);
        until(async || place(&log, "c") == Some(120)).await;
        stop(runtime).await;
    }
    expected.sort();
    assert_eq!(shown.titles(), expected);
}

/// The end of the log is the end of the runtime: it does not hang.
#[tokio::test]
async fn a_runtime_ends_when_its_log_is_closed() {
    let log = Arc::new(crate::common::memory());
    let shown = Arc::new(Shown::default());
    let runtime = run(log.clone(), flows(), shown.clone(), "c", Beginning);
    log.append(follows("anna")).await.unwrap();
    until(async || place(&log, "c") == Some(1)).await;
    log.log().close().unwrap();
    crate::common::soon(runtime).await.unwrap();
    assert_eq!(shown.titles(), ["anna follows"]);
}
