//! Checkpoints of projections of this version.
//!
//! Compiled against each version of mako-engine.

use super::events::check;
use super::mako::error::EngineError;
use super::mako::ids::StreamId;
use super::mako::projection::{GlobalProjectionCheckpoint, ProjectionCheckpointStore};
use crate::store::MakoStore;

/// Durable when they return, and in one commit, unless more than 10,000 cursors have changed: then in several.
impl ProjectionCheckpointStore for MakoStore {
    async fn load_projection_checkpoint(
        &self,
        name: &str,
    ) -> Result<GlobalProjectionCheckpoint, EngineError> {
        let mut checkpoint = GlobalProjectionCheckpoint::new();
        for (stream, cursor) in self.cursors(name).await? {
            checkpoint.cursors.insert(StreamId::try_new(stream)?, cursor);
        }
        Ok(checkpoint)
    }

    /// Writes the cursors that are not the same already; those of streams that are not among them are removed.
    async fn save_projection_checkpoint(
        &self,
        name: &str,
        checkpoint: &GlobalProjectionCheckpoint,
    ) -> Result<(), EngineError> {
        checkpoint.cursors.keys().try_for_each(check)?;
        let cursors = checkpoint.cursors.iter().map(|(stream, cursor)| (stream.as_str(), *cursor));
        Ok(self.replace_cursors(name, cursors).await?)
    }

    /// Writes the cursors that advanced, and looks at no other.
    async fn advance_projection_cursors(
        &self,
        name: &str,
        previous: &GlobalProjectionCheckpoint,
        current: &GlobalProjectionCheckpoint,
    ) -> Result<(), EngineError> {
        current.cursors.keys().try_for_each(check)?;
        let advanced =
            current.cursors.iter().filter(|(stream, cursor)| **cursor > previous.cursor_for(stream));
        let advanced = advanced.map(|(stream, cursor)| (stream.as_str().to_owned(), Some(*cursor)));
        Ok(self.write_cursors(name, advanced).await?)
    }
}
