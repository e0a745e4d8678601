//! The rules on which the framework's own store and the adapter agree, one test a rule, each run against both.

use crate::common::{
    both, created, entity_type, fill, first, linked, next, numbers, resumes, soon, text, waits,
};
use futures_util::StreamExt;
use std::sync::Arc;
use this::core::events::EventBus;
use this::events::EventLog;
use this::events::SeekPosition::{Beginning, LastAcknowledged, Latest, Sequence};

#[tokio::test]
async fn appends_are_numbered_from_1_whatever_they_are() {
    both(async |log| {
        assert_eq!(log.append(created("user")).await.unwrap(), 1);
        assert_eq!(log.append(created("order")).await.unwrap(), 2);
        assert_eq!(log.append(linked("follows")).await.unwrap(), 3);
    })
    .await;
}

#[tokio::test]
async fn the_last_number_is_none_until_there_is_an_event() {
    both(async |log| {
        assert_eq!(log.last_seq_no().await, None);
        fill(&*log, 2).await;
        assert_eq!(log.last_seq_no().await, Some(2));
    })
    .await;
}

#[tokio::test]
async fn the_number_is_the_logs_own_whatever_the_envelope_says() {
    both(async |log| {
        for claimed in [None, Some(0), Some(1), Some(99)] {
            let mut envelope = created("user");
            envelope.seq_no = claimed;
            log.append(envelope).await.unwrap();
        }
        assert_eq!(first(&*log, "c", Beginning, 4).await, [1, 2, 3, 4]);
    })
    .await;
}

#[tokio::test]
async fn an_envelope_comes_back_with_its_id_its_time_and_its_event() {
    both(async |log| {
        let sent = [created("user"), linked("follows"), created("order")];
        for envelope in &sent {
            log.append(envelope.clone()).await.unwrap();
        }
        let mut events = log.subscribe("c", Beginning).await.unwrap();
        for (i, mut envelope) in sent.into_iter().enumerate() {
            envelope.seq_no = Some(i as u64 + 1);
            assert_eq!(text(&next(&mut events).await), text(&envelope));
        }
    })
    .await;
}

#[tokio::test]
async fn an_envelope_that_is_appended_twice_is_two_events() {
    both(async |log| {
        let envelope = created("user");
        assert_eq!(log.append(envelope.clone()).await.unwrap(), 1);
        assert_eq!(log.append(envelope.clone()).await.unwrap(), 2);
        let mut events = log.subscribe("c", Beginning).await.unwrap();
        for seq_no in 1..=2 {
            let again = next(&mut events).await;
            assert_eq!((again.id, again.seq_no), (envelope.id, Some(seq_no)));
        }
    })
    .await;
}

#[tokio::test]
async fn from_the_beginning_is_everything_in_order() {
    both(async |log| {
        fill(&*log, 5).await;
        let mut events = log.subscribe("c", Beginning).await.unwrap();
        for i in 1..=5 {
            assert_eq!(entity_type(&next(&mut events).await), format!("type_{i}"));
        }
        assert!(waits(&mut events), "the stream is infinite");
    })
    .await;
}

#[tokio::test]
async fn from_the_latest_is_only_what_comes() {
    both(async |log| {
        fill(&*log, 2).await;
        let mut events = log.subscribe("c", Latest).await.unwrap();
        assert!(waits(&mut events));
        log.append(created("new")).await.unwrap();
        assert_eq!(entity_type(&next(&mut events).await), "new");
    })
    .await;
}

#[tokio::test]
async fn a_log_without_events_can_be_followed_from_everywhere() {
    for position in [Beginning, Latest, LastAcknowledged, Sequence(0), Sequence(1)] {
        both(async |log| {
            let mut events = log.subscribe("c", position.clone()).await.unwrap();
            assert!(waits(&mut events));
            fill(&*log, 1).await;
            assert_eq!(numbers(&mut events, 1).await, [1]);
        })
        .await;
    }
}

#[tokio::test]
async fn from_a_number_begins_with_that_event() {
    both(async |log| {
        fill(&*log, 5).await;
        assert_eq!(first(&*log, "c", Sequence(3), 3).await, [3, 4, 5]);
        assert_eq!(first(&*log, "c", Sequence(5), 1).await, [5]);
        for everything in [0, 1] {
            assert_eq!(first(&*log, "c", Sequence(everything), 5).await, [1, 2, 3, 4, 5]);
        }
    })
    .await;
}

#[tokio::test]
async fn from_a_number_beyond_the_end_waits_for_that_event() {
    both(async |log| {
        fill(&*log, 2).await;
        let mut events = log.subscribe("c", Sequence(5)).await.unwrap();
        for _ in 3..=4 {
            assert!(waits(&mut events));
            log.append(created("passed over")).await.unwrap();
        }
        assert!(waits(&mut events));
        fill(&*log, 2).await;
        assert_eq!(numbers(&mut events, 2).await, [5, 6]);
        for far in [7, 1 << 62, u64::MAX - 1, u64::MAX] {
            assert!(waits(&mut log.subscribe("c", Sequence(far)).await.unwrap()), "{far}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_acknowledgement_moves_where_the_consumer_resumes() {
    both(async |log| {
        fill(&*log, 5).await;
        log.ack("a", 3).await.unwrap();
        assert_eq!(first(&*log, "a", LastAcknowledged, 2).await, [4, 5]);
        log.ack("a", 3).await.unwrap();
        assert_eq!(resumes(&*log, "a").await, 4, "the same again is the same");
        log.ack("a", 5).await.unwrap();
        let mut events = log.subscribe("a", LastAcknowledged).await.unwrap();
        assert!(waits(&mut events), "everything is acknowledged");
        log.append(created("new")).await.unwrap();
        assert_eq!(numbers(&mut events, 1).await, [6]);
    })
    .await;
}

#[tokio::test]
async fn the_last_acknowledgement_counts_also_if_it_goes_back() {
    both(async |log| {
        fill(&*log, 5).await;
        log.ack("a", 5).await.unwrap();
        log.ack("a", 2).await.unwrap();
        assert_eq!(first(&*log, "a", LastAcknowledged, 3).await, [3, 4, 5]);
    })
    .await;
}

#[tokio::test]
async fn to_acknowledge_0_is_to_have_processed_nothing() {
    both(async |log| {
        log.ack("a", 0).await.unwrap();
        fill(&*log, 3).await;
        assert_eq!(resumes(&*log, "a").await, 1);
        log.ack("a", 3).await.unwrap();
        log.ack("a", 0).await.unwrap();
        assert_eq!(resumes(&*log, "a").await, 1);
    })
    .await;
}

#[tokio::test]
async fn who_never_acknowledged_begins_at_the_beginning() {
    both(async |log| {
        fill(&*log, 2).await;
        assert_eq!(first(&*log, "new", LastAcknowledged, 2).await, [1, 2]);
    })
    .await;
}

#[tokio::test]
async fn to_subscribe_and_to_read_moves_no_place() {
    both(async |log| {
        fill(&*log, 3).await;
        for position in [Beginning, LastAcknowledged, Sequence(3), Sequence(1)] {
            first(&*log, "a", position, 1).await;
        }
        drop(log.subscribe("a", Latest).await.unwrap());
        assert_eq!(resumes(&*log, "a").await, 1);
    })
    .await;
}

#[tokio::test]
async fn consumers_do_not_know_of_one_another() {
    both(async |log| {
        fill(&*log, 5).await;
        log.ack("a", 2).await.unwrap();
        log.ack("b", 4).await.unwrap();
        assert_eq!(first(&*log, "a", LastAcknowledged, 3).await, [3, 4, 5]);
        assert_eq!(first(&*log, "b", LastAcknowledged, 1).await, [5]);
        assert_eq!(resumes(&*log, "c").await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_seek_to_the_beginning_replays_everything() {
    both(async |log| {
        fill(&*log, 5).await;
        log.ack("b", 5).await.unwrap();
        log.seek("b", Beginning).await.unwrap();
        assert_eq!(first(&*log, "b", LastAcknowledged, 5).await, [1, 2, 3, 4, 5]);
        log.ack("b", 5).await.unwrap();
        log.seek("b", Sequence(0)).await.unwrap();
        assert_eq!(resumes(&*log, "b").await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_seek_to_the_latest_leaves_out_what_is_there() {
    both(async |log| {
        fill(&*log, 3).await;
        log.seek("b", Latest).await.unwrap();
        log.append(created("new")).await.unwrap();
        log.append(created("newer")).await.unwrap();
        assert_eq!(first(&*log, "b", LastAcknowledged, 2).await, [4, 5], "latest was then");
    })
    .await;
}

#[tokio::test]
async fn a_seek_to_where_the_consumer_is_changes_nothing() {
    both(async |log| {
        fill(&*log, 3).await;
        log.seek("new", LastAcknowledged).await.unwrap();
        assert_eq!(resumes(&*log, "new").await, 1);
        log.ack("a", 2).await.unwrap();
        log.seek("a", LastAcknowledged).await.unwrap();
        assert_eq!(resumes(&*log, "a").await, 3);
    })
    .await;
}

#[tokio::test]
async fn the_next_acknowledgement_overwrites_a_seek() {
    both(async |log| {
        fill(&*log, 5).await;
        log.seek("a", Latest).await.unwrap();
        log.ack("a", 1).await.unwrap();
        assert_eq!(resumes(&*log, "a").await, 2);
    })
    .await;
}

#[tokio::test]
async fn neither_seeks_nor_acknowledgements_move_a_stream_that_is_read() {
    both(async |log| {
        fill(&*log, 5).await;
        let mut events = log.subscribe("a", Beginning).await.unwrap();
        assert_eq!(numbers(&mut events, 2).await, [1, 2]);
        log.seek("a", Beginning).await.unwrap();
        assert_eq!(numbers(&mut events, 1).await, [3]);
        log.ack("a", 5).await.unwrap();
        log.seek("a", Latest).await.unwrap();
        assert_eq!(numbers(&mut events, 2).await, [4, 5]);
    })
    .await;
}

#[tokio::test]
async fn the_position_is_resolved_by_the_call_and_not_by_the_first_poll() {
    both(async |log| {
        fill(&*log, 2).await;
        let mut latest = log.subscribe("a", Latest).await.unwrap();
        let mut resumed = log.subscribe("a", LastAcknowledged).await.unwrap();
        log.ack("a", 2).await.unwrap();
        fill(&*log, 2).await;
        assert_eq!(numbers(&mut latest, 2).await, [3, 4]);
        assert_eq!(numbers(&mut resumed, 4).await, [1, 2, 3, 4]);
    })
    .await;
}

#[tokio::test]
async fn a_live_stream_gives_what_comes_while_it_waits() {
    both(async |log| {
        let mut events = log.subscribe("a", Latest).await.unwrap();
        let producer = tokio::spawn({
            let log = log.clone();
            async move {
                for i in 0..3 {
                    tokio::task::yield_now().await;
                    log.append(created(&format!("live_{i}"))).await.unwrap();
                }
            }
        });
        for i in 0..3 {
            assert_eq!(entity_type(&next(&mut events).await), format!("live_{i}"));
        }
        producer.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn history_comes_first_and_then_what_is_new() {
    both(async |log| {
        fill(&*log, 3).await;
        let mut events = log.subscribe("a", Beginning).await.unwrap();
        assert_eq!(numbers(&mut events, 3).await, [1, 2, 3]);
        let waiting = tokio::spawn(async move { next(&mut events).await });
        tokio::task::yield_now().await;
        log.append(created("new")).await.unwrap();
        assert_eq!(entity_type(&waiting.await.unwrap()), "new");
    })
    .await;
}

#[tokio::test]
async fn each_of_several_streams_of_one_consumer_gives_everything() {
    both(async |log| {
        fill(&*log, 3).await;
        let mut one = log.subscribe("a", Beginning).await.unwrap();
        let mut other = log.subscribe("a", Beginning).await.unwrap();
        assert_eq!(numbers(&mut one, 3).await, [1, 2, 3]);
        log.append(created("new")).await.unwrap();
        assert_eq!(numbers(&mut other, 4).await, [1, 2, 3, 4]);
        assert_eq!(numbers(&mut one, 1).await, [4]);
    })
    .await;
}

#[tokio::test]
async fn a_stream_needs_no_borrow_of_its_log_and_goes_to_other_tasks() {
    both(async |log| {
        let events = {
            let (consumer, handle) = ("a".to_owned(), log.clone());
            handle.subscribe(&consumer, Beginning).await.unwrap()
        };
        let elsewhere = tokio::spawn(async move { soon(events.take(2).count()).await });
        fill(&*log, 2).await;
        assert_eq!(elsewhere.await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_consumer_may_have_any_name() {
    let names = [
        "",
        " ",
        "/",
        "a/b",
        "a",
        "a/",
        "annals/",
        "annals/consumer/a",
        "\0",
        "a\0b",
        "%2F",
        "ä",
        "consumer",
        "events",
    ];
    both(async |log| {
        fill(&*log, names.len() as u64 + 1).await;
        for (i, name) in names.iter().enumerate() {
            assert_eq!(resumes(&*log, name).await, 1, "{name:?}");
            log.ack(name, i as u64 + 1).await.unwrap();
        }
        for (i, name) in names.iter().enumerate() {
            assert_eq!(resumes(&*log, name).await, i as u64 + 2, "{name:?}");
        }
        log.seek("", Beginning).await.unwrap();
        assert_eq!((resumes(&*log, "").await, resumes(&*log, " ").await), (1, 3));
    })
    .await;
}

#[tokio::test]
async fn no_event_is_lost_between_a_fast_producer_and_a_fast_consumer() {
    both(async |log| {
        let mut events = log.subscribe("a", Beginning).await.unwrap();
        let producer = tokio::spawn({
            let log = log.clone();
            async move { fill(&*log, 300).await }
        });
        for i in 1..=300 {
            let envelope = next(&mut events).await;
            assert_eq!((entity_type(&envelope), envelope.seq_no), (&*format!("type_{i}"), Some(i)));
        }
        producer.await.unwrap();
    })
    .await;
}

/// As the framework does it: one task for each event, so that only the count is promised.
#[tokio::test]
async fn what_a_bus_publishes_is_in_its_log() {
    both(async |log| {
        let bus = EventBus::new(16).with_event_log(log.clone());
        assert!(bus.event_log().is_some());
        let mut heard = bus.subscribe();
        let mut sent = Vec::new();
        for i in 0..5 {
            assert_eq!(bus.publish(created(&format!("type_{i}")).event), 1);
            let envelope = heard.recv().await.unwrap();
            assert_eq!(envelope.seq_no, None, "the bus does not wait for a number");
            sent.push(envelope.id);
        }
        let mut events = log.subscribe("a", Beginning).await.unwrap();
        let mut logged = Vec::new();
        for _ in 0..5 {
            logged.push(next(&mut events).await.id);
        }
        assert_eq!(log.last_seq_no().await, Some(5));
        sent.sort();
        logged.sort();
        assert_eq!(logged, sent, "the same envelopes, in whatever order");
    })
    .await;
}

#[tokio::test]
async fn clones_are_one_log() {
    async fn one_log(one: Arc<dyn EventLog>, other: Arc<dyn EventLog>) {
        let mut events = other.subscribe("a", Beginning).await.unwrap();
        one.append(created("from one")).await.unwrap();
        other.append(created("from other")).await.unwrap();
        assert_eq!((one.last_seq_no().await, other.last_seq_no().await), (Some(2), Some(2)));
        assert_eq!(numbers(&mut events, 2).await, [1, 2]);
        one.ack("a", 1).await.unwrap();
        assert_eq!(resumes(&*other, "a").await, 2, "an acknowledgement is seen at once");
        other.seek("a", Beginning).await.unwrap();
        assert_eq!(resumes(&*one, "a").await, 1);
    }
    let reference = this::events::InMemoryEventLog::new();
    one_log(Arc::new(reference.clone()), Arc::new(reference)).await;
    let ours = crate::common::memory();
    one_log(Arc::new(ours.clone()), Arc::new(ours.clone())).await;
    // Not only clones: two handles that were made of one log.
    let log = annals::EventLog::in_memory().unwrap();
    let made = || Arc::new(annals_this::ThisLog::new(log.clone()));
    one_log(made(), made()).await;
}
