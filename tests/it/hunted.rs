//! Promises that a hunt for counter-examples found broken: each has a test that failed then.
//!
//! Owns what the three sides share.

mod consuming;
mod reading;
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
