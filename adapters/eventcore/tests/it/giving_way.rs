//! No method blocks its executor's thread: neither on a sync, nor on a full batch, nor behind those who wait for the disk.

use crate::kit::{all, conflict, expecting, id, note, noted, position, texts, writes};
use annals::{Durability, ExpectedVersion, NewEvent, Options};
use annals_eventcore::EventCoreStore;
use eventcore_types::{
    CheckpointStore, CommandStateSnapshot, CommandStateSnapshotId, EventFilter, EventStore, ProjectionSource,
    ProjectorCoordinator, StreamVersion,
};
use futures_util::FutureExt;
use proving::{Gated, gives_way};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

/// A store whose batches hold 64 KiB, on a disk whose syncs can be held back.
fn gated() -> (Gated, EventCoreStore) {
    let gated = Gated::default();
    let log = Options::new().batch_bytes(64 << 10).open_storage(Arc::new(gated.clone())).unwrap();
    (gated, EventCoreStore::new(log).unwrap())
}

fn snapshot(version: usize) -> CommandStateSnapshot {
    CommandStateSnapshot::new(json!(version), HashMap::from([(id("a"), StreamVersion::new(version))]))
}

fn snapshot_id() -> CommandStateSnapshotId {
    CommandStateSnapshotId::try_new("s").unwrap()
}

#[test]
fn appending_gives_way() {
    let (gated, store) = gated();
    let events = [noted("a", "1"), noted("b", "1")];
    gives_way(&gated, store.append_events(writes(&[("a", 0), ("b", 0)], events))).map(|_| ()).unwrap();
    assert_eq!(store.log().last_position(), 2);
}

/// Durable means durable, also on a log whose own appends wait for less.
#[test]
fn every_write_waits_for_the_disk_whatever_the_log_waits_for() {
    let gated = Gated::default();
    let log = Options::new().durability(Durability::Sequenced).open_storage(Arc::new(gated.clone())).unwrap();
    let store = EventCoreStore::new(log).unwrap();
    gives_way(&gated, store.append_events(writes(&[("a", 0)], [noted("a", "1")]))).map(|_| ()).unwrap();
    assert_eq!(texts(&store, "a").now_or_never().unwrap(), ["1"]);
    gives_way(&gated, store.save("p", position(1))).unwrap();
    gives_way(&gated, store.save_command_state_snapshot(snapshot_id(), snapshot(1))).unwrap();
}

/// That a check has passed is told when what it rests on is durable.
#[test]
fn checking_gives_way() {
    let (gated, store) = gated();
    gives_way(&gated, async {
        let first =
            store.log().submit("eventcore/stream/a", ExpectedVersion::Any, &[NewEvent::new("Noted", "{}")]);
        store.append_events(expecting(&[("a", 1)])).await.map(|_| ()).unwrap();
        first.unwrap().await.unwrap();
    });
}

/// So is a conflict: whoever reads behind it finds what it names.
#[test]
fn a_conflict_gives_way() {
    let (gated, store) = gated();
    gives_way(&gated, async {
        let payload = r#"{"stream":"a","text":"first"}"#;
        let event = [NewEvent::new("Noted", payload)];
        let first = store.log().submit("eventcore/stream/a", ExpectedVersion::Any, &event).unwrap();
        assert_eq!(
            conflict(&store, writes(&[("a", 0)], [noted("a", "second")])).await,
            ("a".to_owned(), 0, 1)
        );
        assert_eq!(texts(&store, "a").await, ["first"]);
        first.await.unwrap();
    });
}

#[test]
fn saving_a_checkpoint_gives_way() {
    let (gated, store) = gated();
    gives_way(&gated, store.save("p", position(7))).unwrap();
    assert_eq!(store.load("p").now_or_never(), Some(Ok(Some(position(7)))));
}

#[test]
fn saving_a_snapshot_gives_way() {
    let (gated, store) = gated();
    for version in 1..=2 {
        gives_way(&gated, store.save_command_state_snapshot(snapshot_id(), snapshot(version))).unwrap();
    }
    let loaded = store.load_command_state_snapshot(snapshot_id()).now_or_never();
    assert_eq!(loaded.unwrap().unwrap().unwrap().state, json!(2));
}

/// More than the batch that is open can take, while the one before is on its way to the disk.
#[test]
fn waiting_for_room_gives_way() {
    let (gated, store) = gated();
    gives_way(&gated, async {
        let large = "x".repeat(40 << 10);
        let [a, b, c, d] = ["a", "b", "c", "d"]
            .map(|stream| store.append_events(writes(&[(stream, 0)], [noted(stream, &large)])));
        let save = store.save("p", position(1));
        let keep = store.save_command_state_snapshot(snapshot_id(), snapshot(1));
        let (a, b, c, d, save, keep) = tokio::join!(a, b, c, d, save, keep);
        assert!(a.is_ok() && b.is_ok() && c.is_ok() && d.is_ok() && save.is_ok() && keep.is_ok());
    });
    assert_eq!(store.log().last_position(), 4);
}

/// An append that waits for room and is dropped is not made; the others are.
#[test]
fn what_is_dropped_while_it_waits_for_room_is_not_there() {
    let (gated, store) = gated();
    gives_way(&gated, async {
        let large = "x".repeat(60 << 10);
        let mut appends: Vec<_> = ["a", "b", "c", "d"]
            .map(|stream| Box::pin(store.append_events(writes(&[(stream, 0)], [noted(stream, &large)]))))
            .into();
        for append in &mut appends {
            assert!(append.now_or_never().is_none());
        }
        drop(appends.pop());
        for append in appends {
            append.await.map(|_| ()).unwrap();
        }
    });
    let there =
        ["a", "b", "c", "d"].map(|stream| store.log().stream_version(&format!("eventcore/stream/{stream}")));
    assert_eq!(there, [1, 1, 1, 0]);
}

/// What is durable can be read while the disk is busy, at once; what is not, is not shown.
#[tokio::test]
async fn reading_waits_for_nobody() {
    let (gated, store) = gated();
    note(&store, "a", 0, &["1"]).await;
    store.save("p", position(1)).await.unwrap();
    store.save_command_state_snapshot(snapshot_id(), snapshot(1)).await.unwrap();
    gated.close();
    let mut append = Box::pin(store.append_events(writes(&[("a", 1)], [noted("a", "2")])));
    let mut save = Box::pin(store.save("p", position(2)));
    let mut keep = Box::pin(store.save_command_state_snapshot(snapshot_id(), snapshot(2)));
    assert!((&mut append).now_or_never().is_none() && (&mut save).now_or_never().is_none());
    assert!((&mut keep).now_or_never().is_none());
    gated.wait_until_held();
    assert_eq!(texts(&store, "a").now_or_never().unwrap(), ["1"]);
    assert_eq!(all(&store, EventFilter::all()).now_or_never().unwrap(), ["1"]);
    assert_eq!(store.load("p").now_or_never().unwrap(), Ok(Some(position(1))));
    let loaded = store.load_command_state_snapshot(snapshot_id()).now_or_never().unwrap();
    assert_eq!(loaded.unwrap().unwrap().state, json!(1));
    let mark = store.high_watermark().now_or_never().unwrap().unwrap();
    assert_eq!(mark.map(|mark| mark.get()), Some(1));
    assert!(store.try_acquire("p").now_or_never().unwrap().is_ok());
    gated.open_up();
    append.await.map(|_| ()).unwrap();
    save.await.unwrap();
    keep.await.unwrap();
    assert_eq!((texts(&store, "a").await.len(), store.load("p").await), (2, Ok(Some(position(2)))));
}
