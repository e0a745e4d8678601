//! What a party writes down: one file each, one line for each fact, appended with one system call.
//!
//! A killed process loses no call that has returned. A line that it died in lacks its end, ` .`, and is passed over: the
//! party never went on behind it. Each life begins with a line of its own.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

/// Several threads of one party may share it: a line is noted before what it tells of can have consequences.
pub(crate) struct Notes {
    file: Mutex<File>,
}

impl Notes {
    pub(crate) fn open(folder: &Path, party: &str, life: u64) -> Notes {
        let file = OpenOptions::new().create(true).append(true).open(folder.join(party)).unwrap();
        let notes = Notes { file: Mutex::new(file) };
        // Behind a line that was cut off, this ends it.
        notes.write(&format!("\nlife {life} .\n"));
        notes
    }

    pub(crate) fn line(&self, line: &str) {
        self.write(&format!("{line} .\n"));
    }

    fn write(&self, text: &str) {
        let mut file = self.file.lock().unwrap();
        let written = file.write(text.as_bytes()).unwrap();
        assert_eq!(written, text.len(), "a short write to a file of notes");
    }
}

/// What a party has noted in all its lives.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) party: String,
    pub(crate) lines: Vec<String>,
}

impl Report {
    pub(crate) fn read(folder: &Path, party: &str) -> Report {
        let bytes = std::fs::read(folder.join(party)).unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap();
        let mut lines: Vec<String> = Vec::new();
        let mut torn = false;
        for line in text.split('\n').filter(|line| !line.is_empty()) {
            match line.strip_suffix(" .") {
                Some(line) => {
                    assert!(!torn || line.starts_with("life "), "{party}: torn before {line:?}");
                    torn = false;
                    lines.push(line.to_owned());
                }
                None => torn = true,
            }
        }
        Report { party: party.to_owned(), lines }
    }

    /// The words of each line.
    pub(crate) fn words(&self) -> impl Iterator<Item = Vec<&str>> {
        self.lines.iter().map(|line| line.split(' ').collect())
    }

    /// The last line that begins with this word.
    pub(crate) fn last(&self, word: &str) -> Option<Vec<&str>> {
        let line = self.lines.iter().rev().find(|line| line.split(' ').next() == Some(word))?;
        Some(line.split(' ').collect())
    }
}

pub(crate) fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is no number"))
}
