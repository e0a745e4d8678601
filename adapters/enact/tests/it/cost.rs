//! What a look at the end costs when others write most of the log: what is new, in bounded steps.

use crate::kit::{emitted, on};
use annals::{EventLog, ExpectedVersion, NewEvent};
use annals_enact::StreamingStore;
use enact_core::streaming::EventStore;
use futures::FutureExt;
use proving::FaultyDisk;

/// So many events of others, each a run of its own.
fn others(log: &EventLog, count: usize) {
    for _ in 0..count.div_ceil(1000) {
        let batch = (0..count.min(1000)).fold(log.batch(), |batch, i| {
            batch.append(["other-1", "other-2"][i % 2], ExpectedVersion::Any, &[NewEvent::new("T", "")])
        });
        batch.commit().unwrap();
    }
}

/// So many own events that the log is scanned and not the streams.
async fn own(store: &StreamingStore, count: u64) -> u64 {
    let appends = (0..count).map(|number| store.append(emitted(&format!("e{number}"), number)));
    let entries = futures::future::join_all(appends).await;
    entries.into_iter().map(|entry| entry.unwrap().sequence).max().unwrap()
}

#[tokio::test]
async fn the_latest_sequence_costs_what_came_since_it_was_asked() {
    let disk = FaultyDisk::default();
    let log = on(&disk);
    let store = StreamingStore::new(log.clone());
    let latest = own(&store, 1500).await;
    others(&log, 4000);
    let cost = async |store: &StreamingStore| {
        let before = disk.reads();
        assert_eq!(store.latest_sequence().await.unwrap(), latest);
        disk.reads() - before
    };
    let first = cost(&store).await;
    assert!(first >= 4000, "the events of others were not passed over one by one: {first}");
    assert_eq!(cost(&store).await, 0, "nothing is new");
    others(&log, 1);
    let after_one = cost(&store).await;
    assert!(after_one < 400, "{after_one} reads for one event that is new");
    assert_eq!(cost(&store.clone()).await, 0, "clones share what is known");
}

#[tokio::test]
async fn polling_at_the_end_costs_what_came_since_the_last_poll() {
    let disk = FaultyDisk::default();
    let log = on(&disk);
    let store = StreamingStore::new(log.clone());
    let latest = own(&store, 1500).await;
    others(&log, 4000);
    let cost = async || {
        let before = disk.reads();
        assert!(store.get_after(latest, 10).await.unwrap().is_empty());
        disk.reads() - before
    };
    // Only who has seen the last event knows that what follows has none.
    assert_eq!(store.get_after(latest - 1, 10).await.unwrap().len(), 1);
    assert_eq!(cost().await, 0, "nothing is new");
    others(&log, 1);
    let after_one = cost().await;
    assert!(after_one < 400, "{after_one} reads for one event that is new");
    let next = own(&store, 1).await;
    assert_eq!(store.get_after(latest, 10).await.unwrap()[0].sequence, next);
}

#[tokio::test]
async fn a_long_look_gives_way() {
    let log = EventLog::in_memory().unwrap();
    let store = StreamingStore::new(log.clone());
    let latest = own(&store, 4000).await;
    others(&log, 20_000);
    let mut look = store.latest_sequence();
    let mut turns = 0;
    let found = loop {
        match (&mut look).now_or_never() {
            Some(found) => break found.unwrap(),
            None => turns += 1,
        }
    };
    assert_eq!(found, latest);
    assert!(turns >= 2, "20,000 events were passed over in {turns} turns");
}
