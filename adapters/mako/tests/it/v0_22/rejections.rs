//! Rejections of 0.22: nobody waits for them, and none is lost by that.

use super::mako::dead_letter::{AuditContext, DeadLetterReason, DeadLetterSink};
use crate::shelf::{fresh, in_memory};
use annals::{ExpectedVersion, NewEvent, Options};
use annals_mako::MakoStore;
use proving::Gated;
use std::sync::Arc;

fn reason(message: &str) -> DeadLetterReason {
    DeadLetterReason::ProcessingError { message: message.to_owned(), context: AuditContext::now() }
}

/// The disk is busy, and the batch that is open is full: what is rejected waits for room, and neither blocks nor is withdrawn.
fn waits_for_room(rejections: usize, reject: impl Fn(&MakoStore)) {
    let gated = Gated::default();
    let log = Options::new().batch_bytes(4 << 10).open_storage(Arc::new(gated.clone())).unwrap();
    let store = MakoStore::new(log);
    gated.close();
    let payload = [0; 3 << 10];
    let event = [NewEvent::new("T", &payload)];
    let filling: Vec<_> =
        (0..4).map(|_| store.log().submit("s", ExpectedVersion::Any, &event).unwrap()).collect();
    assert!(filling.iter().any(|pending| pending.assigned().is_none()), "some wait for room already");
    reject(&store);
    assert_eq!(store.log().last_position(), 0, "nothing is durable yet");
    gated.open_up();
    for pending in filling {
        pending.wait().unwrap();
    }
    while store.log().stream_version(store.dead_letter_stream()) < rejections as u64 {
        std::thread::yield_now();
    }
}

#[test]
fn one_that_has_to_wait_is_kept() {
    waits_for_room(3, |store| (0..3).for_each(|n| store.reject(&reason(&n.to_string()))));
}

#[test]
fn one_that_has_to_wait_is_kept_in_a_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    waits_for_room(3, |store| {
        runtime.block_on(async { (0..3).for_each(|n| store.reject(&reason(&n.to_string()))) });
    });
}

/// There is nobody to be told; it must not panic.
#[tokio::test]
async fn a_closed_log_is_told_to_the_trace() {
    let store = fresh();
    store.log().close().unwrap();
    store.reject(&reason("late"));
    assert_eq!(store.log().last_position(), 0);
}

#[test]
fn a_storm_of_them_is_kept() {
    let store = in_memory();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..150).for_each(|n| store.reject(&reason(&n.to_string()))));
        }
    });
    while store.log().stream_version(store.dead_letter_stream()) < 600 {
        std::thread::yield_now();
    }
}
