//! Index files whose pieces prove themselves and are wrong all the same: written by a program with a bug, or by somebody who
//! wants harm.
//!
//! Owns the numbers that are put into them. What is answered then may be wrong, and so may be what is appended by it; but nobody
//! panics or never comes to an end. So that numbers that overflow are seen, this is run with the checks of a debug build, too
//! (`.ci/run`).

use crate::layers::{everything, indexes, live, options};
use crate::scribe::{Checkpoint, u64_at};
use crate::shelf::{Files, files_of, shelve};
use crate::simdisk::Rng;
use annals::storage::Memory;
use annals::{EventLog, ExpectedVersion, IndexUse, NewEvent};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Stands for the head, behind the twelve parts.
const HEAD: usize = 12;
const CELL: usize = 512;
const BUCKET: usize = 64;

/// A piece that has a checksum: where it stands in the file, and where its checksum does in it.
struct Piece {
    at: usize,
    len: usize,
    sum_at: usize,
}

/// Pieces of a part, as FORMAT.md (13.1 and 13.2) has them; the head, if that is wanted instead of a part.
fn pieces(bytes: &[u8], part: usize) -> Vec<Piece> {
    let place = 192 + 24 * (part % HEAD);
    let (start, len) = (u64_at(bytes, place) as usize, u64_at(bytes, place + 8) as usize);
    let of_size = |size: usize| -> Vec<Piece> {
        (start..start + len).step_by(size).map(|at| Piece { at, len: size, sum_at: size - 8 }).collect()
    };
    match part {
        HEAD => vec![Piece { at: 0, len: 4096, sum_at: 4088 }],
        1 | 5 | 8 => {
            let row = |at: &usize| {
                let next = at + u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
                (next < start + len).then_some(next)
            };
            let rows = std::iter::successors((len > 0).then_some(start), row);
            let piece = |at: usize| {
                let len = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
                Piece { at, len, sum_at: 0 }
            };
            rows.map(piece).collect()
        }
        2 | 6 => of_size(BUCKET),
        _ => of_size(CELL),
    }
}

/// Puts a number somewhere into a piece, and the checksum that belongs to it. Says where.
fn forge(bytes: &mut [u8], rng: &mut Rng, part: usize) -> Option<String> {
    let all = pieces(bytes, part);
    let piece = all.get(rng.below(all.len().max(1) as u64) as usize)?;
    let content = if piece.sum_at == 0 { 8..piece.len } else { 0..piece.len - 8 };
    let wide = part == HEAD || rng.chance(2, 3);
    let size = if wide { 8 } else { 4 };
    let places = (content.len() / size) as u64;
    // What comes first in a piece is its numbers.
    let place = if part == HEAD {
        4 + rng.below(56)
    } else if rng.chance(1, 2) {
        rng.below(places.min(14))
    } else {
        rng.below(places)
    };
    let at = piece.at + content.start + place as usize * size;
    let old = if wide { u64_at(bytes, at) } else { 0 };
    let number = match rng.below(10) {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => u64::MAX - 1,
        4 => 1 << 63,
        5 => (1 << 62) - 1,
        6 => 1 << 62,
        7 => old.wrapping_add(1),
        8 => old.wrapping_sub(1),
        _ => rng.below(100),
    };
    put(bytes, piece, at, number, size);
    Some(format!("part {part}, offset {at}: {number:#x}"))
}

/// Puts a number of so many bytes into a piece, and the checksum that belongs to it.
fn put(bytes: &mut [u8], piece: &Piece, at: usize, number: u64, size: usize) {
    bytes[at..at + size].copy_from_slice(&number.to_le_bytes()[..size]);
    let salt = u64_at(bytes, 40);
    let raw = &bytes[piece.at..piece.at + piece.len];
    let content = if piece.sum_at == 0 { &raw[8..] } else { &raw[..piece.sum_at] };
    let seed = if piece.at == 0 { 0 } else { salt ^ piece.at as u64 };
    let sum = xxh3_64_with_seed(content, seed);
    bytes[piece.at + piece.sum_at..][..8].copy_from_slice(&sum.to_le_bytes());
}

/// Has the checkpoint know the heads as they are now.
fn name_heads(files: &mut Files) {
    let mut checkpoint = Checkpoint::decode(&files["closed"]).unwrap();
    for (number, sum) in &mut checkpoint.layers {
        *sum = u64_at(&files[&format!("{number:020}.idx")], 4088);
    }
    files.insert("closed".to_owned(), checkpoint.encode());
}

fn written() -> Files {
    let (memory, mut rng) = (Memory::new(), Rng::new(11));
    let log = open(&memory);
    live(&log, &mut rng, 250, 40);
    log.close().unwrap();
    files_of(&memory)
}

fn open(memory: &Memory) -> EventLog {
    options().open_storage(Arc::new(memory.clone())).unwrap()
}

/// As the files are: whoever may write would merge them first.
fn look(files: &Files) -> EventLog {
    options().open_storage_read_only(Arc::new(shelve(files))).unwrap()
}

#[test]
fn what_proves_itself_and_is_wrong_makes_nobody_panic() {
    let files = written();
    let names = indexes(&files);
    assert!(names.len() > 1, "{names:?}");
    let log = open(&shelve(&files));
    let (right, end) = (everything(&log, 40), log.last_position());
    let (mut rng, mut believed) = (Rng::new(12), 0);
    for round in 0..400 {
        let mut forged = files.clone();
        let name = &names[rng.below(names.len() as u64) as usize];
        let bytes = forged.get_mut(name).unwrap();
        let Some(what) = forge(bytes, &mut rng, round % (HEAD + 1)) else { continue };
        name_heads(&mut forged);
        println!("{name}: {what}");
        let is_right = everything(&look(&forged), 40) == right;
        let memory = shelve(&forged);
        let log = open(&memory);
        let is_right = everything(&log, 40) == right && is_right;
        believed += u32::from(!is_right);
        // Refused, or appended; and closed, or not.
        let append = |id: &&str| log.append(id, ExpectedVersion::Any, &[NewEvent::new("T", &[7; 100])]);
        let appended = ["order-1", "order/00004", "new"].iter().filter(|id| append(id).is_ok()).count();
        let _ = log.close();
        drop(log);
        // What was appended by wrong answers may not fit the log.
        if is_right {
            forged = files_of(&memory);
            forged.retain(|name, _| name.ends_with(".seg"));
            let whole = open(&shelve(&forged)).read_all(0).into_iter().map(Result::unwrap).count() as u64;
            assert_eq!(whole, end + appended as u64, "{name}: {what}");
        }
    }
    assert!(believed > 50, "most of what was put in was never looked at: {believed}");
}

/// The numbers of a log end at 2^62 - 1 (FORMAT.md section 7): a piece with a larger one is damage, which is mended.
#[test]
fn numbers_that_no_log_has_are_damage() {
    let files = written();
    let right = everything(&open(&shelve(&files)), 40);
    let mut rng = Rng::new(13);
    // Of a mark, its position and offset; of a row, all but times; of a run, its version and position.
    for (part, places) in
        [(0, &[0, 8][..]), (1, &[24, 32, 56, 64, 72, 80]), (4, &[0, 8]), (5, &[24, 32]), (8, &[24, 32])]
    {
        for place in places {
            let (mut forged, mut many) = (files.clone(), 0);
            for name in indexes(&files) {
                let bytes = forged.get_mut(&name).unwrap();
                for piece in pieces(bytes, part) {
                    put(bytes, &piece, piece.at + place, 1 << (62 + rng.below(2)), 8);
                    many += 1;
                }
            }
            assert!(many > 0, "{part}");
            assert!(everything(&look(&forged), 40) == right, "part {part}, number at {place}");
        }
    }
}

/// Whoever turns pages by the last name of each comes to an end.
#[test]
fn names_out_of_order_are_damage() {
    let files = written();
    let pages = |files: &Files| -> Vec<Vec<String>> {
        let log = look(files);
        let from = |last: &Option<String>| log.list_streams("", last.as_deref(), 7);
        let turned = std::iter::successors(Some(from(&None)), |page| {
            let last = page.last().cloned();
            last.is_some().then(|| from(&last))
        });
        let streams = turned.take(99).flatten().collect();
        let kept = log.list_kept("", None, usize::MAX).unwrap().into_iter().map(|kept| kept.name).collect();
        let tenants = log.list_tenants(None, usize::MAX);
        let behind = log.list_tenants(tenants.first().map(String::as_str), usize::MAX);
        vec![streams, kept, tenants, behind]
    };
    let right = pages(&files);
    for (part, size) in [(3, 8), (7, 16), (9, 8)] {
        let mut forged = files.clone();
        for name in indexes(&files) {
            let bytes = forged.get_mut(&name).unwrap();
            let count = u64_at(bytes, 192 + 24 * part + 16) as usize;
            let Some(first) = pieces(bytes, part).into_iter().next().filter(|_| count > 1) else { continue };
            // The first and the last one of the first cell.
            let (from, to) = (first.at, first.at + (count.min(504 / size) - 1) * size);
            let (one, other) = (u64_at(bytes, from), u64_at(bytes, to));
            put(bytes, &first, from, other, 8);
            put(bytes, &first, to, one, 8);
        }
        assert!(forged != files && pages(&forged) == right, "part {part}");
    }
}

/// Streams are read run by run: each behind the one before, and inside of what the stream's row says.
#[test]
fn runs_out_of_order_are_damage() {
    let files = written();
    let right = everything(&open(&shelve(&files)), 40);
    let (mut swapped, mut narrowed, mut endless) = (files.clone(), files.clone(), files.clone());
    for name in indexes(&files) {
        let bytes = swapped.get_mut(&name).unwrap();
        // Of each cell the first two, which are mostly of one stream.
        for piece in pieces(bytes, 4) {
            let (one, other) = (piece.at, piece.at + 48);
            for at in (0..48).step_by(8) {
                let (first, second) = (u64_at(bytes, one + at), u64_at(bytes, other + at));
                put(bytes, &piece, one + at, second, 8);
                put(bytes, &piece, other + at, first, 8);
            }
        }
        let bytes = narrowed.get_mut(&name).unwrap();
        for piece in pieces(bytes, 1) {
            // Version of the first event of its runs.
            let first = u64_at(bytes, piece.at + 80);
            put(bytes, &piece, piece.at + 80, first + 1, 8);
        }
        // Before all versions, and behind all positions: nobody who reads backward comes to its end.
        let bytes = endless.get_mut(&name).unwrap();
        let cells = pieces(bytes, 4);
        for piece in pieces(bytes, 1) {
            if bytes[piece.at + 88..][..4] == [0; 4] {
                continue;
            }
            let run = u64_at(bytes, piece.at + 72) as usize;
            put(bytes, &piece, piece.at + 80, 0, 8);
            let cell = &cells[run / 10];
            put(bytes, cell, cell.at + run % 10 * 48, 0, 8);
            put(bytes, cell, cell.at + run % 10 * 48 + 8, (1 << 62) - 1, 8);
        }
    }
    for forged in [swapped, narrowed, endless] {
        assert!(forged != files && everything(&look(&forged), 40) == right);
    }
}

/// What is appended next follows the last frame, whatever the index says of it.
#[test]
fn an_index_ends_with_what_the_last_frame_says() {
    let files = written();
    let right = everything(&open(&shelve(&files)), 40);
    let last = indexes(&files).pop().unwrap();
    // The next position, the time, the batch and where that began; and the events of the segment so far.
    for place in [88, 96, 104, 112, 152] {
        let mut forged = files.clone();
        let bytes = forged.get_mut(&last).unwrap();
        let head = &pieces(bytes, HEAD)[0];
        let number = u64_at(bytes, place);
        put(bytes, head, place, number + 1, 8);
        name_heads(&mut forged);
        for name in ["closed", "checkpoint"] {
            let mut files = forged.clone();
            let checkpoint = files.remove("closed").unwrap();
            files.insert(name.to_owned(), checkpoint);
            let memory = shelve(&files);
            let log = open(&memory);
            let used = &log.recovery().index;
            assert!(matches!(used, IndexUse::Damaged { .. }), "{name}, number at {place}: {used:?}");
            assert!(everything(&log, 40) == right, "{name}, number at {place}");
            let appended = log.append("new", ExpectedVersion::Any, &[NewEvent::new("T", b"")]).unwrap();
            assert_eq!(appended.first_position, log.last_position(), "{name}, number at {place}");
            // And so that the segment is sealed.
            for _ in 0..8 {
                log.append("new", ExpectedVersion::Any, &[NewEvent::new("T", &[7; 10_000])]).unwrap();
            }
            let end = log.last_position();
            log.close().unwrap();
            let mut files = files_of(&memory);
            files.retain(|name, _| name.ends_with(".seg"));
            assert_eq!(look(&files).last_position(), end, "{name}, number at {place}");
        }
    }
}
