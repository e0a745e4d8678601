//! One append with all that belongs to it: everything or nothing.

use super::make::{
    changed, correlation, deadline, event, events, json_of, numbers, second, stream, workflow,
};
use super::mako::dead_letter::{AuditContext, DeadLetterReason as Reason};
use super::mako::deadline::DeadlineStore;
use super::mako::error::EngineError;
use super::mako::event_store::{EventStore, ExpectedVersion};
use super::mako::ids::Pid;
use super::mako::outbox::{OutboxMessage, OutboxStore, PendingOutbox};
use super::mako::registry::ProcessRegistry;
use super::mako::trace_ctx::TRACEPARENT;
use super::{append_all, reject};
use crate::shelf::{Shelf, fresh, names};
use annals::{Durability, Options};
use annals_mako::MakoStore;
use proving::Gated;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

const NEW: ExpectedVersion = ExpectedVersion::NoStream;

fn outgoing(n: u32) -> PendingOutbox {
    PendingOutbox::new("APERAK", "9900000000001", json!({ "n": n }))
}

async fn all_pending(store: &MakoStore) -> Vec<OutboxMessage> {
    store.pending(usize::MAX, OffsetDateTime::now_utc()).await.unwrap()
}

/// Nothing but what was there before: no event, no message, no deadline, no process under the tag.
fn is_empty(store: &Shelf) {
    assert_eq!((store.log().last_position(), store.log().stream_count()), (0, 0));
    assert!(names(store, "").is_empty());
}

#[tokio::test]
async fn all_of_a_batch_lands() {
    let store = fresh();
    let (id, tag) = (stream("process/t/1"), correlation("51238696012"));
    let due = deadline(&id, "antwort", second(0));
    let events = [event("Spawned", json!({ "v": 1 }))];
    let written =
        append_all(&store, &id, NEW, &events, &[outgoing(1)], &[due.clone()], &[tag.clone()]).await.unwrap();
    assert_eq!((written.last_sequence, numbers(&written.events)), (1, vec![1]));
    let loaded = EventStore::load(&*store, &id).await.unwrap();
    assert_eq!(json_of(&loaded), json_of(&written.events));
    let sent = all_pending(&store).await;
    assert_eq!((sent.len(), sent[0].causation_event_id), (1, loaded[0].event_id));
    let of_stream = store.for_stream(&id).await.unwrap();
    assert_eq!(json_of(&of_stream), json_of(&[due]));
    let found = store.lookup_correlated(tag.tenant_id, "51238696012").await.unwrap();
    assert_eq!(found, [tag.identity]);
}

#[tokio::test]
async fn nothing_of_a_refused_batch_lands() {
    let store = fresh();
    let (id, tag) = (stream("process/t/1"), correlation("51238696012"));
    let due = deadline(&id, "antwort", second(0));
    let expected = ExpectedVersion::Exact(1);
    let refused =
        append_all(&store, &id, expected, &events(1), &[outgoing(1)], &[due], &[tag]).await.unwrap_err();
    assert!(matches!(refused, EngineError::VersionConflict { expected: 1, actual: 0 }), "{refused}");
    is_empty(&store);
}

#[tokio::test]
async fn a_message_without_an_event_is_refused() {
    let store = fresh();
    let id = stream("process/t/1");
    let refused = append_all(&store, &id, NEW, &[], &[outgoing(1)], &[], &[]).await.unwrap_err();
    assert!(matches!(refused, EngineError::Outbox { transient: false, .. }), "{refused}");
    is_empty(&store);
}

#[tokio::test]
async fn without_an_event_there_can_be_deadlines_and_tags() {
    let store = fresh();
    let (id, tag) = (stream("process/t/1"), correlation("m"));
    let due = [deadline(&id, "l", second(0))];
    let written = append_all(&store, &id, NEW, &[], &[], &due, &[tag.clone()]).await.unwrap();
    assert_eq!((written.last_sequence, written.events.len()), (0, 0));
    assert_eq!(store.list_streams(None).await.unwrap(), [id.clone()]);
    assert_eq!(DeadlineStore::len(&*store).await.unwrap(), 1);
    assert_eq!(store.lookup_correlated(tag.tenant_id, "m").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_message_says_where_it_comes_from() {
    let store = fresh();
    let id = stream("process/t/1");
    let new = events(3);
    let mut deferred = outgoing(1).caused_by(1).with_deliver_after(second(5));
    deferred.payload_schema = Some("a schema".into());
    let messages = [outgoing(0), deferred, outgoing(2).caused_by(2), outgoing(3).caused_by(usize::MAX)];
    let traced = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    let append = append_all(&store, &id, NEW, &new, &messages, &[], &[]);
    let written = TRACEPARENT.scope(traced.clone(), append).await.unwrap();
    let sent = all_pending(&store).await;
    assert_eq!(sent.len(), 4);
    for (message, cause) in sent.iter().zip([0, 1, 2, 2]) {
        let cause = &written.events[cause];
        assert_eq!(message.causation_event_id, cause.event_id);
        assert_eq!((&message.stream_id, message.created_at), (&id, cause.timestamp));
        assert_eq!((message.process_id, message.tenant_id), (cause.process_id, cause.tenant_id));
        assert_eq!(message.correlation_id, cause.correlation_id);
        assert_eq!(message.conversation_id, cause.conversation_id);
        assert_eq!((message.attempt_count, &message.workflow_name), (0, &workflow().name));
        assert_eq!(message.trace_context.as_deref(), traced.as_deref());
        assert_eq!((&*message.message_type, &*message.recipient), ("APERAK", "9900000000001"));
    }
    assert_eq!(
        (sent[1].deliver_after, sent[1].payload_schema.as_deref()),
        (Some(second(5)), Some("a schema"))
    );
    assert_eq!((sent[0].deliver_after, sent[0].payload_schema.as_deref()), (None, None));
}

/// They have one time; what tells them apart is their order in the batch.
#[tokio::test]
async fn messages_of_one_append_are_sent_in_their_order() {
    let store = fresh();
    let messages: Vec<_> = (0..40).map(outgoing).collect();
    append_all(&store, &stream("s"), NEW, &events(1), &messages, &[], &[]).await.unwrap();
    let sent: Vec<_> = all_pending(&store).await.iter().map(|message| message.payload["n"].clone()).collect();
    assert_eq!(json!(sent), json!((0..40).collect::<Vec<_>>()));
    let first: Vec<_> = store.pending(3, OffsetDateTime::now_utc()).await.unwrap();
    assert_eq!(json!(first.iter().map(|m| m.payload["n"].clone()).collect::<Vec<_>>()), json!([0, 1, 2]));
}

#[tokio::test]
async fn a_tag_that_is_none_refuses_the_batch() {
    let store = fresh();
    let id = stream("s");
    for tag in ["a\0b".to_owned(), "x".repeat(257)] {
        let refused =
            append_all(&store, &id, NEW, &events(1), &[outgoing(1)], &[], &[correlation(&tag)]).await;
        assert!(matches!(refused, Err(EngineError::Registry { transient: false, .. })), "{refused:?}");
    }
    is_empty(&store);
}

/// A deadline that is there already is replaced, as `register` would do it, and leaves nothing behind.
#[tokio::test]
async fn a_deadline_of_a_batch_replaces_the_one_with_its_id() {
    let store = fresh();
    let (id, other) = (stream("s"), stream("other"));
    let first = deadline(&other, "l", second(1));
    DeadlineStore::register(&*store, &first).await.unwrap();
    let (second_try, last) = (changed(&first, &id, second(2)), changed(&first, &id, second(3)));
    append_all(&store, &id, NEW, &events(1), &[], &[second_try, last.clone()], &[]).await.unwrap();
    assert_eq!(DeadlineStore::len(&*store).await.unwrap(), 1);
    assert!(store.for_stream(&other).await.unwrap().is_empty());
    assert_eq!(json_of(&store.for_stream(&id).await.unwrap()), json_of(&[last]));
    assert_eq!(names(&store, "mako/deadline/").len(), 3, "the deadline, its time, its stream");
}

#[tokio::test]
async fn what_is_too_large_says_what_it_is_and_lands_nowhere() {
    let store = fresh();
    let id = stream("s");
    let big = "x".repeat((1 << 20) + 1);
    let message = PendingOutbox::new("APERAK", "1", json!(big));
    let refused =
        append_all(&store, &id, NEW, &events(1), &[outgoing(1), message], &[], &[]).await.unwrap_err();
    assert!(
        matches!(&refused, EngineError::Outbox { message, .. } if message.contains("kept value has")),
        "{refused}"
    );
    let label = deadline(&id, &big, second(0));
    let refused = append_all(&store, &id, NEW, &events(1), &[outgoing(1)], &[label], &[]).await.unwrap_err();
    assert!(
        matches!(&refused, EngineError::Deadline { message, .. } if message.contains("mako/deadline/id/")),
        "{refused}"
    );
    let long = stream(&"/".repeat(1_020));
    let named = deadline(&long, "l", second(0));
    let refused =
        append_all(&store, &long, NEW, &events(1), &[outgoing(1)], &[named], &[]).await.unwrap_err();
    assert!(
        matches!(&refused, EngineError::Deadline { message, .. } if message.contains("kept name has")),
        "{refused}"
    );
    is_empty(&store);
    append_all(&store, &long, NEW, &events(1), &[outgoing(1)], &[], &[]).await.unwrap();
}

/// Whoever opened the log may have asked for less: not on behalf of these traits.
#[tokio::test]
async fn what_is_written_is_durable_however_the_log_was_opened() {
    for durability in [Durability::Sequenced, Durability::Written] {
        let slow = Arc::new(Gated::slow(Duration::from_millis(5)));
        let log = Options::new().durability(durability).open_storage(slow).unwrap();
        let store = MakoStore::new(log.clone());
        // What is not durable is not visible either.
        let id = stream("process/t/1");
        append_all(&store, &id, NEW, &events(2), &[outgoing(1)], &[], &[]).await.unwrap();
        assert_eq!(log.last_position(), 2);
        assert_eq!(EventStore::load(&store, &id).await.unwrap().len(), 2);
        let message = all_pending(&store).await.remove(0);
        store.acknowledge(message.message_id).await.unwrap();
        assert_eq!(all_pending(&store).await.len(), 0);
        reject(&store, &Reason::UnknownPid { pid: Pid::new(1), context: AuditContext::now() }).await;
        assert_eq!(log.last_position(), 3);
    }
}
