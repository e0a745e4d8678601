//! Several in one log: two stores with namespaces of their own, other adapters, and the log's own users.

use crate::shelf::{fresh, names};
use crate::v0_23::make::{correlation, deadline, events, identity, message, second, stream};
use annals::{ExpectedVersion as Expected, KeptCondition, NewEvent};
use annals_mako::MakoStore;
use mako_engine::dead_letter::{AuditContext, DeadLetterReason, DeadLetterSink};
use mako_engine::deadline::DeadlineStore;
use mako_engine::event_store::{AppendBatch, AtomicAppend, EventStore, ExpectedVersion};
use mako_engine::ids::TenantId;
use mako_engine::inbox::{InboxClaim, InboxStore};
use mako_engine::outbox::{OutboxStore, PendingOutbox};
use mako_engine::partner::{PartnerRecord, PartnerStore};
use mako_engine::projection::{GlobalProjectionCheckpoint, ProjectionCheckpointStore};
use mako_engine::registry::{ProcessRegistry, RegistryKey};
use mako_engine::snapshot::{Snapshot, SnapshotStore};
use serde_json::json;
use time::OffsetDateTime;

/// The same ids everywhere: how many of each a store shows.
async fn census(store: &MakoStore, tenant: TenantId) -> [usize; 10] {
    let id = stream("process/1");
    [
        store.list_streams(None).await.unwrap().len(),
        EventStore::load(store, &id).await.unwrap().len(),
        store.pending(99, OffsetDateTime::now_utc()).await.unwrap().len(),
        store.for_stream(&id).await.unwrap().len(),
        store.due_now(99).await.unwrap().deadlines.len(),
        ProcessRegistry::len(store).await.unwrap(),
        store.lookup_correlated(tenant, "m").await.unwrap().len(),
        usize::from(SnapshotStore::load(store, &id).await.unwrap().is_some()),
        store.load_projection_checkpoint("p").await.unwrap().cursors.len(),
        store.list(tenant).await.unwrap().len(),
    ]
}

async fn write_all(store: &MakoStore, tenant: TenantId) {
    let id = stream("process/1");
    let mut tag = correlation("m");
    tag.tenant_id = tenant;
    let (new, out) = (events(2), [PendingOutbox::new("A", "1", json!({}))]);
    let (due, tags) = ([deadline(&id, "l", second(0))], [tag]);
    let batch = AppendBatch::new(&id, ExpectedVersion::NoStream, &new);
    store.append(batch.outbox(&out).deadlines(&due).correlations(&tags)).await.unwrap();
    store.enqueue(&[message(second(0), None)]).await.unwrap();
    let key = RegistryKey::from_static("k");
    ProcessRegistry::register(store, tenant, &key, identity()).await.unwrap();
    store.save(&Snapshot::new(id.clone(), 1, 1, json!(0))).await.unwrap();
    assert!(matches!(store.claim("in").await.unwrap(), InboxClaim::Claimed(_)));
    let mut cursors = GlobalProjectionCheckpoint::new();
    cursors.advance(&id, 1);
    store.save_projection_checkpoint("p", &cursors).await.unwrap();
    store.upsert(tenant, &PartnerRecord::minimal("1", "https://a.example")).await.unwrap();
    store.reject(&DeadLetterReason::TestMessage { context: AuditContext::now() }).await.unwrap();
}

#[tokio::test]
async fn stores_in_one_log_do_not_meet() {
    let (shelf, tenant) = (fresh(), TenantId::new());
    let log = shelf.log();
    let namespaces = ["mako", "mako/stream", "mako%2Fstream", "mak", "", "MAKO"];
    let stores: Vec<_> = namespaces.iter().map(|name| MakoStore::with_namespace(log.clone(), name)).collect();
    for (i, store) in stores.iter().enumerate() {
        assert_eq!(census(store, tenant).await, [0; 10], "{:?}", namespaces[i]);
        write_all(store, tenant).await;
        for (j, store) in stores.iter().enumerate() {
            let wanted = if j <= i { [1, 2, 2, 1, 1, 1, 1, 1, 1, 1] } else { [0; 10] };
            assert_eq!(census(store, tenant).await, wanted, "{:?} after {:?}", namespaces[j], namespaces[i]);
            assert_eq!(log.stream_version(store.dead_letter_stream()), u64::from(j <= i));
        }
    }
    // Clones and other handles of a namespace are the same store.
    assert_eq!(census(&shelf, tenant).await, census(&stores[0], tenant).await);
    assert_eq!(shelf.claim("in").await.unwrap(), InboxClaim::InFlight);
}

#[tokio::test]
async fn who_uses_the_log_itself_is_not_disturbed() {
    let (store, tenant) = (fresh(), TenantId::new());
    let log = store.log();
    let plain = [NewEvent::new("Plain", "no JSON")];
    for name in ["process/1", "mako", "mako-2/stream/process/1", "enact/mako/stream/process/1", "\u{0}"] {
        log.append(name, Expected::NoStream, &plain).unwrap();
        log.keep(name, KeptCondition::Absent, "no JSON").unwrap();
    }
    assert_eq!(census(&store, tenant).await, [0; 10]);
    write_all(&store, tenant).await;
    assert_eq!(census(&store, tenant).await, [1, 2, 2, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(log.stream_version("process/1"), 1);
    let of_ours = names(&store, "mako/").len();
    assert_eq!(names(&store, "").len(), of_ours + 5);
    assert!(log.list_tenants(None, 9).is_empty(), "no tenant is bound");
}
