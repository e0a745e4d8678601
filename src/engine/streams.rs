//! Streams as such: what is known of them, and the control records that make, cut and end them.
//!
//! Owns the calls; what the records mean is in the index.

use crate::engine::log::EventLog;
use crate::engine::pending::{self, Appended, Names};
use crate::engine::request::Request;
use crate::error::AppendError;
use crate::index::streams::hash_of;
use crate::index::{Index, Looked};
use crate::types::{Durability, ExpectedVersion};

/// What is known of a stream, as far as it is visible.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Its id.
    pub id: String,
    /// Its version: how many events were ever appended to it. 0 for a stream that is only registered.
    pub version: u64,
    /// The first version that is kept; 1 unless older events were removed on purpose.
    pub first_version: u64,
    /// Position of its last event in the log; 0 if there is none to be read.
    pub last_position: u64,
    /// It was ended for good and takes no more events.
    pub tombstoned: bool,
    /// The tenant it is bound to.
    pub tenant: Option<String>,
    /// What its creator attached to it.
    pub attributes: Vec<u8>,
    /// When it was registered, nanoseconds since 1970.
    pub created_nanos: u64,
    /// When an event was last appended, nanoseconds since 1970; 0 if never.
    pub last_append_nanos: u64,
    /// Its number in the order of creation, from 1.
    pub creation_ordinal: u64,
}

impl EventLog {
    /// Registers a stream without an event, and attaches up to 256 bytes of the caller's own to it, which
    /// [`EventLog::stream_info`] gives back. Blocks until that is durable. `created` in the answer tells whether the
    /// stream is new; one that was there keeps its attributes, and nothing is written. To insist on a new one, expect
    /// [`ExpectedVersion::NotRegistered`].
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn create_stream(
        &self,
        stream: &str,
        expected: ExpectedVersion,
        attributes: &[u8],
    ) -> Result<Appended, AppendError> {
        self.control(None, |request| request.create(stream, expected, attributes))
    }

    /// Ends a stream for good: appends and reads say `Gone` from then on, and its versions never restart. Blocks until
    /// that is durable. Its events stay in the global order until retention removes them.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn tombstone(&self, stream: &str, expected: ExpectedVersion) -> Result<Appended, AppendError> {
        self.control(None, |request| request.tombstone(stream, expected))
    }

    /// Removes the events of a stream with versions below `first`: reading them says
    /// [`Truncated`](crate::ReadError::Truncated) from then on. Blocks until that is durable. `first` may be at most one
    /// more than the version of the stream, which removes all; the version stays. Removing less than before changes nothing.
    /// The events stay in the global order until retention removes them.
    ///
    /// # Errors
    /// [`AppendError::BeyondEnd`] if the stream does not reach that far; else see [`AppendError`].
    pub fn truncate_before(
        &self,
        stream: &str,
        first: u64,
        expected: ExpectedVersion,
    ) -> Result<Appended, AppendError> {
        self.control(None, |request| request.truncate_before(stream, first, expected))
    }

    /// Writes one control record about one stream, as this tenant.
    pub(crate) fn control(
        &self,
        tenant: Option<&str>,
        add: impl FnOnce(&mut Request) -> Result<(), AppendError>,
    ) -> Result<Appended, AppendError> {
        let mut request = Request::new(&self.shared().options);
        if let Some(tenant) = tenant {
            request.name_tenant(tenant)?;
        }
        add(&mut request)?;
        request.seal()?;
        let (assigned, level) = self.shared().append(request, Durability::Synced)?;
        Ok(pending::outcome(self.shared(), assigned, Names::default(), level))
    }

    /// The version that a stream had at a position; 0 if it had none.
    pub(crate) fn version_at(&self, stream: &str, position: u64) -> u64 {
        let hash = hash_of(stream);
        self.shared().ask(|view| view.index.version_before(stream, hash, position.saturating_add(1)))
    }

    /// What is known of a stream; `None` if it is not registered. O(1).
    pub fn stream_info(&self, stream: &str) -> Option<StreamInfo> {
        self.shared().ask(|view| info(&view.index, stream))
    }

    /// Ids of registered streams that start with `prefix` and are greater than `after`, in byte order, at most `limit`. A
    /// page costs the page, wherever it lies. `after` need not exist.
    pub fn list_streams(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        self.shared().ask(|view| {
            let mut found = Vec::new();
            let each = |id| {
                found.push(id);
                Ok(found.len() < limit)
            };
            if limit > 0 {
                view.index.page(prefix, after, each)?;
            }
            Ok(found)
        })
    }

    /// The same with all that is known of each.
    pub fn list_stream_infos(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<StreamInfo> {
        self.shared().ask(|view| {
            let mut found = Vec::new();
            let each = |id: String| {
                found.extend(info(&view.index, &id)?);
                Ok(found.len() < limit)
            };
            if limit > 0 {
                view.index.page(prefix, after, each)?;
            }
            Ok(found)
        })
    }

    /// How many registered streams have ids that start with `prefix`. Costs a look at those that were registered lately, and
    /// next to nothing for all others.
    pub fn count_streams(&self, prefix: &str) -> u64 {
        self.shared().ask(|view| view.index.count(prefix))
    }
}

/// All that the index knows of a stream.
pub(crate) fn info(index: &Index, id: &str) -> Looked<Option<StreamInfo>> {
    let hash = hash_of(id);
    let Some(state) = index.state(id, hash)? else { return Ok(None) };
    let details = index.details(id, hash)?;
    Ok(Some(StreamInfo {
        id: id.to_owned(),
        version: state.version,
        first_version: state.first_kept,
        last_position: state.last_readable(),
        tombstoned: state.tombstoned,
        tenant: state.tenant.as_deref().map(str::to_owned),
        attributes: details.origin.attributes.into(),
        created_nanos: details.origin.created,
        last_append_nanos: details.last_append,
        creation_ordinal: state.creation_ordinal,
    }))
}
