//! Golden files: what version 1 of the format looks like, byte by byte, and what a log of such bytes shows.
//!
//! The files in `tests/fixtures/v1` were written by `scribe`, from FORMAT.md alone, and never change: a change of these bytes
//! is a change of the format. `NAME.N.head` is segment N from its start to the last byte before the
//! footer that is not zero (the rest of the capacity is zeros), `NAME.N.foot` its last page if that is not zeros, `NAME.N.idx` index file N, `NAME.checkpoint` the
//! checkpoint, and `NAME.txt` says what is in it and what it shows. For a new one, add it here and run `ANNALS_WRITE_FIXTURES=1 cargo test golden`: that
//! writes all files and the dump in FORMAT.md; the version control shows what has changed. Without the variable, all are compared.

mod dump;
mod index;

use crate::scribe::*;
use crate::shelf::{Files, Shown, drain, files_of, open, options, segment_name, shelve};
use annals::{EventLog, ExpectedVersion, NewEvent, OpenError, ReadError};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// A log made of bytes, and what it is there for.
struct Fixture {
    name: &'static str,
    about: &'static str,
    segments: Vec<Vec<u8>>,
    checkpoint: Option<Vec<u8>>,
    /// Index files, the first one with the number 1.
    layers: Vec<Vec<u8>>,
}

const CREATED: u64 = 1_700_000_000_000_000_000;

fn header() -> Header {
    Header {
        log_id: *b"\x8d\x11\x5e\x4c\x2f\x0a\x47\x33\x9b\x60\xc1\xd4\x07\x5a\xee\x21",
        salt: 0x0123_4567_89AB_CDEF,
        ordinal: 1,
        base_position: 1,
        capacity: 16384,
        created: CREATED,
        ..Header::default()
    }
}

fn writer() -> Writer {
    Writer::new(header(), 0)
}

/// Time of the nth frame.
fn at(n: u64) -> u64 {
    CREATED + n * 1_000_000
}

fn event(event_type: &str, payload: &str) -> Event {
    Event::new(event_type, payload.as_bytes())
}

fn one(stream: &str, version: u64) -> Section {
    Section::events(stream, version, vec![event("Noted", "n")])
}

fn carried(first_kept: u64, ordinal: u64, flags: u32, attributes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    [first_kept, CREATED - 9, CREATED - 5, ordinal]
        .iter()
        .for_each(|number| content.extend(number.to_le_bytes()));
    content.extend(flags.to_le_bytes());
    content.extend((attributes.len() as u32).to_le_bytes());
    content.extend(attributes);
    content
}

/// The segment of the worked example in FORMAT.md section 12.
fn example() -> Writer {
    let mut writer = writer();
    let placed = Event { id: Some([0x11; 16]), metadata: b"{}".to_vec(), ..event("OrderPlaced", "42") };
    let sections = vec![
        Section::events("order-42", 1, vec![placed, event("OrderPaid", "")]),
        Section::events("stock-7", 1, vec![event("Reserved", "3 pcs")]).of_tenant("shop"),
    ];
    writer.batch().append(at(1), sections).witness(CLOSED, at(1));
    writer
}

fn fixtures() -> Vec<Fixture> {
    let mut all = Vec::new();
    let mut add = |name, about, segments: Vec<Vec<u8>>| {
        all.push(Fixture { name, about, segments, checkpoint: None, layers: Vec::new() });
    };
    add("empty", "A new log: a header and nothing else.", vec![writer().image()]);
    add(
        "example",
        "The worked example of FORMAT.md: one append to two streams, and a close.",
        vec![example().image()],
    );

    let mut w = writer();
    let full =
        Event { id: Some(*b"sixteen id bytes"), metadata: b"by anna".to_vec(), ..event("Full", "payload") };
    let bare = event("B", "");
    w.batch().append(at(1), vec![Section::events("a", 1, vec![full.clone(), bare.clone()])]);
    w.append(at(1), vec![Section::events("b\0/ü", 1, vec![bare]).of_tenant("t1")]);
    let again = vec![
        one("a", 3).of_tenant("t2"),
        Section::events("a", 4, vec![full; 2]),
        one("b\0/ü", 2).of_tenant("t3"),
    ];
    w.batch().append(at(2), again);
    add(
        "events",
        "Events with and without id, metadata, tenant; two frames in one batch; a stream twice in a frame.",
        vec![w.image()],
    );

    let mut w = writer();
    let attributes =
        vec![(1, b"tag".to_vec()), (4, CREATED.to_le_bytes().to_vec()), (0x0999, b"unknown".to_vec())];
    let tagged = Event { attributes: Some(attributes), ..event("Tagged", "p") };
    w.batch().append(
        at(1),
        vec![Section::events("a", 1, vec![tagged, Event { attributes: Some(vec![]), ..event("U", "") }])],
    );
    add(
        "event-attributes",
        "Attribute blocks with a tag, an original time, an unknown tag that may be passed over; an empty one.",
        vec![w.image()],
    );

    let mut w = writer();
    let section = Section::control(CREATE, "a", 0, b"what its creator attached").of_tenant("t");
    w.batch()
        .append(at(1), vec![section])
        .batch()
        .append(at(2), vec![one("a", 1), Section::control(CREATE, "b", 0, b"")]);
    add("create", "Streams created with attributes and a tenant, and with neither.", vec![w.image()]);

    let mut w = writer();
    let ended =
        vec![Section::control(TOMBSTONE, "a", 2, b""), Section::control(TOMBSTONE, "never seen", 0, b"")];
    w.batch().append(at(1), vec![one("a", 1), one("b", 1), one("a", 2)]).batch().append(at(2), ended);
    add(
        "tombstone",
        "A stream that ends after two events, and one that ends before it had any.",
        vec![w.image()],
    );

    let mut w = writer();
    w.batch().append(at(1), vec![one("a", 1), one("a", 2), one("a", 3), one("b", 1)]);
    w.batch().append(at(2), vec![Section::control(TRUNCATE_BEFORE, "a", 3, b"")]);
    add("truncate-before", "A stream of three events whose first two are no longer kept.", vec![w.image()]);

    let mut w = writer();
    let kept = vec![Section::control(KEEP, "billing/position", 1, b"\x07\0\0\0"), one("a", 1)];
    w.batch().append(at(1), kept).append(at(1), vec![Section::control(KEEP, "b", 2, b"")]);
    w.batch().append(at(2), vec![Section::control(UNKEEP, "b", 3, b"")]);
    add(
        "kept-values",
        "Two kept values, one of them beside an event, one empty and deleted later.",
        vec![w.image()],
    );

    let mut w = writer();
    let place = |position: u64| position.to_le_bytes();
    let parked = [&at(9).to_le_bytes()[..], &3u32.to_le_bytes(), &7u32.to_le_bytes(), b"no desk"].concat();
    w.batch().append(at(1), (1..=9).map(|version| one("a", version)).collect());
    let records = vec![
        Section::control(KEEP, "annals/consumer/billing", 1, &place(4)),
        Section::control(KEEP, "annals/done/7:billing/00000000000000000006", 2, b""),
        Section::control(KEEP, "annals/parked/7:billing/00000000000000000003", 3, &parked),
    ];
    w.batch().append(at(2), records);
    w.batch().append(at(3), vec![Section::control(KEEP, "annals/consumer/billing", 4, &place(5))]);
    add(
        "consumers",
        "Where a consumer is: all up to position 5 is done, and 6; 3 was set aside.",
        vec![w.image()],
    );

    let mut w = Writer::new(
        Header {
            ordinal: 3,
            base_position: 11,
            previous_salt: 5,
            previous_end: 9000,
            previous_checksum: 77,
            ..header()
        },
        40,
    );
    let records = vec![
        Section::control(CARRY_STREAM, "gone", 4, &carried(5, 2, 1, b"")),
        Section::control(CARRY_STREAM, "a", 6, &carried(7, 1, 0, b"attributes")).of_tenant("t"),
        Section::control(CARRY_KEPT, "billing/position", 8, b"\x0A\0\0\0"),
        Section::control(LOG_STARTS_AT, "", 0, &[3u64.to_le_bytes(), 11u64.to_le_bytes()].concat()),
    ];
    w.batch().append(at(1), records).batch().append(at(2), vec![one("a", 7), one("new", 1)]);
    add(
        "retained",
        "What retention leaves: the log starts with segment 3, position 11; streams and a kept value were carried over.",
        vec![w.image()],
    );

    let mut w = writer();
    w.batch().append(at(1), vec![one("a", 1)]).witness(IDLE, at(1)).witness(CLOSED, at(2));
    w.batch().append(at(3), vec![one("a", 2)]).witness(IDLE, at(3));
    add("witnesses", "An idle frame, a closed frame, and frames that simply follow.", vec![w.image()]);

    let mut w = writer();
    w.batch().append(at(1), vec![one("a", 1)]).pad(at(1), 0).batch().append(at(2), vec![one("a", 2)]);
    let fill = PAGE - w.bytes.len() % PAGE - 72;
    w.pad(at(2), fill);
    add("pad", "A pad frame without a body, and one that fills its batch up to a page.", vec![w.image()]);

    let mut w = writer();
    w.batch().append(at(1), vec![one("a", 1), one("b", 1)]).append(at(1), vec![one("a", 2)]).seal();
    add(
        "sealed",
        "A sealed segment with its footer, the last one: a crash came between seal and roll.",
        vec![w.image()],
    );

    let mut w = Writer::new(Header { layout: 1, ..header() }, 0);
    let stub = Event { removed: 3, ..Event::default() };
    w.batch().append(
        at(1),
        vec![Section::events("a", 1, vec![event("Kept", "1"), stub, event("Kept", "5")]), one("b", 1)],
    );
    w.rewritten(1);
    add(
        "removed",
        "A rewritten segment: three events of a stream were removed, and a stub stands for them.",
        vec![w.image()],
    );

    let mut w = writer();
    w.batch().append(at(1), vec![one("a", 1)]).batch().append(at(2), vec![one("a", 2)]);
    let mut torn = w.image();
    torn[w.bytes.len() - 16..].fill(0);
    add(
        "torn-tail",
        "The last batch was cut short: it was never acknowledged. The log ends before it.",
        vec![torn],
    );

    let mut first = writer();
    first.batch().append(at(1), vec![one("a", 1), one("b", 1)]).seal();
    let mut second = Writer::new(first.next(0xFEED, at(2)), 1);
    second.batch().append(at(3), vec![one("a", 2)]).witness(CLOSED, at(3));
    let checkpoint = Some(second.checkpoint().encode());
    all.push(Fixture {
        name: "chain",
        about: "Two segments and a checkpoint, as after a clean close.",
        segments: vec![first.image(), second.image()],
        checkpoint,
        layers: Vec::new(),
    });
    all.push(index::fixture());
    all
}

/// Two more that must be refused: not golden in what they show, but in that they show nothing.
fn refused() -> Vec<(Fixture, &'static str)> {
    let one_segment = |name, about, image| Fixture {
        name,
        about,
        segments: vec![image],
        checkpoint: None,
        layers: Vec::new(),
    };
    let mut w = writer();
    w.batch().append(at(1), vec![one("a", 1)]).batch().append(at(2), vec![one("a", 2)]).witness(IDLE, at(2));
    let mut damaged = w.image();
    damaged[w.frames[1].span.end - 16] ^= 1;
    let damaged = one_segment(
        "damaged",
        "A flipped bit in a batch that a later frame proves to have been durable.",
        damaged,
    );
    let newer = Header { must_not_read: 1, ..header() };
    let newer = one_segment("newer", "A feature bit that forbids reading.", Writer::new(newer, 0).image());
    vec![(damaged, "damage before a witness"), (newer, "a header field")]
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

fn writing() -> bool {
    env::var_os("ANNALS_WRITE_FIXTURES").is_some()
}

fn compare(name: &str, bytes: &[u8]) {
    let path = directory().join(name);
    if writing() {
        fs::create_dir_all(directory()).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    let golden = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let differs = golden.iter().zip(bytes).position(|(a, b)| a != b);
    assert!(golden == bytes, "{name}: {} bytes against {}, first at {differs:?}", golden.len(), bytes.len());
}

/// The last byte that is not zero, and all before it.
fn trimmed(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)]
}

impl Fixture {
    fn ordinal(&self, index: usize) -> u64 {
        u64_at(&self.segments[0], 56) + index as u64
    }

    /// Compares with the files, and reads the files back: what is opened later came from there.
    fn files(&self) -> Files {
        let mut files = Files::new();
        for (index, image) in self.segments.iter().enumerate() {
            let ordinal = self.ordinal(index);
            let (frames, foot) = image.split_at(image.len() - PAGE);
            let name = |part| format!("{}.{ordinal}.{part}", self.name);
            compare(&name("head"), trimmed(frames));
            let mut rebuilt = fs::read(directory().join(name("head"))).unwrap();
            assert!(rebuilt.len() < 9000, "a fixture is small");
            rebuilt.resize(u64_at(&rebuilt, 72) as usize - PAGE, 0);
            if trimmed(foot).is_empty() {
                rebuilt.extend([0; PAGE]);
            } else {
                compare(&name("foot"), foot);
                rebuilt.extend(fs::read(directory().join(name("foot"))).unwrap());
            }
            assert!(rebuilt == *image);
            files.insert(segment_name(ordinal), rebuilt);
        }
        if let Some(checkpoint) = &self.checkpoint {
            compare(&format!("{}.checkpoint", self.name), checkpoint);
            files.insert("checkpoint".to_owned(), checkpoint.clone());
        }
        for (number, layer) in (1..).zip(&self.layers) {
            compare(&format!("{}.{number}.idx", self.name), layer);
            files.insert(index::file_name(number), layer.clone());
        }
        files
    }
}

/// One line an event, one line a stream.
fn listing(events: &[Shown], streams: &[(String, Stream)], kept: &[(String, u64, Vec<u8>)]) -> String {
    let mut text = String::new();
    for e in events {
        let id: String = e.id.iter().map(|byte| format!("{byte:02x}")).collect();
        let (metadata, payload) = (e.metadata.escape_ascii(), e.payload.escape_ascii());
        let Shown { position, stream, version, time, event_type, .. } = e;
        writeln!(text, "event {position}: {stream:?} {version} {event_type:?} time {time} id {id} metadata \"{metadata}\" payload \"{payload}\"").unwrap();
    }
    for (id, s) in streams {
        let Stream {
            version, first_kept, tombstoned, tenant, created, last_append, creation_ordinal, ..
        } = s;
        let attributes = s.attributes.escape_ascii();
        writeln!(text, "stream {id:?}: {creation_ordinal}th, version {version}, first {first_kept}, tombstoned {tombstoned}, tenant {tenant:?}, attributes \"{attributes}\", created {created}, last append {last_append}").unwrap();
    }
    for (name, revision, value) in kept {
        writeln!(text, "kept {name:?}: revision {revision}, value \"{}\"", value.escape_ascii()).unwrap();
    }
    text
}

fn listing_by_scribe(log: &Log) -> String {
    let (standing, damaged) = log.events();
    assert!(!damaged);
    let first = log.starts_at.map_or(1, |(_, position)| position);
    let shown = standing.iter().filter(|standing| standing.position >= first).map(|standing| Shown {
        position: standing.position,
        stream: standing.stream.to_owned(),
        version: standing.version,
        time: standing.time,
        id: log.id_of(standing),
        event_type: standing.event.event_type.clone(),
        metadata: standing.event.metadata.clone(),
        payload: standing.event.payload.clone(),
    });
    let streams: Vec<_> = log.streams.iter().map(|(id, stream)| (id.clone(), stream.clone())).collect();
    let kept: Vec<_> =
        log.kept.iter().map(|(name, (revision, value))| (name.clone(), *revision, value.clone())).collect();
    listing(&shown.collect::<Vec<_>>(), &streams, &kept)
}

fn listing_by_engine(log: &EventLog, first: u64) -> String {
    let (shown, error) = drain(log.read_all(first - 1), 1000);
    assert_eq!(error, None);
    let stream = |id: String| {
        let info = log.stream_info(&id).unwrap();
        // A fold shows what a walk does, over stubs, too.
        if !info.tombstoned {
            let stream = || log.read_stream(&id, info.first_version - 1);
            let versions = |mut seen: Vec<u64>, event: annals::Event<'_>| {
                seen.push(event.version());
                Ok::<_, ReadError>(seen)
            };
            let folded = stream().try_fold(Vec::new(), versions).unwrap();
            let walked: Vec<u64> = drain(stream(), 1000).0.iter().map(|event| event.version).collect();
            assert_eq!(folded, walked, "{id}");
        }
        let stream = Stream {
            version: info.version,
            first_kept: info.first_version,
            tombstoned: info.tombstoned,
            tenant: info.tenant.unwrap_or_default(),
            attributes: info.attributes,
            created: info.created_nanos,
            last_append: info.last_append_nanos,
            creation_ordinal: info.creation_ordinal,
        };
        (id, stream)
    };
    let streams: Vec<_> = log.list_streams("", None, 1000).into_iter().map(stream).collect();
    let kept = log.list_kept("", None, 1000).unwrap().into_iter();
    let kept: Vec<_> = kept.map(|kept| (kept.name, kept.revision.unwrap(), kept.value.to_vec())).collect();
    listing(&shown, &streams, &kept)
}

#[test]
fn golden_files_are_what_the_format_says_and_show_what_they_hold() {
    for fixture in fixtures() {
        let files = fixture.files();
        let read = read_log(&fixture.segments).unwrap_or_else(|why| panic!("{}: {why}", fixture.name));
        let checkpoint = fixture.checkpoint.as_deref().map(|page| Checkpoint::decode(page).unwrap());
        assert!(checkpoint.is_none_or(|checkpoint| reaches(&read, &checkpoint)));
        let listing = listing_by_scribe(&read);
        compare(&format!("{}.txt", fixture.name), format!("{}\n\n{listing}", fixture.about).as_bytes());
        let first = read.starts_at.map_or(1, |(_, position)| position);
        let memory = shelve(&files);
        let log = options().open_storage_read_only(std::sync::Arc::new(memory.clone())).unwrap();
        log.close().unwrap();
        assert!(files_of(&memory) == files, "{}", fixture.name);
        let log = open(&memory).unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
        assert_eq!(listing_by_engine(&log, first), listing, "{}", fixture.name);
        // And it goes on from there, with everything that came before.
        log.append("more", ExpectedVersion::NotRegistered, &[NewEvent::new("T", "")]).unwrap();
        log.close().unwrap();
        let log = open(&memory).unwrap();
        assert!(log.recovery().closed_cleanly, "{}", fixture.name);
        assert!(listing_by_engine(&log, first).len() > listing.len(), "{}", fixture.name);
    }
}

#[test]
fn golden_files_that_are_refused_stay_as_they_are() {
    for (fixture, why) in refused() {
        let files = fixture.files();
        compare(
            &format!("{}.txt", fixture.name),
            format!("{}\n\nrefused: {why}\n", fixture.about).as_bytes(),
        );
        assert_eq!(read_log(&fixture.segments), Err(why));
        let memory = shelve(&files);
        let error = open(&memory).unwrap_err();
        let right = match fixture.name {
            "newer" => matches!(error, OpenError::UnknownFeature { bits: 1, read_only_helps: false, .. }),
            _ => matches!(error, OpenError::Corrupt(_)),
        };
        assert!(right && files_of(&memory) == files, "{}: {error}", fixture.name);
    }
}

/// A file in the folder that no fixture owns is one that nobody looks at.
#[test]
fn golden_files_all_belong_to_a_fixture() {
    let names: Vec<_> =
        fixtures().iter().chain(refused().iter().map(|(fixture, _)| fixture)).map(|f| f.name).collect();
    for entry in fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.split('.').next().unwrap_or_default();
        assert!(names.contains(&stem), "{name}");
    }
}

/// The other way round: what the engine writes, the reader of FORMAT.md reads.
#[test]
fn golden_reader_reads_what_the_engine_wrote() {
    for pad in [false, true] {
        let memory = shelve(&Files::new());
        let log = options().pad_commits(pad).open_storage(std::sync::Arc::new(memory.clone())).unwrap();
        let mut waiting = Vec::new();
        for i in 0..60u8 {
            let payload = vec![i; [0, 3, 700, 9000][usize::from(i) % 4]];
            let stream = format!("s{}", i % 5);
            let given = NewEvent::new("Given", &payload)
                .with_metadata("meta")
                .with_id(annals::Uuid::from_u128(i.into()));
            let batch =
                log.batch().append(&stream, ExpectedVersion::Any, &[given, NewEvent::new("Bare", "")]);
            let batch = batch.append("all", ExpectedVersion::Any, &[NewEvent::new("One", &payload)]);
            waiting.push(
                batch.append(&stream, ExpectedVersion::Any, &[NewEvent::new("Last", "")]).submit().unwrap(),
            );
            if i % 3 == 0 {
                waiting.drain(..).for_each(|pending| _ = pending.wait().unwrap());
            }
        }
        waiting.drain(..).for_each(|pending| _ = pending.wait().unwrap());
        log.append("registered", ExpectedVersion::NotRegistered, &[]).unwrap();
        log.tombstone("s1", ExpectedVersion::StreamExists).unwrap();
        log.truncate_before("s2", 5, ExpectedVersion::StreamExists).unwrap();
        log.tenant("t").create_stream("of t", ExpectedVersion::NotRegistered, b"attributes").unwrap();
        log.tenant("t").append("s3", ExpectedVersion::Any, &[]).unwrap();
        log.keep("k", annals::KeptCondition::Absent, b"old").unwrap();
        log.batch().keep("k", "new").unkeep("none", annals::KeptCondition::Absent).commit().unwrap();
        log.acknowledge("billing", 7).unwrap();
        log.keep("last", annals::KeptCondition::Any, b"").unwrap();
        let listing = listing_by_engine(&log, 1);
        assert_eq!(listing.lines().filter(|line| line.starts_with("event")).count(), 240);
        log.close().unwrap();
        let files = files_of(&memory);
        let images: Vec<_> =
            files.iter().filter(|(name, _)| name.ends_with(".seg")).map(|(_, image)| image.clone()).collect();
        let read = read_log(&images).unwrap();
        assert_eq!(listing_by_scribe(&read), listing);
        let (last, sealed) = read.segments.split_last().unwrap();
        assert!(sealed.len() > 2 && last.how == End::Clean);
        let kinds: Vec<_> =
            last.frames.iter().map(|placed| placed.frame.kind).filter(|kind| *kind != PAD).collect();
        assert_eq!(kinds.last(), Some(&CLOSED));
        assert!(reaches(&read, &Checkpoint::decode(&files["closed"]).unwrap()));
    }
}
