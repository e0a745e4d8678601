//! Kept values and their neighbours: what is refused, and what is told when the log cannot go on.
//!
//! Owns the refusals that the model does not ask for.

use crate::scribe::*;
use crate::shelf::{one_segment, open, shelve};
use crate::simdisk::SimDisk;
use annals::{
    AppendError, CloseError, EventLog, ExpectedVersion, GroupNext, GroupOptions, KeptCondition, NewEvent,
    Next, Options, Query, ReadError,
};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

const ANY: ExpectedVersion = ExpectedVersion::Any;
const NOW: Duration = Duration::ZERO;

#[test]
fn names_of_the_logs_own_are_not_written() {
    let log = EventLog::in_memory().unwrap();
    let name = "annals/consumer/c";
    let refused = AppendError::ReservedName { name: name.to_owned() };
    let by_batch = log.batch().keep(name, "x").commit();
    assert_eq!(log.keep(name, KeptCondition::Any, "x"), Err(refused.clone()));
    assert_eq!(log.unkeep(name, KeptCondition::Any), Err(refused.clone()));
    assert_eq!(log.keep_lazily(name, "x"), Err(refused.clone()));
    assert_eq!(by_batch, Err(refused.clone()));
    assert_eq!(log.batch().unkeep(name, KeptCondition::Any).commit(), Err(refused));
    assert_eq!(log.count_kept(""), 0);
}

#[test]
fn a_value_is_as_long_as_the_option_says() {
    let log = Options::new().kept_bytes_max(4 << 10).open_in_memory().unwrap();
    let (most, more) = (vec![1; 4 << 10], vec![1; (4 << 10) + 1]);
    let what = "kept value";
    let refused = AppendError::TooLarge { what, len: more.len() as u64, max: most.len() as u64 };
    assert_eq!(log.keep("k", KeptCondition::Any, &more), Err(refused.clone()));
    assert_eq!(log.keep_lazily("k", &more), Err(refused));
    assert!(log.kept("k").unwrap().is_none());
    log.keep("k", KeptCondition::Any, &most).unwrap();
    assert_eq!(log.kept("k").unwrap().unwrap().value, most);
}

#[test]
fn a_batch_of_another_log_acknowledges_nothing() {
    let (log, other) = (EventLog::in_memory().unwrap(), EventLog::in_memory().unwrap());
    log.append("s", ANY, &[NewEvent::new("T", "")]).unwrap();
    let foreign = || other.batch().append("x", ANY, &[NewEvent::new("T", "")]);
    let mut consumer = log.consumer("c", &Query::everything()).unwrap();
    let received = consumer.next_within(NOW).unwrap().unwrap();
    assert_eq!(received.ack_with(foreign()), Err(AppendError::OtherLog));
    let group = log.group("g", &Query::everything(), GroupOptions::new().retry_after(NOW)).unwrap();
    for _ in 0..2 {
        let GroupNext::Delivery(delivery) = group.next_within(NOW).unwrap() else { panic!("it comes again") };
        assert_eq!(delivery.ack_with(foreign()), Err(AppendError::OtherLog));
    }
    assert_eq!((other.last_position(), log.acknowledged("c")), (0, Ok(0)));
}

#[test]
fn a_place_that_is_no_position_is_told_with_its_address() {
    // Sound in every way, but no position: as only a writer that does not know the names leaves it.
    let header =
        Header { salt: 7, ordinal: 1, base_position: 1, capacity: 16_384, created: 1, ..Header::default() };
    let mut writer = Writer::new(header, 0);
    writer.batch().append(1, vec![Section::control(KEEP, "annals/consumer/c", 1, b"nowhere")]);
    let log = open(&shelve(&one_segment(writer.image()))).unwrap();
    let Err(ReadError::Corrupt(corruption)) = log.acknowledged("c") else {
        panic!("{:?}", log.acknowledged("c"))
    };
    assert_eq!(corruption.at.segment, 1);
    assert_eq!(corruption.at.offset, 4096 + 72 + 24, "{corruption}");
}

#[test]
fn a_poisoned_log_ends_a_subscription_with_its_cause() {
    let disk = SimDisk::new(9);
    let log = Options::new().background(false).open_storage(Arc::new(disk.clone())).unwrap();
    log.append("s", ANY, &[NewEvent::new("T", "")]).unwrap();
    let mut subscription = log.subscribe(&Query::everything());
    disk.fail_op(disk.ops() + 1, ErrorKind::Other);
    log.append("s", ANY, &[NewEvent::new("T", "")]).unwrap_err();
    assert!(matches!(subscription.next_within(NOW), Ok(Next::Event(event)) if event.position() == 1));
    assert!(matches!(subscription.next_within(NOW), Err(ReadError::Poisoned(_))));
    assert!(matches!(subscription.next_within(NOW), Ok(Next::Ended)));
}

#[test]
fn a_close_without_room_tells_what_was_lost() {
    let disk = SimDisk::new(5);
    let log = Options::new().background(false).open_storage(Arc::new(disk.clone())).unwrap();
    disk.set_space(Some(0));
    let big = vec![0; 16 << 10];
    while log.append("s", ANY, &[NewEvent::new("T", &big)]).is_ok() {}
    log.keep_lazily("k", vec![1; 20 << 10]).unwrap();
    assert!(matches!(log.close(), Err(CloseError::LazyLost(fault)) if fault.kind == ErrorKind::StorageFull));
}
