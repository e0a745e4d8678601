//! Folding shows what going from event to event shows, and ends where that ends: whatever the events' types, however they lie in
//! their sections, wherever one begins, and whatever byte on the disk is wrong.

use annals::{Cursor, EventLog, ExpectedVersion, NewEvent, Options, Query, ReadError, ReadMode};
use std::fs;
use std::path::Path;

const ANY: ExpectedVersion = ExpectedVersion::Any;
const ROUNDS: usize = 90;

fn options() -> Options {
    Options::new().background(false).segment_bytes(64 << 10).index_after_bytes(32 << 10)
}

/// What is shown of an event.
type Shown = (u64, u64, String, Vec<u8>);

/// What was shown of a stream, and the error at which it ended.
type Seen = (Vec<Shown>, Option<String>);

fn shown(event: &annals::Event<'_>) -> Shown {
    assert_eq!(event.stream(), "s");
    (event.version(), event.position(), event.event_type().to_owned(), event.payload().to_vec())
}

fn folded(cursor: Cursor) -> Seen {
    let mut events = Vec::new();
    let end = cursor.try_fold((), |(), event| {
        events.push(shown(&event));
        Ok::<(), ReadError>(())
    });
    (events, end.err().map(|error| error.to_string()))
}

fn walked(mut cursor: Cursor) -> Seen {
    let mut events = Vec::new();
    loop {
        match cursor.next() {
            Ok(Some(event)) => events.push(shown(&event)),
            Ok(None) => return (events, None),
            Err(error) => return (events, Some(error.to_string())),
        }
    }
}

/// Two streams in turn, with one to four events at a time, of types that change in between and from time to time.
fn fill(log: &EventLog) {
    let types = ["Opened", "Credited", "Credited", "Debited", "Closed"];
    for round in 0..ROUNDS {
        let payload = vec![round as u8; 150 + round];
        let events: Vec<NewEvent<'_>> =
            (0..=round % 4).map(|i| NewEvent::new(types[(round / 3 + i) % 5], &payload)).collect();
        log.batch().append("t", ANY, &events).append("s", ANY, &events).commit().unwrap();
    }
}

fn filled(dir: &Path) -> u64 {
    let log = options().open(dir).unwrap();
    fill(&log);
    let last = log.stream_version("s");
    log.close().unwrap();
    last
}

/// The same from a fold and from a walk, and without an error; how many events that are.
fn alike(log: &EventLog, query: &Query, what: &str) -> u64 {
    let (events, error) = folded(log.read(query));
    assert_eq!((&events, &error), (&walked(log.read(query)).0, &None), "{what}");
    events.len() as u64
}

#[test]
fn a_fold_shows_what_a_walk_shows_from_wherever_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    // In files, and behind them in memory.
    for (read_mode, verify) in [(ReadMode::Map, true), (ReadMode::Map, false), (ReadMode::Pread, true)] {
        let log = options().read_mode(read_mode).verify_reads(verify).open(dir.path()).unwrap();
        fill(&log);
        let last = log.stream_version("s");
        for after in (0..=last + 1).step_by(if read_mode == ReadMode::Map { 1 } else { 7 }) {
            let what = format!("after {after}, {read_mode:?}, verify {verify}");
            for length in [0, 1, 2, 3, 5, 8, last] {
                let some = Query::stream("s").after(after).before(after + length + 1);
                let there = last.saturating_sub(after).min(length);
                assert_eq!(alike(&log, &some, &what), there, "{length} {what}");
            }
            let all = Query::stream("s").after(after);
            alike(&log, &all.clone().backward(), &what);
            alike(&log, &all.clone().of_types(["Debited"]), &what);
            alike(&log, &all.limit(9), &what);
        }
        log.close().unwrap();
    }
}

#[test]
fn a_fold_does_not_see_what_is_appended_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let last = filled(dir.path());
    let log = options().open(dir.path()).unwrap();
    let count = log
        .read_stream("s", 0)
        .try_fold(0, |count, _| {
            log.append("s", ANY, &[NewEvent::new("Credited", b"late")]).unwrap();
            Ok::<u64, ReadError>(count + 1)
        })
        .unwrap();
    assert_eq!((count, log.stream_version("s")), (last, 2 * last));
    log.close().unwrap();
}

#[test]
fn a_fold_ends_at_the_same_event_as_a_walk_whatever_byte_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let last = filled(dir.path());
    let file = dir.path().join(format!("{:020}.seg", 1));
    let bytes = fs::read(&file).unwrap();
    let used = bytes[..bytes.len() - 4096].iter().rposition(|byte| *byte != 0).unwrap();
    assert!(used > 50_000, "the first segment is not full: {used}");
    let (mut ended, mut odd) = (0, 0);
    // Every byte of the first frames, and some of the others.
    for at in (4096..5600).chain((5600..used).step_by(97)) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&file, &damaged).unwrap();
        let Ok(log) = options().open(dir.path()) else { continue };
        for after in [0, last / 3] {
            let (events, error) = folded(log.read_stream("s", after));
            let (walked, told) = walked(log.read_stream("s", after));
            assert_eq!((&events, &error), (&walked, &told), "byte {at}");
            ended += usize::from(error.is_some());
            odd += usize::from(error.is_some() && !events.is_empty());
        }
        log.close().unwrap();
    }
    assert!(ended > 300 && odd > 200, "{ended} folds ended early, {odd} of them on the way");
}
