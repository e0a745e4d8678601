//! Figures in a file that people write, too.
//!
//! Owns the marks between which they stand. Must never touch what people wrote, nor replace what it cannot read.

use crate::{Context, Outcome};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

const END: &str = "<!-- end of the figures -->\n";

/// Puts figures into a file: between its marks, if it has them, else behind the rest. `by` is the command that a reader is told
/// to run for new ones.
///
/// # Errors
/// What the file system says, or that the file is no text.
pub fn put(file: &Path, by: &str, figures: &str) -> Outcome<()> {
    let old = match fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read.context(|| format!("read {}", file.display()))?,
    };
    fs::write(file, between(&old, by, figures)).context(|| format!("write {}", file.display()))
}

fn between(old: &str, by: &str, figures: &str) -> String {
    let begin = format!("<!-- figures: written by `{by}` -->\n");
    let figures = format!("{begin}\n{figures}\n{END}");
    match old.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1))) {
        Some((before, after)) => format!("{before}{figures}{after}"),
        None => format!("{old}{figures}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_stays() {
        let begin = "<!-- figures: written by `it` -->\n";
        let old = format!("# Title\n{begin}old\n{END}Why.\n");
        let new = between(&old, "it", "new");
        assert_eq!(new, format!("# Title\n{begin}\nnew\n{END}Why.\n"));
        assert_eq!(between(&new, "it", "new"), new);
        assert_eq!(between("", "it", "new"), format!("{begin}\nnew\n{END}"));
        assert_eq!(between("Why.\n", "it", "new"), format!("Why.\n{begin}\nnew\n{END}"));
    }

    #[test]
    fn a_file_that_is_no_text_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("figures.md");
        fs::write(&file, [0xFF, 0xFE]).unwrap();
        assert!(put(&file, "it", "new").is_err());
        assert_eq!(fs::read(&file).unwrap(), [0xFF, 0xFE]);
        fs::remove_file(&file).unwrap();
        put(&file, "it", "new").unwrap();
        assert!(fs::read_to_string(&file).unwrap().contains("new"));
    }
}
