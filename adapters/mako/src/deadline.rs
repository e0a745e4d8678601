//! Deadlines.
//!
//! Owns how they stand in the log. A deadline is a kept value, under its id; beside it, two empty ones have names that sort it by
//! the time when it is due, and by its stream. The revision of the latter says in which order a stream's were registered.

use crate::change::{Changes, PAGE, last_of_each};
use crate::failure::{Failure, Part};
use crate::outbox::split;
use crate::places::sortable;
use crate::store::MakoStore;
use crate::value::decode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use time::serde::rfc3339;
use uuid::Uuid;

const PART: Part = Part::Deadlines;

/// A deadline to be registered.
pub(crate) struct Entry {
    pub(crate) id: Uuid,
    pub(crate) stream: String,
    pub(crate) due_at: OffsetDateTime,
    pub(crate) json: Vec<u8>,
}

/// What sorts a deadline that stands in the log.
#[derive(Deserialize)]
struct Sorted {
    stream_id: String,
    #[serde(with = "rfc3339")]
    due_at: OffsetDateTime,
}

impl MakoStore {
    /// Registers deadlines, all or none. One that is there already is replaced.
    pub(crate) async fn register_deadlines(&self, deadlines: &[Entry]) -> Result<(), Failure> {
        self.change(PART, |changes| self.add_deadlines(changes, deadlines)).await
    }

    pub(crate) fn add_deadlines(&self, changes: &mut Changes, deadlines: &[Entry]) -> Result<(), Failure> {
        for deadline in last_of_each(deadlines, |deadline| deadline.id) {
            let name = self.deadline_name(deadline.id);
            let found = self.kept(PART, &name)?;
            let old: Option<Sorted> = found.as_ref().map(|found| decode(PART, found)).transpose()?;
            if let Some(old) = &old {
                changes.clear(PART, self.due_name(deadline.id, old.due_at));
            }
            changes.keep(PART, name, found.as_ref(), deadline.json.clone());
            changes.set(PART, self.due_name(deadline.id, deadline.due_at), Vec::new());
            // Where the stream is the same, the entry stays as it is: it tells the order of registration.
            if old.as_ref().is_none_or(|old| old.stream_id != deadline.stream) {
                if let Some(old) = old {
                    changes.clear(PART, self.of_stream_name(deadline.id, &old.stream_id));
                }
                changes.set(PART, self.of_stream_name(deadline.id, &deadline.stream), Vec::new());
            }
        }
        Ok(())
    }

    /// Removes a deadline, if it is there.
    pub(crate) async fn cancel_deadline(&self, id: Uuid) -> Result<(), Failure> {
        self.change(PART, |changes| {
            if let Some(found) = self.kept(PART, &self.deadline_name(id))? {
                let old: Sorted = decode(PART, &found)?;
                changes.unkeep(PART, &found);
                changes.clear(PART, self.due_name(id, old.due_at));
                changes.clear(PART, self.of_stream_name(id, &old.stream_id));
            }
            Ok(())
        })
        .await
    }

    /// The deadlines that are due, the one that has been so for longest first, at most `limit`, and whether there are more.
    pub(crate) async fn due_deadlines<D: DeserializeOwned>(
        &self,
        limit: usize,
        now: OffsetDateTime,
        is_due: impl Fn(&D) -> bool,
    ) -> Result<(Vec<D>, bool), Failure> {
        let (mut ids, mut more) = (Vec::new(), false);
        self.scan_due(now, |id| {
            more = ids.len() == limit;
            if !more {
                ids.push(id.to_owned());
            }
            !more
        })
        .await?;
        Ok((self.read_deadlines(&ids, is_due).await?, more))
    }

    /// How many deadlines are due.
    pub(crate) async fn count_due(&self, now: OffsetDateTime) -> Result<usize, Failure> {
        let mut due = 0;
        self.scan_due(now, |_| {
            due += 1;
            true
        })
        .await?;
        Ok(due)
    }

    /// The deadlines of a stream, in the order in which they were registered.
    pub(crate) async fn deadlines_of<D: DeserializeOwned>(
        &self,
        stream: &str,
        is_of_it: impl Fn(&D) -> bool,
    ) -> Result<Vec<D>, Failure> {
        let (names, mut found) = (self.places.deadlines_of(stream), Vec::new());
        self.scan(PART, names.prefix(), |value| {
            found.push((value.revision, names.foreign(&value.name).unwrap_or_default().to_owned()));
            Ok(true)
        })
        .await?;
        found.sort_unstable();
        let ids: Vec<String> = found.into_iter().map(|(_, id)| id).collect();
        self.read_deadlines(&ids, is_of_it).await
    }

    /// Looks at the ids of those that are due, in their order, until `each` says that it is enough.
    async fn scan_due(&self, now: OffsetDateTime, mut each: impl FnMut(&str) -> bool) -> Result<(), Failure> {
        let (now, names) = (sortable(now), &self.places.due);
        self.scan(PART, names.prefix(), |value| {
            let (time, id) = split(PART, names.foreign(&value.name).unwrap_or_default())?;
            Ok(*time <= *now && each(id))
        })
        .await
    }

    /// Reads deadlines. One that is gone was cancelled a moment ago, one that is not wanted any more was registered anew.
    async fn read_deadlines<D: DeserializeOwned>(
        &self,
        ids: &[String],
        wanted: impl Fn(&D) -> bool,
    ) -> Result<Vec<D>, Failure> {
        let mut deadlines = Vec::with_capacity(ids.len());
        for (i, id) in ids.iter().enumerate() {
            if let Some(found) = self.kept(PART, &self.places.deadlines.name(id))? {
                let deadline = decode(PART, &found)?;
                if wanted(&deadline) {
                    deadlines.push(deadline);
                }
            }
            if i % PAGE == PAGE - 1 {
                tokio::task::yield_now().await;
            }
        }
        Ok(deadlines)
    }

    fn deadline_name(&self, id: Uuid) -> String {
        self.places.deadlines.name(&id.to_string())
    }

    fn due_name(&self, id: Uuid, due_at: OffsetDateTime) -> String {
        self.places.due.name(&format!("{}/{id}", sortable(due_at)))
    }

    fn of_stream_name(&self, id: Uuid, stream: &str) -> String {
        self.places.deadlines_of(stream).name(&id.to_string())
    }
}
