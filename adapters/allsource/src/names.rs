//! How the names of allsource stand in a log.
//!
//! Owns the branches below one namespace. Never reads or writes anything.

use allsource_core::domain::value_objects::{EntityId, TenantId};
use annals_adapter::Names;

/// The branches of one namespace.
#[derive(Debug)]
pub(crate) struct Branches {
    /// Streams of the log, one for each entity.
    pub(crate) streams: Names,
    /// Tenants of the log.
    tenants: Names,
    /// Kept values: in which partition a stream is.
    partitions: Names,
}

impl Branches {
    pub(crate) fn new(namespace: &str) -> Branches {
        let root = Names::new(namespace);
        Branches { streams: root.under("stream"), partitions: root.under("partition"), tenants: root }
    }

    pub(crate) fn stream(&self, entity: &EntityId) -> String {
        self.streams.name(entity.as_str())
    }

    pub(crate) fn tenant(&self, tenant: &TenantId) -> String {
        self.tenants.name(tenant.as_str())
    }

    /// The streams of one partition: their ids are the last parts.
    pub(crate) fn partition(&self, id: u32) -> Names {
        self.partitions.under(&id.to_string())
    }
}
