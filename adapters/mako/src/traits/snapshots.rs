//! Snapshots of this version.
//!
//! Compiled against each version of mako-engine.

use super::mako::error::EngineError;
use super::mako::ids::StreamId;
use super::mako::snapshot::{Snapshot, SnapshotStore};
use crate::failure::Part;
use crate::store::MakoStore;

const PART: Part = Part::Snapshots;

/// Durable when it returns. The last one that was saved is the one that is loaded, whatever version it claims.
impl SnapshotStore for MakoStore {
    async fn save(&self, snapshot: &Snapshot) -> Result<(), EngineError> {
        let name = self.places.snapshots.name(snapshot.stream_id.as_str());
        Ok(self.set_value(PART, name, snapshot).await?)
    }

    async fn load(&self, stream_id: &StreamId) -> Result<Option<Snapshot>, EngineError> {
        Ok(self.value(PART, &self.places.snapshots.name(stream_id.as_str()))?)
    }
}
