//! The grammar of file names in a log's directory (FORMAT.md section 1).
//!
//! Owns both directions, parse and print. A name that does not print back to itself is foreign.

/// What a name in the directory means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileName {
    Segment(u64),
    /// An index file, by its number.
    Index(u64),
    /// Bytes that recovery took out of a segment's tail.
    Torn {
        segment: u64,
        offset: u64,
        count: u64,
    },
    Checkpoint,
    /// The checkpoint of a log that was closed.
    Closed,
    /// A file that was being made when its maker stopped.
    Temporary,
    Foreign,
}

pub(crate) const SPARE: &str = "spare.tmp";
pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const CLOSED: &str = "closed";
pub(crate) const CHECKPOINT_TEMPORARY: &str = "checkpoint.tmp";
/// An index file that is not whole yet.
pub(crate) const INDEX_TEMPORARY: &str = "index.tmp";
/// The same, if it is merged from others: that takes long, and others are made meanwhile.
pub(crate) const MERGE_TEMPORARY: &str = "merge.tmp";

pub(crate) fn segment_name(ordinal: u64) -> String {
    format!("{ordinal:020}.seg")
}

pub(crate) fn index_name(number: u64) -> String {
    format!("{number:020}.idx")
}

pub(crate) fn torn_name(segment: u64, offset: u64, count: u64) -> String {
    format!("{segment:020}-{offset}-{count}.torn")
}

impl FileName {
    pub(crate) fn parse(name: &str) -> FileName {
        match name {
            SPARE | CHECKPOINT_TEMPORARY | INDEX_TEMPORARY | MERGE_TEMPORARY => return FileName::Temporary,
            CHECKPOINT => return FileName::Checkpoint,
            CLOSED => return FileName::Closed,
            _ => {}
        }
        let Some((stem, extension)) = name.split_once('.') else { return FileName::Foreign };
        let parsed = match extension {
            "seg" => stem.parse().ok().map(FileName::Segment),
            "idx" => stem.parse().ok().map(FileName::Index),
            "torn" => {
                let mut parts = stem.split('-').map(|part| part.parse().ok());
                match (parts.next().flatten(), parts.next().flatten(), parts.next().flatten(), parts.next()) {
                    (Some(segment), Some(offset), Some(count), None) => {
                        Some(FileName::Torn { segment, offset, count })
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        match parsed {
            Some(FileName::Segment(ordinal) | FileName::Index(ordinal))
                if ordinal == 0 || ordinal > u64::from(u32::MAX) =>
            {
                FileName::Foreign
            }
            None => FileName::Foreign,
            Some(parsed) if parsed.print().as_deref() == Some(name) => parsed,
            Some(_) => FileName::Foreign,
        }
    }

    fn print(&self) -> Option<String> {
        match self {
            FileName::Segment(ordinal) => Some(segment_name(*ordinal)),
            FileName::Index(number) => Some(index_name(*number)),
            FileName::Torn { segment, offset, count } => Some(torn_name(*segment, *offset, *count)),
            FileName::Checkpoint | FileName::Closed | FileName::Temporary | FileName::Foreign => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_to_what_printed_them() {
        for ordinal in [1, 2, 10, u64::from(u32::MAX)] {
            assert_eq!(FileName::parse(&segment_name(ordinal)), FileName::Segment(ordinal));
            assert_eq!(
                FileName::parse(&torn_name(ordinal, 4096, 7)),
                FileName::Torn { segment: ordinal, offset: 4096, count: 7 }
            );
            assert_eq!(FileName::parse(&index_name(ordinal)), FileName::Index(ordinal));
        }
        assert_eq!(FileName::parse(SPARE), FileName::Temporary);
        assert_eq!(FileName::parse(CHECKPOINT), FileName::Checkpoint);
        assert_eq!(FileName::parse(CLOSED), FileName::Closed);
    }

    #[test]
    fn anything_else_is_foreign() {
        for name in [
            "",
            "1.seg",
            "00000000004294967296.seg",
            "00000000000000000000.seg",
            "+0000000000000000001.seg",
            "00000000000000000001.seg.bak",
            "00000000000000000001.SEG",
            "99999999999999999999.seg",
            "0000000000000000001x.seg",
            "00000000000000000001-1.torn",
            "00000000000000000001-01-1.torn",
            "notes.txt",
            "ü.seg",
        ] {
            assert_eq!(FileName::parse(name), FileName::Foreign, "{name}");
        }
    }
}
