//! Appending what is new: each commit one atomic batch, hundreds of them under way at once.
//!
//! Owns the decision what is new, and the rule that makes it safe to be killed anywhere: commits are appended parents
//! first, each with `ExpectedVersion::Exact` on the stream `commits`, so what survives is always a beginning of what
//! was sent, and holds nothing twice.

use crate::Failure;
use crate::git::{Commit, Repository};
use crate::records::{self, COMMITS, COMPLETE};
use crate::show::{Progress, counted};
use annals::{AppendError, BatchAppended, EventLog, ExpectedVersion, NewEvent, Pending};
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// How many batches, and how many events, may be under way.
const BATCHES_AHEAD: usize = 256;
const EVENTS_AHEAD: u64 = 65_536;

/// What was appended.
#[derive(Default)]
pub(crate) struct Imported {
    pub(crate) commits: u64,
    pub(crate) events: u64,
    /// Time for finding out what is new, for Git's answers, and for appending.
    pub(crate) planning: Duration,
    pub(crate) reading: Duration,
    pub(crate) appending: Duration,
    /// Commits that the log had before.
    known: u64,
    notes: Vec<String>,
}

impl Imported {
    pub(crate) fn in_words(&self) -> String {
        let new = if self.commits == 0 {
            "nothing new".to_owned()
        } else {
            format!("{} as {}", counted(self.commits, "commit"), counted(self.events, "event"))
        };
        let mut text = format!("{new}; the log had {} before", counted(self.known, "commit"));
        for note in &self.notes {
            text += &format!("\n            {note}");
        }
        text
    }
}

/// What is to be appended.
#[derive(Default)]
struct Plan {
    /// The hashes, parents before their children.
    new: Vec<String>,
    /// When they are appended, the log holds the history of the last of them, all of it and nothing else.
    complete: bool,
    notes: Vec<String>,
}

pub(crate) fn run(repository: &Repository, log: &EventLog) -> Result<Imported, Failure> {
    let begun = Instant::now();
    let plan = plan(repository, log)?;
    let mut imported =
        Imported { known: log.stream_version(COMMITS), notes: plan.notes, ..Imported::default() };
    imported.planning = begun.elapsed();
    if !plan.new.is_empty() {
        append(repository, log, plan.new, plan.complete, &mut imported)?;
    }
    Ok(imported)
}

/// The quick way: the last event says that the log holds the history of its commit and nothing else, and the repository
/// has only added to that. Otherwise (a run that was cut off, a history that was rewritten, another branch, a shallow
/// clone that was deepened) all hashes are compared.
fn plan(repository: &Repository, log: &EventLog) -> Result<Plan, Failure> {
    let Some(head) = repository.head()? else {
        let note = "the repository has no commits yet".to_owned();
        return Ok(Plan { notes: vec![note], ..Plan::default() });
    };
    let shallow = repository.is_shallow()?;
    let mut notes = Vec::new();
    if shallow {
        notes.push("the repository is a shallow clone: older commits are not there to be read".to_owned());
    }
    if let Some(last) = log.read_stream_backward(COMMITS, u64::MAX).next()?
        && last.metadata() == COMPLETE
    {
        let last = records::value(last.payload(), "commit");
        if repository.is_ancestor(last, &head)? {
            let new = repository.commits(&head, Some(last))?;
            return Ok(Plan { new, complete: !shallow, notes });
        }
    }
    let known = log.fold_stream(COMMITS, 0, HashSet::new(), |mut known, event| {
        known.insert(records::value(event.payload(), "commit").to_owned());
        known
    })?;
    let mut new = repository.commits(&head, None)?;
    let all = new.len();
    new.retain(|hash| !known.contains(hash));
    let gone = known.len() - (all - new.len());
    if gone > 0 {
        notes.push(format!(
            "{} in the log are not in the history of HEAD: it was rewritten, or is another branch or \
             repository; they stay",
            counted(gone as u64, "commit")
        ));
    } else if !known.is_empty() && !new.is_empty() {
        notes.push(
            "the log held a part of this history (of a run that was cut off, another branch or a shallow \
             clone); the rest was appended"
                .to_owned(),
        );
    }
    Ok(Plan { new, complete: gone == 0 && !shallow, notes })
}

fn append(
    repository: &Repository,
    log: &EventLog,
    hashes: Vec<String>,
    complete: bool,
    imported: &mut Imported,
) -> Result<(), Failure> {
    let total = hashes.len() as u64;
    let mut progress = Progress::new(total);
    let mut reader = repository.read(hashes)?;
    let mut window = Window::default();
    let mut sent = 0;
    let mut then = Instant::now();
    while let Some(commit) = reader.next()? {
        let read = Instant::now();
        imported.reading += read - then;
        let is_last = sent + 1 == total;
        let metadata = if complete && is_last { COMPLETE } else { b"" };
        let expected = ExpectedVersion::Exact(imported.known + sent);
        let pending = submit(log, &commit, expected, metadata).map_err(|error| failed(&commit, &error))?;
        sent += 1;
        window.push(pending, events_of(&commit));
        while window.is_full() {
            window.wait_for_oldest(imported)?;
        }
        then = Instant::now();
        imported.appending += then - read;
        progress.note(imported.commits, imported.events, then);
    }
    imported.reading += then.elapsed();
    let last = Instant::now();
    while !window.handles.is_empty() {
        window.wait_for_oldest(imported)?;
    }
    imported.appending += last.elapsed();
    progress.finish();
    Ok(())
}

fn failed(commit: &Commit, error: &AppendError) -> Failure {
    Failure::new(format!("commit {} ({} files): {error}", commit.hash, commit.changes.len()))
}

/// One commit, one batch.
fn submit(
    log: &EventLog,
    commit: &Commit,
    expected: ExpectedVersion,
    metadata: &[u8],
) -> Result<Pending<BatchAppended>, AppendError> {
    let any = ExpectedVersion::Any;
    let payload = records::commit_payload(commit);
    let committed = NewEvent::new("Committed", &payload).with_metadata(metadata);
    let payload = records::author_payload(commit);
    let authored = NewEvent::new("Authored", &payload);
    let mut batch = log.batch().append(COMMITS, expected, &[committed]).append(
        &records::author_stream(&commit.author),
        any,
        &[authored],
    );
    for change in &commit.changes {
        let payload = records::file_payload(commit, &change.name, change.from.as_deref());
        let event = NewEvent::new(records::file_event(change), &payload);
        batch = batch.append(&records::file_stream(&change.name), any, &[event]);
        if let Some(from) = change.from.as_deref().filter(|_| change.kind == b'R') {
            let payload = records::file_payload(commit, from, Some(&change.name));
            let event = NewEvent::new(records::MOVED_AWAY, &payload);
            batch = batch.append(&records::file_stream(from), any, &[event]);
        }
    }
    batch.submit()
}

/// A rename is an event of two files.
fn events_of(commit: &Commit) -> u64 {
    2 + commit.changes.len() as u64
        + commit.changes.iter().filter(|change| change.kind == b'R').count() as u64
}

/// The batches that are sent and not yet known to be durable, the oldest first.
#[derive(Default)]
struct Window {
    handles: VecDeque<(Pending<BatchAppended>, u64)>,
    events: u64,
}

impl Window {
    fn push(&mut self, pending: Pending<BatchAppended>, events: u64) {
        self.handles.push_back((pending, events));
        self.events += events;
    }

    fn is_full(&self) -> bool {
        self.handles.len() > BATCHES_AHEAD || self.events > EVENTS_AHEAD
    }

    fn wait_for_oldest(&mut self, imported: &mut Imported) -> Result<(), Failure> {
        if let Some((pending, events)) = self.handles.pop_front() {
            pending.wait()?;
            self.events -= events;
            imported.commits += 1;
            imported.events += events;
        }
        Ok(())
    }
}
