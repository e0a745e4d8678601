//! Whether a program syncs as often as its commits demand: it is run under `strace`, and its syncs are counted.
//!
//! Owns the marks that a program sets around what counts, the reading of the trace, and the verdict. Needs no privileges.
//! Not seen: syncs through `io_uring`, and writes to files that were opened to sync by themselves. Must never take a sync of
//! something else for one of the store: only files in the store's directory count.

use crate::{Context, Outcome};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

/// The calls that make something durable, or look as if they did.
const CALLS: &str = "trace=fsync,fdatasync,msync,sync_file_range,syncfs,sync,pwritev2";
const BEGIN: &str = "measure.begin";
const END: &str = "measure.end";

/// Calls between two marks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Syncs {
    /// `fsync` and `fdatasync` of files in the directory.
    pub files: u64,
    /// `msync` that waits.
    pub maps: u64,
    /// Writes that are durable when they return.
    pub writes: u64,
    /// `sync_file_range`: starts writing, and makes nothing durable.
    pub ranges: u64,
}

impl Syncs {
    /// Those after which something is durable.
    pub fn durable(&self) -> u64 {
        self.files + self.maps + self.writes
    }
}

/// What was found out about the durability of commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// There were as many syncs as the commits demand, or more.
    Durable {
        /// How many the commits demand.
        demanded: u64,
        /// How many there were.
        seen: u64,
    },
    /// There were fewer.
    NotDurable {
        /// How many the commits demand.
        demanded: u64,
        /// How many there were.
        seen: u64,
    },
    /// It could not be found out.
    NotChecked {
        /// Why.
        why: String,
    },
}

impl Verdict {
    /// The verdict on so many syncs where so many are demanded.
    pub fn on(syncs: &Syncs, demanded: u64) -> Verdict {
        let seen = syncs.durable();
        if seen >= demanded {
            Verdict::Durable { demanded, seen }
        } else {
            Verdict::NotDurable { demanded, seen }
        }
    }

    /// Whether figures may be compared with those of stores that are durable.
    pub fn is_refused(&self) -> bool {
        matches!(self, Verdict::NotDurable { .. })
    }
}

/// Whether there is a `strace` that works here.
pub fn can_count() -> bool {
    Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .status()
        .is_ok_and(|status| status.success())
}

/// The command that runs another one and leaves a trace of its syncs in a file.
pub fn traced(program: &Path, trace: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "--seccomp-bpf", "-e", CALLS, "-o"]).arg(trace).arg(program);
    command
}

/// Marks, in the traced program, that what counts begins.
///
/// # Errors
/// What the file system says.
pub fn mark_begin(dir: &Path) -> Outcome<()> {
    mark(dir, BEGIN)
}

/// Marks that it ends.
///
/// # Errors
/// What the file system says.
pub fn mark_end(dir: &Path) -> Outcome<()> {
    mark(dir, END)
}

fn mark(dir: &Path, name: &str) -> Outcome<()> {
    let path = dir.join(name);
    File::create(&path)?.sync_data()?;
    Ok(fs::remove_file(path)?)
}

/// Counts, in a trace, the syncs of files below `dir` between the marks.
///
/// # Errors
/// That there is no trace, or that it has no marks.
pub fn count(trace: &Path, dir: &Path) -> Outcome<Syncs> {
    let text = fs::read(trace).context(|| format!("read {}", trace.display()))?;
    count_lines(&String::from_utf8_lossy(&text), &dir.to_string_lossy())
}

fn count_lines(text: &str, dir: &str) -> Outcome<Syncs> {
    let mut syncs = Syncs::default();
    let mut is_between = None;
    for line in text.lines() {
        let Some((call, rest)) = call(line) else { continue };
        let is_ours = rest.contains(dir);
        match call {
            "fdatasync" if rest.contains(BEGIN) => is_between = Some(true),
            "fdatasync" if rest.contains(END) => is_between = Some(false),
            _ if is_between != Some(true) => {}
            "fsync" | "fdatasync" if is_ours => syncs.files += 1,
            "syncfs" | "sync" => syncs.files += 1,
            "msync" if rest.contains("MS_SYNC") => syncs.maps += 1,
            "sync_file_range" if is_ours => syncs.ranges += 1,
            "pwritev2" if is_ours && (rest.contains("RWF_DSYNC") || rest.contains("RWF_SYNC")) => {
                syncs.writes += 1
            }
            _ => {}
        }
    }
    match is_between {
        Some(false) => Ok(syncs),
        _ => Err("the trace has no marks: the program did not come to its end".into()),
    }
}

/// The name of the call that a line tells of, and what follows. A call that was interrupted is counted at its beginning.
fn call(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start_matches(|letter: char| letter.is_ascii_digit()).trim_start();
    if line.starts_with('<') {
        return None;
    }
    line.split_once('(')
}

#[cfg(test)]
mod tests {
    use super::{Syncs, Verdict, count_lines};

    const TRACE: &str = r#"7 fdatasync(3</d/store/log>) = 0
7 fdatasync(4</d/measure.begin>) = 0
7 fdatasync(3</d/store/log> <unfinished ...>
8 fsync(5</elsewhere/file>) = 0
7 <... fdatasync resumed>) = 0
8 msync(0x7f, 4096, MS_ASYNC) = 0
8 msync(0x7f, 4096, MS_SYNC) = 0
8 sync_file_range(3</d/store/log>, 0, 0, SYNC_FILE_RANGE_WRITE) = 0
7 fdatasync(4</d/measure.end>) = 0
7 fdatasync(3</d/store/log>) = 0
"#;

    #[test]
    fn what_counts_is_between_the_marks_and_in_the_directory() {
        let syncs = count_lines(TRACE, "/d/").expect("marks");
        assert_eq!(syncs, Syncs { files: 1, maps: 1, writes: 0, ranges: 1 });
        assert_eq!(Verdict::on(&syncs, 2), Verdict::Durable { demanded: 2, seen: 2 });
        assert!(Verdict::on(&syncs, 3).is_refused());
        assert!(count_lines("", "/d/").is_err());
    }
}
