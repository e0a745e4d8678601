//! Order, durability and recovery: the floor that locks, spawns and decides.
//!
//! Owns the rule that all else rests on: nothing is told or shown that could still vanish. One idea a file; this one only
//! lists them.

mod answer;
mod batch;
mod builder;
mod claim;
mod commit;
mod conditions;
mod covered;
mod cursor;
mod diagnosis;
mod filter;
mod folding;
mod frames;
mod head;
mod inventory;
mod keep;
mod last_segment;
mod layering;
mod lazies;
mod lifecycle;
mod log;
mod look;
mod maintenance;
mod mend;
mod merge;
mod open;
mod parties;
mod pending;
mod place;
mod progress;
mod recent;
mod recovery;
mod relearn;
mod repeat;
mod report;
mod request;
mod runs;
mod scope;
mod sealed;
mod sequencer;
mod shared;
mod single;
mod slot;
mod spare;
mod stamp;
mod streams;
mod subscription;
mod tail;
mod tenant;
mod view;
mod wake;
mod watchers;
mod writer;

pub use builder::BatchBuilder;
pub use claim::Claim;
pub use cursor::{Cursor, Events};
pub use keep::KeptValue;
pub(crate) use keep::check_consumer;
pub use log::{EventLog, LogState, Status};
pub use pending::{Appended, BatchAppended, FromAssigned, KeptChanged, Pending, StreamAppended};
pub use report::{CheckpointUse, IndexUse, RecoveryReport, TornTail};
pub use streams::StreamInfo;
pub use subscription::{Canceller, Next, Subscription};
pub use tenant::Tenant;
