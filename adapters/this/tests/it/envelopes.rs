//! Envelopes come back as they were, and stand in the log so that anybody can read them.

use crate::common::{Traces, created, fill, linked, memory, next, rest, text};
use annals::{ExpectedVersion, NewEvent};
use annals_this::ThisError;
use proptest::prelude::*;
use serde_json::{Value, json};
use this::core::events::{EntityEvent, EventEnvelope, FrameworkEvent, LinkEvent};
use this::events::EventLog;
use this::events::SeekPosition::{Beginning, LastAcknowledged, Sequence};
use this::prelude::{DateTime, Utc, Uuid};

/// Any JSON, also numbers of which the last bit is lost easily.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

/// Any time that the framework can name, also leap seconds.
fn any_time() -> impl Strategy<Value = DateTime<Utc>> {
    let seconds = DateTime::<Utc>::MIN_UTC.timestamp()..=DateTime::<Utc>::MAX_UTC.timestamp();
    let units = prop_oneof![Just(1), Just(1000), Just(1_000_000)];
    (seconds, 0..2_000_000_000u32, units).prop_map(|(seconds, nanos, unit)| {
        let nanos = nanos / unit * unit;
        let leap = nanos >= 1_000_000_000;
        let seconds = if leap { seconds - seconds.rem_euclid(60) + 59 } else { seconds };
        let time = DateTime::from_timestamp(seconds, nanos);
        time.or_else(|| DateTime::from_timestamp(seconds - 60, nanos)).unwrap()
    })
}

fn any_event() -> impl Strategy<Value = FrameworkEvent> {
    let entity = (any::<String>(), any_id(), prop::option::of(any_json()), any::<bool>()).prop_map(
        |(entity_type, entity_id, data, updated)| {
            FrameworkEvent::Entity(match data {
                Some(data) if updated => EntityEvent::Updated { entity_type, entity_id, data },
                Some(data) => EntityEvent::Created { entity_type, entity_id, data },
                None => EntityEvent::Deleted { entity_type, entity_id },
            })
        },
    );
    let ends = (any_id(), any_id(), any_id());
    let metadata = prop::option::of(any_json());
    let link =
        (any::<String>(), ends, metadata, any::<bool>()).prop_map(|(link_type, ends, metadata, deleted)| {
            let (link_id, source_id, target_id) = ends;
            FrameworkEvent::Link(if deleted {
                LinkEvent::Deleted { link_type, link_id, source_id, target_id }
            } else {
                LinkEvent::Created { link_type, link_id, source_id, target_id, metadata }
            })
        });
    prop_oneof![entity, link]
}

/// Appends an envelope and reads it again.
async fn there_and_back(envelope: &EventEnvelope) -> EventEnvelope {
    let log = memory();
    log.append(envelope.clone()).await.unwrap();
    next(&mut log.subscribe("c", Beginning).await.unwrap()).await
}

proptest! {
    #[test]
    fn every_envelope_comes_back_as_it_was(id in any_id(), timestamp in any_time(), event in any_event()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let sent = EventEnvelope { id, timestamp, event, seq_no: Some(1) };
        prop_assert_eq!(text(&runtime.block_on(there_and_back(&sent))), text(&sent));
    }
}

fn link(metadata: Option<Value>) -> EventEnvelope {
    let mut envelope = linked("follows");
    if let FrameworkEvent::Link(LinkEvent::Created { metadata: there, .. }) = &mut envelope.event {
        *there = metadata;
    }
    envelope.seq_no = Some(1);
    envelope
}

fn entity(data: Value) -> EventEnvelope {
    let mut envelope = created("user");
    if let FrameworkEvent::Entity(EntityEvent::Created { data: there, .. }) = &mut envelope.event {
        *there = data;
    }
    envelope.seq_no = Some(1);
    envelope
}

/// What the properties may meet seldom, by name.
#[tokio::test]
async fn what_is_lost_easily_is_not_lost() {
    let mut oldest = entity(json!(null));
    oldest.timestamp = DateTime::<Utc>::MIN_UTC;
    let mut last = entity(json!({"kind": "x", "action": "y", "entity_type": "z"}));
    last.timestamp = DateTime::<Utc>::MAX_UTC;
    let awkward = [
        oldest,
        last,
        // The JSON of both of these says `"metadata":null`.
        link(None),
        link(Some(Value::Null)),
        link(Some(json!({}))),
        entity(json!(-0.0)),
        entity(json!([u64::MAX, i64::MIN, f64::MIN_POSITIVE, f64::MAX, 5e-324, 0.1 + 0.2, 1e23])),
        entity(json!({"": "", "\u{0}": "\u{0}\u{feff}\u{2028}\u{10ffff}", "a/b": "\\\"\n"})),
        // The first decimal that a hasty reader of numbers takes for its neighbour.
        entity(json!(2.638344616030823e-256)),
    ];
    for sent in awkward {
        assert_eq!(text(&there_and_back(&sent).await), text(&sent));
    }
}

#[tokio::test]
async fn data_of_every_shape_is_written_as_deep_as_it_can_be_read() {
    let list = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner, 2]));
    let object = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({"a": 0, "b": inner}));
    for sent in [entity(list(126)), entity(object(126)), link(Some(list(126))), link(Some(object(126)))] {
        assert_eq!(text(&there_and_back(&sent).await), text(&sent));
    }
    for sent in [entity(list(127)), entity(object(127)), link(Some(list(127))), link(Some(object(127)))] {
        let error = memory().append(sent).await.unwrap_err();
        assert_eq!(crate::common::cause(error), ThisError::TooDeep { max: 126 });
    }
    // Built without looking into what is inside, which `json!` does.
    let deep = (0..1000).fold(json!(1), |inner, _| Value::Array(vec![inner]));
    let error = memory().append(entity(deep)).await.unwrap_err();
    assert_eq!(crate::common::cause(error), ThisError::TooDeep { max: 126 });
}

/// Whoever sends such data must not stop those who read: with some features of `serde_json`, which other crates switch on, it
/// could not be read again, or would come back as something else.
#[tokio::test]
async fn data_that_looks_like_a_value_of_serde_json_is_refused() {
    let key = "$serde_json::private::RawValue";
    for data in [json!({key: "1"}), json!({"name": "eve", key: "x"}), json!([{"deep": {key: 1}}])] {
        for sent in [entity(data.clone()), link(Some(data.clone()))] {
            let error = crate::common::cause(memory().append(sent).await.unwrap_err());
            assert!(matches!(error, ThisError::Unencodable { .. }), "{error}");
        }
    }
    let sent = entity(json!({"like": [key, "$"], "$serde_json": {"$ref": key}}));
    assert_eq!(text(&there_and_back(&sent).await), text(&sent));
}

/// The bytes without the adapter: the event's own JSON, the name that flows have for it, and the rest of the envelope.
#[tokio::test]
async fn the_bytes_are_readable_without_the_adapter() {
    let log = memory();
    let sent = [
        created("user"),
        linked("follows"),
        link(Some(Value::Null)),
        EventEnvelope::new(FrameworkEvent::Entity(EntityEvent::Deleted {
            entity_type: "user".to_owned(),
            entity_id: Uuid::nil(),
        })),
    ];
    for envelope in &sent {
        log.append(envelope.clone()).await.unwrap();
    }
    log.ack("mail", 2).await.unwrap();
    let stored: Vec<_> =
        log.log().read_stream("this/events", 0).into_iter().collect::<Result<_, _>>().unwrap();
    let types: Vec<_> = stored.iter().map(|event| event.event_type()).collect();
    assert_eq!(types, ["entity.created", "link.created", "link.created", "entity.deleted"]);
    for (stored, sent) in stored.iter().zip(&sent) {
        assert_eq!(stored.payload(), serde_json::to_vec(&sent.event).unwrap());
        let metadata: Value = serde_json::from_slice(stored.metadata()).unwrap();
        assert_eq!(metadata["id"], sent.id.to_string());
        assert_eq!(metadata["timestamp"], serde_json::to_value(sent.timestamp).unwrap());
        let is_null = text(sent).contains("metadata: Some(Null)");
        assert_eq!(metadata.get("null_metadata"), is_null.then_some(&json!(true)));
        assert_ne!(stored.id(), sent.id, "the log's ids are its own");
    }
    assert_eq!(stored.len(), 4);
    assert_eq!(
        String::from_utf8_lossy(stored[3].payload()),
        r#"{"kind":"entity","action":"deleted","entity_type":"user","entity_id":"00000000-0000-0000-0000-000000000000"}"#
    );
    assert_eq!(log.log().kept("this/consumer/mail").unwrap().unwrap().value, "2");
    let names: Vec<_> = log.log().list_kept("", None, 9).unwrap().into_iter().map(|kept| kept.name).collect();
    assert_eq!(
        (names, log.log().list_streams("", None, 9)),
        (vec!["this/consumer/mail".to_owned()], vec!["this/events".to_owned()])
    );
}

/// Somebody else has written into the stream: the subscription gives what is before, ends, and says where.
#[tokio::test]
async fn what_is_no_envelope_ends_the_stream_and_is_not_passed_over() {
    let good = created("user");
    let payload = serde_json::to_vec(&good.event).unwrap();
    let beside = format!(r#"{{"id":"{}","timestamp":"2026-01-01T00:00:00Z"}}"#, good.id);
    let foreign: [(NewEvent<'_>, &str); 5] = [
        (NewEvent::new("entity.created", "no JSON").with_metadata(&beside), "its payload is not an event"),
        (
            NewEvent::new("entity.created", r#"{"kind":"other"}"#).with_metadata(&beside),
            "its payload is not an event",
        ),
        (NewEvent::new("entity.created", &payload), "its metadata is not the rest of an envelope"),
        (
            NewEvent::new("entity.created", &payload).with_metadata("{}"),
            "its metadata is not the rest of an envelope",
        ),
        (NewEvent::new("link.deleted", &payload).with_metadata(&beside), "its type is \"link.deleted\""),
    ];
    for (event, why) in foreign {
        let log = memory();
        fill(&log, 2).await;
        log.log().append("this/events", ExpectedVersion::Exact(2), &[event]).unwrap();
        assert_eq!(log.append(created("behind it")).await.unwrap(), 4, "numbers have no gap all the same");

        let traces = Traces::default();
        let collecting = traces.collect();
        for position in [Beginning, LastAcknowledged, Sequence(2)] {
            let events = log.subscribe("mail", position).await.unwrap();
            assert_eq!(rest(events).await.last(), Some(&2), "{why}");
        }
        drop(collecting);
        let said = traces.text();
        assert_eq!(said.matches("ERROR").count(), 3, "{said}");
        for word in ["this/events", "mail", "last_given=2", why] {
            assert!(said.contains(word), "{word:?} is not in {said}");
        }

        // Whoever has looked at it goes on behind it.
        log.seek("mail", Sequence(4)).await.unwrap();
        assert_eq!(crate::common::resumes(&log, "mail").await, 4);
    }
}

/// An application may read on what this version does not know.
#[tokio::test]
async fn more_in_the_metadata_is_no_fault() {
    let log = memory();
    let sent = created("user");
    let payload = serde_json::to_vec(&sent.event).unwrap();
    let beside = format!(r#"{{"id":"{}","timestamp":"2026-01-01T00:00:00Z","trace":"x"}}"#, sent.id);
    let event = NewEvent::new("entity.created", &payload).with_metadata(&beside);
    log.log().append("this/events", ExpectedVersion::Any, &[event]).unwrap();
    assert_eq!(next(&mut log.subscribe("c", Beginning).await.unwrap()).await.id, sent.id);
}
