//! Deadlines of this version.
//!
//! Compiled against each version of mako-engine.

use super::mako::deadline::{Deadline, DeadlineStore, DueNowResult};
use super::mako::error::EngineError;
use super::mako::ids::{DeadlineId, StreamId};
use crate::deadline::Entry;
use crate::failure::{Failure, Part};
use crate::store::MakoStore;
use crate::value::encode;
use time::OffsetDateTime;

/// A deadline as it stands in the log.
pub(super) fn entry(deadline: &Deadline) -> Result<Entry, Failure> {
    Ok(Entry {
        id: deadline.deadline_id().as_uuid(),
        stream: deadline.stream_id().as_str().to_owned(),
        due_at: deadline.due_at(),
        json: encode(Part::Deadlines, &format!("deadline {}", deadline.deadline_id()), deadline)?,
    })
}

/// Durable when they return. What is due is found by its time, and what belongs to a stream by that: neither costs a look at the
/// others.
impl DeadlineStore for MakoStore {
    async fn register(&self, deadline: &Deadline) -> Result<(), EngineError> {
        Ok(self.register_deadlines(&[entry(deadline)?]).await?)
    }

    async fn cancel(&self, id: DeadlineId) -> Result<(), EngineError> {
        Ok(self.cancel_deadline(id.as_uuid()).await?)
    }

    async fn due_now(&self, limit: usize) -> Result<DueNowResult, EngineError> {
        let now = OffsetDateTime::now_utc();
        let (deadlines, has_more) =
            self.due_deadlines(limit, now, |deadline: &Deadline| deadline.is_due(now)).await?;
        Ok(DueNowResult { deadlines, has_more })
    }

    async fn for_stream(&self, stream_id: &StreamId) -> Result<Vec<Deadline>, EngineError> {
        let is_of_it = |deadline: &Deadline| deadline.stream_id() == stream_id;
        Ok(self.deadlines_of(stream_id.as_str(), is_of_it).await?)
    }

    async fn len(&self) -> Result<usize, EngineError> {
        Ok(self.count(self.places.deadlines.prefix()))
    }

    /// Counts all of them; the one that the trait provides stops at 10,000.
    async fn overdue_count(&self) -> Result<usize, EngineError> {
        Ok(self.count_due(OffsetDateTime::now_utc()).await?)
    }
}
