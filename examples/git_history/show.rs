//! Words and figures for people: numbers, times, what recovery did, and progress while appending.
//!
//! Owns everything that is written to standard output and standard error, except the error that ends the program.

use annals::{CheckpointUse, RecoveryReport};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const SHOW_EVERY: Duration = Duration::from_millis(500);

/// Writes to standard output. A reader that went away (`| head`) is no reason to leave work undone.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// 1234567 as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 commit`, `2 commits`.
pub(crate) fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

pub(crate) fn seconds(took: Duration) -> String {
    match took.as_secs_f64() {
        s if s < 0.001 => format!("{:.0} us", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

pub(crate) fn rate(number: u64, took: Duration) -> String {
    count((number as f64 / took.as_secs_f64().max(1e-9)) as u64)
}

/// Text of at most so many characters.
pub(crate) fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => text.chars().take(width.saturating_sub(3)).chain("...".chars()).collect(),
    }
}

/// Text cut or filled to so many characters.
pub(crate) fn fit(text: &str, width: usize) -> String {
    format!("{:<width$}", cut(text, width))
}

/// The recovery report as a sentence or a few.
pub(crate) fn recovery(report: &RecoveryReport) -> String {
    if report.created {
        return "a new, empty log was made.".to_owned();
    }
    let mut said = vec![format!(
        "recovery walked {} with {} and found {} in {}",
        counted(report.segments, "segment"),
        counted(report.frames, "frame"),
        counted(report.events, "event"),
        counted(report.streams, "stream"),
    )];
    said.push(if report.closed_cleanly {
        "the log had been closed cleanly".to_owned()
    } else {
        "the log had not been closed".to_owned()
    });
    match &report.torn_tail {
        Some(torn) => {
            let kept = match &torn.saved_as {
                Ok(name) => format!("kept in {name}"),
                Err(error) => format!("not kept: {error}"),
            };
            said.push(format!(
                "{} of an append that was never confirmed were cleared away at {} ({kept})",
                counted(torn.bytes, "byte"),
                torn.at
            ));
        }
        None => said.push("nothing was torn".to_owned()),
    }
    if report.torn_footer {
        said.push("a half-written footer was cleared away".to_owned());
    }
    if !report.removed.is_empty() {
        said.push(format!("unused files removed: {}", report.removed.join(", ")));
    }
    if !report.foreign.is_empty() {
        said.push(format!("foreign files left alone: {}", report.foreign.join(", ")));
    }
    said.push(match &report.checkpoint {
        CheckpointUse::Missing => "there was no checkpoint".to_owned(),
        CheckpointUse::Confirmed => "the checkpoint agreed".to_owned(),
        CheckpointUse::Damaged(fault) => format!("the checkpoint was damaged ({fault})"),
        CheckpointUse::Foreign => "the checkpoint was another log's".to_owned(),
        other => format!("checkpoint: {other:?}"),
    });
    said.join("; ") + "."
}

/// A line that tells how far the appending is: rewritten in place on a terminal, else a line for each tenth.
pub(crate) struct Progress {
    total: u64,
    begun: Instant,
    shown: Option<Instant>,
    tenth: u64,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new(total: u64) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        Progress { total, begun: Instant::now(), shown: None, tenth: 0, terminal }
    }

    /// `commits` and `events` are durable now.
    pub(crate) fn note(&mut self, commits: u64, events: u64, now: Instant) {
        if now - self.shown.unwrap_or(self.begun) < SHOW_EVERY {
            return;
        }
        let tenth = commits * 10 / self.total.max(1);
        if !self.terminal && tenth == self.tenth {
            return;
        }
        self.tenth = tenth;
        self.shown = Some(now);
        let line = format!(
            "{} of {} commits durable ({}%), {} events, {} events/s",
            count(commits),
            count(self.total),
            commits * 100 / self.total.max(1),
            count(events),
            rate(events, now - self.begun)
        );
        let mut out = std::io::stderr();
        let _ = if self.terminal { write!(out, "\r\x1b[K{line}") } else { writeln!(out, "{line}") };
    }

    /// Leaves an empty line to whoever writes next.
    pub(crate) fn finish(&self) {
        if self.terminal && self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567].map(count).each_ref().map(|s| &**s)
        );
        assert_eq!((counted(1, "byte"), counted(2, "byte")), ("1 byte".into(), "2 bytes".into()));
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(fit("añb", 5), "añb  ");
        assert_eq!(fit("ääääää", 5), "ää...");
        assert_eq!(cut("ääääää", 6), "ääääää");
    }
}
