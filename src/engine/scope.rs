//! Where a cursor starts and ends: of a stream, of the log, of a query.
//!
//! Owns the choice of the source and the bounds, both fixed when a cursor is made, under one look at the view.

use crate::engine::cursor::{Cursor, Source};
use crate::engine::filter::Filter;
use crate::engine::frames::FrameSource;
use crate::engine::merge::MergeSource;
use crate::engine::runs::{RUNS_AT_ONCE, RunSource};
use crate::engine::shared::Shared;
use crate::error::ReadError;
use crate::index::Index;
use crate::index::runs::begin_in;
use crate::index::state::{Readable, StreamState};
use crate::index::streams::hash_of;
use crate::query::{Query, Scope};
use std::ops::Range;
use std::sync::Arc;

impl Cursor {
    /// Versions above `after` and below `before`.
    pub(crate) fn stream(shared: &Arc<Shared>, id: &str, after: u64, before: u64, backward: bool) -> Cursor {
        let hash = hash_of(id);
        let asked = |of: Readable| after.saturating_add(1)..before.min(of.version.saturating_add(1));
        let is_cut = |of: Readable| asked(of).start < of.first_kept;
        let is_refused = |of: Readable| of.tombstoned || is_cut(of) && !backward;
        let wanted = |of: Readable| {
            let Range { start, end } = asked(of);
            if is_refused(of) { end..end } else { start.max(of.first_kept)..end }
        };
        let in_memory = |index: &Index, state: &StreamState| {
            let (of, mut runs) = (state.readable(), Vec::new());
            index.copy_runs((id, hash), wanted(of), backward, RUNS_AT_ONCE, &mut runs)?;
            Ok((of, runs))
        };
        let in_files = |layers: &[_]| begin_in(layers, (id, hash), wanted, backward, RUNS_AT_ONCE);
        let (found, segments) = shared.stream(id, hash, in_memory, in_files);
        let Some((of, runs)) = found else { return Cursor::nothing(shared, backward) };
        let truncated = ReadError::Truncated { first: of.first_kept };
        let (refused, missing) = match () {
            () if of.tombstoned => (Some(ReadError::Gone { stream: id.to_owned() }), None),
            () if is_refused(of) => (Some(truncated), None),
            () if is_cut(of) && !asked(of).is_empty() => (None, Some(truncated)),
            () => (None, None),
        };
        let wanted = wanted(of);
        let source = if wanted.is_empty() {
            Source::Nothing
        } else {
            let next = if backward { wanted.end - 1 } else { wanted.start };
            Source::Stream(RunSource::new(id.into(), hash, next))
        };
        let mut cursor = Cursor::new(shared, segments, source, backward, wanted);
        if let Source::Stream(source) = &mut cursor.source {
            source.begin(runs, &cursor.extent);
            // Each section proves that it is of this one.
            cursor.stream.push_str(id);
        }
        (cursor.refused, cursor.missing) = (refused, missing);
        cursor
    }

    /// No events, unless the index cannot tell.
    fn nothing(shared: &Arc<Shared>, backward: bool) -> Cursor {
        let (segments, broken) = {
            let view = shared.view.read();
            (view.segments.clone(), view.broken.clone())
        };
        let mut cursor = Cursor::new(shared, segments, Source::Nothing, backward, 0..0);
        cursor.refused = broken;
        cursor
    }

    /// What a query describes.
    pub(crate) fn query(shared: &Arc<Shared>, query: &Query) -> Cursor {
        let Query { after, before, backward, .. } = *query;
        let mut by_stream = false;
        let mut cursor = match &query.scope {
            Scope::Stream(id) => {
                let foreign = query.tenant.as_ref().is_some_and(|tenant| !shared.is_of_tenant(id, tenant));
                if foreign {
                    return Cursor::nothing(shared, backward);
                }
                let after = if query.from_now { u64::MAX } else { after };
                Cursor::stream(shared, id, after, before, backward)
            }
            Scope::Everything | Scope::Prefix(_) => {
                let after = if query.from_now { u64::MAX } else { after };
                let mut cursor = Cursor::log(shared, after, before, backward);
                let merge = if query.scope_is_plain() || matches!(cursor.source, Source::Nothing) {
                    Ok(None)
                } else {
                    shared.ask_whole(|view| MergeSource::choose(&view.index, query, &cursor.extent.wanted))
                };
                let started = merge.and_then(|mut merge| {
                    if let Some(merge) = &mut merge {
                        merge.start(&cursor.extent)?;
                    }
                    Ok(merge)
                });
                match started {
                    Ok(Some(merge)) => cursor.source = Source::Merge(merge),
                    Ok(None) => by_stream = true,
                    Err(error) => cursor.refused = Some(error),
                }
                cursor
            }
        };
        if !query.is_plain() {
            cursor.filter = Some(Box::new(Filter::new(query, by_stream)));
        }
        cursor
    }

    /// Positions above `after` and below `before`.
    pub(crate) fn log(shared: &Arc<Shared>, after: u64, before: u64, backward: bool) -> Cursor {
        let (segments, visible, first, broken) = {
            let view = shared.view.read();
            let first = view.index.starts_at.map_or(1, |(_, position)| position);
            (view.segments.clone(), view.visible, first, view.broken.clone())
        };
        let end = visible.end;
        let wanted = after.saturating_add(1)..before.min(visible.position + 1);
        let refused = (wanted.start < first && !backward).then_some(ReadError::Truncated { first });
        let refused = broken.or(refused);
        let missing = (backward && wanted.start < first && !wanted.is_empty())
            .then_some(ReadError::Truncated { first });
        let wanted = wanted.start.max(first)..wanted.end;
        let mut unknown = None;
        let source = if wanted.is_empty() {
            Source::Nothing
        } else {
            let at = shared.ask_whole(|view| {
                if backward {
                    view.index.mark_behind(wanted.end - 1)
                } else {
                    view.index.mark_before(wanted.start)
                }
            });
            let at = at.unwrap_or_else(|error| {
                unknown = Some(error);
                None
            });
            // A mark of what came since lies behind the end.
            Source::Log(FrameSource::new(at.unwrap_or(end).min(end), end))
        };
        let mut cursor = Cursor::new(shared, segments, source, backward, wanted);
        (cursor.refused, cursor.missing) = (refused.or(unknown), missing);
        cursor
    }
}
