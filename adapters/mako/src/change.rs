//! Kept values: reading, changing and listing them.
//!
//! Owns how a change is made: what it rests on is read, all that it writes goes into one batch, and the batch demands that what
//! was read is still there. If it is not, somebody else has got further, and the change is thought out again. So changes of
//! one thing happen one after the other, without a lock, and none is lost.

use crate::failure::{Failure, Part};
use crate::store::MakoStore;
use annals::{AppendError, BatchAppended, BatchBuilder, Durability, KeptCondition, KeptValue};
use std::collections::HashMap;
use uuid::Uuid;

/// The first page of a listing, and the most that a page grows to. Small at first: most listings look for little.
const FIRST_PAGE: usize = 16;
pub(crate) const PAGE: usize = 256;

/// What one batch does to kept values.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    writes: Vec<Write>,
}

#[derive(Debug)]
struct Write {
    part: Part,
    name: String,
    condition: KeptCondition,
    /// `None` to delete it.
    value: Option<Vec<u8>>,
}

impl Changes {
    /// Sets a value, if it is still as it was found.
    pub(crate) fn keep(&mut self, part: Part, name: String, found: Option<&KeptValue>, value: Vec<u8>) {
        self.writes.push(Write { part, name, condition: as_found(found), value: Some(value) });
    }

    /// Deletes a value, if it is still as it was found.
    pub(crate) fn unkeep(&mut self, part: Part, found: &KeptValue) {
        self.writes.push(Write {
            part,
            name: found.name.clone(),
            condition: as_found(Some(found)),
            value: None,
        });
    }

    /// Sets a value, whatever is there.
    pub(crate) fn set(&mut self, part: Part, name: String, value: Vec<u8>) {
        self.writes.push(Write { part, name, condition: KeptCondition::Any, value: Some(value) });
    }

    /// Deletes a value, whatever is there.
    pub(crate) fn clear(&mut self, part: Part, name: String) {
        self.writes.push(Write { part, name, condition: KeptCondition::Any, value: None });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.writes.len()
    }

    /// Adds the changes to a batch.
    pub(crate) fn add_to<'a>(&self, batch: BatchBuilder<'a>) -> BatchBuilder<'a> {
        self.writes.iter().fold(batch, |batch, write| match &write.value {
            Some(value) => batch.keep_if(&write.name, write.condition, value),
            None => batch.unkeep(&write.name, write.condition),
        })
    }

    /// Whose change the log refused, if it was one of these.
    fn refused(&self, error: &AppendError) -> Option<&Write> {
        let AppendError::TooLarge { what, len, .. } = error else { return None };
        self.writes.iter().find(|write| match *what {
            "kept value" => write.value.as_ref().is_some_and(|value| value.len() as u64 == *len),
            "kept name" => write.name.len() as u64 == *len,
            _ => false,
        })
    }
}

/// What a change that rests on this demands.
fn as_found(found: Option<&KeptValue>) -> KeptCondition {
    match found {
        None => KeptCondition::Absent,
        // A value without a revision was set lazily, by somebody else: that it is there is all that can be demanded.
        Some(found) => found.revision.map_or(KeptCondition::Present, KeptCondition::Revision),
    }
}

/// Of several with one id the last one: as if they had come one after the other.
pub(crate) fn last_of_each<T>(items: &[T], id: impl Fn(&T) -> Uuid) -> impl Iterator<Item = &T> {
    let last: HashMap<Uuid, usize> = items.iter().enumerate().map(|(i, item)| (id(item), i)).collect();
    items.iter().enumerate().filter(move |(i, item)| last.get(&id(item)) == Some(i)).map(|(_, item)| item)
}

impl MakoStore {
    /// A kept value as it is now.
    pub(crate) fn kept(&self, part: Part, name: &str) -> Result<Option<KeptValue>, Failure> {
        self.log.kept(name).map_err(|error| Failure::read(part, &format!("kept value {name:?}"), &error))
    }

    /// Makes a change and waits until it is durable. `plan` reads what the change rests on and says what it writes; it is asked
    /// again if that was changed meanwhile.
    pub(crate) async fn change<R>(
        &self,
        part: Part,
        mut plan: impl FnMut(&mut Changes) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        loop {
            let mut changes = Changes::default();
            let result = plan(&mut changes)?;
            if changes.is_empty() || self.submit(part, self.log.batch(), &changes).await?.is_some() {
                return Ok(result);
            }
        }
    }

    /// Sends off a batch with these changes and waits until it is durable. `None` if something is not as it was found.
    pub(crate) async fn submit(
        &self,
        part: Part,
        batch: BatchBuilder<'_>,
        changes: &Changes,
    ) -> Result<Option<BatchAppended>, Failure> {
        // Whatever the log was opened with: who has an answer rests on it.
        let done = match changes.add_to(batch).durability(Durability::Synced).submit() {
            Ok(pending) => pending.await,
            Err(error) => Err(error),
        };
        match done {
            Ok(done) => Ok(Some(done)),
            Err(AppendError::KeptConflict { .. }) => Ok(None),
            Err(error) => Err(match changes.refused(&error) {
                Some(write) => Failure::append(write.part, &error).about(&write.name),
                None => Failure::append(part, &error),
            }),
        }
    }

    /// Deletes a value, if there is one.
    pub(crate) async fn unset(&self, part: Part, name: String) -> Result<(), Failure> {
        self.change(part, |changes| {
            if let Some(found) = self.kept(part, &name)? {
                changes.unkeep(part, &found);
            }
            Ok(())
        })
        .await
    }

    /// Looks at the kept values whose names begin with this, in their order, until `each` says that it is enough. Gives way to
    /// other tasks between pages.
    pub(crate) async fn scan(
        &self,
        part: Part,
        prefix: &str,
        mut each: impl FnMut(KeptValue) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let (mut after, mut limit) = (None::<String>, FIRST_PAGE);
        loop {
            let page = self.log.list_kept(prefix, after.as_deref(), limit);
            let page =
                page.map_err(|error| Failure::read(part, &format!("what is kept under {prefix:?}"), &error))?;
            let last = page.len() < limit;
            after = page.last().map(|value| value.name.clone());
            for value in page {
                if !each(value)? {
                    return Ok(());
                }
            }
            if last {
                return Ok(());
            }
            limit = PAGE.min(limit * 2);
            tokio::task::yield_now().await;
        }
    }

    /// How many kept values have names that begin with this.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        usize::try_from(self.log.count_kept(prefix)).unwrap_or(usize::MAX)
    }
}
