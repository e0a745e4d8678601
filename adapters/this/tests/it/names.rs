//! Several event logs, and other things, in one log.

use crate::common::{cause, created, fill, first, numbers, place, resumes, waits};
use annals::{EventLog as Log, ExpectedVersion, KeptCondition, NewEvent};
use annals_this::{ThisError, ThisLog};
use this::events::EventLog;
use this::events::SeekPosition::{Beginning, LastAcknowledged, Latest};

/// Namespaces that could be mistaken for one another, beside streams, kept values and consumers of the log's own.
#[tokio::test]
async fn namespaces_do_not_mix_and_numbers_have_no_gaps() {
    let log = Log::in_memory().unwrap();
    let namespaces = ["this", "thi", "", "shop", "shop/consumer", "shop/", "a/events", "a", "%", "annals2"];
    let stores: Vec<ThisLog> =
        namespaces.iter().map(|name| ThisLog::in_namespace(log.clone(), name).unwrap()).collect();
    let mut live = Vec::new();
    for store in &stores {
        live.push(store.subscribe("c", Latest).await.unwrap());
    }
    for (i, store) in stores.iter().enumerate() {
        for _ in 0..=i {
            store.append(created(namespaces[i])).await.unwrap();
            log.append("this/event", ExpectedVersion::Any, &[NewEvent::new("T", "")]).unwrap();
            log.append("plain", ExpectedVersion::Any, &[NewEvent::new("T", "")]).unwrap();
            log.keep("this/consumer", KeptCondition::Any, "not a place").unwrap();
            log.acknowledge("c", log.last_position()).unwrap();
        }
        store.ack("c", i as u64).await.unwrap();
    }
    for (i, store) in stores.iter().enumerate() {
        let n = i as u64 + 1;
        assert_eq!(store.last_seq_no().await, Some(n));
        assert_eq!(first(store, "d", Beginning, i + 1).await, (1..=n).collect::<Vec<_>>());
        assert_eq!(numbers(&mut live[i], i + 1).await, (1..=n).collect::<Vec<_>>());
        assert!(waits(&mut live[i]), "{:?} is given nobody else's", namespaces[i]);
        assert_eq!((place(store, "c"), resumes(store, "c").await), (Some(i as u64), n));
        let mut events = store.subscribe("d", LastAcknowledged).await.unwrap();
        for _ in 0..=i {
            assert_eq!(crate::common::entity_type(&crate::common::next(&mut events).await), namespaces[i]);
        }
    }
}

#[tokio::test]
async fn the_default_namespace_is_this() {
    let log = Log::in_memory().unwrap();
    fill(&ThisLog::new(log.clone()), 2).await;
    assert_eq!(ThisLog::in_namespace(log, "this").unwrap().last_seq_no().await, Some(2));
}

#[tokio::test]
async fn a_namespace_that_cannot_hold_its_names_is_refused() {
    let log = Log::in_memory().unwrap();
    let refused = |namespace: &str| ThisLog::in_namespace(log.clone(), namespace).err();
    assert_eq!(refused("annals"), Some(ThisError::ReservedNamespace));
    // "<namespace>/consumer/" and nothing behind it.
    let longest = "n".repeat(2048 - 10);
    assert_eq!(refused(&longest), None);
    assert_eq!(
        refused(&(longest.clone() + "n")),
        Some(ThisError::NameTooLong { what: "namespace", len: 2049, max: 2048 })
    );
    let escaped = "/".repeat(700);
    assert_eq!(refused(&escaped), Some(ThisError::NameTooLong { what: "namespace", len: 2110, max: 2048 }));

    let store = ThisLog::in_namespace(log.clone(), &longest).unwrap();
    fill(&store, 1).await;
    store.ack("", 1).await.unwrap();
    assert_eq!(place(&store, ""), Some(1));
    let told = ThisError::NameTooLong { what: "consumer", len: 1, max: 0 };
    assert_eq!(cause(store.ack("c", 1).await.unwrap_err()), told);
}

/// Somebody has written something else where a consumer's place stands.
#[tokio::test]
async fn what_is_no_place_is_told_and_can_be_mended() {
    let store = crate::common::memory();
    fill(&store, 3).await;
    for bytes in [&b"three"[..], b"", b"-1", b"18446744073709551616", b"\xff"] {
        store.log().keep("this/consumer/c", KeptCondition::Any, bytes).unwrap();
        let found = String::from_utf8_lossy(bytes).into_owned();
        let told = ThisError::NotAPlace { consumer: "c".to_owned(), found };
        assert_eq!(cause(store.subscribe("c", LastAcknowledged).await.err().unwrap()), told);
        assert_eq!(store.consumer_state("c").unwrap_err(), told);
        assert_eq!(first(&store, "c", Beginning, 1).await, [1], "other positions need no place");
        store.ack("c", 1).await.unwrap();
        assert_eq!(resumes(&store, "c").await, 2);
    }
}

#[tokio::test]
async fn a_consumers_state_says_where_it_is() {
    let store = crate::common::memory();
    fill(&store, 5).await;
    assert_eq!(place(&store, "c"), None);
    store.seek("c", LastAcknowledged).await.unwrap();
    assert_eq!(place(&store, "c"), None, "nothing was changed");
    store.ack("c", 3).await.unwrap();
    assert_eq!(place(&store, "c"), Some(3));
    store.seek("c", this::events::SeekPosition::Sequence(5)).await.unwrap();
    assert_eq!(place(&store, "c"), Some(4), "5 is not processed");
    store.seek("c", Latest).await.unwrap();
    assert_eq!(place(&store, "c"), Some(5));
    store.seek("c", Beginning).await.unwrap();
    let state = store.consumer_state("c").unwrap();
    assert_eq!((state.name.as_str(), state.last_acked), ("c", Some(0)));
}
