//! Index files: that the engine reads those that are written by FORMAT.md alone, and that its own say what FORMAT.md asks for.

use super::*;
use annals::storage::Storage;
use annals::{IndexUse, KeptCondition, Options};
use std::sync::Arc;

pub(super) fn file_name(number: u64) -> String {
    format!("{number:020}.idx")
}

/// A sealed segment and one that goes on, an index file for each, and a tail that none of them speaks of.
fn log() -> (Writer, Writer, usize) {
    let mut first = writer();
    let made = vec![
        Section::control(CREATE, "made", 0, b"attributes").of_tenant("t1"),
        Section::control(KEEP, "gone soon", 1, b"g"),
        Section::control(KEEP, "stays", 2, b"s"),
    ];
    first.batch().append(at(1), made);
    // As many as fill some buckets.
    first.batch().append(at(2), (0..20).map(|i| one(&format!("stream-{i}"), 1)).collect());
    first.append(at(2), vec![one("stream-3", 2).of_tenant("t2"), one("stream-4", 2), one("stream-3", 3)]);
    first.witness(IDLE, at(3)).seal();
    let mut second = Writer::new(first.next(0xFEED, at(4)), 4);
    let changed = vec![
        one("made", 1),
        one("stream-4", 3).of_tenant("t1"),
        Section::control(TOMBSTONE, "stream-5", 1, b""),
        Section::control(TRUNCATE_BEFORE, "stream-3", 3, b""),
        one("late", 1).of_tenant("t2"),
        Section::control(UNKEEP, "gone soon", 3, b""),
        Section::control(KEEP, "new", 4, b"n"),
        Section::control(UNKEEP, "never was", 5, b""),
    ];
    second.batch().append(at(4), changed).append(at(4), vec![one("stream-4", 4)]);
    let covered = second.bytes.len();
    second.batch().append(at(5), vec![one("stream-4", 5), Section::control(KEEP, "stays", 6, b"t")]);
    (first, second, covered)
}

fn layers(read: &Log, ends: &[(u64, u64)]) -> Vec<Layer> {
    let mut from = (1, PAGE as u64);
    let mut layers = Vec::new();
    for (number, to) in (1..).zip(ends) {
        layers.push(Layer { number, salt: 0x5A17 + number, ..Layer::of(read, from, *to) });
        from = *to;
    }
    layers
}

fn with(layers: &[Layer]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<u8>) {
    let (first, second, _) = log();
    let files: Vec<_> = layers.iter().map(Layer::encode).collect();
    let named = layers.iter().zip(&files).map(|(layer, file)| layer.named(file)).collect();
    let checkpoint = Checkpoint { layers: named, ..second.checkpoint() };
    (vec![first.image(), second.image()], files, checkpoint.encode())
}

fn own_layers() -> Vec<Layer> {
    let (first, second, covered) = log();
    let read = read_log(&[first.image(), second.image()]).unwrap();
    layers(&read, &[(1, first.bytes.len() as u64), (2, covered as u64)])
}

pub(super) fn fixture() -> Fixture {
    let (segments, layers, checkpoint) = with(&own_layers());
    Fixture {
        name: "indexed",
        about: "Two segments with an index file for each; the second one ends before the last append.",
        segments,
        checkpoint: Some(checkpoint),
        layers,
    }
}

fn opened((segments, layers, checkpoint): (Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<u8>)) -> EventLog {
    let segments = (1..).zip(segments).map(|(ordinal, image)| (segment_name(ordinal), image));
    let layers = (1..).zip(layers).map(|(number, file)| (file_name(number), file));
    let checkpoint = ("checkpoint".to_owned(), checkpoint);
    open(&shelve(&segments.chain(layers).chain([checkpoint]).collect())).unwrap()
}

/// Not derived anew: what a file says is shown even where the log says otherwise, and a file that says nothing sound is not asked.
#[test]
fn golden_index_files_are_what_the_engine_reads() {
    let layers = own_layers();
    for (layer, file) in layers.iter().zip(with(&layers).1) {
        assert_eq!(Layer::decode(&file).as_ref(), Ok(layer));
    }
    let log = opened(with(&layers));
    assert_eq!(log.recovery().index, IndexUse::Covers { position: layers[1].next_position - 1 });
    let told = log.stream_info("made").unwrap();
    let mut lie = layers.clone();
    lie[1].streams.get_mut("made").unwrap().created += 1;
    let log = opened(with(&lie));
    assert_eq!(log.stream_info("made").unwrap().created_nanos, told.created_nanos + 1);
    // One that ends where no frame does.
    lie[1].to.1 += 8;
    let log = opened(with(&lie));
    assert_eq!(log.recovery().index, IndexUse::Damaged { file: 2 });
    assert_eq!(log.stream_info("made").unwrap(), told);
}

/// The other way round, for files of all origins: from memory at a roll and at a close, from merges, from a log that is read.
#[test]
fn golden_index_files_of_the_engine_say_what_the_log_says() {
    let small = || Options::new().segment_bytes(64 << 10).index_after_bytes(8 << 10).background(false);
    let memory = shelve(&Files::new());
    let mut compared = 0;
    for round in 0..6u64 {
        let log = small().open_storage(Arc::new(memory.clone())).unwrap();
        for i in 0..60 {
            let stream = format!("s{}", (i * 7 + round) % (20 + 10 * round));
            let payload = vec![i as u8; [0, 3, 700, 3000][i as usize % 4]];
            let event = NewEvent::new("Given", &payload);
            let tenant = log.tenant(&format!("t{}", i % 3));
            let any = ExpectedVersion::Any;
            match i % 10 {
                3 => _ = tenant.append(&format!("{stream} of {}", i % 3), any, &[event]).unwrap(),
                5 => _ = log.create_stream(&format!("c{round}-{i}"), any, b"attributes").unwrap(),
                6 => _ = log.keep(&format!("k{}", i % 4), KeptCondition::Any, &payload).unwrap(),
                7 => _ = log.unkeep(&format!("k{}", i % 8), KeptCondition::Any).unwrap(),
                8 => _ = log.truncate_before(&format!("s{}", i % 20), 1 + round, any),
                9 => _ = log.tombstone(&format!("c{round}-{}", i - 4), any),
                _ => {
                    _ = log
                        .batch()
                        .append(&stream, any, &[event; 3])
                        .append("all", any, &[event])
                        .commit()
                        .unwrap()
                }
            }
        }
        log.close().unwrap();
        let files = files_of(&memory);
        let images: Vec<_> =
            files.iter().filter(|(name, _)| name.ends_with(".seg")).map(|(_, image)| image.clone()).collect();
        let read = read_log(&images).unwrap();
        let named = Checkpoint::decode(&files["closed"]).unwrap().layers;
        let mut from = (1, PAGE as u64);
        for (number, proof) in named {
            let file = &files[&file_name(number)];
            let said = Layer::decode(file).unwrap();
            assert_eq!((said.from, said.named(file)), (from, (number, proof)));
            assert!(said.marks_right(&read), "round {round}, file {number}");
            let marks = said.marks.clone();
            let expected = Layer { number, salt: said.salt, marks, ..Layer::of(&read, from, said.to) };
            assert_eq!(said, expected, "round {round}, file {number}");
            from = said.to;
            compared += 1;
        }
        if round == 3 {
            files.keys().filter(|name| name.ends_with(".idx")).for_each(|name| memory.remove(name).unwrap());
        }
    }
    assert!(compared > 8, "{compared}");
}
