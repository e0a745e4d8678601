//! The typed layer: what it stores, what it reads, what it refuses, and that it says so.

use annals::typed::{
    DecodeError, DecodeFault, Decoded, EncodeError, Encoded, Metadata, MetadataError, TypedAppendError,
    TypedEvent, TypedReadError, Types,
};
use annals::{AppendError, EventLog, ExpectedVersion, NewEvent, Options, ReadError, RecordedEvent, Uuid};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Debug;

const ANY: ExpectedVersion = ExpectedVersion::Any;

fn inline() -> EventLog {
    Options::new().background(false).open_in_memory().unwrap()
}

fn recorded(log: &EventLog) -> Vec<RecordedEvent> {
    log.read_all(0).into_iter().map(Result::unwrap).collect()
}

/// The one event of a log that holds this one, undecoded.
fn stored(event: NewEvent<'_>) -> RecordedEvent {
    let log = inline();
    log.append("s", ANY, &[event]).unwrap();
    recorded(&log).remove(0)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The same variants, tagged in each way that serde knows for an enum.
macro_rules! tagged {
    ($name:ident, $types:expr, $($attribute:tt)*) => {
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        $($attribute)*
        enum $name {
            Closed,
            #[serde(rename = "OrderPaid")]
            Paid(Payment),
            Placed { total: u64, note: Option<String> },
        }
        impl $name {
            fn all() -> Vec<$name> {
                let placed = $name::Placed { total: u64::MAX, note: None };
                vec![$name::Closed, $name::Paid(Payment { by: "a \"card\"".into(), share: 0.1 }), placed]
            }
        }
        impl TypedEvent for $name {
            const TYPES: Types = $types;
        }
    };
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Payment {
    by: String,
    share: f32,
}

const NAMES: &[&str] = &["Placed", "OrderPaid", "Closed"];
tagged!(Order, Types::Variants(NAMES),);
tagged!(Adjacent, Types::Adjacent { tag: "t", content: "c", types: NAMES }, #[serde(tag = "t", content = "c")]);
tagged!(Internal, Types::Internal { tag: "t", types: NAMES }, #[serde(tag = "t")]);

impl TypedEvent for Payment {
    const TYPES: Types = Types::One("PaymentMade");
}

/// What only an externally tagged enum can hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Odd {
    Pair(u8, String),
    Wrapped(Option<Vec<u8>>),
    Borderline(BTreeMap<String, i64>),
}

impl TypedEvent for Odd {
    const TYPES: Types = Types::Variants(&["Pair", "Wrapped", "Borderline"]);
}

/// Appends the values, reads them again, and gives types and payloads as they are stored.
fn round_trip<E: TypedEvent + Clone + PartialEq + Debug>(values: &[E]) -> Vec<(String, String)> {
    let log = inline();
    let done = log.append_typed("s", ExpectedVersion::NoStream, values, &Metadata::new()).unwrap();
    assert_eq!(done.last_version, values.len() as u64);
    let decoded: Vec<Decoded<E>> = log.read_stream("s", 0).typed().map(Result::unwrap).collect();
    assert_eq!(decoded.iter().map(|event| event.value.clone()).collect::<Vec<_>>(), values);
    assert_eq!(decoded.last().unwrap().recorded.version(), values.len() as u64);
    let backward = log.read_all_backward(u64::MAX).typed::<E>().map(|event| event.unwrap().value);
    assert_eq!(backward.collect::<Vec<_>>(), values.iter().rev().cloned().collect::<Vec<_>>());
    let folded = log.fold_typed("s", 1, Vec::new(), |mut all, event: E| {
        all.push(event);
        all
    });
    let folded = folded.unwrap();
    assert_eq!((&*folded.state, folded.version), (&values[1..], values.len() as u64));
    assert!(recorded(&log).iter().all(|event| event.metadata().is_empty()), "version 1 needs no metadata");
    recorded(&log).iter().map(|e| (e.event_type().to_owned(), text(e.payload()).to_owned())).collect()
}

#[test]
fn values_come_back_and_their_bytes_are_plain_json() {
    let pair = |(event_type, payload): &(&str, &str)| ((*event_type).to_owned(), (*payload).to_owned());
    let expected = |pairs: &[(&str, &str)]| pairs.iter().map(pair).collect::<Vec<_>>();
    let paid = ("OrderPaid", r#"{"by":"a \"card\"","share":0.1}"#);
    let placed = ("Placed", r#"{"total":18446744073709551615,"note":null}"#);
    assert_eq!(round_trip(&Order::all()), expected(&[("Closed", "null"), paid, placed]));
    assert_eq!(round_trip(&Adjacent::all()), expected(&[("Closed", "null"), paid, placed]));
    let by_name = ("Placed", r#"{"note":null,"total":18446744073709551615}"#);
    assert_eq!(round_trip(&Internal::all()), expected(&[("Closed", "{}"), paid, by_name]));
    let payments = [Payment { by: "Anna".into(), share: 1.0 }, Payment { by: String::new(), share: 0.5 }];
    assert_eq!(round_trip(&payments)[0], pair(&("PaymentMade", r#"{"by":"Anna","share":1.0}"#)));
    let map = BTreeMap::from([("Borderline".to_owned(), i64::MIN)]);
    let odd =
        [Odd::Pair(1, "}".into()), Odd::Wrapped(None), Odd::Wrapped(Some(vec![7])), Odd::Borderline(map)];
    assert_eq!(
        round_trip(&odd),
        expected(&[
            ("Pair", r#"[1,"}"]"#),
            ("Wrapped", "null"),
            ("Wrapped", "[7]"),
            ("Borderline", r#"{"Borderline":-9223372036854775808}"#)
        ])
    );
}

#[test]
fn events_of_programs_without_this_layer_are_read() {
    let metadata = r#"{"user": "anna"}"#;
    for metadata in ["", "{}", metadata, r#"{"schema_version": null}"#, r#"{"schema_version": 1}"#] {
        let event =
            stored(NewEvent::new("Placed", " {\"note\": \"x\", \"total\": 7}\n").with_metadata(metadata));
        let placed = event.decode::<Order>().unwrap();
        assert_eq!(placed, Order::Placed { total: 7, note: Some("x".into()) });
    }
}

/// The third schema of an account: names became one name, then an object.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Account {
    #[serde(alias = "AccountCreated")]
    Opened {
        owner: Owner,
    },
    Closed,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Owner {
    name: String,
}

impl TypedEvent for Account {
    const TYPES: Types = Types::Variants(&["Opened", "AccountCreated", "Closed"]);

    fn schema_version(event_type: &str) -> u32 {
        if event_type == "Closed" { 1 } else { 3 }
    }

    fn upcast(event_type: &str, version: u32, payload: Value) -> Result<Value, serde_json::Error> {
        assert_ne!(event_type, "Closed", "it has one version");
        let part = |name: &str| {
            let part = payload.get(name).and_then(Value::as_str);
            part.ok_or_else(|| serde::de::Error::custom(format_args!("version {version} has no {name}")))
        };
        match version {
            1 => Ok(json!({ "name": format!("{} {}", part("first")?, part("last")?) })),
            2 => Ok(json!({ "owner": { "name": part("name")? } })),
            _ => panic!("asked for a step from version {version}"),
        }
    }
}

#[test]
fn older_schemas_are_brought_up_step_by_step() {
    let log = inline();
    let first = NewEvent::new("AccountCreated", r#"{"first":"Ada","last":"Lovelace"}"#);
    let second =
        NewEvent::new("Opened", r#"{"name":"Ada Lovelace"}"#).with_metadata(r#"{"schema_version":2}"#);
    log.append("a", ANY, &[first, second]).unwrap();
    let opened = Account::Opened { owner: Owner { name: "Ada Lovelace".into() } };
    let request = Metadata::new().with("schema_version", &77).unwrap().with_correlation_id(1);
    log.append_typed("a", ExpectedVersion::Exact(2), &[opened, Account::Closed], &request).unwrap();
    for event in log.read_stream("a", 0).typed::<Account>().take(3) {
        let Account::Opened { owner } = event.unwrap().value else { panic!("not opened") };
        assert_eq!(owner.name, "Ada Lovelace");
    }
    let events = recorded(&log);
    assert_eq!(text(events[0].payload()), r#"{"first":"Ada","last":"Lovelace"}"#, "stored bytes stay");
    assert_eq!(text(events[2].metadata()), r#"{"correlation_id":"1","schema_version":3}"#);
    assert_eq!(text(events[3].metadata()), r#"{"correlation_id":"1"}"#, "version 1 is the one not said");
    assert_eq!(Metadata::of(&events[2].as_event()).unwrap().schema_version().unwrap(), 3);
}

/// The error of decoding this event, which stands behind another one of the same stream.
fn refused<E: TypedEvent + Debug>(event_type: &str, payload: &[u8], metadata: &[u8]) -> DecodeError {
    let log = inline();
    log.append("other", ANY, &[NewEvent::new("T", "")]).unwrap();
    let event = NewEvent::new(event_type, payload).with_metadata(metadata);
    log.append("s", ANY, &[NewEvent::new("T", ""), event]).unwrap();
    let Err(TypedReadError::Decode(error)) = log.read_stream("s", 1).typed::<E>().next().unwrap() else {
        panic!("{event_type} was decoded")
    };
    assert_eq!((&*error.stream, error.version, error.position), ("s", 2, 3));
    assert_eq!(error.event_type, event_type);
    let address = format!("event 2 of stream \"s\" at position 3, of type {event_type:?}: {}", error.fault);
    assert_eq!(error.to_string(), address);
    let same = log.fold_typed("s", 1, (), |(), _: E| ()).unwrap_err();
    assert_eq!(same.to_string(), address);
    error
}

fn serdes(error: &dyn Error) -> &serde_json::Error {
    error.source().and_then(|source| source.downcast_ref()).expect("serde's error is the source")
}

#[test]
fn an_unknown_type_is_told_and_the_next_event_is_read() {
    let error = refused::<Order>("Shipped", b"{}", b"not even metadata");
    assert!(matches!(error.fault, DecodeFault::UnknownType) && error.source().is_none());
    assert!(matches!(refused::<Payment>("Payment", b"{}", b"").fault, DecodeFault::UnknownType));
    let log = inline();
    let types = ["Closed", "Shipped", "Closed"];
    log.append("s", ANY, &types.map(|name| NewEvent::new(name, "null"))).unwrap();
    let read: Vec<_> = log.read_all(0).typed::<Order>().map(|event| event.is_ok()).collect();
    assert_eq!(read, [true, false, true]);
    let fold = log.fold_typed("s", 0, 0, |n, _: Order| n + 1);
    assert!(matches!(fold, Err(TypedReadError::Decode(DecodeError { version: 2, .. }))));
}

#[test]
fn a_newer_schema_is_refused_whatever_the_payload() {
    for (metadata, version) in
        [(r#"{"schema_version":4}"#, 4), (r#"{"schema_version":4294967295}"#, u32::MAX)]
    {
        let payload = br#"{"owner":{"name":"Ada"}}"#;
        match refused::<Account>("Opened", payload, metadata.as_bytes()).fault {
            DecodeFault::NewerSchema { found, known } => assert_eq!((found, known), (version, 3)),
            other => panic!("{other:?}"),
        }
    }
    let fault = refused::<Account>("Closed", b"null", br#"{"schema_version":2}"#).fault;
    assert!(matches!(fault, DecodeFault::NewerSchema { found: 2, known: 1 }));
}

#[test]
fn a_payload_that_does_not_fit_is_told_with_serdes_reason() {
    let wrong: [&[u8]; 7] =
        [b"", b"\xFF", b"{\"total\":1", b"{\"total\":1} {}", b"{\"total\":-1}", b"null", b"{\"note\":null}"];
    for payload in wrong {
        let error = refused::<Order>("Placed", payload, b"");
        assert!(matches!(error.fault, DecodeFault::Payload { found: 1, known: 1, .. }));
        serdes(&error);
        refused::<Adjacent>("Placed", payload, b"");
        refused::<Internal>("Placed", payload, b"");
    }
    let error = refused::<Order>("Placed", b"{\"total\":true}", b"");
    let reason = serdes(&error).to_string();
    assert!(reason.contains("expected u64 at line 1 column 13"), "the place in the stored bytes: {reason}");
    let deep = ["[".repeat(100_000), "]".repeat(100_000)].concat();
    refused::<Order>("Placed", deep.as_bytes(), b"");
    // Nothing after a payload, nor a tag inside of it, makes it another event.
    refused::<Order>("Closed", b"null}, {\"Placed\":{\"total\":1}", b"");
    let event = stored(NewEvent::new("Closed", r#"{"t":"Placed","total":1}"#));
    assert_eq!(event.as_event().decode::<Internal>().unwrap(), Internal::Closed);

    let error = refused::<Account>("Opened", br#"{"first":"Ada"}"#, b"");
    assert!(matches!(error.fault, DecodeFault::Upcast { found: 1, step: 1, .. }));
    assert_eq!(serdes(&error).to_string(), "version 1 has no last");
    let error = refused::<Account>("Opened", b"{}", br#"{"schema_version":2}"#);
    assert!(matches!(error.fault, DecodeFault::Upcast { found: 2, step: 2, .. }));
    let error = refused::<Account>("Opened", b"{", b"");
    assert!(matches!(error.fault, DecodeFault::Payload { found: 1, known: 3, .. }));
}

#[test]
fn foreign_metadata_matters_only_where_it_decides() {
    for foreign in ["\x01\x02", "plain words", "[1]", "\"text\"", "{", "{} {}", " "] {
        let event = stored(NewEvent::new("Closed", "null").with_metadata(foreign));
        let (order, account) = (event.as_event().decode::<Order>(), event.as_event().decode::<Account>());
        assert_eq!((order.unwrap(), account.unwrap()), (Order::Closed, Account::Closed), "one version only");
        assert!(matches!(Metadata::of(&event.as_event()), Err(MetadataError::NotAnObject(_))));
        assert_eq!(Metadata::caused_by(&event.as_event()).correlation_id(), Some(event.id().to_string()));
        let payload = br#"{"owner":{"name":"Ada"}}"#;
        let error = refused::<Account>("Opened", payload, foreign.as_bytes());
        assert!(matches!(
            error.fault,
            DecodeFault::Metadata { known: 3, source: MetadataError::NotAnObject(_) }
        ));
    }
    for version in ["0", "-1", "4294967296", "1.0", "\"1\"", "[]"] {
        let metadata = format!(r#"{{"schema_version":{version}}}"#);
        let error = refused::<Order>("Closed", b"null", metadata.as_bytes());
        assert!(matches!(error.fault, DecodeFault::Metadata { known: 1, .. }), "{version} is not a version");
    }
}

#[test]
fn foreign_fields_stay_as_they_were() {
    let foreign = r#"{"amount":1.10,"big":123456789012345678901234567890,"correlation_id":17,"nested":{"b": 1, "a":"é"}}"#;
    let event = stored(NewEvent::new("Closed", "null").with_metadata(foreign));
    let metadata = Metadata::of(&event.as_event()).unwrap();
    assert_eq!(text(&metadata.to_bytes()), foreign);
    assert_eq!((metadata.correlation_id(), metadata.get("correlation_id").unwrap()), (None, Some(17)));
    assert!(
        matches!(metadata.get::<u8>("nested"), Err(MetadataError::Field { name, .. }) if name == "nested")
    );
    assert_eq!(metadata.get::<u8>("absent").unwrap(), None);
    let log = inline();
    log.append_typed("s", ANY, &[Order::Closed], &metadata).unwrap();
    assert_eq!(text(recorded(&log)[0].metadata()), foreign);
    let deep = format!(r#"{{"deep":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let event_with_deep = stored(NewEvent::new("Closed", "null").with_metadata(&deep));
    assert_eq!(text(&Metadata::of(&event_with_deep.as_event()).unwrap().to_bytes()), deep);
    let caused = Metadata::caused_by(&event.as_event());
    assert_eq!(caused.get("correlation_id").unwrap(), Some(17), "taken over as it is");
    let set = metadata.with("user", "anna").unwrap().with_causation_id("command-3").with("big", &1).unwrap();
    let expected = foreign
        .replace("123456789012345678901234567890", "1")
        .replace(r#""corr"#, r#""causation_id":"command-3","corr"#);
    let expected = expected.replace(r#"é"}}"#, r#"é"},"user":"anna"}"#);
    assert_eq!(
        serde_json::from_slice::<Value>(&set.to_bytes()).unwrap(),
        serde_json::from_str::<Value>(&expected).unwrap()
    );
}

#[test]
fn a_chain_of_three_events_has_one_correlation_and_each_its_cause() {
    let log = inline();
    let mut metadata = Metadata::new();
    for _ in 0..3 {
        log.append_typed("s", ANY, &[Order::Closed], &metadata).unwrap();
        metadata = Metadata::caused_by(&recorded(&log).last().unwrap().as_event()).with("user", "a").unwrap();
    }
    let events = recorded(&log);
    let ids = |i: usize| {
        let metadata = Metadata::of(&events[i].as_event()).unwrap();
        (metadata.correlation_id(), metadata.causation_id())
    };
    let id = |i: usize| Some(events[i].id().to_string());
    assert_eq!([ids(0), ids(1), ids(2)], [(None, None), (id(0), id(0)), (id(0), id(1))]);
    let next = Metadata::caused_by(&events[2].as_event());
    assert_eq!((next.correlation_id(), next.causation_id()), (id(0), id(2)));
    assert_eq!(next.get::<String>("user").unwrap(), None, "no other field is taken over");

    let own = Uuid::from_u128(7);
    let first = Encoded::new(&Order::Closed, &Metadata::new().with_correlation_id("request-1")).unwrap();
    assert_eq!(first.event_type(), "Closed");
    let event = stored(first.as_event().with_id(own));
    let next = Metadata::caused_by(&event.as_event());
    assert_eq!(next, Metadata::new().with_correlation_id("request-1").with_causation_id(own));
    let null = stored(NewEvent::new("Closed", "null").with_metadata(r#"{"correlation_id":null}"#));
    let begun = Metadata::caused_by(&null.as_event());
    assert_eq!(begun.correlation_id(), Some(null.id().to_string()), "null is no id");
}

#[test]
fn a_typed_batch_is_all_or_nothing() {
    let log = inline();
    let none = Metadata::new();
    let batch = |expected| {
        let batch = log.batch().append_typed("a", ANY, &Order::all(), &none).unwrap();
        batch.append_typed("b", expected, &[Payment { by: "x".into(), share: 1.0 }], &none).unwrap().commit()
    };
    assert!(matches!(batch(ExpectedVersion::Exact(1)), Err(AppendError::Conflict { actual: 0, .. })));
    assert_eq!((log.last_position(), log.stream_version("a")), (0, 0));
    let done = batch(ExpectedVersion::NoStream).unwrap();
    assert_eq!((done.last_position, done.streams.len()), (4, 2));
    let (orders, payments) =
        (log.read_stream("a", 0).typed::<Order>(), log.read_stream("b", 0).typed::<Payment>());
    assert_eq!((orders.flatten().count(), payments.flatten().count()), (3, 1));
    let wrong = log.batch().append_typed("a", ANY, &[Order::Closed], &none).unwrap();
    assert!(wrong.append_typed("b", ANY, &[Misnamed::Renamed], &none).is_err());
    let conflict = log.append_typed("a", ExpectedVersion::Exact(2), &[Order::Closed], &none);
    assert!(matches!(conflict, Err(TypedAppendError::Append(AppendError::Conflict { actual: 3, .. }))));
    assert_eq!(log.last_position(), 4);
}

#[derive(Debug, Serialize, Deserialize)]
enum Misnamed {
    Renamed,
    Keys(BTreeMap<(u8, u8), u8>),
}

impl TypedEvent for Misnamed {
    const TYPES: Types = Types::Variants(&["Original", "Keys"]);
}

/// Its JSON is not of the form that it claims.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Misshapen<const FORM: u8>(Value);

impl<const FORM: u8> TypedEvent for Misshapen<FORM> {
    const TYPES: Types = match FORM {
        0 => Types::Variants(&["a"]),
        1 => Types::Adjacent { tag: "t", content: "c", types: &["a"] },
        _ => Types::Internal { tag: "t", types: &["a"] },
    };
}

#[test]
fn what_cannot_be_encoded_is_told_and_not_written() {
    let encode = |event: &Misnamed| Encoded::new(event, &Metadata::new()).unwrap_err();
    assert!(
        matches!(encode(&Misnamed::Renamed), EncodeError::Unlisted { event_type } if event_type == "Renamed")
    );
    let error = encode(&Misnamed::Keys(BTreeMap::from([((1, 2), 3)])));
    assert!(matches!(&error, EncodeError::Json(_)));
    serdes(&error);
    fn form<const FORM: u8>(json: Value) -> bool {
        matches!(Encoded::new(&Misshapen::<FORM>(json), &Metadata::new()), Err(EncodeError::Form))
    }
    for json in [json!(null), json!(1), json!([]), json!({}), json!({"a": 1, "b": 2})] {
        assert!(form::<0>(json.clone()) && form::<1>(json.clone()) && form::<2>(json));
    }
    assert!(form::<1>(json!("a")) && form::<2>(json!("a")));
    assert!(form::<1>(json!({"t": 1, "c": 2})) && form::<2>(json!({"t": {}, "c": 2})));
    let log = inline();
    let events = [Misnamed::Keys(BTreeMap::new()), Misnamed::Renamed];
    let error = log.append_typed("s", ANY, &events, &Metadata::new()).unwrap_err();
    assert!(matches!(error, TypedAppendError::Encode(EncodeError::Unlisted { .. })));
    assert_eq!((log.last_position(), log.stream_info("s")), (0, None));
    assert!(matches!(Metadata::new().with("x", &BTreeMap::from([((), 1)])), Err(EncodeError::Json(_))));
}

#[test]
fn errors_of_the_log_pass_through() {
    let log = inline();
    log.append_typed("s", ANY, &[Order::Closed], &Metadata::new()).unwrap();
    log.tombstone("s", ANY).unwrap();
    let mut events = log.read_stream("s", 0).typed::<Order>();
    assert!(matches!(events.next(), Some(Err(TypedReadError::Read(ReadError::Gone { .. })))));
    assert!(events.next().is_none());
    let fold = log.fold_typed("s", 0, (), |(), _: Order| ());
    assert!(matches!(fold, Err(TypedReadError::Read(ReadError::Gone { .. }))));
    let append = log.append_typed("s", ANY, &[Order::Closed], &Metadata::new());
    assert!(matches!(append, Err(TypedAppendError::Append(AppendError::Gone { .. }))));
}

#[test]
fn load_and_append_loses_no_decision() {
    let log = EventLog::in_memory().unwrap();
    log.append_typed("other", ANY, &Order::all(), &Metadata::new()).unwrap();
    let folded = log.fold_typed("counter", 0, 0, |n, _: Order| n + 1).unwrap();
    assert_eq!((folded.state, folded.version), (0, 0));
    let increment = || {
        // Each conflict is another's success, and there are 100 in all.
        for _ in 0..100 {
            let load = log.fold_typed("counter", 0, 0, |highest, event| match event {
                Order::Placed { total, .. } => total.max(highest),
                _ => highest,
            });
            let load = load.unwrap();
            let next = Order::Placed { total: load.state + 1, note: None };
            match log.append_typed("counter", ExpectedVersion::Exact(load.version), &[next], &Metadata::new())
            {
                Ok(_) => return,
                Err(TypedAppendError::Append(AppendError::Conflict { .. })) => {}
                Err(error) => panic!("{error}"),
            }
        }
        panic!("conflicts without end");
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..25).for_each(|_| increment()));
        }
    });
    let totals: Vec<_> = log.read_stream("counter", 0).typed::<Order>().map(|e| e.unwrap().value).collect();
    let expected: Vec<_> = (1..=100).map(|total| Order::Placed { total, note: None }).collect();
    assert_eq!(totals, expected, "each saw all those before it");
    let kept = log.fold_typed("counter", 100, 100, |n, _: Order| n + 1).unwrap();
    assert_eq!((kept.state, kept.version), (100, 100), "nothing follows on a state that was kept");
}

/// JSON texts as other programs write them: any nesting, numbers beyond the machine's.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,9})?(e-?[0-9]{1,3})?",
        any::<String>().prop_map(|text| json!(text).to_string()),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let fields = prop::collection::btree_map(any::<String>(), inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|v| format!("[{}]", v.join(", "))),
            fields.prop_map(object)
        ]
    })
}

fn object(fields: BTreeMap<String, String>) -> String {
    let fields: Vec<_> = fields.into_iter().map(|(name, json)| format!("{}:{json}", json!(name))).collect();
    format!("{{{}}}", fields.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn metadata_is_the_same_after_a_round_trip(
        fields in prop::collection::btree_map(any::<String>(), json_text(), 1..5),
        correlation in any::<String>(),
        causation in any::<String>(),
    ) {
        let bytes = object(fields.clone());
        let event = stored(NewEvent::new("Closed", "null").with_metadata(&bytes));
        let metadata = Metadata::of(&event.as_event()).unwrap();
        prop_assert_eq!(metadata.to_bytes(), bytes.into_bytes());
        let metadata = metadata.with_correlation_id(&correlation).with_causation_id(&causation);
        let event = stored(Encoded::new(&Order::Closed, &metadata).unwrap().as_event());
        let again = Metadata::of(&event.as_event()).unwrap();
        prop_assert_eq!(&again, &metadata);
        prop_assert_eq!((again.correlation_id(), again.causation_id()), (Some(correlation), Some(causation)));
    }

    #[test]
    fn no_bytes_make_it_panic(
        payload in prop_oneof![prop::collection::vec(any::<u8>(), 0..40), json_text().prop_map(String::into_bytes)],
        metadata in prop_oneof![prop::collection::vec(any::<u8>(), 0..40), json_text().prop_map(String::into_bytes)],
    ) {
        for name in NAMES.iter().chain(&["Opened", "Pair", "Wrapped", "PaymentMade"]) {
            let event = stored(NewEvent::new(name, &payload).with_metadata(&metadata));
            let event = event.as_event();
            let _ = (event.decode::<Order>(), event.decode::<Adjacent>(), event.decode::<Internal>());
            let _ = (event.decode::<Account>(), event.decode::<Odd>(), event.decode::<Payment>());
            let _ = (Metadata::of(&event), Metadata::caused_by(&event));
        }
    }
}

/// What serde can only make of the JSON itself, and not of a copy of it, whatever the names of tag and content are.
#[test]
fn adjacent_contents_of_any_type_come_back() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "type", content = "data")]
    enum Counted {
        None,
        By(BTreeMap<u32, u128>),
        Pair(u128, Option<i128>),
        Fields { sums: BTreeMap<i64, u64>, large: u128 },
    }
    impl TypedEvent for Counted {
        const TYPES: Types =
            Types::Adjacent { tag: "type", content: "data", types: &["None", "By", "Pair", "Fields"] };
    }
    let large = u128::MAX - 1;
    let all = [
        Counted::None,
        Counted::By(BTreeMap::from([(1, 5), (2, large)])),
        Counted::Pair(large, None),
        Counted::Fields { sums: BTreeMap::from([(-1, u64::MAX)]), large },
    ];
    let log = inline();
    for event in &all {
        log.append_typed("s", ANY, std::slice::from_ref(event), &Metadata::default()).unwrap();
    }
    let back: Vec<Counted> = recorded(&log).iter().map(|event| event.decode().unwrap()).collect();
    assert_eq!(back, all);
}
