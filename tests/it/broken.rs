//! An index file and the log damaged both, so that the index breaks under who reads: each answer is the truth, or an error.
//!
//! Owns the first answers, of those who meet the damage. What a log says once its index is known to be broken is in `layers.rs`,
//! as are files that are damaged while the log is sound.

use crate::scribe::u64_at;
use crate::shelf::{Files, Shown, drain, files_of, segment_name, shelve, shown};
use crate::simdisk::Rng;
use annals::storage::{Memory, Storage};
use annals::{
    Cursor, EventLog, ExpectedVersion, KeptCondition, LogState, NewEvent, Options, PoisonCause, Query,
    ReadError, RecordedEvent,
};
use std::sync::Arc;

const ANY: ExpectedVersion = ExpectedVersion::Any;
const EVENTS: u64 = 400;
/// How many parts an index file has (FORMAT.md section 13).
const PARTS: usize = 12;

fn open(memory: &Memory) -> EventLog {
    let options = Options::new().background(false).segment_bytes(64 << 10).index_after_bytes(4 << 10);
    options.open_storage(Arc::new(memory.clone())).unwrap()
}

fn names(files: &Files, extension: &str) -> Vec<String> {
    files.keys().filter(|name| name.ends_with(extension)).cloned().collect()
}

fn is_broken(log: &EventLog) -> bool {
    matches!(log.status().state, LogState::Poisoned(PoisonCause::Index(_)))
}

/// A log of one stream over some segments.
fn written() -> Files {
    let memory = Memory::new();
    let log = open(&memory);
    let shop = log.tenant("shop");
    (0..EVENTS).for_each(|_| _ = shop.append("s", ANY, &[NewEvent::new("T", &[1; 700])]).unwrap());
    log.close().unwrap();
    files_of(&memory)
}

/// Opens the log and damages one part of all its index files, and a frame in its middle: the byte of this number.
fn damaged(files: &Files, part: usize, byte: usize) -> EventLog {
    let memory = shelve(files);
    let log = open(&memory);
    for name in names(files, ".idx") {
        let (at, len) = (u64_at(&files[&name], 192 + 24 * part), u64_at(&files[&name], 200 + 24 * part));
        memory.open(&name, true).unwrap().write_at(at, &vec![9; len as usize]).unwrap();
    }
    let image = &files[&segment_name(2)];
    let frames = (4096..image.len()).filter(|at| image[*at..].starts_with(b"AFrm"));
    let at = frames.clone().nth(frames.count() / 2).unwrap() + byte;
    memory.open(&segment_name(2), true).unwrap().write_at(at as u64, &[!image[at]]).unwrap();
    log
}

/// Asks one question of logs that are damaged each in another part, and in the head of a frame, in its table, or in the id of its
/// stream.
fn each_damaged(ask: impl Fn(&EventLog, &str)) {
    let files = written();
    let mut broken = 0;
    for (part, byte) in (0..PARTS).flat_map(|part| [0, 80, 100].map(|byte| (part, byte))) {
        let log = damaged(&files, part, byte);
        ask(&log, &format!("part {part}, byte {byte}"));
        broken += u64::from(is_broken(&log));
    }
    assert!(broken > 0, "nobody has met the damage");
}

/// The newest event of all, or an error: not an older one, and not none.
fn newest(found: Result<Option<RecordedEvent>, ReadError>, what: &str) {
    if let Ok(found) = found {
        assert_eq!(found.map(|event| event.position()), Some(EVENTS), "{what}");
    }
}

fn first(cursor: Cursor) -> Result<Option<RecordedEvent>, ReadError> {
    cursor.into_iter().next().transpose()
}

#[test]
fn the_last_event_of_a_stream_is_no_older_one() {
    each_damaged(|log, what| newest(log.last_event("s"), what));
}

#[test]
fn the_newest_event_of_the_log_is_no_older_one() {
    each_damaged(|log, what| newest(first(log.read(&Query::everything().backward().limit(1))), what));
}

#[test]
fn the_newest_event_of_a_tenant_is_no_older_one() {
    let query = Query::everything().of_tenant("shop").backward().limit(1);
    each_damaged(|log, what| newest(first(log.read(&query)), what));
}

#[test]
fn the_newest_event_under_a_prefix_is_no_older_one() {
    let query = Query::prefix("s").backward().limit(1);
    each_damaged(|log, what| newest(first(log.read(&query)), what));
    each_damaged(|log, what| newest(log.last_event_under("s"), what));
}

/// Of this log, versions are positions.
#[test]
fn a_cursor_leaves_no_gap_and_ends_at_the_end_or_with_an_error() {
    let ways = [
        Query::stream("s"),
        Query::everything(),
        Query::prefix("s"),
        Query::everything().of_tenant("shop"),
        Query::stream("s").backward(),
        Query::everything().backward(),
        Query::prefix("s").backward(),
        Query::everything().of_tenant("shop").backward(),
    ];
    for (number, query) in ways.iter().enumerate() {
        each_damaged(|log, what| {
            let (given, error) = drain(log.read(query), EVENTS as usize);
            let given: Vec<u64> = given.iter().map(|event| event.position).collect();
            let mut all: Vec<u64> = (1..=EVENTS).collect();
            if number >= ways.len() / 2 {
                all.reverse();
            }
            assert!(all.starts_with(&given), "{what}: {query:?} gives {given:?}");
            assert!(
                error.is_some() || given.len() == all.len(),
                "{what}: {query:?} ends at {:?}",
                given.last()
            );
        });
    }
}

/// What cannot say that it does not know is right, or the log says that its index is broken.
#[test]
fn a_version_is_right_or_the_log_says_that_its_index_is_broken() {
    each_damaged(|log, what| {
        _ = log.last_event("s");
        _ = first(log.read_all_backward(u64::MAX));
        let (version, count) = (log.stream_version("s"), log.stream_count());
        assert!(is_broken(log) || (version, count) == (EVENTS, 1), "{what}: {version} {count}");
    });
}

/// A stream's tenant, by its name.
fn tenant_of(stream: &str) -> &'static str {
    ["shop", "inn"][usize::from(stream.ends_with(['0', '2', '4', '6', '8']))]
}

fn any_stream(rng: &mut Rng, streams: u64) -> String {
    format!("{}-{}", ["a", "b", "ab"][rng.below(3) as usize], rng.below(streams))
}

/// What a log held before it was damaged.
struct Truth {
    events: Vec<Shown>,
    kept: Vec<(String, Vec<u8>)>,
    streams: u64,
}

/// Three lives, of which some are closed.
fn lived(rng: &mut Rng, streams: u64) -> (Files, Truth) {
    let memory = Memory::new();
    for _ in 0..3 {
        let log = open(&memory);
        for _ in 0..80 {
            let mut batch = log.batch();
            for _ in 0..1 + rng.below(3) {
                let (stream, payload) = (any_stream(rng, streams), vec![7; rng.below(600) as usize]);
                let events = vec![
                    NewEvent::new(["T", "U"][rng.below(2) as usize], &payload);
                    1 + rng.below(3) as usize
                ];
                batch = batch.in_tenant(tenant_of(&stream)).append(&stream, ANY, &events);
            }
            let name = format!("k{}", rng.below(40));
            batch = match rng.below(8) {
                0 => batch.unkeep(&name, KeptCondition::Any),
                1 | 2 => batch.keep(&name, rng.next_u64().to_le_bytes()),
                _ => batch,
            };
            batch.commit().unwrap();
        }
        if rng.chance(2, 3) {
            log.close().unwrap();
        }
    }
    let log = open(&memory);
    let kept = log.list_kept("", None, usize::MAX).unwrap().into_iter();
    let truth = Truth {
        events: shown(&log),
        kept: kept.map(|kept| (kept.name, kept.value.to_vec())).collect(),
        streams,
    };
    (files_of(&memory), truth)
}

/// Writes something else to some places of one of the files: short runs, or now and then a long one.
fn spoil(memory: &Memory, extension: &str, rng: &mut Rng) {
    let files = files_of(memory);
    let names = names(&files, extension);
    let Some(name) = names.get(rng.below(names.len().max(1) as u64) as usize) else { return };
    let used = files[name].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1) as u64;
    let file = memory.open(name, true).unwrap();
    for _ in 0..1 + rng.below(if extension == ".idx" { 40 } else { 3 }) {
        let at = rng.below(used);
        let long = extension == ".idx" && rng.chance(1, 2);
        let len = (used - at).min(if long { rng.below(3000) } else { 1 });
        file.write_at(at, &vec![rng.below(256) as u8; len as usize]).unwrap();
    }
}

impl Truth {
    /// Asks for any events, in any way.
    fn ask_for_events(&self, log: &EventLog, rng: &mut Rng) {
        let pick = |rng: &mut Rng, of: &[&'static str]| of[rng.below(of.len() as u64) as usize];
        let (stream, prefix) =
            (any_stream(rng, self.streams), pick(rng, &["a", "a-", "b-1", "ab", "zz", "b"]));
        let scope = rng.below(3);
        let (mut query, end) = match scope {
            0 => (Query::stream(&stream), 20),
            1 => (Query::prefix(prefix), self.events.len() as u64),
            _ => (Query::everything(), self.events.len() as u64),
        };
        let bound = |rng: &mut Rng, none: u64| if rng.chance(1, 2) { none } else { rng.below(end + 2) };
        let (after, before) = (bound(rng, 0), bound(rng, u64::MAX));
        let limit = if rng.chance(1, 2) { usize::MAX } else { rng.below(5) as usize };
        let tenant = rng.chance(1, 3).then(|| pick(rng, &["shop", "inn"]));
        let event_type = rng.chance(1, 3).then_some("T");
        query = query.after(after).before(before).limit(limit as u64).of_types(event_type);
        if let Some(tenant) = tenant {
            query = query.of_tenant(tenant);
        }
        let is_wanted = |event: &&Shown| {
            let (in_scope, place) = match scope {
                0 => (event.stream == stream, event.version),
                1 => (event.stream.starts_with(prefix), event.position),
                _ => (true, event.position),
            };
            in_scope
                && (after.saturating_add(1)..before).contains(&place)
                && tenant.is_none_or(|tenant| tenant_of(&event.stream) == tenant)
                && event_type.is_none_or(|event_type| event.event_type == event_type)
        };
        let mut wanted: Vec<&Shown> = self.events.iter().filter(is_wanted).collect();
        if rng.chance(1, 2) {
            query = query.backward();
            wanted.reverse();
        }
        wanted.truncate(limit);
        let mut given = Vec::new();
        let error = if rng.chance(1, 2) {
            let end = log.read(&query).try_fold((), |(), event| {
                given.push(Shown::from(event));
                Ok::<_, ReadError>(())
            });
            end.err()
        } else {
            let (drained, error) = drain(log.read(&query), self.events.len());
            given = drained;
            error
        };
        let is_right =
            given.len() <= wanted.len() && given.iter().zip(&wanted).all(|(given, wanted)| given == *wanted);
        assert!(is_right, "{query:?} gives {given:?}");
        assert!(error.is_some() || given.len() == wanted.len(), "{query:?} ends early");
    }

    /// Asks for one event, one value, or what is known of a stream.
    fn ask_for_one(&self, log: &EventLog, rng: &mut Rng) {
        let stream = any_stream(rng, self.streams);
        let same = |found: Result<Option<RecordedEvent>, ReadError>, wanted: Option<&Shown>| {
            if let Ok(found) = found {
                assert_eq!(found.map(|event| Shown::from(event.as_event())).as_ref(), wanted);
            }
        };
        match rng.below(4) {
            0 => {
                let last = self.events.iter().rfind(|event| event.stream == stream);
                same(log.last_event(&stream), last);
                let version = log.stream_version(&stream);
                assert!(
                    is_broken(log) || version == last.map_or(0, |event| event.version),
                    "{stream}: {version}"
                );
            }
            1 => {
                let last = self.events.iter().rfind(|event| event.stream.starts_with("ab-"));
                same(log.last_event_under("ab-"), last);
            }
            2 => {
                let position = 1 + rng.below(self.events.len() as u64 + 2);
                same(log.event_at(position), self.events.get(position as usize - 1));
            }
            _ => {
                let of =
                    |wanted: &dyn Fn(&str) -> bool| self.kept.iter().filter(|kept| wanted(&kept.0)).collect();
                let name = format!("k{}", rng.below(40));
                if let Ok(kept) = log.kept(&name) {
                    let wanted: Vec<_> = of(&|of| of == name);
                    assert_eq!(
                        kept.as_ref().map(|kept| &kept.value[..]),
                        wanted.first().map(|kept| &kept.1[..])
                    );
                }
                if let Ok(kept) = log.list_kept("k1", None, usize::MAX) {
                    let wanted: Vec<_> = of(&|of| of.starts_with("k1"));
                    let listed = kept.into_iter().map(|kept| (kept.name, kept.value.to_vec()));
                    assert!(listed.eq(wanted.into_iter().cloned()));
                }
            }
        }
    }
}

/// Whatever is spoilt while the log is open, and whoever asks first.
#[test]
fn no_answer_is_wrong_while_files_are_spoilt() {
    let mut broken = 0;
    for seed in 0..200 {
        let (files, truth) = lived(&mut Rng::new(seed), [3, 12, 60][seed as usize % 3]);
        for round in 0..12 {
            let mut rng = Rng::new(1000 * (seed + 1) + round);
            let memory = shelve(&files);
            let log = open(&memory);
            (0..1 + rng.below(3)).for_each(|_| spoil(&memory, ".idx", &mut rng));
            if rng.chance(1, 2) {
                spoil(&memory, ".seg", &mut rng);
            }
            for _ in 0..12 {
                if rng.chance(2, 3) {
                    truth.ask_for_events(&log, &mut rng);
                } else {
                    truth.ask_for_one(&log, &mut rng);
                }
            }
            broken += u64::from(is_broken(&log));
        }
    }
    assert!(broken > 10, "{broken} have broken");
}

/// A loop over a cursor comes to its end, whatever becomes of the index.
#[test]
fn a_cursor_that_was_told_an_error_yields_nothing_more() {
    let files = written();
    let log = damaged(&files, 4, 0);
    assert!(log.last_event("s").is_err());
    for query in [Query::stream("s"), Query::everything(), Query::prefix("s"), Query::stream("none")] {
        for query in [query.clone(), query.backward()] {
            let errors = log.read(&query).into_iter().take(1000).filter(Result::is_err).count();
            assert_eq!(errors, 1, "{query:?}");
        }
    }
}
