//! Single damaged bits: of a segment in use, and of one that is opened anew.
//!
//! Owns the rule that one bit turns no answer into a wrong one, whichever bit it is and whoever asks. Whole pages, files and
//! tails are in `damage.rs`; bytes of index files, in `layers.rs`.

use crate::shelf::{Shown, drain, drain_owned, files_of, segment_name, shelve, shown};
use annals::storage::{Disk, Memory, Storage};
use annals::{
    AppendError, EventLog, ExpectedVersion, IndexUse, Location, LogState, NewEvent, Options, Query,
    ReadError, Uuid,
};
use std::sync::Arc;

const ANY: ExpectedVersion = ExpectedVersion::Any;
const FIRST_FRAME: usize = 4096;
const RECORD_HEAD: usize = 16;
const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

fn options() -> Options {
    Options::new().background(false).segment_bytes(64 << 10).index_after_bytes(4 << 10)
}

/// Opens it as it was left, or without anything that an open could spare itself by.
fn open(memory: &Memory, with_index: bool) -> EventLog {
    if !with_index {
        let files = files_of(memory);
        let beside = files.keys().filter(|name| !name.ends_with(".seg"));
        beside.for_each(|name| memory.remove(name).unwrap());
    }
    let log = options().open_storage(Arc::new(memory.clone())).unwrap();
    assert_eq!(matches!(log.recovery().index, IndexUse::Covers { .. }), with_index, "{:?}", log.recovery());
    log
}

/// The nth event. It takes 32 bytes, or with an id 64: then one bit of a length can lead from one event right behind the next.
fn event(n: usize) -> NewEvent<'static> {
    let with_id = !n.is_multiple_of(3);
    let payload = &LETTERS[n..n + if with_id { 30 } else { 14 }];
    let event = NewEvent::new(["T", "U"][n % 2], payload).with_metadata("m");
    if with_id { event.with_id(id(n as u8)) } else { event }
}

fn id(n: u8) -> Uuid {
    Uuid::from_bytes([0xD0 + n; 16])
}

/// Enough for an index file.
fn fill(log: &EventLog) {
    log.append("filler", ANY, &[NewEvent::new("T", &[1; 4096])]).unwrap();
}

/// The first segment, whose bits are flipped one by one and back again.
struct Flipping<'a> {
    storage: &'a dyn Storage,
    image: Vec<u8>,
}

impl Flipping<'_> {
    fn new(storage: &dyn Storage) -> Flipping<'_> {
        let file = storage.open(&segment_name(1), false).unwrap();
        let mut image = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut image).unwrap();
        let used = image.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        image.truncate(used);
        Flipping { storage, image }
    }

    /// Where the filler's frame ends.
    fn behind_filler(&self) -> usize {
        FIRST_FRAME + self.image[FIRST_FRAME + 4..].windows(4).position(|bytes| bytes == b"AFrm").unwrap() + 4
    }

    /// Shows each of these bits, by its byte and its number, while it is wrong.
    fn each(&self, bytes: std::ops::Range<usize>, mut show: impl FnMut((usize, u8))) {
        let file = self.storage.open(&segment_name(1), true).unwrap();
        for at in bytes {
            for bit in 0..8 {
                file.write_at(at as u64, &[self.image[at] ^ 1 << bit]).unwrap();
                show((at, bit));
            }
            file.write_at(at as u64, &self.image[at..=at]).unwrap();
        }
    }
}

/// What was given before the error is the beginning of what is true; without an error it is all of it.
#[track_caller]
fn right(
    (given, error): (Vec<Shown>, Option<ReadError>),
    truth: &[Shown],
    query: &Query,
    damaged: Option<(usize, u8)>,
) {
    assert!(truth.starts_with(&given), "{damaged:?}: {query:?} gives {given:?}");
    match error {
        Some(error) => assert!(damaged.is_some(), "{query:?}: {error}"),
        None => assert_eq!(given.len(), truth.len(), "{damaged:?}: {query:?} ends early"),
    }
}

fn folded(log: &EventLog, query: &Query) -> (Vec<Shown>, Option<ReadError>) {
    let mut given = Vec::new();
    let end = log.read(query).try_fold((), |(), event| {
        given.push(Shown::from(event));
        Ok::<_, ReadError>(())
    });
    (given, end.err())
}

/// Everything that a log of `streams_of_two_tenants` is asked, and what is true.
struct Asked {
    truth: Vec<Shown>,
    queries: Vec<(Query, Vec<Shown>)>,
}

impl Asked {
    fn of(truth: Vec<Shown>) -> Asked {
        let mut asked = Asked { truth, queries: Vec::new() };
        let last = asked.truth.len() as u64;
        for stream in ["s", "t", "u"] {
            let is_of = |event: &Shown| event.stream == stream;
            let last = asked.truth.iter().filter(|event| is_of(event)).count() as u64;
            for version in 0..=last {
                asked.add(Query::stream(stream), version, |event| is_of(event).then_some(event.version));
            }
            for position in [0, 3, last] {
                asked.add(Query::prefix(stream), position, |event| is_of(event).then_some(event.position));
            }
        }
        for position in [0, 1, 3, 6, 10, last] {
            asked.add(Query::everything(), position, |event| Some(event.position));
        }
        for position in [0, 2, last - 1] {
            let is_shop = |event: &Shown| ["s", "t"].contains(&&*event.stream);
            let shop = Query::everything().of_tenant("shop");
            asked.add(shop, position, |event| is_shop(event).then_some(event.position));
            let inn = Query::everything().of_tenant("inn");
            asked.add(inn, position, |event| (event.stream == "u").then_some(event.position));
            let other = Query::everything().of_types(["U"]);
            asked.add(other, position, |event| (event.event_type == "U").then_some(event.position));
        }
        asked
    }

    /// What comes behind a place, and backward, what comes up to it. `place` says where an event stands, if it is asked for.
    fn add(&mut self, query: Query, at: u64, place: impl Fn(&Shown) -> Option<u64>) {
        let of = |wanted: &dyn Fn(u64) -> bool| {
            let events = self.truth.iter().filter(|event| place(event).is_some_and(wanted));
            events.cloned().collect::<Vec<_>>()
        };
        let (behind, mut before) = (of(&|place| place > at), of(&|place| place <= at));
        before.reverse();
        self.queries.push((query.clone().after(at), behind));
        self.queries.push((query.before(at + 1).backward(), before));
    }

    /// Each answer is right, or an error if a bit is wrong.
    fn of_log(&self, log: &EventLog, damaged: Option<(usize, u8)>) {
        let most = self.truth.len();
        for (query, truth) in &self.queries {
            right(drain(log.read(query), most), truth, query, damaged);
            right(drain_owned(log.read(query), most), truth, query, damaged);
            right(folded(log, query), truth, query, damaged);
        }
        let same =
            |what: &str, event: Result<Option<annals::RecordedEvent>, ReadError>, truth: Option<&Shown>| {
                match event {
                    Ok(event) => {
                        let event = event.map(|event| Shown::from(event.as_event()));
                        assert_eq!(event.as_ref(), truth, "{damaged:?}: {what}");
                    }
                    Err(error) => assert!(damaged.is_some(), "{what}: {error}"),
                }
            };
        for event in &self.truth {
            same("event_at", log.event_at(event.position), Some(event));
            same("event_by_id", log.event_by_id(Uuid::from_bytes(event.id)), Some(event));
        }
        same("event_at", log.event_at(most as u64 + 1), None);
        for stream in ["s", "t", "u"] {
            let last = self.truth.iter().rfind(|event| event.stream == stream);
            same("last_event", log.last_event(stream), last);
            same("last_event_under", log.last_event_under(stream), last);
        }
        match log.kept("k") {
            Ok(kept) => assert_eq!(kept.unwrap().value[..], *b"second", "{damaged:?}: kept"),
            Err(error) => assert!(damaged.is_some(), "kept: {error}"),
        }
        match log.list_kept("", None, 9) {
            Ok(kept) => assert_eq!(kept[0].value[..], *b"second", "{damaged:?}: list_kept"),
            Err(error) => assert!(damaged.is_some(), "list_kept: {error}"),
        }
    }
}

/// Sections of one event and of several, streams twice in a batch and in turns, beside a value that is kept.
fn streams_of_two_tenants(log: &EventLog) {
    fill(log);
    let shop = |log: &EventLog, events: [usize; 6], value: &str| {
        let events = events.map(event);
        let batch = log.batch().in_tenant("shop").append("s", ANY, &events[..3]);
        let batch = batch.append("t", ANY, &events[3..5]).append("s", ANY, &events[5..]);
        batch.keep("k", value).commit().unwrap();
    };
    shop(log, [0, 1, 2, 4, 5, 3], "first");
    log.tenant("inn").append("u", ANY, &[event(7), event(8)]).unwrap();
    shop(log, [9, 10, 11, 13, 14, 12], "second");
}

fn no_bit_makes_an_answer_wrong(storage: &dyn Storage, log: &EventLog) {
    let flipping = Flipping::new(storage);
    let asked = Asked::of(shown(log));
    asked.of_log(log, None);
    flipping.each(flipping.behind_filler()..flipping.image.len(), |bit| asked.of_log(log, Some(bit)));
    asked.of_log(log, None);
    assert_eq!(log.status().state, LogState::Open);
}

/// A directory with a log in it that was closed.
fn closed(write: impl Fn(&EventLog)) -> Memory {
    let memory = Memory::new();
    let log = options().open_storage(Arc::new(memory.clone())).unwrap();
    write(&log);
    log.close().unwrap();
    memory
}

#[test]
fn no_bit_makes_an_answer_wrong_with_an_index_file() {
    let memory = closed(streams_of_two_tenants);
    no_bit_makes_an_answer_wrong(&memory, &open(&memory, true));
}

#[test]
fn no_bit_makes_an_answer_wrong_without_an_index_file() {
    let memory = closed(streams_of_two_tenants);
    no_bit_makes_an_answer_wrong(&memory, &open(&memory, false));
}

/// Where folds are lent what they read.
#[test]
fn no_bit_makes_an_answer_wrong_in_a_mapped_segment() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path(), false).unwrap();
    let log = options().open(dir.path()).unwrap();
    streams_of_two_tenants(&log);
    log.close().unwrap();
    no_bit_makes_an_answer_wrong(&disk, &options().open(dir.path()).unwrap());
}

/// One section of six events, and where each of them begins in its segment.
fn a_section(log: &EventLog) {
    fill(log);
    let events: Vec<_> = (0..6).map(|n| NewEvent::new("T", &LETTERS[n..n + 14]).with_metadata("m")).collect();
    log.append("s", ANY, &events).unwrap();
}

/// Shows each bit of each event, by the event's version, the place where it begins, and the byte in it.
fn each_bit_of_an_event(mut show: impl FnMut(&EventLog, u64, Location, usize)) {
    for with_index in [true, false] {
        let memory = closed(a_section);
        let log = open(&memory, with_index);
        let flipping = Flipping::new(&memory);
        for version in 1..=6 {
            let payload = &LETTERS[version - 1..version + 13];
            let payload_at = flipping.image.windows(14).position(|bytes| bytes == payload).unwrap();
            let begin = payload_at - 2 - RECORD_HEAD;
            let place = Location { segment: 1, offset: begin as u64 };
            flipping.each(begin..payload_at + 14, |(at, _)| show(&log, version as u64, place, at - begin));
        }
    }
}

/// Versions up to the last one or up to an error, and the place that the error names.
fn versions(log: &EventLog, query: &Query) -> (Vec<u64>, Option<Location>) {
    let (given, error) = drain(log.read(query), 6);
    assert_eq!(folded(log, query), (given.clone(), error.clone()), "a fold is told the same");
    let place = error.map(|error| match error {
        ReadError::Corrupt(corruption) => corruption.at,
        other => panic!("{other}"),
    });
    (given.iter().map(|event| event.version).collect(), place)
}

/// The version at a position, or the place of the error. The filler has the first one.
fn version_at(log: &EventLog, version: u64) -> Result<u64, Location> {
    match log.event_at(1 + version) {
        Ok(event) => Ok(event.unwrap().version()),
        Err(ReadError::Corrupt(corruption)) => Err(corruption.at),
        Err(other) => panic!("{other}"),
    }
}

/// Whatever is wrong with an event, also how long it is: one that comes before it can be read from everywhere.
#[test]
fn what_stands_before_a_damaged_event_is_read_and_the_damaged_one_is_named() {
    each_bit_of_an_event(|log, damaged, place, byte| {
        for after in 0..damaged {
            let read = (after + 1..damaged).collect::<Vec<_>>();
            let stream = versions(log, &Query::stream("s").after(after));
            assert_eq!(stream, (read.clone(), Some(place)), "byte {byte} of {damaged}, after {after}");
            let everything = versions(log, &Query::everything().after(1 + after));
            assert_eq!(everything, (read, Some(place)), "byte {byte} of {damaged}, log after {after}");
            let back = (1..=after).rev().collect::<Vec<_>>();
            let backward = versions(log, &Query::stream("s").before(after + 1).backward());
            assert_eq!(backward, (back, None), "byte {byte} of {damaged}, before {after}");
        }
        for version in 1..damaged {
            assert_eq!(version_at(log, version), Ok(version), "byte {byte} of {damaged}");
        }
        assert_eq!(version_at(log, damaged), Err(place), "byte {byte} of {damaged}");
    });
}

/// Where an event ends is known unless its lengths are what is wrong.
#[test]
fn what_stands_behind_a_damaged_event_is_read_from_behind_it() {
    each_bit_of_an_event(|log, damaged, place, byte| {
        let says_how_long = (4..RECORD_HEAD).contains(&byte);
        for after in damaged..6 {
            let (given, error) = versions(log, &Query::stream("s").after(after));
            let at = version_at(log, after + 1);
            if says_how_long && error.is_some() {
                assert_eq!((given, error, at), (vec![], Some(place), Err(place)), "byte {byte} of {damaged}");
            } else {
                let rest = (after + 1..=6).collect::<Vec<_>>();
                assert_eq!((given, error, at), (rest, None, Ok(after + 1)), "byte {byte} of {damaged}");
            }
        }
        let (given, error) = versions(log, &Query::stream("s").backward());
        let behind = (damaged + 1..=6).rev().collect::<Vec<_>>();
        assert!(given == behind || says_how_long && given.is_empty(), "byte {byte} of {damaged}: {given:?}");
        assert_eq!(error, Some(place), "byte {byte} of {damaged}");
    });
}

/// Appends something, or finds that it was; whether it is a repeat.
type Append = fn(&EventLog) -> Result<bool, AppendError>;

/// A payload may look like an event. A length that is wrong by one bit then leads to it, and from there to the next event, which
/// would be taken for the one behind it.
#[test]
fn a_wrong_length_does_not_lead_through_a_payload() {
    // The first event is as long as 96 bytes of payload make it; with 64, it ends where the payload has a head of its own.
    let mut payload = [b'p'; 96];
    payload[71..87].copy_from_slice(&[0, 0, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    let payloads = [&payload[..], b"second", b"third"];
    let events = payloads.map(|payload| NewEvent::new("T", payload));
    for with_index in [true, false] {
        let memory = closed(|log| {
            fill(log);
            log.append("s", ANY, &events).unwrap();
        });
        let log = open(&memory, with_index);
        let flipping = Flipping::new(&memory);
        let at = flipping.image.windows(96).position(|bytes| bytes == payload).unwrap() - 1 - RECORD_HEAD;
        flipping.each(at + 4..at + 5, |(_, bit)| {
            for after in 1..=2 {
                let (given, error) = drain(log.read(&Query::stream("s").after(after)), 3);
                assert_eq!(error.is_some(), bit >= 3, "bit {bit}: the others change the padding only");
                for event in given {
                    assert_eq!(*event.payload, *payloads[event.version as usize - 1], "bit {bit}");
                }
                assert_eq!(version_at(&log, after + 1).is_err(), bit >= 3, "bit {bit}");
            }
        });
    }
}

/// Appends that carry ids, each of them its own way: with one id or several, in a tenant, in a batch.
const KEYED: [Append; 5] = [
    |log| Ok(log.append("s", ANY, &[event(1)])?.repeated),
    |log| Ok(log.append("s", ANY, &[event(2), event(3), event(4)])?.repeated),
    |log| Ok(log.tenant("shop").append("t", ANY, &[event(5), event(7)])?.repeated),
    |log| {
        let batch = log.batch().in_tenant("inn").append("u", ANY, &[event(8), event(9)]);
        Ok(batch.append("v", ANY, &[event(10)]).keep("k", "value").commit()?.repeated)
    },
    |log| Ok(log.tenant("shop").append("t", ANY, &[event(11), event(12)])?.repeated),
];

/// Which of them carry one id only.
const OF_ONE_ID: [(usize, u8); 2] = [(0, 1), (4, 11)];

/// An append whose only id is damaged is not known any more.
#[test]
fn no_bit_lets_an_append_in_a_second_time_except_one_of_its_only_id() {
    let memory = closed(|log| {
        fill(log);
        KEYED.iter().for_each(|append| assert_eq!(append(log), Ok(false)));
    });
    let flipping = Flipping::new(&memory);
    let is_id = |n: u8, at: usize| {
        let id = id(n).into_bytes();
        let from = flipping.image.windows(16).position(|bytes| bytes == id).unwrap();
        (from..from + 16).contains(&at)
    };
    let repeat = |(at, bit): (usize, u8)| {
        let copy = shelve(&files_of(&memory));
        let Ok(log) = options().open_storage(Arc::new(copy)) else { return };
        for (append, repeat) in KEYED.iter().enumerate() {
            let forgotten = OF_ONE_ID.iter().any(|(of, n)| *of == append && is_id(*n, at));
            assert!(forgotten || repeat(&log) != Ok(false), "append {append}, bit {bit} of byte {at}");
        }
    };
    flipping.each(flipping.behind_filler()..flipping.image.len(), repeat);
    KEYED.iter().for_each(|append| assert_eq!(append(&open(&memory, true)), Ok(true)));
}
