//! How streams are named and what stands in their events.
//!
//! Owns the bytes that this program puts into the log. All of them can be read by a person: a payload is lines of `key
//! value`. Names and texts hold no control character, so that they can be shown as they are.
//!
//! | stream | one event for each | type |
//! |---|---|---|
//! | `commits` | commit | `Committed` |
//! | `author/NAME <MAIL>` | commit of that author | `Authored` |
//! | `file/PATH` | commit that touched that file | `FileAdded`, `FileModified`, ... |

use crate::git::{Change, Commit};
use std::collections::BTreeMap;

/// The stream with one event for each commit, in the order in which they were appended.
pub(crate) const COMMITS: &str = "commits";
pub(crate) const AUTHORS: &str = "author/";
pub(crate) const FILES: &str = "file/";
/// The type of the event that says of a file that another file was made of it.
pub(crate) const MOVED_AWAY: &str = "FileMovedAway";
pub(crate) const DELETED: &str = "FileDeleted";

/// Metadata of a commit's event: with this one, the log holds its whole history and nothing else.
pub(crate) const COMPLETE: &[u8] = b"complete";

/// What a stream id may have at most (FORMAT.md section 7).
const STREAM_ID_BYTES: usize = 2048;
/// A subject stands in the event of each file that the commit touched; there it is cut.
const SUBJECT_CHARS: usize = 120;

/// Text of any encoding as UTF-8 on one line: what is not UTF-8 or would control a terminal is replaced.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A path as UTF-8 on one line, without loss: a byte that is not UTF-8 becomes `\xFF`, a control character `\n` or
/// `\u{7f}`, and a backslash `\\`. Different paths have different names.
pub(crate) fn path_name(path: &[u8]) -> String {
    let mut name = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => name.push_str("\\\\"),
                c if c.is_control() => name.extend(c.escape_default()),
                c => name.push(c),
            }
        }
        for byte in chunk.invalid() {
            name += &format!("\\x{byte:02x}");
        }
    }
    name
}

pub(crate) fn file_stream(name: &str) -> String {
    stream_id(FILES, name)
}

pub(crate) fn author_stream(author: &str) -> String {
    stream_id(AUTHORS, author)
}

/// A name that is too long for a stream id is cut, and told apart by a hash of all of it.
fn stream_id(prefix: &str, name: &str) -> String {
    let whole = format!("{prefix}{name}");
    if whole.len() <= STREAM_ID_BYTES {
        return whole;
    }
    let hash = format!("~{:016x}", fnv1a(whole.as_bytes()));
    let mut cut = STREAM_ID_BYTES - hash.len();
    while !whole.is_char_boundary(cut) {
        cut -= 1;
    }
    whole[..cut].to_owned() + &hash
}

/// FNV-1a: enough to tell names apart, and the same with every version of everything.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

pub(crate) fn commit_payload(commit: &Commit) -> String {
    let Commit { hash, parents, author, date, subject, changes } = commit;
    let files = changes.len();
    format!(
        "commit {hash}\ndate {date}\nauthor {author}\nsubject {subject}\nparents {parents}\nfiles {files}\n"
    )
}

/// Of the files only the directories, and how many in each.
pub(crate) fn author_payload(commit: &Commit) -> String {
    let mut directories: BTreeMap<&str, u64> = BTreeMap::new();
    for change in &commit.changes {
        let directory = change.name.rsplit_once('/').map_or(".", |(directory, _)| directory);
        *directories.entry(directory).or_default() += 1;
    }
    let Commit { hash, author, date, changes, .. } = commit;
    let mut payload = format!("commit {hash}\ndate {date}\nauthor {author}\nfiles {}\n", changes.len());
    for (directory, files) in directories {
        payload += &format!("in {files} {directory}\n");
    }
    payload
}

/// `other`: the file that it came from, or went to.
pub(crate) fn file_payload(commit: &Commit, name: &str, other: Option<&str>) -> String {
    let Commit { hash, author, date, subject, .. } = commit;
    let subject: String = subject.chars().take(SUBJECT_CHARS).collect();
    let mut payload = format!("commit {hash}\ndate {date}\nauthor {author}\nsubject {subject}\n");
    if let Some(other) = other {
        payload += &format!("other {other}\n");
    }
    if FILES.len() + name.len() > STREAM_ID_BYTES {
        payload += &format!("path {name}\n");
    }
    payload
}

/// The type of a file's event.
pub(crate) fn file_event(change: &Change) -> &'static str {
    match change.kind {
        b'A' => "FileAdded",
        b'C' => "FileCopied",
        b'D' => DELETED,
        b'M' => "FileModified",
        b'R' => "FileRenamed",
        b'T' => "FileTypeChanged",
        _ => "FileChanged",
    }
}

/// The first value of a key in a payload; empty if there is none.
pub(crate) fn value<'a>(payload: &'a [u8], key: &str) -> &'a str {
    values(payload, key).next().unwrap_or_default()
}

/// All values of a key in a payload.
pub(crate) fn values<'a>(payload: &'a [u8], key: &str) -> impl Iterator<Item = &'a str> {
    let lines = std::str::from_utf8(payload).unwrap_or_default().lines();
    lines.filter_map(move |line| line.strip_prefix(key)?.strip_prefix(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_a_name_of_its_own_that_can_be_shown() {
        let paths: [&[u8]; 8] =
            [b"a b", b"a\nb", b"a\\nb", b"a\\x6eb", b"a\xffb", b"a\\xffb", b"\x1b[2J", b"\"'"];
        let names = paths.map(path_name);
        assert_eq!(names[1..6], [r"a\nb", r"a\\nb", r"a\\x6eb", r"a\xffb", r"a\\xffb"]);
        for (i, name) in names.iter().enumerate() {
            assert!(!name.chars().any(char::is_control));
            assert_eq!(names.iter().position(|other| other == name), Some(i));
        }
    }

    #[test]
    fn long_names_fit_and_differ_in_their_last_character() {
        let long = "ä".repeat(1500);
        let ids = [file_stream(&(long.clone() + "x")), file_stream(&(long + "y"))];
        assert!(ids.iter().all(|id| id.len() <= STREAM_ID_BYTES && id.len() > STREAM_ID_BYTES - 4));
        assert_ne!(ids[0], ids[1]);
        assert_eq!(file_stream(&"x".repeat(2043)).len(), 2048);
        assert!(!file_stream(&"x".repeat(2043)).contains('~'));
    }

    #[test]
    fn values_are_found_by_their_whole_key() {
        let payload = b"commit 1\nsubject in 5 minutes\nin 3 src\nin 1 a b\n";
        assert_eq!(value(payload, "commit"), "1");
        assert_eq!(values(payload, "in").collect::<Vec<_>>(), ["3 src", "1 a b"]);
        assert_eq!((value(payload, "i"), value(payload, "date")), ("", ""));
    }
}
