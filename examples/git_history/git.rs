//! Talking to Git: what the repository is, which commits there are, and what each of them changed.
//!
//! Owns the child processes and the parsing of what they say. Merges are commits without changes of files, as `git log`
//! shows them: what they bring together was changed by the commits that they merge.

use crate::{Failure, records};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::thread::JoinHandle;

/// The first byte of a commit in Git's output; what a change begins with is a letter.
const COMMIT_MARK: u8 = 1;
/// Hash, parents, author, date, subject: ended by zeros, which none of them can hold.
const FORMAT: &str = "--format=%x01%H%x00%P%x00%aN <%aE>%x00%aI%x00%s";

/// A commit, with all text on one line and without control characters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) hash: String,
    pub(crate) parents: String,
    pub(crate) author: String,
    pub(crate) date: String,
    pub(crate) subject: String,
    pub(crate) changes: Vec<Change>,
}

/// A file that a commit touched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Git's letter: A, C, D, M, R, T, ...
    pub(crate) kind: u8,
    /// The path, see [`records::path_name`].
    pub(crate) name: String,
    /// The file that it was renamed or copied from.
    pub(crate) from: Option<String>,
}

pub(crate) struct Repository {
    top: PathBuf,
}

impl Repository {
    /// The repository that a directory is in.
    pub(crate) fn find(directory: &Path) -> Result<Repository, Failure> {
        let inside = Repository { top: directory.to_owned() };
        let mut found = inside.ask(&["rev-parse", "--show-toplevel"])?;
        if !found.status.success() {
            // A repository without a work tree has only its own directory.
            found = inside.ask(&["rev-parse", "--absolute-git-dir"])?;
        }
        if !found.status.success() {
            let shown = records::text(directory.as_os_str().as_encoded_bytes());
            return Err(Failure::unusable(format!(
                "{shown} is not usable as a Git repository; git says: {}",
                complaint(&found)
            )));
        }
        let mut path = found.stdout;
        path.pop_if(|last| *last == b'\n');
        Ok(Repository { top: PathBuf::from(OsString::from_vec(path)) })
    }

    /// Its top directory.
    pub(crate) fn top(&self) -> &Path {
        &self.top
    }

    /// The commit that is checked out; none in a repository without commits.
    pub(crate) fn head(&self) -> Result<Option<String>, Failure> {
        let found = self.ask(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?;
        let hash = records::text(&found.stdout).trim().to_owned();
        Ok((found.status.success() && !hash.is_empty()).then_some(hash))
    }

    /// Whether the history was cut when the repository was cloned.
    pub(crate) fn is_shallow(&self) -> Result<bool, Failure> {
        Ok(self.ask(&["rev-parse", "--is-shallow-repository"])?.stdout.starts_with(b"true"))
    }

    /// Whether `old` is a commit that `new` descends from. Not if nobody knows it any more.
    pub(crate) fn is_ancestor(&self, old: &str, new: &str) -> Result<bool, Failure> {
        Ok(self.ask(&["merge-base", "--is-ancestor", old, new])?.status.success())
    }

    /// The commits that `head` descends from, itself included, parents before their children; without those that
    /// `after` descends from, itself included.
    pub(crate) fn commits(&self, head: &str, after: Option<&str>) -> Result<Vec<String>, Failure> {
        let not = after.map(|hash| format!("^{hash}"));
        let mut arguments = vec!["rev-list", "--topo-order", "--reverse", head];
        arguments.extend(not.as_deref());
        let listed = self.ask(&arguments)?;
        if !listed.status.success() {
            return Err(Failure::new(format!("git rev-list failed: {}", complaint(&listed))));
        }
        Ok(records_of_lines(&listed.stdout))
    }

    /// Reads these commits, in this order.
    pub(crate) fn read(&self, hashes: Vec<String>) -> Result<Reader, Failure> {
        let mut command = self.command();
        command.args(["-c", "log.showRoot=true", "-c", "diff.relative=false"]);
        command.args(["log", "--no-walk=unsorted", "--stdin", "-z", "--name-status", "-M"]);
        command.args(["--encoding=UTF-8", "--no-color", "--no-show-signature", "--no-ext-diff", FORMAT]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(git_missing)?;
        let (Some(stdin), Some(stdout), Some(mut stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Failure::new("git log has no pipes"));
        };
        let expected = hashes.len() as u64;
        // Git reads while it writes, and complains whenever it likes: each pipe has a thread that serves it.
        let feeder = std::thread::spawn(move || feed(stdin, &hashes));
        let complaints = std::thread::spawn(move || {
            let mut said = Vec::new();
            let _ = stderr.read_to_end(&mut said);
            records::text(&said)
        });
        let parser = Parser::new(BufReader::with_capacity(1 << 18, stdout));
        Ok(Reader { child, parser, feeder: Some(feeder), complaints: Some(complaints), expected, given: 0 })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.arg("--no-pager").arg("-C").arg(&self.top);
        // The directory decides, not what an outer Git may have left in the environment.
        command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
        command
    }

    fn ask(&self, arguments: &[&str]) -> Result<Output, Failure> {
        self.command().args(arguments).stdin(Stdio::null()).output().map_err(git_missing)
    }
}

fn git_missing(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::unusable("there is no `git` in the PATH; install Git first"),
        _ => Failure::unusable(format!("git cannot be started: {error}")),
    }
}

/// What Git said, or at least how it ended.
fn complaint(output: &Output) -> String {
    match records::text(&output.stderr).trim() {
        "" => format!("nothing ({})", output.status),
        said => said.to_owned(),
    }
}

fn records_of_lines(bytes: &[u8]) -> Vec<String> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(records::text).collect()
}

fn feed(stdin: ChildStdin, hashes: &[String]) -> io::Result<()> {
    let mut pipe = io::BufWriter::new(stdin);
    for hash in hashes {
        writeln!(pipe, "{hash}")?;
    }
    pipe.flush()
}

/// The commits that a running `git log` tells.
pub(crate) struct Reader {
    child: Child,
    parser: Parser<BufReader<ChildStdout>>,
    feeder: Option<JoinHandle<io::Result<()>>>,
    complaints: Option<JoinHandle<String>>,
    expected: u64,
    given: u64,
}

impl Reader {
    /// The next commit; `None` when all that were asked for have been given.
    pub(crate) fn next(&mut self) -> Result<Option<Commit>, Failure> {
        let commit = self.parser.next()?;
        match &commit {
            Some(_) => self.given += 1,
            None => self.finish()?,
        }
        Ok(commit)
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let status = self.child.wait()?;
        let fed = self.feeder.take().is_none_or(|thread| matches!(thread.join(), Ok(Ok(()))));
        let said = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if status.success() && fed && self.given == self.expected {
            return Ok(());
        }
        let (given, expected) = (self.given, self.expected);
        Err(Failure::new(format!(
            "git log ended ({status}) after {given} of {expected} commits: {}",
            said.trim()
        )))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // After an error nobody reads any more: without this, Git would write on until the pipe is full, and stay.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes apart what `git log -z --name-status` writes: a commit's five fields, then for each of its changes a letter
/// and one path or two. Everything is ended by a zero; the first letter may have a line feed before it.
struct Parser<R> {
    input: R,
    token: Vec<u8>,
    /// `token` is the first field of the next commit.
    ahead: bool,
}

impl<R: BufRead> Parser<R> {
    fn new(input: R) -> Parser<R> {
        Parser { input, token: Vec::new(), ahead: false }
    }

    /// Reads up to the next zero; says whether there was anything.
    fn advance(&mut self) -> io::Result<bool> {
        self.token.clear();
        let read = self.input.read_until(0, &mut self.token)?;
        self.token.pop_if(|last| *last == 0);
        Ok(read > 0)
    }

    fn text(&mut self) -> Result<String, Failure> {
        if !self.advance()? {
            return Err(Failure::new("git log ended in the middle of a commit"));
        }
        Ok(records::text(&self.token))
    }

    fn path(&mut self) -> Result<String, Failure> {
        if !self.advance()? {
            return Err(Failure::new("git log ended in the middle of a change"));
        }
        Ok(records::path_name(&self.token))
    }

    fn next(&mut self) -> Result<Option<Commit>, Failure> {
        if !self.ahead && !self.advance()? {
            return Ok(None);
        }
        self.ahead = false;
        let Some((&COMMIT_MARK, hash)) = self.token.split_first() else {
            let found = records::text(&self.token);
            return Err(Failure::new(format!("git log says {found:?} where a commit should be")));
        };
        let mut commit = Commit { hash: records::text(hash), ..Commit::default() };
        commit.parents = self.text()?;
        // An author without a name leaves a space before the address.
        commit.author = self.text()?.trim_start().to_owned();
        commit.date = self.text()?;
        commit.subject = self.text()?;
        while self.advance()? {
            let kind = match self.token.trim_ascii_start() {
                [] => continue,
                [COMMIT_MARK, ..] => {
                    self.ahead = true;
                    break;
                }
                [kind, ..] => *kind,
            };
            let first = self.path()?;
            commit.changes.push(match kind {
                b'R' | b'C' => Change { kind, name: self.path()?, from: Some(first) },
                _ => Change { kind, name: first, from: None },
            });
        }
        Ok(Some(commit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Vec<Commit> {
        let mut parser = Parser::new(bytes);
        std::iter::from_fn(|| parser.next().ok().flatten()).collect()
    }

    #[test]
    fn commits_with_and_without_changes_are_told_apart() {
        let bytes = b"\x01aa\0\0A <a@b>\0d\0one\0\nA\0x\ny\0R090\0old\0\xffnew\0\
            \x01bb\0aa\0B <>\0d\0\0\x01cc\0bb aa\0C <c>\0d\0s\0\nD\0z\0";
        let commits = parse(bytes);
        let brief: Vec<_> =
            commits.iter().map(|c| (&*c.hash, &*c.parents, &*c.subject, c.changes.len())).collect();
        assert_eq!(brief, [("aa", "", "one", 2), ("bb", "aa", "", 0), ("cc", "bb aa", "s", 1)]);
        assert_eq!(commits[0].changes[0].name, r"x\ny");
        assert_eq!(
            commits[0].changes[1],
            Change { kind: b'R', name: r"\xffnew".into(), from: Some("old".into()) }
        );
    }

    #[test]
    fn output_that_is_cut_off_is_an_error() {
        for cut in ["\x01aa\0\0A", "\x01aa\0\0A <a>\0d\0one\0\nR100\0old\0"] {
            let mut parser = Parser::new(cut.as_bytes());
            assert!(parser.next().is_err(), "{cut:?}");
        }
        assert!(Parser::new(&b"fatal: no\0"[..]).next().is_err());
    }
}
