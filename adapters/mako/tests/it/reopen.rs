//! Everything is there after the log was closed and opened again.

use crate::shelf::fresh;
use crate::v0_23::make::{correlation, deadline, events, identity, json_of, message, second, stream};
use mako_engine::deadline::DeadlineStore;
use mako_engine::event_store::{AppendBatch, AtomicAppend, EventStore, ExpectedVersion};
use mako_engine::ids::TenantId;
use mako_engine::inbox::{InboxClaim, InboxStore};
use mako_engine::outbox::{OutboxStore, PendingOutbox};
use mako_engine::partner::{PartnerRecord, PartnerStore};
use mako_engine::projection::{GlobalProjectionCheckpoint, ProjectionCheckpointStore};
use mako_engine::registry::{ProcessRegistry, RegistryKey};
use mako_engine::snapshot::{Snapshot, SnapshotStore};
use mako_engine::types::MarktpartnerCode;
use serde_json::json;
use time::OffsetDateTime;

#[tokio::test]
async fn all_of_it_is_there() {
    let store = fresh();
    let (id, tenant, key) = (stream("process/1"), TenantId::new(), RegistryKey::from_static("k"));
    let (tags, due) = ([correlation("m")], [deadline(&id, "l", second(0))]);
    let (new, out) = (events(3), [PendingOutbox::new("APERAK", "1", json!({}))]);
    let batch = AppendBatch::new(&id, ExpectedVersion::NoStream, &new);
    let written = store.append(batch.outbox(&out).deadlines(&due).correlations(&tags)).await.unwrap();
    store.append(AppendBatch::new(&stream("empty"), ExpectedVersion::NoStream, &[])).await.unwrap();
    let deferred = message(second(0), Some(second(100)));
    store.enqueue(std::slice::from_ref(&deferred)).await.unwrap();
    let process = identity();
    ProcessRegistry::register(&*store, tenant, &key, process.clone()).await.unwrap();
    let snapshot = Snapshot::new(id.clone(), 3, 1, json!({ "n": 3 }));
    store.save(&snapshot).await.unwrap();
    let InboxClaim::Claimed(claim) = store.claim("in").await.unwrap() else { panic!("no claim") };
    store.accept("in", claim).await.unwrap();
    let mut cursors = GlobalProjectionCheckpoint::new();
    cursors.advance(&id, 3);
    store.save_projection_checkpoint("p", &cursors).await.unwrap();
    let partner = PartnerRecord::minimal("9900000000002", "https://a.example");
    store.upsert(tenant, &partner).await.unwrap();

    let store = store.reopen();
    let loaded = EventStore::load(&*store, &id).await.unwrap();
    assert_eq!(json_of(&loaded), json_of(&written.events));
    assert_eq!(store.list_streams(None).await.unwrap(), [stream("empty"), id.clone()]);
    let mut pending = written.outbox.clone();
    pending.insert(0, deferred);
    assert_eq!(json_of(&store.pending(9, OffsetDateTime::now_utc()).await.unwrap()), json_of(&pending));
    assert_eq!(json_of(&store.for_stream(&id).await.unwrap()), json_of(&due));
    assert_eq!(json_of(&store.due_now(9).await.unwrap().deadlines), json_of(&due));
    let found = store.lookup_correlated(tags[0].tenant_id, "m").await.unwrap();
    assert_eq!(found, [tags[0].identity.clone()]);
    assert_eq!(store.lookup(tenant, &key).await.unwrap(), Some(process));
    assert_eq!(json_of(&SnapshotStore::load(&*store, &id).await.unwrap()), json_of(&snapshot));
    assert_eq!(store.claim("in").await.unwrap(), InboxClaim::Duplicate);
    assert_eq!(store.load_projection_checkpoint("p").await.unwrap().cursors, cursors.cursors);
    let code = MarktpartnerCode::new("9900000000002");
    assert_eq!(PartnerStore::get(&*store, tenant, &code).await.unwrap(), Some(partner));
    let stale = AppendBatch::new(&id, ExpectedVersion::NoStream, &new);
    assert!(store.append(stale).await.unwrap_err().is_version_conflict());
}
