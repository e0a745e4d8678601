//! A real process, really killed: the parent keeps the acknowledgements.
//!
//! The child is this same test binary, told by its environment to append until it dies.

use annals::{EventLog, ExpectedVersion, NewEvent};
use proving::{Child, told};
use std::process::Command;
use std::time::Duration;

fn payload(thread: u64, version: u64) -> Vec<u8> {
    let len = (version * 37 % 900) as usize;
    format!("{thread}.{version}.").into_bytes().into_iter().chain((0..len).map(|i| i as u8)).collect()
}

/// Not a test by itself: without the variable it has nothing to do.
#[test]
fn child() {
    let Some(dir) = proving::child() else { return };
    let log = EventLog::open(dir).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let log = &log;
            scope.spawn(move || {
                let stream = format!("thread-{thread}");
                loop {
                    let version = log.stream_version(&stream) + 1;
                    let bytes = payload(thread, version);
                    let event = NewEvent::new("T", &bytes);
                    let done = log.append(&stream, ExpectedVersion::Exact(version - 1), &[event]).unwrap();
                    told(&format!("{thread} {} {}", done.last_version, done.last_position));
                }
            });
        }
    });
}

#[test]
fn what_a_killed_process_acknowledged_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: std::collections::HashMap<(u64, u64), u64> = std::collections::HashMap::new();
    for cycle in 0..25u64 {
        let child = Child::start("kill::child", dir.path());
        for line in child.kill_after(1, Duration::from_millis(20 + cycle * 7 % 60)) {
            let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
            let [thread, version, position] = numbers[..] else { panic!("{line}") };
            acknowledged.insert((thread, version), position);
        }

        let log = EventLog::open(dir.path()).unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
        let mut seen = std::collections::HashMap::new();
        for (i, event) in log.read_all(0).into_iter().enumerate() {
            let event = event.unwrap();
            assert_eq!(event.position(), i as u64 + 1);
            let thread: u64 = event.stream().strip_prefix("thread-").unwrap().parse().unwrap();
            assert_eq!(event.payload(), payload(thread, event.version()));
            seen.insert((thread, event.version()), event.position());
        }
        for (key, position) in &acknowledged {
            assert_eq!(seen.get(key), Some(position), "cycle {cycle}: {key:?} was acknowledged");
        }
        for thread in 0..4 {
            let version = log.stream_version(&format!("thread-{thread}"));
            assert!((1..=version).all(|version| seen.contains_key(&(thread, version))));
        }
        log.close().unwrap();
    }
    assert!(acknowledged.len() > 100, "{} acknowledgements", acknowledged.len());
}

/// A process that is just being started holds copies of all descriptors until its `exec`. The lock must not outlive its log in them.
#[test]
fn starting_processes_does_not_hold_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                Command::new("true").status().unwrap();
            }
        });
        let opened: Result<Vec<()>, _> = (0..150).map(|_| EventLog::open(dir.path()).map(drop)).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        opened.unwrap();
    });
}
