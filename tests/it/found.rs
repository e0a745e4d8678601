//! Faults that fuzzing and reading found, each as the bytes that showed it.

use crate::scribe::*;
use crate::shelf::*;
use annals::{EventLog, ExpectedVersion, Fault, NewEvent, OpenError, Query, ReadError, Uuid};
use std::sync::Arc;

const LOG_ID: [u8; 16] = *b"0123456789abcdef";

fn writer() -> Writer {
    let header = Header {
        log_id: LOG_ID,
        salt: 0x5A17,
        ordinal: 1,
        base_position: 1,
        capacity: 16384,
        ..Header::default()
    };
    Writer::new(header, 0)
}

fn events(stream: &str, first: u64, count: usize) -> Section {
    Section::events(stream, first, vec![Event::new("T", b"payload"); count])
}

/// A refused log stays as it was, to the byte.
#[track_caller]
fn refused(files: &Files) -> OpenError {
    let memory = shelve(files);
    let error = open(&memory).expect_err("this must not open");
    let after = files_of(&memory);
    assert_eq!(after.keys().collect::<Vec<_>>(), files.keys().collect::<Vec<_>>(), "{error}");
    assert!(after == *files, "bytes changed: {error}");
    error
}

/// FORMAT.md section 3: whatever is wrong behind a right body checksum is refused, never torn.
#[test]
fn a_pad_frame_that_is_not_zeros_is_no_torn_tail() {
    let mut writer = writer();
    writer.batch().append(5, vec![events("a", 1, 1)]).pad(5, 64);
    let (mut image, at) = (writer.image(), writer.frames[1].span.start);
    image[at + 72] = 1;
    reseal(&mut image, &[at], 8);
    // The link stays, and only this frame's checksum is made anew.
    let offsets: Vec<_> = writer.frames.iter().map(|placed| placed.span.start).collect();
    reseal(&mut image, &offsets, 8 | 16 | 32);
    refused(&one_segment(image));
}

/// The same for a witness frame that has a body.
#[test]
fn a_witness_frame_with_a_body_is_no_torn_tail() {
    let mut writer = writer();
    writer.batch().append(5, vec![events("a", 1, 1)]).batch().pad(5, 64);
    let (mut image, at) = (writer.image(), writer.frames[1].span.start);
    image[at + 4] = IDLE;
    let offsets: Vec<_> = writer.frames.iter().map(|placed| placed.span.start).collect();
    reseal(&mut image, &offsets, 8 | 16 | 32);
    refused(&one_segment(image));
}

/// FORMAT.md section 3, "a frame follows": a new batch has a larger number; 0 is not larger than 0.
#[test]
fn batch_number_zero_does_not_follow_itself() {
    let mut writer = writer();
    writer.batch().append(5, vec![events("a", 1, 1)]).batch().append(5, vec![events("a", 2, 1)]);
    let mut image = writer.image();
    let offsets: Vec<_> = writer.frames.iter().map(|placed| placed.span.start).collect();
    for at in &offsets {
        image[at + 40..at + 48].fill(0);
    }
    reseal(&mut image, &offsets, 16 | 32);
    refused(&one_segment(image));
}

/// The next batch number is one more than any seen: there must be one.
#[test]
fn the_largest_batch_number_is_no_panic() {
    let mut writer = writer();
    writer.batch().append(5, vec![events("a", 1, 1)]);
    let (mut image, at) = (writer.image(), writer.frames[0].span.start);
    image[at + 40..at + 48].fill(0xFF);
    reseal(&mut image, &[at], 32);
    let memory = shelve(&one_segment(image));
    let _ = open(&memory).map(|log| log.append("b", ExpectedVersion::Any, &[NewEvent::new("T", "")]));
}

/// The same for a torn frame beyond the end.
#[test]
fn the_largest_batch_number_in_a_torn_tail_is_no_panic() {
    let mut writer = writer();
    writer.batch().append(5, vec![events("a", 1, 1)]).batch().append(5, vec![events("a", 2, 1)]);
    let (mut image, at) = (writer.image(), writer.frames[1].span.start);
    image[at + 40..at + 48].fill(0xFF);
    reseal(&mut image, &[at], 32);
    image[at + 100] ^= 1;
    let memory = shelve(&one_segment(image));
    let _ = open(&memory).map(|log| log.append("b", ExpectedVersion::Any, &[NewEvent::new("T", "")]));
}

fn carried(first_kept: u64, creation_ordinal: u64) -> Vec<u8> {
    let mut content = first_kept.to_le_bytes().to_vec();
    content.extend([0; 16]);
    content.extend(creation_ordinal.to_le_bytes());
    content.extend([0; 8]);
    content
}

/// Creation ordinals are read from disk and counted on.
#[test]
fn the_largest_creation_ordinal_is_no_panic() {
    let mut writer = writer();
    let carry = Section::control(CARRY_STREAM, "a", 5, &carried(5, u64::MAX));
    writer.batch().append(5, vec![carry, events("b", 1, 1)]);
    let _ = open(&shelve(&one_segment(writer.image())));
}

/// What the log acknowledges it must be able to read again: versions end at 2^62 - 1.
#[test]
fn an_append_beyond_the_last_version_is_refused() {
    let mut writer = writer();
    let last = (1 << 62) - 1;
    writer.batch().append(5, vec![Section::control(CARRY_STREAM, "a", last, &carried(last, 1))]);
    let memory = shelve(&one_segment(writer.image()));
    let log = open(&memory).unwrap();
    let appended = log.append("a", ExpectedVersion::Any, &[NewEvent::new("T", "")]);
    log.close().unwrap();
    let again = open(&memory);
    assert!(again.is_ok(), "{appended:?}, then {}", again.unwrap_err());
    assert!(appended.is_err());
}

/// A segment has its full length from birth (FORMAT.md section 2): one that is shorter has lost its end.
#[test]
fn a_last_segment_that_was_cut_does_not_open_short() {
    let mut writer = writer();
    for version in 1..=100 {
        writer.batch().append(5, vec![events("a", version, 1)]).witness(IDLE, 5);
    }
    let mut image = writer.image();
    image.truncate(8192);
    refused(&one_segment(image));
}

/// Headers behind the torn end that nobody but an attacker can have written, each of which claims a section table as long as all
/// that follows: to compare all their checksums byte by byte takes 20 s here, and many minutes in a segment of usual size. None
/// is taken for a witness; a true one among them is, whose own table is longer than a page.
#[test]
fn a_tail_of_forged_headers_is_looked_through_in_no_time() {
    const CAPACITY: usize = 8 << 20;
    let header = Header {
        log_id: LOG_ID,
        salt: 7,
        ordinal: 1,
        base_position: 1,
        capacity: CAPACITY as u64,
        ..Header::default()
    };
    let mut writer = Writer::new(header, 0);
    writer.batch().append(5, vec![events("a", 1, 1)]).batch().append(5, vec![events("a", 2, 1)]);
    let forge = |image: &mut [u8], from: usize, frame: &[u8]| {
        let last = CAPACITY - 4096 - 72;
        for at in (from..last - 72).step_by(72) {
            let sections = ((last - at - 72) / 24) as u32;
            image[at..at + 72].copy_from_slice(&frame[..72]);
            image[at + 8..at + 12].copy_from_slice(&sections.to_le_bytes());
            image[at + 16..at + 24].fill(0);
        }
    };
    let mut image = writer.image();
    let frame = image[writer.frames[1].span.clone()].to_vec();
    let end = writer.bytes.len();
    forge(&mut image, end, &frame);
    let log = open(&shelve(&one_segment(image))).unwrap();
    assert_eq!(log.last_position(), 2);
    assert_eq!(log.recovery().torn_tail.as_ref().map(|tail| tail.at.offset), Some(end as u64));

    let many = (0..500).map(|i| events(&format!("many-{i}"), 1, 1)).collect();
    writer.batch().append(5, many);
    let (torn, witness) = (writer.frames[1].span.start, writer.frames[2].span.start);
    let mut image = writer.image();
    forge(&mut image, writer.bytes.len(), &frame);
    image[torn] ^= 1;
    let error = refused(&one_segment(image));
    let OpenError::Corrupt(corruption) = &error else { panic!("{error}") };
    assert!(
        matches!(&corruption.fault, Fault::Acknowledged { witness: found, .. } if *found == witness as u64),
        "{error}"
    );
}

/// The checkpoint says that the log was durable beyond its torn end: a refusal, and nothing may be cleared before it.
#[test]
fn a_lost_tail_is_refused_before_the_torn_bytes_are_cleared() {
    let mut writer = writer();
    writer.batch().append(5, vec![events("a", 1, 1)]).batch().append(5, vec![events("a", 2, 1)]);
    let mut files = one_segment(writer.image());
    files.insert("checkpoint".into(), writer.checkpoint().encode());
    let image = files.get_mut(&segment_name(1)).unwrap();
    image[writer.frames[1].span.start + 120] ^= 1;
    let error = refused(&files);
    assert!(matches!(error, OpenError::LostTail { position: 2, .. }), "{error}");
}

/// The same for a log whose first segment is gone.
#[test]
fn a_missing_first_segment_is_refused_before_the_torn_bytes_are_cleared() {
    let mut first = writer();
    first.batch().append(5, vec![events("a", 1, 1)]).seal();
    let mut second = Writer::new(first.next(7, 0), 1);
    second.batch().append(5, vec![events("b", 1, 1)]);
    let mut image = second.image();
    image[second.bytes.len() + 8] = 1;
    let error = refused(&Files::from([(segment_name(2), image)]));
    assert_eq!(error, OpenError::MissingSegment { ordinal: 1 });
}

/// A refusal changes nothing, leftovers included.
#[test]
fn a_refused_open_removes_no_leftovers() {
    let mut writer = writer();
    writer.batch().append(5, vec![events("a", 1, 1)]).seal();
    let mut image = writer.image();
    image[5000] ^= 1;
    image[4100] ^= 1;
    let mut files = one_segment(image);
    files.insert("spare.tmp".into(), vec![1; 4096]);
    refused(&files);
}

/// The index of a segment is evidence that there was one.
#[test]
fn an_index_without_a_segment_is_not_an_empty_log() {
    let files = Files::from([("00000000000000000001.idx".to_owned(), vec![1; 4096])]);
    let error = refused(&files);
    assert!(matches!(error, OpenError::NotALog { .. }), "{error}");
}

/// FORMAT.md section 3: the sections' event counts add up to the frame's, and their lengths to its body, if there is none, too.
#[test]
fn a_frame_without_sections_has_no_events_and_no_body() {
    for (at, value) in [(12, 5), (4, APPEND)] {
        let mut writer = writer();
        writer.batch().append(5, vec![]);
        if at == 4 {
            writer.batch().pad(5, 64);
        }
        let mut image = writer.image();
        let offsets: Vec<_> = writer.frames.iter().map(|placed| placed.span.start).collect();
        image[offsets[offsets.len() - 1] + at] = value;
        reseal(&mut image, &offsets, 16 | 32);
        refused(&one_segment(image));
    }
}

/// FORMAT.md section 8, row 9: a footer that a crash cut short is cleared, and the log goes on.
#[test]
fn a_torn_footer_is_a_clean_end() {
    let mut writer = writer();
    writer.batch().append(5, vec![events("a", 1, 1)]).seal();
    let mut image = writer.image();
    let footer = image.len() - PAGE;
    image[footer + 512..].fill(0);
    let memory = shelve(&one_segment(image));
    let log = open(&memory).unwrap();
    assert!(log.recovery().torn_footer);
    assert_eq!(shown(&log).len(), 1);
}

/// FORMAT.md section 6: create and log-starts-at hold the number 0.
#[test]
fn a_number_where_there_is_none_is_refused() {
    for section in [Section::control(CREATE, "a", 1, b""), Section::control(LOG_STARTS_AT, "", 1, &[1; 16])] {
        let mut writer = writer();
        writer.batch().append(5, vec![section]);
        refused(&one_segment(writer.image()));
    }
}

/// A pad frame fills up a batch and says nothing of its own: what counts is the frame before.
#[test]
fn a_padded_log_that_was_closed_says_so() {
    let memory = shelve(&Files::new());
    let open = || options().pad_commits(true).open_storage(Arc::new(memory.clone())).unwrap();
    let log = open();
    log.append("a", ExpectedVersion::Any, &[NewEvent::new("T", "")]).unwrap();
    log.close().unwrap();
    assert!(open().recovery().closed_cleanly);
}

/// Who resumes a read through `stopped_at` must come past a frame in which it stopped.
#[test]
fn a_filtered_read_goes_on_from_the_middle_of_a_frame() {
    let log = EventLog::in_memory().unwrap();
    let any = ExpectedVersion::Any;
    let event = NewEvent::new("T", "");
    log.batch().append("a", any, &[event]).append("b", any, &[event, event]).commit().unwrap();
    let mut found = Vec::new();
    let mut after = Some(0);
    while let Some(place) = after {
        let mut cursor = log.read(&Query::prefix("b").after(place).budget(1));
        while let Some(event) = cursor.next().unwrap() {
            found.push(event.position());
        }
        after = cursor.stopped_at();
        assert!(after.is_none_or(|stop| stop > place), "stopped at {after:?} behind {place}");
    }
    assert_eq!(found, [2, 3]);
}

/// What is shown of a stream is what opening it again shows: only a part that is written binds the stream to a tenant.
#[test]
fn a_check_under_a_tenants_name_binds_nothing() {
    let memory = shelve(&Files::new());
    let log = open(&memory).unwrap();
    let any = ExpectedVersion::Any;
    log.batch().append("s", any, &[]).in_tenant("shop").require("s", any).commit().unwrap();
    let before = log.stream_info("s");
    log.close().unwrap();
    assert_eq!(open(&memory).unwrap().stream_info("s"), before);
    assert_eq!(before.unwrap().tenant, None);
}

/// A repeat is given what the original was, also about a stream that has gone on and was ended since.
#[test]
fn a_repeat_about_a_stream_that_was_ended_is_answered_as_the_first_time() {
    let log = EventLog::in_memory().unwrap();
    let any = ExpectedVersion::Any;
    let event = NewEvent::new("T", "");
    let keyed = event.with_id(Uuid::from_u128(5));
    let write = || log.batch().append("a", any, &[keyed]).create("b", any, b"").commit().unwrap();
    log.append("b", any, &[event]).unwrap();
    let first = write().streams[1].clone();
    log.append("b", any, &[event, event]).unwrap();
    assert_eq!(write().streams[1], first);
    log.tombstone("b", any).unwrap();
    assert_eq!(write().streams[1], first);
    assert_eq!((first.first_version, first.last_version), (2, 1));
}

/// A log that went two ways has two segments of one number, which begin alike. The one is refused among the others, and what is
/// told of it is so: also where index files speak for what it holds.
#[test]
fn a_segment_of_a_fork_is_refused_with_index_files_and_without() {
    let indexed = || options().index_after_bytes(4 << 10);
    let grown = |files: &Files, payload: &[u8], events: usize| {
        let memory = shelve(files);
        let log = indexed().open_storage(Arc::new(memory.clone())).unwrap();
        let event = NewEvent::new("T", payload);
        (0..events).for_each(|_| _ = log.append("s", ExpectedVersion::Any, &[event]).unwrap());
        log.close().unwrap();
        files_of(&memory)
    };
    let (second, third) = (segment_name(2), segment_name(3));
    let root = grown(&Files::new(), &[0; 700], 120);
    let taken = grown(&root, &[1; 700], 300);
    assert!(root.contains_key(&second) && taken.contains_key(&third));
    // As long as the one whose place it takes, and of another length.
    for (len, what) in [(700, "checksum of the frame before"), (720, "end of the segment before")] {
        let other = grown(&root, &vec![2; len], 300);
        let mut files = taken.clone();
        files.insert(second.clone(), other[&second].clone());
        let next = Header::decode(&files[&third]).unwrap();
        let (header, page) = (Header::decode(&files[&second]).unwrap(), &files[&second][(64 << 10) - PAGE..]);
        let footer = Footer::decode(page, &header).unwrap();
        let (expected, found) = match len {
            700 => (footer.checksum.into(), next.previous_checksum.into()),
            _ => (footer.end, next.previous_end),
        };
        assert_ne!(expected, found);
        let told = OpenError::ChainMismatch { ordinal: 3, fault: Fault::Field { what, expected, found } };
        let mut bare = files.clone();
        bare.retain(|name, _| name.ends_with(".seg"));
        for files in [files, bare] {
            let error = indexed().open_storage(Arc::new(shelve(&files))).unwrap_err();
            assert_eq!(error, told, "{} files", files.len());
        }
    }
}

/// Whoever spent the budget before he came to where the log begins has not asked for what was removed.
#[test]
fn a_budget_that_ends_before_the_beginning_of_a_retained_log_is_no_truncation() {
    let header =
        Header { ordinal: 3, base_position: 11, previous_salt: 5, previous_end: 9000, ..writer().header };
    let mut writer = Writer::new(header, 40);
    let begins = Section::control(LOG_STARTS_AT, "", 0, &[3u64.to_le_bytes(), 11u64.to_le_bytes()].concat());
    writer.batch().append(5, vec![begins, events("a", 1, 1), events("a", 2, 1)]);
    (1..=4).for_each(|version| {
        _ = writer.batch().append(5, vec![events("b", version, 1), events("c", version, 1)])
    });
    let log = open(&shelve(&Files::from([(segment_name(3), writer.image())]))).unwrap();
    let truncated = Some(ReadError::Truncated { first: 11 });
    let query = Query::prefix("a").backward();
    let positions = |query: &Query| {
        let mut cursor = log.read(query);
        let mut given = Vec::new();
        let error = loop {
            match cursor.next() {
                Ok(Some(event)) => given.push(event.position()),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        (given, error, cursor.stopped_at())
    };
    assert_eq!(positions(&query), (vec![12, 11], truncated.clone(), None), "of all that there is no more");
    // Eight sections of other streams are passed over first.
    for budget in 1..=8 {
        assert_eq!(positions(&query.clone().budget(budget)), (vec![], None, Some(21 - budget)), "{budget}");
    }
    assert_eq!(positions(&query.clone().budget(9)), (vec![12], None, Some(12)));
    for budget in 1..=11 {
        let (mut all, mut place) = (Vec::new(), u64::MAX);
        let end = loop {
            let (given, error, stopped_at) = positions(&query.clone().budget(budget).before(place));
            all.extend(given);
            match stopped_at {
                Some(stopped_at) if error.is_none() => place = stopped_at,
                _ => break error,
            }
        };
        assert_eq!((all, end), (vec![12, 11], truncated.clone()), "{budget} at once");
    }
}
