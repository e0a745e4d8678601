//! The rules of `append_events`.

use crate::kit::{
    Backend, Kit, Noted, all, conflict, expecting, id, note, noted, on_both, read, shouted, texts, writes,
};
use eventcore_types::{EventFilter, EventStore, EventStoreError, StreamVersion, StreamWrites};

on_both!(
    events_of_one_append_stand_in_its_order,
    an_append_goes_to_many_streams,
    entries_keep_their_order_across_streams,
    versions_count_events,
    a_conflict_names_what_was_expected_and_what_is_there,
    a_conflict_on_one_stream_leaves_nothing_on_any,
    a_stream_without_an_event_in_the_append_is_checked,
    a_stream_without_an_event_in_the_append_may_be_as_expected,
    an_append_of_nothing_checks,
    an_append_of_nothing_on_nothing_succeeds,
    a_check_makes_no_stream,
    versions_that_no_stream_has_conflict,
    one_append_may_hold_several_types,
    a_stream_must_be_registered_once_and_before,
);

async fn events_of_one_append_stand_in_its_order(store: &impl Backend) {
    note(store, "a", 0, &["one", "two", "three"]).await;
    note(store, "a", 3, &["four"]).await;
    assert_eq!(texts(store, "a").await, ["one", "two", "three", "four"]);
}

async fn an_append_goes_to_many_streams(store: &impl Backend) {
    let events = [noted("a", "to a"), noted("b", "to b"), noted("c", "to c")];
    store.append_events(writes(&[("a", 0), ("b", 0), ("c", 0)], events)).await.map(|_| ()).unwrap();
    for stream in ["a", "b", "c"] {
        assert_eq!(texts(store, stream).await, [format!("to {stream}")]);
    }
}

async fn entries_keep_their_order_across_streams(store: &impl Backend) {
    let events = ["a", "b", "a", "a", "b"].iter().zip(["1", "2", "3", "4", "5"]);
    let events: Vec<Noted> = events.map(|(stream, text)| noted(stream, text)).collect();
    store.append_events(writes(&[("b", 0), ("a", 0)], events)).await.map(|_| ()).unwrap();
    assert_eq!(all(store, EventFilter::all()).await, ["1", "2", "3", "4", "5"]);
    assert_eq!(
        (texts(store, "a").await.concat(), texts(store, "b").await.concat()),
        ("134".into(), "25".into())
    );
}

async fn versions_count_events(store: &impl Backend) {
    let mut version = 0;
    for count in [1, 5, 2] {
        note(store, "a", version, &vec!["x"; count]).await;
        version += count;
        assert_eq!(texts(store, "a").await.len(), version);
    }
}

async fn a_conflict_names_what_was_expected_and_what_is_there(store: &impl Backend) {
    note(store, "a", 0, &["one", "two"]).await;
    for expected in [0, 1, 3] {
        let met = conflict(store, writes(&[("a", expected)], [noted("a", "late")])).await;
        assert_eq!(met, ("a".to_owned(), expected, 2));
    }
    let met = conflict(store, writes(&[("new", 1)], [noted("new", "early")])).await;
    assert_eq!(met, ("new".to_owned(), 1, 0));
}

async fn a_conflict_on_one_stream_leaves_nothing_on_any(store: &impl Backend) {
    note(store, "b", 0, &["there"]).await;
    let events = [noted("a", "x"), noted("b", "x"), noted("c", "x")];
    let met = conflict(store, writes(&[("a", 0), ("b", 0), ("c", 0)], events)).await;
    assert_eq!(met, ("b".to_owned(), 0, 1));
    assert_eq!(all(store, EventFilter::all()).await, ["there"]);
    assert_eq!((texts(store, "a").await.len(), texts(store, "c").await.len()), (0, 0));
    note(store, "a", 0, &["still from the beginning"]).await;
}

async fn a_stream_without_an_event_in_the_append_is_checked(store: &impl Backend) {
    note(store, "rates", 0, &["1.10"]).await;
    let met = conflict(store, writes(&[("order", 0), ("rates", 0)], [noted("order", "at 1.10")])).await;
    assert_eq!(met, ("rates".to_owned(), 0, 1));
    assert!(texts(store, "order").await.is_empty());
}

async fn a_stream_without_an_event_in_the_append_may_be_as_expected(store: &impl Backend) {
    note(store, "rates", 0, &["1.10"]).await;
    let order = writes(&[("order", 0), ("rates", 1), ("nobody", 0)], [noted("order", "at 1.10")]);
    store.append_events(order).await.map(|_| ()).unwrap();
    assert_eq!((texts(store, "order").await.len(), texts(store, "rates").await.len()), (1, 1));
}

async fn an_append_of_nothing_checks(store: &impl Backend) {
    note(store, "a", 0, &["one"]).await;
    store.append_events(expecting(&[("a", 1), ("b", 0)])).await.map(|_| ()).unwrap();
    assert_eq!(conflict(store, expecting(&[("a", 0), ("b", 0)])).await, ("a".to_owned(), 0, 1));
    assert_eq!(conflict(store, expecting(&[("a", 1), ("b", 1)])).await, ("b".to_owned(), 1, 0));
    assert_eq!(all(store, EventFilter::all()).await, ["one"]);
}

async fn an_append_of_nothing_on_nothing_succeeds(store: &impl Backend) {
    store.append_events(StreamWrites::new()).await.map(|_| ()).unwrap();
}

async fn a_check_makes_no_stream(store: &impl Backend) {
    store.append_events(expecting(&[("a", 0)])).await.map(|_| ()).unwrap();
    store.append_events(writes(&[("a", 0), ("b", 0)], [noted("b", "x")])).await.map(|_| ()).unwrap();
    note(store, "a", 0, &["first"]).await;
}

async fn versions_that_no_stream_has_conflict(store: &impl Backend) {
    note(store, "a", 0, &["one"]).await;
    for expected in [2, 1 << 62, usize::MAX] {
        assert_eq!(conflict(store, expecting(&[("a", expected)])).await, ("a".to_owned(), expected, 1));
    }
}

async fn one_append_may_hold_several_types(store: &impl Backend) {
    let both =
        writes(&[("quiet", 0), ("loud", 0)], [noted("quiet", "hm")]).append(shouted("loud", "HM")).unwrap();
    store.append_events(both).await.map(|_| ()).unwrap();
    assert_eq!(texts(store, "quiet").await, ["hm"]);
    assert_eq!(read(store, "loud").await, Ok(vec![shouted("loud", "HM")]));
}

/// The builder's own rules, which keep an append from reaching any store.
async fn a_stream_must_be_registered_once_and_before(_: &impl Backend) {
    let undeclared = StreamWrites::new().append(noted("a", "x")).map(|_| ());
    assert_eq!(undeclared, Err(EventStoreError::UndeclaredStream { stream_id: id("a") }));
    let twice = expecting(&[("a", 1)]).register_stream(id("a"), StreamVersion::new(1)).unwrap();
    let contradiction = twice.register_stream(id("a"), StreamVersion::new(2)).map(|_| ());
    assert!(matches!(contradiction, Err(EventStoreError::ConflictingExpectedVersions { .. })));
}

/// In the log itself: a stream that was only checked is not even registered, and what is refused uses up no position.
#[tokio::test]
async fn checks_and_conflicts_leave_no_trace() {
    let Kit { store, dir: _dir } = Kit::new();
    note(&store, "a", 0, &["one"]).await;
    store.append_events(expecting(&[("a", 1), ("b", 0)])).await.map(|_| ()).unwrap();
    store.append_events(writes(&[("a", 1), ("c", 0)], [noted("a", "two")])).await.map(|_| ()).unwrap();
    conflict(&store, writes(&[("d", 0), ("a", 7)], [noted("d", "x")])).await;
    let log = store.log();
    assert_eq!((log.stream_count(), log.last_position()), (1, 2));
    assert_eq!(log.list_streams("", None, 9), ["eventcore/stream/a"]);
}

/// One append is one frame of the log: a run for each change of stream, in order.
#[tokio::test]
async fn entries_have_neighbouring_positions_in_their_order() {
    let Kit { store, dir: _dir } = Kit::new();
    note(&store, "elsewhere", 0, &["x"]).await;
    let events = ["a", "b", "a"].map(|stream| noted(stream, stream));
    store.append_events(writes(&[("a", 0), ("b", 0)], events)).await.map(|_| ()).unwrap();
    let at = store.log().read_all(1).into_iter().map(|event| {
        let event = event.unwrap();
        (event.stream().to_owned(), event.version(), event.position())
    });
    let at: Vec<_> = at.collect();
    let a = "eventcore/stream/a".to_owned();
    assert_eq!(at, [(a.clone(), 1, 2), ("eventcore/stream/b".to_owned(), 1, 3), (a, 2, 4)]);
}
