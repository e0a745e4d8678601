//! [`CheckpointStore`]: how far projections have come; kept values, one for each subscription.
//!
//! Owns the text of a checkpoint: the UUID, hyphenated. It need not be a position of this store.

use crate::error::StoreError;
use crate::store::EventCoreStore;
use annals::Uuid;
use eventcore_types::{CheckpointStore, StreamPosition};

impl CheckpointStore for EventCoreStore {
    type Error = StoreError;

    /// The position that was saved last under this name, or `None`.
    ///
    /// # Errors
    /// [`StoreError::Read`], or [`StoreError::MalformedCheckpoint`] if somebody else has kept something under that name.
    async fn load(&self, name: &str) -> Result<Option<StreamPosition>, StoreError> {
        let Some(kept) = self.log().kept(&self.checkpoints().name(name))? else { return Ok(None) };
        match Uuid::try_parse_ascii(&kept.value) {
            Ok(position) => Ok(Some(StreamPosition::new(position))),
            Err(_) => Err(StoreError::MalformedCheckpoint {
                name: name.to_owned(),
                found: String::from_utf8_lossy(&kept.value).into_owned(),
            }),
        }
    }

    /// Replaces the position of this name, by a later or an earlier one. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Write`]: too large, if the name is longer than some 2,000 bytes.
    async fn save(&self, name: &str, position: StreamPosition) -> Result<(), StoreError> {
        let text = position.into_inner().to_string();
        self.batch().keep(&self.checkpoints().name(name), text).submit()?.await?;
        Ok(())
    }
}
