//! [`ProjectorCoordinator`]: one leader for each projector, by a claim in the log.
//!
//! Owns nothing on disk. A log has one process at a time, so a claim in that process is enough; it ends with it, too.

use crate::error::StoreError;
use crate::store::EventCoreStore;
use annals::Claim;
use eventcore_types::ProjectorCoordinator;

/// The leadership of one projector, until it is dropped. Does not keep the log open.
#[must_use = "the leadership ends when this is dropped"]
#[derive(Debug)]
pub struct Leadership {
    _claim: Claim,
}

impl ProjectorCoordinator for EventCoreStore {
    type Error = StoreError;
    type Guard = Leadership;

    /// Leads this projector, or is told at once that somebody else does: through this handle or any other on the same log.
    ///
    /// # Errors
    /// [`StoreError::Led`].
    async fn try_acquire(&self, subscription_name: &str) -> Result<Leadership, StoreError> {
        match self.log().try_claim(&self.projectors().name(subscription_name)) {
            Some(claim) => Ok(Leadership { _claim: claim }),
            None => Err(StoreError::Led(subscription_name.to_owned())),
        }
    }
}
