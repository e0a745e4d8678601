//! The rules of `CheckpointStore`.

use crate::kit::{Backend, Kit, on_both, position};
use annals::{KeptCondition, Uuid};
use annals_eventcore::StoreError;
use eventcore_types::{CheckpointStore, StreamPosition};

on_both!(
    a_name_that_nobody_saved_has_none,
    a_position_that_was_saved_is_there,
    any_uuid_is_a_position,
    a_save_replaces_forward_and_backward,
    names_are_independent,
    names_may_be_of_any_characters,
);

fn uuid(text: &str) -> StreamPosition {
    StreamPosition::new(text.parse().unwrap())
}

async fn a_name_that_nobody_saved_has_none(store: &impl Backend) {
    assert_eq!(store.load("balances").await.unwrap(), None);
}

async fn a_position_that_was_saved_is_there(store: &impl Backend) {
    store.save("balances", position(7)).await.unwrap();
    assert_eq!(store.load("balances").await.unwrap(), Some(position(7)));
}

async fn any_uuid_is_a_position(store: &impl Backend) {
    let random = ["01932c07-5a3f-7c6e-8f10-4a4f0f2b9d11", "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"].map(uuid);
    let ends = [Uuid::nil(), Uuid::max()].map(StreamPosition::new);
    for position in random.into_iter().chain(ends) {
        store.save("balances", position).await.unwrap();
        assert_eq!(store.load("balances").await.unwrap(), Some(position));
    }
}

async fn a_save_replaces_forward_and_backward(store: &impl Backend) {
    for number in [5, 9, 2, 2, u64::MAX, 0] {
        store.save("balances", position(number)).await.unwrap();
        assert_eq!(store.load("balances").await.unwrap(), Some(position(number)));
    }
}

async fn names_are_independent(store: &impl Backend) {
    let names = ["a", "a/", "a/b", "ab", "A"];
    for (number, name) in names.iter().enumerate() {
        store.save(name, position(number as u64)).await.unwrap();
    }
    for (number, name) in names.iter().enumerate() {
        assert_eq!(store.load(name).await.unwrap(), Some(position(number as u64)), "{name}");
    }
    assert_eq!(store.load("").await.unwrap(), None);
}

async fn names_may_be_of_any_characters(store: &impl Backend) {
    for (number, name) in
        ["", " ", "\0", "nul\0inside", "../up", "%2F", "*?[]", "日本語", "\n"].iter().enumerate()
    {
        store.save(name, position(number as u64)).await.unwrap();
        assert_eq!(store.load(name).await.unwrap(), Some(position(number as u64)), "{name:?}");
    }
}

#[tokio::test]
async fn checkpoints_survive_reopening() {
    let kit = Kit::new();
    kit.store.save("balances", position(3)).await.unwrap();
    kit.store.save("balances", position(2)).await.unwrap();
    let kit = kit.reopened();
    assert_eq!(kit.store.load("balances").await.unwrap(), Some(position(2)));
}

/// What somebody else has kept there is told, not taken for none: a projection would begin anew.
#[tokio::test]
async fn what_is_no_checkpoint_is_told() {
    let Kit { store, dir: _dir } = Kit::new();
    for bytes in [&b"seven"[..], b"", b"\xFF", b"00000000-0000-0000-0000-00000000000"] {
        store.log().keep("eventcore/checkpoint/balances", KeptCondition::Any, bytes).unwrap();
        let found = String::from_utf8_lossy(bytes).into_owned();
        let malformed = StoreError::MalformedCheckpoint { name: "balances".to_owned(), found };
        assert_eq!(store.load("balances").await, Err(malformed));
    }
    store.save("balances", position(1)).await.unwrap();
    assert_eq!(store.load("balances").await, Ok(Some(position(1))));
}
