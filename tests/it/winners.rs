//! Whoever is refused may look at once and sees what it was refused for: however slow the disk, a refusal is told only when the
//! state that it names is durable and visible. The same for a repeat whose original is still under way.

use annals::{
    AppendError, EventLog, ExpectedVersion, KeptCondition, NewEvent, Options, Pending, Query, ReadError, Uuid,
};
use proving::Gated;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ANY: ExpectedVersion = ExpectedVersion::Any;

fn keyed(id: u128, payload: &str) -> NewEvent<'_> {
    NewEvent::new("T", payload).with_id(Uuid::from_u128(id))
}

/// Holds back the sync of what `win` writes, starts `lose` meanwhile, and demands that it is told nothing before the sync is
/// through. `shows` says whether the winner can be seen; `lose` must find it so when it returns.
fn held_back(
    what: &str,
    before: impl Fn(&EventLog),
    win: impl Fn(&EventLog) + Sync,
    shows: impl Fn(&EventLog) -> bool,
    lose: impl Fn(&EventLog) + Sync,
) {
    for background in [true, false] {
        let gated = Gated::default();
        let log = Options::new().background(background).open_storage(Arc::new(gated.clone())).unwrap();
        before(&log);
        gated.close();
        let told = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| win(&log));
            gated.wait_until_held();
            scope.spawn(|| {
                lose(&log);
                told.store(true, Ordering::SeqCst);
            });
            std::thread::sleep(Duration::from_millis(20));
            let early = told.load(Ordering::SeqCst);
            let shown = shows(&log);
            gated.open_up();
            assert!(!early, "{what}: told before it was durable");
            assert!(!shown, "{what}: shown before it was durable");
        });
        assert!(shows(&log), "{what}");
        log.close().unwrap();
    }
}

fn won(log: &EventLog) {
    log.append("s", ExpectedVersion::Exact(1), &[keyed(7, "winner")]).unwrap();
}

fn shows_winner(log: &EventLog) -> bool {
    let events: Result<Vec<_>, ReadError> = log.read_stream("s", 1).into_iter().collect();
    let in_stream = events.unwrap().first().is_some_and(|event| event.payload() == b"winner");
    let position = log.last_position() == 2 && log.event_at(2).unwrap().is_some();
    let queried = log.read(&Query::prefix("s").after(1)).into_iter().count() == 1;
    assert!(in_stream == position && position == queried, "half of it is shown");
    in_stream
}

fn first_event(log: &EventLog) {
    log.append("s", ANY, &[NewEvent::new("T", "before")]).unwrap();
}

fn conflict(actual: u64) -> AppendError {
    AppendError::Conflict { stream: "s".into(), expected: ExpectedVersion::Exact(1), actual }
}

#[test]
fn a_conflict_is_told_when_the_winner_can_be_read() {
    type Lose = fn(&EventLog);
    let lose: [(&str, Lose); 8] = [
        ("append", |log| {
            let error =
                log.append("s", ExpectedVersion::Exact(1), &[NewEvent::new("T", "loser")]).unwrap_err();
            assert_eq!(error, conflict(2));
            assert!(shows_winner(log));
        }),
        ("submit", |log| {
            let handle = log.submit("s", ExpectedVersion::Exact(1), &[NewEvent::new("T", "loser")]).unwrap();
            assert_eq!(handle.wait().unwrap_err(), conflict(2));
            assert!(shows_winner(log));
        }),
        ("a check", |log| {
            let error =
                log.batch().require("s", ExpectedVersion::Exact(1)).keep("k", "v").commit().unwrap_err();
            assert_eq!(error, conflict(2));
            assert!(shows_winner(log));
        }),
        ("a check that holds", |log| {
            log.batch().require("s", ExpectedVersion::Exact(2)).commit().unwrap();
            assert!(shows_winner(log));
        }),
        ("an id that is used", |log| {
            let error = log.append("t", ANY, &[NewEvent::new("T", ""), keyed(7, "loser")]).unwrap_err();
            assert_eq!(error, AppendError::IdReused { id: Uuid::from_u128(7) });
            assert!(shows_winner(log));
            assert_eq!(log.event_by_id(Uuid::from_u128(7)).unwrap().unwrap().payload(), b"winner");
        }),
        ("an id with other content", |log| {
            let error = log.append("s", ANY, &[keyed(7, "loser!")]).unwrap_err();
            assert_eq!(error, AppendError::IdReused { id: Uuid::from_u128(7) });
            assert!(shows_winner(log));
        }),
        ("a repeat", |log| {
            let again = log.append("s", ExpectedVersion::Exact(1), &[keyed(7, "winner")]).unwrap();
            assert_eq!((again.first_version, again.first_position, again.repeated), (2, 2, true));
            assert!(shows_winner(log));
        }),
        ("a repeat that is submitted", |log| {
            let handle = log.submit("s", ExpectedVersion::Exact(1), &[keyed(7, "winner")]).unwrap();
            assert!(handle.assigned().is_none(), "only the stored bytes tell whether it is the same");
            assert!(handle.wait().unwrap().repeated);
            assert!(shows_winner(log));
        }),
    ];
    for (what, lose) in lose {
        held_back(what, first_event, won, shows_winner, lose);
    }
}

#[test]
fn an_end_and_a_tenant_are_told_when_they_can_be_seen() {
    let gone = |log: &EventLog| log.stream_info("s").unwrap().tombstoned;
    let end = |log: &EventLog| _ = log.tombstone("s", ANY).unwrap();
    held_back("tombstone", first_event, end, gone, |log| {
        let error = log.append("s", ANY, &[NewEvent::new("T", "late")]).unwrap_err();
        assert_eq!(error, AppendError::Gone { stream: "s".into() });
        assert!(gone(log));
    });
    let bound = |log: &EventLog| log.tenant("shop").stream_count() == 1;
    let bind = |log: &EventLog| _ = log.tenant("shop").append("s", ANY, &[]).unwrap();
    held_back("tenant", first_event, bind, bound, |log| {
        let error = log.tenant("bank").append("s", ANY, &[]).unwrap_err();
        assert_eq!(error, AppendError::ForeignTenant { stream: "s".into(), named: "bank".into() });
        assert!(bound(log));
    });
}

#[test]
fn a_conflict_over_a_kept_value_is_told_when_the_winner_can_be_got() {
    let value = |log: &EventLog| log.kept("k").unwrap().map(|kept| (kept.value.to_vec(), kept.revision));
    let shows = |log: &EventLog| value(log) == Some((b"winner".to_vec(), Some(2)));
    let before = |log: &EventLog| _ = log.keep("k", KeptCondition::Absent, "before").unwrap();
    let win = |log: &EventLog| {
        let kept = log.keep("k", KeptCondition::Revision(1), "winner").unwrap();
        assert_eq!((kept.revision, kept.replaced), (2, Some(1)));
    };
    let expected = KeptCondition::Revision(1);
    let refused = AppendError::KeptConflict { name: "k".into(), expected, actual: Some(2) };
    held_back("keep", before, win, shows, |log| {
        assert_eq!(log.keep("k", expected, "loser").unwrap_err(), refused);
        assert!(shows(log));
    });
    held_back("require_kept", before, win, shows, |log| {
        let event = NewEvent::new("T", "loser");
        let batch = log.batch().append("s", ANY, &[event]).require_kept("k", expected);
        assert_eq!(batch.submit().unwrap().wait().unwrap_err(), refused);
        assert!(shows(log));
    });
    let delete = |log: &EventLog| _ = log.unkeep("k", KeptCondition::Present).unwrap();
    held_back(
        "unkeep",
        before,
        delete,
        |log| value(log).is_none(),
        |log| {
            let absent = AppendError::KeptConflict { name: "k".into(), expected, actual: None };
            assert_eq!(log.keep("k", expected, "loser").unwrap_err(), absent);
            assert_eq!(value(log), None);
        },
    );
    // What was set lazily is seen at once, but counts for no condition's answer before it is durable.
    held_back(
        "lazily",
        before,
        |log| {
            log.keep_lazily("k", "winner").unwrap();
            log.append("s", ANY, &[NewEvent::new("T", "")]).unwrap();
        },
        shows,
        |log| {
            assert_eq!(log.keep("k", expected, "loser").unwrap_err(), refused);
            assert!(shows(log));
        },
    );
}

/// Everybody counts up by reading, deciding and writing on the condition that nothing has changed. Nothing is lost, and after
/// each refusal the next look sees at least what was named in it.
#[test]
fn counting_up_over_a_slow_disk_loses_nothing() {
    const THREADS: u64 = 4;
    const EACH: u64 = 60;
    let storage = Gated::slow(Duration::from_micros(300));
    let log = Options::new().open_storage(Arc::new(storage)).unwrap();
    let count_kept = |log: &EventLog| loop {
        let kept = log.kept("count").unwrap();
        let (count, condition) = match &kept {
            Some(kept) => (
                u64::from_le_bytes(kept.value[..].try_into().unwrap()),
                KeptCondition::Revision(kept.revision.unwrap()),
            ),
            None => (0, KeptCondition::Absent),
        };
        match log.keep("count", condition, (count + 1).to_le_bytes()) {
            Ok(_) => return,
            Err(AppendError::KeptConflict { actual: Some(actual), .. }) => {
                let seen = log.kept("count").unwrap().unwrap().revision.unwrap();
                assert!(seen >= actual, "refused for revision {actual}, sees {seen}");
            }
            Err(error) => panic!("{error}"),
        }
    };
    let count_events = |log: &EventLog, by_handle: bool| loop {
        let version = log.stream_version("count");
        let count = log.last_event("count").unwrap().map_or(0, |event| event.version());
        let payload = count.to_le_bytes();
        let event = NewEvent::new("Counted", &payload);
        let expected = ExpectedVersion::Exact(version);
        let result = match by_handle {
            true => log.submit("count", expected, &[event]).and_then(Pending::wait),
            false => log.append("count", expected, &[event]),
        };
        match result {
            Ok(_) => return,
            Err(AppendError::Conflict { actual, .. }) => {
                assert!(actual > version && log.stream_version("count") >= actual);
                let seen = log.last_event("count").unwrap().unwrap().version();
                assert!(seen >= actual, "refused for version {actual}, sees {seen}");
            }
            Err(error) => panic!("{error}"),
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = &log;
            scope.spawn(move || {
                for i in 0..EACH {
                    if thread % 2 == 0 { count_kept(log) } else { count_events(log, i % 2 == 0) }
                }
            });
        }
    });
    let count = log.kept("count").unwrap().unwrap().value;
    assert_eq!(count[..], (THREADS / 2 * EACH).to_le_bytes());
    assert_eq!(log.stream_version("count"), THREADS / 2 * EACH);
    log.close().unwrap();
}
