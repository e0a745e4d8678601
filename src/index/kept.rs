//! Kept values by name: where they stand, pages and counts.
//!
//! Owns the way down through the parts. The first part that speaks of a name is right, also when it says that the value is
//! gone. Holds names and places, never a value: opening a log with a million overwritten values reads none of them.

use crate::format::layer::Part;
use crate::format::row::KeptRow;
use crate::index::listing::{Order, is_before, page_from};
use crate::index::overlay::{KeptEntry, KeptPlace};
use crate::index::streams::hash_of;
use crate::index::{Index, Looked};
use crate::layer::Layer;
use std::iter::Peekable;
use std::ops::Bound;

fn place_of(row: &KeptRow<'_>) -> Option<KeptPlace> {
    row.has_value.then_some(KeptPlace {
        revision: row.revision,
        offset: row.offset,
        segment: row.segment,
        len: row.len,
        id_checksum: row.id_checksum,
    })
}

/// The names of one part, in order, from some place on, each with what the part says.
enum Names<'a> {
    Memory(Peekable<Box<dyn Iterator<Item = (&'a str, &'a KeptEntry)> + 'a>>),
    File { layer: &'a Layer, next: u64, head: Option<(String, Option<KeptPlace>)>, order: Order<'a> },
}

impl Names<'_> {
    fn peek(&mut self) -> Looked<Option<&str>> {
        match self {
            Names::Memory(names) => Ok(names.peek().map(|(name, _)| *name)),
            Names::File { layer, next, head, order } => {
                if head.is_none() && *next < layer.kept_count() {
                    let (name, place) = layer.kept_at(*next, |row| (row.name.to_owned(), place_of(row)))?;
                    if !order.has_next(&name) {
                        return Err(layer.disordered(Part::KeptOrder, *next));
                    }
                    *head = Some((name, place));
                }
                Ok(head.as_ref().map(|(name, _)| &**name))
            }
        }
    }

    fn take(&mut self) -> Option<(String, Option<KeptPlace>)> {
        match self {
            Names::Memory(names) => names.next().map(|(name, entry)| (name.to_owned(), entry.place)),
            Names::File { next, head, order, .. } => {
                *next += 1;
                head.take().inspect(|(name, _)| order.pass(name))
            }
        }
    }
}

impl Index {
    /// Where the value of a name stands, if there is one.
    pub(crate) fn kept(&self, name: &str) -> Looked<Option<KeptPlace>> {
        if let Some(entry) = self.in_memory().find_map(|part| part.kept.get(name)) {
            return Ok(entry.place);
        }
        if self.layers.is_empty() {
            return Ok(None);
        }
        let hash = hash_of(name);
        for layer in self.in_files() {
            if let Some(place) = layer.kept(name, hash, place_of)? {
                return Ok(place);
            }
        }
        Ok(None)
    }

    /// Shows names with values that start with `prefix` and are greater than `after`, in byte order, until `each` says that
    /// it has enough.
    pub(crate) fn kept_page(
        &self,
        prefix: &str,
        after: Option<&str>,
        mut each: impl FnMut(String, KeptPlace) -> bool,
    ) -> Looked<()> {
        let from = page_from(prefix, after);
        // The newest part first: of those that speak of a name, it comes first.
        let mut parts: Vec<Names<'_>> = Vec::new();
        for part in self.in_memory().filter(|part| !part.kept.is_empty()) {
            let names: Box<dyn Iterator<Item = (&str, &KeptEntry)>> = Box::new(part.kept_from(from));
            parts.push(Names::Memory(names.peekable()));
        }
        for layer in self.in_files() {
            let next = layer.kept_from(|name| is_before(name, from))?;
            parts.push(Names::File { layer, next, head: None, order: Order::new(from) });
        }
        loop {
            let mut first: Option<(usize, &str)> = None;
            for (i, part) in parts.iter_mut().enumerate() {
                if let Some(name) = part.peek()?
                    && first.is_none_or(|(_, other)| name < other)
                {
                    first = Some((i, name));
                }
            }
            let Some((i, name)) = first else { return Ok(()) };
            if !name.starts_with(prefix) {
                return Ok(());
            }
            let Some((name, place)) = parts[i].take() else { return Ok(()) };
            for part in &mut parts[i + 1..] {
                if part.peek()? == Some(&*name) {
                    part.take();
                }
            }
            if let Some(place) = place
                && !each(name, place)
            {
                return Ok(());
            }
        }
    }

    /// How many names with values start with `prefix`. Costs a look at those that are in memory only.
    pub(crate) fn kept_count(&self, prefix: &str) -> Looked<u64> {
        let mut count = 0i64;
        for part in self.in_memory() {
            let names = part.kept_from(Bound::Included(prefix));
            let own = names.take_while(|(name, _)| name.starts_with(prefix));
            count +=
                own.map(|(_, kept)| i64::from(kept.place.is_some()) - i64::from(kept.had_value)).sum::<i64>();
        }
        for layer in self.in_files() {
            let first = layer.kept_from(|name| name < prefix)?;
            let behind = layer.kept_from(|name| name < prefix || name.starts_with(prefix))?;
            let own = layer.kept_balance(behind)?.saturating_sub(layer.kept_balance(first)?);
            count = count.saturating_add(own);
        }
        Ok(u64::try_from(count).unwrap_or(0))
    }
}
