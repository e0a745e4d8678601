//! No method holds the executor's thread: neither while the disk is busy, nor while there is much to read.

use crate::shelf::in_memory;
use crate::{v0_22, v0_23};
use annals::Options;
use annals_mako::MakoStore;
use mako_engine::ids::TenantId;
use proving::{Gated, gives_way};
use serde_json::json;
use std::sync::Arc;
use time::{Duration, OffsetDateTime};

/// A store over a disk whose syncs can be held back.
fn gated() -> (Gated, MakoStore) {
    let gated = Gated::default();
    let log = Options::new().open_storage(Arc::new(gated.clone())).unwrap();
    (gated, MakoStore::new(log))
}

/// What is done before, on the way to something that a call can change.
fn now<T>(before: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(before)
}

mod writing_0_23 {
    use super::*;
    use mako_engine::dead_letter::{AuditContext, DeadLetterReason, DeadLetterSink};
    use mako_engine::deadline::DeadlineStore;
    use mako_engine::event_store::{AppendBatch, AtomicAppend, ExpectedVersion};
    use mako_engine::inbox::{InboxClaim, InboxStore};
    use mako_engine::outbox::{OutboxStore, PendingOutbox};
    use mako_engine::partner::{PartnerRecord, PartnerStore};
    use mako_engine::projection::{GlobalProjectionCheckpoint, ProjectionCheckpointStore};
    use mako_engine::registry::{ProcessRegistry, RegistryKey};
    use mako_engine::snapshot::{Snapshot, SnapshotStore};
    use v0_23::make::{correlation, deadline, events, identity, message, second, stream};

    #[test]
    fn appends() {
        let (gated, store) = gated();
        let (id, new) = (stream("s"), events(2));
        let (out, due) = ([PendingOutbox::new("A", "1", json!({}))], [deadline(&id, "l", second(0))]);
        let tags = [correlation("m")];
        let batch = AppendBatch::new(&id, ExpectedVersion::NoStream, &new);
        let batch = batch.outbox(&out).deadlines(&due).correlations(&tags);
        assert_eq!(gives_way(&gated, store.append(batch)).unwrap().last_sequence, 2);
        let empty = stream("empty");
        gives_way(&gated, store.append(AppendBatch::new(&empty, ExpectedVersion::Any, &[]))).unwrap();
    }

    /// A conflict rests on what is under way, and is told when that is durable.
    #[test]
    fn a_conflict_with_what_is_under_way() {
        let (gated, store) = gated();
        let (id, new) = (stream("s"), events(1));
        let both = async {
            let first = store.append(AppendBatch::new(&id, ExpectedVersion::NoStream, &new));
            let second = store.append(AppendBatch::new(&id, ExpectedVersion::NoStream, &new));
            tokio::join!(first, second)
        };
        let (first, second) = gives_way(&gated, both);
        assert!(first.is_ok() && second.unwrap_err().is_version_conflict());
    }

    #[test]
    fn the_outbox() {
        let (gated, store) = gated();
        let sent = message(second(0), None);
        let id = sent.message_id;
        gives_way(&gated, store.enqueue(std::slice::from_ref(&sent))).unwrap();
        gives_way(&gated, store.record_first_attempt(id, second(1))).unwrap();
        gives_way(&gated, store.reschedule(id, second(2))).unwrap();
        gives_way(&gated, store.acknowledge(id)).unwrap();
    }

    #[test]
    fn deadlines() {
        let (gated, store) = gated();
        let due = deadline(&stream("s"), "l", second(0));
        gives_way(&gated, DeadlineStore::register(&store, &due)).unwrap();
        gives_way(&gated, store.cancel(due.deadline_id())).unwrap();
    }

    #[test]
    fn the_registry() {
        let (gated, store) = gated();
        let (tenant, key, process) = (TenantId::new(), RegistryKey::from_static("k"), identity());
        gives_way(&gated, ProcessRegistry::register(&store, tenant, &key, process.clone())).unwrap();
        gives_way(&gated, ProcessRegistry::remove(&store, tenant, &key)).unwrap();
        let id = process.process_id;
        gives_way(&gated, store.register_correlated(tenant, "m", id, process)).unwrap();
        gives_way(&gated, store.remove_correlated(tenant, "m", id)).unwrap();
    }

    #[test]
    fn snapshots_and_checkpoints() {
        let (gated, store) = gated();
        let id = stream("s");
        gives_way(&gated, store.save(&Snapshot::new(id.clone(), 1, 1, json!({})))).unwrap();
        let (none, mut some) = (GlobalProjectionCheckpoint::new(), GlobalProjectionCheckpoint::new());
        some.advance(&id, 1);
        gives_way(&gated, store.advance_projection_cursors("p", &none, &some)).unwrap();
        gives_way(&gated, store.save_projection_checkpoint("p", &none)).unwrap();
    }

    #[test]
    fn the_inbox() {
        let (gated, store) = gated();
        for settle in [true, false] {
            let InboxClaim::Claimed(id) = gives_way(&gated, store.claim("k")).unwrap() else { panic!() };
            match settle {
                true => gives_way(&gated, store.accept("k", id)).unwrap(),
                false => gives_way(&gated, store.abandon("k", id)).unwrap(),
            }
            if settle {
                let later = OffsetDateTime::now_utc() + Duration::HOUR;
                assert_eq!(gives_way(&gated, store.purge_inbox(later)), Ok(1));
            }
        }
    }

    #[test]
    fn partners_and_rejections() {
        let (gated, store) = gated();
        let (tenant, partner) = (TenantId::new(), PartnerRecord::minimal("1", "https://a.example"));
        gives_way(&gated, store.upsert(tenant, &partner)).unwrap();
        gives_way(&gated, PartnerStore::remove(&store, tenant, &partner.mp_id)).unwrap();
        let reason = DeadLetterReason::TestMessage { context: AuditContext::now() };
        gives_way(&gated, store.reject(&reason)).unwrap();
    }
}

mod writing_0_22 {
    use super::*;
    use mako_engine_0_22::dead_letter::{AuditContext, DeadLetterReason, DeadLetterSink};
    use mako_engine_0_22::deadline::DeadlineStore;
    use mako_engine_0_22::event_store::{AtomicAppend, EventStore, ExpectedVersion};
    use mako_engine_0_22::inbox::InboxStore;
    use mako_engine_0_22::outbox::{OutboxStore, PendingOutbox};
    use v0_22::make::{correlation, deadline, events, message, second, stream};

    #[test]
    fn appends() {
        let (gated, store) = gated();
        let (id, new, any) = (stream("s"), events(2), ExpectedVersion::Any);
        let (out, due) = ([PendingOutbox::new("A", "1", json!({}))], [deadline(&id, "l", second(0))]);
        let tags = [correlation("m")];
        gives_way(&gated, EventStore::append(&store, &id, any, &new)).unwrap();
        gives_way(&gated, store.append_with_outbox(&id, any, &new, &out)).unwrap();
        gives_way(&gated, store.append_with_outbox_and_deadlines(&id, any, &new, &out, &due)).unwrap();
        let all = store.append_with_outbox_deadlines_and_correlations(&id, any, &new, &out, &due, &tags);
        assert_eq!(gives_way(&gated, all).unwrap().last_sequence, 8);
    }

    #[test]
    fn the_outbox_and_deadlines() {
        let (gated, store) = gated();
        let (sent, due) = (message(second(0), None), deadline(&stream("s"), "l", second(0)));
        gives_way(&gated, store.enqueue(std::slice::from_ref(&sent))).unwrap();
        gives_way(&gated, store.reschedule(sent.message_id, second(2))).unwrap();
        gives_way(&gated, store.acknowledge(sent.message_id)).unwrap();
        gives_way(&gated, DeadlineStore::register(&store, &due)).unwrap();
        gives_way(&gated, store.cancel(due.deadline_id())).unwrap();
    }

    #[test]
    fn the_inbox() {
        let (gated, store) = gated();
        gives_way(&gated, store.claim("k")).unwrap();
        gives_way(&gated, store.abandon("k")).unwrap();
        gives_way(&gated, store.claim("k")).unwrap();
        gives_way(&gated, store.accept("k")).unwrap();
    }

    /// Nobody can wait for this one: it returns while the disk is busy.
    #[test]
    fn rejections() {
        let (gated, store) = gated();
        gated.close();
        let reason = DeadLetterReason::TestMessage { context: AuditContext::now() };
        store.reject(&reason);
        assert_eq!(store.log().last_position(), 0);
        gated.open_up();
        while store.log().last_position() == 0 {
            std::thread::yield_now();
        }
    }
}

/// Runs a call on one thread, and counts how often it lets others have their turn.
fn turns_during<T>(call: impl Future<Output = T>) -> (T, u64) {
    let (mut turns, mut call) = (0, std::pin::pin!(call));
    let value = now(std::future::poll_fn(|context| {
        let polled = call.as_mut().poll(context);
        turns += u64::from(polled.is_pending());
        polled
    }));
    (value, turns)
}

#[test]
fn reading_much_lets_others_have_their_turns() {
    use mako_engine::deadline::DeadlineStore;
    use mako_engine::event_store::{AppendBatch, AtomicAppend, EventStore, ExpectedVersion};
    use mako_engine::outbox::OutboxStore;
    use mako_engine::partner::{PartnerRecord, PartnerStore};
    use mako_engine::projection::{GlobalProjectionCheckpoint, ProjectionCheckpointStore};
    use mako_engine::registry::ProcessRegistry;
    use v0_23::make::{deadline, events, identity, message, second, stream};

    let (store, tenant, id) = (in_memory(), TenantId::new(), stream("s"));
    let mut cursors = GlobalProjectionCheckpoint::new();
    now(async {
        store.append(AppendBatch::new(&id, ExpectedVersion::NoStream, &events(3_000))).await.unwrap();
        let sent: Vec<_> = (0..3_000).map(|n| message(second(n), (n % 2 == 0).then(|| second(0)))).collect();
        store.enqueue(&sent).await.unwrap();
        for n in 0..1_500u64 {
            let other = stream(&format!("process/{n}"));
            cursors.advance(&other, n);
            let (due, process) = ([deadline(&id, "l", second(0))], identity());
            let batch = AppendBatch::new(&other, ExpectedVersion::NoStream, &[]);
            store.append(batch.deadlines(&due)).await.unwrap();
            store.register_correlated(tenant, "m", process.process_id, process).await.unwrap();
            let partner = PartnerRecord::minimal(n.to_string(), "https://a.example");
            store.upsert(tenant, &partner).await.unwrap();
        }
        store.save_projection_checkpoint("p", &cursors).await.unwrap();
    });
    let shown = |what: &str, (found, turns): (usize, u64), wanted| {
        assert_eq!(found, wanted, "{what}");
        assert!(turns >= wanted as u64 / 500, "{what}: {turns} turns for others");
    };
    let events = turns_during(async { EventStore::load(&store, &id).await.unwrap().len() });
    shown("load", events, 3_000);
    let folded = store.fold_stream(&id, 0, 0, |n, _| Ok(n + 1));
    shown("fold_stream", turns_during(async { folded.await.unwrap() }), 3_000);
    shown("list_streams", turns_during(async { store.list_streams(None).await.unwrap().len() }), 1_501);
    let page = store.list_streams_page(None, None, 1_400);
    shown("list_streams_page", turns_during(async { page.await.unwrap().len() }), 1_400);
    let pending = store.pending(usize::MAX, second(9_999));
    shown("pending", turns_during(async { pending.await.unwrap().len() }), 3_000);
    shown("due_now", turns_during(async { store.due_now(1_500).await.unwrap().deadlines.len() }), 1_500);
    shown("for_stream", turns_during(async { store.for_stream(&id).await.unwrap().len() }), 1_500);
    shown(
        "overdue_count",
        turns_during(async { DeadlineStore::overdue_count(&store).await.unwrap() }),
        1_500,
    );
    let tagged = store.lookup_correlated(tenant, "m");
    shown("lookup_correlated", turns_during(async { tagged.await.unwrap().len() }), 1_500);
    shown("list", turns_during(async { store.list(tenant).await.unwrap().len() }), 1_500);
    let checkpoint = store.load_projection_checkpoint("p");
    shown(
        "load_projection_checkpoint",
        turns_during(async { checkpoint.await.unwrap().cursors.len() }),
        1_500,
    );
}

/// They can be handed to a runtime with many threads.
#[test]
fn the_futures_can_move_between_threads() {
    use mako_engine::deadline::DeadlineStore;
    use mako_engine::event_store::{AppendBatch, AtomicAppend, EventStore, ExpectedVersion};
    use mako_engine::inbox::InboxStore;
    use mako_engine::outbox::OutboxStore;
    fn sends<T: Send>(_: T) {}
    let store = in_memory();
    let id = v0_23::make::stream("s");
    sends(store.append(AppendBatch::new(&id, ExpectedVersion::Any, &[])));
    sends(EventStore::load(&store, &id));
    sends(store.fold_stream(&id, 0, 0, |n, _| Ok(n)));
    sends(store.list_streams_page(None, None, 1));
    sends(store.pending(1, OffsetDateTime::now_utc()));
    sends(store.due_now(1));
    sends(store.claim("k"));
    sends(store.purge_inbox(OffsetDateTime::now_utc()));
}
