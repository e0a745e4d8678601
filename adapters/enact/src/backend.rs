//! The log below a store: whether it is well, and what becomes of it at shutdown.
//!
//! Owns what `StorageBackend` asks of both stores. Must never block an executor's thread.

use crate::error::Error;
use annals::{EventLog, LogState, Query, ReadError, RecordedEvent, Subscription};
use futures_core::Stream;
use std::future::poll_fn;
use std::pin::Pin;

/// What the stores call themselves.
pub(crate) const NAME: &str = "annals";

/// A log, and whether it is closed when the store is shut down.
#[derive(Debug, Clone)]
pub(crate) struct Backend {
    pub(crate) log: EventLog,
    pub(crate) closes_log: bool,
}

impl Backend {
    pub(crate) fn shared(log: EventLog) -> Backend {
        Backend { log, closes_log: false }
    }

    pub(crate) fn health(&self) -> Result<(), Error> {
        let status = self.log.status();
        if status.state == LogState::Open && status.disk_full.is_none() {
            return Ok(());
        }
        Err(Error::NotReady(Box::new(status)))
    }

    pub(crate) async fn shutdown(&self) -> Result<(), Error> {
        if !self.closes_log {
            return self.flush().await;
        }
        let log = self.log.clone();
        let closed = tokio::task::spawn_blocking(move || log.close()).await;
        Ok(closed.map_err(|error| Error::Interrupted(error.into()))??)
    }

    /// Waits until everything that was numbered before is durable. Others go on using the log.
    async fn flush(&self) -> Result<(), Error> {
        let status = self.log.status();
        if status.appended > status.durable {
            let last = Query::everything().after(status.appended - 1).before(status.appended + 1);
            next(&mut self.log.subscribe(&last)).await.transpose()?;
        }
        Ok(())
    }
}

/// The next event, waited for in a way that leaves the thread to others.
pub(crate) async fn next(events: &mut Subscription) -> Option<Result<RecordedEvent, ReadError>> {
    poll_fn(|context| Pin::new(&mut *events).poll_next(context)).await
}
