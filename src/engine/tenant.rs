//! Tenants: a handle that names one with every write and sees nobody else's streams.
//!
//! Owns the scope, not the isolation of programs: whoever holds the log itself sees everything.

use crate::engine::builder::BatchBuilder;
use crate::engine::cursor::Cursor;
use crate::engine::log::EventLog;
use crate::engine::pending::{Appended, Pending};
use crate::engine::streams::{StreamInfo, info};
use crate::error::{AppendError, ReadError};
use crate::event::{Event, NewEvent};
use crate::index::streams::hash_of;
use crate::query::Query;
use crate::types::ExpectedVersion;

/// One tenant of a log: the same calls, on the tenant's streams.
///
/// A stream belongs to the tenant that was named when it was created, or else by the first append that names one, and to
/// that one for good. Here, a stream of another tenant, or of none, reads as if it did not exist; writing to another
/// tenant's is [`AppendError::ForeignTenant`], writing to one of none binds it. Stream ids are one namespace for the log:
/// two tenants cannot have streams of one name.
///
/// ```
/// # use annals::{AppendError, EventLog, ExpectedVersion, NewEvent};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = EventLog::in_memory()?;
/// let (shop, bank) = (log.tenant("shop"), log.tenant("bank"));
/// shop.append("order-1", ExpectedVersion::NoStream, &[NewEvent::new("OrderPlaced", "{}")])?;
/// assert_eq!(bank.stream_version("order-1"), 0);
/// let refused = bank.append("order-1", ExpectedVersion::Any, &[NewEvent::new("Stolen", "{}")]);
/// assert!(matches!(refused, Err(AppendError::ForeignTenant { .. })));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Tenant {
    log: EventLog,
    name: String,
}

impl EventLog {
    /// A handle to what belongs to one tenant (1..=2048 bytes). Nothing is looked up or written by this.
    pub fn tenant(&self, name: &str) -> Tenant {
        Tenant { log: self.clone(), name: name.to_owned() }
    }

    /// Names of tenants that have streams and are greater than `after`, in byte order, at most `limit`.
    pub fn list_tenants(&self, after: Option<&str>, limit: usize) -> Vec<String> {
        self.shared().ask(|view| view.index.tenant_names(after, limit))
    }
}

impl Tenant {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The log that it is part of.
    pub fn log(&self) -> &EventLog {
        &self.log
    }

    /// As [`EventLog::append`], for this tenant.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn append(
        &self,
        stream: &str,
        expected: ExpectedVersion,
        events: &[NewEvent<'_>],
    ) -> Result<Appended, AppendError> {
        self.log.append_as(Some(&self.name), stream, expected, events)
    }

    /// As [`EventLog::submit`], for this tenant.
    ///
    /// # Errors
    /// See [`EventLog::submit`].
    pub fn submit(
        &self,
        stream: &str,
        expected: ExpectedVersion,
        events: &[NewEvent<'_>],
    ) -> Result<Pending<Appended>, AppendError> {
        self.log.submit_as(Some(&self.name), stream, expected, events)
    }

    /// As [`EventLog::batch`], with this tenant named.
    pub fn batch(&self) -> BatchBuilder<'_> {
        self.log.batch().in_tenant(&self.name)
    }

    /// As [`EventLog::create_stream`], for this tenant.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn create_stream(
        &self,
        stream: &str,
        expected: ExpectedVersion,
        attributes: &[u8],
    ) -> Result<Appended, AppendError> {
        self.log.control(Some(&self.name), |request| request.create(stream, expected, attributes))
    }

    /// As [`EventLog::tombstone`], for this tenant.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn tombstone(&self, stream: &str, expected: ExpectedVersion) -> Result<Appended, AppendError> {
        self.log.control(Some(&self.name), |request| request.tombstone(stream, expected))
    }

    /// As [`EventLog::truncate_before`], for this tenant.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn truncate_before(
        &self,
        stream: &str,
        first: u64,
        expected: ExpectedVersion,
    ) -> Result<Appended, AppendError> {
        self.log.control(Some(&self.name), |request| request.truncate_before(stream, first, expected))
    }

    /// As [`EventLog::read_stream`]; empty for streams that are not this tenant's.
    pub fn read_stream(&self, stream: &str, after: u64) -> Cursor {
        self.read(&Query::stream(stream).after(after))
    }

    /// As [`EventLog::read_stream_backward`]; empty for streams that are not this tenant's.
    pub fn read_stream_backward(&self, stream: &str, before: u64) -> Cursor {
        self.read(&Query::stream(stream).before(before).backward())
    }

    /// As [`EventLog::read`], limited to this tenant's streams.
    pub fn read(&self, query: &Query) -> Cursor {
        self.log.read(&query.clone().of_tenant(&self.name))
    }

    /// As [`EventLog::fold_stream`]; folds nothing for streams that are not this tenant's.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn fold_stream<T>(
        &self,
        stream: &str,
        after: u64,
        init: T,
        mut f: impl FnMut(T, Event<'_>) -> T,
    ) -> Result<T, ReadError> {
        self.read_stream(stream, after).try_fold(init, |value, event| Ok(f(value, event)))
    }

    /// As [`EventLog::stream_version`]; 0 for streams that are not this tenant's.
    pub fn stream_version(&self, stream: &str) -> u64 {
        let state = self.log.shared().state(stream, hash_of(stream));
        let own = state.filter(|state| state.tenant.as_deref() == Some(&self.name));
        own.map_or(0, |state| state.version)
    }

    /// As [`EventLog::stream_info`]; `None` for streams that are not this tenant's.
    pub fn stream_info(&self, stream: &str) -> Option<StreamInfo> {
        self.log.stream_info(stream).filter(|info| info.tenant.as_ref() == Some(&self.name))
    }

    /// The tenant's streams, the last one created first, without the first `offset` of them, at most `limit`. A page costs
    /// the page, however many streams there are.
    pub fn list_streams(&self, offset: u64, limit: usize) -> Vec<StreamInfo> {
        self.log.shared().ask(|view| {
            let mut found = Vec::new();
            let each = |id: String| {
                found.extend(info(&view.index, &id)?);
                Ok(found.len() < limit)
            };
            if limit > 0 {
                view.index.newest_first(&self.name, offset, each)?;
            }
            Ok(found)
        })
    }

    /// How many streams the tenant has. O(1).
    pub fn stream_count(&self) -> u64 {
        self.log.shared().ask(|view| view.index.tenant_count(&self.name))
    }
}
