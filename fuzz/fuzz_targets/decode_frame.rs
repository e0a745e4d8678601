//! One segment with wrong bytes and right checksums: it opens as FORMAT.md says, or is refused and left alone.
//!
//! The input describes frames, then changes to their bytes, then which checksums are made right again. What must come of it
//! is said by a reader that was written from FORMAT.md alone.

#![no_main]

mod common;

use arbitrary::Arbitrary;
use common::scribe::{self, *};
use common::shelf::*;
use common::{check_log, check_read_only, go_on, open_or_untouched};
use libfuzzer_sys::{Corpus, fuzz_target};

#[derive(Arbitrary, Debug)]
struct Input {
    frames: Vec<Shape>,
    sealed: bool,
    changes: Vec<Change>,
    /// Which checksums are made right: see `reseal`.
    seals: u8,
    /// Written last, over whatever stands there.
    last: Option<(u16, Vec<u8>)>,
}

#[derive(Arbitrary, Debug)]
struct Shape {
    new_batch: bool,
    kind: u8,
    parts: Vec<Part>,
    /// Of a pad frame.
    zeros: u8,
}

#[derive(Arbitrary, Debug)]
struct Part {
    kind: u8,
    stream: u8,
    tenant: u8,
    events: u8,
    bytes: u8,
    extras: u8,
    number: u64,
}

/// A number written over the bytes of a frame (or of the header, or of the footer).
#[derive(Arbitrary, Debug)]
struct Change {
    frame: u8,
    at: u16,
    width: u8,
    value: Value,
}

#[derive(Arbitrary, Debug)]
enum Value {
    Add(i8),
    Set(u64),
    /// All ones, shifted right.
    Ones(u8),
    One(u8),
}

const STREAMS: [&str; 4] = ["a", "a/", "longer-than-eight", "ü"];
const CAPACITY: u64 = 16384;

/// The sections of a frame, as they must be by what came before in `versions`.
fn sections(parts: &[Part], versions: &mut [u64; 4], revision: &mut u64) -> Vec<Section> {
    let section = |part: &Part| {
        let stream = usize::from(part.stream) % STREAMS.len();
        let (id, version) = (STREAMS[stream], &mut versions[stream]);
        let bytes = vec![part.bytes; usize::from(part.bytes)];
        let section = match part.kind % 12 {
            TOMBSTONE => Section::control(TOMBSTONE, id, *version, &[]),
            CREATE => Section::control(CREATE, id, 0, &bytes),
            TRUNCATE_BEFORE => Section::control(TRUNCATE_BEFORE, id, part.number.min(*version + 1), &[]),
            kind @ (KEEP | UNKEEP) => {
                *revision += 1;
                Section::control(kind, id, *revision, if kind == KEEP { &bytes } else { &[] })
            }
            CARRY_STREAM => {
                let mut content = vec![0; 40];
                content[..8].copy_from_slice(&(*version + 1).to_le_bytes());
                content[24..32].copy_from_slice(&part.number.to_le_bytes());
                content[32] = part.extras & 1;
                content[36] = part.bytes;
                content.extend(&bytes);
                Section::control(CARRY_STREAM, id, *version, &content)
            }
            CARRY_KEPT => Section::control(CARRY_KEPT, id, *revision, &bytes),
            LOG_STARTS_AT => Section::control(LOG_STARTS_AT, "", 0, &[part.extras; 16]),
            _ => {
                let event = |at: u8| Event {
                    id: (part.extras & 1 != 0).then_some([at; 16]),
                    attributes: (part.extras & 2 != 0).then(|| vec![(1, bytes.clone()), (4, vec![0; 8])]),
                    metadata: if part.extras & 4 != 0 { bytes.clone() } else { Vec::new() },
                    removed: if part.extras & 8 != 0 && at == 1 { 1 + u64::from(part.bytes) } else { 0 },
                    ..Event::new("type", &bytes)
                };
                let section = Section::events(id, *version + 1, (0..=part.events % 3).map(event).collect());
                *version += u64::from(section.events);
                section
            }
        };
        if part.tenant > 192 { section.of_tenant("tenant") } else { section }
    };
    parts.iter().take(4).map(section).collect()
}

fn write(input: &Input) -> Writer {
    let header = Header {
        log_id: *b"log id for fuzz.",
        salt: 0x5A17,
        ordinal: 1,
        base_position: 1,
        capacity: CAPACITY,
        ..Header::default()
    };
    let mut writer = Writer::new(header, 0);
    let (mut versions, mut revision) = ([0; 4], 0);
    for shape in input.frames.iter().take(8) {
        if shape.new_batch || writer.frames.is_empty() {
            writer.batch();
        }
        let time = writer.frames.len() as u64 / 2;
        match shape.kind % 8 {
            kind @ (IDLE | CLOSED) => writer.witness(kind, time),
            PAD => writer.pad(time, usize::from(shape.zeros) * 8),
            _ => writer.append(time, sections(&shape.parts, &mut versions, &mut revision)),
        };
    }
    if input.sealed {
        writer.seal();
    }
    writer
}

fn change(image: &mut [u8], change: &Change, offsets: &[usize]) {
    let start = match usize::from(change.frame) {
        254 => image.len() - PAGE,
        255 => 0,
        frame => offsets.get(frame % offsets.len().max(1)).copied().unwrap_or(PAGE),
    };
    let (at, width) = (start + usize::from(change.at) % 256, 1 << (change.width % 4));
    let Some(field) = image.get_mut(at..at + width) else { return };
    let mut wide = [0; 8];
    wide[..width].copy_from_slice(field);
    let value = match change.value {
        Value::Add(more) => u64::from_le_bytes(wide).wrapping_add_signed(more.into()),
        Value::Set(value) => value,
        Value::Ones(shift) => u64::MAX >> (shift % 64),
        Value::One(shift) => 1 << (shift % 64),
    };
    field.copy_from_slice(&value.to_le_bytes()[..width]);
}

fuzz_target!(|input: Input| -> Corpus {
    let writer = write(&input);
    let mut image = writer.image();
    if image.len() as u64 != CAPACITY || writer.bytes.len() > image.len() - PAGE {
        return Corpus::Reject;
    }
    let offsets: Vec<_> = writer.frames.iter().map(|placed| placed.span.start).collect();
    input.changes.iter().take(8).for_each(|one| change(&mut image, one, &offsets));
    reseal(&mut image, &offsets, input.seals);
    if let Some((at, bytes)) = &input.last {
        let at = usize::from(*at) % image.len();
        let len = bytes.len().min(image.len() - at);
        image[at..at + len].copy_from_slice(&bytes[..len]);
    }
    let opinion = scribe::read_log(&[image.clone()]);
    let writable = opinion.as_ref().is_ok_and(|log| log.segments[0].header.must_not_write == 0);
    let files = one_segment(image);
    match (open_or_untouched(&files), &opinion) {
        (Err(error), Ok(_)) => assert!(!writable, "refused, although FORMAT.md allows it: {error}"),
        (Ok(_), Err(why)) => panic!("opened, although FORMAT.md refuses it: {why}"),
        (Err(_), Err(_)) => {}
        (Ok((memory, log)), Ok(opinion)) => {
            check_read_only(&files, opinion);
            let before = check_log(&log, Some(opinion));
            go_on(&memory, &log, &before);
        }
    }
    Corpus::Keep
});
