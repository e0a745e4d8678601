//! Filters: what a cursor passes over, and how much of that it may do.
//!
//! Owns the decisions and their accounts; the cursor moves. Sources that yield only what matches need no filter by stream.

use crate::engine::shared::Shared;
use crate::error::ReadError;
use crate::query::{Query, Scope};

#[derive(Debug)]
pub(crate) struct Filter {
    /// Streams must begin with this; empty if all do.
    prefix: Box<str>,
    /// Streams must be this tenant's.
    tenant: Option<Box<str>>,
    /// Types that match; none means all.
    types: Box<[Box<str>]>,
    limit_left: u64,
    budget_left: u64,
    /// The last place that was looked at.
    place: u64,
    /// Ended for lack of limit or budget, not of events.
    stopped: bool,
}

impl Filter {
    /// `by_stream`: whether the source comes to streams that do not match.
    pub(crate) fn new(query: &Query, by_stream: bool) -> Filter {
        let prefix = match &query.scope {
            Scope::Prefix(prefix) if by_stream => prefix.clone(),
            _ => Box::default(),
        };
        Filter {
            prefix,
            tenant: query.tenant.clone().filter(|_| by_stream),
            types: query.types.clone().into(),
            limit_left: query.limit,
            budget_left: query.budget,
            place: if query.backward { query.before } else { query.after },
            stopped: false,
        }
    }

    /// Whether a stream's events are wanted.
    pub(crate) fn wants_stream(&self, id: &[u8], shared: &Shared) -> Result<bool, ReadError> {
        if !id.starts_with(self.prefix.as_bytes()) {
            return Ok(false);
        }
        let Some(tenant) = &self.tenant else { return Ok(true) };
        match std::str::from_utf8(id) {
            Ok(id) => shared.ask_whole(|view| view.index.is_of_tenant(id, tenant)),
            Err(_) => Ok(false),
        }
    }

    /// Whether only some types are wanted.
    pub(crate) fn has_types(&self) -> bool {
        !self.types.is_empty()
    }

    pub(crate) fn wants_type(&self, event_type: &[u8]) -> bool {
        self.types.is_empty() || self.types.iter().any(|wanted| wanted.as_bytes() == event_type)
    }

    /// Whether there is work left to be spent; if not, the cursor stops here.
    pub(crate) fn may_go_on(&mut self) -> bool {
        self.stopped |= self.limit_left == 0 || self.budget_left == 0;
        !self.stopped
    }

    /// Something was looked at, up to this place.
    pub(crate) fn looked_at(&mut self, place: u64) {
        self.budget_left = self.budget_left.saturating_sub(1);
        self.place = place;
    }

    pub(crate) fn matched(&mut self) {
        self.limit_left = self.limit_left.saturating_sub(1);
    }

    pub(crate) fn stopped_at(&self) -> Option<u64> {
        (self.stopped || self.limit_left == 0 || self.budget_left == 0).then_some(self.place)
    }
}
