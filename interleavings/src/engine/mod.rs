//! The checked files, as they are, on the checker's primitives.

#[path = "../../../src/engine/progress.rs"]
#[allow(dead_code)]
pub(crate) mod progress;
#[path = "../../../src/engine/wake.rs"]
pub(crate) mod wake;
#[path = "../../../src/engine/watchers.rs"]
#[allow(dead_code)]
pub(crate) mod watchers;
