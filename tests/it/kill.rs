//! A real process, really killed: the parent keeps the acknowledgements.
//!
//! The child is this same test binary, told by its environment to append until it dies.

use annals::{EventLog, ExpectedVersion, NewEvent};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

const CHILD: &str = "ANNALS_KILL_CHILD";

fn payload(thread: u64, version: u64) -> Vec<u8> {
    let len = (version * 37 % 900) as usize;
    format!("{thread}.{version}.").into_bytes().into_iter().chain((0..len).map(|i| i as u8)).collect()
}

/// Not a test by itself: without the variable it has nothing to do.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD) else { return };
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
                    // One write, so that a kill cannot tear the line.
                    let line = format!("ack {thread} {} {}\n", done.last_version, done.last_position);
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
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
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child", "--nocapture", "--test-threads=1"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut acks = Vec::new();
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The harness prints "test kill::child ... " in front of the first line.
                let Some(at) = line.find("ack ") else { continue };
                let numbers: Vec<u64> = line[at + 4..].split(' ').filter_map(|n| n.parse().ok()).collect();
                if let [thread, version, position] = numbers[..] {
                    acks.push(((thread, version), position));
                }
            }
            acks
        });
        std::thread::sleep(Duration::from_millis(20 + cycle * 7 % 60));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(reader.join().unwrap());

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
