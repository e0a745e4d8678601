//! The kernel's persistence: what `enact_core::kernel::persistence::EventStore` promises, one test a rule.

use crate::kit::{as_json, directory, id, in_memory, numbered, numbers, tenant};
use annals_enact::ExecutionStore;
use chrono::Utc;
use enact_core::kernel::persistence::{EventStore, ExecutionEventData, StorageBackend};
use enact_core::kernel::{
    ExecutionError, ExecutionErrorCategory, ParentLink, StepId, StepSourceType, StepType,
};
use serde_json::json;
use std::sync::Arc;

/// One event of each kind.
pub(crate) fn of_each_kind() -> Vec<ExecutionEventData> {
    use ExecutionEventData::*;
    let (step_id, output) = (StepId::new(), Some("ünïcode \u{0} \"quoted\"\n".to_owned()));
    let error = ExecutionError::new(ExecutionErrorCategory::ToolError, "it broke")
        .with_code("42")
        .with_attempt(3)
        .with_step_id(step_id.clone());
    vec![
        ExecutionStarted {
            parent: Some(ParentLink::system()),
            metadata: Some(json!({ "why": ["a", 1, null] })),
        },
        StepStarted {
            step_id: step_id.clone(),
            parent_step_id: Some(StepId::new()),
            step_type: StepType::ToolNode,
            name: "search".to_owned(),
        },
        StepCompleted { step_id: step_id.clone(), output: output.clone(), duration_ms: u64::MAX },
        StepFailed { step_id: step_id.clone(), error: error.clone() },
        ExecutionPaused { reason: String::new() },
        ExecutionResumed,
        ExecutionCompleted { output: None, duration_ms: 0 },
        ExecutionFailed { error },
        ExecutionCancelled { reason: "enough".to_owned() },
        ArtifactStored {
            artifact_id: "artifact_1".to_owned(),
            step_id: step_id.clone(),
            content_hash: "00ff".to_owned(),
            size_bytes: 1 << 40,
        },
        StepDiscovered {
            step_id: step_id.clone(),
            discovered_by: None,
            source_type: StepSourceType::LlmOutput,
            reason: "it said so".to_owned(),
            depth: 3,
        },
        ToolCallStarted {
            step_id: Some(step_id.clone()),
            tool_call_id: "call_1".to_owned(),
            tool_name: "weather".to_owned(),
            input: json!({ "city": "Bremen", "days": [1, -2, 3.5] }),
        },
        ToolCallCompleted { step_id: None, tool_call_id: "call_1".to_owned(), output: json!(null) },
        CheckpointSaved { step_id: None, checkpoint_id: "c".to_owned(), state_hash: "h".to_owned() },
        GoalEvaluated {
            step_id: Some(step_id),
            goal_id: "g".to_owned(),
            status: "met".to_owned(),
            score: Some(0.1 + 0.2),
            reason: None,
        },
        Custom { event_type: "any/thing".to_owned(), data: json!({ "type": "inner", "n": u64::MAX }) },
    ]
}

#[tokio::test]
async fn sequences_are_one_two_three() {
    let dir = directory();
    let store = ExecutionStore::open(dir.path()).unwrap();
    for sequence in 1..=5 {
        assert_eq!(store.append(&id("e"), &tenant("t"), numbered(sequence)).await.unwrap(), sequence);
    }
    assert_eq!(store.append(&id("other"), &tenant("t"), numbered(0)).await.unwrap(), 1, "each has its own");
    let events = store.load_events(&id("e")).await.unwrap();
    assert_eq!(numbers(&events), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);
}

#[tokio::test]
async fn a_batch_tells_its_first_sequence_and_the_others_follow() {
    let dir = directory();
    let store = ExecutionStore::open(dir.path()).unwrap();
    let (e, t) = (id("e"), tenant("t"));
    assert_eq!(store.append_batch(&e, &t, (1..=3).map(numbered).collect()).await.unwrap(), 1);
    assert_eq!(store.append_batch(&e, &t, vec![numbered(4)]).await.unwrap(), 4);
    assert_eq!(store.append_batch(&e, &t, (5..=7).map(numbered).collect()).await.unwrap(), 5);
    let events = store.load_events(&e).await.unwrap();
    assert_eq!(numbers(&events), (1..=7).map(|n| (n, n)).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_kind_of_event_comes_back_as_it_was_also_after_reopening() {
    let dir = directory();
    let (e, t) = (id("e"), tenant("t"));
    let store = ExecutionStore::open(dir.path()).unwrap();
    store.append_batch(&e, &t, of_each_kind().to_vec()).await.unwrap();
    let written = as_json(&store.load_events(&e).await.unwrap());
    store.shutdown().await.unwrap();
    drop(store);

    let store = ExecutionStore::open(dir.path()).unwrap();
    let events = store.load_events(&e).await.unwrap();
    assert_eq!(as_json(&events), written);
    assert_eq!(events.len(), 16);
    let first = store.append_batch(&id("again"), &t, events.iter().map(|e| e.event.clone()).collect()).await;
    assert_eq!(first.unwrap(), 1);
    let again = store.load_events(&id("again")).await.unwrap();
    for (event, again) in events.iter().zip(&again) {
        assert_eq!(as_json(&event.event), as_json(&again.event));
    }
    assert_eq!(store.append(&e, &t, numbered(0)).await.unwrap(), 17, "sequences go on");
}

#[tokio::test]
async fn numbers_come_back_to_the_last_bit() {
    let (_, store, _) = in_memory();
    let mut bits = 0x3FF0_0000_0000_0001_u64;
    for _ in 0..500 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let score = f64::from_bits(bits);
        if !score.is_finite() {
            continue;
        }
        let event = ExecutionEventData::GoalEvaluated {
            step_id: None,
            goal_id: String::new(),
            status: String::new(),
            score: Some(score),
            reason: None,
        };
        let sequence = store.append(&id("e"), &tenant("t"), event).await.unwrap();
        let stored = store.load_events_after(&id("e"), sequence - 1).await.unwrap().remove(0);
        let ExecutionEventData::GoalEvaluated { score: Some(back), .. } = stored.event else { panic!() };
        assert_eq!(back.to_bits(), score.to_bits());
    }
}

#[tokio::test]
async fn loading_after_a_sequence_leaves_it_out() {
    let (_, store, _) = in_memory();
    let e = id("e");
    store.append_batch(&e, &tenant("t"), (1..=4).map(numbered).collect()).await.unwrap();
    for (after, expected) in
        [(0, vec![1, 2, 3, 4]), (2, vec![3, 4]), (3, vec![4]), (4, vec![]), (5, vec![]), (u64::MAX, vec![])]
    {
        let events = store.load_events_after(&e, after).await.unwrap();
        assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), expected, "after {after}");
    }
    assert_eq!(
        as_json(&store.load_events_after(&e, 0).await.unwrap()),
        as_json(&store.load_events(&e).await.unwrap())
    );
}

#[tokio::test]
async fn an_execution_without_events_is_none() {
    let (_, store, _) = in_memory();
    let e = id("e");
    assert_eq!(store.get_latest_sequence(&e).await.unwrap(), None);
    assert!(!store.execution_exists(&e).await.unwrap());
    assert_eq!(store.count_events(&e).await.unwrap(), 0);
    assert!(store.load_events(&e).await.unwrap().is_empty());
    assert!(store.load_events_after(&e, 7).await.unwrap().is_empty());
}

#[tokio::test]
async fn latest_sequence_and_count_are_the_number_of_events() {
    let (_, store, _) = in_memory();
    let e = id("e");
    for count in 1..=3 {
        store.append(&e, &tenant("t"), numbered(count)).await.unwrap();
        assert_eq!(store.get_latest_sequence(&e).await.unwrap(), Some(count));
        assert_eq!(store.count_events(&e).await.unwrap(), count);
        assert!(store.execution_exists(&e).await.unwrap());
    }
}

#[tokio::test]
async fn a_stored_event_knows_its_execution_its_tenant_and_its_time() {
    let dir = directory();
    let (e, t) = (id("e/1"), tenant("t/ä"));
    let store = ExecutionStore::open(dir.path()).unwrap();
    let before = Utc::now();
    store.append(&e, &t, numbered(1)).await.unwrap();
    let after = Utc::now();
    let event = store.load_events(&e).await.unwrap().remove(0);
    assert_eq!((&event.execution_id, &event.tenant_id), (&e, &t));
    assert!(before <= event.timestamp && event.timestamp <= after, "{}", event.timestamp);
    store.shutdown().await.unwrap();
    drop(store);
    let store = ExecutionStore::open(dir.path()).unwrap();
    assert_eq!(store.load_events(&e).await.unwrap()[0].timestamp, event.timestamp);
}

#[tokio::test]
async fn executions_whose_ids_resemble_each_other_do_not_mix() {
    let (_, store, _) = in_memory();
    let ids = ["", "a", "ab", "a/b", "a/", "/a", "a%2Fb", "A", "../a", "a\u{0}", "exec_1", "exec_10"];
    for (number, e) in ids.iter().enumerate() {
        for _ in 0..=number {
            store.append(&id(e), &tenant("t"), numbered(number as u64)).await.unwrap();
        }
    }
    for (number, e) in ids.iter().enumerate() {
        let events = store.load_events(&id(e)).await.unwrap();
        let expected: Vec<_> = (1..=number as u64 + 1).map(|sequence| (sequence, number as u64)).collect();
        assert_eq!(numbers(&events), expected, "{e:?}");
    }
}

#[tokio::test]
async fn it_is_used_as_a_trait_object_and_its_clones_are_the_same_store() {
    let dir = directory();
    let store = ExecutionStore::open(dir.path()).unwrap();
    let shared: Arc<dyn EventStore> = Arc::new(store.clone());
    let other = shared.clone();
    tokio::spawn(async move { other.append(&id("e"), &tenant("t"), numbered(1)).await })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(store.append(&id("e"), &tenant("t"), numbered(2)).await.unwrap(), 2);
    assert_eq!(numbers(&shared.load_events(&id("e")).await.unwrap()), [(1, 1), (2, 2)]);
    let backend: Arc<dyn StorageBackend> = Arc::new(store);
    backend.shutdown().await.unwrap();
    assert!(shared.health_check().await.is_err(), "they share what was shut down");
}

/// An execution with many events is read in many turns.
#[tokio::test]
async fn a_long_execution_is_loaded_whole() {
    let (_, store, _) = in_memory();
    let e = id("e");
    store.append_batch(&e, &tenant("t"), (1..=3000).map(numbered).collect()).await.unwrap();
    let events = store.load_events(&e).await.unwrap();
    assert_eq!(numbers(&events), (1..=3000).map(|n| (n, n)).collect::<Vec<_>>());
}
