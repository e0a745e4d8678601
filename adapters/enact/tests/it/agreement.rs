//! Where the stores of enact-core and ours agree: the same tests over all three.

use crate::kit::{as_json, directory, emitted, id};
use annals_enact::StreamingStore;
use enact_core::kernel::{ArtifactId, ExecutionContext, ExecutionEvent, ExecutionEventType};
use enact_core::streaming::{EventLog, EventLogEntry, EventStore, InMemoryEventStore, JsonlEventStore};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// Each kind of store, empty.
async fn each(dir: &Path) -> Vec<(&'static str, Arc<dyn EventStore>)> {
    vec![
        ("annals", Arc::new(StreamingStore::open(dir.join("annals")).unwrap())),
        ("in memory", Arc::new(InMemoryEventStore::new())),
        ("jsonl", Arc::new(JsonlEventStore::new(dir.join("jsonl")).await.unwrap())),
    ]
}

async fn appended(store: &dyn EventStore, executions: &[&str]) -> Vec<EventLogEntry> {
    let mut entries = Vec::new();
    for (number, execution) in executions.iter().enumerate() {
        entries.push(store.append(emitted(execution, number as u64)).await.unwrap());
    }
    entries
}

#[tokio::test]
async fn an_append_answers_with_the_event_and_its_sequence() {
    let dir = directory();
    for (name, store) in each(dir.path()).await {
        let event = emitted("e", 1);
        let entry = store.append(event.clone()).await.unwrap();
        assert_eq!(as_json(&entry.event), as_json(&event), "{name}");
        let stored = store.get_by_execution(&id("e")).await.unwrap();
        assert_eq!(as_json(&stored), as_json(&[entry]), "{name}");
    }
}

#[tokio::test]
async fn sequences_grow_over_all_executions_and_are_unique() {
    let dir = directory();
    for (name, store) in each(dir.path()).await {
        let entries = appended(&*store, &["a", "b", "a", "c", "b", "a"]).await;
        assert!(entries.is_sorted_by(|a, b| a.sequence < b.sequence), "{name}");
        assert_eq!(store.latest_sequence().await.unwrap(), entries[5].sequence, "{name}");
    }
}

#[tokio::test]
async fn an_execution_has_its_own_events_in_order() {
    let dir = directory();
    for (name, store) in each(dir.path()).await {
        let entries = appended(&*store, &["a", "b", "a", "ab", "b", "a"]).await;
        let of_a = store.get_by_execution(&id("a")).await.unwrap();
        assert_eq!(as_json(&of_a), as_json(&[&entries[0], &entries[2], &entries[5]]), "{name}");
        assert!(store.get_by_execution(&id("nobody")).await.unwrap().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn what_comes_after_a_sequence_is_given_in_order_up_to_the_limit() {
    let dir = directory();
    for (name, store) in each(dir.path()).await {
        let entries = appended(&*store, &["a", "b", "a", "c", "b", "a"]).await;
        for (at, entry) in entries.iter().enumerate() {
            for limit in [0, 1, 2, 100] {
                let after = store.get_after(entry.sequence, limit).await.unwrap();
                let expected = &entries[at + 1..(at + 1 + limit).min(6)];
                assert_eq!(as_json(&after), as_json(&expected), "{name}, after {at}, at most {limit}");
            }
        }
        let end = entries[5].sequence;
        assert!(store.get_after(end + 1000, 100).await.unwrap().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn an_event_that_is_appended_twice_is_there_twice() {
    let dir = directory();
    for (name, store) in each(dir.path()).await {
        let event = emitted("e", 1);
        store.append(event.clone()).await.unwrap();
        store.append(event).await.unwrap();
        assert_eq!(store.get_by_execution(&id("e")).await.unwrap().len(), 2, "{name}");
    }
}

#[tokio::test]
async fn every_type_of_event_comes_back_as_it_was() {
    use ExecutionEventType::*;
    let types = [
        ExecutionStart,
        ExecutionEnd,
        ExecutionFailed,
        ExecutionCancelled,
        StepStart,
        StepEnd,
        StepFailed,
        StepDiscovered,
        ArtifactCreated,
        StateSnapshot,
        DecisionMade,
        ControlPause,
        ControlResume,
        ControlCancel,
        InboxMessage,
        ToolCallStart,
        ToolCallEnd,
        CheckpointSaved,
        GoalEvaluated,
        LlmCallStart,
        LlmCallEnd,
        LlmCallFailed,
        TokenUsageRecorded,
        MemoryRecalled,
        MemoryStored,
        GuardrailEvaluated,
        ReasoningTrace,
        ContextSnapshot,
        FeedbackReceived,
    ];
    let dir = directory();
    for (name, store) in each(dir.path()).await {
        let mut events = Vec::new();
        for event_type in types.clone() {
            let context = ExecutionContext::new(id("e"))
                .with_step("step_1".into())
                .with_artifact(ArtifactId::from_string("artifact_1"))
                .with_parent(enact_core::kernel::ParentLink::system())
                .with_tenant("tenant_1".into(), Some("user_1".into()));
            let event = ExecutionEvent::new(event_type, context)
                .with_duration(u64::MAX)
                .with_payload(serde_json::json!({ "deep": [{ "er": [0.1, -1, "ä\u{0}"] }] }));
            store.append(event.clone()).await.unwrap();
            events.push(event);
        }
        let stored = store.get_by_execution(&id("e")).await.unwrap();
        let stored: Vec<_> = stored.into_iter().map(|entry| entry.event).collect();
        assert_eq!(as_json(&stored), as_json(&events), "{name}");
    }
}

#[tokio::test]
async fn the_crates_event_log_works_over_each() {
    let dir = directory();
    for (name, store) in each(dir.path()).await {
        let log = EventLog::new(store);
        let mut sequences = HashSet::new();
        for number in 0..5 {
            let entry = log.append(emitted(&format!("e{number}"), number)).await.unwrap();
            assert!(sequences.insert(entry.sequence), "{name}");
        }
        let latest = log.latest_sequence().await.unwrap();
        assert!(sequences.contains(&latest), "{name}");
        assert!(log.get_after(latest, 10).await.unwrap().is_empty(), "{name}");
        assert_eq!(log.get_by_execution(&id("e3")).await.unwrap().len(), 1, "{name}");
        assert_eq!(log.store().latest_sequence().await.unwrap(), latest, "{name}");
    }
}
