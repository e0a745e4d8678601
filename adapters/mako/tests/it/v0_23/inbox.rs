//! The inbox of 0.23: a claim has an id, and settles nothing that it does not hold.

use super::mako::error::EngineError;
use super::mako::ids::InboxClaimId;
use super::mako::inbox::{InMemoryInboxStore, InboxClaim, InboxStore, inbox_key};
use crate::shelf::{Shelf, fresh, in_memory, kept, names};
use annals::KeptCondition;
use annals_mako::Failure;
use time::{Duration, OffsetDateTime};

agree!(InMemoryInboxStore::new();
    a_claim_that_is_not_settled_is_in_flight,
    what_was_accepted_is_a_duplicate,
    what_was_abandoned_comes_again,
    an_accepted_key_is_never_opened_again,
    a_claim_is_spent_once_settled,
    a_foreign_claim_settles_nothing,
    keys_of_all_kinds_are_kept_apart,
    a_key_that_is_too_long_is_refused_in_every_phase,
);

const KEY: &str = "4012345000023:MSG-001";

async fn claimed(store: &impl InboxStore, key: &str) -> InboxClaimId {
    match store.claim(key).await.unwrap() {
        InboxClaim::Claimed(id) => id,
        other => panic!("{other:?}"),
    }
}

fn is_refused(result: Result<(), EngineError>) {
    assert!(matches!(result, Err(EngineError::Inbox { transient: false, .. })), "{result:?}");
}

async fn a_claim_that_is_not_settled_is_in_flight<S: InboxStore>(store: &S) {
    claimed(store, KEY).await;
    assert_eq!(store.claim(KEY).await.unwrap(), InboxClaim::InFlight);
}

async fn what_was_accepted_is_a_duplicate<S: InboxStore>(store: &S) {
    let id = claimed(store, KEY).await;
    store.accept(KEY, id).await.unwrap();
    assert_eq!(store.claim(KEY).await.unwrap(), InboxClaim::Duplicate);
    assert_eq!(store.claim(KEY).await.unwrap(), InboxClaim::Duplicate);
}

async fn what_was_abandoned_comes_again<S: InboxStore>(store: &S) {
    let first = claimed(store, KEY).await;
    store.abandon(KEY, first).await.unwrap();
    let second = claimed(store, KEY).await;
    assert_ne!(first, second);
    store.accept(KEY, second).await.unwrap();
}

async fn an_accepted_key_is_never_opened_again<S: InboxStore>(store: &S) {
    let id = claimed(store, KEY).await;
    store.accept(KEY, id).await.unwrap();
    is_refused(store.abandon(KEY, id).await);
    assert_eq!(store.claim(KEY).await.unwrap(), InboxClaim::Duplicate);
}

async fn a_claim_is_spent_once_settled<S: InboxStore>(store: &S) {
    let id = claimed(store, KEY).await;
    store.accept(KEY, id).await.unwrap();
    is_refused(store.accept(KEY, id).await);
    let id = claimed(store, "another").await;
    store.abandon("another", id).await.unwrap();
    is_refused(store.abandon("another", id).await);
    is_refused(store.accept("another", id).await);
}

async fn a_foreign_claim_settles_nothing<S: InboxStore>(store: &S) {
    let id = claimed(store, KEY).await;
    let other = claimed(store, "another").await;
    for foreign in [InboxClaimId::new(), other] {
        is_refused(store.accept(KEY, foreign).await);
        is_refused(store.abandon(KEY, foreign).await);
    }
    is_refused(store.accept("never claimed", id).await);
    assert_eq!(store.claim(KEY).await.unwrap(), InboxClaim::InFlight);
    store.accept(KEY, id).await.unwrap();
}

async fn keys_of_all_kinds_are_kept_apart<S: InboxStore>(store: &S) {
    let longest = "ä".repeat(254) + "x";
    let (one, two) = (inbox_key("A", "ref").unwrap(), inbox_key("B", "ref").unwrap());
    for key in [&one, &two, "", "a", "a/", "a/b", "a%2Fb", "a\0b", &longest] {
        let id = claimed(store, key).await;
        store.accept(key, id).await.unwrap();
        assert_eq!(store.claim(key).await.unwrap(), InboxClaim::Duplicate, "{key:?}");
    }
}

async fn a_key_that_is_too_long_is_refused_in_every_phase<S: InboxStore>(store: &S) {
    let long = "x".repeat(510);
    is_refused(store.claim(&long).await.map(drop));
    is_refused(store.accept(&long, InboxClaimId::new()).await);
    is_refused(store.abandon(&long, InboxClaimId::new()).await);
}

/// Moves the ends of a claim, as if so much time had passed.
fn let_pass(store: &Shelf, key: &str, time: Duration) {
    let name = format!("mako/inbox/key/{key}");
    let mut claim: serde_json::Value = serde_json::from_str(&kept(store, &name).unwrap()).unwrap();
    let format = &time::format_description::well_known::Rfc3339;
    let until = OffsetDateTime::parse(claim["until"].as_str().unwrap(), format).unwrap();
    claim["until"] = (until - time).format(format).unwrap().into();
    store.log().keep(&name, KeptCondition::Present, claim.to_string()).unwrap();
}

#[tokio::test]
async fn a_claim_is_there_after_a_restart_and_its_lease_runs_on() {
    let store = fresh();
    let id = claimed(&*store, KEY).await;
    let store = store.reopen();
    assert_eq!(store.claim(KEY).await.unwrap(), InboxClaim::InFlight);
    let_pass(&store, KEY, Duration::seconds(299));
    assert_eq!(store.claim(KEY).await.unwrap(), InboxClaim::InFlight, "five minutes are not over");
    store.accept(KEY, id).await.unwrap();
    let store = store.reopen();
    assert_eq!(store.claim(KEY).await.unwrap(), InboxClaim::Duplicate);
}

#[tokio::test]
async fn a_lease_that_ran_out_is_taken_over_and_fences() {
    let store = fresh();
    let slow = claimed(&*store, KEY).await;
    let_pass(&store, KEY, Duration::seconds(301));
    let taker = claimed(&*store, KEY).await;
    assert_eq!(store.claim(KEY).await.unwrap(), InboxClaim::InFlight, "a lease of its own");
    is_refused(store.accept(KEY, slow).await);
    is_refused(store.abandon(KEY, slow).await);
    store.accept(KEY, taker).await.unwrap();
    assert_eq!(store.claim(KEY).await.unwrap(), InboxClaim::Duplicate);
    // Nobody took this one over: who was slow may still settle it.
    let slow = claimed(&*store, "another").await;
    let_pass(&store, "another", Duration::seconds(301));
    store.accept("another", slow).await.unwrap();
    assert_eq!(names(&store, "mako/inbox/").len(), 4, "two keys, two ages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_claims_at_once_is_granted() {
    let store = in_memory();
    for round in 0..40 {
        let key = format!("key {round}");
        let mut at_once = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (store, key) = (store.clone(), key.clone());
            at_once.spawn(async move { store.claim(&key).await.unwrap() });
        }
        let answers = at_once.join_all().await;
        let granted = answers.iter().filter(|answer| matches!(answer, InboxClaim::Claimed(_)));
        assert_eq!(granted.count(), 1);
        assert!(answers.iter().all(|answer| *answer != InboxClaim::Duplicate), "{answers:?}");
    }
}

#[tokio::test]
async fn how_a_key_stands_in_the_log() {
    let store = fresh();
    let id = claimed(&*store, "a/b").await;
    let claim: serde_json::Value =
        serde_json::from_str(&kept(&store, "mako/inbox/key/a/b").unwrap()).unwrap();
    assert_eq!((&claim["state"], &claim["claim"]), (&"claimed".into(), &id.to_string().into()));
    let all = names(&store, "");
    assert_eq!(all.len(), 2);
    assert!(all[0].starts_with("mako/inbox/age/2") && all[0].ends_with("Z/a/b"), "{all:?}");
    store.accept("a/b", id).await.unwrap();
    let accepted: serde_json::Value =
        serde_json::from_str(&kept(&store, "mako/inbox/key/a/b").unwrap()).unwrap();
    assert_eq!(accepted, serde_json::json!({ "state": "accepted", "since": claim["since"] }));
    assert_eq!(names(&store, ""), all);
    let id = claimed(&*store, "gone").await;
    store.abandon("gone", id).await.unwrap();
    assert_eq!(names(&store, ""), all);
}

/// What cannot be understood is not taken for a new message.
#[tokio::test]
async fn a_key_that_cannot_be_read_is_an_error() {
    let store = fresh();
    store.log().keep("mako/inbox/key/k", KeptCondition::Any, "A").unwrap();
    let error = store.claim("k").await.unwrap_err();
    assert!(
        matches!(&error, EngineError::Inbox { message, .. } if message.contains("mako/inbox/key/k")),
        "{error}"
    );
}

#[tokio::test]
async fn the_purge_removes_what_is_old_and_holds_no_more() {
    let store = fresh();
    let (old, held, expired) = (claimed(&*store, "old").await, claimed(&*store, "held").await, "expired");
    store.accept("old", old).await.unwrap();
    claimed(&*store, expired).await;
    let_pass(&store, expired, Duration::seconds(301));
    // Abandoned and claimed again: it is as young as its last claim.
    let first = claimed(&*store, "again").await;
    store.abandon("again", first).await.unwrap();
    let between = OffsetDateTime::now_utc();
    let again = claimed(&*store, "again").await;
    store.accept("again", again).await.unwrap();
    let young = claimed(&*store, "young").await;
    store.accept("young", young).await.unwrap();

    assert_eq!(store.purge_inbox(OffsetDateTime::UNIX_EPOCH).await, Ok(0));
    assert_eq!(store.purge_inbox(between).await, Ok(2));
    assert!(matches!(store.claim("old").await.unwrap(), InboxClaim::Claimed(_)));
    assert!(matches!(store.claim(expired).await.unwrap(), InboxClaim::Claimed(_)));
    assert_eq!(store.claim("again").await.unwrap(), InboxClaim::Duplicate);
    assert_eq!(store.claim("young").await.unwrap(), InboxClaim::Duplicate);
    store.accept("held", held).await.unwrap();
    assert_eq!(store.purge_inbox(between).await, Ok(1), "it holds no more");
}

#[tokio::test]
async fn the_purge_goes_through_all_pages() {
    let store = in_memory();
    let mut held = Vec::new();
    for n in 0..700 {
        let key = format!("key {n}");
        let id = claimed(&store, &key).await;
        if n % 7 == 0 {
            held.push((key, id));
        } else {
            store.accept(&key, id).await.unwrap();
        }
    }
    let later = OffsetDateTime::now_utc() + Duration::HOUR;
    assert_eq!(store.purge_inbox(later).await, Ok(600));
    assert_eq!(names(&store, "mako/inbox/").len(), 200);
    for (key, id) in held {
        store.accept(&key, id).await.unwrap();
    }
    assert_eq!(store.purge_inbox(later).await, Ok(100));
    assert!(names(&store, "").is_empty());
    store.log().close().unwrap();
    assert_eq!(store.purge_inbox(later).await, Ok(0), "nothing to write");
}

#[tokio::test]
async fn the_purge_tells_what_went_wrong() {
    let store = fresh();
    let id = claimed(&*store, "k").await;
    store.accept("k", id).await.unwrap();
    store.log().close().unwrap();
    let error = store.purge_inbox(OffsetDateTime::now_utc()).await.unwrap_err();
    assert_eq!(error.to_string(), "inbox: the log is closed");
    assert!(matches!(error, Failure::Store { transient: false, .. }));
}
