//! The stores that take part, one file each.
//!
//! Owns the list of them. A store is used as its own documentation recommends, with every commit synced; a store whose package
//! was not built is not in the list.

pub(crate) mod annals;
#[cfg(any(feature = "tephra", feature = "umadb"))]
mod dcb;
mod gathered;
mod kv;
pub(crate) mod raw;

#[cfg(feature = "fjall")]
mod fjall;
#[cfg(feature = "lmdb")]
mod lmdb;
#[cfg(feature = "okaywal")]
mod okaywal;
#[cfg(feature = "raft-engine")]
mod raft_engine;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(feature = "sierradb")]
mod sierradb;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "tephra")]
mod tephra;
#[cfg(feature = "umadb")]
mod umadb;

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
        #[cfg(feature = "redb")]
        &redb::ENTRY,
        #[cfg(feature = "lmdb")]
        &lmdb::ENTRY,
        #[cfg(feature = "fjall")]
        &fjall::ENTRY,
        #[cfg(feature = "rocksdb")]
        &rocksdb::ENTRY,
        #[cfg(feature = "umadb")]
        &umadb::ENTRY,
        #[cfg(feature = "tephra")]
        &tephra::ENTRY,
        #[cfg(feature = "sierradb")]
        &sierradb::ENTRY,
        #[cfg(feature = "okaywal")]
        &okaywal::ENTRY,
        #[cfg(feature = "raft-engine")]
        &raft_engine::ENTRY,
    ]
}

/// The store of this name.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    all().into_iter().find(|entry| entry.name == name)
}
