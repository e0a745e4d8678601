//! Promises of consumers and groups that do not depend on the log's options, and those of their ends.
//!
//! Owns what was found by breaking the code or by reading it; the plain rules are in `consumers.rs` and `groups.rs`.

use crate::consumers::{ANY, LONG, SHORT, put};
use crate::simdisk::{Rng, SimDisk, Survive};
use annals::{
    Delivery, Durability, EventLog, Group, GroupNext, GroupOptions, NewEvent, Options, Query, Seek,
};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// A log whose appends wait for nothing, and that writes nothing by itself.
fn careless(disk: &SimDisk) -> EventLog {
    let options = Options::new().background(false).durability(Durability::Sequenced);
    options.open_storage(Arc::new(disk.clone())).unwrap()
}

/// What is left if the power goes now.
fn after_a_power_cut(disk: &SimDisk) -> EventLog {
    careless(&disk.power_cut(&mut Rng::new(1), Survive::Nothing))
}

fn next(group: &Group) -> Delivery {
    match group.next_within(LONG).unwrap() {
        GroupNext::Delivery(delivery) => delivery,
        other => panic!("{other:?}"),
    }
}

fn with_events(disk: &SimDisk, events: u64) -> EventLog {
    let log = careless(disk);
    (0..events).for_each(|i| _ = put(&log, &format!("s{i}"), "T"));
    // A weak append is shown once it is synced, which a stronger one sees to.
    log.batch().keep("x", "").durability(Durability::Synced).commit().unwrap();
    assert_eq!(log.last_position(), events);
    log
}

#[test]
fn what_a_consumer_is_told_to_be_durable_is_so_whatever_appends_wait_for() {
    let disk = SimDisk::new(1);
    let log = with_events(&disk, 4);
    let place = || after_a_power_cut(&disk).acknowledged("c").unwrap();
    let mut consumer = log.consumer("c", &Query::everything()).unwrap().durable_acks(true);
    consumer.next().unwrap().unwrap().ack().unwrap();
    assert_eq!(place(), 1, "durable_acks");
    consumer.seek(Seek::After(3)).unwrap();
    assert_eq!(place(), 3, "Consumer::seek");
    log.seek_consumer("c", Seek::Beginning).unwrap();
    assert_eq!(place(), 0, "seek_consumer");
    consumer.seek(Seek::Beginning).unwrap();
    consumer.next().unwrap().unwrap().ack_with(log.batch().keep("y", "")).unwrap();
    assert_eq!(place(), 1, "ack_with");
    drop(consumer);
    log.forget_consumer("c").unwrap();
    assert_eq!(after_a_power_cut(&disk).list_consumers(None, 9).unwrap(), [""; 0], "forget_consumer");
}

#[test]
fn what_a_group_is_told_to_be_durable_is_so_whatever_appends_wait_for() {
    let disk = SimDisk::new(1);
    let log = with_events(&disk, 5);
    let options = || GroupOptions::new().attempts_max(1);
    let listed = || {
        let log = after_a_power_cut(&disk);
        let group = log.group("g", &Query::everything(), options()).unwrap();
        let parked = group.parked(0, 9).unwrap();
        parked.into_iter().map(|parked| (parked.position, parked.reason)).collect::<Vec<_>>()
    };
    let group = log.group("g", &Query::everything(), options()).unwrap();
    next(&group).ack_with(log.batch().keep("y", "1")).unwrap();
    assert_eq!(after_a_power_cut(&disk).kept("y").unwrap().unwrap().value, "1", "ack_with");
    (2..=4).for_each(|_| assert!(next(&group).nack("no").unwrap()));
    let no = |position| (position, "no".to_owned());
    assert_eq!(listed(), [no(2), no(3), no(4)], "set aside");
    assert!(group.discard(2).unwrap());
    assert_eq!(listed(), [no(3), no(4)], "discard");
    assert!(group.replay(3).unwrap());
    assert!(next(&group).nack("again").unwrap());
    assert_eq!(listed(), [(3, "again".to_owned()), no(4)], "set aside again");
    assert!(group.replay(4).unwrap());
    next(&group).ack().unwrap();
    assert_eq!(listed(), [(3, "again".to_owned())], "a replay that succeeded");
    assert!(group.replay(3).unwrap());
    next(&group).ack_with(log.batch().keep("y", "2")).unwrap();
    assert_eq!(listed(), [], "and one with its results");
    assert_eq!(next(&group).position(), 5);
}

#[test]
fn to_close_the_log_wakes_members_that_wait_for_room_in_the_window() {
    let log = EventLog::in_memory().unwrap();
    (0..3).for_each(|i| _ = put(&log, &format!("s{i}"), "T"));
    let group = log.group("g", &Query::everything(), GroupOptions::new().window(1)).unwrap();
    let held = next(&group);
    let (tell, told) = mpsc::channel();
    let mut member = group.clone();
    thread::spawn(move || tell.send(member.next().is_none()).unwrap());
    thread::sleep(SHORT);
    log.close().unwrap();
    assert!(told.recv_timeout(LONG).expect("the member sleeps on"), "nothing is given out any more");
    assert!(held.ack().is_err());
    assert!(matches!(group.next_within(LONG).unwrap(), GroupNext::Ended));
}

#[test]
fn to_discard_what_waits_to_be_replayed_withdraws_it() {
    let log = EventLog::in_memory().unwrap();
    (0..3).for_each(|_| _ = put(&log, "s", "T"));
    let options = GroupOptions::new().attempts_max(1).retry_after(Duration::ZERO);
    let group = log.group("g", &Query::everything(), options).unwrap();
    (0..2).for_each(|_| assert!(next(&group).nack("no").unwrap()));
    let out = next(&group);
    assert_eq!(group.replay_all().unwrap(), 2);
    assert!(group.discard(1).unwrap());
    out.ack().unwrap();
    let replayed = next(&group);
    assert_eq!((replayed.position(), replayed.is_replayed()), (2, true), "the first is withdrawn");
    // One that is out goes on, and does not come back to the list by succeeding.
    assert!(group.discard(2).unwrap() && !group.replay(2).unwrap());
    let out = NewEvent::new("Out", "");
    let answer = replayed.ack_with(log.batch().append("out", ANY, &[out]));
    assert!(answer.is_err() && log.stream_version("out") == 0, "somebody has settled it: {answer:?}");
    let left = group.next_within(SHORT).unwrap();
    assert!(matches!(left, GroupNext::TimedOut) && group.parked(0, 9).unwrap().is_empty(), "{left:?}");
}

#[test]
fn a_discarded_replay_does_not_loosen_the_order_of_its_stream() {
    let log = EventLog::in_memory().unwrap();
    (0..2).for_each(|_| _ = put(&log, "s", "T"));
    let group = log.group("g", &Query::everything(), GroupOptions::new().attempts_max(1)).unwrap();
    (0..2).for_each(|_| assert!(next(&group).nack("no").unwrap()));
    assert!(group.replay(1).unwrap() && group.discard(1).unwrap() && group.replay(2).unwrap());
    let second = next(&group);
    put(&log, "s", "T");
    let got = group.next_within(SHORT).unwrap();
    assert!(matches!(got, GroupNext::TimedOut), "while event 2 is out: {got:?}");
    second.ack().unwrap();
    assert_eq!(next(&group).position(), 3);
}

#[test]
fn who_waits_for_a_replay_is_told_when_it_is_discarded() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "s", "T");
    let query = Query::everything().before(2);
    let hour = GroupOptions::new().retry_after(Duration::from_secs(3600));
    let group = log.group("g", &query, hour.clone().attempts_max(1)).unwrap();
    assert!(next(&group).nack("no").unwrap());
    drop(group);
    let group = log.group("g", &query, hour.attempts_max(2)).unwrap();
    assert!(group.replay(1).unwrap());
    assert!(!next(&group).nack("not yet").unwrap());
    let (told, tells) = mpsc::channel();
    let member = group.clone();
    thread::spawn(move || told.send(matches!(member.next_within(3 * LONG), Ok(GroupNext::Ended))));
    assert!(tells.recv_timeout(Duration::from_millis(50)).is_err(), "it waits for the replay");
    assert!(group.discard(1).unwrap());
    assert_eq!(tells.recv_timeout(LONG), Ok(true));
}
