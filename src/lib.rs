//! Annals (wip)
#![allow(dead_code)]
mod error;
mod format;
pub mod storage;
mod types;
