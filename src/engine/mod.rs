//! Order, durability and recovery: the floor that locks, spawns and decides.
//!
//! Owns the rule that all else rests on: nothing is told or shown that could still vanish. One idea a file; this one only
//! lists them.

mod answer;
mod batch;
mod builder;
mod commit;
mod cursor;
mod diagnosis;
mod frames;
mod head;
mod inventory;
mod last_segment;
mod lifecycle;
mod log;
mod maintenance;
mod open;
mod pending;
mod place;
mod progress;
mod recovery;
mod report;
mod request;
mod runs;
mod sequencer;
mod shared;
mod slot;
mod spare;
mod stamp;
mod tail;
mod view;

pub use builder::BatchBuilder;
pub use cursor::{Cursor, Events};
pub use log::{EventLog, LogState, Status, StreamInfo};
pub use pending::{Appended, BatchAppended, FromAssigned, Pending, StreamAppended};
pub use report::{CheckpointUse, RecoveryReport, TornTail};
