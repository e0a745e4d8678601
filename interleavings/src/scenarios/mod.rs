//! What is played through: each a function that makes its threads, joins them, and asserts what must hold in every order.

pub(crate) mod log;
pub(crate) mod primitives;
pub(crate) mod progress;
pub(crate) mod versions;
pub(crate) mod watchers;
