//! The position of the store's last event, without looking at the log again and again.
//!
//! Owns what was seen so far. Others may write most of the log: each part of it is passed over once.

use crate::store::EventCoreStore;
use annals::{Query, ReadError};
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

/// How much is passed over before others have their turn: events, or runs of streams that are not the store's.
const PASSED_AT_ONCE: u64 = 8192;

/// What the clones of a store know together. Both only grow, and `last` is written first: it is the position of the last event
/// up to `looked_at`, or of a later one.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    last: AtomicU64,
    looked_at: AtomicU64,
}

impl EventCoreStore {
    /// The position of the store's last event; 0 if it has none.
    ///
    /// Looks backward from the end of the log, so that it ends at the first event of the store's that it meets, and not behind
    /// what it has looked at before.
    pub(crate) async fn last_own_position(&self) -> Result<u64, ReadError> {
        let watermark = self.watermark();
        let looked_at = watermark.looked_at.load(Ordering::Acquire);
        let end = self.log().last_position();
        let own = Query::prefix(self.streams().prefix())
            .after(looked_at)
            .backward()
            .limit(1)
            .budget(PASSED_AT_ONCE);
        let mut before = end + 1;
        let found = loop {
            let mut events = self.log().read(&own.clone().before(before));
            if let Some(event) = events.next()? {
                break event.position();
            }
            match events.stopped_at() {
                Some(place) => before = place,
                None => break 0,
            }
            give_way().await;
        };
        let last = watermark.last.fetch_max(found, Ordering::AcqRel).max(found);
        watermark.looked_at.fetch_max(end, Ordering::AcqRel);
        Ok(last)
    }
}

/// Lets the executor's other tasks go first, once.
async fn give_way() {
    let mut given = false;
    poll_fn(|context| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
