//! Tenants: their names, and the streams of each in the order of creation.
//!
//! Owns the numbers that tenants have while the log is open; 0 means none. A tenant shows once a stream is bound to it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// The number of no tenant.
pub(crate) const NO_TENANT: u32 = 0;

#[derive(Debug, Default)]
pub(crate) struct Tenants {
    by_name: BTreeMap<Arc<str>, u32>,
    /// By number - 1.
    tenants: Vec<Tenant>,
}

#[derive(Debug)]
struct Tenant {
    name: Arc<str>,
    /// Creation ordinal and stream number, ascending. A page of it costs the page, wherever it lies.
    streams: Vec<(u64, u32)>,
}

impl Tenants {
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn intern(&mut self, name: &str) -> u32 {
        if let Some(number) = self.find(name) {
            return number;
        }
        let name: Arc<str> = name.into();
        self.tenants.push(Tenant { name: name.clone(), streams: Vec::new() });
        let number = self.tenants.len() as u32;
        self.by_name.insert(name, number);
        number
    }

    pub(crate) fn name(&self, number: u32) -> Option<&str> {
        self.get(number).map(|tenant| &*tenant.name)
    }

    /// Binds a stream. Most streams are bound when they are created, which is an append to the list.
    pub(crate) fn bind(&mut self, number: u32, creation_ordinal: u64, stream: u32) {
        if let Some(tenant) = (number as usize).checked_sub(1).and_then(|at| self.tenants.get_mut(at)) {
            let at = tenant.streams.partition_point(|(ordinal, _)| *ordinal < creation_ordinal);
            tenant.streams.insert(at, (creation_ordinal, stream));
        }
    }

    /// Takes a stream out, for its ordinal to change.
    pub(crate) fn unbind(&mut self, number: u32, creation_ordinal: u64, stream: u32) {
        if let Some(tenant) = (number as usize).checked_sub(1).and_then(|at| self.tenants.get_mut(at))
            && let Ok(at) = tenant.streams.binary_search(&(creation_ordinal, stream))
        {
            tenant.streams.remove(at);
        }
    }

    /// How many streams a tenant has.
    pub(crate) fn stream_count(&self, number: u32) -> u64 {
        self.get(number).map_or(0, |tenant| tenant.streams.len() as u64)
    }

    /// A tenant's streams, the last one created first, without the first `offset` of them.
    pub(crate) fn newest_first(&self, number: u32, offset: u64) -> impl Iterator<Item = u32> {
        let streams = self.get(number).map_or(&[][..], |tenant| &tenant.streams);
        let left = streams.len().saturating_sub(usize::try_from(offset).unwrap_or(usize::MAX));
        streams[..left].iter().rev().map(|(_, stream)| *stream)
    }

    /// Names of tenants with streams that are greater than `after`, in byte order.
    pub(crate) fn page(&self, after: Option<&str>) -> impl Iterator<Item = &str> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_name
            .range::<str, _>((from, Bound::Unbounded))
            .filter(|(_, number)| self.stream_count(**number) > 0)
            .map(|(name, _)| &**name)
    }

    fn get(&self, number: u32) -> Option<&Tenant> {
        self.tenants.get((number as usize).checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_listed_by_creation_however_late_they_are_bound() {
        let mut tenants = Tenants::default();
        let (shop, bank) = (tenants.intern("shop"), tenants.intern("bank"));
        assert_eq!((tenants.intern("shop"), tenants.find("none")), (shop, None));
        tenants.bind(shop, 1, 10);
        tenants.bind(shop, 4, 13);
        tenants.bind(shop, 2, 11);
        let newest = |offset| tenants.newest_first(shop, offset).collect::<Vec<_>>();
        assert_eq!((newest(0), newest(2), newest(9)), (vec![13, 11, 10], vec![10], vec![]));
        assert_eq!((tenants.stream_count(shop), tenants.stream_count(bank)), (3, 0));
        assert_eq!(
            tenants.page(None).collect::<Vec<_>>(),
            ["shop"],
            "a tenant without streams does not show"
        );
        assert_eq!(tenants.page(Some("shop")).count(), 0);
        tenants.unbind(shop, 4, 13);
        tenants.bind(shop, 0, 13);
        assert_eq!(tenants.newest_first(shop, 0).collect::<Vec<_>>(), [11, 10, 13]);
        assert_eq!((tenants.name(shop), tenants.name(NO_TENANT)), (Some("shop"), None));
        assert_eq!(tenants.stream_count(NO_TENANT), 0);
    }
}
