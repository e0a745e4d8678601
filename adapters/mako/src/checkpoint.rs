//! Checkpoints of projections: a cursor for each stream.
//!
//! Owns how they stand in the log: one kept value, a number, for each projection and stream, so that who has moved on in few of
//! many streams writes few of many values.

use crate::change::Changes;
use crate::failure::{Failure, Part};
use crate::store::MakoStore;
use crate::value::decode;
use std::collections::BTreeMap;

const PART: Part = Part::Events;

/// How many cursors are written at once. More of them are several commits.
const CURSORS_AT_ONCE: usize = 10_000;

impl MakoStore {
    /// All cursors of a projection, by stream id.
    pub(crate) async fn cursors(&self, projection: &str) -> Result<BTreeMap<String, u64>, Failure> {
        let (names, mut cursors) = (self.places.checkpoint(projection), BTreeMap::new());
        self.scan(PART, names.prefix(), |found| {
            let stream = names.foreign(&found.name).unwrap_or_default().to_owned();
            cursors.insert(stream, decode(PART, &found)?);
            Ok(true)
        })
        .await?;
        Ok(cursors)
    }

    /// Makes these the cursors of a projection: writes those that are different, and removes those that are not among them.
    pub(crate) async fn replace_cursors(
        &self,
        projection: &str,
        cursors: impl Iterator<Item = (&str, u64)>,
    ) -> Result<(), Failure> {
        let mut old = self.cursors(projection).await?;
        let changed: Vec<(String, Option<u64>)> = cursors
            .filter_map(|(stream, cursor)| match old.remove(stream) {
                Some(same) if same == cursor => None,
                _ => Some((stream.to_owned(), Some(cursor))),
            })
            .collect();
        let gone = old.into_keys().map(|stream| (stream, None));
        self.write_cursors(projection, changed.into_iter().chain(gone)).await
    }

    /// Writes cursors of a projection, or removes them.
    pub(crate) async fn write_cursors(
        &self,
        projection: &str,
        cursors: impl Iterator<Item = (String, Option<u64>)>,
    ) -> Result<(), Failure> {
        let (names, mut changes) = (self.places.checkpoint(projection), Changes::default());
        for (stream, cursor) in cursors {
            match cursor {
                Some(cursor) => changes.set(PART, names.name(&stream), cursor.to_string().into_bytes()),
                None => changes.clear(PART, names.name(&stream)),
            }
            if changes.len() == CURSORS_AT_ONCE {
                self.submit(PART, self.log.batch(), &std::mem::take(&mut changes)).await?;
            }
        }
        if !changes.is_empty() {
            self.submit(PART, self.log.batch(), &changes).await?;
        }
        Ok(())
    }
}
