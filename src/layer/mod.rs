//! Layers: the index of a range of the log, in one immutable file (FORMAT.md section 13).
//!
//! Owns reading, making and merging such files. Derived from the log and worth nothing by itself: whatever is wrong with one is
//! [`Damage`], and the answer is to make it again. Must never decide which layers there are.

mod buckets;
mod file;
mod merge;
mod part;
mod reader;
mod search;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use merge::merge;
pub(crate) use reader::Layer;
pub(crate) use writer::{LayerWriter, Range, Sizes};

use crate::error::{Fault, IoFault};

/// Something of an index file cannot be read, or is not what was written. The log itself is not concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage(Box<Damaged>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Damaged {
    number: u64,
    offset: u64,
    cause: Cause,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    Fault(Fault),
    Io(IoFault),
}

impl Damage {
    #[cold]
    pub(crate) fn new(number: u64, offset: u64, fault: Fault) -> Damage {
        Damage(Box::new(Damaged { number, offset, cause: Cause::Fault(fault) }))
    }

    #[cold]
    pub(crate) fn io(number: u64, offset: u64, fault: IoFault) -> Damage {
        Damage(Box::new(Damaged { number, offset, cause: Cause::Io(fault) }))
    }

    /// As a failure of the operating system, for those who ask about nothing else.
    pub(crate) fn as_fault(&self, operation: &'static str, file: &str) -> IoFault {
        match &self.0.cause {
            Cause::Io(fault) => fault.clone(),
            Cause::Fault(_) => IoFault::new(operation, file, &std::io::ErrorKind::InvalidData.into()),
        }
    }

    /// The file's number.
    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }
}

/// Why an index file was not made. Nothing of it is left, or will be at the next open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MakeError {
    /// One of those that it was to be made of is damaged.
    Damage(Damage),
    /// It could not be written.
    Io(IoFault),
    /// It would be larger than such a file can be.
    TooLarge,
    /// Nobody wants it any more.
    Stopped,
}

/// Called between the blocks of a file that is being made, which may take long: whoever makes it looks then whether it is still
/// wanted, and after what else there is to do. An error ends the making.
pub(crate) type Meanwhile<'m> = &'m dyn Fn() -> Result<(), MakeError>;

impl From<Damage> for MakeError {
    fn from(damage: Damage) -> MakeError {
        MakeError::Damage(damage)
    }
}
