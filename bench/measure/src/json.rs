//! JSON files of results.
//!
//! Owns how they are written and read. Must never leave half a file: a report is made from it later.

use crate::{Context, Outcome};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::Path;

/// Writes a value as a file that people can read, too; makes its folder if there is none.
///
/// # Errors
/// What the file system says.
pub fn write(path: &Path, value: &impl Serialize) -> Outcome<()> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).context(|| format!("make {}", folder.display()))?;
    }
    let beside = path.with_extension("json.tmp");
    fs::write(&beside, text).context(|| format!("write {}", beside.display()))?;
    fs::rename(&beside, path).context(|| format!("write {}", path.display()))
}

/// Reads a value back.
///
/// # Errors
/// What the file system says, or that it is not such a value.
pub fn read<T: DeserializeOwned>(path: &Path) -> Outcome<T> {
    let text = fs::read_to_string(path).context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_from_a_folder_that_was_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/b/c.json");
        write(&file, &[1, 2]).unwrap();
        write(&file, &[1, 2, 3]).unwrap();
        assert_eq!(read::<Vec<u32>>(&file).unwrap(), [1, 2, 3]);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
        assert!(read::<String>(&file).is_err());
    }
}
