//! Streams by id: their state, and what is known of them beside it.
//!
//! Owns the way down through the parts. The first part that speaks of a stream has its state; how it came into being stands
//! in the part in which it did, and in all rows of layers.

use crate::format::row::StreamRow;
use crate::index::overlay::{Entry, Origin};
use crate::index::state::StreamState;
use crate::index::{Index, Looked};
use crate::layer::Layer;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// The hash by which a stream, a kept value or a tenant is found.
#[inline]
pub(crate) fn hash_of(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

/// What is known of a stream, as far as its state does not say it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Details {
    pub(crate) origin: Origin,
    /// When an event was last appended; 0 if never.
    pub(crate) last_append: u64,
}

impl StreamState {
    /// But for its tenant.
    pub(crate) fn of(row: &StreamRow<'_>) -> StreamState {
        StreamState {
            version: row.version,
            first_kept: row.first_kept,
            last_position: row.last_position,
            creation_ordinal: row.creation_ordinal,
            registered: true,
            tombstoned: row.tombstoned,
            tenant: None,
        }
    }
}

impl Index {
    /// What the newest part in memory that speaks of a stream says.
    #[inline]
    pub(crate) fn entry(&self, id: &str, hash: u64) -> Option<&Entry> {
        let found = self.overlay.find(id, hash);
        found.or_else(|| self.frozen.iter().rev().find_map(|frozen| frozen.overlay.find(id, hash)))
    }

    /// The state of a registered stream.
    pub(crate) fn state(&self, id: &str, hash: u64) -> Looked<Option<StreamState>> {
        match self.entry(id, hash) {
            Some(entry) => Ok(Some(entry.state.clone())),
            None => state_in(&self.layers, id, hash),
        }
    }

    /// The tenant of a registered stream that is bound to one.
    pub(crate) fn is_of_tenant(&self, id: &str, tenant: &str) -> Looked<bool> {
        let hash = hash_of(id);
        if let Some(entry) = self.entry(id, hash) {
            return Ok(entry.state.tenant.as_deref() == Some(tenant));
        }
        for layer in self.in_files() {
            if let Some(number) = layer.stream(id, hash, |row| row.tenant)? {
                return Ok(layer.tenant_name(number)?.as_deref() == Some(tenant));
            }
        }
        Ok(false)
    }

    /// The rest of what is known of a registered stream.
    pub(crate) fn details(&self, id: &str, hash: u64) -> Looked<Details> {
        let mut details = Details::default();
        let mut origin = None;
        for entry in self.in_memory().filter_map(|part| part.find(id, hash)) {
            details.last_append = details.last_append.max(entry.last_append);
            origin = origin.or_else(|| entry.origin.clone());
        }
        if origin.is_none()
            && let Some(older) = details_in(&self.layers, id, hash)?
        {
            details.last_append = details.last_append.max(older.last_append);
            origin = Some(older.origin);
        }
        Ok(Details { origin: origin.unwrap_or_default(), ..details })
    }
}

/// How many streams are looked for together: enough to keep memory busy, and no more than the nearest cache holds.
pub(crate) const TOGETHER: usize = 32;

/// Tells the processor which few streams will be looked for in layers: their buckets first, then the rows that those lead to.
pub(crate) fn prefetch_in(layers: &[Arc<Layer>], hashes: impl Iterator<Item = u64> + Clone) {
    hashes.clone().for_each(|hash| layers.iter().for_each(|layer| layer.prefetch(hash)));
    hashes.for_each(|hash| layers.iter().for_each(|layer| layer.prefetch_row(hash)));
}

/// The state of a stream that layers speak of.
pub(crate) fn state_in(layers: &[Arc<Layer>], id: &str, hash: u64) -> Looked<Option<StreamState>> {
    layers.iter().for_each(|layer| layer.prefetch(hash));
    for layer in layers.iter().rev() {
        let found = layer.stream(id, hash, |row| (StreamState::of(row), row.tenant))?;
        if let Some((state, tenant)) = found {
            return Ok(Some(StreamState { tenant: layer.tenant_name(tenant)?.map(Into::into), ..state }));
        }
    }
    Ok(None)
}

/// The version of a stream that layers speak of. Whoever asks has prefetched.
#[inline]
pub(crate) fn version_in(layers: &[Arc<Layer>], id: &str, hash: u64) -> Looked<u64> {
    for layer in layers.iter().rev() {
        if let Some(version) = layer.stream(id, hash, |row| row.version)? {
            return Ok(version);
        }
    }
    Ok(0)
}

/// The rest of what layers know of a stream.
pub(crate) fn details_in(layers: &[Arc<Layer>], id: &str, hash: u64) -> Looked<Option<Details>> {
    let details = |row: &StreamRow<'_>| Details {
        origin: Origin { created: row.created, attributes: row.attributes.into() },
        last_append: row.last_append,
    };
    for layer in layers.iter().rev() {
        if let Some(details) = layer.stream(id, hash, details)? {
            return Ok(Some(details));
        }
    }
    Ok(None)
}
