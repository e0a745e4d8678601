//! The checked files of the index, as they are, on the checker's primitives.

#[path = "../../src/index/versions.rs"]
#[allow(dead_code)]
pub(crate) mod versions;
