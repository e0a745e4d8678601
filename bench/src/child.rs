//! A child process: this program again, with one job.
//!
//! Owns starting it, waiting for its answer, killing it, and its end when it takes too long. Must leave no process and no
//! directory behind.

use crate::job::{Answer, Job, Task};
use measure::{Context, Outcome, Syncs, disk, syncs};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long after its answer a store goes on appending before it is killed.
const AT_WORK: Duration = Duration::from_millis(150);
/// How long the disk gets to come to rest after something was removed.
const REST: Duration = Duration::from_millis(200);
/// The argument behind which a job comes.
pub(crate) const ARGUMENT: &str = "--job";

/// Does one job in a process of its own.
pub(crate) fn run(job: &Job, patience: Duration) -> Outcome<Answer> {
    let program = std::env::current_exe()?;
    let mut child = start(Command::new(program), job)?;
    answer(&mut child, job, patience)
}

/// Does one job under `strace`, and counts the syncs between its marks.
pub(crate) fn run_traced(job: &Job, trace: &Path, patience: Duration) -> Outcome<(Answer, Syncs)> {
    let program = std::env::current_exe()?;
    let mut child = start(syncs::traced(&program, trace), job)?;
    let answer = answer(&mut child, job, patience)?;
    Ok((answer, syncs::count(trace, &job.dir)?))
}

fn start(mut command: Command, job: &Job) -> Outcome<Child> {
    let job = serde_json::to_string(job)?;
    let command =
        command.arg(ARGUMENT).arg(job).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().context(|| format!("start {}", command.get_program().to_string_lossy()))
}

fn answer(child: &mut Child, job: &Job, patience: Duration) -> Outcome<Answer> {
    let line = first_line(child, patience);
    if job.task == Task::Load && matches!(line, Ok(Some(_))) {
        std::thread::sleep(AT_WORK);
        child.kill()?;
    }
    if line.is_err() {
        child.kill()?;
    }
    let complaint = complaint(child);
    let status = child.wait()?;
    match line? {
        Some(line) if status.success() || job.task == Task::Load => Ok(serde_json::from_str(&line)?),
        _ => Err(format!("{status}: {}", complaint.trim()).into()),
    }
}

/// The line that the child tells, or none if it ends without. Waiting has an end.
fn first_line(child: &mut Child, patience: Duration) -> Outcome<Option<String>> {
    let out = child.stdout.take().ok_or("the child has no output")?;
    let (told, line) = mpsc::channel();
    std::thread::spawn(move || {
        // Some stores print on the standard output, too.
        let is_answer = |line: &String| line.starts_with("{\"figures\"");
        let _ = told.send(BufReader::new(out).lines().map_while(Result::ok).find(is_answer));
    });
    line.recv_timeout(patience).map_err(|_| format!("no answer in {} s", patience.as_secs()).into())
}

/// The end of what the child said on its standard error.
fn complaint(child: &mut Child) -> String {
    let mut said = Vec::new();
    if let Some(mut error) = child.stderr.take() {
        let _ = error.read_to_end(&mut said);
    }
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

/// A directory for one store, empty.
pub(crate) fn make_dir(dir: &Path) -> Outcome<()> {
    remove_dir(dir)?;
    fs::create_dir_all(dir).context(|| format!("make {}", dir.display()))
}

/// Removes it, and lets the disk come to rest: freed blocks are told to the device when the file system's journal commits.
/// That shall happen now, not in somebody's measurement.
pub(crate) fn remove_dir(dir: &Path) -> Outcome<()> {
    if !dir.exists() {
        return Ok(());
    }
    fs::remove_dir_all(dir).context(|| format!("remove {}", dir.display()))?;
    if let Some(parent) = dir.parent() {
        File::open(parent)?.sync_all()?;
    }
    std::thread::sleep(REST);
    Ok(())
}

/// Bytes that a store's files take: all blocks that are allocated, and those that are not reserved ahead.
pub(crate) fn sizes(dir: &Path) -> Outcome<(u64, Option<u64>)> {
    let allocated = disk::allocated_bytes(dir)?;
    let log = dir.join("log");
    let used = if log.is_dir() { annals_used(&log)? } else { None };
    Ok((allocated, used))
}

/// Annals reserves segments whole: what counts are a segment's bytes up to the last one that is not zero, and its footer, the
/// last page, if it has one. The spare does not count, all other files do. Nothing if there are no segments.
fn annals_used(log: &Path) -> Outcome<Option<u64>> {
    const PAGE: usize = 4096;
    let (mut used, mut segments) = (0, 0);
    for entry in fs::read_dir(log)? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("tmp") => {}
            Some("seg") => {
                let bytes = fs::read(&path)?;
                let (frames, footer) = bytes.split_at(bytes.len().saturating_sub(PAGE));
                let end = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
                used += end(frames).next_multiple_of(8) + if end(footer) > 0 { PAGE } else { 0 };
                segments += 1;
            }
            _ => used += path.metadata()?.len() as usize,
        }
    }
    Ok((segments > 0).then_some(used as u64))
}
