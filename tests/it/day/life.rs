//! One life of the process: everybody at once on one log, until it is killed, or until all is done.

use super::notes::Notes;
use super::parties::{Follower, poll_all, write};
use super::plan::{Mode, WRITERS, consumers, groups, subscribers};
use super::workers::{consume, share};
use annals::{EventLog, Options, ReadMode};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

pub(crate) struct Day {
    pub(crate) log: EventLog,
    pub(crate) notes: PathBuf,
    pub(crate) seed: u64,
    pub(crate) life: u64,
    /// The writers are to stop.
    pub(crate) enough: AtomicBool,
    /// They have stopped: what is visible now is all that will come of inputs.
    pub(crate) inputs_done: AtomicBool,
}

/// Lives until killed; or, with a time for it, writes for that time and ends when everybody has got everything.
pub(crate) fn live(folder: &Path, seed: u64, life: u64, writing: Option<Duration>) {
    let notes = folder.join("notes");
    std::fs::create_dir_all(&notes).unwrap();
    let own = Notes::open(&notes, "day", life);
    let mode = if life.is_multiple_of(2) { ReadMode::Map } else { ReadMode::Pread };
    let log = Options::new().segment_bytes(512 << 10).read_mode(mode).open(folder.join("log")).unwrap();
    own.line("opened");
    let (enough, inputs_done) = (AtomicBool::new(false), AtomicBool::new(false));
    let day = Day { log, notes, seed, life, enough, inputs_done };
    thread::scope(|scope| {
        let day = &day;
        let mut polled = [Vec::new(), Vec::new()];
        for (i, plan) in subscribers().into_iter().enumerate() {
            let follower = Follower::new(day, plan.clone());
            match plan.mode {
                Mode::Polled => polled[i % 2].push(follower),
                _ => _ = scope.spawn(|| follower.follow()),
            }
        }
        for followers in polled {
            scope.spawn(|| poll_all(followers));
        }
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(day, writer))).collect();
        let mut workers = Vec::new();
        for plan in consumers() {
            workers.push(scope.spawn(move || consume(day, &plan)));
        }
        for plan in groups() {
            workers.push(scope.spawn(move || share(day, &plan)));
        }
        own.line("started");
        if let Some(time) = writing {
            thread::sleep(time);
            day.enough.store(true, Ordering::Release);
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        own.line(&format!("inputs {}", day.log.last_position()));
        day.inputs_done.store(true, Ordering::Release);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        day.log.close().unwrap();
    });
    own.line("end");
}
