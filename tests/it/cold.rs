//! Reading what is not in memory: that a short piece does not bring in what stands around it.

use annals::{EventLog, ExpectedVersion, KeptCondition, NewEvent, Options, Query};
use proving::{drop_from_memory, page_bytes, read_from_device};
use std::fs;
use std::path::Path;

const ANY: ExpectedVersion = ExpectedVersion::Any;
/// A piece that is shorter than a page may stand in two, and so may what says where it is. Where the system brings in what stands
/// around, that is 32 pages on the most modest of devices.
const FEW: u64 = 8;
/// At how many places the stream `often` stands.
const OFTEN: u64 = 3;

fn options() -> Options {
    // With index files, or open would read it all.
    Options::new().segment_bytes(8 << 20).index_after_bytes(1 << 20)
}

/// A log of several segments, with a short stream in the middle of one, and a kept value in the middle of another.
fn written(dir: &Path) {
    let log = options().open(dir).unwrap();
    let filler = vec![7; 4000];
    let fill = |log: &EventLog| {
        for of in 0..60 {
            let events = vec![NewEvent::new("Filler", &filler); 50];
            log.append(&format!("filler-{of}"), ANY, &events).unwrap();
        }
    };
    let often = || log.append("often", ANY, &[NewEvent::new("Sought", "what is sought often")]).unwrap();
    // What stands at the beginning of a segment is read when the log is opened.
    fill(&log);
    often();
    fill(&log);
    log.append("alone", ANY, &[NewEvent::new("Sought", "what is sought")]).unwrap();
    often();
    fill(&log);
    often();
    log.keep("kept", KeptCondition::Any, "what is kept").unwrap();
    fill(&log);
    log.close().unwrap();
}

#[test]
fn short_pieces_that_stand_anywhere_bring_in_themselves_and_little_else() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            fs::File::open(&path).unwrap().sync_all().unwrap();
            drop_from_memory(&path).unwrap();
        }
    }
    let log = options().open(dir.path()).unwrap();
    let brought_in = |read: &dyn Fn()| {
        let before = read_from_device();
        read();
        read_from_device().zip(before).map(|(after, before)| after - before)
    };
    let event = brought_in(&|| {
        let events: Vec<_> = log.read(&Query::stream("alone")).into_iter().map(Result::unwrap).collect();
        assert_eq!(events.iter().map(|event| event.payload()).collect::<Vec<_>>(), [b"what is sought"]);
    });
    // Of a stream that stands at several places, what is read is all that is asked for beforehand.
    let often = brought_in(&|| {
        let payloads = log
            .fold_stream("often", 0, 0, |n, event| n + u64::from(event.payload() == b"what is sought often"));
        assert_eq!(payloads.unwrap(), OFTEN);
    });
    let kept = brought_in(&|| assert_eq!(&*log.kept("kept").unwrap().unwrap().value, b"what is kept"));
    let page = page_bytes().unwrap_or(4096);
    for (brought, places) in [(event, 1), (often, OFTEN), (kept, 1)] {
        match brought {
            None | Some(0) => {
                println!("not shown here: what is read does not come from a device, or nobody counts it")
            }
            Some(bytes) => assert!(bytes <= FEW * places * page, "{bytes} bytes for a few"),
        }
    }
}
