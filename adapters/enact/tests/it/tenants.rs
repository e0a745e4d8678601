//! Tenants: whose an execution is, and the listing of a tenant's executions, newest first.

use crate::kit::{directory, id, in_memory, numbered, numbers, tenant, typed};
use annals_enact::{Error, ExecutionStore};
use enact_core::kernel::ExecutionId;
use enact_core::kernel::persistence::{EventStore, StorageBackend};
use futures::FutureExt;

async fn listed(store: &ExecutionStore, t: &str, limit: usize, offset: usize) -> Vec<String> {
    let executions = store.list_executions(&tenant(t), limit, offset).await.unwrap();
    executions.iter().map(ExecutionId::to_string).collect()
}

#[tokio::test]
async fn the_newest_execution_comes_first_whatever_its_id_and_its_last_event() {
    let dir = directory();
    let store = ExecutionStore::open(dir.path()).unwrap();
    for e in ["m", "z", "a"] {
        store.append(&id(e), &tenant("t"), numbered(1)).await.unwrap();
    }
    assert_eq!(listed(&store, "t", 10, 0).await, ["a", "z", "m"]);
    store.append(&id("m"), &tenant("t"), numbered(2)).await.unwrap();
    assert_eq!(listed(&store, "t", 10, 0).await, ["a", "z", "m"], "what counts is the first event");
    store.shutdown().await.unwrap();
    drop(store);
    let store = ExecutionStore::open(dir.path()).unwrap();
    assert_eq!(listed(&store, "t", 10, 0).await, ["a", "z", "m"], "also after reopening");
}

#[tokio::test]
async fn a_listing_is_one_tenants() {
    let (_, store, _) = in_memory();
    for (e, t) in [("1", "shop"), ("2", "bank"), ("3", "shop"), ("4", "shop/bank"), ("5", "")] {
        store.append(&id(e), &tenant(t), numbered(1)).await.unwrap();
    }
    assert_eq!(listed(&store, "shop", 10, 0).await, ["3", "1"]);
    assert_eq!(listed(&store, "bank", 10, 0).await, ["2"]);
    assert_eq!(listed(&store, "shop/bank", 10, 0).await, ["4"]);
    assert_eq!(listed(&store, "", 10, 0).await, ["5"]);
    assert_eq!(listed(&store, "nobody", 10, 0).await, [""; 0]);
}

#[tokio::test]
async fn limit_and_offset_cut_out_a_page() {
    let (_, store, _) = in_memory();
    for e in 1..=7 {
        store.append(&id(&e.to_string()), &tenant("t"), numbered(1)).await.unwrap();
    }
    let all = ["7", "6", "5", "4", "3", "2", "1"];
    for offset in 0..9 {
        for limit in 0..9 {
            let from = offset.min(7);
            let expected = &all[from..(from + limit).min(7)];
            assert_eq!(listed(&store, "t", limit, offset).await, expected, "{limit} {offset}");
        }
    }
    assert_eq!(listed(&store, "t", usize::MAX, 0).await, all);
    assert_eq!(listed(&store, "t", usize::MAX, usize::MAX).await, [""; 0]);
    assert_eq!(listed(&store, "t", usize::MAX, 6).await, ["1"]);
}

/// The listing is made in steps; who creates executions between them neither repeats nor hides one.
#[tokio::test]
async fn a_long_listing_gives_way_and_stays_true_while_executions_are_created() {
    let (_, store, _) = in_memory();
    let create = async |from: u64, to: u64| {
        for e in from..to {
            store.append(&id(&e.to_string()), &tenant("t"), numbered(1)).await.unwrap();
        }
    };
    create(0, 600).await;
    let t = tenant("t");
    let mut listing = store.list_executions(&t, usize::MAX, 100);
    assert!((&mut listing).now_or_never().is_none(), "it is not done in one go");
    create(600, 700).await;
    assert!((&mut listing).now_or_never().is_none());
    create(700, 1100).await;
    let executions: Vec<String> = listing.await.unwrap().iter().map(ExecutionId::to_string).collect();
    let expected: Vec<String> = (0..500).rev().map(|e: u64| e.to_string()).collect();
    assert_eq!(executions, expected);
}

#[tokio::test]
async fn an_execution_belongs_to_the_tenant_of_its_first_append() {
    let dir = directory();
    let store = ExecutionStore::open(dir.path()).unwrap();
    store.append(&id("e"), &tenant("shop"), numbered(1)).await.unwrap();
    let position = store.log().last_position();
    for stranger in ["bank", "", "shop/", "Shop"] {
        for batch in [vec![numbered(2)], vec![numbered(2), numbered(3)]] {
            match typed(store.append_batch(&id("e"), &tenant(stranger), batch).await) {
                Error::ForeignTenant { execution, tenant } => {
                    assert_eq!((execution.as_str(), tenant.as_str()), ("e", stranger));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(listed(&store, stranger, 10, 0).await, [""; 0]);
    }
    assert_eq!(store.log().last_position(), position, "nothing was written");
    store.append(&id("e"), &tenant("shop"), numbered(2)).await.unwrap();
    assert_eq!(numbers(&store.load_events(&id("e")).await.unwrap()), [(1, 1), (2, 2)]);
    store.shutdown().await.unwrap();
    drop(store);

    let store = ExecutionStore::open(dir.path()).unwrap();
    let refused = typed(store.append(&id("e"), &tenant("bank"), numbered(3)).await);
    assert!(matches!(refused, Error::ForeignTenant { .. }), "also after reopening: {refused}");
}
