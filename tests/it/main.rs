//! The integration tests: one binary, one module an idea.
//!
//! Helpers outside of test functions unwrap, too: a test that cannot go on should say so at once.

#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

mod calls;
mod crash;
mod damage;
mod found;
mod golden;
mod kill;
mod model;
mod properties;
mod scribe;
mod shelf;
mod simdisk;
mod threads;
mod tidy;
