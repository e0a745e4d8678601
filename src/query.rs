//! Queries: which events, from where, in which direction, and how much work may be spent on finding them.
//!
//! Owns the description only. The same one is read once or subscribed to.

/// Which events to read ([`EventLog::read`](crate::EventLog::read)) or to follow
/// ([`EventLog::subscribe`](crate::EventLog::subscribe)).
///
/// ```
/// # use annals::{EventLog, ExpectedVersion, NewEvent, Query};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = EventLog::in_memory()?;
/// for (stream, kind) in [("order-1", "Placed"), ("stock-7", "Reserved"), ("order-2", "Placed"), ("order-1", "Paid")] {
///     log.append(stream, ExpectedVersion::Any, &[NewEvent::new(kind, "{}")])?;
/// }
/// let placed = log.read(&Query::prefix("order-").of_types(["Placed"]));
/// assert_eq!(placed.into_iter().count(), 2);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Query {
    pub(crate) scope: Scope,
    pub(crate) types: Vec<Box<str>>,
    pub(crate) tenant: Option<Box<str>>,
    pub(crate) after: u64,
    pub(crate) from_now: bool,
    pub(crate) until_now: bool,
    pub(crate) before: u64,
    pub(crate) backward: bool,
    pub(crate) limit: u64,
    pub(crate) budget: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    Everything,
    Stream(Box<str>),
    Prefix(Box<str>),
}

impl Query {
    fn new(scope: Scope) -> Query {
        Query {
            scope,
            types: Vec::new(),
            tenant: None,
            after: 0,
            from_now: false,
            until_now: false,
            before: u64::MAX,
            backward: false,
            limit: u64::MAX,
            budget: u64::MAX,
        }
    }

    /// All events, in the one global order. Places are positions.
    pub fn everything() -> Query {
        Query::new(Scope::Everything)
    }

    /// The events of one stream. Places are versions.
    pub fn stream(id: &str) -> Query {
        Query::new(Scope::Stream(id.into()))
    }

    /// The events of all streams whose ids start with `prefix`, in the global order. Places are positions. When few streams
    /// match, only their events are looked at; otherwise what lies between them is passed over, run by run.
    pub fn prefix(prefix: &str) -> Query {
        Query::new(if prefix.is_empty() { Scope::Everything } else { Scope::Prefix(prefix.into()) })
    }

    /// Only events of these types. Without any: of all types.
    pub fn of_types<S: AsRef<str>>(mut self, types: impl IntoIterator<Item = S>) -> Query {
        self.types.extend(types.into_iter().map(|event_type| event_type.as_ref().into()));
        self
    }

    /// Only streams that are bound to this tenant when their events are looked at: a subscription does not go back to events of
    /// streams that are bound later.
    pub fn of_tenant(mut self, tenant: &str) -> Query {
        self.tenant = Some(tenant.into());
        self
    }

    /// Only events behind this place. Default 0: from the beginning.
    pub fn after(mut self, place: u64) -> Query {
        (self.after, self.from_now) = (place, false);
        self
    }

    /// Only events that are not there yet. When "now" is, is fixed by the call that this query is handed to.
    pub fn from_now(mut self) -> Query {
        self.from_now = true;
        self
    }

    /// Only events that are there already: a subscription ends when it has given those, as a cursor does anyway. When "now" is,
    /// is fixed by the call that this query is handed to.
    pub fn until_now(mut self) -> Query {
        self.until_now = true;
        self
    }

    /// Only events before this place. Default [`u64::MAX`]: to the end. A subscription ends when it comes to it.
    pub fn before(mut self, place: u64) -> Query {
        self.before = place;
        self
    }

    /// The last event first. For reading only; a subscription goes forward.
    pub fn backward(mut self) -> Query {
        self.backward = true;
        self
    }

    /// At most so many events, counting what matches.
    pub fn limit(mut self, events: u64) -> Query {
        self.limit = events;
        self
    }

    /// Look at so many events at most, matching or not; a run of events of a stream that does not match counts as one. A
    /// cursor that has used it up ends, and [`Cursor::stopped_at`](crate::Cursor::stopped_at) says where to go on. A
    /// subscription takes no notice of it, and gives way to other tasks by itself.
    pub fn budget(mut self, events: u64) -> Query {
        self.budget = events;
        self
    }

    /// Whether each event of the scope matches, and all are wanted.
    pub(crate) fn is_plain(&self) -> bool {
        self.scope_is_plain() && self.types.is_empty() && self.limit == u64::MAX && self.budget == u64::MAX
    }

    /// Whether every stream that a source comes to matches.
    pub(crate) fn scope_is_plain(&self) -> bool {
        matches!(self.scope, Scope::Stream(_)) || self.scope == Scope::Everything && self.tenant.is_none()
    }
}
