//! The tests of the adapter, one idea a module, in one binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so at once")]

mod agreement;
mod backend;
mod bad;
mod bytes;
mod cost;
mod crash;
mod differences;
mod framework;
mod kit;
mod persistence;
mod races;
mod side_by_side;
mod streaming;
mod tenants;
mod waiting;
