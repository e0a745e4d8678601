//! The stores that take part, one file each.
//!
//! Owns the list of them. A store is used as its own documentation recommends, with every commit synced; a store whose package
//! was not built is not in the list.

pub(crate) mod annals;
mod gathered;
mod kv;
pub(crate) mod raw;

#[cfg(feature = "sqlite")]
mod sqlite;

use crate::store::Entry;
pub(crate) use gathered::Gathered;

/// All stores that were built, Annals and the floors first.
pub(crate) fn all() -> Vec<&'static Entry> {
    vec![
        &annals::ENTRY,
        &raw::ENTRY,
        &raw::CHECKED,
        #[cfg(feature = "sqlite")]
        &sqlite::ENTRY,
    ]
}

/// The store of this name.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    all().into_iter().find(|entry| entry.name == name)
}
