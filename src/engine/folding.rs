//! Folding: all events of a cursor into one value.
//!
//! Owns the short way through a stream, on which an event costs its checks and little else: from run to run where the segments
//! are mapped, without making each section the cursor's own. Whatever is unusual (removed events, bytes that are wrong, events
//! that are not wanted) is left to [`Cursor::next`], which tells it. Must never show an event that the long way would not.

use crate::engine::ahead::Ahead;
use crate::engine::cursor::{Cursor, Source};
use crate::engine::place::{EventPlace, event_of};
use crate::error::ReadError;
use crate::event::Event;
use crate::format::bytes::same;
use crate::format::cell::Run;
use crate::format::record::Record;
use crate::segment::reader::Segment;
use uuid::Uuid;

impl Cursor {
    /// Folds all events into one value, each lent for the time of the call: like [`Cursor::next`] in a loop, and faster. No
    /// lock is held while `f` runs: it may use the log. The first error of `f` ends the fold and is returned.
    ///
    /// # Errors
    /// What `f` returns, or a [`ReadError`] turned into it.
    pub fn try_fold<T, E: From<ReadError>>(
        mut self,
        init: T,
        mut f: impl FnMut(T, Event<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut value = init;
        while let Some(event) = self.next()? {
            value = f(value, event)?;
            value = self.fold_section(value, &mut f)?;
            value = self.fold_runs(value, &mut f)?;
        }
        Ok(value)
    }

    /// Folds the rest of the section.
    #[inline]
    fn fold_section<T, E>(
        &mut self,
        value: T,
        f: &mut impl FnMut(T, Event<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let Cursor { extent, section, filter, stubs, stream, event_type, here, left, verify, ahead, .. } =
            self;
        let Some(section) = section.as_ref().filter(|_| filter.is_none() && !*stubs) else {
            return Ok(value);
        };
        let mut events = Stretch {
            bytes: section.bytes(),
            here: *here,
            left: *left,
            verify: *verify,
            time: section.time,
            log_id: &section.segment.header.log_id,
            ahead_in: ahead.segment(&extent.segments),
            ahead,
        };
        let value = events.fold(value, stream, event_type, f);
        (*here, *left) = (events.here, events.left);
        value
    }

    /// Folds the runs that follow, each whole.
    #[inline]
    fn fold_runs<T, E: From<ReadError>>(
        &mut self,
        mut value: T,
        f: &mut impl FnMut(T, Event<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.left > 0 || self.filter.is_some() || self.extent.backward || self.extent.owned {
            return Ok(value);
        }
        loop {
            let Cursor { extent, source: Source::Stream(runs), stream, event_type, verify, .. } = self else {
                return Ok(value);
            };
            let Some(run) = runs.next_run(extent)? else { return Ok(value) };
            let Run { first_version, first_position, count, .. } = run;
            let whole = extent.wanted.start <= first_version && run.last_version() < extent.wanted.end;
            let lent = if whole { runs.lend(&run, extent)? } else { None };
            let Some(lent) = lent else {
                let found = runs.open(&run, extent)?;
                self.enter(found)?;
                return Ok(value);
            };
            let mut ahead = runs.ahead();
            let mut events = Stretch {
                bytes: lent.bytes,
                here: EventPlace { at: lent.first_at, version: first_version, position: first_position },
                left: count,
                verify: *verify,
                time: run.time,
                log_id: &lent.segment.header.log_id,
                ahead_in: ahead.segment(&extent.segments),
                ahead: &mut ahead,
            };
            value = events.fold(value, stream, event_type, f)?;
            if events.left > 0 {
                let (here, left) = (events.here, events.left);
                let found = runs.open(&run, extent)?;
                self.enter(found)?;
                (self.here, self.left) = (here, left);
                return Ok(value);
            }
        }
    }
}

/// Events that follow each other in one section, with what they have in common.
struct Stretch<'a> {
    bytes: &'a [u8],
    here: EventPlace,
    left: u32,
    verify: bool,
    time: u64,
    log_id: &'a Uuid,
    ahead: &'a mut Ahead,
    /// The segment of what is ahead.
    ahead_in: Option<&'a Segment>,
}

impl Stretch<'_> {
    /// Folds them up to the first one about which there is something to tell.
    #[inline]
    fn fold<T, E>(
        &mut self,
        mut value: T,
        stream: &str,
        event_type: &mut String,
        f: &mut impl FnMut(T, Event<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        while self.left > 0 {
            let bytes = self.bytes.get(self.here.at..).unwrap_or_default();
            let Ok((record, len)) = Record::decode(bytes, self.verify) else { break };
            if record.removed > 0 {
                break;
            }
            // Most events are of the type of the one before: comparing is cheaper than validating again.
            if !same(record.event_type, event_type.as_bytes()) {
                let Ok(text) = std::str::from_utf8(record.event_type) else { break };
                event_type.clear();
                event_type.push_str(text);
            }
            if let Some(segment) = self.ahead_in {
                self.ahead.step(segment, len);
            }
            let event = event_of(&record, (stream, event_type), self.here, self.time, self.log_id);
            self.here = self.here.behind(len);
            self.left -= 1;
            value = f(value, event)?;
        }
        Ok(value)
    }
}
