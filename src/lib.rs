//! Annals (wip)
mod error;
mod format;
mod types;
