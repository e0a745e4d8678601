//! Several stores, and streams of others, in one log: none sees another's events.

use crate::kit::{as_json, directory, emitted, id, numbered, numbers, open, tenant};
use annals::{ExpectedVersion, NewEvent};
use annals_enact::{ExecutionStore, StreamingStore};
use enact_core::kernel::persistence::EventStore as _;
use enact_core::streaming::EventStore as _;

#[tokio::test]
async fn stores_in_other_namespaces_and_plain_streams_do_not_meet() {
    let dir = directory();
    let log = open(dir.path());
    // Names that would meet if they were only put behind one another.
    let namespaces = ["enact", "enact/execution", "enact/streaming", "enact%2Fexecution", "", "e"];
    let plain = ["enact", "enact/", "enact/execution", "enact/streaming", "enact/executions/e", "e"];
    let stores: Vec<_> = namespaces
        .iter()
        .map(|namespace| {
            let kernel = ExecutionStore::in_namespace(log.clone(), namespace);
            (kernel, StreamingStore::in_namespace(log.clone(), namespace))
        })
        .collect();
    let mut entries = vec![Vec::new(); stores.len()];
    for round in 1..=3u64 {
        for stream in plain {
            log.append(stream, ExpectedVersion::Any, &[NewEvent::new("T", "plain")]).unwrap();
        }
        for (at, (kernel, runtime)) in stores.iter().enumerate() {
            // The same execution and the same events everywhere; each namespace with its own tenant.
            let t = tenant(&format!("tenant {at}"));
            let number = at as u64 * 100 + round;
            assert_eq!(kernel.append(&id("e"), &t, numbered(number)).await.unwrap(), round);
            entries[at].push(runtime.append(emitted("e", number)).await.unwrap());
        }
    }
    for (at, (kernel, runtime)) in stores.iter().enumerate() {
        let expected: Vec<_> = (1..=3).map(|round| (round, at as u64 * 100 + round)).collect();
        assert_eq!(numbers(&kernel.load_events(&id("e")).await.unwrap()), expected);
        for other in 0..stores.len() {
            let listed = kernel.list_executions(&tenant(&format!("tenant {other}")), 9, 0).await.unwrap();
            assert_eq!(listed, if other == at { vec![id("e")] } else { vec![] });
        }
        assert_eq!(as_json(&runtime.get_after(0, usize::MAX).await.unwrap()), as_json(&entries[at]));
        assert_eq!(as_json(&runtime.get_by_execution(&id("e")).await.unwrap()), as_json(&entries[at]));
        assert_eq!(runtime.latest_sequence().await.unwrap(), entries[at][2].sequence);
    }
    assert_eq!(log.last_position(), 3 * (plain.len() + 2 * stores.len()) as u64);
}

#[tokio::test]
async fn two_handles_of_one_namespace_are_one_store() {
    let dir = directory();
    let log = open(dir.path());
    let (one, two) = (ExecutionStore::new(log.clone()), ExecutionStore::in_namespace(log.clone(), "enact"));
    assert_eq!(one.append(&id("e"), &tenant("t"), numbered(1)).await.unwrap(), 1);
    assert_eq!(two.append(&id("e"), &tenant("t"), numbered(2)).await.unwrap(), 2);
    assert_eq!(one.count_events(&id("e")).await.unwrap(), 2);
    let (one, two) = (StreamingStore::new(log.clone()), StreamingStore::new(log));
    let first = one.append(emitted("e", 1)).await.unwrap().sequence;
    assert_eq!(two.latest_sequence().await.unwrap(), first);
    let second = two.append(emitted("e", 2)).await.unwrap().sequence;
    assert_eq!(
        (one.latest_sequence().await.unwrap(), two.latest_sequence().await.unwrap()),
        (second, second)
    );
}

/// Another tenant of the log with the name that ours has in it does not disturb the listing.
#[tokio::test]
async fn streams_of_others_in_the_same_tenant_are_not_listed() {
    let dir = directory();
    let log = open(dir.path());
    let store = ExecutionStore::new(log.clone());
    store.append(&id("e"), &tenant("t"), numbered(1)).await.unwrap();
    log.tenant("enact/t").append("theirs", ExpectedVersion::Any, &[NewEvent::new("T", "")]).unwrap();
    assert_eq!(store.list_executions(&tenant("t"), 9, 0).await.unwrap(), [id("e")]);
    store.append(&id("f"), &tenant("t"), numbered(1)).await.unwrap();
    let mut pages = Vec::new();
    for offset in 0..4 {
        pages.extend(store.list_executions(&tenant("t"), 1, offset).await.unwrap());
    }
    assert_eq!(pages, [id("f"), id("e")], "they count for no offset either");
    assert!(store.list_executions(&tenant("t"), 0, 0).await.unwrap().is_empty());
}
