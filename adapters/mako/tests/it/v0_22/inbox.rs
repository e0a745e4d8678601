//! The inbox of 0.22: whoever settles a key settles the claim that is there.

use super::mako::error::EngineError;
use super::mako::inbox::{InMemoryInboxStore, InboxClaim, InboxStore};
use crate::shelf::{fresh, in_memory, names};

agree!(InMemoryInboxStore::new();
    a_claim_that_is_not_settled_is_in_flight,
    what_was_accepted_is_a_duplicate,
    what_was_abandoned_comes_again,
    an_accepted_key_is_never_opened_again,
    settling_again_is_no_error,
    keys_of_all_kinds_are_kept_apart,
    a_key_that_is_too_long_is_refused_in_every_phase,
);

const KEY: &str = "4012345000023:MSG-001";

async fn claim<S: InboxStore>(store: &S, key: &str) -> InboxClaim {
    store.claim(key).await.unwrap()
}

async fn a_claim_that_is_not_settled_is_in_flight<S: InboxStore>(store: &S) {
    assert_eq!(claim(store, KEY).await, InboxClaim::Claimed);
    assert_eq!(claim(store, KEY).await, InboxClaim::InFlight);
}

async fn what_was_accepted_is_a_duplicate<S: InboxStore>(store: &S) {
    claim(store, KEY).await;
    store.accept(KEY).await.unwrap();
    assert_eq!(claim(store, KEY).await, InboxClaim::Duplicate);
}

async fn what_was_abandoned_comes_again<S: InboxStore>(store: &S) {
    claim(store, KEY).await;
    store.abandon(KEY).await.unwrap();
    assert_eq!(claim(store, KEY).await, InboxClaim::Claimed);
}

async fn an_accepted_key_is_never_opened_again<S: InboxStore>(store: &S) {
    claim(store, KEY).await;
    store.accept(KEY).await.unwrap();
    store.abandon(KEY).await.unwrap();
    assert_eq!(claim(store, KEY).await, InboxClaim::Duplicate);
}

async fn settling_again_is_no_error<S: InboxStore>(store: &S) {
    claim(store, KEY).await;
    store.accept(KEY).await.unwrap();
    store.accept(KEY).await.unwrap();
    assert_eq!(claim(store, KEY).await, InboxClaim::Duplicate);
    store.accept("never claimed").await.unwrap();
    store.abandon("never claimed either").await.unwrap();
}

async fn keys_of_all_kinds_are_kept_apart<S: InboxStore>(store: &S) {
    for key in ["", "a", "a/", "a/b", "a%2Fb", "a\0b"] {
        assert_eq!(claim(store, key).await, InboxClaim::Claimed, "{key:?}");
        store.accept(key).await.unwrap();
        assert_eq!(claim(store, key).await, InboxClaim::Duplicate, "{key:?}");
    }
}

async fn a_key_that_is_too_long_is_refused_in_every_phase<S: InboxStore>(store: &S) {
    let long = "x".repeat(510);
    let refused = [store.claim(&long).await.map(drop), store.accept(&long).await, store.abandon(&long).await];
    for result in refused {
        assert!(matches!(result, Err(EngineError::Inbox { transient: false, .. })), "{result:?}");
    }
}

/// "Settling a key that is not currently claimed is a no-op": the store in memory takes it for accepted.
#[tokio::test]
async fn accepting_what_nobody_claimed_changes_nothing() {
    let store = fresh();
    store.accept(KEY).await.unwrap();
    assert!(names(&store, "").is_empty());
    assert_eq!(claim(&*store, KEY).await, InboxClaim::Claimed);
    let memory = InMemoryInboxStore::new();
    memory.accept(KEY).await.unwrap();
    assert_eq!(claim(&memory, KEY).await, InboxClaim::Duplicate, "the difference");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_claims_at_once_is_granted() {
    let store = in_memory();
    for round in 0..40 {
        let key = format!("key {round}");
        let mut at_once = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (store, key) = (store.clone(), key.clone());
            at_once.spawn(async move { claim(&store, &key).await });
        }
        let answers = at_once.join_all().await;
        assert_eq!(answers.iter().filter(|answer| **answer == InboxClaim::Claimed).count(), 1);
    }
}
