//! A real process, really killed: what it was told is there, and nothing is there in part.

use crate::shelf::names;
use crate::v0_23::make::{deadline, event, identity, json_of, stream, workflow};
use annals_mako::MakoStore;
use mako_engine::deadline::DeadlineStore;
use mako_engine::event_store::{AppendBatch, AtomicAppend, CorrelationEntry, EventStore, ExpectedVersion};
use mako_engine::ids::{ProcessIdentity, StreamId, TenantId};
use mako_engine::outbox::{OutboxStore, PendingOutbox};
use mako_engine::registry::ProcessRegistry;
use mako_engine::snapshot::{Snapshot, SnapshotStore};
use proving::{Child, told};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use time::OffsetDateTime;

fn tenant() -> TenantId {
    TenantId::from_party_id("9900123456789")
}

/// Spawns processes, each with a message, a deadline and a tag in one append; acknowledges every third message, reschedules
/// every third, and saves snapshots. Tells what it is about to do away with, and what it was told is done.
async fn work(store: &MakoStore, worker: usize) {
    for n in 0.. {
        let identity = ProcessIdentity::new(identity().process_id, tenant(), workflow());
        let id = identity.stream_id().clone();
        let outbox = [PendingOutbox::new("APERAK", "9900000000001", json!({ "of": id.as_str() }))];
        let due = [deadline(&id, "antwort", OffsetDateTime::UNIX_EPOCH)];
        let tags = [CorrelationEntry {
            tenant_id: tenant(),
            tag: format!("malo-{worker}"),
            process_id: identity.process_id,
            identity,
        }];
        let events = [event("Spawned", json!({ "n": n })), event("Sent", json!({ "n": n }))];
        let batch = AppendBatch::new(&id, ExpectedVersion::NoStream, &events);
        let batch = batch.outbox(&outbox).deadlines(&due).correlations(&tags);
        let written = store.append(batch).await.unwrap();
        told(&format!("spawned {id}"));
        let message = written.outbox[0].message_id;
        match n % 3 {
            0 => {
                told(&format!("acknowledging {id}"));
                store.acknowledge(message).await.unwrap();
                told(&format!("acknowledged {id}"));
            }
            1 => {
                store.reschedule(message, OffsetDateTime::UNIX_EPOCH).await.unwrap();
                told(&format!("rescheduled {id}"));
            }
            _ => {
                store.save(&Snapshot::new(id.clone(), 2, 1, json!({ "n": n }))).await.unwrap();
                told(&format!("saved {id}"));
            }
        }
    }
}

/// Not a test by itself: without the variable it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(dir) = proving::child() else { return };
    let store = MakoStore::open(dir).unwrap();
    tokio::join!(work(&store, 0), work(&store, 1), work(&store, 2));
}

/// What is there, by stream, and whether each stream has all of its parts.
struct Seen {
    pending: BTreeMap<StreamId, u32>,
    saved: BTreeSet<StreamId>,
    all: BTreeSet<StreamId>,
}

async fn look(store: &MakoStore) -> Seen {
    let pending = store.pending(usize::MAX, OffsetDateTime::now_utc()).await.unwrap();
    let mut tagged = BTreeSet::new();
    for worker in 0..3 {
        let found = store.lookup_correlated(tenant(), &format!("malo-{worker}")).await.unwrap();
        tagged.extend(found.iter().map(|identity| identity.stream_id().clone()));
    }
    let mut seen = Seen { pending: BTreeMap::new(), saved: BTreeSet::new(), all: BTreeSet::new() };
    let causes: BTreeMap<_, _> =
        pending.iter().map(|message| (message.stream_id.clone(), message.causation_event_id)).collect();
    seen.pending.extend(pending.iter().map(|message| (message.stream_id.clone(), message.attempt_count)));
    for id in store.list_streams(None).await.unwrap() {
        let events = EventStore::load(store, &id).await.unwrap();
        assert_eq!(events.len(), 2, "{id}: both events");
        assert!(tagged.contains(&id), "{id}: its tag");
        assert_eq!(store.for_stream(&id).await.unwrap().len(), 1, "{id}: its deadline");
        assert!(
            causes.get(&id).is_none_or(|cause| *cause == events[0].event_id),
            "{id}: what caused its message"
        );
        if let Some(snapshot) = SnapshotStore::load(store, &id).await.unwrap() {
            assert_eq!(json_of(&snapshot.state), json_of(&events[0].payload));
            seen.saved.insert(id.clone());
        }
        seen.all.insert(id);
    }
    assert_eq!(tagged, seen.all, "no tag without its stream");
    assert!(seen.pending.keys().all(|id| seen.all.contains(id)), "no message without its stream");
    assert_eq!(DeadlineStore::len(store).await.unwrap(), seen.all.len());
    assert_eq!(names(store, "mako/outbox/").len(), 2 * seen.pending.len(), "each message in one place");
    seen
}

#[tokio::test]
async fn what_a_killed_process_was_told_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut said: BTreeMap<&str, BTreeSet<StreamId>> = BTreeMap::new();
    for cycle in 0..8 {
        let child = Child::start("kill::child", dir.path());
        for line in child.kill_after(12, Duration::from_millis(cycle * 11 % 40)) {
            let (word, id) = line.split_once(' ').unwrap();
            let word = ["spawned", "acknowledging", "acknowledged", "rescheduled", "saved"]
                .into_iter()
                .find(|known| *known == word);
            said.entry(word.unwrap()).or_default().insert(stream(id));
        }
        let store = MakoStore::open(dir.path()).unwrap();
        let seen = look(&store).await;
        let told = |word| said.get(word).cloned().unwrap_or_default();
        for id in told("spawned") {
            assert!(seen.all.contains(&id), "cycle {cycle}: {id}");
            assert!(
                seen.pending.contains_key(&id) || told("acknowledging").contains(&id),
                "cycle {cycle}: {id}"
            );
        }
        for id in told("acknowledged") {
            assert!(!seen.pending.contains_key(&id), "cycle {cycle}: {id}");
        }
        for id in told("rescheduled") {
            assert_eq!(seen.pending.get(&id), Some(&1), "cycle {cycle}: {id}");
        }
        assert!(told("saved").is_subset(&seen.saved));
        store.log().close().unwrap();
    }
    let spawned = said.get("spawned").map_or(0, BTreeSet::len);
    assert!(spawned > 40, "{spawned} only");
}
