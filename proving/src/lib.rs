//! What the tests of the log and of its adapters have in common: processes that are killed, syncs that are held back, a
//! disk that is full or broken, pages that the system has forgotten, and an executor that must not be blocked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so at once")]

mod cached;
mod child;
mod disk;
mod gate;
mod hooked;
mod turns;

pub use cached::{drop_from_memory, page_bytes, read_from_device};
pub use child::{Child, child, told};
pub use disk::FaultyDisk;
pub use gate::Gated;
pub use hooked::Hooked;
pub use turns::gives_way;
