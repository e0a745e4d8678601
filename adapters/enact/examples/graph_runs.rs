//! Graphs that enact-core's kernel runs, recorded in a log, and replayed from it when the program runs again.
//!
//! ```text
//! cargo run --release -p annals-enact --example graph_runs -- [DIRECTORY] [TEXT]
//! ```
//!
//! A small graph of functions (no model, no network) works on a text. What the kernel reports goes both ways into one log:
//!
//! * as an `EventStream`, through enact-core's own `EventEmitter` and `EventLog`, into a [`StreamingStore`];
//! * as events of the kernel's persistence, in one batch, into an [`ExecutionStore`]. Nothing in enact-core 0.0.2 calls that
//!   trait yet, so the example does.
//!
//! At the end every recorded execution, of this run and of those before, is replayed through enact-core's reducer. The
//! emitter of a kernel cannot be given an `EventLog` in 0.0.2: its events are drained and handed on to one that has a log.

use annals::EventLog as Annals;
use annals_enact::{ExecutionStore, StreamingStore};
use anyhow::{Context, bail, ensure};
use enact_core::context::TenantContext;
use enact_core::graph::{CompiledGraph, NodeState, StateGraph};
use enact_core::kernel::persistence::{EventStore, ExecutionEventData, StoredEvent};
use enact_core::kernel::{Execution, ExecutionAction, ExecutionId, ExecutionKernel, TenantId, replay};
use enact_core::streaming::{EventEmitter, EventLog, EventStream, StreamEvent};
use futures::StreamExt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const DEFAULT_DIRECTORY: &str = "target/enact-graph-runs";
const DEFAULT_TEXT: &str = "an event log remembers what a program forgets";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().unwrap_or_else(|| DEFAULT_DIRECTORY.to_owned()));
    let text = arguments.next().unwrap_or_else(|| DEFAULT_TEXT.to_owned());
    run(&path, &text).await
}

async fn run(path: &Path, text: &str) -> anyhow::Result<()> {
    let tenant = TenantId::from("example");

    // One log, both stores. Opening reads the disk: not on a thread of the runtime.
    let opened = path.to_owned();
    let log = tokio::task::spawn_blocking(move || Annals::open(opened)).await??;
    let executions: Arc<dyn EventStore> = Arc::new(ExecutionStore::new(log.clone()).closing_log());
    let runtime_log = Arc::new(EventLog::new(Arc::new(StreamingStore::new(log))));

    let before = executions.list_executions(&tenant, usize::MAX, 0).await?;
    let emitted_before = runtime_log.get_after(0, usize::MAX).await?.len();
    say(&format!("Opened    {}: {} executions of earlier runs", path.display(), before.len()))?;
    say(&format!("          and {emitted_before} events that their emitters have emitted"))?;

    let mut kernel = ExecutionKernel::new(TenantContext::new(tenant.clone()));
    let output = kernel.execute_graph(&graph()?, text).await?;
    let execution = kernel.execution_id().clone();
    let steps = kernel.execution().step_order.len();
    say(&format!("Ran       {execution} in {steps} steps"))?;
    say(&format!("          {text:?} -> {:?}", output.as_str().unwrap_or_default()))?;

    let reported = kernel.emitter().drain();
    let recorded = reported.iter().map(recorded).collect::<anyhow::Result<Vec<_>>>()?;
    let count = recorded.len() as u64;
    let first = executions.append_batch(&execution, &tenant, recorded).await?;
    say(&format!("Recorded  {count} events of the kernel, sequences {first} to {}", first + count - 1))?;

    let stream: EventStream = Box::pin(futures::stream::iter(reported));
    let sequences = emit(&runtime_log, &execution, stream).await?;
    say(&format!("Emitted   {} events of the runtime, at {sequences:?} in the log", sequences.len()))?;

    let all = executions.list_executions(&tenant, usize::MAX, 0).await?;
    ensure!(all.len() == before.len() + 1 && all[1..] == before, "executions of earlier runs are missing");
    say(&format!("Replayed  {} executions, newest first", all.len()))?;
    for id in &all {
        let replayed = replayed(&*executions, id).await?;
        let output = replayed.output.as_deref().unwrap_or_default();
        say(&format!("          {id}  {:?}  {} steps  {output:?}", replayed.state, replayed.steps.len()))?;
        if *id == execution {
            same(&replayed, kernel.execution())?;
        }
    }
    executions.shutdown().await?;
    say("\nThe execution of this run, replayed from the log, is what the kernel had. Run it again.")
}

/// What the runs work with: three functions in a row.
fn graph() -> anyhow::Result<CompiledGraph> {
    let on_text = |change: fn(&str) -> String| {
        move |state: NodeState| async move {
            let text = state.as_str().context("a node was given something else than text")?;
            Ok(NodeState::from_string(&change(text)))
        }
    };
    StateGraph::new()
        .add_node("capitals", on_text(|text| text.split(' ').map(capital).collect::<Vec<_>>().join(" ")))
        .add_node("quote", on_text(|text| format!("\u{201c}{text}\u{201d}")))
        .add_node("count", on_text(|text| format!("{text}, {} words", text.split(' ').count())))
        .set_entry_point("capitals")
        .add_edge("capitals", "quote")
        .add_edge("quote", "count")
        .add_edge_to_end("count")
        .compile()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What the kernel has reported, as its persistence keeps it.
fn recorded(event: &StreamEvent) -> anyhow::Result<ExecutionEventData> {
    Ok(match event.clone() {
        StreamEvent::ExecutionStart { .. } => {
            ExecutionEventData::ExecutionStarted { parent: None, metadata: None }
        }
        StreamEvent::StepStart { step_id, step_type, name, .. } => ExecutionEventData::StepStarted {
            step_id: step_id.into(),
            parent_step_id: None,
            step_type: serde_json::from_value(step_type.into())?,
            name,
        },
        StreamEvent::StepEnd { step_id, output, duration_ms, .. } => {
            ExecutionEventData::StepCompleted { step_id: step_id.into(), output, duration_ms }
        }
        StreamEvent::ExecutionEnd { final_output, duration_ms, .. } => {
            ExecutionEventData::ExecutionCompleted { output: final_output, duration_ms }
        }
        other => bail!("this graph does not lead to {other:?}"),
    })
}

/// The kernel's action that led to an event.
fn action(event: StoredEvent) -> anyhow::Result<ExecutionAction> {
    Ok(match event.event {
        ExecutionEventData::ExecutionStarted { .. } => ExecutionAction::Start,
        ExecutionEventData::StepStarted { step_id, parent_step_id, step_type, name } => {
            ExecutionAction::StepStarted { step_id, parent_step_id, step_type, name, source: None }
        }
        ExecutionEventData::StepCompleted { step_id, output, duration_ms } => {
            ExecutionAction::StepCompleted { step_id, output, duration_ms }
        }
        ExecutionEventData::ExecutionCompleted { output, .. } => ExecutionAction::Complete { output },
        other => bail!("this example does not record {other:?}"),
    })
}

/// Emits what a stream brings, and waits until it is in the log. Emitters append from tasks of their own, in any order.
async fn emit(
    log: &Arc<EventLog>,
    execution: &ExecutionId,
    mut stream: EventStream,
) -> anyhow::Result<Vec<u64>> {
    let emitter = EventEmitter::with_persistence(log.clone(), execution.clone());
    while let Some(event) = stream.next().await {
        emitter.emit(event);
    }
    let count = emitter.drain().len();
    for _ in 0..1000 {
        let entries = log.get_by_execution(execution).await?;
        if entries.len() == count {
            return Ok(entries.iter().map(|entry| entry.sequence).collect());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("the emitter's events did not get into the log")
}

async fn replayed(store: &dyn EventStore, id: &ExecutionId) -> anyhow::Result<Execution> {
    let events = store.load_events(id).await?;
    let actions = events.into_iter().map(action).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(replay(id.clone(), actions, None)?)
}

fn same(replayed: &Execution, original: &Execution) -> anyhow::Result<()> {
    let steps = |execution: &Execution| {
        let steps = execution.step_order.iter().filter_map(|id| execution.get_step(id));
        steps.map(|step| (step.id.clone(), step.name.clone(), step.output.clone())).collect::<Vec<_>>()
    };
    ensure!(replayed.state == original.state && replayed.output == original.output, "another outcome");
    ensure!(steps(replayed) == steps(original), "other steps");
    Ok(())
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{line}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each run checks that it has found all of those before it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn later_runs_replay_the_earlier_ones() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["one run", "another run", "the last run"] {
            run(dir.path(), text).await.unwrap();
        }
        let log = Annals::open(dir.path()).unwrap();
        let executions = ExecutionStore::new(log.clone());
        let all = executions.list_executions(&TenantId::from("example"), usize::MAX, 0).await.unwrap();
        assert_eq!(all.len(), 3);
        let newest = replayed(&executions, &all[0]).await.unwrap();
        assert!(newest.output.unwrap().ends_with("3 words"));
    }
}
