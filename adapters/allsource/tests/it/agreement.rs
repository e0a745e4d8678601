//! What allsource's documentation promises, and its store in memory keeps: ours keeps it, too.

use crate::given::{
    Store, assert_same, concurrency, event, event_of, events, everywhere, filled, id, loaded, tenant, unsaved,
};
use allsource_core::domain::entities::{Event, EventStream};
use allsource_core::domain::value_objects::PartitionKey;
use allsource_core::error::AllSourceError;
use serde_json::json;

#[tokio::test]
async fn a_new_stream_is_at_version_0_and_is_there_from_then_on() {
    everywhere(async |store| {
        let stream = store.get_or_create_stream(&id("entity-1")).await.unwrap();
        assert_eq!((stream.current_version(), stream.watermark(), stream.event_count()), (0, 0, 0));
        assert_eq!((stream.stream_id(), stream.expected_version()), (&id("entity-1"), None));
        assert_eq!(*stream.partition_key(), PartitionKey::from_entity_id("entity-1"));
        assert!(stream.is_gapless() && stream.tenant_id().is_none());
        assert_eq!(store.count_streams().await.unwrap(), 1);
        let again = store.get_or_create_stream(&id("entity-1")).await.unwrap();
        assert_same(&again, &stream);
        assert_eq!(again.updated_at(), stream.updated_at());
        assert_same(&loaded(&store, "entity-1").await, &stream);
        assert_eq!(store.count_streams().await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn getting_a_stream_that_is_there_gives_its_events() {
    everywhere(async |store| {
        let stream = filled(&store, "entity-1", 3).await;
        assert_same(&store.get_or_create_stream(&id("entity-1")).await.unwrap(), &stream);
    })
    .await;
}

#[tokio::test]
async fn an_append_gives_the_next_version_and_moves_the_handle() {
    everywhere(async |store| {
        let mut stream = store.get_or_create_stream(&id("entity-1")).await.unwrap();
        let before = stream.updated_at();
        for n in 1..=10 {
            let version = store.append_to_stream(&mut stream, event("entity-1", n)).await.unwrap();
            assert_eq!((version, stream.current_version(), stream.watermark()), (n, n, n));
            assert_eq!(stream.event_count() as u64, n);
        }
        assert!(stream.is_gapless() && stream.updated_at() >= before);
        assert_same(&loaded(&store, "entity-1").await, &stream);
    })
    .await;
}

/// The example in the documentation of `append_to_stream`.
#[tokio::test]
async fn expecting_version_5_appends_version_6() {
    everywhere(async |store| {
        filled(&store, "entity-1", 5).await;
        let mut stream = store.get_or_create_stream(&id("entity-1")).await.unwrap();
        stream.expect_version(5);
        let version = store.append_to_stream(&mut stream, event("entity-1", 6)).await.unwrap();
        assert_eq!(version, 6);
    })
    .await;
}

#[tokio::test]
async fn an_expectation_that_does_not_hold_is_a_conflict_and_changes_nothing() {
    everywhere(async |store| {
        let mut stream = filled(&store, "entity-1", 1).await;
        for wrong in [0, 2, u64::MAX] {
            stream.expect_version(wrong);
            let text = concurrency(store.append_to_stream(&mut stream, event("entity-1", 2)).await);
            assert!(text.contains(&wrong.to_string()) && text.contains('1'), "{text}");
            assert_eq!((stream.current_version(), stream.event_count()), (1, 1));
        }
        assert_eq!(stream.expected_version(), Some(u64::MAX));
        assert_eq!(store.get_watermark(&id("entity-1")).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_expectation_holds_until_it_is_set_anew_or_cleared() {
    everywhere(async |store| {
        let mut stream = store.get_or_create_stream(&id("entity-1")).await.unwrap();
        stream.expect_version(0);
        assert_eq!(store.append_to_stream(&mut stream, event("entity-1", 1)).await.unwrap(), 1);
        concurrency(store.append_to_stream(&mut stream, event("entity-1", 2)).await);
        stream.expect_version(1);
        assert_eq!(store.append_to_stream(&mut stream, event("entity-1", 2)).await.unwrap(), 2);
        stream.clear_expected_version();
        assert_eq!(store.append_to_stream(&mut stream, event("entity-1", 3)).await.unwrap(), 3);
    })
    .await;
}

#[tokio::test]
async fn conflicts_may_be_tried_again() {
    everywhere(async |store| {
        let mut stream = filled(&store, "entity-1", 1).await;
        stream.expect_version(0);
        let error = store.append_to_stream(&mut stream, event("entity-1", 2)).await.unwrap_err();
        assert!(matches!(error, AllSourceError::ConcurrencyError(_)) && error.is_retryable());
    })
    .await;
}

#[tokio::test]
async fn an_append_to_a_stream_that_was_never_made_makes_it() {
    everywhere(async |store| {
        let mut stream = EventStream::new(id("entity-1"));
        assert_eq!(store.append_to_stream(&mut stream, event("entity-1", 1)).await.unwrap(), 1);
        assert_same(&loaded(&store, "entity-1").await, &stream);
        assert_eq!(store.count_streams().await.unwrap(), 1);
        let key = *stream.partition_key();
        assert_eq!(store.get_streams_by_partition(&key).await.unwrap().len(), 1);
        assert_eq!(store.partition_stats().await.unwrap(), [(key.partition_id(), 1)]);
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_was_never_made_is_none_and_gapless_with_watermark_0() {
    everywhere(async |store| {
        filled(&store, "entity-1", 1).await;
        assert!(store.load_stream(&id("entity")).await.unwrap().is_none());
        assert!(store.load_stream(&id("entity-11")).await.unwrap().is_none());
        assert_eq!(store.get_watermark(&id("entity-2")).await.unwrap(), 0);
        assert!(store.verify_gapless(&id("entity-2")).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn every_field_of_every_event_comes_back() {
    everywhere(async |store| {
        let mut stream = store.get_or_create_stream(&id("entity-1")).await.unwrap();
        let plain = event("entity-1", 1);
        let metadata = json!({"user": "anna", "causes": [1, null, {"a": 0.1}]});
        let mut full = Event::with_metadata(
            plain.event_type().clone(),
            id("entity-1"),
            tenant("acme"),
            json!("text"),
            metadata,
        );
        full.version = -7;
        let mut nothing_given = event_of("acme", "entity-1", json!(null));
        nothing_given.metadata = Some(json!(null));
        for event in [&plain, &full, &nothing_given] {
            store.append_to_stream(&mut stream, event.clone()).await.unwrap();
        }
        let stream = loaded(&store, "entity-1").await;
        assert_eq!(events(&stream), [plain, full, nothing_given]);
        assert_eq!(stream.events_from(2)[0].version(), -7, "the version of an event is its own");
    })
    .await;
}

#[tokio::test]
async fn events_are_read_from_a_version_on() {
    everywhere(async |store| {
        filled(&store, "entity-1", 5).await;
        let stream = loaded(&store, "entity-1").await;
        let numbers = |from| -> Vec<u64> {
            stream.events_from(from).iter().map(|event| event.payload()["n"].as_u64().unwrap()).collect()
        };
        assert_eq!((numbers(3), numbers(5)), (vec![3, 4, 5], vec![5]));
        assert_eq!(numbers(1).len(), 5);
        assert_eq!((numbers(0), numbers(6)), (vec![], vec![]), "neither is a version of the stream");
    })
    .await;
}

#[tokio::test]
async fn the_watermark_follows_the_events() {
    everywhere(async |store| {
        let mut stream = store.get_or_create_stream(&id("entity-1")).await.unwrap();
        assert_eq!(store.get_watermark(&id("entity-1")).await.unwrap(), 0);
        for n in 1..=3 {
            store.append_to_stream(&mut stream, event("entity-1", n)).await.unwrap();
            assert_eq!(store.get_watermark(&id("entity-1")).await.unwrap(), n);
        }
    })
    .await;
}

#[tokio::test]
async fn streams_are_gapless_with_and_without_events() {
    everywhere(async |store| {
        store.get_or_create_stream(&id("entity-1")).await.unwrap();
        assert!(store.verify_gapless(&id("entity-1")).await.unwrap());
        filled(&store, "entity-1", 5).await;
        assert!(store.verify_gapless(&id("entity-1")).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_handle_with_new_events_is_saved() {
    everywhere(async |store| {
        let mut stream = unsaved("entity-1", 3);
        store.save_stream(&stream).await.unwrap();
        assert_same(&loaded(&store, "entity-1").await, &stream);
        store.save_stream(&stream).await.unwrap();
        assert_eq!(store.get_watermark(&id("entity-1")).await.unwrap(), 3, "nothing was to be done");
        for n in 4..=5 {
            stream.append_event(event("entity-1", n)).unwrap();
        }
        store.save_stream(&stream).await.unwrap();
        assert_same(&loaded(&store, "entity-1").await, &stream);
        store.append_to_stream(&mut stream, event("entity-1", 6)).await.unwrap();
        assert_same(&loaded(&store, "entity-1").await, &stream);
    })
    .await;
}

#[tokio::test]
async fn a_handle_without_events_is_saved() {
    everywhere(async |store| {
        let stream = EventStream::new(id("entity-1"));
        for _ in 0..2 {
            store.save_stream(&stream).await.unwrap();
            assert_same(&loaded(&store, "entity-1").await, &stream);
            assert_eq!(store.count_streams().await.unwrap(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_handle_expects_does_not_stand_in_the_way_of_saving_it() {
    everywhere(async |store| {
        let mut stream = store.get_or_create_stream(&id("entity-1")).await.unwrap();
        stream.expect_version(0);
        stream.append_event(event("entity-1", 1)).unwrap();
        store.save_stream(&stream).await.unwrap();
        assert_eq!(loaded(&store, "entity-1").await.current_version(), 1);
    })
    .await;
}

async fn hundred(store: &Store) {
    for i in 0..100 {
        store.get_or_create_stream(&id(&format!("entity-{i}"))).await.unwrap();
    }
}

#[tokio::test]
async fn each_stream_is_in_one_partition_of_32() {
    everywhere(async |store| {
        hundred(&store).await;
        let mut found = Vec::new();
        for partition in 0..PartitionKey::DEFAULT_PARTITION_COUNT {
            let key = PartitionKey::from_partition_id(partition, 32).unwrap();
            for stream in store.get_streams_by_partition(&key).await.unwrap() {
                assert_eq!(*stream.partition_key(), key);
                assert_eq!(PartitionKey::from_entity_id(stream.stream_id().as_str()), key);
                found.push(stream.stream_id().clone().into_inner());
            }
        }
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), 100);
    })
    .await;
}

#[tokio::test]
async fn streams_of_a_partition_come_with_their_events() {
    everywhere(async |store| {
        let stream = filled(&store, "entity-1", 4).await;
        let found = store.get_streams_by_partition(stream.partition_key()).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_same(&found[0], &stream);
    })
    .await;
}

#[tokio::test]
async fn a_partition_is_known_by_its_id_alone() {
    everywhere(async |store| {
        let stream = filled(&store, "entity-1", 1).await;
        let of_many = PartitionKey::from_partition_id(stream.partition_key().partition_id(), 1024).unwrap();
        assert_eq!(store.get_streams_by_partition(&of_many).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn partitions_are_counted_in_order_and_empty_ones_left_out() {
    everywhere(async |store| {
        assert_eq!(store.partition_stats().await.unwrap(), []);
        hundred(&store).await;
        let mut expected = std::collections::BTreeMap::new();
        for i in 0..100 {
            let key = PartitionKey::from_entity_id(&format!("entity-{i}"));
            *expected.entry(key.partition_id()).or_insert(0) += 1;
        }
        let stats = store.partition_stats().await.unwrap();
        assert_eq!(stats, expected.into_iter().collect::<Vec<_>>());
        assert_eq!(stats.iter().map(|(_, count)| count).sum::<usize>(), 100);
    })
    .await;
}

#[tokio::test]
async fn streams_are_counted_with_and_without_events() {
    everywhere(async |store| {
        assert_eq!(store.count_streams().await.unwrap(), 0);
        for i in 0..10 {
            filled(&store, &format!("entity-{i}"), i % 2).await;
        }
        assert_eq!(store.count_streams().await.unwrap(), 10);
    })
    .await;
}

#[tokio::test]
async fn a_tenant_has_the_streams_whose_events_are_its_own() {
    everywhere(async |store| {
        store.get_or_create_stream(&id("empty")).await.unwrap();
        for (of, entity) in [("acme", "b"), ("other", "c"), ("acme", "a")] {
            let mut stream = store.get_or_create_stream(&id(entity)).await.unwrap();
            store.append_to_stream(&mut stream, event_of(of, entity, json!({}))).await.unwrap();
        }
        for (of, expected) in [("acme", vec!["a", "b"]), ("other", vec!["c"]), ("acm", vec![])] {
            let streams = store.get_streams_by_tenant(&tenant(of)).await.unwrap();
            let mut found: Vec<_> = streams.iter().map(|stream| stream.stream_id().as_str()).collect();
            found.sort_unstable();
            assert_eq!(found, expected);
            assert_eq!(store.count_streams_by_tenant(&tenant(of)).await.unwrap(), expected.len());
            assert!(streams.iter().all(|stream| stream.tenant_id() == Some(&tenant(of))));
            assert!(streams.iter().all(|stream| stream.has_consistent_tenant() && stream.event_count() == 1));
        }
    })
    .await;
}

#[tokio::test]
async fn an_empty_stream_becomes_its_first_events_tenants() {
    everywhere(async |store| {
        let mut stream = store.get_or_create_stream(&id("entity-1")).await.unwrap();
        assert_eq!(store.count_streams_by_tenant(&tenant("acme")).await.unwrap(), 0);
        store.append_to_stream(&mut stream, event("entity-1", 1)).await.unwrap();
        assert_eq!(store.count_streams_by_tenant(&tenant("acme")).await.unwrap(), 1);
        assert_eq!(store.get_streams_by_tenant(&tenant("acme")).await.unwrap().len(), 1);
        store.append_to_stream(&mut stream, event("entity-1", 2)).await.unwrap();
        assert_eq!(store.count_streams_by_tenant(&tenant("acme")).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_saved_stream_is_its_tenants() {
    everywhere(async |store| {
        store.save_stream(&unsaved("entity-1", 2)).await.unwrap();
        let streams = store.get_streams_by_tenant(&tenant("acme")).await.unwrap();
        assert_eq!(streams.len(), 1);
        assert_eq!(streams[0].event_count(), 2);
    })
    .await;
}
