//! The adapter from outside: one module an idea. Rules that both stores must keep run on both; see `kit`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so at once")]

mod appending;
mod bad_input;
mod bytes;
mod checkpoints;
mod commands;
mod contract;
mod coordinating;
mod delivering;
mod failing;
mod giving_way;
mod kill;
mod kit;
mod paging;
mod projections;
mod races;
mod reading;
mod reopening;
mod side_by_side;
mod snapshots;
