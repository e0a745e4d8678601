//! Where ours is deliberately not as the stores of enact-core, each difference shown on both sides.

use crate::kit::{directory, emitted, id};
use annals_enact::StreamingStore;
use enact_core::streaming::{EventStore, InMemoryEventStore, JsonlEventStore};
use serde_json::json;

/// In memory, sequences begin at 0: an empty log and one with an event have the same latest sequence, and nothing can be asked
/// for that gives the first event.
#[tokio::test]
async fn zero_means_before_the_first_event() {
    let (memory, dir) = (InMemoryEventStore::new(), directory());
    let ours = StreamingStore::open(dir.path()).unwrap();
    assert_eq!((memory.latest_sequence().await.unwrap(), ours.latest_sequence().await.unwrap()), (0, 0));
    let theirs = memory.append(emitted("e", 1)).await.unwrap().sequence;
    let first = ours.append(emitted("e", 1)).await.unwrap().sequence;
    assert_eq!((theirs, memory.latest_sequence().await.unwrap()), (0, 0));
    assert_eq!((first, ours.latest_sequence().await.unwrap()), (1, 1));
    assert_eq!(memory.get_after(0, 10).await.unwrap().len(), 0);
    assert_eq!(ours.get_after(0, 10).await.unwrap().len(), 1);
}

/// JSONL makes a file name of an execution's id: one with `..` leaves the directory.
#[tokio::test]
async fn an_execution_id_is_no_path() {
    let dir = directory();
    let (inside, outside) = (dir.path().join("store/events"), dir.path().join("store/escaped.jsonl"));
    let jsonl = JsonlEventStore::new(inside).await.unwrap();
    jsonl.append(emitted("../escaped", 1)).await.unwrap();
    assert!(outside.exists(), "it wrote outside of its directory");
    let reopened = JsonlEventStore::new(dir.path().join("store/events")).await.unwrap();
    assert_eq!(reopened.latest_sequence().await.unwrap(), 0, "and does not find it again");

    let ours = StreamingStore::open(dir.path().join("annals")).unwrap();
    let before = std::fs::read_dir(dir.path()).unwrap().count();
    let entry = ours.append(emitted("../escaped", 1)).await.unwrap();
    assert_eq!(ours.get_after(0, 10).await.unwrap()[0].sequence, entry.sequence);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), before);
}

/// JSONL refuses ids that are no file names, but has used up a sequence for each.
#[tokio::test]
async fn any_id_is_an_id_and_a_refused_append_uses_up_no_sequence() {
    let dir = directory();
    let jsonl = JsonlEventStore::new(dir.path().join("jsonl")).await.unwrap();
    let ours = StreamingStore::open(dir.path().join("annals")).unwrap();
    for e in ["no/such/directory", "nul\u{0}", &"x".repeat(1020)] {
        assert!(jsonl.append(emitted(e, 1)).await.is_err());
        assert_eq!(ours.append(emitted(e, 1)).await.unwrap().event.context.execution_id, id(e));
    }
    assert_eq!(jsonl.latest_sequence().await.unwrap(), 3, "a sequence that no event has");
    let latest = ours.latest_sequence().await.unwrap();
    assert!(ours.append(emitted(&"x".repeat(3000), 1)).await.is_err());
    assert_eq!(ours.latest_sequence().await.unwrap(), latest);
}

/// JSONL ends a line with a write of its own: what a crash has cut off makes the whole execution unreadable.
#[tokio::test]
async fn a_torn_write_does_not_make_an_execution_unreadable() {
    let dir = directory();
    let jsonl = JsonlEventStore::new(dir.path().to_path_buf()).await.unwrap();
    jsonl.append(emitted("e", 1)).await.unwrap();
    let path = dir.path().join("e.jsonl");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"sequence\":2,\"eve");
    std::fs::write(&path, text).unwrap();
    assert!(jsonl.get_by_execution(&id("e")).await.is_err());
    // Ours: the log clears away what was not acknowledged; the tests with killed processes show it.
}

/// JSONL acknowledges an event that no reader of JSON goes down to the end of.
#[tokio::test]
async fn what_could_not_be_read_again_is_not_acknowledged() {
    let dir = directory();
    let jsonl = JsonlEventStore::new(dir.path().join("jsonl")).await.unwrap();
    let ours = StreamingStore::open(dir.path().join("annals")).unwrap();
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    jsonl.append(emitted("e", 1)).await.unwrap();
    jsonl.append(emitted("e", 2).with_payload(deep.clone())).await.unwrap();
    assert!(jsonl.get_by_execution(&id("e")).await.is_err());
    ours.append(emitted("e", 1)).await.unwrap();
    assert!(ours.append(emitted("e", 2).with_payload(deep)).await.is_err());
    assert_eq!(ours.get_by_execution(&id("e")).await.unwrap().len(), 1);
}

/// Two JSONL stores in one directory count for themselves.
#[tokio::test]
async fn a_directory_has_one_writer() {
    let dir = directory();
    let (one, two) = (
        JsonlEventStore::new(dir.path().join("jsonl")).await.unwrap(),
        JsonlEventStore::new(dir.path().join("jsonl")).await.unwrap(),
    );
    let first = one.append(emitted("a", 1)).await.unwrap().sequence;
    assert_eq!(two.append(emitted("b", 1)).await.unwrap().sequence, first);
    let _ours = StreamingStore::open(dir.path().join("annals")).unwrap();
    assert!(StreamingStore::open(dir.path().join("annals")).is_err());
}
