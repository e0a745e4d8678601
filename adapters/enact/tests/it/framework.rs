//! The framework itself on our stores: its emitter, its storage context, its runner, its kernel and its replay.

use crate::kit::{as_json, directory, in_memory, open, tenant};
use annals_enact::{ExecutionStore, StreamingStore};
use enact_core::context::TenantContext;
use enact_core::graph::{CompiledGraph, NodeState, StateGraph};
use enact_core::kernel::persistence::{
    EventStore as KernelStore, ExecutionEventData, StorageBackend, StoredEvent,
};
use enact_core::kernel::{
    ExecutionAction, ExecutionEventType, ExecutionId, ExecutionKernel, ExecutionState, StepId, StepType,
    replay,
};
use enact_core::runner::DefaultRunner;
use enact_core::storage::StorageContext;
use enact_core::streaming::{EventEmitter, EventLog, EventLogEntry, EventStore, StreamEvent};
use serde_json::json;
use std::sync::Arc;

/// Emitters append from tasks of their own: their events are there after a while, in any order.
async fn persisted(store: &dyn EventStore, execution: &ExecutionId, count: usize) -> Vec<EventLogEntry> {
    for _ in 0..10_000 {
        let entries = store.get_by_execution(execution).await.unwrap();
        if entries.len() >= count {
            return entries;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("the emitter's events do not come");
}

fn graph() -> CompiledGraph {
    StateGraph::new()
        .add_node("shout", |state: NodeState| async move {
            Ok(NodeState::from_string(&state.as_str().unwrap_or_default().to_uppercase()))
        })
        .add_node("point", |state: NodeState| async move {
            Ok(NodeState::from_string(&format!("{}!", state.as_str().unwrap_or_default())))
        })
        .set_entry_point("shout")
        .add_edge("shout", "point")
        .add_edge_to_end("point")
        .compile()
        .unwrap()
}

/// The crate's own example: a loop that calls a tool, and whose events are persisted.
#[tokio::test]
async fn what_an_emitter_emits_while_tools_are_called_is_persisted() {
    let dir = directory();
    let store = Arc::new(StreamingStore::open(dir.path()).unwrap());
    let (execution, step) = (ExecutionId::new(), StepId::new());
    let emitter = EventEmitter::with_persistence(Arc::new(EventLog::new(store.clone())), execution.clone());
    let (execution_id, step_id) = (execution.to_string(), Some(step.to_string()));
    emitter.emit(StreamEvent::ToolInputAvailable {
        tool_call_id: "call".to_owned(),
        tool_name: "weather".to_owned(),
        input: json!({ "city": "Bremen" }),
    });
    emitter.emit(StreamEvent::TextDelta { id: "t".to_owned(), delta: "not persisted".to_owned() });
    emitter.emit(StreamEvent::ToolOutputAvailable {
        tool_call_id: "call".to_owned(),
        output: json!({ "temp": 7 }),
    });
    emitter.emit(StreamEvent::CheckpointSaved {
        execution_id: execution_id.clone(),
        step_id: step_id.clone(),
        checkpoint_id: "c".to_owned(),
        state_hash: "h".to_owned(),
        timestamp: 1,
    });
    emitter.emit(StreamEvent::GoalEvaluated {
        execution_id,
        step_id,
        goal_id: "g".to_owned(),
        status: "met".to_owned(),
        score: Some(1.0),
        reason: None,
        timestamp: 2,
    });
    let entries = persisted(&*store, &execution, 4).await;
    let of_type = |event_type| {
        let mut of_type = entries.iter().filter(|entry| entry.event.event_type == event_type);
        let entry = of_type.next().unwrap();
        assert!(of_type.next().is_none());
        entry.event.payload.clone().unwrap()
    };
    assert_eq!(of_type(ExecutionEventType::ToolCallStart)["input"], json!({ "city": "Bremen" }));
    assert_eq!(of_type(ExecutionEventType::ToolCallEnd)["output"], json!({ "temp": 7 }));
    assert_eq!(of_type(ExecutionEventType::CheckpointSaved)["state_hash"], "h");
    assert_eq!(of_type(ExecutionEventType::GoalEvaluated)["score"], 1.0);
    assert_eq!(entries.len(), 4);
    assert_eq!(emitter.drain().len(), 5);
}

#[tokio::test]
async fn a_storage_context_takes_the_store() {
    let (_, _, store) = in_memory();
    let context = StorageContext { event_store: Arc::new(store), ..StorageContext::in_memory() };
    let log = context.event_log();
    let execution = ExecutionId::new();
    let event = enact_core::kernel::ExecutionEvent::execution_start(execution.clone(), None);
    let entry = log.append(event).await.unwrap();
    assert_eq!(as_json(&context.event_store.get_by_execution(&execution).await.unwrap()), as_json(&[entry]));
}

/// A runner has an emitter of its own that cannot be given a log; what it reports is handed on to one that has.
#[tokio::test]
async fn a_run_of_the_runner_is_found_after_reopening() {
    let dir = directory();
    let store = Arc::new(StreamingStore::open(dir.path()).unwrap());
    let mut runner = DefaultRunner::default_new();
    let execution = runner.execution_id().clone();
    let emitter = EventEmitter::with_persistence(Arc::new(EventLog::new(store.clone())), execution.clone());
    assert_eq!(runner.run_graph(&graph(), "hello").await.unwrap().as_str(), Some("HELLO!"));
    for event in runner.emitter().drain() {
        emitter.emit(event);
    }
    let entries = persisted(&*store, &execution, 6).await;
    // The emitter's tasks may still hold the store for a moment.
    store.shutdown().await.unwrap();

    let store = StreamingStore::open(dir.path()).unwrap();
    assert_eq!(as_json(&store.get_by_execution(&execution).await.unwrap()), as_json(&entries));
    let ended =
        entries.iter().find(|entry| entry.event.event_type == ExecutionEventType::ExecutionEnd).unwrap();
    assert_eq!(ended.event.payload, Some(json!({ "output": "HELLO!" })));
}

/// What the kernel did, as the kernel's persistence keeps it.
fn record(execution: &enact_core::kernel::Execution) -> Vec<ExecutionEventData> {
    let mut events = vec![ExecutionEventData::ExecutionStarted { parent: None, metadata: None }];
    for step in execution.step_order.iter().filter_map(|id| execution.get_step(id)) {
        events.push(ExecutionEventData::StepStarted {
            step_id: step.id.clone(),
            parent_step_id: step.parent_step_id.clone(),
            step_type: step.step_type.clone(),
            name: step.name.clone(),
        });
        events.push(ExecutionEventData::StepCompleted {
            step_id: step.id.clone(),
            output: step.output.clone(),
            duration_ms: step.duration_ms.unwrap_or_default(),
        });
    }
    events.push(ExecutionEventData::ExecutionCompleted { output: execution.output.clone(), duration_ms: 0 });
    events
}

/// The action of the kernel that led to an event.
fn action(event: StoredEvent) -> ExecutionAction {
    match event.event {
        ExecutionEventData::ExecutionStarted { .. } => ExecutionAction::Start,
        ExecutionEventData::StepStarted { step_id, parent_step_id, step_type, name } => {
            ExecutionAction::StepStarted { step_id, parent_step_id, step_type, name, source: None }
        }
        ExecutionEventData::StepCompleted { step_id, output, duration_ms } => {
            ExecutionAction::StepCompleted { step_id, output, duration_ms }
        }
        ExecutionEventData::ExecutionCompleted { output, .. } => ExecutionAction::Complete { output },
        other => panic!("{other:?}"),
    }
}

/// "All execution state can be reconstructed by replaying events from this store."
#[tokio::test]
async fn the_kernels_execution_is_replayed_from_the_store_after_reopening() {
    let dir = directory();
    let mut kernel = ExecutionKernel::new(TenantContext::new(tenant("shop")));
    kernel.execute_graph(&graph(), "hello").await.unwrap();
    let original = kernel.execution();
    {
        let store: Arc<dyn KernelStore> = Arc::new(ExecutionStore::open(dir.path()).unwrap());
        let first = store.append_batch(&original.id, &tenant("shop"), record(original)).await.unwrap();
        assert_eq!(first, 1);
    }
    let store: Arc<dyn KernelStore> = Arc::new(ExecutionStore::new(open(dir.path())));
    let [execution] = &store.list_executions(&tenant("shop"), 9, 0).await.unwrap()[..] else { panic!() };
    let actions = store.load_events(execution).await.unwrap().into_iter().map(action).collect();
    let replayed = replay(execution.clone(), actions, None).unwrap();
    assert_eq!(replayed.state, ExecutionState::Completed);
    assert_eq!((&replayed.id, &replayed.output), (&original.id, &Some("HELLO!".to_owned())));
    assert_eq!(replayed.step_order, original.step_order);
    for step in &original.step_order {
        let (before, after) = (original.get_step(step).unwrap(), replayed.get_step(step).unwrap());
        assert_eq!((&before.name, &before.output, before.state), (&after.name, &after.output, after.state));
        assert_eq!(after.step_type, StepType::FunctionNode);
    }
}
