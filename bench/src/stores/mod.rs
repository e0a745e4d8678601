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

#[cfg(test)]
mod tests {
    use super::all;
    use crate::store::{Entry, Place, Run, Store, Tally};
    use measure::Outcome;
    use std::path::Path;

    fn open(entry: &Entry, dir: &Path) -> Outcome<Box<dyn Store>> {
        (entry.open)(&Place { dir, events: 1000 })
    }

    fn run<'a>(stream: &'a str, after: u64, payloads: &'a [&'a [u8]]) -> Run<'a> {
        Run { stream, after, payloads }
    }

    /// The same for all: what is appended is read back, now and after opening again, and a stale append is refused.
    fn prove(entry: &Entry) -> Outcome<()> {
        let dir = tempfile::tempdir()?;
        let store = open(entry, dir.path())?;
        store.append(&[run("order-1", 0, &[b"one", b"two"])])?;
        store.append(&[run("order-1", 2, &[b"three"]), run("order-2", 0, &[b"four"])])?;
        check(entry, &*store)?;
        if entry.can.check {
            // Another thread, which has not seen what this one wrote.
            let stale = std::thread::scope(|scope| {
                scope
                    .spawn(|| store.append(&[run("order-1", 0, &[b"stale"])]).is_err())
                    .join()
                    .unwrap_or(false)
            });
            assert!(stale, "{} takes a stale append", entry.name);
            check(entry, &*store)?;
        }
        store.close()?;
        if entry.can.reopen {
            let store = open(entry, dir.path())?;
            check(entry, &*store)?;
            store.close()?;
        }
        Ok(())
    }

    fn check(entry: &Entry, store: &dyn Store) -> Outcome<()> {
        let mut expected = [Tally::default(); 2];
        [b"one".as_slice(), b"two", b"three"].iter().for_each(|payload| expected[0].add(payload));
        expected[1].add(b"four");
        for (stream, expected) in ["order-1", "order-2"].into_iter().zip(expected) {
            if entry.can.version {
                assert_eq!(store.version(stream)?, expected.events, "{} {stream}", entry.name);
            }
            if entry.can.fold {
                let mut tally = Tally::default();
                store.fold(stream, &mut tally)?;
                assert_eq!(tally, expected, "{} {stream}", entry.name);
            }
        }
        if entry.can.scan {
            assert_eq!(store.scan()?.events, 4, "{}", entry.name);
        }
        Ok(())
    }

    #[test]
    fn every_store_gives_back_what_it_got() {
        for entry in all() {
            if let Err(error) = prove(entry) {
                panic!("{}: {error}", entry.name);
            }
        }
    }
}
