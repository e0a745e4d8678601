//! The integration tests: one binary, one module an idea.
//!
//! Helpers outside of test functions unwrap, too: a test that cannot go on should say so at once.

#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

mod bits;
mod broken;
mod calls;
mod checker;
mod cold;
mod consumers;
mod crash;
mod damage;
mod day;
mod folding;
mod follow;
mod forged;
mod found;
mod golden;
mod groups;
mod hunted;
mod keeping;
mod kill;
mod layers;
mod lazily;
mod model;
mod overwritten;
mod promises;
mod properties;
mod repeats;
// The fuzz targets include these two as well, and use what is not used here.
#[allow(dead_code, unused_imports)]
mod scribe;
#[allow(dead_code)]
mod shelf;
mod simdisk;
mod space;
mod threads;
mod tidy;
mod together;
mod typed;
mod winners;
