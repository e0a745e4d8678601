//! The whole story in a temporary directory, with a process that dies again and again.
//!
//! The child is this same test binary, told by its environment what to do.

use super::*;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

const CHILD: &str = "READ_MODEL_CHILD";

/// Not a test by itself: without the variable it has nothing to do.
#[test]
fn child() {
    let Ok(words) = std::env::var(CHILD) else { return };
    let words = words.split('\n').map(str::to_owned);
    let Arguments { log, events, crash_after } = arguments(words).unwrap().unwrap();
    run(&log, events, crash_after, &mut io::sink()).unwrap();
}

/// Runs the program in a process of its own, killed from outside if a time is given.
fn process(directory: &Path, options: &[&str], kill_after: Option<Duration>) -> ExitStatus {
    let words = [&["--log", directory.to_str().unwrap()], options].concat().join("\n");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::child", "--test-threads=1"])
        .env(CHILD, words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    if let Some(delay) = kill_after {
        std::thread::sleep(delay);
        child.kill().unwrap();
    }
    child.wait().unwrap()
}

/// Opens what a process has left: whatever was counted, was counted once.
fn check(directory: &Path) -> (u64, u64) {
    let log = EventLog::open(directory).unwrap();
    let (folded, events) = stock::fold(&log).unwrap();
    assert_eq!(stock::read_model(&log).unwrap(), folded, "after {events} events");
    let place = log.acknowledged(stock::CONSUMER).unwrap();
    assert_eq!(place, events, "all events of this log are counted");
    let end = log.last_position();
    log.close().unwrap();
    (place, end)
}

fn said(directory: &Path, events: u64) -> String {
    let mut out = Vec::new();
    run(directory, events, None, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_second_run_goes_on_where_the_first_one_was() {
    let dir = tempfile::tempdir().unwrap();
    let first = said(dir.path(), 30);
    assert!(first.contains("0 events, a new log"), "{first}");
    assert!(first.contains("up to event 0 by earlier runs\n          and 30 more"), "{first}");
    let second = said(dir.path(), 12);
    assert!(second.contains("30 events, it was closed in order"), "{second}");
    assert!(second.contains("up to event 30 by earlier runs\n          and 12 more"), "{second}");
    assert!(second.contains("each of 42 events was counted exactly once"), "{second}");
    let third = said(dir.path(), 0);
    assert!(third.contains("and 0 more by this one, up to event 42"), "{third}");
}

#[test]
fn crashed_at_every_event_the_totals_are_right() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = 0;
    for run in 0..12 {
        let after = run % 4;
        let status = process(dir.path(), &["--events", "3", "--crash-after", &after.to_string()], None);
        let (place, end) = check(dir.path());
        // Of the last one nobody knows, before he has looked.
        let left = end - before;
        assert_eq!(status.success(), left <= after, "run {run}: {status}");
        assert!(
            (before + after.min(left)..=before + after + 1).contains(&place),
            "run {run}: {before} to {place}"
        );
        before = place;
    }
    let (_, end) = check(dir.path());
    let last = said(dir.path(), 0);
    assert!(last.contains(&format!("each of {end} events was counted exactly once")), "{last}");
}

#[test]
fn killed_at_any_time_the_totals_are_right() {
    let dir = tempfile::tempdir().unwrap();
    said(dir.path(), 500);
    let mut places = Vec::new();
    for run in 0..15 {
        process(dir.path(), &["--events", "300"], Some(Duration::from_millis(5 + run * 13 % 70)));
        places.push(check(dir.path()).0);
    }
    assert!(places.is_sorted(), "{places:?}");
    assert!(process(dir.path(), &["--events", "0"], None).success());
    let (place, end) = check(dir.path());
    assert_eq!(place, end);
}

#[test]
fn the_command_line_is_understood() {
    let words = |line: &str| arguments(line.split_whitespace().map(str::to_owned));
    let given = words("--events 7 --crash-after 3 --log somewhere").unwrap().unwrap();
    assert_eq!((given.events, given.crash_after, given.log), (7, Some(3), "somewhere".into()));
    assert!(words("--help").unwrap().is_none());
    for wrong in ["--events", "--events many", "--evens 7", "somewhere"] {
        assert!(words(wrong).is_err(), "{wrong}");
    }
}
