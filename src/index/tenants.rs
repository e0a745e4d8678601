//! Tenants: which there are, and the streams of each in the order of creation.
//!
//! Owns the merge of the parts. Each part lists the streams that were bound in it, so none is listed twice. A tenant shows once a
//! stream is bound to it.

use crate::format::layer::Part;
use crate::index::{Index, Looked};
use crate::layer::Layer;
use std::collections::BTreeSet;
use std::ops::Bound;

/// More streams than this are not passed over one by one.
const PASS_OVER_MAX: u64 = 64;

/// The streams of a tenant in one part, by their place in the order of creation.
enum Own<'a> {
    Memory { part: &'a crate::index::overlay::Overlay, streams: &'a [(u64, u32)] },
    File { layer: &'a Layer, first: u64, count: u64 },
}

impl Own<'_> {
    fn len(&self) -> u64 {
        match self {
            Own::Memory { streams, .. } => streams.len() as u64,
            Own::File { count, .. } => *count,
        }
    }

    fn ordinal(&self, at: u64) -> Looked<u64> {
        match self {
            Own::Memory { streams, .. } => Ok(streams[at as usize].0),
            Own::File { layer, first, .. } => Ok(layer.binding(first + at)?.creation_ordinal),
        }
    }

    fn id(&self, at: u64) -> Looked<String> {
        match self {
            Own::Memory { part, streams } => Ok(part.entries[streams[at as usize].1 as usize].id.to_string()),
            Own::File { layer, first, .. } => layer.bound(layer.binding(first + at)?),
        }
    }

    /// How many of them were created before this one.
    fn before(&self, ordinal: u64) -> Looked<u64> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.ordinal(middle)? < ordinal {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

impl Index {
    fn bound(&self, tenant: &str) -> Looked<Vec<Own<'_>>> {
        let mut parts = Vec::new();
        for part in self.in_memory() {
            if let Some(streams) = part.bound.get(tenant) {
                parts.push(Own::Memory { part, streams });
            }
        }
        for layer in self.in_files() {
            let (first, count) = layer.bindings(tenant)?;
            if count > 0 {
                parts.push(Own::File { layer, first, count });
            }
        }
        Ok(parts)
    }

    /// How many streams a tenant has.
    pub(crate) fn tenant_count(&self, tenant: &str) -> Looked<u64> {
        Ok(self.bound(tenant)?.iter().map(Own::len).fold(0, u64::saturating_add))
    }

    /// Shows a tenant's streams, the last one created first, without the first `offset` of them, until `each` says that it has
    /// enough.
    pub(crate) fn newest_first(
        &self,
        tenant: &str,
        offset: u64,
        mut each: impl FnMut(String) -> Looked<bool>,
    ) -> Looked<()> {
        let parts = self.bound(tenant)?;
        // Of each part, how many are still to come: the newest of them is the last one.
        let mut left: Vec<u64> = parts.iter().map(Own::len).collect();
        let mut skip = offset;
        if skip > PASS_OVER_MAX {
            // The least ordinal that has no more than `offset` behind it, by halves.
            let (mut low, mut high) = (0, self.last_creation + 1);
            while low < high {
                let middle = low + (high - low) / 2;
                let mut behind = 0;
                for part in &parts {
                    behind += part.len() - part.before(middle)?;
                }
                if behind > offset {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            for (left, part) in left.iter_mut().zip(&parts) {
                let before = part.before(low)?;
                skip = skip.saturating_sub(*left - before);
                *left = before;
            }
        }
        loop {
            let mut newest: Option<(u64, usize)> = None;
            for (i, part) in parts.iter().enumerate() {
                if let Some(at) = left[i].checked_sub(1) {
                    newest = newest.max(Some((part.ordinal(at)?, i)));
                }
            }
            let Some((_, i)) = newest else { return Ok(()) };
            left[i] -= 1;
            if skip > 0 {
                skip -= 1;
                continue;
            }
            if !each(parts[i].id(left[i])?)? {
                return Ok(());
            }
        }
    }

    /// Names of tenants with streams that are greater than `after`, in byte order, at most `limit`.
    pub(crate) fn tenant_names(&self, after: Option<&str>, limit: usize) -> Looked<Vec<String>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut names: BTreeSet<String> = BTreeSet::new();
        for part in self.in_memory() {
            let own = part.bound.range::<str, _>((from, Bound::Unbounded));
            names.extend(own.take(limit).map(|(name, _)| name.to_string()));
        }
        for layer in self.in_files() {
            let mut at = match after {
                Some(after) => layer.tenant_from(after, true)?,
                None => 0,
            };
            let mut own = 0;
            while own < limit && at < layer.tenants() {
                let (name, bindings) = layer.tenant_at(at, |row| (row.name.to_owned(), row.bindings))?;
                if after.is_some_and(|after| *name <= *after) {
                    return Err(layer.disordered(Part::TenantOrder, at));
                }
                if bindings > 0 {
                    names.insert(name);
                    own += 1;
                }
                at += 1;
            }
        }
        Ok(names.into_iter().take(limit).collect())
    }
}
