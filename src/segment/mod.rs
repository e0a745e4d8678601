//! Where the format meets the storage: names of files, segments to read from, and the one walk over frames.
//!
//! Owns no order and no durability: it reads what it is told to, and says what it found.

pub(crate) mod name;
pub(crate) mod reader;
pub(crate) mod scan;
