//! The adapter against the rules of its interface, beside the framework's own store.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so at once")]

mod common;
mod differences;
mod durable;
mod ends;
mod envelopes;
mod flows;
mod kill;
mod names;
mod races;
mod rules;
