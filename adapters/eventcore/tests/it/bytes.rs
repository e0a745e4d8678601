//! What stands in the log: everything can be read without this adapter.

use crate::kit::{Kit, id, note, noted, position, writes};
use annals_eventcore::EventCoreStore;
use eventcore_types::{
    CheckpointStore, CommandStateSnapshot, CommandStateSnapshotId, Event, EventStore, StreamId, StreamVersion,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::HashMap;

#[tokio::test]
async fn an_event_is_an_event_of_the_log() {
    let Kit { store, dir: _dir } = Kit::new();
    note(&store, "order/1", 0, &["größer"]).await;
    let event = store.log().event_at(1).unwrap().unwrap();
    assert_eq!((event.stream(), event.version(), event.position()), ("eventcore/stream/order/1", 1, 1));
    assert_eq!(event.event_type(), "Noted");
    assert_eq!(std::str::from_utf8(event.payload()), Ok(r#"{"stream":"order/1","text":"größer"}"#));
    assert_eq!(event.metadata(), b"{}");
}

/// An event with a part that its author has written as JSON by hand.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Received {
    stream: StreamId,
    document: Box<RawValue>,
}

impl Event for Received {
    fn stream_id(&self) -> &StreamId {
        &self.stream
    }

    fn event_type_name() -> &'static str {
        "shop.documents/Received v2"
    }
}

#[tokio::test]
async fn json_is_kept_to_the_letter() {
    let Kit { store, dir: _dir } = Kit::new();
    let document = RawValue::from_string(r#"{ "b":1.50,  "a" : [ 1e2 ],"b":"\u00e4" }"#.to_owned()).unwrap();
    let event = Received { stream: id("in"), document: document.clone() };
    store.append_events(writes(&[("in", 0)], [event])).await.map(|_| ()).unwrap();
    let stored = store.log().event_at(1).unwrap().unwrap();
    assert_eq!(stored.event_type(), "shop.documents/Received v2");
    let expected = format!(r#"{{"stream":"in","document":{}}}"#, document.get());
    assert_eq!(std::str::from_utf8(stored.payload()), Ok(&*expected));
}

#[tokio::test]
async fn checkpoints_and_snapshots_are_kept_values_of_text() {
    let Kit { store, dir: _dir } = Kit::new();
    store.save("balances/eu", position(42)).await.unwrap();
    let snapshot =
        CommandStateSnapshot::new(json!({"balance": 5}), HashMap::from([(id("a"), StreamVersion::new(3))]));
    let snapshot_id = CommandStateSnapshotId::try_new("account/a v1").unwrap();
    store.save_command_state_snapshot(snapshot_id, snapshot).await.unwrap();
    let kept = store.log().list_kept("", None, 9).unwrap();
    let names: Vec<&str> = kept.iter().map(|kept| kept.name.as_str()).collect();
    assert_eq!(names, ["eventcore/checkpoint/balances/eu", "eventcore/snapshot/account/a v1"]);
    assert_eq!(kept[0].value, "00000000-0000-0000-0000-00000000002a");
    let json: Value = serde_json::from_slice(&kept[1].value).unwrap();
    assert_eq!(json, json!({"state": {"balance": 5}, "stream_versions": {"a": 3}, "replay_checkpoints": []}));
    // They are no events.
    assert_eq!((store.log().last_position(), store.log().stream_count()), (0, 0));
}

/// Foreign names stand at the end, letter by letter, so that they sort and share their beginnings as eventcore's do; the
/// namespace is the only thing that is escaped.
#[tokio::test]
async fn names_are_those_of_eventcore_behind_a_prefix() {
    let Kit { store, dir: _dir } = Kit::new();
    let store = EventCoreStore::in_namespace(store.log().clone(), "shop/50%").unwrap();
    for stream in ["b", "a/1", "a%2F1", "a", "nul\0", "ä"] {
        note(&store, stream, 0, &["x"]).await;
    }
    let streams = store.log().list_streams("shop%2F50%25/stream/", None, 9);
    let foreign: Vec<&str> =
        streams.iter().map(|stream| stream.strip_prefix("shop%2F50%25/stream/").unwrap()).collect();
    assert_eq!(foreign, ["a", "a%2F1", "a/1", "b", "nul\0", "ä"]);
}

/// One append is one atomic frame, without an event id of its own: nothing is written that need not be.
#[tokio::test]
async fn events_have_the_ids_of_the_log() {
    let Kit { store, dir: _dir } = Kit::new();
    let events = [noted("a", "1"), noted("b", "2")];
    store.append_events(writes(&[("a", 0), ("b", 0)], events)).await.map(|_| ()).unwrap();
    let events: Vec<_> = store.log().read_all(0).into_iter().map(Result::unwrap).collect();
    assert_eq!(events[0].time_nanos(), events[1].time_nanos());
    assert!(
        events.iter().all(|event| event.id().get_version_num() == 8),
        "made of the log's id and the position"
    );
}
