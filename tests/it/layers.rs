//! Index files: whatever the index has in files, all answers are those of the log read anew.
//!
//! Owns the comparison of everything that a log can be asked, the damage to files while they are in use and between two uses,
//! and what an open spares by them. What the files are made of is tested beside their code; crashes while they are made, in
//! `crash.rs`.

use crate::scribe::{Checkpoint, u64_at};
use crate::shelf::{Files, files_of, shelve};
use crate::simdisk::{Rng, SimDisk};
use annals::storage::{Disk, Memory, Storage};
use annals::{
    AppendError, EventLog, ExpectedVersion, IndexUse, KeptCondition, KeptValue, LogState, NewEvent, Options,
    PoisonCause, Query, ReadError, ReadMode,
};
use proving::Gated;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ANY: ExpectedVersion = ExpectedVersion::Any;

/// An index file for each full segment, and at each close.
pub(crate) fn options() -> Options {
    Options::new().background(false).segment_bytes(64 << 10).index_after_bytes(4 << 10)
}

fn open(memory: &Memory) -> EventLog {
    options().open_storage(Arc::new(memory.clone())).unwrap()
}

fn name(n: u64) -> String {
    match n % 4 {
        0 => format!("order/{n:05}"),
        1 => format!("order-{n}"),
        2 => format!("ü{n}").repeat(1 + n as usize % 40),
        _ => format!("{n}"),
    }
}

/// Some life: streams of tenants and of none, created, cut and ended; kept values that come, change and go.
pub(crate) fn live(log: &EventLog, rng: &mut Rng, steps: u64, streams: u64) {
    for _ in 0..steps {
        let mut batch = log.batch();
        for _ in 0..1 + rng.below(4) {
            let stream = name(rng.below(streams));
            let tenant = format!("tenant-{}", stream.len() % 5);
            let payload = vec![rng.below(256) as u8; rng.below(400) as usize];
            let events = vec![NewEvent::new("T", &payload); 1 + rng.below(3) as usize];
            let gone = log.stream_info(&stream).is_some_and(|info| info.tombstoned);
            if gone {
                continue;
            }
            if rng.chance(1, 3) && log.stream_info(&stream).is_none_or(|info| info.tenant.is_none()) {
                batch = batch.in_tenant(&tenant);
            }
            batch = match rng.below(40) {
                0 => batch.create(&stream, ANY, b"attributes"),
                1 => batch.truncate_before(&stream, 1 + log.stream_version(&stream) / 2, ANY),
                _ => batch.append(&stream, ANY, &events),
            };
        }
        let key = format!("kept/{}", name(rng.below(streams / 2 + 1)));
        batch = if rng.chance(1, 3) {
            batch.unkeep(&key, KeptCondition::Any)
        } else {
            batch.keep(&key, vec![7; rng.below(50) as usize])
        };
        match batch.commit() {
            // A tenant was named for what came before it in the batch, or for a stream of another one.
            Ok(_) | Err(AppendError::ForeignTenant { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        if rng.chance(1, 200) {
            let stream = name(rng.below(streams));
            if log.stream_info(&stream).is_some_and(|info| !info.tombstoned) {
                log.tombstone(&stream, ANY).unwrap();
            }
        }
    }
}

/// Everything that a log can be asked about what it holds, as text.
pub(crate) fn everything(log: &EventLog, streams: u64) -> Vec<String> {
    let mut all = Vec::new();
    let mut say = |what: String| all.push(what);
    say(format!("{} {} {}", log.stream_count(), log.last_position(), log.id()));
    let positions = |query: &Query| -> Vec<u64> {
        log.read(query).into_iter().map_while(Result::ok).map(|event| event.position()).collect()
    };
    for n in 0..streams + 3 {
        let id = name(n);
        say(format!("{id}: {} {:?}", log.stream_version(&id), log.stream_info(&id)));
        let version = log.stream_version(&id);
        for after in [0, version / 3, version.saturating_sub(2), version] {
            let read: Vec<String> = log
                .read_stream(&id, after)
                .into_iter()
                .map(|event| {
                    event.map_or_else(|e| e.to_string(), |e| format!("{}@{}", e.version(), e.position()))
                })
                .collect();
            say(format!("{id} after {after}: {read:?}"));
        }
        let back: Vec<_> = log.read_stream_backward(&id, version / 2 + 1).into_iter().collect();
        say(format!("{id} backward: {back:?}"));
        say(format!("{:?}", log.last_event(&id)));
        let kept = log.kept(&format!("kept/{id}"));
        say(format!("kept {id}: {:?}", kept.map(|kept| kept.map(|kept| (kept.revision, kept.value.len())))));
    }
    for prefix in ["", "order", "order/", "order/0000", "1", "ü", "zz"] {
        let ids = log.list_streams(prefix, None, usize::MAX);
        say(format!("{prefix}: {} {ids:?}", log.count_streams(prefix)));
        let paged: Vec<String> = std::iter::successors(Some(String::new()), |after| {
            log.list_streams(prefix, Some(after), 7).pop()
        })
        .collect();
        say(format!("{paged:?} {:?}", log.list_stream_infos(prefix, Some("order/00003"), 3)));
        say(format!("{:?}", log.last_event_under(prefix)));
        let end = log.last_position();
        for query in [
            Query::prefix(prefix),
            Query::prefix(prefix).after(end / 2),
            Query::prefix(prefix).before(end / 3),
        ] {
            say(format!("{:?} {:?}", positions(&query), positions(&query.backward().limit(9))));
        }
        let names = |kept: Result<Vec<KeptValue>, ReadError>| -> Result<Vec<_>, ReadError> {
            Ok(kept?.into_iter().map(|kept| (kept.name, kept.revision)).collect())
        };
        let kept = names(log.list_kept(&format!("kept/{prefix}"), None, usize::MAX));
        say(format!("{} {kept:?}", log.count_kept(&format!("kept/{prefix}"))));
        say(format!("{:?}", names(log.list_kept("kept/", Some(&format!("kept/{prefix}")), 5))));
    }
    for tenant in log.list_tenants(None, usize::MAX).iter().map(String::as_str).chain(["none"]) {
        let tenant_log = log.tenant(tenant);
        say(format!("{tenant}: {} {:?}", tenant_log.stream_count(), log.list_tenants(Some(tenant), 1)));
        for offset in [0, 1, 30, 63, 64, 65, 100, 1000, u64::MAX] {
            let page: Vec<_> = tenant_log.list_streams(offset, 5).into_iter().map(|info| info.id).collect();
            say(format!("{tenant} {offset}: {page:?}"));
        }
        say(format!("{:?}", positions(&Query::everything().of_tenant(tenant).limit(50))));
    }
    let end = log.last_position();
    for position in [1, 2, end / 3, end / 2, end - 1, end, end + 1] {
        let event =
            log.event_at(position).map(|event| event.map(|it| (it.stream().to_owned(), it.version())));
        say(format!("{position}: {event:?}"));
        let before = positions(&Query::everything().before(position).backward().limit(3));
        say(format!("{before:?} {:?}", positions(&Query::everything().after(position).limit(3))));
    }
    all
}

/// The files without anything that an open could spare itself by.
fn bare(files: &Files) -> Memory {
    shelve(
        &files
            .iter()
            .filter(|(name, _)| name.ends_with(".seg"))
            .map(|(n, b)| (n.clone(), b.clone()))
            .collect(),
    )
}

pub(crate) fn indexes(files: &Files) -> Vec<String> {
    files.keys().filter(|name| name.ends_with(".idx")).cloned().collect()
}

fn alike(log: &EventLog, files: &Files, streams: u64, what: &str) {
    let anew = Options::new().background(false).index_after_bytes(1 << 30);
    let anew = anew.open_storage(Arc::new(bare(files))).unwrap();
    assert_eq!(anew.recovery().index, IndexUse::Missing);
    for (is, want) in everything(log, streams).iter().zip(everything(&anew, streams)) {
        assert_eq!(*is, want, "{what}");
    }
}

#[test]
fn with_files_and_without_a_log_says_the_same() {
    for seed in 0..6 {
        let (memory, mut rng) = (Memory::new(), Rng::new(seed));
        let streams = [20, 300][seed as usize % 2];
        for round in 0..6 {
            let log = open(&memory);
            live(&log, &mut rng, 250, streams);
            let files = files_of(&memory);
            assert!(!indexes(&files).is_empty(), "files are made beside the log");
            alike(&log, &files, streams, "while it is written");
            log.close().unwrap();
            drop(log);
            let files = files_of(&memory);
            let log = open(&memory);
            let last = log.last_position();
            assert_eq!(log.recovery().index, IndexUse::Covers { position: last }, "round {round}");
            assert_eq!((log.recovery().frames, log.recovery().events), (0, last), "nothing is read anew");
            assert!(indexes(&files).len() < 12, "{:?}", indexes(&files));
            alike(&log, &files, streams, "opened again");
        }
    }
}

/// As after a kill: what no file speaks of is read from the log.
#[test]
fn what_no_file_speaks_of_is_read_from_the_log() {
    let (memory, mut rng) = (Memory::new(), Rng::new(5));
    let log = open(&memory);
    live(&log, &mut rng, 900, 100);
    let files = files_of(&memory);
    let killed = open(&shelve(&files));
    let IndexUse::Covers { position } = killed.recovery().index else { panic!("{:?}", killed.recovery()) };
    assert!(position > 0 && position < killed.last_position() && killed.recovery().frames > 0);
    alike(&killed, &files, 100, "after a kill");
    let read_only = options().open_storage_read_only(Arc::new(shelve(&files))).unwrap();
    assert_eq!(read_only.recovery().index, killed.recovery().index);
    // A log that is closed and goes on in the same segment: the file ends in its middle.
    let memory = Memory::new();
    for _ in 0..3 {
        let log = open(&memory);
        live(&log, &mut rng, 20, 30);
        log.close().unwrap();
    }
    let log = open(&memory);
    live(&log, &mut rng, 600, 30);
    alike(&log, &files_of(&memory), 30, "sealed in the second half of its life");
    drop(log);
    alike(&open(&memory), &files_of(&memory), 30, "and opened again");
}

/// A roll made a segment, and a kill came before anything was written to it. The next life closes without writing: the files
/// end before the first frame of a segment, and the log goes on from there.
#[test]
fn a_log_cut_off_behind_a_roll_goes_on() {
    // Much enough for a file at a close, not at a roll.
    let options = options().index_after_bytes(1 << 20);
    let open = |memory: &Memory| options.open_storage(Arc::new(memory.clone())).unwrap();
    let (memory, mut rng) = (Memory::new(), Rng::new(12));
    let (fourth, fifth) = (format!("{:020}.seg", 4), format!("{:020}.seg", 5));
    let log = open(&memory);
    while !files_of(&memory).contains_key(&fourth) {
        live(&log, &mut rng, 1, 40);
    }
    live(&log, &mut rng, 5, 40);
    log.close().unwrap();
    open(&memory).append("large", ANY, &[NewEvent::new("T", &[1; 64 << 10])]).unwrap();
    let mut files = files_of(&memory);
    files.get_mut(&fifth).unwrap()[4096..].fill(0);
    files.retain(|name, _| name.ends_with(".seg"));
    let memory = shelve(&files);
    let log = open(&memory);
    assert_eq!(log.recovery().segments, 5);
    let position = log.last_position();
    log.close().unwrap();
    assert!(files_of(&memory)[&fifth][4096..].iter().all(|byte| *byte == 0), "there is nothing to say");
    for life in 0..3 {
        let log = open(&memory);
        assert_eq!(log.recovery().index, IndexUse::Covers { position }, "life {life}");
        alike(&log, &files_of(&memory), 40, "closed without a frame in the last segment");
        // Like a kill.
        let killed = shelve(&files_of(&memory));
        live(&open(&killed), &mut rng, 1 + life * 100, 40);
        let files = files_of(&killed);
        let again = open(&shelve(&files));
        assert!(
            matches!(again.recovery().index, IndexUse::Covers { .. }),
            "life {life}: {:?}",
            again.recovery()
        );
        alike(&again, &files, 40, "and written to");
        log.close().unwrap();
    }
}

/// What a close has left is not judged anew. What could be of a later life is seen all the same, and without the close's
/// word, all.
#[test]
fn bytes_behind_a_clean_close_are_judged_as_without_files() {
    let (memory, mut rng) = (Memory::new(), Rng::new(8));
    let end_of = |files: &Files| {
        let name = files.keys().rfind(|name| name.ends_with(".seg")).unwrap().clone();
        let used = files[&name].iter().rposition(|&byte| byte != 0).unwrap() + 1;
        (files[&name].len(), name, used)
    };
    let (files, capacity, name, used) = loop {
        let log = open(&memory);
        live(&log, &mut rng, 100, 40);
        log.close().unwrap();
        let files = files_of(&memory);
        let (capacity, name, used) = end_of(&files);
        if used + 20_000 < capacity {
            break (files, capacity, name, used);
        }
    };
    let page = used.next_multiple_of(4096);
    let seen = |memory: &Memory| match options().open_storage(Arc::new(memory.clone())) {
        Ok(log) => {
            let report = log.recovery().clone();
            let torn = report.torn_tail.map(|torn| (torn.at, torn.bytes, torn.fault));
            Ok((torn, report.torn_footer, report.closed_cleanly, everything(&log, 40)))
        }
        Err(error) => Err(error.to_string()),
    };
    let clean = seen(&shelve(&files));
    assert!(matches!(&clean, Ok((None, false, true, _))));
    let near = [used, used + 8, used + 100, page - 1, page, page + 4095];
    let far = [page + 4096, page + 5000, capacity - 4097, capacity - 4096, capacity - 1];
    for at in near.into_iter().chain(far) {
        let mut files = files.clone();
        files.get_mut(&name).unwrap()[at] = 0xA5;
        let want = seen(&bare(&files));
        assert!(want != clean, "a byte at {at} of {capacity} is told");
        let is = seen(&shelve(&files));
        // Nobody who writes behind the end leaves zeros there.
        let believed = if far.contains(&at) { &clean } else { &want };
        assert!(is == *believed, "a byte at {at} of {capacity}, closed");
        // As after a kill.
        let closed = files.remove("closed").unwrap();
        files.insert("checkpoint".to_owned(), closed);
        assert!(seen(&shelve(&files)) == want, "a byte at {at} of {capacity}, not closed");
    }
    // A later life, of which the files know nothing.
    let log = open(&memory);
    log.append("later", ANY, &[NewEvent::new("T", "")]).unwrap();
    drop(log);
    let mut later = files_of(&memory);
    later.retain(|name, _| name.ends_with(".seg"));
    later.extend(
        files.iter().filter(|(name, _)| !name.ends_with(".seg")).map(|(n, b)| (n.clone(), b.clone())),
    );
    let log = open(&shelve(&later));
    assert_eq!(log.stream_version("later"), 1);
    assert!(matches!(log.recovery().index, IndexUse::Covers { position } if position < log.last_position()));
}

/// Whatever byte of whatever file is wrong, at the next open: the same answers.
#[test]
fn damaged_missing_cut_and_foreign_files_are_made_anew() {
    let (memory, mut rng) = (Memory::new(), Rng::new(3));
    let log = open(&memory);
    live(&log, &mut rng, 500, 60);
    log.close().unwrap();
    let files = files_of(&memory);
    let foreign = {
        let memory = Memory::new();
        let log = open(&memory);
        live(&log, &mut rng, 500, 60);
        log.close().unwrap();
        files_of(&memory)
    };
    let anew = Options::new().background(false).open_storage(Arc::new(bare(&files))).unwrap();
    let want = everything(&anew, 60);
    let judge = |files: &Files, what: &str| {
        let memory = shelve(files);
        let log = open(&memory);
        assert_eq!(everything(&log, 60), want, "{what}");
        log.append("order-1", ANY, &[NewEvent::new("T", &[7; 1000])]).unwrap();
        log.close().unwrap();
        let again = open(&memory);
        assert_eq!(again.recovery().index, IndexUse::Covers { position: again.last_position() }, "{what}");
        log.recovery().index
    };
    let names = indexes(&files);
    assert!(names.len() > 1, "{names:?}");
    for name in &names {
        let bytes = &files[name];
        let with = |changed: Option<Vec<u8>>| {
            let mut files = files.clone();
            files.remove(name);
            files.extend(changed.map(|bytes| (name.clone(), bytes)));
            files
        };
        assert!(matches!(judge(&with(None), "missing"), IndexUse::Damaged { .. }));
        for len in [0, 100, 4096, bytes.len() / 2] {
            let used = judge(&with(Some(bytes[..len].to_vec())), "cut");
            assert!(matches!(used, IndexUse::Damaged { .. }), "{len}");
        }
        let other = foreign.iter().find(|(other, _)| other.ends_with(".idx")).unwrap().1;
        assert!(matches!(judge(&with(Some(other.clone())), "foreign"), IndexUse::Damaged { .. }));
        for _ in 0..40 {
            let mut flipped = bytes.clone();
            let at = rng.below(bytes.len() as u64) as usize;
            flipped[at] ^= 1 << rng.below(8);
            judge(&with(Some(flipped)), &format!("{name}: byte {at}"));
        }
        // Those that are looked at first.
        for at in [0, 8, 33, 50, 90, 170, 200] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(matches!(judge(&with(Some(flipped)), "head"), IndexUse::Damaged { .. }));
        }
    }
    // A file that nobody names is left over from a crash.
    let mut files = files.clone();
    files.insert(format!("{:020}.idx", 999), vec![1; 5000]);
    let memory = shelve(&files);
    assert!(open(&memory).recovery().removed.contains(&format!("{:020}.idx", 999)));
    files.remove("closed");
    let log = open(&shelve(&files));
    assert_eq!((log.recovery().index, everything(&log, 60)), (IndexUse::Missing, want));
}

/// The space that it took may be wanted by what comes next.
#[test]
fn a_file_that_could_not_be_made_leaves_nothing_behind() {
    // Appends until so many operations were done.
    let busy = |disk: &SimDisk, ops: u64| {
        let log = options().open_storage(Arc::new(disk.clone())).unwrap();
        for n in (0..600).take_while(|_| disk.ops() <= ops) {
            log.append(&name(n % 90), ANY, &[NewEvent::new("T", &[7; 700])]).unwrap();
        }
        log
    };
    let whole = SimDisk::new(1);
    drop(busy(&whole, u64::MAX));
    let trace = whole.trace();
    let of = |file: &str| -> Vec<usize> { (0..trace.len()).filter(|op| trace[*op].contains(file)).collect() };
    let (made, merged) = (of("index.tmp"), of("merge.tmp"));
    assert!(made.len() > 20 && merged.len() > 20, "{} and {}", made.len(), merged.len());
    for op in made.into_iter().chain(merged) {
        let disk = SimDisk::new(1);
        disk.fail_op(op as u64, ErrorKind::StorageFull);
        let log = busy(&disk, op as u64);
        let is_left = |name: &String| ["index.tmp", "merge.tmp"].contains(&name.as_str());
        let left: Vec<String> = disk.list().unwrap().into_iter().filter(is_left).collect();
        assert_eq!(left, [""; 0], "after {}", trace[op]);
        log.close().unwrap();
    }
}

/// What is frozen while a merge goes on does not wait for its end: its file has its name first.
#[test]
fn a_merge_keeps_no_frozen_part_waiting() {
    let gated = Gated::default();
    gated.hold_writes_to("merge.tmp");
    let log = options().background(true).open_storage(Arc::new(gated.clone())).unwrap();
    let append = |n: u64| _ = log.append(&name(n % 90), ANY, &[NewEvent::new("T", &[7; 700])]).unwrap();
    // Some segments, and so some index files, which are merged.
    (0..400).for_each(append);
    gated.wait_until_held();
    let before = gated.renamed().len();
    (400..800).for_each(append);
    gated.open_up();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let renamed = gated.renamed().split_off(before);
        let first = |name: &str| renamed.iter().position(|renamed| renamed == name);
        if let Some(merged) = first("merge.tmp") {
            assert!(first("index.tmp").is_some_and(|made| made < merged), "{renamed:?}");
            break;
        }
        assert!(Instant::now() < deadline, "no merge came to its end: {renamed:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    log.close().unwrap();
}

/// A file that goes bad while it is in use: whoever meets that gets the right answer all the same.
#[test]
fn damage_in_use_is_mended() {
    let mut mended = 0;
    for seed in 0..60u64 {
        let (memory, mut rng) = (Memory::new(), Rng::new(seed / 20));
        let log = open(&memory);
        live(&log, &mut rng, 400, 60);
        let want = everything(&log, 60);
        let files = files_of(&memory);
        let names = indexes(&files);
        let bad = &names[seed as usize % names.len()];
        let file = memory.open(bad, true).unwrap();
        let mut rng = Rng::new(seed);
        // Now and then all of it.
        let len = files[bad].len() as u64;
        let (from, to) =
            if seed % 3 == 0 { (0, len) } else { (rng.below(len), len.min(rng.below(len) + 600)) };
        for at in from..to {
            file.write_at(at, &[rng.below(256) as u8]).unwrap();
        }
        assert_eq!(everything(&log, 60), want, "seed {seed}");
        // Appends look streams and kept values up, too.
        for n in 0..60 {
            if let Some(info) = log.stream_info(&name(n)).filter(|info| !info.tombstoned) {
                let expected = ExpectedVersion::Exact(info.version);
                log.append(&info.id, expected, &[NewEvent::new("T", "")]).unwrap();
            }
        }
        log.close().unwrap();
        let files = files_of(&memory);
        let left = indexes(&files);
        let named = Checkpoint::decode(&files["closed"]).unwrap().layers;
        let named: Vec<_> = named.iter().map(|(number, _)| format!("{number:020}.idx")).collect();
        assert_eq!(left, named, "what is not in use is gone");
        mended += u64::from(!left.contains(bad));
        let again = open(&memory);
        assert_eq!(again.recovery().index, IndexUse::Covers { position: again.last_position() });
        alike(&again, &files_of(&memory), 60, "opened again");
    }
    assert!(mended > 10, "{mended} files were met and replaced");
}

/// If the log cannot be read either, nobody is told what might be wrong.
#[test]
fn damage_in_file_and_log_poisons() {
    let (memory, mut rng) = (Memory::new(), Rng::new(1));
    let log = open(&memory);
    live(&log, &mut rng, 400, 60);
    log.close().unwrap();
    let log = open(&memory);
    for name in indexes(&files_of(&memory)) {
        let file = memory.open(&name, true).unwrap();
        (4096..file.len().unwrap()).for_each(|at| _ = file.write_at(at, &[9]).unwrap());
    }
    let segment = memory.open(&crate::shelf::segment_name(1), true).unwrap();
    segment.write_at(5000, &[9; 3000]).unwrap();
    let _ = log.stream_version("order-1");
    let state = log.status().state;
    assert!(matches!(state, LogState::Poisoned(PoisonCause::Index(_))), "{state:?}");
    let refused = log.append("order-1", ANY, &[NewEvent::new("T", "")]);
    assert!(matches!(refused, Err(AppendError::Poisoned { .. })), "{refused:?}");
    for mut cursor in [log.read_stream("order-1", 0), log.read_all(0), log.read(&Query::prefix("order"))] {
        assert!(matches!(cursor.next(), Err(ReadError::Corrupt(_))), "a shorter answer would be a guess");
    }
}

/// The same of everything that can say so, whichever of them meets the damage.
#[test]
fn who_cannot_know_everything_says_so() {
    type Question = fn(&EventLog) -> Result<String, ReadError>;
    fn told<T: std::fmt::Debug>(found: Result<T, ReadError>) -> Result<String, ReadError> {
        found.map(|found| format!("{found:?}"))
    }
    let questions: [(&str, Question); 10] = [
        ("fold", |log| told(log.fold_stream("s-1", 0, 0, |n, _| n + 1))),
        ("backward", |log| told(log.read_stream_backward("s-1", u64::MAX).try_fold(0, |n, _| Ok(n + 1)))),
        ("log backward", |log| told(log.read_all_backward(u64::MAX).try_fold(0, |n, _| Ok(n + 1)))),
        ("tenant", |log| told(log.tenant("shop").read_stream("rare", 0).try_fold(0, |n, _| Ok(n + 1)))),
        ("kept", |log| told(log.kept("setting").map(|kept| kept.is_some()))),
        ("list_kept", |log| told(log.list_kept("", None, 10).map(|kept| kept.len()))),
        ("acknowledged", |log| told(log.acknowledged("consumer"))),
        ("list_consumers", |log| told(log.list_consumers(None, 10))),
        ("last_event_under", |log| told(log.last_event_under("s-").map(|event| event.is_some()))),
        ("subscription", |log| {
            let mut subscription = log.subscribe(&Query::stream("rare"));
            told(subscription.next_within(Duration::ZERO).map(|next| format!("{next:?}").len()))
        }),
    ];
    // All of the files, or only what is looked at when a cursor is under way: the runs, or the marks.
    let parts = [None, Some(4), Some(0)];
    for ((what, question), part) in questions.iter().flat_map(|question| parts.map(|part| (question, part))) {
        let memory = Memory::new();
        let log = open(&memory);
        let payload = [1; 700];
        let event = || NewEvent::new("T", &payload);
        let shop = log.tenant("shop");
        log.keep("setting", KeptCondition::Any, b"v").unwrap();
        shop.append("rare", ANY, &[event()]).unwrap();
        (0..400).for_each(|i| _ = shop.append(&format!("s-{}", i % 7), ANY, &[event()]).unwrap());
        log.acknowledge("consumer", 300).unwrap();
        shop.append("rare", ANY, &[event()]).unwrap();
        log.close().unwrap();
        let log = open(&memory);
        let right = question(&log).unwrap();
        for file in indexes(&files_of(&memory)) {
            let file = memory.open(&file, true).unwrap();
            let mut head = [0; 4096];
            file.read_at(0, &mut head).unwrap();
            let (from, to) = part.map_or((4096, file.len().unwrap()), |part| {
                let (at, len) = (u64_at(&head, 192 + 24 * part), u64_at(&head, 200 + 24 * part));
                (at, at + len)
            });
            (from..to).for_each(|at| _ = file.write_at(at, &[9]).unwrap());
        }
        let segment = memory.open(&crate::shelf::segment_name(2), true).unwrap();
        segment.write_at(9000, &[9; 3000]).unwrap();
        // Whoever meets the damage may know the answer all the same, or not; from then on nobody does.
        let met = question(&log);
        assert!(met.is_err() || met == Ok(right), "{what}: {met:?}");
        let _ = (log.stream_version("rare"), log.read_stream("rare", 0).next(), log.read_all(1).next());
        for (what, question) in questions {
            let answer = question(&log);
            assert!(matches!(answer, Err(ReadError::Corrupt(_))), "{what}: {answer:?}");
        }
    }
}

/// Whoever appends while the index breaks: no condition is checked against what is left of it.
#[test]
fn no_append_is_checked_against_a_broken_index() {
    for round in 0..4 {
        let memory = Memory::new();
        let background = || Options::new().segment_bytes(256 << 10).index_after_bytes(32 << 10);
        let log = background().open_storage(Arc::new(memory.clone())).unwrap();
        let streams = 4_000;
        let payload = [1; 200];
        let id = |n: u64| format!("stream-{n:05}");
        let append = |log: &EventLog, n: u64| {
            log.append(&id(n), ExpectedVersion::NoStream, &[NewEvent::new("T", &payload)])
        };
        (0..streams).for_each(|n| _ = append(&log, n).unwrap());
        log.close().unwrap();
        // One row of the index, and a frame of the log before most others.
        for (name, image) in files_of(&memory) {
            let of = if name.ends_with(".seg") { id(600) } else { id(7) };
            let file = memory.open(&name, true).unwrap();
            let found = image.windows(of.len()).enumerate().filter(|(_, bytes)| *bytes == of.as_bytes());
            found.for_each(|(at, _)| _ = file.write_at(at as u64, b"S").unwrap());
        }
        let log = background().open_storage(Arc::new(memory)).unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for part in 0..3 {
                let (log, over) = (log.clone(), &over);
                scope.spawn(move || {
                    let streams = (2_000..streams).filter(|n| n % 3 == part).cycle();
                    for n in streams.take_while(|_| !over.load(Ordering::SeqCst)) {
                        match append(&log, n) {
                            Err(AppendError::Conflict { actual: 1, .. }) => {}
                            Err(AppendError::Poisoned { .. }) => return,
                            other => panic!("round {round}: {other:?}"),
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(10));
            log.stream_version(&id(7));
            std::thread::sleep(Duration::from_millis(10));
            over.store(true, Ordering::SeqCst);
        });
        assert!(matches!(log.status().state, LogState::Poisoned(PoisonCause::Index(_))));
    }
}

/// Padding says nothing: a log that pads its commits is closed as cleanly as others, and to open it costs as little.
#[test]
fn padding_keeps_no_close_from_being_seen() {
    let memory = Memory::new();
    let padding = || options().pad_commits(true).open_storage(Arc::new(memory.clone())).unwrap();
    let log = padding();
    (0..40).for_each(|i| _ = log.append(&format!("s-{i}"), ANY, &[NewEvent::new("T", "x")]).unwrap());
    log.close().unwrap();
    let segments = || -> Vec<Vec<u8>> {
        let files = files_of(&memory);
        files.into_iter().filter(|(name, _)| name.ends_with(".seg")).map(|(_, image)| image).collect()
    };
    let left = segments();
    for _ in 0..3 {
        let log = padding();
        assert!(log.recovery().closed_cleanly);
        log.close().unwrap();
        assert!(segments() == left, "nothing more to say");
    }
    let log = padding();
    log.append("s-1", ANY, &[NewEvent::new("T", "y")]).unwrap();
    log.close().unwrap();
    let log = padding();
    assert_eq!((log.last_position(), log.recovery().closed_cleanly), (41, true));
}

/// Files of a log that has lost its tail since: refused, as without them.
#[test]
fn a_lost_tail_is_told_in_spite_of_files() {
    let (memory, mut rng) = (Memory::new(), Rng::new(2));
    let log = open(&memory);
    live(&log, &mut rng, 300, 60);
    let older = files_of(&memory);
    live(&log, &mut rng, 300, 60);
    log.close().unwrap();
    let files = files_of(&memory);
    let last = files.keys().rfind(|name| name.ends_with(".seg")).unwrap().clone();
    let mut without = files.clone();
    without.remove(&last);
    let mut emptied = files.clone();
    let zeros = vec![0; files[&last].len() - 4096];
    emptied.get_mut(&last).unwrap()[4096..].copy_from_slice(&zeros);
    // Segments of an earlier time, index files of now.
    let mut mixed = files.clone();
    mixed.retain(|name, _| !name.ends_with(".seg"));
    mixed
        .extend(older.iter().filter(|(name, _)| name.ends_with(".seg")).map(|(n, b)| (n.clone(), b.clone())));
    for (what, files) in [("missing", without), ("emptied", emptied), ("older", mixed)] {
        let refused = options().open_storage(Arc::new(shelve(&files)));
        assert!(refused.is_err(), "{what}");
        let left = files_of(&shelve(&files));
        assert_eq!(left, files, "{what}: a refusal changes nothing");
    }
}

/// Lets the readers go, also when the test fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// With all threads, on a disk: readers ask while segments fill up and files are made, merged and removed.
#[test]
fn readers_ask_while_files_are_made_and_merged() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [ReadMode::Map, ReadMode::Pread] {
        let options = Options::new().segment_bytes(64 << 10).index_after_bytes(4 << 10).read_mode(mode);
        let log = options.open_storage(Arc::new(Disk::open(dir.path(), false).unwrap())).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for reader in 0..3u64 {
                let (log, done) = (&log, &done);
                scope.spawn(move || {
                    let mut rng = Rng::new(reader);
                    while !done.load(Ordering::Relaxed) {
                        let id = name(rng.below(200));
                        let version = log.stream_version(&id);
                        let mut seen = 0;
                        let count = log.fold_stream(&id, 0, 0, |count, event| {
                            assert_eq!(event.version(), count + 1);
                            seen = event.position();
                            count + 1
                        });
                        assert!(count.unwrap() >= version, "{id}");
                        let back: Vec<u64> = log
                            .read_stream_backward(&id, version + 1)
                            .into_iter()
                            .map(|event| event.unwrap().version())
                            .collect();
                        assert_eq!(back, (1..=version).rev().collect::<Vec<_>>());
                        let listed = log.list_streams("order", Some("order-"), 20);
                        assert!(listed.is_sorted());
                        assert!(log.count_streams("order/") <= log.stream_count());
                        assert!(seen <= log.last_position());
                    }
                });
            }
            let _done = Done(&done);
            let mut expected = BTreeMap::new();
            let mut rng = Rng::new(9);
            let mut pending = Vec::new();
            for _ in 0..4000 {
                let id = name(rng.below(200));
                let version = expected.entry(id.clone()).or_insert_with(|| log.stream_version(&id));
                let payload = vec![1; rng.below(500) as usize];
                let event = NewEvent::new("T", &payload);
                pending.push(log.submit(&id, ExpectedVersion::Exact(*version), &[event]).unwrap());
                *version += 1;
            }
            pending.into_iter().for_each(|pending| _ = pending.wait().unwrap());
        });
        log.close().unwrap();
    }
    let log = EventLog::open(dir.path()).unwrap();
    assert_eq!(log.recovery().index, IndexUse::Covers { position: log.last_position() });
    assert_eq!((log.recovery().frames, log.last_position()), (0, 8000));
}

/// "After a million acknowledged messages": names that came and went leave nothing behind.
#[test]
fn kept_values_that_come_and_go_cost_nothing_later() {
    let memory = Memory::new();
    let log = open(&memory);
    for i in 0..3000 {
        log.keep(&format!("outbox/{i:06}"), KeptCondition::Absent, [7; 100]).unwrap();
        if i >= 20 {
            log.unkeep(&format!("outbox/{:06}", i - 20), KeptCondition::Present).unwrap();
        }
    }
    log.close().unwrap();
    let files = files_of(&memory);
    let bytes: usize = indexes(&files).iter().map(|name| files[name].len()).sum();
    let log = open(&memory);
    assert_eq!((log.count_kept("outbox/"), log.recovery().frames), (20, 0));
    assert!(bytes < 600 << 10, "{bytes} bytes of index for 20 values: {:?}", indexes(&files));
}

/// A log that is opened read-only without its index files has a part of the index in memory for every so many bytes: a stream with
/// runs in hundreds of them needs no deep stack.
#[test]
fn a_stream_in_many_parts_needs_no_deep_stack() {
    const SEGMENTS: u64 = 600;
    let memory = Memory::new();
    let log = options().open_storage(Arc::new(memory.clone())).unwrap();
    let payload = vec![1; 33_000];
    // Each needs a segment of its own.
    (0..SEGMENTS).for_each(|_| _ = log.append("s", ANY, &[NewEvent::new("T", &payload)]).unwrap());
    log.close().unwrap();
    let memory = bare(&files_of(&memory));
    let read = move || {
        let log = options().open_storage_read_only(Arc::new(memory)).unwrap();
        let forward = log.read_stream("s", 0).into_iter().map(|event| event.unwrap().version());
        assert!(forward.eq(1..=SEGMENTS));
        let backward =
            log.read_stream_backward("s", u64::MAX).into_iter().map(|event| event.unwrap().version());
        assert!(backward.eq((1..=SEGMENTS).rev()));
    };
    std::thread::Builder::new().stack_size(128 << 10).spawn(read).unwrap().join().unwrap();
}
