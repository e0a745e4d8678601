//! The process registry: routing keys, and processes under tags.

use super::append_all;
use super::make::{correlation, events, identity, stream};
use super::mako::error::EngineError;
use super::mako::event_store::{CorrelationEntry, ExpectedVersion};
use super::mako::ids::{ConversationId, ProcessId, ProcessIdentity, TenantId};
use super::mako::registry::{InMemoryProcessRegistry, ProcessRegistry, RegistryKey};
use crate::shelf::{fresh, kept, names};

agree!(InMemoryProcessRegistry::new();
    what_is_registered_is_found,
    registering_again_replaces,
    tenants_have_their_own_keys,
    a_tag_has_many_processes,
    a_process_can_leave_a_tag,
    tenants_have_their_own_tags,
    tags_do_not_mix,
    keys_of_all_kinds_are_kept_apart,
    an_arc_and_a_clone_are_the_same_store,
);

fn key(text: &str) -> RegistryKey {
    RegistryKey::parse(text).unwrap()
}

async fn what_is_registered_is_found<S: ProcessRegistry>(store: &S) {
    let (tenant, process) = (TenantId::new(), identity());
    assert_eq!(store.lookup(tenant, &key("conv:1")).await.unwrap(), None);
    assert!(ProcessRegistry::is_empty(store).await.unwrap());
    store.register(tenant, &key("conv:1"), process.clone()).await.unwrap();
    assert_eq!(store.lookup(tenant, &key("conv:1")).await.unwrap(), Some(process));
    assert!(store.contains(tenant, &key("conv:1")).await.unwrap());
    assert!(!store.contains(tenant, &key("conv:")).await.unwrap());
    for _ in 0..2 {
        store.remove(tenant, &key("conv:1")).await.unwrap();
        assert_eq!(store.lookup(tenant, &key("conv:1")).await.unwrap(), None);
        assert_eq!(store.len().await.unwrap(), 0);
    }
}

async fn registering_again_replaces<S: ProcessRegistry>(store: &S) {
    let (tenant, process) = (TenantId::new(), identity());
    store.register(tenant, &key("k"), identity()).await.unwrap();
    store.register(tenant, &key("k"), process.clone()).await.unwrap();
    assert_eq!(store.lookup(tenant, &key("k")).await.unwrap(), Some(process));
    assert_eq!(store.len().await.unwrap(), 1);
}

async fn tenants_have_their_own_keys<S: ProcessRegistry>(store: &S) {
    let (one, two, process) = (TenantId::new(), TenantId::new(), identity());
    store.register(one, &key("k"), process.clone()).await.unwrap();
    assert!(!store.contains(two, &key("k")).await.unwrap());
    store.register(two, &key("k"), identity()).await.unwrap();
    store.remove(two, &key("k")).await.unwrap();
    assert_eq!(store.lookup(one, &key("k")).await.unwrap(), Some(process));
    assert_eq!(store.len().await.unwrap(), 1, "of all tenants");
}

/// The processes under a tag, in the order of their ids.
async fn under(store: &impl ProcessRegistry, tenant: TenantId, tag: &str) -> Vec<ProcessId> {
    let found = store.lookup_correlated(tenant, tag).await.unwrap();
    let mut ids: Vec<_> = found.iter().map(|identity| identity.process_id).collect();
    ids.sort_unstable();
    ids
}

async fn tag(store: &impl ProcessRegistry, tenant: TenantId, tag: &str) -> ProcessId {
    let process = identity();
    store.register_correlated(tenant, tag, process.process_id, process.clone()).await.unwrap();
    process.process_id
}

async fn a_tag_has_many_processes<S: ProcessRegistry>(store: &S) {
    let (tenant, malo) = (TenantId::new(), "DE0001234567890");
    assert!(under(store, tenant, malo).await.is_empty());
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(tag(store, tenant, malo).await);
    }
    ids.sort_unstable();
    assert_eq!(under(store, tenant, malo).await, ids);
    assert_eq!(store.len().await.unwrap(), 0, "tags are no routing keys");
    // Once more, and it is still once.
    let again = ProcessIdentity::new(ids[0], tenant, super::make::workflow());
    store.register_correlated(tenant, malo, ids[0], again.clone()).await.unwrap();
    assert_eq!(under(store, tenant, malo).await, ids);
    assert!(store.lookup_correlated(tenant, malo).await.unwrap().contains(&again));
}

async fn a_process_can_leave_a_tag<S: ProcessRegistry>(store: &S) {
    let tenant = TenantId::new();
    let (stays, leaves) = (tag(store, tenant, "m").await, tag(store, tenant, "m").await);
    for _ in 0..2 {
        store.remove_correlated(tenant, "m", leaves).await.unwrap();
        assert_eq!(under(store, tenant, "m").await, [stays]);
    }
}

async fn tenants_have_their_own_tags<S: ProcessRegistry>(store: &S) {
    let (one, two) = (TenantId::new(), TenantId::new());
    let process = tag(store, one, "m").await;
    assert!(under(store, two, "m").await.is_empty());
    store.remove_correlated(two, "m", process).await.unwrap();
    assert_eq!(under(store, one, "m").await, [process]);
}

async fn tags_do_not_mix<S: ProcessRegistry>(store: &S) {
    let tenant = TenantId::new();
    let long = "ä".repeat(128);
    let tags = ["", "m", "m/", "m/n", "m%2Fn", "m%", "%", "M", &long];
    let mut ids = Vec::new();
    for name in tags {
        ids.push(tag(store, tenant, name).await);
    }
    for (name, id) in tags.iter().zip(&ids) {
        assert_eq!(under(store, tenant, name).await, [*id], "{name:?}");
    }
}

async fn keys_of_all_kinds_are_kept_apart<S: ProcessRegistry>(store: &S) {
    let tenant = TenantId::new();
    let longest = "x".repeat(256);
    let keys = [
        key(""),
        key("a"),
        key("a/"),
        key("a/b"),
        key(&longest),
        key("%"),
        RegistryKey::from_static("static"),
        RegistryKey::from_process(ProcessId::new()),
        RegistryKey::from_conversation_and_sender(ConversationId::new(), "4012345000023"),
    ];
    let mut processes = Vec::new();
    for key in &keys {
        processes.push(identity());
        store.register(tenant, key, processes[processes.len() - 1].clone()).await.unwrap();
    }
    assert_eq!(store.len().await.unwrap(), keys.len());
    for (key, process) in keys.iter().zip(&processes) {
        assert_eq!(store.lookup(tenant, key).await.unwrap().as_ref(), Some(process), "{key}");
    }
}

async fn an_arc_and_a_clone_are_the_same_store<S: ProcessRegistry + Clone>(store: &S) {
    let (shared, tenant) = (std::sync::Arc::new(store.clone()), TenantId::new());
    shared.register(tenant, &key("k"), identity()).await.unwrap();
    let process = tag(&shared, tenant, "m").await;
    assert!(store.contains(tenant, &key("k")).await.unwrap());
    assert_eq!(under(store, tenant, "m").await, [process]);
}

/// What an append puts under a tag and what the registry puts there are the same.
#[tokio::test]
async fn an_append_and_the_registry_write_the_same() {
    let store = fresh();
    let entry = correlation("51238696012");
    let (id, tags) = (stream("s"), std::slice::from_ref(&entry));
    append_all(&store, &id, ExpectedVersion::NoStream, &events(1), &[], &[], tags).await.unwrap();
    let by_append: Vec<_> = names(&store, "").into_iter().map(|name| (kept(&store, &name), name)).collect();
    let CorrelationEntry { tenant_id, tag, process_id, identity } = entry;
    store.remove_correlated(tenant_id, &tag, process_id).await.unwrap();
    assert!(names(&store, "").is_empty());
    store.register_correlated(tenant_id, &tag, process_id, identity.clone()).await.unwrap();
    let by_registry: Vec<_> = names(&store, "").into_iter().map(|name| (kept(&store, &name), name)).collect();
    assert_eq!(by_append, by_registry);
    let wanted = format!("mako/correlated/{tenant_id}/51238696012/{process_id}");
    assert_eq!(by_append, [(Some(serde_json::to_string(&identity).unwrap()), wanted)]);
}

/// As long as a routing key, the documentation says. One of the reference stores allows half of that, and no `/`; the one in memory
/// allows everything.
#[tokio::test]
async fn a_tag_that_is_none_is_refused() {
    let (store, tenant, process) = (fresh(), TenantId::new(), identity());
    for tag in ["a\0b".to_owned(), "x".repeat(257)] {
        let put = store.register_correlated(tenant, &tag, process.process_id, process.clone()).await;
        let found = store.lookup_correlated(tenant, &tag).await.map(drop);
        let removed = store.remove_correlated(tenant, &tag, process.process_id).await;
        for result in [put, found, removed] {
            assert!(matches!(result, Err(EngineError::Registry { transient: false, .. })), "{result:?}");
        }
    }
    let sender = "9".repeat(3_000);
    let long = RegistryKey::from_conversation_and_sender(ConversationId::new(), &sender);
    let refused = store.register(tenant, &long, process).await;
    assert!(matches!(refused, Err(EngineError::Registry { transient: false, .. })), "{refused:?}");
    assert_eq!(store.lookup(tenant, &long).await.unwrap(), None);
    assert!(names(&store, "").is_empty());
}

#[tokio::test]
async fn how_a_routing_key_stands_in_the_log() {
    let (store, tenant, process) = (fresh(), TenantId::new(), identity());
    store.register(tenant, &key("4012345000023:a/b"), process.clone()).await.unwrap();
    let name = format!("mako/registry/{tenant}/4012345000023:a/b");
    assert_eq!(names(&store, ""), [name.clone()]);
    assert_eq!(kept(&store, &name).unwrap(), serde_json::to_string(&process).unwrap());
}
