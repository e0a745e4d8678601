//! What is not as it should be, row by row as in the README.

use crate::kit::{Kit, Noted, all, id, note, noted, page, position, read, texts, writes};
use annals::{AppendError, EventLog, ExpectedVersion, KeptCondition, NewEvent, OpenError, Options};
use annals_eventcore::{EventCoreStore, StoreError};
use eventcore_types::{
    BatchSize, CheckpointStore, CommandStateSnapshot, CommandStateSnapshotId, Event, EventFilter, EventPage,
    EventReader, EventStore, EventStoreError, Operation, ProjectionSource, ProjectorCoordinator, StreamId,
    StreamPrefix,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::{Metadata, span};

/// The longest ids that eventcore allows, in characters of one and of four bytes, and ids of every kind of character.
#[tokio::test]
async fn every_stream_id_of_eventcore_is_one() {
    let (long, longest) = ("x".repeat(255), "𒀀".repeat(255));
    assert_eq!(longest.len(), 1020);
    let ids = [&long, &longest, "a/b//c", "nul\0inside", "\0", "..", "%", "%2F", "日本語", "a\nb", "-"];
    let mut kit = Kit::new();
    for (i, stream) in ids.iter().enumerate() {
        note(&kit.store, stream, 0, &[&i.to_string()]).await;
    }
    kit = kit.reopened();
    for (i, stream) in ids.iter().enumerate() {
        assert_eq!(texts(&kit.store, stream).await, [i.to_string()], "{stream:?}");
        let prefix = EventFilter::prefix(StreamPrefix::try_new(*stream).unwrap());
        assert!(all(&kit.store, prefix).await.contains(&i.to_string()), "{stream:?}");
    }
}

/// The builder has no place for these: eventcore refuses them itself.
#[test]
fn ids_that_eventcore_refuses_never_come_here() {
    for refused in ["", "  ", "a*", "a?", "[a", "a]", &"x".repeat(256)] {
        assert!(StreamId::try_new(refused).is_err());
    }
    assert_eq!(id(" a ").as_str(), "a", "blanks are cut off");
}

/// An event whose type and size are given.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Odd<const KIND: usize> {
    stream: StreamId,
    text: String,
}

impl<const KIND: usize> Event for Odd<KIND> {
    fn stream_id(&self) -> &StreamId {
        &self.stream
    }

    fn event_type_name() -> &'static str {
        const LONG: &str = match std::str::from_utf8(&[b'x'; 1025]) {
            Ok(long) => long,
            Err(_) => "",
        };
        ["", LONG.split_at(1024).0, LONG, " blanks ", "nul\0"][KIND]
    }
}

fn odd<const KIND: usize>(stream: &str) -> Odd<KIND> {
    Odd { stream: id(stream), text: String::new() }
}

/// What `append_events` says of an event that the log cannot take; nothing is appended then.
async fn refused(store: &EventCoreStore, event: impl Event) -> (String, String) {
    let stream = event.stream_id().clone();
    let both = writes(&[("first", 0), (stream.as_str(), 0)], [noted("first", "x")]).append(event).unwrap();
    let Err(EventStoreError::SerializationFailed { stream_id, detail }) = store.append_events(both).await
    else {
        panic!("taken, or another error")
    };
    assert_eq!((store.log().stream_count(), store.log().last_position()), (0, 0));
    (stream_id.into_inner(), detail)
}

#[tokio::test]
async fn types_that_no_event_can_have_are_refused() {
    let Kit { store, dir: _dir } = Kit::new();
    assert_eq!(refused(&store, odd::<0>("a")).await, ("a".into(), "event type is empty".into()));
    let too_long = "event type has 1025 bytes, allowed are 1024".to_owned();
    assert_eq!(refused(&store, odd::<2>("a")).await, ("a".into(), too_long));
    for stored in [
        writes(&[("1", 0)], [odd::<1>("1")]),
        writes(&[("3", 0)], [odd::<3>("3")]),
        writes(&[("4", 0)], [odd::<4>("4")]),
    ] {
        store.append_events(stored).await.map(|_| ()).unwrap();
    }
    assert!(read::<Odd<1>>(&store, "1").await.is_ok_and(|events| events.len() == 1));
    let page = EventPage::first(BatchSize::new(9));
    assert_eq!(store.read_events::<Odd<3>>(EventFilter::all(), page).await.unwrap().len(), 1);
    assert_eq!(store.read_events::<Odd<4>>(EventFilter::all(), page).await.unwrap().len(), 1);
}

/// More than the log takes in one append: refused as a whole, in words that name the option.
#[tokio::test]
async fn appends_that_are_too_large_are_refused() {
    let log = Options::new().append_bytes_max(64 << 10).open_in_memory().unwrap();
    let store = EventCoreStore::new(log).unwrap();
    let large = |kib: usize| noted("a", &"x".repeat(kib << 10));
    let (stream, detail) = refused(&store, large(64)).await;
    assert_eq!(stream, "first");
    assert!(detail.starts_with("append has 65") && detail.ends_with(" bytes, allowed are 65536"), "{detail}");
    store.append_events(writes(&[("a", 0)], [large(60)])).await.map(|_| ()).unwrap();
}

/// Events nested deeper than JSON is read: stored as they are, told when they are read as a type.
#[tokio::test]
async fn events_that_are_nested_too_deep_are_told() {
    #[derive(Debug, Clone, Serialize, Deserialize)]
    struct Deep {
        stream: StreamId,
        nested: serde_json::Value,
    }
    impl Event for Deep {
        fn stream_id(&self) -> &StreamId {
            &self.stream
        }

        fn event_type_name() -> &'static str {
            "Deep"
        }
    }
    let Kit { store, dir: _dir } = Kit::new();
    let deep =
        |depth| Deep { stream: id("a"), nested: (0..depth).fold(json!(0), |nested, _| json!([nested])) };
    store.append_events(writes(&[("a", 0)], [deep(120), deep(130)])).await.map(|_| ()).unwrap();
    let Err(EventStoreError::DeserializationFailed { detail, .. }) = read::<Deep>(&store, "a").await else {
        panic!()
    };
    assert!(detail.starts_with("event 2: recursion limit exceeded"), "{detail}");
    assert!(store.log().event_at(2).unwrap().unwrap().payload().len() > 260, "it is there");
}

#[tokio::test]
async fn names_that_are_too_long_are_refused() {
    let Kit { store, dir: _dir } = Kit::new();
    let longest = "x".repeat(2048 - "eventcore/checkpoint/".len());
    store.save(&longest, position(1)).await.unwrap();
    assert_eq!(store.load(&longest).await, Ok(Some(position(1))));
    let longer = format!("{longest}x");
    let too_large = AppendError::TooLarge { what: "kept name", len: 2049, max: 2048 };
    assert_eq!(store.save(&longer, position(1)).await, Err(StoreError::Write(too_large)));
    assert_eq!(store.load(&longer).await, Ok(None));
    // Nothing is written for a leader, so that any name will do.
    let _leading = store.try_acquire(&longer).await.unwrap();
}

/// Events of the right type that are not of its shape: an error for who reads the stream, passed over for who projects, as
/// eventcore wants it.
#[tokio::test]
async fn events_that_cannot_be_decoded() {
    let Kit { store, dir: _dir } = Kit::new();
    note(&store, "a", 0, &["1"]).await;
    for broken in
        ["", "no JSON", "{}", r#"{"stream":"","text":""}"#, r#"{"stream":"a*","text":""}"#, "\u{FEFF}{}"]
    {
        let event = NewEvent::new("Noted", broken).with_metadata("{}");
        store.log().append("eventcore/stream/a", ExpectedVersion::Any, &[event]).unwrap();
    }
    note(&store, "a", 7, &["8"]).await;
    let told = read::<Noted>(&store, "a").await;
    assert!(
        matches!(told, Err(EventStoreError::DeserializationFailed { detail, .. }) if detail.starts_with("event 2: "))
    );
    assert_eq!(all(&store, EventFilter::all()).await, ["1", "8"]);
}

/// A stream that somebody has cut or ended with the log's own calls is told, never read as a shorter one.
#[tokio::test]
async fn streams_that_were_cut_or_ended_by_others_are_told() {
    let Kit { store, dir: _dir } = Kit::new();
    let failure = |operation| EventStoreError::StoreFailure { operation };
    for stream in ["cut", "ended"] {
        note(&store, stream, 0, &["1", "2", "3"]).await;
    }
    store.log().truncate_before("eventcore/stream/cut", 3, ExpectedVersion::Any).unwrap();
    store.log().tombstone("eventcore/stream/ended", ExpectedVersion::Any).unwrap();
    assert_eq!(read::<Noted>(&store, "cut").await, Err(failure(Operation::ReadStream)));
    assert_eq!(read::<Noted>(&store, "ended").await, Err(failure(Operation::ReadStream)));
    note(&store, "cut", 3, &["4"]).await;
    let ended = store.append_events(writes(&[("ended", 3)], [noted("ended", "4")])).await.map(|_| ());
    assert_eq!(ended, Err(failure(Operation::AppendEvents)));
}

/// A log that takes nothing more can be read; writes say that the store failed, in each trait's own words.
#[tokio::test]
async fn logs_that_take_nothing() {
    let kit = Kit::new();
    note(&kit.store, "a", 0, &["1"]).await;
    kit.store.save("p", position(1)).await.unwrap();
    kit.store.log().close().unwrap();
    let read_only = EventLog::open_read_only(kit.dir.path()).unwrap();
    for (store, why) in
        [(kit.store, AppendError::Closed), (EventCoreStore::new(read_only).unwrap(), AppendError::ReadOnly)]
    {
        let failure = Err(EventStoreError::StoreFailure { operation: Operation::AppendEvents });
        assert_eq!(store.append_events(writes(&[("a", 1)], [noted("a", "2")])).await.map(|_| ()), failure);
        assert_eq!(store.append_events(writes::<Noted>(&[("a", 1)], [])).await.map(|_| ()), failure);
        let id = CommandStateSnapshotId::try_new("s").unwrap();
        let snapshot = CommandStateSnapshot::new(json!(1), HashMap::new());
        assert_eq!(store.save_command_state_snapshot(id, snapshot).await, failure);
        assert_eq!(store.save("p", position(2)).await, Err(StoreError::Write(why)));
        assert_eq!(texts(&store, "a").await, ["1"]);
        assert_eq!(page(&store, EventFilter::all(), None, 9).await.len(), 1);
        assert_eq!(store.load("p").await, Ok(Some(position(1))));
        assert_eq!(store.high_watermark().await.unwrap().map(|mark| mark.get()), Some(1));
    }
}

#[test]
fn a_directory_that_is_in_use_is_told() {
    let Kit { store: _store, dir } = Kit::new();
    let in_use = EventCoreStore::open(dir.path()).map(|_| ());
    assert!(matches!(in_use, Err(StoreError::Open(OpenError::AlreadyOpen { .. }))), "{in_use:?}");
}

/// Damage is an error that says where, in a stream and in a page; nothing is passed over.
#[tokio::test]
async fn damage_is_told() {
    let Kit { store, dir } = Kit::new();
    note(&store, "a", 0, &["the first one", "the second one"]).await;
    note(&store, "b", 0, &["another"]).await;
    store.log().close().unwrap();
    drop(store);
    let segment = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.into_iter().find(|path| path.extension().is_some_and(|end| end == "seg")).unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(14).position(|window| window == b"the second one").unwrap();
    // Opened first: an event that is damaged later is met by who reads it.
    let store = EventCoreStore::open(dir.path()).unwrap();
    bytes[at] ^= 1;
    use std::os::unix::fs::FileExt;
    std::fs::File::options()
        .write(true)
        .open(&segment)
        .unwrap()
        .write_all_at(&bytes[at..=at], at as u64)
        .unwrap();
    let told = read::<Noted>(&store, "a").await;
    let Err(EventStoreError::DeserializationFailed { stream_id, detail }) = told else { panic!("{told:?}") };
    assert_eq!(stream_id, id("a"));
    assert!(detail.starts_with("corrupt at segment 1 offset "), "{detail}");
    let page = EventPage::first(BatchSize::new(9));
    let told = store.read_events::<Noted>(EventFilter::all(), page).await;
    assert!(matches!(told, Err(StoreError::Read(annals::ReadError::Corrupt(_)))), "{told:?}");
    assert_eq!(texts(&store, "b").await, ["another"]);
}

/// Traces, as a program would collect them.
#[derive(Clone, Default)]
struct Traces(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Traces {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("annals_eventcore")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                self.0 += &format!("{}={value:?} ", field.name());
            }
        }
        let mut line = Line(format!("{} ", event.metadata().level()));
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0.trim_end().to_owned());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// `StoreFailure` has no room for its cause; the program's traces have.
#[tokio::test]
async fn the_cause_of_a_failure_is_traced() {
    let Kit { store, dir: _dir } = Kit::new();
    store.log().keep("eventcore/snapshot/s", KeptCondition::Any, "no JSON").unwrap();
    store.log().close().unwrap();
    let traces = Traces::default();
    let tracing = tracing::subscriber::set_default(traces.clone());
    assert!(store.append_events(writes(&[("a", 0)], [noted("a", "1")])).await.is_err());
    let id = CommandStateSnapshotId::try_new("s").unwrap();
    assert!(store.load_command_state_snapshot(id).await.is_err());
    drop(tracing);
    let expected = [
        "ERROR message=the event store failed operation=append_events cause=the log is closed",
        "ERROR message=the event store failed operation=read_stream cause=the kept value \"eventcore/snapshot/s\" \
         is no snapshot: expected ident at line 1 column 2",
    ];
    assert_eq!(*traces.0.lock().unwrap(), expected);
}
