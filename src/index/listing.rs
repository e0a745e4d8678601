//! Streams by the order of their ids: pages and counts.
//!
//! Owns the merge of the parts. Each part lists the streams that were registered in it, so none is listed twice.

use crate::format::layer::Part;
use crate::index::{Index, Looked};
use crate::layer::Layer;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

/// The ids of one part, in order, from some place on.
enum Ids<'a> {
    Memory(Peekable<Box<dyn Iterator<Item = &'a Arc<str>> + 'a>>),
    File { layer: &'a Layer, next: u64, head: Option<String>, order: Order<'a> },
}

impl Ids<'_> {
    fn peek(&mut self) -> Looked<Option<&str>> {
        match self {
            Ids::Memory(ids) => Ok(ids.peek().map(|id| &***id)),
            Ids::File { layer, next, head, order } => {
                if head.is_none() && *next < layer.registered() {
                    let id = layer.registered_at(*next, |row| row.id.to_owned())?;
                    if !order.has_next(&id) {
                        return Err(layer.disordered(Part::StreamOrder, *next));
                    }
                    *head = Some(id);
                }
                Ok(head.as_deref())
            }
        }
    }

    fn take(&mut self) -> Option<String> {
        match self {
            Ids::Memory(ids) => ids.next().map(|id| id.to_string()),
            Ids::File { next, head, order, .. } => {
                *next += 1;
                head.take().inspect(|id| order.pass(id))
            }
        }
    }
}

/// How names of a file have to follow each other: whoever turns pages by the last name of each would go round in circles
/// otherwise.
pub(crate) struct Order<'a> {
    from: Bound<&'a str>,
    /// The last one that was passed.
    last: Option<String>,
}

impl<'a> Order<'a> {
    pub(crate) fn new(from: Bound<&'a str>) -> Order<'a> {
        Order { from, last: None }
    }

    /// Whether a name may be the next one.
    pub(crate) fn has_next(&self, name: &str) -> bool {
        !is_before(name, self.last.as_deref().map_or(self.from, Bound::Excluded))
    }

    pub(crate) fn pass(&mut self, name: &str) {
        let last = self.last.get_or_insert_default();
        last.clear();
        last.push_str(name);
    }
}

/// Where a page begins: at a prefix, or behind an id that is greater.
pub(crate) fn page_from<'a>(prefix: &'a str, after: Option<&'a str>) -> Bound<&'a str> {
    match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    }
}

/// Whether a name stands before the place where a page begins.
pub(crate) fn is_before(name: &str, from: Bound<&str>) -> bool {
    match from {
        Bound::Included(first) => name < first,
        Bound::Excluded(last) => name <= last,
        Bound::Unbounded => false,
    }
}

impl Index {
    /// Shows registered streams whose ids start with `prefix` and are greater than `after`, in byte order, until `each` says
    /// that it has enough.
    pub(crate) fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        mut each: impl FnMut(String) -> Looked<bool>,
    ) -> Looked<()> {
        let from = page_from(prefix, after);
        let mut parts: Vec<Ids<'_>> = Vec::new();
        for part in self.in_memory().filter(|part| !part.registered.is_empty()) {
            let ids: Box<dyn Iterator<Item = &Arc<str>>> = Box::new(part.registered_from(from));
            parts.push(Ids::Memory(ids.peekable()));
        }
        for layer in self.in_files() {
            let next = layer.registered_from(|id| is_before(id, from))?;
            parts.push(Ids::File { layer, next, head: None, order: Order::new(from) });
        }
        loop {
            let mut first: Option<(usize, &str)> = None;
            for (i, part) in parts.iter_mut().enumerate() {
                if let Some(id) = part.peek()?
                    && first.is_none_or(|(_, other)| id < other)
                {
                    first = Some((i, id));
                }
            }
            let Some((i, id)) = first else { return Ok(()) };
            if !id.starts_with(prefix) {
                return Ok(());
            }
            let Some(id) = parts[i].take() else { return Ok(()) };
            if !each(id)? {
                return Ok(());
            }
        }
    }

    /// How many registered streams have ids that start with `prefix`. Costs a look at those that are in memory only.
    pub(crate) fn count(&self, prefix: &str) -> Looked<u64> {
        if prefix.is_empty() {
            return Ok(self.registered);
        }
        let from = Bound::Included(prefix);
        let starts = |id: &&Arc<str>| id.starts_with(prefix);
        let parts = self.in_memory();
        let mut count: u64 =
            parts.map(|part| part.registered_from(from).take_while(starts).count() as u64).sum();
        for layer in self.in_files() {
            let first = layer.registered_from(|id| id < prefix)?;
            let behind = layer.registered_from(|id| id < prefix || id.starts_with(prefix))?;
            count = count.saturating_add(behind.saturating_sub(first));
        }
        Ok(count)
    }
}
