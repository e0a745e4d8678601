//! A directory after surgery: it opens as FORMAT.md says, shows nothing but what was appended, or is refused and left alone.
//!
//! The logs are real ones, of several segments: one as a kill leaves it, the same closed, its older states, and another log
//! to take wrong files from. The input is a list of surgeries.

#![no_main]

mod common;

use annals::{EventLog, ExpectedVersion, NewEvent};
use arbitrary::Arbitrary;
use common::scribe::{self, Checkpoint, Log, SEALED_BODY};
use common::shelf::*;
use common::{check_log, check_read_only, go_on, open_or_untouched};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

#[derive(Arbitrary, Debug)]
struct Input {
    closed: bool,
    surgeries: Vec<Surgery>,
}

#[derive(Arbitrary, Debug)]
enum Surgery {
    Flip { place: Place, mask: u8 },
    /// Sectors of 512 bytes.
    Zero { place: Place, sectors: u8 },
    Garbage { place: Place, len: u16, seed: u8 },
    Copy { from: Place, to: Place, len: u16 },
    Cut { place: Place },
    Lengthen { file: u8, pages: u8 },
    Delete { file: u8 },
    Swap { one: u8, other: u8 },
    Rename { file: u8, name: u8 },
    Duplicate { file: u8, name: u8 },
    /// An older state of a file, or of the whole directory.
    Stale { state: u8, name: u8, all: bool },
    Foreign { file: u8, name: u8 },
}

/// A byte of a file, near one of its interesting places or anywhere.
#[derive(Arbitrary, Debug)]
struct Place {
    file: u8,
    near: u8,
    at: i16,
}

/// What was made once and is only copied since.
struct Made {
    killed: Files,
    closed: Files,
    /// Older and older states.
    states: Vec<Files>,
    foreign: Files,
    /// What was appended, by log: its id and its events.
    truth: [([u8; 16], Vec<Shown>); 2],
    /// Where the frames end in the last segment of `killed`, and its name.
    end: (String, usize),
}

fn build(appends: usize) -> (annals::storage::Memory, EventLog, Vec<Files>) {
    let memory = shelve(&Files::new());
    let log = open(&memory).expect("a new log");
    let mut states = Vec::new();
    for i in 0..appends {
        let payload = vec![i as u8; [60, 12_000, 500, 14_000, 9_000][i % 5]];
        let stream = format!("stream-{}", i % 7);
        let events = [NewEvent::new("T", &payload), NewEvent::new("U", "small")];
        let batch = log.batch().append(&stream, ExpectedVersion::Any, &events);
        batch.append("all", ExpectedVersion::Any, &events[1..]).commit().expect("memory does not fail");
        if i % (appends / 6) == 3 {
            states.push(files_of(&memory));
        }
    }
    (memory, log, states)
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let (memory, log, states) = build(38);
        let (killed, truth) = (files_of(&memory), (log.id().into_bytes(), shown(&log)));
        log.close().expect("memory does not fail");
        let (other, other_log, _) = build(24);
        let other_truth = (other_log.id().into_bytes(), shown(&other_log));
        other_log.close().expect("memory does not fail");
        let opinion = opinion(&killed).expect("a log that a kill left");
        let last = opinion.segments.last().expect("a segment");
        assert!(opinion.segments.len() > 3, "{} segments", opinion.segments.len());
        let end = (segment_name(last.header.ordinal), last.end);
        let (closed, foreign) = (files_of(&memory), files_of(&other));
        Made { killed, closed, states, foreign, truth: [truth, other_truth], end }
    })
}

/// What FORMAT.md says of a directory with a segment in it.
fn opinion(files: &Files) -> Result<Log, &'static str> {
    let checkpoint = |name: &str| files.get(name).and_then(|page| Checkpoint::decode(page.get(..scribe::PAGE)?));
    let segments: Vec<_> = files.iter().filter(|(name, _)| name.ends_with(".seg")).collect();
    let mut images: Vec<_> = segments.iter().map(|(_, image)| (*image).clone()).collect();
    let closed = checkpoint("closed");
    if let Some(closed) = &closed {
        // If the log ends where it was closed, what lies far behind that is not looked at.
        let last = images.last_mut().expect("a segment");
        let far = (closed.offset as usize).checked_next_multiple_of(scribe::PAGE).map_or(last.len(), |at| at + scribe::PAGE);
        let rest = last.split_off(far.min(last.len()));
        last.resize(last.len() + rest.len(), 0);
        if let Ok(log) = named(&segments, &images) {
            let last = log.segments.last().expect("a segment");
            let end = last.frames.last().filter(|placed| placed.frame.kind == scribe::CLOSED).map(|placed| (placed.span.end as u64, placed.checksum));
            let here = (last.header.ordinal, last.header.salt) == (closed.ordinal, closed.salt) && closed.log_id == last.header.log_id;
            if here && end == Some((closed.offset, closed.checksum)) && last.end as u64 == closed.offset {
                return Ok(log);
            }
        }
        let last = images.last_mut().expect("a segment");
        last.truncate(last.len() - rest.len());
        last.extend(rest);
    }
    let log = named(&segments, &images)?;
    let checkpoint = closed.or_else(|| checkpoint("checkpoint"));
    let lost = checkpoint.is_some_and(|checkpoint| !scribe::reaches(&log, &checkpoint));
    if lost { Err("a lost tail") } else { Ok(log) }
}

/// What FORMAT.md says of segments with these names.
fn named(segments: &[(&String, &Vec<u8>)], images: &[Vec<u8>]) -> Result<Log, &'static str> {
    let log = scribe::read_log(images)?;
    for ((name, _), segment) in segments.iter().zip(&log.segments) {
        if **name != segment_name(segment.header.ordinal) {
            return Err("the name of a segment");
        }
    }
    Ok(log)
}

fn file_name(files: &Files, file: u8) -> Option<String> {
    files.keys().nth(usize::from(file) % files.len().max(1)).cloned()
}

fn new_name(name: u8) -> String {
    match name % 16 {
        ordinal @ 0..=8 => segment_name(u64::from(ordinal) + 1),
        9 => "spare.tmp".to_owned(),
        10 => "checkpoint.tmp".to_owned(),
        11 => "notes.txt".to_owned(),
        12 => "00000000000000000002-4096-1.torn".to_owned(),
        13 => "00000000000000000001.idx".to_owned(),
        14 => "closed".to_owned(),
        _ => "checkpoint".to_owned(),
    }
}

impl Place {
    /// The bytes from here on.
    fn bytes<'a>(&self, files: &'a mut Files) -> &'a mut [u8] {
        let (killed_end, Some(name)) = (made().end.1, file_name(files, self.file)) else { return &mut [] };
        let image = files.get_mut(&name).expect("a name that is listed");
        let near = [0, 4096, killed_end, image.len().saturating_sub(4096), image.len()];
        let base = near.get(usize::from(self.near) % 8).copied().unwrap_or(usize::from(self.near) << 8);
        let at = base.saturating_add_signed(self.at.into()).min(image.len());
        &mut image[at..]
    }
}

/// Whether only bytes were touched that lie behind the frames of the last segment of `killed`, and not in its footer.
fn touches_only_the_tail(before: &Files, after: &Files) -> bool {
    let (name, end) = &made().end;
    let rest = |files: &Files| files.iter().filter(|(other, _)| *other != name).map(|(n, b)| (n.clone(), b.clone())).collect::<Files>();
    let (Some(old), Some(new)) = (before.get(name), after.get(name)) else { return false };
    let footer = old.len() - scribe::PAGE;
    old.len() == new.len() && old[..*end] == new[..*end] && old[footer..] == new[footer..] && rest(before) == rest(after)
}

fn operate(files: &mut Files, surgery: &Surgery) {
    let made = made();
    match surgery {
        Surgery::Flip { place, mask } => place.bytes(files).iter_mut().take(1).for_each(|byte| *byte ^= mask),
        Surgery::Zero { place, sectors } => {
            place.bytes(files).iter_mut().take(usize::from(*sectors) * 512).for_each(|byte| *byte = 0);
        }
        Surgery::Garbage { place, len, seed } => {
            let noise = |i: usize| (i as u8).wrapping_mul(167).wrapping_add(*seed) ^ (i >> 3) as u8;
            let bytes = place.bytes(files).iter_mut().take(usize::from(*len)).enumerate();
            bytes.for_each(|(i, byte)| *byte = noise(i));
        }
        Surgery::Copy { from, to, len } => {
            let bytes: Vec<_> = from.bytes(files).iter().take(usize::from(*len)).copied().collect();
            to.bytes(files).iter_mut().zip(bytes).for_each(|(byte, new)| *byte = new);
        }
        Surgery::Cut { place } => {
            let left = place.bytes(files).len();
            if let Some(name) = file_name(files, place.file) {
                let image = files.get_mut(&name).expect("a name that is listed");
                image.truncate(image.len() - left);
            }
        }
        Surgery::Lengthen { file, pages } => {
            if let Some(image) = file_name(files, *file).and_then(|name| files.get_mut(&name)) {
                image.resize(image.len() + usize::from(*pages) * 4096, *pages & 1);
            }
        }
        Surgery::Delete { file } => _ = file_name(files, *file).and_then(|name| files.remove(&name)),
        Surgery::Swap { one, other } => {
            if let (Some(one), Some(other)) = (file_name(files, *one), file_name(files, *other)) {
                let (a, b) = (files[&one].clone(), files[&other].clone());
                files.extend([(one, b), (other, a)]);
            }
        }
        Surgery::Rename { file, name } => {
            if let Some(image) = file_name(files, *file).and_then(|old| files.remove(&old)) {
                files.insert(new_name(*name), image);
            }
        }
        Surgery::Duplicate { file, name } => {
            if let Some(image) = file_name(files, *file).map(|old| files[&old].clone()) {
                files.insert(new_name(*name), image);
            }
        }
        Surgery::Stale { state, name, all } => {
            let state = &made.states[usize::from(*state) % made.states.len()];
            match state.get(&new_name(*name)) {
                _ if *all => files.clone_from(state),
                Some(image) => _ = files.insert(new_name(*name), image.clone()),
                None => {}
            }
        }
        Surgery::Foreign { file, name } => {
            if let Some(old) = file_name(&made.foreign, *file) {
                files.insert(new_name(*name), made.foreign[&old].clone());
            }
        }
    }
}

fuzz_target!(|input: Input| {
    let made = made();
    let base = if input.closed { &made.closed } else { &made.killed };
    let mut files = base.clone();
    input.surgeries.iter().take(6).for_each(|surgery| operate(&mut files, surgery));
    let has_segment = files.keys().any(|name| name.ends_with(".seg"));
    let opened = open_or_untouched(&files);
    if !has_segment {
        let only_leftovers = files.keys().all(|name| name.ends_with(".tmp"));
        assert_eq!(opened.map(|(_, log)| log.last_position()).ok(), only_leftovers.then_some(0), "{:?}", files.keys());
        return;
    }
    let untouched = !input.closed && touches_only_the_tail(base, &files);
    match (opened, opinion(&files)) {
        (Err(error), Ok(_)) => panic!("refused, although FORMAT.md allows it: {error}"),
        (Err(error), Err(_)) => assert!(!untouched, "{error}"),
        (Ok(_), Err(why)) if why != SEALED_BODY => panic!("opened, although FORMAT.md refuses it: {why}"),
        (Ok((memory, log)), opinion) => {
            let opinion = opinion.ok();
            let shown = check_log(&log, opinion.as_ref());
            let truth = made.truth.iter().find(|(id, _)| *id == log.id().into_bytes());
            let truth = &truth.expect("no other log was there").1;
            assert!(truth.starts_with(&shown), "wrong events");
            assert!(!untouched || shown == *truth, "events that were acknowledged are gone");
            if let Some(opinion) = opinion {
                check_read_only(&files, &opinion);
            }
            go_on(&memory, &log, &shown);
        }
    }
});
