//! Promises that a hunt for counter-examples found broken: each has a test that failed then.
//!
//! Owns what the sides share.

mod consuming;
mod reading;
mod repeating;
mod roles;
mod writing;

use crate::shelf;
use crate::simdisk::SimDisk;
use annals::storage::{Memory, Storage};
use annals::*;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use uuid::Uuid;

const ANY: ExpectedVersion = ExpectedVersion::Any;
const NOW: Duration = Duration::ZERO;
fn ev() -> NewEvent<'static> {
    NewEvent::new("T", "x")
}
fn put(log: &EventLog, s: &str) -> u64 {
    log.append(s, ANY, &[ev()]).unwrap().last_position
}
fn take(group: &Group) -> Option<Delivery> {
    match group.next_within(Duration::from_millis(20)).unwrap() {
        GroupNext::Delivery(d) => Some(d),
        _ => None,
    }
}

/// Segments that are soon full, and an index of which most is in files.
fn layered() -> Options {
    Options::new().background(false).segment_bytes(64 << 10).index_after_bytes(4 << 10)
}
/// An event in each of the streams `s-0` to `s-599`: several segments.
fn fill(log: &EventLog) {
    (0..600).for_each(|i| _ = log.append(&format!("s-{i}"), ANY, &[NewEvent::new("T", &[1; 700])]).unwrap());
}
/// Damages all that the index has in files, and the segment without which it cannot be made anew.
fn spoil(storage: &dyn Storage) {
    let names = storage.list().unwrap();
    let mut layers = names.iter().filter(|name| name.ends_with(".idx")).peekable();
    assert!(layers.peek().is_some());
    for name in layers {
        let file = storage.open(name, true).unwrap();
        let nines = vec![9; file.len().unwrap() as usize - 4096];
        assert_eq!(file.write_at(4096, &nines).unwrap(), nines.len());
    }
    let segment = storage.open(&shelf::segment_name(1), true).unwrap();
    assert_eq!(segment.write_at(5000, &[9; 3000]).unwrap(), 3000);
}
