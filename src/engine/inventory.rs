//! What a directory holds, by name.
//!
//! Owns the sorting of names and what speaks against taking a directory for an empty one. Opens no file.

use crate::segment::name::{CHECKPOINT, CLOSED, FileName};
use crate::storage::Storage;
use std::io;

/// The names in the directory, sorted out.
pub(crate) struct Inventory {
    pub(crate) segments: Vec<u64>,
    pub(crate) has_checkpoint: bool,
    /// The checkpoint of a log that was closed.
    pub(crate) has_closed: bool,
    /// Numbers of index files.
    pub(crate) indexes: Vec<u64>,
    pub(crate) torn: Vec<FileName>,
    pub(crate) temporary: Vec<String>,
    pub(crate) foreign: Vec<String>,
}

impl Inventory {
    pub(crate) fn take(storage: &dyn Storage) -> io::Result<Inventory> {
        let names = storage.list()?;
        let mut inventory = Inventory {
            segments: Vec::new(),
            has_checkpoint: false,
            has_closed: false,
            indexes: Vec::new(),
            torn: Vec::new(),
            temporary: Vec::new(),
            foreign: Vec::new(),
        };
        for name in names {
            match FileName::parse(&name) {
                FileName::Segment(ordinal) => inventory.segments.push(ordinal),
                FileName::Checkpoint => inventory.has_checkpoint = true,
                FileName::Closed => inventory.has_closed = true,
                FileName::Temporary => inventory.temporary.push(name),
                torn @ FileName::Torn { .. } => inventory.torn.push(torn),
                FileName::Index(number) => inventory.indexes.push(number),
                FileName::Foreign => inventory.foreign.push(name),
            }
        }
        inventory.segments.sort_unstable();
        inventory.foreign.sort_unstable();
        inventory.temporary.sort_unstable();
        Ok(inventory)
    }

    /// Whether a segment is missing between others.
    pub(crate) fn has_gap(&self) -> bool {
        self.segments.windows(2).any(|pair| pair[1] != pair[0] + 1)
    }

    /// What speaks against taking a directory without a segment for an empty one.
    pub(crate) fn evidence(&self) -> Option<String> {
        if self.has_checkpoint {
            return Some(CHECKPOINT.to_owned());
        }
        if self.has_closed {
            return Some(CLOSED.to_owned());
        }
        if !self.indexes.is_empty() || !self.torn.is_empty() {
            return Some("other files of a log".to_owned());
        }
        self.foreign.first().cloned()
    }
}
