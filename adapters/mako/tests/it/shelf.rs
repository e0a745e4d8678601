//! Logs for tests: in a directory of their own, or in memory.

use annals::EventLog;
use annals_mako::MakoStore;
use std::ops::Deref;
use tempfile::TempDir;

/// A store on a log in a directory, which goes when it is dropped.
pub struct Shelf {
    store: MakoStore,
    dir: TempDir,
}

pub fn fresh() -> Shelf {
    let dir = tempfile::tempdir().unwrap();
    Shelf { store: MakoStore::open(dir.path()).unwrap(), dir }
}

impl Shelf {
    /// Closes the log and opens it again.
    pub fn reopen(self) -> Shelf {
        self.log().close().unwrap();
        Shelf { store: self.open_again(), dir: self.dir }
    }

    /// Opens the log, which was closed.
    pub fn open_again(&self) -> MakoStore {
        MakoStore::open(self.dir.path()).unwrap()
    }
}

impl Deref for Shelf {
    type Target = MakoStore;

    fn deref(&self) -> &MakoStore {
        &self.store
    }
}

/// A store on a log in memory: for what needs many commits, and proves nothing of a disk.
pub fn in_memory() -> MakoStore {
    MakoStore::new(EventLog::in_memory().unwrap())
}

/// The kept value of a name, as text.
pub fn kept(store: &MakoStore, name: &str) -> Option<String> {
    let found = store.log().kept(name).unwrap()?;
    Some(String::from_utf8(found.value.to_vec()).unwrap())
}

/// All names of kept values that begin with this.
pub fn names(store: &MakoStore, prefix: &str) -> Vec<String> {
    let found = store.log().list_kept(prefix, None, usize::MAX).unwrap();
    found.into_iter().map(|value| value.name).collect()
}
