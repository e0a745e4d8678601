//! The history of a Git repository as an event log: read once, appended durably, asked again and again.
//!
//! ```text
//! cargo run --release --example git_history -- [REPOSITORY] [--log DIR] [--file PATH]
//! ```
//!
//! Each commit becomes one atomic append over many streams: `commits`, one stream for its author, and one for each file
//! that it touched. Then streams are folded to answer what a person would ask: which files change most, who worked on
//! what, what happened to one file. At the end the log is closed and opened again, and the program tells what recovery
//! did and how long each part took. Run again, it appends only what is new, also after a crash in the middle of a run.
//!
//! `main.rs` owns the command line and the order of things; `git.rs` talks to Git; `import.rs` decides what is new and
//! appends it; `records.rs` knows how streams are named and payloads are written; `answers.rs` folds; `show.rs` has
//! the words and the figures.

mod answers;
mod git;
mod import;
mod records;
mod show;

use annals::{EventLog, Options};
use answers::Answers;
use git::Repository;
use import::Imported;
use show::{count, print, seconds};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "\
Appends the history of a Git repository to an event log, and asks it questions.

Usage: git_history [REPOSITORY] [--log DIR] [--file PATH]

  REPOSITORY   a directory inside the repository; default: the current directory
  --log DIR    where the log is kept; default: target/git-history/<name of the repository>-<hash of its path>
  --file PATH  show the history of this file (as seen from the top of the repository); default: the most changed one
  --help       show this text

Exit codes: 0 done; 1 something failed on the way; 2 the command line, Git or the repository is not usable.
";

/// Why the program ends before its end, and with which exit code.
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Something failed on the way.
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure { code: 1, message: message.into() }
    }

    fn with(mut self, hint: &str) -> Failure {
        self.message = format!("{}\n{hint}", self.message.trim_end());
        self
    }

    /// There is nothing to work with.
    pub(crate) fn unusable(message: impl Into<String>) -> Failure {
        Failure { code: 2, message: message.into() }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::new(error.to_string())
    }
}

struct Arguments {
    repository: PathBuf,
    log: Option<PathBuf>,
    file: Option<OsString>,
}

/// `None`: only help was asked for.
fn arguments() -> Result<Option<Arguments>, Failure> {
    let mut repository = None;
    let mut log = None;
    let mut file = None;
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        let mut value = |option| {
            words.next().ok_or_else(|| Failure::unusable(format!("{option} needs a value\n\n{USAGE}")))
        };
        match word.to_str() {
            Some("--help" | "-h") => return Ok(None),
            Some("--log") => log = Some(PathBuf::from(value("--log")?)),
            Some("--file") => file = Some(value("--file")?),
            Some(option) if option.starts_with('-') => {
                return Err(Failure::unusable(format!("unknown option {option}\n\n{USAGE}")));
            }
            _ if repository.is_none() => repository = Some(PathBuf::from(word)),
            _ => return Err(Failure::unusable(format!("more than one repository\n\n{USAGE}"))),
        }
    }
    Ok(Some(Arguments { repository: repository.unwrap_or_else(|| PathBuf::from(".")), log, file }))
}

fn main() -> ExitCode {
    let done = match arguments() {
        Ok(Some(arguments)) => run(&arguments),
        Ok(None) => {
            print(USAGE);
            Ok(())
        }
        Err(failure) => Err(failure),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "git_history: {}", failure.message.trim_end());
            ExitCode::from(failure.code)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let repository = Repository::find(&arguments.repository)?;
    let directory = arguments.log.clone().unwrap_or_else(|| default_directory(repository.top()));
    print(&format!("Repository  {}\n", records::text(repository.top().as_os_str().as_encoded_bytes())));
    print(&format!("Log         {}\n", records::text(directory.as_os_str().as_encoded_bytes())));

    let (log, opened) = timed(|| open(&directory))?;
    print(&format!("Opened      in {}: {}\n", seconds(opened), show::recovery(log.recovery())));
    refuse_foreign(&log)?;

    let (imported, import_took) = timed(|| import::run(&repository, &log)).map_err(|failure| {
        if log.status().appended == 0 {
            failure
        } else {
            failure.with("what was appended stays; run again to go on")
        }
    })?;
    print(&format!("Appended    {}\n", imported.in_words()));

    let (answers, fold_took) = timed(|| Answers::gather(&log, arguments.file.as_deref()))?;
    print(&answers.in_words());

    let (events, streams) = (log.last_position(), log.stream_count());
    let ((), close_took) = timed(|| Ok(log.close()?))?;
    drop(log);
    let (log, reopen_took) = timed(|| open(&directory))?;
    let found = (log.last_position(), log.stream_count());
    if found != (events, streams) {
        return Err(Failure::new(format!(
            "the log had {events} events in {streams} streams when it was closed, and has {} in {} now",
            found.0, found.1
        )));
    }
    print(&format!(
        "\nClosed and opened again: all {} events in {} streams are there.\n  {}\n",
        count(events),
        count(streams),
        show::recovery(log.recovery())
    ));
    print(&times(&imported, import_took, &answers, fold_took, close_took, reopen_took, events));
    Ok(log.close()?)
}

fn open(directory: &Path) -> Result<EventLog, Failure> {
    // One commit is one append, however many files it touches.
    Ok(Options::new().append_bytes_max(1 << 30).open(directory)?)
}

/// Whoever names a log of something else should not find commits in it.
fn refuse_foreign(log: &EventLog) -> Result<(), Failure> {
    if log.stream_count() > 0 && log.stream_version(records::COMMITS) == 0 {
        return Err(Failure::unusable("this log holds something else than the history of a repository"));
    }
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<(T, Duration), Failure> {
    let begun = Instant::now();
    let value = work()?;
    Ok((value, begun.elapsed()))
}

/// Two repositories of the same name get two logs.
fn default_directory(top: &Path) -> PathBuf {
    let name = top.file_name().unwrap_or(top.as_os_str()).to_string_lossy().replace('/', "root");
    let hash = records::fnv1a(top.as_os_str().as_encoded_bytes()) as u32;
    Path::new("target").join("git-history").join(format!("{name}-{hash:08x}"))
}

fn times(
    imported: &Imported,
    import: Duration,
    answers: &Answers,
    fold: Duration,
    close: Duration,
    reopen: Duration,
    events: u64,
) -> String {
    let mut rows: Vec<[String; 3]> = Vec::new();
    let mut row = |what: &str, took: Duration, events: u64| {
        let rate = if events > 0 { format!("{}/s", show::rate(events, took)) } else { String::new() };
        let events = if events > 0 { format!("{} events", count(events)) } else { String::new() };
        rows.push([format!("{what:<34}{:>10}", seconds(took)), events, rate]);
    };
    row("read Git and append, durable", import, imported.events);
    if imported.events > 0 {
        row("  of it asking Git what is new", imported.planning, 0);
        row("  of it waiting for Git", imported.reading, 0);
        row("  of it appending", imported.appending, imported.events);
    }
    row("fold streams for the answers", fold, answers.folded);
    row("close", close, 0);
    row("open again, recovery included", reopen, events);
    let mut text = "\nHow long it took\n".to_owned();
    for [what, events, rate] in rows {
        text += format!("  {what}  {events:>18}  {rate:>18}").trim_end();
        text += "\n";
    }
    text
}
