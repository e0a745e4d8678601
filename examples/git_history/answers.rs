//! Answers: what a person would ask a history, folded out of the streams.
//!
//! Owns the questions and how their answers are laid out. Reads only; nothing is kept between two runs but the log.

use crate::show::{count, counted, cut, fit};
use crate::{Failure, records};
use annals::{Event, EventLog};
use std::collections::HashMap;
use std::ffi::OsStr;

/// How many files, authors and changes are shown.
const TOP: usize = 10;
/// How many streams are listed at once.
const PAGE: usize = 4096;
/// A directory is named by so many components at most.
const DEPTH: usize = 2;

type Tally = HashMap<String, u64>;

pub(crate) struct Answers {
    /// How many events were read for the answers.
    pub(crate) folded: u64,
    commits: u64,
    events: u64,
    streams: u64,
    file_streams: u64,
    author_streams: u64,
    files: Vec<FileAnswer>,
    authors: Vec<AuthorAnswer>,
    history: Option<History>,
    /// A file that was asked for and is not there.
    missing: Option<String>,
}

struct FileAnswer {
    name: String,
    changes: u64,
    gone: bool,
    by: Tally,
}

struct AuthorAnswer {
    name: String,
    commits: u64,
    files: u64,
    directories: Tally,
}

struct History {
    name: String,
    changes: u64,
    /// The newest first: date, commit, author, what happened.
    lines: Vec<[String; 4]>,
    /// Its name before, and how many events are under that.
    before: Option<(String, u64)>,
}

impl Answers {
    pub(crate) fn gather(log: &EventLog, file: Option<&OsStr>) -> Result<Answers, Failure> {
        let mut folded = 0;
        let (file_streams, top) = most_changed(log);
        let files = top.into_iter().map(|stream| fold_file(log, &stream, &mut folded));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let (author_streams, authors) = fold_authors(log, &mut folded)?;

        let asked = file.map(|path| records::path_name(path.as_encoded_bytes()));
        let stream = match (&file, &asked) {
            (Some(path), Some(name)) => find_file(log, path, name),
            _ => files.first().map(|file| records::file_stream(&file.name)),
        };
        let missing = asked.filter(|_| stream.is_none());
        let history = stream.map(|stream| history(log, &stream, &mut folded)).transpose()?;
        Ok(Answers {
            folded,
            commits: log.stream_version(records::COMMITS),
            events: log.last_position(),
            streams: log.stream_count(),
            file_streams,
            author_streams,
            files,
            authors,
            history,
            missing,
        })
    }

    pub(crate) fn in_words(&self) -> String {
        let mut text = format!(
            "\nThe log holds {} as {} in {}: {} and {}.\n",
            counted(self.commits, "commit"),
            counted(self.events, "event"),
            counted(self.streams, "stream"),
            counted(self.file_streams, "file"),
            counted(self.author_streams, "author"),
        );
        if !self.files.is_empty() {
            text += "\nThe most changed files\n";
        }
        let width = self.files.iter().map(|file| file.name.chars().count()).max().unwrap_or(0).clamp(20, 60);
        for file in &self.files {
            let gone = if file.gone { "(gone) " } else { "" };
            let by = top(&file.by, 2).into_iter().map(|(who, n)| format!("{} {}", name_of(who), count(n)));
            let by = by.collect::<Vec<_>>().join(", ");
            text += &format!("  {:>8}  {}  {gone}{by}\n", count(file.changes), fit(&file.name, width));
        }
        if !self.authors.is_empty() {
            text += "\nWho worked on what\n";
        }
        let width =
            self.authors.iter().map(|author| author.name.chars().count()).max().unwrap_or(0).clamp(10, 36);
        for author in &self.authors {
            let place = |what| if what == "." { "(top)".to_owned() } else { cut(what, 40) };
            let most = top(&author.directories, 3);
            let most = most.into_iter().map(|(what, n)| format!("{} {}", place(what), count(n)));
            text += &format!(
                "  {:>14}  {}  {}\n",
                counted(author.commits, "commit"),
                fit(&author.name, width),
                match author.files {
                    0 => "no files".to_owned(),
                    files =>
                        format!("{}: {}", counted(files, "file change"), most.collect::<Vec<_>>().join(", ")),
                }
            );
        }
        if let Some(history) = &self.history {
            text += &history.in_words();
        }
        if let Some(name) = &self.missing {
            text += &format!("\nNo commit in the log touched a file {name}.\n");
        }
        text
    }
}

impl History {
    fn in_words(&self) -> String {
        let shown = self.lines.len() as u64;
        let mut text = format!("\nHistory of {}: {}", self.name, counted(self.changes, "change"));
        text += if shown < self.changes { ", the last of them\n" } else { "\n" };
        let width = self.lines.iter().map(|line| line[2].chars().count()).max().unwrap_or(0).min(20);
        for [date, commit, author, what] in &self.lines {
            text += &format!("  {}  {}  {}  {what}\n", fit(date, 10), fit(commit, 9), fit(author, width));
        }
        if let Some((name, events)) = &self.before {
            text += &format!("  before that it was {name}, with {}\n", counted(*events, "event"));
        }
        text
    }
}

/// All streams with a prefix, page by page.
fn for_each_stream(
    log: &EventLog,
    prefix: &str,
    mut f: impl FnMut(String) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let mut streams = 0;
    let mut after: Option<String> = None;
    loop {
        let page = log.list_streams(prefix, after.as_deref(), PAGE);
        let Some(last) = page.last() else { return Ok(streams) };
        after = Some(last.clone());
        streams += page.len() as u64;
        page.into_iter().try_for_each(&mut f)?;
    }
}

/// How often a file was changed is the version of its stream: no event needs to be read. Also says how many files
/// there are.
fn most_changed(log: &EventLog) -> (u64, Vec<String>) {
    let mut files = Vec::new();
    let streams = for_each_stream(log, records::FILES, |stream| {
        files.push((log.stream_version(&stream), stream));
        if files.len() >= PAGE {
            keep_top(&mut files, |(changes, _)| *changes);
        }
        Ok(())
    });
    keep_top(&mut files, |(changes, _)| *changes);
    (streams.unwrap_or(0), files.into_iter().map(|(_, stream)| stream).collect())
}

/// Keeps the largest, the largest first; of equals those that came first.
fn keep_top<T>(items: &mut Vec<T>, key: impl Fn(&T) -> u64) {
    items.sort_by_key(|item| std::cmp::Reverse(key(item)));
    items.truncate(TOP);
}

fn fold_file(log: &EventLog, stream: &str, folded: &mut u64) -> Result<FileAnswer, Failure> {
    let name = stream.strip_prefix(records::FILES).unwrap_or(stream).to_owned();
    let empty = FileAnswer { name, changes: 0, gone: false, by: Tally::new() };
    let answer = log.fold_stream(stream, 0, empty, |mut file, event| {
        file.changes += 1;
        file.gone = [records::DELETED, records::MOVED_AWAY].contains(&event.event_type());
        add(&mut file.by, records::value(event.payload(), "author"), 1);
        file
    })?;
    *folded += answer.changes;
    Ok(answer)
}

fn fold_authors(log: &EventLog, folded: &mut u64) -> Result<(u64, Vec<AuthorAnswer>), Failure> {
    let mut authors = Vec::new();
    let streams = for_each_stream(log, records::AUTHORS, |stream| {
        let name = stream.strip_prefix(records::AUTHORS).unwrap_or(&stream).to_owned();
        let empty = AuthorAnswer { name, commits: 0, files: 0, directories: Tally::new() };
        let author = log.fold_stream(&stream, 0, empty, |mut author, event| {
            author.commits += 1;
            for line in records::values(event.payload(), "in") {
                let (files, directory) = line.split_once(' ').unwrap_or(("0", line));
                let files = files.parse().unwrap_or(0);
                author.files += files;
                add(&mut author.directories, shallow(directory), files);
            }
            author
        })?;
        *folded += author.commits;
        authors.push(author);
        if authors.len() >= 8 * TOP {
            keep_top(&mut authors, |author| author.commits);
        }
        Ok(())
    })?;
    keep_top(&mut authors, |author| author.commits);
    Ok((streams, authors))
}

/// The stream of a file: as it was typed, or as this program shows it.
fn find_file(log: &EventLog, path: &OsStr, name: &str) -> Option<String> {
    let shown = path.to_str().unwrap_or(name);
    let candidates = [name, name.strip_prefix("./").unwrap_or(name), shown].map(records::file_stream);
    candidates.into_iter().find(|stream| log.stream_version(stream) > 0)
}

/// The last changes, read backwards, and where the file came from.
fn history(log: &EventLog, stream: &str, folded: &mut u64) -> Result<History, Failure> {
    let mut lines = Vec::new();
    let mut cursor = log.read_stream_backward(stream, u64::MAX);
    while lines.len() < TOP
        && let Some(event) = cursor.next()?
    {
        let field = |key| records::value(event.payload(), key);
        let date = field("date").get(..10).unwrap_or(field("date")).to_owned();
        let commit = field("commit").chars().take(9).collect();
        lines.push([date, commit, name_of(field("author")).to_owned(), what_happened(&event)]);
        *folded += 1;
    }
    let mut name = stream.strip_prefix(records::FILES).unwrap_or(stream).to_owned();
    let mut before = None;
    if let Some(first) = log.read_stream(stream, 0).next()? {
        match records::value(first.payload(), "path") {
            "" => {}
            path => name = path.to_owned(),
        }
        match records::value(first.payload(), "other") {
            other if other.is_empty() || first.event_type() == records::MOVED_AWAY => {}
            other => before = Some((other.to_owned(), log.stream_version(&records::file_stream(other)))),
        }
    }
    Ok(History { name, changes: log.stream_version(stream), lines, before })
}

fn what_happened(event: &Event<'_>) -> String {
    let subject = cut(records::value(event.payload(), "subject"), 72);
    let other = cut(records::value(event.payload(), "other"), 72);
    let happened = match event.event_type() {
        "FileAdded" => "added: ".to_owned(),
        "FileCopied" => format!("copied from {other}: "),
        "FileRenamed" => format!("renamed from {other}: "),
        "FileTypeChanged" => "type changed: ".to_owned(),
        records::DELETED => "deleted: ".to_owned(),
        records::MOVED_AWAY => format!("renamed to {other}: "),
        _ => String::new(),
    };
    happened + &subject
}

/// The author without the address.
fn name_of(author: &str) -> &str {
    match author.rsplit_once(" <") {
        Some((name, _)) if !name.is_empty() => name,
        _ => author,
    }
}

/// The first components of a directory.
fn shallow(directory: &str) -> &str {
    directory.match_indices('/').nth(DEPTH - 1).map_or(directory, |(at, _)| &directory[..at])
}

fn add(tally: &mut Tally, key: &str, number: u64) {
    match tally.get_mut(key) {
        Some(sum) => *sum += number,
        None => {
            tally.insert(key.to_owned(), number);
        }
    }
}

/// The largest, the largest first; of equals the first in the alphabet.
fn top(tally: &Tally, how_many: usize) -> Vec<(&str, u64)> {
    let mut all: Vec<_> = tally.iter().map(|(key, number)| (&**key, *number)).collect();
    all.sort_by_key(|(key, number)| (std::cmp::Reverse(*number), *key));
    all.truncate(how_many);
    all
}
