//! The snapshots of commands: kept values, one for each snapshot id, as JSON.
//!
//! Owns that a newer one is never replaced by an older one, whoever else saves at the same time.

use crate::error::{failed, refused};
use crate::store::EventCoreStore;
use annals::{AppendError, KeptCondition, KeptValue};
use eventcore_types::{CommandStateSnapshot, CommandStateSnapshotId, EventStoreError, Operation, StreamId};

impl EventCoreStore {
    pub(crate) fn load_snapshot(
        &self,
        id: &CommandStateSnapshotId,
    ) -> Result<Option<CommandStateSnapshot>, EventStoreError> {
        self.kept_snapshot(id)?.map(|kept| decode(&kept)).transpose()
    }

    pub(crate) async fn save_snapshot(
        &self,
        id: &CommandStateSnapshotId,
        snapshot: &CommandStateSnapshot,
    ) -> Result<(), EventStoreError> {
        let json = encode(snapshot)?;
        let name = self.snapshots().name(id.as_ref());
        loop {
            let condition = match self.kept_snapshot(id)? {
                None => KeptCondition::Absent,
                Some(kept) if !snapshot.covers(&decode(&kept)?) => return Ok(()),
                // Without a revision it was set by somebody else, lazily, and is not on the disk yet.
                Some(kept) => kept.revision.map_or(KeptCondition::Present, KeptCondition::Revision),
            };
            let submitted = self.batch().keep_if(&name, condition, &json).submit();
            let pending = submitted.map_err(|error| refused(some_stream(snapshot), &error))?;
            match pending.await {
                Ok(_) => return Ok(()),
                // Somebody was faster: look again, at theirs.
                Err(AppendError::KeptConflict { .. }) => {}
                Err(error) => return Err(failed(Operation::AppendEvents, &error)),
            }
        }
    }

    fn kept_snapshot(&self, id: &CommandStateSnapshotId) -> Result<Option<KeptValue>, EventStoreError> {
        let kept = self.log().kept(&self.snapshots().name(id.as_ref()));
        kept.map_err(|error| failed(Operation::ReadStream, &error))
    }
}

/// The JSON of a snapshot, which can be read again: one that could not would stand in the way of its command for good.
fn encode(snapshot: &CommandStateSnapshot) -> Result<Vec<u8>, EventStoreError> {
    let encoded = annals_adapter::json::encode(snapshot)
        .and_then(|json| serde_json::from_slice::<CommandStateSnapshot>(&json).map(|_| json));
    encoded.map_err(|error| match some_stream(snapshot) {
        Some(stream_id) => EventStoreError::SerializationFailed {
            stream_id: stream_id.clone(),
            detail: format!("the snapshot cannot be kept as JSON: {error}"),
        },
        None => failed(Operation::AppendEvents, &error),
    })
}

fn decode(kept: &KeptValue) -> Result<CommandStateSnapshot, EventStoreError> {
    serde_json::from_slice(&kept.value).map_err(|error| {
        failed(Operation::ReadStream, &format_args!("the kept value {:?} is no snapshot: {error}", kept.name))
    })
}

/// A stream that the snapshot is made of, to be named in an error: always the same one.
fn some_stream(snapshot: &CommandStateSnapshot) -> Option<&StreamId> {
    snapshot.stream_versions.keys().min_by_key(|stream_id| stream_id.as_str())
}
