//! Where a cursor starts and ends: of a stream, of the log, of a query.
//!
//! Owns the choice of the source and the bounds, both fixed when a cursor is made, under one look at the view.

use crate::engine::cursor::{Cursor, Source};
use crate::engine::filter::Filter;
use crate::engine::frames::FrameSource;
use crate::engine::merge::MergeSource;
use crate::engine::runs::RunSource;
use crate::engine::shared::Shared;
use crate::error::ReadError;
use crate::query::{Query, Scope};
use std::sync::Arc;

impl Cursor {
    /// Versions above `after` and below `before`.
    pub(crate) fn stream(shared: &Arc<Shared>, id: &str, after: u64, before: u64, backward: bool) -> Cursor {
        let view = shared.view.read();
        let segments = view.segments.clone();
        let Some(number) = view.index.streams.find(id) else {
            return Cursor::new(shared, segments, Source::Nothing, backward, 0..0);
        };
        let stream = view.index.streams.get(number);
        let wanted = after.saturating_add(1)..before.min(stream.version + 1);
        let refused = if stream.tombstoned {
            Some(ReadError::Gone { stream: id.to_owned() })
        } else if wanted.start < stream.first_kept && !backward {
            Some(ReadError::Truncated { first: stream.first_kept })
        } else {
            None
        };
        let id = stream.id.clone();
        let missing =
            (backward && !stream.tombstoned && wanted.start < stream.first_kept && !wanted.is_empty())
                .then_some(ReadError::Truncated { first: stream.first_kept });
        let wanted = wanted.start.max(stream.first_kept)..wanted.end;
        let runs_at = if backward {
            (stream.run_at(wanted.end.saturating_sub(1)) + 1).min(stream.runs.len())
        } else {
            stream.run_at(wanted.start)
        };
        drop(view);
        let source = if wanted.is_empty() {
            Source::Nothing
        } else {
            Source::Stream(RunSource::new(number, id, runs_at))
        };
        let mut cursor = Cursor::new(shared, segments, source, backward, wanted);
        (cursor.refused, cursor.missing) = (refused, missing);
        cursor
    }

    /// What a query describes.
    pub(crate) fn query(shared: &Arc<Shared>, query: &Query) -> Cursor {
        let Query { after, before, backward, .. } = *query;
        let mut by_stream = false;
        let mut cursor = match &query.scope {
            Scope::Stream(id) => {
                let foreign = query.tenant.as_ref().is_some_and(|tenant| {
                    let view = shared.view.read();
                    let streams = &view.index.streams;
                    let stream = streams.registered(id);
                    stream.is_none_or(|stream| streams.tenants.find(tenant) != Some(stream.tenant))
                });
                if foreign {
                    let segments = shared.view.read().segments.clone();
                    return Cursor::new(shared, segments, Source::Nothing, backward, 0..0);
                }
                let after = if query.from_now { u64::MAX } else { after };
                Cursor::stream(shared, id, after, before, backward)
            }
            Scope::Everything | Scope::Prefix(_) => {
                let after = if query.from_now { u64::MAX } else { after };
                let mut cursor = Cursor::log(shared, after, before, backward);
                let merge = if query.scope_is_plain() || matches!(cursor.source, Source::Nothing) {
                    None
                } else {
                    MergeSource::choose(&shared.view.read(), query, &cursor.extent.wanted)
                };
                match merge {
                    Some(mut merge) => {
                        merge.start(&cursor.extent);
                        cursor.source = Source::Merge(merge);
                    }
                    None => by_stream = true,
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
        let view = shared.view.read();
        let segments = view.segments.clone();
        let end = view.visible.end;
        let first = view.index.starts_at.map_or(1, |(_, position)| position);
        let wanted = after.saturating_add(1)..before.min(view.visible.position + 1);
        let refused = (wanted.start < first && !backward).then_some(ReadError::Truncated { first });
        let missing = (backward && wanted.start < first && !wanted.is_empty())
            .then_some(ReadError::Truncated { first });
        let wanted = wanted.start.max(first)..wanted.end;
        let at = if backward {
            view.index.marks.behind(wanted.end.saturating_sub(1)).unwrap_or(end)
        } else {
            view.index.marks.before(wanted.start).unwrap_or(end)
        };
        drop(view);
        let source = if wanted.is_empty() { Source::Nothing } else { Source::Log(FrameSource::new(at, end)) };
        let mut cursor = Cursor::new(shared, segments, source, backward, wanted);
        (cursor.refused, cursor.missing) = (refused, missing);
        cursor
    }
}
