//! What calls cost: reads and syncs are counted, and no clock is asked.

use crate::v0_23::make::{ago, correlation, deadline, events, message, second, stream};
use annals::{Options, ReadMode};
use annals_mako::MakoStore;
use mako_engine::deadline::DeadlineStore;
use mako_engine::error::WorkflowError;
use mako_engine::event_store::{AppendBatch, AtomicAppend, EventStore, ExpectedVersion};
use mako_engine::outbox::{OutboxStore, PendingOutbox};
use proving::FaultyDisk;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// A store whose every look at a value is a read that is counted.
fn counted() -> (FaultyDisk, MakoStore) {
    let disk = FaultyDisk::default();
    let options = Options::new().read_mode(ReadMode::Pread).idle_witness_after(Duration::from_secs(10));
    let log = options.open_storage(Arc::new(disk.clone())).unwrap();
    (disk, MakoStore::new(log))
}

/// How many reads a call makes.
async fn reads<T>(disk: &FaultyDisk, call: impl Future<Output = T>) -> (T, u64) {
    let before = disk.reads();
    let value = call.await;
    (value, disk.reads() - before)
}

/// One read for each name that is looked at, and one for each message that is returned.
#[tokio::test]
async fn pending_costs_what_it_returns_and_what_is_due() {
    let (disk, store) = counted();
    let later: Vec<_> = (0..5_000).map(|n| message(second(n), Some(second(100_000 + n)))).collect();
    store.enqueue(&later).await.unwrap();
    let (pending, cost) = reads(&disk, store.pending(50, second(10))).await;
    assert_eq!(pending.unwrap().len(), 0);
    assert!(cost <= 16, "{cost} reads for nothing among 5,000 that are deferred");

    let ready: Vec<_> = (0..5_000).map(|n| message(second(n), None)).collect();
    store.enqueue(&ready).await.unwrap();
    let (pending, cost) = reads(&disk, store.pending(50, second(10))).await;
    assert_eq!(pending.unwrap().len(), 50);
    assert!(cost <= 50 + 2 * 50 + 3 * 16, "{cost} reads for 50 of 10,000");

    let due: Vec<_> = (0..300).map(|n| message(second(n), Some(second(0)))).collect();
    store.enqueue(&due).await.unwrap();
    let (pending, cost) = reads(&disk, store.pending(50, second(10))).await;
    assert_eq!(pending.unwrap().len(), 50);
    assert!(cost <= 50 + 2 * 50 + 2 * 300 + 3 * 16, "{cost} reads for 50, and 300 that are due");
    let (_, cost) = reads(&disk, store.acknowledge(due[0].message_id)).await;
    assert!(cost <= 2, "{cost} reads to acknowledge one");
}

#[tokio::test]
async fn deadlines_cost_what_is_found() {
    let (disk, store) = counted();
    let (busy, quiet) = (stream("busy"), stream("quiet"));
    for n in 0..200 {
        let due: Vec<_> = (0..20).map(|m| deadline(&busy, "l", ago(-3_600 - n * 20 - m))).collect();
        store.append(AppendBatch::new(&busy, ExpectedVersion::Any, &[]).deadlines(&due)).await.unwrap();
    }
    let due: Vec<_> = (0..30).map(|n| deadline(&quiet, "l", ago(n))).collect();
    store.append(AppendBatch::new(&quiet, ExpectedVersion::Any, &[]).deadlines(&due)).await.unwrap();
    let (found, cost) = reads(&disk, store.due_now(10)).await;
    assert_eq!(found.unwrap().deadlines.len(), 10);
    assert!(cost <= 10 + 2 * 10 + 16, "{cost} reads for 10 of 4,030");
    let (found, cost) = reads(&disk, store.for_stream(&quiet)).await;
    assert_eq!(found.unwrap().len(), 30);
    assert!(cost <= 30 + 2 * 30 + 16, "{cost} reads for the 30 of a stream");
    let (found, cost) = reads(&disk, DeadlineStore::overdue_count(&store)).await;
    assert_eq!(found.unwrap(), 30);
    assert!(cost <= 2 * 30 + 16, "{cost} reads to count 30");
}

#[tokio::test]
async fn what_the_index_knows_costs_no_read() {
    let (disk, store) = counted();
    for n in 0..500 {
        let id = stream(&format!("process/{n:04}"));
        store.append(AppendBatch::new(&id, ExpectedVersion::NoStream, &events(1))).await.unwrap();
    }
    let (cursor, id) = (stream("process/0400"), stream("process/0499"));
    let index_only = async {
        let page = store.list_streams_page(Some("process/"), Some(&cursor), 50).await.unwrap();
        assert_eq!(page.len(), 50);
        assert_eq!(store.list_streams(None).await.unwrap().len(), 500);
        assert_eq!(store.stream_version(&id).await.unwrap(), 1);
        assert_eq!(OutboxStore::len(&store).await.unwrap(), 0);
    };
    assert_eq!(reads(&disk, index_only).await.1, 0);
}

/// A fold reads what it shows, and no more: that is what it is for.
#[tokio::test]
async fn folding_costs_what_is_folded() {
    let (disk, store) = counted();
    let id = stream("s");
    for n in 0..200 {
        store.append(AppendBatch::new(&id, ExpectedVersion::Exact(10 * n), &events(10))).await.unwrap();
    }
    let three = store.fold_stream(&id, 0, 0, |seen, _| match seen {
        3 => Err(WorkflowError::rejected("enough").into()),
        _ => Ok(seen + 1),
    });
    let (stopped, cost) = reads(&disk, three).await;
    assert!(stopped.is_err());
    let (tail, tail_cost) = reads(&disk, store.load_from(&id, 1_990)).await;
    assert_eq!(tail.unwrap().len(), 10);
    let (all, all_cost) = reads(&disk, EventStore::load(&store, &id)).await;
    assert_eq!(all.unwrap().len(), 2_000);
    assert!(50 * cost.max(tail_cost) <= all_cost, "{cost} and {tail_cost} reads, {all_cost} for all");
}

/// Everything that an append carries is one commit: one sync.
#[tokio::test]
async fn an_append_with_everything_is_one_sync() {
    let (disk, store) = counted();
    let id = stream("s");
    store.append(AppendBatch::new(&id, ExpectedVersion::NoStream, &events(1))).await.unwrap();
    let (new, tags) = (events(3), [correlation("m"), correlation("n")]);
    let out: Vec<_> = (0..5).map(|n| PendingOutbox::new("APERAK", "1", json!(n))).collect();
    let due = [deadline(&id, "a", second(0)), deadline(&id, "b", second(0))];
    let batch = AppendBatch::new(&id, ExpectedVersion::Exact(1), &new);
    let before = disk.syncs();
    store.append(batch.outbox(&out).deadlines(&due).correlations(&tags)).await.unwrap();
    assert_eq!(disk.syncs() - before, 1);
    let before = disk.syncs();
    let pending = store.pending(9, time::OffsetDateTime::now_utc()).await.unwrap();
    store.reschedule(pending[0].message_id, second(0)).await.unwrap();
    assert_eq!(disk.syncs() - before, 1, "also what changes one");
}
