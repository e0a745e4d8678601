//! No method blocks its executor's thread, whatever the disk does: each kind of writing method, over syncs that are held back.

use crate::kit::{emitted, id, numbered, tenant};
use annals::{EventLog, ExpectedVersion, LogState, NewEvent, Options};
use annals_enact::{ExecutionStore, StreamingStore};
use enact_core::kernel::persistence::{EventStore as _, ExecutionEventData, StorageBackend};
use enact_core::streaming::EventStore as _;
use futures::FutureExt;
use proving::{Gated, gives_way};
use std::sync::Arc;

fn gated(options: Options) -> (Gated, EventLog) {
    let gated = Gated::default();
    let log = options.open_storage(Arc::new(gated.clone())).unwrap();
    (gated, log)
}

#[test]
fn an_append_gives_way() {
    let (gated, log) = gated(Options::new());
    let store = ExecutionStore::new(log);
    let call = async { store.append(&id("e"), &tenant("t"), numbered(1)).await };
    assert_eq!(gives_way(&gated, call).unwrap(), 1);
}

#[test]
fn a_batch_gives_way() {
    let (gated, log) = gated(Options::new());
    let store = ExecutionStore::new(log);
    let call = async { store.append_batch(&id("e"), &tenant("t"), vec![numbered(1), numbered(2)]).await };
    assert_eq!(gives_way(&gated, call).unwrap(), 1);
}

#[test]
fn a_refused_tenant_gives_way_while_the_first_append_is_not_durable() {
    let (gated, log) = gated(Options::new());
    let store = ExecutionStore::new(log);
    let (e, shop, bank) = (id("e"), tenant("shop"), tenant("bank"));
    let call = async {
        let first = store.append(&e, &shop, numbered(1));
        let second = store.append(&e, &bank, numbered(2));
        futures::join!(first, second)
    };
    let (first, second) = gives_way(&gated, call);
    assert_eq!(first.unwrap(), 1);
    assert!(second.is_err());
}

#[test]
fn an_append_of_the_runtime_gives_way() {
    let (gated, log) = gated(Options::new());
    let store = StreamingStore::new(log);
    let call = async { store.append(emitted("e", 1)).await };
    assert_eq!(gives_way(&gated, call).unwrap().sequence, 1);
}

/// More than the open batch has room for: some wait for room, and for the disk.
#[test]
fn appends_to_a_full_batch_give_way() {
    let (gated, log) = gated(Options::new().batch_bytes(4096));
    let (store, streaming) = (ExecutionStore::new(log.clone()), StreamingStore::new(log));
    let (e, t) = (id("e"), tenant("t"));
    let large = || ExecutionEventData::Custom { event_type: String::new(), data: "x".repeat(2000).into() };
    let call = async {
        let kernel = futures::future::join_all((0..8).map(|_| store.append(&e, &t, large())));
        let runtime = futures::future::join_all(
            (0..8).map(|n| streaming.append(emitted("e", n).with_payload("x".repeat(2000).into()))),
        );
        futures::join!(kernel, runtime)
    };
    let (kernel, runtime) = gives_way(&gated, call);
    let sequences: Vec<u64> = kernel.into_iter().map(Result::unwrap).collect();
    assert_eq!(sequences, (1..=8).collect::<Vec<_>>());
    assert!(runtime.iter().all(Result::is_ok));
}

#[test]
fn shutting_down_a_shared_log_waits_for_the_disk_and_gives_way() {
    let (gated, log) = gated(Options::new());
    let store = ExecutionStore::new(log.clone());
    let call = async {
        drop(log.submit("s", ExpectedVersion::Any, &[NewEvent::new("T", "")]).unwrap());
        store.shutdown().await
    };
    gives_way(&gated, call).unwrap();
    assert_eq!(log.stream_version("s"), 1, "it was durable before the answer");
}

#[test]
fn closing_the_log_gives_way() {
    let (gated, log) = gated(Options::new());
    let store = StreamingStore::new(log.clone()).closing_log();
    let call = async {
        drop(log.submit("s", ExpectedVersion::Any, &[NewEvent::new("T", "")]).unwrap());
        store.shutdown().await
    };
    gives_way(&gated, call).unwrap();
    assert_eq!((log.stream_version("s"), log.status().state), (1, LogState::Closed));
}

/// What is dropped while it waits is not torn: the batch is there as a whole.
#[test]
fn an_append_that_nobody_waits_for_any_more_is_whole() {
    let (gated, log) = gated(Options::new());
    let store = ExecutionStore::new(log);
    let (e, t) = (id("e"), tenant("t"));
    let call = async {
        let mut append = store.append_batch(&e, &t, (1..=3).map(numbered).collect());
        assert!(futures::poll!(&mut append).is_pending());
        drop(append);
        assert_eq!(store.count_events(&e).await.unwrap(), 0, "nothing is shown that is not durable");
        store.append(&e, &t, numbered(4)).await
    };
    assert_eq!(gives_way(&gated, call).unwrap(), 4);
    let events = store.load_events(&e).now_or_never().unwrap().unwrap();
    assert_eq!(events.len(), 4);
}
