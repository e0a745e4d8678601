//! Processes that are really killed: the test binary starts itself, the child tells what was acknowledged, the parent keeps it.
//!
//! Owns starting, listening and killing; what a line means is for the test.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Where the child finds its directory.
const CHILD: &str = "ANNALS_PROVING_CHILD";
/// What a line begins with that the child tells, behind whatever the test harness has printed in front of it.
const MARK: &str = "told: ";

/// The directory that this process is to work in, if it is a child. To be asked first by the test that the parent names:
///
/// ```no_run
/// // #[test]
/// fn child() {
///     let Some(dir) = proving::child() else { return };
///     // Work in `dir`, and tell of every acknowledgement, until killed.
///     # let _ = dir;
/// }
/// ```
pub fn child() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// Tells the parent something, in one line and one write, so that a kill cannot tear it.
#[allow(clippy::print_stdout, reason = "it is how the processes talk")]
pub fn told(line: &str) {
    let line = format!("{MARK}{line}\n");
    // Nobody listens any more: the kill is on its way.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

/// A child at work.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    lines: Receiver<String>,
}

impl Child {
    /// Starts the test with this name (as `--exact` wants it) of the running test binary, to work in a directory.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(test: &str, dir: &Path) -> Child {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(CHILD, dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let output = process.stdout.take().unwrap();
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Some((_, told)) = line.split_once(MARK) else { continue };
                if send.send(told.to_owned()).is_err() {
                    return;
                }
            }
        });
        Child { process, lines }
    }

    /// Waits until the child has told so many lines, lets it work on for a while, kills it with SIGKILL, and gives all that it
    /// has told.
    ///
    /// # Panics
    /// If it ends by itself, or does not get that far within a minute.
    pub fn kill_after(mut self, lines: usize, longer: Duration) -> Vec<String> {
        let mut told = Vec::new();
        while told.len() < lines {
            match self.lines.recv_timeout(Duration::from_secs(60)) {
                Ok(line) => told.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("the child told {} lines only", told.len()),
                Err(RecvTimeoutError::Disconnected) => panic!("the child ended by itself"),
            }
        }
        std::thread::sleep(longer);
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        told.extend(self.lines.iter());
        told
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
