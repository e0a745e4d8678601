//! The repository from outside: each rule of allsource's traits, against ours and, where it applies, against the one that
//! allsource keeps in memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so at once")]

mod agreement;
mod beside;
mod broken;
mod differences;
mod framework;
mod given;
mod input;
mod kill;
mod many;
mod races;
mod reopened;
mod stored;
mod turns;
