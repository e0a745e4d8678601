//! The parties of an append: whom it writes to or checks, each named once however often it occurs.
//!
//! Owns the rule that one append makes one demand of each. Used for streams and for kept values, which have names of their own.

use crate::index::streams::hash_of;
use hashbrown::HashTable;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Party<C> {
    /// Where its name stands among the names, and how long it is.
    name: (u32, u32),
    pub(crate) hash: u64,
    pub(crate) condition: C,
    /// The tenant that the append names for it. Kept values have none.
    pub(crate) tenant: Option<Arc<str>>,
    /// Whether the append writes to it; if not, it is only checked.
    pub(crate) written: bool,
    /// Whether something that is written names the tenant: only that is stored, and binds.
    pub(crate) binds: bool,
    /// Whether the append ends it: nothing more of it may follow.
    pub(crate) ended: bool,
}

/// What cannot be demanded of one party at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Contradiction {
    Condition,
    Tenant,
}

#[derive(Debug)]
pub(crate) struct Parties<C> {
    parties: Vec<Party<C>>,
    /// All names, one behind the other.
    names: String,
    /// By hash of the id; filled from the second party on.
    by_id: HashTable<u32>,
}

impl<C> Default for Parties<C> {
    fn default() -> Self {
        Parties { parties: Vec::new(), names: String::new(), by_id: HashTable::new() }
    }
}

impl<C: PartialEq> Parties<C> {
    /// The party with this id; a new one if there is none.
    pub(crate) fn add(
        &mut self,
        id: &str,
        condition: C,
        tenant: Option<&str>,
        written: bool,
    ) -> Result<u32, Contradiction> {
        let hash = hash_of(id);
        if let Some(known) = self.find(id, hash) {
            let party = &mut self.parties[known as usize];
            if party.condition != condition {
                return Err(Contradiction::Condition);
            }
            match (&party.tenant, tenant) {
                (Some(bound), Some(named)) if **bound != *named => return Err(Contradiction::Tenant),
                (None, Some(named)) => party.tenant = Some(named.into()),
                _ => {}
            }
            party.written |= written;
            party.binds |= written && tenant.is_some();
            return Ok(known);
        }
        let binds = written && tenant.is_some();
        self.parties.push(Party {
            name: (self.names.len() as u32, id.len() as u32),
            hash,
            condition,
            tenant: tenant.map(Into::into),
            written,
            ended: false,
            binds,
        });
        self.names.push_str(id);
        // A lone party needs no table; with the second one, both go in.
        let from = if self.parties.len() == 2 { 0 } else { self.parties.len() - 1 };
        if self.parties.len() > 1 {
            for i in from..self.parties.len() {
                let parties = &self.parties;
                let hash = |i: &u32| parties[*i as usize].hash;
                self.by_id.insert_unique(hash(&(i as u32)), i as u32, hash);
            }
        }
        Ok(self.parties.len() as u32 - 1)
    }

    /// The append ends this one.
    pub(crate) fn end(&mut self, party: u32) {
        if let Some(party) = self.parties.get_mut(party as usize) {
            party.ended = true;
        }
    }

    fn find(&self, id: &str, hash: u64) -> Option<u32> {
        match &self.parties[..] {
            [] => None,
            [one] => (self.id(one) == id).then_some(0),
            all => self.by_id.find(hash, |i| self.id(&all[*i as usize]) == id).copied(),
        }
    }
}

impl<C> Parties<C> {
    /// What a party is called.
    pub(crate) fn id(&self, party: &Party<C>) -> &str {
        let (at, len) = party.name;
        self.names.get(at as usize..(at + len) as usize).unwrap_or_default()
    }

    /// How many it has memory for.
    pub(crate) fn capacity(&self) -> usize {
        self.parties.capacity()
    }

    /// Forgets them all, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.parties.clear();
        self.names.clear();
        self.by_id.clear();
    }
}

impl<C> std::ops::Deref for Parties<C> {
    type Target = [Party<C>];

    fn deref(&self) -> &[Party<C>] {
        &self.parties
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_is_named_once_with_one_demand_and_one_tenant() {
        let mut parties = Parties::default();
        let ids: Vec<_> = ["a", "b", "a", "c", "b"].map(|id| parties.add(id, 3, None, false).unwrap()).into();
        assert_eq!((ids, parties.len()), (vec![0, 1, 0, 2, 1], 3));
        assert_eq!(parties.add("b", 4, None, true), Err(Contradiction::Condition));
        assert_eq!(parties.add("b", 3, Some("t"), true), Ok(1));
        assert_eq!(parties.add("b", 3, None, false), Ok(1), "naming none agrees with any");
        assert_eq!(parties.add("b", 3, Some("u"), true), Err(Contradiction::Tenant));
        assert_eq!(
            (parties[1].tenant.as_deref(), parties[1].written, parties[0].written),
            (Some("t"), true, false)
        );
    }
}
