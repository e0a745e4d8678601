//! The sections of several streams, in the one global order, without looking at what lies between them.
//!
//! Owns the merge. Worth it when few streams match; whether they do is judged here, from the index alone.

use crate::engine::ahead::Ahead;
use crate::engine::place::{Extent, Found};
use crate::engine::runs::{RunSource, ahead_of};
use crate::error::ReadError;
use crate::format::cell::Run;
use crate::index::streams::hash_of;
use crate::index::{Index, Looked};
use crate::query::{Query, Scope};
use std::collections::BinaryHeap;
use std::ops::Range;

/// More streams than this are not merged.
const STREAMS_MAX: usize = 1024;
/// A scan passes over a run that does not match so many times faster than a merge finds one that does.
const MERGE_COST: u64 = 8;

pub(crate) struct MergeSource {
    sources: Vec<RunSource>,
    /// The next run of each source, the first in order on top.
    next: BinaryHeap<Next>,
    backward: bool,
}

struct Next {
    /// Grows with how soon the run comes.
    key: u64,
    source: usize,
    run: Run,
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Next {}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl MergeSource {
    /// The source for a query, if merging its streams is the cheaper way to the positions that are wanted.
    pub(crate) fn choose(index: &Index, query: &Query, wanted: &Range<u64>) -> Looked<Option<MergeSource>> {
        let mut runs = 0;
        let mut sources = Vec::new();
        let bound = wanted.end.saturating_sub(wanted.start) / MERGE_COST;
        let mut enough = false;
        let mut add = |id: String| {
            let hash = hash_of(&id);
            runs += index.run_count(&id, hash)?;
            enough = sources.len() == STREAMS_MAX || runs > bound;
            if !enough {
                let next = if query.backward {
                    index.version_before(&id, hash, wanted.end)?
                } else {
                    index.version_before(&id, hash, wanted.start)? + 1
                };
                sources.push(RunSource::by_position(id.into(), hash, next));
            }
            Ok(!enough)
        };
        match (&query.scope, &query.tenant) {
            (Scope::Stream(_), _) | (Scope::Everything, None) => return Ok(None),
            (Scope::Everything, Some(tenant)) => index.newest_first(tenant, 0, add)?,
            (Scope::Prefix(prefix), None) => index.page(prefix, None, add)?,
            (Scope::Prefix(prefix), Some(tenant)) => index
                .page(prefix, None, |id| if index.is_of_tenant(&id, tenant)? { add(id) } else { Ok(true) })?,
        }
        let backward = query.backward;
        Ok((!enough).then_some(MergeSource { sources, next: BinaryHeap::new(), backward }))
    }

    /// Looks at the first run of each stream. Called once, before the first [`MergeSource::next`].
    pub(crate) fn start(&mut self, extent: &Extent) -> Result<(), ReadError> {
        (0..self.sources.len()).try_for_each(|source| self.advance(source, extent))
    }

    pub(crate) fn next(&mut self, extent: &Extent) -> Result<Option<Found>, ReadError> {
        let Some(Next { source, run, .. }) = self.next.pop() else { return Ok(None) };
        self.advance(source, extent)?;
        self.sources[source].open(&run, extent).map(Some)
    }

    /// What of the next run is not fetched yet.
    pub(crate) fn ahead(&self) -> Ahead {
        ahead_of(self.next.peek().map(|next| &next.run), false)
    }

    fn advance(&mut self, source: usize, extent: &Extent) -> Result<(), ReadError> {
        if let Some(run) = self.sources[source].next_run(extent)? {
            let key = if self.backward { run.first_position } else { u64::MAX - run.first_position };
            self.next.push(Next { key, source, run });
        }
        Ok(())
    }
}
