//! Annals (wip)

mod engine;
mod error;
mod event;
mod format;
mod index;
mod options;
mod segment;
pub mod storage;
mod types;

pub use engine::{
    Appended, BatchAppended, BatchBuilder, CheckpointUse, Cursor, EventLog, Events, FromAssigned, LogState,
    Pending, RecoveryReport, Status, StreamAppended, StreamInfo, TornTail,
};
pub use error::{
    AppendError, CloseError, Corruption, Fault, IoFault, OpenError, Outcome, PoisonCause, ReadError,
};
pub use event::{Event, NewEvent, RecordedEvent};
pub use options::Options;
pub use types::{Durability, ExpectedVersion, Location, ReadMode};
pub use uuid::Uuid;
