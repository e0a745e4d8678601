//! What files take on disk, and on what kind of file system they are.
//!
//! Owns the counting of allocated blocks. Must never take a file's length for its size: files may be sparse, or reserved ahead.

use crate::{Context, Outcome};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Size of the blocks that `stat` counts.
const BLOCK: u64 = 512;

/// Bytes of all blocks that are allocated to the files of a directory, and of those below it.
///
/// # Errors
/// What the file system says.
pub fn allocated_bytes(path: &Path) -> Outcome<u64> {
    let meta = fs::symlink_metadata(path).context(|| format!("look at {}", path.display()))?;
    if !meta.is_dir() {
        return Ok(meta.blocks() * BLOCK);
    }
    let mut sum = 0;
    for entry in fs::read_dir(path).context(|| format!("list {}", path.display()))? {
        sum += allocated_bytes(&entry?.path())?;
    }
    Ok(sum)
}

/// The kind of the file system that a directory is on.
///
/// # Errors
/// What the file system says.
pub fn file_system(dir: &Path) -> Outcome<&'static str> {
    let kind = rustix::fs::statfs(dir).context(|| format!("look at {}", dir.display()))?.f_type as u32;
    Ok(match kind {
        0x0000_EF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0x0102_1994 => "tmpfs",
        0x8584_58F6 => "ramfs",
        0x794C_7630 => "overlayfs",
        0x2FC1_2FC1 => "zfs",
        _ => "another file system",
    })
}

/// Whether a sync in this directory does nothing, because it is in memory.
///
/// # Errors
/// What the file system says.
pub fn is_memory(dir: &Path) -> Outcome<bool> {
    Ok(matches!(file_system(dir)?, "tmpfs" | "ramfs"))
}

#[cfg(test)]
mod tests {
    use super::allocated_bytes;
    use std::fs;

    #[test]
    fn a_hole_takes_no_space_and_a_page_does() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = fs::File::create(dir.path().join("sparse")).expect("a file");
        file.set_len(1 << 30).expect("a length");
        fs::write(dir.path().join("full"), vec![1; 8192]).expect("a file");
        let bytes = allocated_bytes(dir.path()).expect("a size");
        assert!(bytes < 1 << 20, "{bytes}");
    }
}
