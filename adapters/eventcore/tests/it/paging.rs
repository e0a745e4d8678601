//! The rules of `read_events`.

use crate::kit::{
    Backend, Kit, Noted, Shouted, all, id, note, noted, on_both, page, position, shouted, writes,
};
use annals::{ExpectedVersion, NewEvent, Uuid};
use annals_eventcore::StoreError;
use eventcore_memory::InMemoryEventStore;
use eventcore_types::{
    BatchSize, Event, EventFilter, EventPage, EventReader, EventStore, StreamId, StreamPattern,
    StreamPosition, StreamPrefix,
};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};

on_both!(
    events_of_all_streams_come_in_one_order,
    positions_ascend_strictly,
    a_page_begins_behind_its_position,
    pages_follow_each_other_without_a_gap,
    a_limit_of_nothing_is_nothing,
    a_limit_may_be_larger_than_any_log,
    a_prefix_is_literal_and_at_the_beginning,
    a_pattern_matches_the_whole_id,
    a_pattern_crosses_slashes,
    streams_are_chosen_before_events_are_counted,
    types_are_chosen_before_events_are_counted,
    the_type_is_that_of_the_event_asked_for,
    the_type_of_the_filter_goes_before_it,
    events_that_cannot_be_decoded_are_passed_over,
    a_type_that_nobody_has_gives_nothing,
);

fn prefix(prefix: &str) -> EventFilter {
    EventFilter::prefix(StreamPrefix::try_new(prefix).unwrap())
}

fn pattern(pattern: &str) -> EventFilter {
    EventFilter::pattern(StreamPattern::try_new(pattern).unwrap())
}

/// One note in each stream, its id as the text.
async fn one_in_each(store: &impl Backend, streams: &[&str]) {
    for stream in streams {
        note(store, stream, 0, &[stream]).await;
    }
}

async fn events_of_all_streams_come_in_one_order(store: &impl Backend) {
    one_in_each(store, &["b", "a", "c"]).await;
    note(store, "b", 1, &["b again"]).await;
    assert_eq!(all(store, EventFilter::all()).await, ["b", "a", "c", "b again"]);
}

async fn positions_ascend_strictly(store: &impl Backend) {
    note(store, "a", 0, &["1", "2", "3"]).await;
    one_in_each(store, &["b", "c"]).await;
    let positions: Vec<StreamPosition> =
        page(store, EventFilter::all(), None, 9).await.into_iter().map(|(_, position)| position).collect();
    assert!(positions.len() == 5 && positions.is_sorted_by(|one, next| one < next));
}

async fn a_page_begins_behind_its_position(store: &impl Backend) {
    note(store, "a", 0, &["1", "2", "3"]).await;
    let events = page(store, EventFilter::all(), None, 9).await;
    let behind = page(store, EventFilter::all(), Some(events[0].1), 9).await;
    assert_eq!(behind, events[1..]);
    assert_eq!(page(store, EventFilter::all(), Some(events[2].1), 9).await, []);
}

/// As documented at `EventPage::next_from_results`.
async fn pages_follow_each_other_without_a_gap(store: &impl Backend) {
    note(store, "a", 0, &["1", "2", "3", "4", "5", "6", "7"]).await;
    let (mut read, mut next) = (Vec::new(), Some(EventPage::first(BatchSize::new(3))));
    while let Some(page) = next {
        let events = store.read_events::<Noted>(EventFilter::all(), page).await.unwrap();
        next = page.next_from_results(&events);
        read.extend(events.into_iter().map(|(noted, _)| noted.text));
        assert!(read.len() <= 7);
    }
    assert_eq!(read, ["1", "2", "3", "4", "5", "6", "7"]);
}

async fn a_limit_of_nothing_is_nothing(store: &impl Backend) {
    note(store, "a", 0, &["1"]).await;
    assert_eq!(page(store, EventFilter::all(), None, 0).await, []);
}

async fn a_limit_may_be_larger_than_any_log(store: &impl Backend) {
    note(store, "a", 0, &["1", "2"]).await;
    assert_eq!(page(store, EventFilter::all(), None, usize::MAX).await.len(), 2);
}

async fn a_prefix_is_literal_and_at_the_beginning(store: &impl Backend) {
    one_in_each(store, &["order-1", "order/2", "orde", "pre-order-3", "order", "Order-4", "order%-5"]).await;
    assert_eq!(all(store, prefix("order")).await, ["order-1", "order/2", "order", "order%-5"]);
    assert_eq!(all(store, prefix("order%")).await, ["order%-5"]);
    assert_eq!(all(store, prefix("nobody")).await, Vec::<String>::new());
}

async fn a_pattern_matches_the_whole_id(store: &impl Backend) {
    one_in_each(store, &["order-1", "order-12", "order-a", "my order-1", "order-"]).await;
    for (glob, matches) in [
        ("order-?", vec!["order-1", "order-a"]),
        ("order-*", vec!["order-1", "order-12", "order-a", "order-"]),
        ("order-[0-9]", vec!["order-1"]),
        ("order-[!0-9]", vec!["order-a"]),
        ("*-1", vec!["order-1", "my order-1"]),
        ("?rder-12", vec!["order-12"]),
        ("order-1", vec!["order-1"]),
        ("*", vec!["order-1", "order-12", "order-a", "my order-1", "order-"]),
        ("orders*", vec![]),
    ] {
        assert_eq!(all(store, pattern(glob)).await, matches, "{glob}");
    }
}

async fn a_pattern_crosses_slashes(store: &impl Backend) {
    one_in_each(store, &["shop/order-1", "shop/eu/order-2", "order-3"]).await;
    assert_eq!(all(store, pattern("shop/*")).await, ["shop/order-1", "shop/eu/order-2"]);
    assert_eq!(all(store, pattern("*order-?")).await, ["shop/order-1", "shop/eu/order-2", "order-3"]);
}

async fn streams_are_chosen_before_events_are_counted(store: &impl Backend) {
    note(store, "noise", 0, &["x"; 10]).await;
    one_in_each(store, &["order-1", "order-2", "order-3"]).await;
    for filter in [prefix("order-"), pattern("order-[0-9]"), pattern("*-?")] {
        let events = page(store, filter, None, 2).await;
        assert_eq!(events.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), ["order-1", "order-2"]);
    }
}

/// One of each of two types behind some of the other.
async fn five_quiet_and_one_loud(store: &impl Backend) {
    note(store, "quiet", 0, &["q"; 5]).await;
    store.append_events(writes(&[("loud", 0)], [shouted("loud", "L")])).await.map(|_| ()).unwrap();
}

async fn types_are_chosen_before_events_are_counted(store: &impl Backend) {
    five_quiet_and_one_loud(store).await;
    let page = EventPage::first(BatchSize::new(3));
    let events = store.read_events::<Shouted>(EventFilter::all(), page).await.unwrap();
    assert_eq!(events.into_iter().map(|(event, _)| event).collect::<Vec<_>>(), [shouted("loud", "L")]);
}

async fn the_type_is_that_of_the_event_asked_for(store: &impl Backend) {
    five_quiet_and_one_loud(store).await;
    assert_eq!(all(store, EventFilter::all()).await, ["q"; 5]);
}

/// Of the same shape, so that it can be decoded.
async fn the_type_of_the_filter_goes_before_it(store: &impl Backend) {
    five_quiet_and_one_loud(store).await;
    assert_eq!(all(store, EventFilter::all().with_event_type("Shouted".to_owned())).await, ["L"]);
    let filter = prefix("quiet").with_event_type("Shouted".to_owned());
    assert_eq!(all(store, filter).await, Vec::<String>::new());
}

/// Of the type that is asked for, and of another shape.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Older {
    stream: StreamId,
}

impl Event for Older {
    fn stream_id(&self) -> &StreamId {
        &self.stream
    }

    fn event_type_name() -> &'static str {
        "Noted"
    }
}

async fn events_that_cannot_be_decoded_are_passed_over(store: &impl Backend) {
    let mixed = writes(&[("a", 0)], [noted("a", "1")]).append(Older { stream: id("a") });
    let mixed = mixed.and_then(|writes| writes.append(noted("a", "3"))).unwrap();
    store.append_events(mixed).await.map(|_| ()).unwrap();
    assert_eq!(all(store, EventFilter::all()).await, ["1", "3"]);
}

async fn a_type_that_nobody_has_gives_nothing(store: &impl Backend) {
    note(store, "a", 0, &["1"]).await;
    for nobodys in ["", "Note", "Noted "] {
        let filter = EventFilter::all().with_event_type(nobodys.to_owned());
        assert_eq!(all(store, filter).await, Vec::<String>::new());
    }
}

/// The difference: in memory, events that cannot be decoded use up the page, so that a page of nothing but those is empty and
/// hides what is behind them for ever. Here an empty page is the end.
#[tokio::test]
async fn what_cannot_be_decoded_does_not_use_up_the_page() {
    async fn first_page(store: &impl Backend) -> usize {
        let older = vec![Older { stream: id("a") }; 3];
        let mixed = writes(&[("a", 0)], older).append(noted("a", "4")).unwrap();
        store.append_events(mixed).await.map(|_| ()).unwrap();
        page(store, EventFilter::all(), None, 2).await.len()
    }
    assert_eq!(first_page(&InMemoryEventStore::new()).await, 0);
    assert_eq!(first_page(&Kit::new().store).await, 1);
}

/// Every pattern of up to three of these tokens, on every id of up to three of these characters, against what eventcore says of
/// each id by itself: narrowing by the literal beginning loses none.
#[tokio::test]
async fn patterns_select_what_they_match() {
    let Kit { store, dir: _dir } = Kit::new();
    let words = |tokens: &[&str]| -> Vec<String> {
        let longer = |words: &[String]| -> Vec<String> {
            words.iter().flat_map(|word| tokens.iter().map(move |token| format!("{word}{token}"))).collect()
        };
        let one = longer(&[String::new()]);
        let two = longer(&one);
        let three = longer(&two);
        [one, two, three].concat()
    };
    let ids: Vec<String> = words(&["a", "b", "/"]);
    let notes: Vec<Noted> = ids.iter().map(|stream| noted(stream, stream)).collect();
    let versions: Vec<(&str, usize)> = ids.iter().map(|stream| (stream.as_str(), 0)).collect();
    store.append_events(writes(&versions, notes)).await.map(|_| ()).unwrap();
    let mut compared = 0;
    for glob in words(&["a", "/", "*", "?", "[ab]", "[!a]", "**/"]) {
        let Ok(glob) = StreamPattern::try_new(glob) else { continue };
        let expected: Vec<&String> = ids.iter().filter(|stream| glob.matches(stream)).collect();
        let found = all(&store, EventFilter::pattern(glob.clone())).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{glob}");
        compared += 1;
    }
    assert!(compared > 200, "{compared} patterns");
}

#[tokio::test]
async fn a_position_is_that_of_the_log() {
    let Kit { store, dir: _dir } = Kit::new();
    store.log().append("plain", ExpectedVersion::Any, &[NewEvent::new("T", "")]).unwrap();
    note(&store, "a", 0, &["1", "2"]).await;
    let expected = [("1".to_owned(), position(2)), ("2".to_owned(), position(3))];
    assert_eq!(page(&store, EventFilter::all(), None, 9).await, expected);
    assert_eq!(position(3).to_string(), "00000000-0000-0000-0000-000000000003");
}

/// Behind the beginning, behind the end, and behind what is no position of any log.
#[tokio::test]
async fn positions_that_are_not_there() {
    let Kit { store, dir: _dir } = Kit::new();
    note(&store, "a", 0, &["1", "2"]).await;
    let begin = StreamPosition::new(Uuid::nil());
    assert_eq!(page(&store, EventFilter::all(), Some(begin), 9).await.len(), 2);
    for beyond in [3, 1_000, u64::MAX - 1, u64::MAX] {
        assert_eq!(page(&store, EventFilter::all(), Some(position(beyond)), 9).await, []);
    }
    let above = Uuid::from_u128(u128::from(u64::MAX) + 1);
    for foreign in [above, Uuid::max(), "01932c07-5a3f-7c6e-8f10-4a4f0f2b9d11".parse().unwrap()] {
        let page = EventPage::after(StreamPosition::new(foreign), BatchSize::new(9));
        let refused = store.read_events::<Noted>(EventFilter::all(), page).await;
        assert_eq!(refused, Err(StoreError::ForeignPosition(foreign)));
    }
}

/// However much it passes over, a page gives way to others.
#[tokio::test]
async fn passing_over_gives_way() {
    let Kit { store, dir: _dir } = Kit::new();
    let noise = vec![NewEvent::new("Noise", "{}"); 40_000];
    store.log().append("eventcore/stream/noise", ExpectedVersion::Any, &noise).unwrap();
    note(&store, "a", 0, &["1"]).await;
    let mut call = Box::pin(page(&store, EventFilter::all(), None, 9));
    let mut ways = 0;
    let events = loop {
        match (&mut call).now_or_never() {
            Some(events) => break events,
            None => ways += 1,
        }
    };
    assert_eq!((events.len(), ways >= 4), (1, true), "{ways} times");
}
