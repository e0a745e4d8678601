//! Where allsource's store in memory does something else than its documentation promises: what it does, and what ours does.

use crate::given::{
    Store, assert_same, concurrency, event, event_of, events, filled, id, loaded, ours, reference, says,
    tenant, unsaved, validation,
};
use allsource_core::domain::entities::{Event, EventStream};
use allsource_core::domain::value_objects::PartitionKey;
use allsource_core::error::AllSourceError;
use serde_json::{Value, json};
use std::sync::Arc;

/// Theirs, and ours.
fn both() -> (Store, Store) {
    (reference(), Arc::new(ours()))
}

/// Two handles that both expect version 0: with the first, 1 is appended; what becomes of the other.
async fn second_of_two(store: &Store) -> (allsource_core::Result<u64>, EventStream) {
    let mut first = store.get_or_create_stream(&id("entity-1")).await.unwrap();
    let mut second = store.get_or_create_stream(&id("entity-1")).await.unwrap();
    first.expect_version(0);
    second.expect_version(0);
    assert_eq!(store.append_to_stream(&mut first, event("entity-1", 1)).await.unwrap(), 1);
    (store.append_to_stream(&mut second, event("entity-1", 2)).await, second)
}

#[tokio::test]
async fn no_update_is_lost() {
    let (theirs, ours) = both();
    assert_eq!(second_of_two(&theirs).await.0.unwrap(), 1, "both are told that they have appended version 1");
    assert_eq!(events(&loaded(&theirs, "entity-1").await)[0].payload()["n"], 2, "and the first one is lost");

    let (refused, handle) = second_of_two(&ours).await;
    let text = concurrency(refused);
    says(&text, &["\"entity-1\"", "expected version 0", "version 1 is stored", "load the stream again"]);
    assert_eq!((handle.current_version(), handle.event_count()), (0, 0), "the handle is as it was");
    assert_eq!(events(&loaded(&ours, "entity-1").await)[0].payload()["n"], 1);
}

#[tokio::test]
async fn a_handle_that_is_behind_does_not_append_even_if_it_expects_nothing() {
    let (theirs, ours) = both();
    for (store, overwrites) in [(theirs, true), (ours, false)] {
        let mut stale = filled(&store, "entity-1", 2).await;
        let mut stream = loaded(&store, "entity-1").await;
        store.append_to_stream(&mut stream, event("entity-1", 3)).await.unwrap();
        let appended = store.append_to_stream(&mut stale, event("entity-1", 30)).await;
        if overwrites {
            assert_eq!(appended.unwrap(), 3);
        } else {
            says(&concurrency(appended), &["expected version 2", "version 3 is stored"]);
        }
        let last = loaded(&store, "entity-1").await.events_from(3)[0].clone();
        assert_eq!(last.payload()["n"], if overwrites { 30 } else { 3 });
    }
}

/// Two handles can be at one version with different events: the version alone does not tell.
#[tokio::test]
async fn a_handle_with_other_events_at_the_same_version_does_not_append() {
    let (theirs, ours) = both();
    for (store, overwrites) in [(theirs, true), (ours, false)] {
        let mut stream = filled(&store, "entity-1", 1).await;
        let mut parted = stream.clone();
        parted.append_event(event("entity-1", 20)).unwrap();
        store.append_to_stream(&mut stream, event("entity-1", 2)).await.unwrap();
        let appended = store.append_to_stream(&mut parted, event("entity-1", 30)).await;
        if overwrites {
            assert_eq!(appended.unwrap(), 3, "event 2 of the other handle is replaced");
        } else {
            let [mine, theirs] = [&parted, &stream].map(|stream| events(stream)[1].id().to_string());
            let text = concurrency(appended);
            says(&text, &["\"entity-1\"", "at version 2", &mine, &theirs, "load the stream again"]);
            assert_eq!(parted.current_version(), 2);
            assert_same(&loaded(&store, "entity-1").await, &stream);
        }
    }
}

#[tokio::test]
async fn a_handle_that_is_ahead_does_not_append() {
    let (theirs, ours) = both();
    for (store, stores_all) in [(theirs, true), (ours, false)] {
        let mut never_made = unsaved("entity-1", 2);
        let mut ahead = filled(&store, "entity-2", 1).await;
        ahead.append_event(event("entity-2", 2)).unwrap();
        for (stream, stored) in [(&mut never_made, 0), (&mut ahead, 1)] {
            let entity = stream.stream_id().clone();
            let appended = store.append_to_stream(stream, event(entity.as_str(), 3)).await;
            if stores_all {
                assert_eq!(appended.unwrap(), 3);
            } else {
                let is_stored = format!("version {stored} is stored");
                says(&concurrency(appended), &["expected version 2", &is_stored, "save_stream"]);
                assert_eq!(store.get_watermark(&entity).await.unwrap(), stored);
                store.save_stream(stream).await.unwrap();
                assert_eq!(store.append_to_stream(stream, event(entity.as_str(), 3)).await.unwrap(), 3);
            }
        }
    }
}

#[tokio::test]
async fn an_event_of_another_entity_is_refused() {
    let (theirs, ours) = both();
    let mut stream = filled(&theirs, "entity-1", 1).await;
    assert_eq!(theirs.append_to_stream(&mut stream, event("entity-2", 2)).await.unwrap(), 2);

    let mut stream = filled(&ours, "entity-1", 1).await;
    let foreign = event("entity-2", 2);
    let text = validation(ours.append_to_stream(&mut stream, foreign.clone()).await);
    says(&text, &["\"entity-1\"", "\"entity-2\"", &foreign.id().to_string(), "nothing was stored"]);
    assert_eq!(stream.current_version(), 1);
    assert_eq!(ours.get_watermark(&id("entity-1")).await.unwrap(), 1);
    assert_eq!(ours.count_streams().await.unwrap(), 1);
    let mut empty = EventStream::new(id("entity-3"));
    validation(ours.append_to_stream(&mut empty, event("entity-2", 1)).await);
    assert_eq!(ours.count_streams().await.unwrap(), 1, "no stream was made for it");
}

/// "All events in a stream should belong to the same tenant."
#[tokio::test]
async fn an_event_of_another_tenant_is_refused() {
    let (theirs, ours) = both();
    let foreign = || event_of("bank", "entity-1", json!({}));
    let mut stream = filled(&theirs, "entity-1", 1).await;
    assert_eq!(theirs.append_to_stream(&mut stream, foreign()).await.unwrap(), 2);
    assert!(!loaded(&theirs, "entity-1").await.has_consistent_tenant());

    let mut stream = filled(&ours, "entity-1", 1).await;
    let text = validation(ours.append_to_stream(&mut stream, foreign()).await);
    says(&text, &["\"entity-1\"", "\"acme\"", "\"bank\"", "nothing was stored"]);
    // A handle that does not know the stream's tenant.
    let text = validation(ours.append_to_stream(&mut EventStream::new(id("entity-1")), foreign()).await);
    says(&text, &["\"entity-1\"", "allsource/bank"]);
    assert_eq!(loaded(&ours, "entity-1").await.event_count(), 1);
    assert_eq!(ours.count_streams_by_tenant(&tenant("bank")).await.unwrap(), 0);
}

#[tokio::test]
async fn a_handle_that_is_behind_is_not_saved() {
    let (theirs, ours) = both();
    for (store, overwrites) in [(theirs, true), (ours, false)] {
        let mut stream = filled(&store, "entity-1", 1).await;
        let stale = stream.clone();
        store.append_to_stream(&mut stream, event("entity-1", 2)).await.unwrap();
        for stale in [stale, EventStream::new(id("entity-1"))] {
            let saved = store.save_stream(&stale).await;
            if overwrites {
                saved.unwrap();
                assert_eq!(loaded(&store, "entity-1").await.event_count(), stale.event_count());
            } else {
                let expected = format!("expected version {}", stale.current_version());
                says(&concurrency(saved), &["\"entity-1\"", &expected, "version 2 is stored"]);
                assert_same(&loaded(&store, "entity-1").await, &stream);
            }
        }
    }
}

#[tokio::test]
async fn a_handle_with_other_events_is_not_saved() {
    let (theirs, ours) = both();
    for (store, overwrites) in [(theirs, true), (ours, false)] {
        let stream = filled(&store, "entity-1", 2).await;
        // One with another event in the middle, and one whose event differs in one field only.
        let mut other = EventStream::new(id("entity-1"));
        let mut changed = events(&stream);
        changed[0].payload = json!({"n": 0});
        let [a, b]: [Event; 2] = changed.try_into().unwrap();
        for event in [a, b, event("entity-1", 3)] {
            other.append_event(event).unwrap();
        }
        for (handle, found) in [(unsaved("entity-1", 3), "is stored there"), (other, "with other contents")] {
            let saved = store.save_stream(&handle).await;
            if overwrites {
                saved.unwrap();
            } else {
                let expected = events(&handle)[0].id().to_string();
                says(&concurrency(saved), &["\"entity-1\"", "at version 1", &expected, found]);
                assert_same(&loaded(&store, "entity-1").await, &stream);
            }
        }
    }
}

#[tokio::test]
async fn a_handle_with_events_of_several_entities_or_tenants_is_not_saved() {
    let (theirs, ours) = both();
    for (foreign, says_of_it) in
        [(event("entity-2", 2), "entity-2"), (event_of("bank", "entity-1", json!(1)), "bank")]
    {
        let mut stream = unsaved("entity-1", 1);
        stream.append_event(foreign).unwrap();
        theirs.save_stream(&stream).await.unwrap();
        says(
            &validation(ours.save_stream(&stream).await),
            &["\"entity-1\"", says_of_it, "nothing was stored"],
        );
    }
    let mut alone = EventStream::new(id("entity-1"));
    alone.append_event(event("entity-2", 1)).unwrap();
    validation(ours.save_stream(&alone).await);
    assert_eq!(ours.count_streams().await.unwrap(), 0);
}

fn unconfirmed() -> EventStream {
    let stream = unsaved("entity-1", 3);
    let (key, made) = (*stream.partition_key(), stream.created_at());
    EventStream::reconstruct(id("entity-1"), key, 3, 1, events(&stream), None, made, made).unwrap()
}

/// Whatever is stored here is confirmed: it must not become so by being saved.
#[tokio::test]
async fn events_that_a_handle_calls_unconfirmed_are_not_saved() {
    let (theirs, ours) = both();
    let mut stream = unconfirmed();
    theirs.save_stream(&stream).await.unwrap();
    assert_eq!(theirs.get_watermark(&id("entity-1")).await.unwrap(), 1);

    let text = validation(ours.save_stream(&stream).await);
    says(&text, &["\"entity-1\"", "only 1 of its 3 events", "nothing was stored"]);
    assert_eq!(ours.count_streams().await.unwrap(), 0);
    // Appended to, the handle calls them confirmed.
    stream.append_event(event("entity-1", 4)).unwrap();
    ours.save_stream(&stream).await.unwrap();
    assert_eq!(ours.get_watermark(&id("entity-1")).await.unwrap(), 4);
}

#[tokio::test]
async fn what_is_stored_already_is_confirmed_whatever_a_handle_calls_it() {
    let (_, ours) = both();
    let stream = unconfirmed();
    let mut confirmed = EventStream::new(id("entity-1"));
    for event in events(&stream) {
        confirmed.append_event(event).unwrap();
    }
    ours.save_stream(&confirmed).await.unwrap();
    ours.save_stream(&stream).await.unwrap();
    assert_eq!(ours.get_watermark(&id("entity-1")).await.unwrap(), 3);
}

#[tokio::test]
async fn what_a_handle_expects_is_not_stored() {
    let (theirs, ours) = both();
    for (store, expected) in [(theirs, Some(0)), (ours, None)] {
        let mut stream = store.get_or_create_stream(&id("entity-1")).await.unwrap();
        stream.expect_version(0);
        store.append_to_stream(&mut stream, event("entity-1", 1)).await.unwrap();
        assert_eq!(loaded(&store, "entity-1").await.expected_version(), expected);
        store.save_stream(&stream).await.unwrap();
        assert_eq!(loaded(&store, "entity-1").await.expected_version(), expected);
    }
}

/// "Consistent hashing ensures same entity → same partition": a stream stays where it is.
#[tokio::test]
async fn a_stream_stays_in_its_partition_whatever_a_handle_says() {
    let (theirs, ours) = both();
    for (store, moves) in [(theirs, true), (ours, false)] {
        let mut stream = filled(&store, "entity-1", 1).await;
        let (old, made) = (stream.partition_key().partition_id(), stream.created_at());
        let new = PartitionKey::from_partition_id((old + 1) % 32, 32).unwrap();
        let mut moved = EventStream::reconstruct(
            id("entity-1"),
            new,
            1,
            1,
            events(&stream),
            None,
            made,
            stream.updated_at(),
        )
        .unwrap();
        store.save_stream(&moved).await.unwrap();
        store.append_to_stream(&mut moved, event("entity-1", 2)).await.unwrap();
        stream = loaded(&store, "entity-1").await;
        assert_eq!(stream.event_count(), 2);
        let partition = if moves { new.partition_id() } else { old };
        assert_eq!(stream.partition_key().partition_id(), partition);
        assert_eq!(store.partition_stats().await.unwrap(), [(partition, 1)]);
    }
}

/// A value that is nested so deeply that no reader of JSON follows.
fn deep() -> Value {
    (0..200).fold(json!(0), |inner, _| json!([inner]))
}

#[tokio::test]
async fn what_could_not_be_read_again_is_refused() {
    let (theirs, ours) = both();
    let in_payload = event_of("acme", "entity-1", deep());
    let mut in_metadata = event("entity-1", 1);
    in_metadata.metadata = Some(deep());
    for event in [in_payload, in_metadata] {
        let mut stream = EventStream::new(id("entity-1"));
        assert_eq!(theirs.append_to_stream(&mut stream, event.clone()).await.unwrap(), 1);

        let mut stream = EventStream::new(id("entity-1"));
        let refused = ours.append_to_stream(&mut stream, event.clone()).await.unwrap_err();
        assert!(matches!(refused, AllSourceError::InvalidEvent(_)), "{refused:?}");
        says(&refused.to_string(), &[&event.id().to_string(), "would not be read as it is", "recursion"]);
        assert_eq!(stream.current_version(), 0);
        stream.append_event(event).unwrap();
        assert!(matches!(ours.save_stream(&stream).await, Err(AllSourceError::InvalidEvent(_))));
    }
    assert_eq!(ours.count_streams().await.unwrap(), 0);
}
