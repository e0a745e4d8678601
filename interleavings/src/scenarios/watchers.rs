//! Subscribers against a publisher: every event is seen, in order, whatever comes between arming, looking and sleeping.

use crate::engine::watchers::{Key, Over};
use crate::error::PoisonCause;
use crate::model::{Token, spawn};
use crate::scenarios::log::{Log, Next, Subscriber};
use std::sync::Arc;
use std::task::Poll;

const POISONED: Over = Over::Poisoned(PoisonCause::Panic);

fn stream(id: &str) -> Key {
    Key::Stream(id.into())
}

fn prefix(prefix: &str) -> Key {
    Key::Prefix(prefix.into())
}

/// One subscriber that must see these positions of what is published batch by batch.
fn sees(key: Key, batches: &'static [&'static [&'static str]], positions: &'static [usize]) {
    let log = Log::new();
    let mut subscriber = Subscriber::new(&log, key);
    let subscribed = spawn(move || subscriber.expect(positions));
    batches.iter().for_each(|batch| log.publish(batch));
    subscribed.join().unwrap();
}

pub(crate) fn one_event_of_everything() {
    sees(Key::Everything, &[&["a"]], &[1]);
}

pub(crate) fn one_event_of_a_stream() {
    sees(stream("a"), &[&["a"]], &[1]);
}

pub(crate) fn one_event_of_a_prefix() {
    sees(prefix("a"), &[&["ab"]], &[1]);
}

pub(crate) fn everything() {
    sees(Key::Everything, &[&["a"], &["b"]], &[1, 2]);
}

pub(crate) fn a_stream() {
    sees(stream("a"), &[&["a"], &["b", "a"]], &[1, 3]);
}

/// Batches that bring nothing to it do not wake it, and it does not miss the one that does.
pub(crate) fn a_stream_beside_another() {
    sees(stream("a"), &[&["b"], &["a"]], &[2]);
}

pub(crate) fn a_prefix() {
    sees(prefix("a"), &[&["ab"], &["b", "a"]], &[1, 3]);
}

pub(crate) fn a_prefix_beside_another() {
    sees(prefix("a"), &[&["b"], &["ab"]], &[2]);
}

/// Two with different keys.
pub(crate) fn two_subscribers() {
    let log = Log::new();
    let mut everything = Subscriber::new(&log, Key::Everything);
    let mut one = Subscriber::new(&log, prefix("b"));
    let first = spawn(move || everything.expect(&[1, 2]));
    let second = spawn(move || one.expect(&[2]));
    log.publish(&["a"]);
    log.publish(&["b"]);
    first.join().unwrap();
    second.join().unwrap();
}

/// Two in one list, of which one is at its end after the first batch, and is forgotten while the other waits on.
pub(crate) fn two_subscribers_of_one_stream() {
    let log = Log::new();
    let mut long = Subscriber::new(&log, stream("a"));
    let mut short = Subscriber::new(&log, stream("a"));
    let first = spawn(move || long.expect(&[1, 2]));
    let second = spawn(move || short.expect(&[1]));
    log.publish(&["a"]);
    log.publish(&["a"]);
    first.join().unwrap();
    second.join().unwrap();
}

/// A subscriber that is dropped leaves nothing behind, even if it is being woken just then.
fn forgotten(key: Key) {
    let log = Log::new();
    let mut subscriber = Subscriber::new(&log, key);
    let (watcher, token) = (subscriber.watcher.clone(), subscriber.token.clone());
    let dropping = spawn(move || drop((subscriber.poll_event(&subscriber.token.waker()), subscriber)));
    log.publish(&["a"]);
    dropping.join().unwrap();
    assert_eq!(Arc::strong_count(&watcher), 1, "a table keeps the watcher");
    assert_eq!(Arc::strong_count(&token), 1, "somebody keeps the waker");
}

pub(crate) fn forgotten_while_it_wakes_of_everything() {
    forgotten(Key::Everything);
}

pub(crate) fn forgotten_while_it_wakes_of_a_stream() {
    forgotten(stream("a"));
}

pub(crate) fn forgotten_while_it_wakes_of_a_prefix() {
    forgotten(prefix("a"));
}

/// Who is forgotten takes nobody else along.
pub(crate) fn forgotten_before_another() {
    let log = Log::new();
    let mut stays = Subscriber::new(&log, stream("a"));
    let mut goes = Subscriber::new(&log, stream("a"));
    assert_eq!(goes.poll_event(&goes.token.waker()), Poll::Pending);
    let staying = spawn(move || stays.expect(&[1]));
    let going = spawn(move || drop(goes));
    log.publish(&["a"]);
    staying.join().unwrap();
    going.join().unwrap();
}

/// Who is cancelled ends, though nothing comes.
pub(crate) fn cancelled() {
    let log = Log::new();
    let mut subscriber = Subscriber::new(&log, Key::Everything);
    let watcher = subscriber.watcher.clone();
    let subscribed = spawn(move || subscriber.next());
    watcher.cancel();
    assert_eq!(subscribed.join().unwrap(), Next::Cancelled);
}

/// And if something comes at the same time, it is told or not, and the end comes all the same.
pub(crate) fn cancelled_while_it_wakes() {
    let log = Log::new();
    let mut subscriber = Subscriber::new(&log, stream("a"));
    let (watcher, publishing) = (subscriber.watcher.clone(), log.clone());
    let subscribed = spawn(move || subscriber.drain());
    let cancelling = spawn(move || watcher.cancel());
    publishing.publish(&["a"]);
    cancelling.join().unwrap();
    let (positions, end) = subscribed.join().unwrap();
    assert!(positions.is_empty() || positions == [1], "{positions:?}");
    assert_eq!(end, Next::Cancelled);
}

/// Everything that was published before the end, then the end.
fn ends(key: Key, over: Over) {
    let log = Log::new();
    let mut subscriber = Subscriber::new(&log, key);
    let subscribed = spawn(move || subscriber.drain());
    log.publish(&["a"]);
    log.end(over.clone());
    assert_eq!(subscribed.join().unwrap(), (vec![1], Next::Over(over)));
}

pub(crate) fn closed_for_everything() {
    ends(Key::Everything, Over::Closed);
}

pub(crate) fn closed_for_a_stream() {
    ends(stream("a"), Over::Closed);
}

pub(crate) fn closed_for_a_prefix() {
    ends(prefix("a"), Over::Closed);
}

pub(crate) fn poisoned_for_everything() {
    ends(Key::Everything, POISONED);
}

pub(crate) fn poisoned_for_a_stream() {
    ends(stream("a"), POISONED);
}

pub(crate) fn poisoned_for_a_prefix() {
    ends(prefix("a"), POISONED);
}

/// Somebody who reads nothing just now, and waits for the end alone.
pub(crate) fn closed_for_one_who_does_not_look() {
    let log = Log::new();
    let subscriber = Subscriber::new(&log, Key::Everything);
    let watching = spawn(move || subscriber.watch());
    log.publish(&["a"]);
    log.end(Over::Closed);
    watching.join().unwrap();
}

/// A poisoned log that is closed is closed, in whatever order the two come.
pub(crate) fn poisoned_then_closed() {
    let log = Log::new();
    let mut subscriber = Subscriber::new(&log, Key::Everything);
    let poisoning = log.clone();
    let subscribed = spawn(move || subscriber.next());
    let other = spawn(move || poisoning.end(POISONED));
    log.end(Over::Closed);
    let next = subscribed.join().unwrap();
    other.join().unwrap();
    assert!([Next::Over(Over::Closed), Next::Over(POISONED)].contains(&next), "{next:?}");
    assert_eq!(log.watchers.over(), Some(Over::Closed));
}

/// A thread of the log panics while another one publishes: what was visible when the end came is seen.
pub(crate) fn poisoned_during_a_commit() {
    let log = Log::new();
    let mut subscriber = Subscriber::new(&log, Key::Everything);
    let poisoning = log.clone();
    let subscribed = spawn(move || subscriber.drain());
    let other = spawn(move || {
        let visible = poisoning.visible();
        poisoning.end(POISONED);
        visible
    });
    log.publish(&["a"]);
    let (positions, end) = subscribed.join().unwrap();
    let visible = other.join().unwrap();
    assert!((visible..=1).contains(&positions.len()), "{positions:?}");
    assert_eq!(end, Next::Over(POISONED));
}

/// A subscription that moved to another task: the waker it was armed with last is the one that counts.
pub(crate) fn polled_by_two_tasks() {
    let log = Log::new();
    let mut subscriber = Subscriber::new(&log, stream("a"));
    let before = Token::new();
    let subscribed = spawn(move || {
        if subscriber.poll_event(&before.waker()).is_pending() {
            subscriber.expect(&[1]);
        }
    });
    log.publish(&["a"]);
    subscribed.join().unwrap();
}

/// A wait that ran out of time leaves the watcher armed; the next one finds it so, or woken, or being woken.
pub(crate) fn given_up_and_tried_again() {
    let log = Log::new();
    let mut subscriber = Subscriber::new(&log, Key::Everything);
    assert_eq!(subscriber.poll_event(&Token::new().waker()), Poll::Pending);
    let subscribed = spawn(move || subscriber.expect(&[1, 2]));
    log.publish(&["a"]);
    log.publish(&["a"]);
    subscribed.join().unwrap();
}
