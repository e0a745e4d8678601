//! The table of versions: readers that ask and keep, and the publisher of `commit.rs`.
//!
//! Owns a model of the view: what it shows of each stream, under a lock that readers share. All streams here belong to one set.

use crate::index::versions::{Known, Move, Versions};
use crate::model::spawn;
use loom::sync::RwLock;
use std::sync::Arc;

/// The versions that the view shows, of the streams of this number.
struct Table {
    view: RwLock<[u64; 2]>,
    versions: Versions,
}

const IDS: [&str; 2] = ["a", "b"];

/// The streams of these numbers are of one set, and tell each other apart by their tags.
fn hash(stream: u64) -> u64 {
    (stream + 1) << 48 | stream
}

impl Table {
    /// Both streams stand at version 1, and the first `kept` of them are in the table.
    fn new(kept: u64) -> Arc<Table> {
        let versions = Versions::default();
        // What is made when it is first needed is made here: no thread waits for another one that makes it.
        let _ = versions.version("", hash(7));
        (0..kept).for_each(|stream| versions.keep(IDS[stream as usize], hash(stream), 1));
        Arc::new(Table { view: RwLock::new([1, 1]), versions })
    }

    fn ask(&self, stream: u64) -> Option<u64> {
        match self.versions.version(IDS[stream as usize], hash(stream)) {
            Known::Version(version) => Some(version),
            Known::Nothing { .. } => None,
        }
    }

    /// Shows a batch, as `commit.rs` does.
    fn publish(&self, moves: &[(u64, u64)]) {
        let moves = moves
            .iter()
            .map(|(stream, version)| -> Move<'_> { (IDS[*stream as usize], hash(*stream), *version) });
        let mut view = self.view.write().unwrap();
        self.versions.hide(moves.clone());
        moves.clone().for_each(|(id, _, version)| view[usize::from(id == "b")] = version);
        self.versions.show(moves);
    }

    /// Keeps what the view shows, as `look.rs` does.
    fn keep(&self, stream: u64) {
        let view = self.view.read().unwrap();
        self.versions.keep(IDS[stream as usize], hash(stream), view[stream as usize]);
    }

    /// What is told in the end is what the view shows.
    fn agree(&self) {
        let view = *self.view.read().unwrap();
        for stream in 0..2 {
            let told = self.ask(stream);
            let wrong = "another version than the view shows";
            assert!(told.is_none_or(|version| version == view[stream as usize]), "{wrong}: {told:?}");
        }
    }
}

pub(crate) fn a_version_moves() {
    let table = Table::new(1);
    let other = table.clone();
    let publisher = spawn(move || other.publish(&[(0, 2)]));
    let (first, second) = (table.ask(0), table.ask(0));
    assert!([first, second].iter().flatten().all(|version| (1..=2).contains(version)));
    assert!((first, second) != (Some(2), Some(1)), "an old version after a new one");
    publisher.join().unwrap();
    assert_eq!(table.ask(0), Some(2));
}

pub(crate) fn no_old_version_after_a_new_one() {
    let table = Table::new(2);
    let other = table.clone();
    let publisher = spawn(move || other.publish(&[(0, 2), (1, 2)]));
    let (first, second) = (table.ask(0), table.ask(1));
    assert!((first, second) != (Some(2), Some(1)), "an old version after a new one");
    publisher.join().unwrap();
    table.agree();
}

pub(crate) fn a_stream_twice_in_a_batch() {
    let table = Table::new(1);
    let other = table.clone();
    let publisher = spawn(move || other.publish(&[(0, 2), (0, 3)]));
    assert!(table.ask(0) != Some(2), "a version in the middle of a batch");
    publisher.join().unwrap();
    assert_eq!(table.ask(0), Some(3));
}

pub(crate) fn kept_while_it_moves() {
    let table = Table::new(0);
    let other = table.clone();
    let publisher = spawn(move || other.publish(&[(0, 2)]));
    table.keep(0);
    publisher.join().unwrap();
    table.agree();
}

/// Each of the two may take another slot: one has seen the first one free, which then another stream takes for a while.
pub(crate) fn kept_by_two_and_moved() {
    let table = Table::new(0);
    let other = table.clone();
    let keeper = spawn(move || other.keep(0));
    table.versions.keep("c", hash(2), 9);
    table.keep(0);
    keeper.join().unwrap();
    table.publish(&[(0, 2)]);
    table.agree();
    // The slot that is met first goes to another stream, and the other slot is met.
    table.versions.keep("d", hash(3), 9);
    table.agree();
}

pub(crate) fn two_streams_for_one_place() {
    let table = Table::new(0);
    // The set is full of others: both want the same slot.
    table.versions.keep("c", hash(2), 9);
    table.versions.keep("d", hash(3), 9);
    let other = table.clone();
    table.publish(&[(1, 2)]);
    let keeper = spawn(move || other.keep(0));
    table.keep(1);
    keeper.join().unwrap();
    table.agree();
}

pub(crate) fn a_place_is_taken_while_it_is_read() {
    let table = Table::new(1);
    table.versions.keep("c", hash(2), 9);
    table.publish(&[(1, 5)]);
    let other = table.clone();
    let keeper = spawn(move || other.keep(1));
    let told = table.ask(0);
    assert!(told.is_none_or(|version| version == 1), "the version of another stream: {told:?}");
    keeper.join().unwrap();
    table.agree();
}
