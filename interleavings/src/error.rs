//! The part of the crate's errors that the checked files name.

/// Stands for the cause of the same name: the protocol only carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PoisonCause {
    Panic,
}
