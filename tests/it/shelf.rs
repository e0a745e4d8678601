//! Logs in memory, taken apart: files put into a directory and taken out of it, and all that a log shows.
//!
//! Owns no opinion about the format. What it reads, it reads through the public interface, every way there is.

use annals::storage::{Memory, Storage};
use annals::{Cursor, Event, EventLog, OpenError, Options, ReadError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A directory's files, by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

pub(crate) fn segment_name(ordinal: u64) -> String {
    format!("{ordinal:020}.seg")
}

/// The directory that holds one segment, the first.
pub(crate) fn one_segment(image: Vec<u8>) -> Files {
    Files::from([(segment_name(1), image)])
}

/// Puts files into a new directory.
pub(crate) fn shelve(files: &Files) -> Memory {
    let memory = Memory::new();
    for (name, bytes) in files {
        let file = memory.create(name).expect("a new name");
        let written = file.write_at(0, bytes).expect("memory takes everything");
        assert_eq!(written, bytes.len());
    }
    memory
}

/// Takes a copy of all files out of a directory.
pub(crate) fn files_of(memory: &Memory) -> Files {
    let names = memory.list().expect("memory lists");
    let read = |name: &String| {
        let file = memory.open(name, false).expect("a name that is listed");
        let mut bytes = vec![0; file.len().expect("memory knows") as usize];
        file.read_at(0, &mut bytes).expect("memory reads");
        bytes
    };
    names.iter().map(|name| (name.clone(), read(name))).collect()
}

/// Options without threads, and with the smallest segments.
pub(crate) fn options() -> Options {
    Options::new().background(false).segment_bytes(64 << 10)
}

pub(crate) fn open(memory: &Memory) -> Result<EventLog, OpenError> {
    options().open_storage(Arc::new(memory.clone()))
}

/// Everything that an event shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) position: u64,
    pub(crate) stream: String,
    pub(crate) version: u64,
    pub(crate) time: u64,
    pub(crate) id: [u8; 16],
    pub(crate) event_type: String,
    pub(crate) metadata: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl From<Event<'_>> for Shown {
    fn from(event: Event<'_>) -> Shown {
        Shown {
            position: event.position(),
            stream: event.stream().to_owned(),
            version: event.version(),
            time: event.time_nanos(),
            id: event.id().into_bytes(),
            event_type: event.event_type().to_owned(),
            metadata: event.metadata().to_vec(),
            payload: event.payload().to_vec(),
        }
    }
}

/// What a cursor yields, and the error that ended it. Bounded: an endless cursor is a panic.
pub(crate) fn drain(mut cursor: Cursor, most: usize) -> (Vec<Shown>, Option<ReadError>) {
    let mut shown = Vec::new();
    loop {
        match cursor.next() {
            Ok(Some(event)) => shown.push(Shown::from(event)),
            Ok(None) => return (shown, None),
            Err(error) => {
                assert!(matches!(cursor.next(), Ok(None)), "a cursor goes on after {error}");
                return (shown, Some(error));
            }
        }
        assert!(shown.len() <= most, "more events than there can be");
    }
}

/// The same from the owning form of a cursor.
pub(crate) fn drain_owned(cursor: Cursor, most: usize) -> (Vec<Shown>, Option<ReadError>) {
    let mut shown = Vec::new();
    for event in cursor {
        match event {
            Ok(event) => shown.push(Shown::from(event.as_event())),
            Err(error) => return (shown, Some(error)),
        }
        assert!(shown.len() <= most, "more events than there can be");
    }
    (shown, None)
}

/// All events, forwards.
pub(crate) fn shown(log: &EventLog) -> Vec<Shown> {
    let (shown, error) = drain(log.read_all(0), 1 << 20);
    assert_eq!(error, None);
    shown
}
