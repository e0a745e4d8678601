//! Looks at a log from all sides: queries against a naive filter over all events, single events, pages of lists.

use super::compare::same;
use super::state::{Model, ModelEvent};
use super::{NAMES, STREAMS, TENANTS, TYPES};
use annals::{EventLog, Next, Query, ReadError, Uuid};
use std::sync::Arc;
use std::time::Duration;

const PREFIXES: [&str; 8] = ["", "k", "k/", "k/0000000000000001", "o", "ä", "z", "nobody"];

/// A query, taken apart.
#[derive(Debug, Clone)]
struct Asked {
    /// Of one stream, or else of a prefix.
    stream: Option<&'static str>,
    prefix: &'static str,
    types: Vec<&'static str>,
    tenant: Option<&'static str>,
    after: u64,
    before: u64,
    backward: bool,
    limit: u64,
    budget: u64,
}

impl Asked {
    fn draw(number: &mut dyn FnMut(u64) -> u64, end: u64) -> Asked {
        let stream = (number(4) == 0).then(|| STREAMS[number(STREAMS.len() as u64) as usize]);
        let types = match number(3) {
            0 => vec![],
            1 => vec![TYPES[number(3) as usize]],
            _ => vec![TYPES[0], TYPES[2]],
        };
        let tenants = [TENANTS[0], TENANTS[1], TENANTS[2], "none"];
        Asked {
            stream,
            prefix: PREFIXES[number(PREFIXES.len() as u64) as usize],
            types,
            tenant: (number(3) == 0).then(|| tenants[number(4) as usize]),
            after: if number(2) == 0 { 0 } else { number(end + 2) },
            before: if number(2) == 0 { u64::MAX } else { number(end + 2) },
            backward: number(2) == 0,
            limit: if number(2) == 0 { u64::MAX } else { number(6) },
            budget: if number(2) == 0 { u64::MAX } else { number(8) },
        }
    }

    fn query(&self) -> Query {
        let mut query = match (self.stream, self.prefix) {
            (Some(id), _) => Query::stream(id),
            (None, "") => Query::everything(),
            (None, prefix) => Query::prefix(prefix),
        };
        query = query.of_types(&self.types).after(self.after).before(self.before);
        query = query.limit(self.limit).budget(self.budget);
        if let Some(tenant) = self.tenant {
            query = query.of_tenant(tenant);
        }
        if self.backward { query.backward() } else { query }
    }

    fn place(&self, event: (u64, u64)) -> u64 {
        if self.stream.is_some() { event.1 } else { event.0 }
    }

    /// Position and version of all that matches, whatever the limit and the budget, and the error that ends it.
    fn naive(&self, model: &Model) -> (Vec<(u64, u64)>, Option<ReadError>) {
        let of_tenant = |id: &str| {
            self.tenant.is_none_or(|tenant| model.streams.get(id).is_some_and(|s| s.tenant == Some(tenant)))
        };
        let mut first = 1;
        let mut error = None;
        if let Some(id) = self.stream
            && let Some(stream) = model.streams.get(id).filter(|_| of_tenant(id))
        {
            first = stream.first;
            let wanted = self.after + 1..self.before.min(stream.version + 1);
            if stream.tombstoned {
                return (vec![], Some(ReadError::Gone { stream: id.to_owned() }));
            }
            if wanted.start < first && (!self.backward || !wanted.is_empty()) {
                error = Some(ReadError::Truncated { first });
            }
            if error.is_some() && !self.backward {
                return (vec![], error);
            }
        }
        let matches = |(at, event): (usize, &Arc<ModelEvent>)| {
            let place = (at as u64 + 1, event.version);
            let in_scope = match self.stream {
                Some(id) => event.stream == id && event.version >= first,
                None => event.stream.starts_with(self.prefix),
            };
            let is_wanted = in_scope
                && of_tenant(event.stream)
                && (self.types.is_empty() || self.types.contains(&event.new.event_type))
                && (self.after < self.place(place) && self.place(place) < self.before);
            is_wanted.then_some(place)
        };
        let mut events: Vec<_> = model.events.iter().enumerate().filter_map(matches).collect();
        if self.backward {
            events.reverse();
        }
        (events, error)
    }

    /// Reads page after page and compares each.
    fn read(&self, model: &Model, log: &EventLog) -> Result<(), String> {
        let mut page = self.clone();
        loop {
            let (want, error) = page.naive(model);
            let mut cursor = log.read(&page.query());
            let mut events = Vec::new();
            let ended = loop {
                match cursor.next() {
                    Ok(Some(event)) => {
                        events.push((event.position(), event.version()));
                        let wanted = &model.events[event.position() as usize - 1].new;
                        same("payload", &event.payload(), &&*wanted.payload)?;
                    }
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            let shared: Vec<_> = log.read(&page.query()).into_iter().map_while(Result::ok).collect();
            let shared: Vec<_> = shared.iter().map(|event| (event.position(), event.version())).collect();
            same("owned events", &shared, &events)?;
            let Some(stop) = cursor.stopped_at() else {
                let is_whole = (want.len() as u64) < page.limit || want.is_empty();
                same("no limit was met", &is_whole, &true)?;
                return same("events", &(events, ended), &(want, error));
            };
            same("error of a cursor that stopped", &ended, &None)?;
            let len = events.len() as u64;
            same("within limit and budget", &(len <= page.limit && len <= page.budget), &true)?;
            same("events up to the stop", &&events[..], &&want[..events.len().min(want.len())])?;
            if page.limit == 0 || page.budget == 0 {
                return same("stop", &stop, &if page.backward { page.before } else { page.after });
            }
            let passed = |place: u64| if page.backward { place >= stop } else { place <= stop };
            let left_out = want[events.len()..].iter().any(|event| passed(page.place(*event)));
            same("whether an event was left out", &left_out, &false)?;
            if len < page.limit {
                // It is the budget that was used up, and each part of it was spent on an event or more.
                let end = model.events.len() as u64 + 1;
                let looked = if page.backward { page.before.min(end) - stop } else { stop - page.after };
                same("whether the budget was spent", &(looked >= page.budget), &true)?;
            }
            if page.backward {
                same("whether it went on", &(stop < page.before), &true)?;
                page.before = stop;
            } else {
                same("whether it went on", &(stop > page.after), &true)?;
                page.after = stop;
            }
        }
    }

    /// A subscription gives the same, as far as it is there.
    fn follow(&self, model: &Model, log: &EventLog) -> Result<(), String> {
        let asked = Asked { backward: false, ..self.clone() };
        let (mut want, error) = asked.naive(model);
        if error.is_some() || asked.limit == 0 {
            return Ok(());
        }
        want.truncate(asked.limit.min(usize::MAX as u64) as usize);
        let mut subscription = log.subscribe(&asked.query());
        let mut events = Vec::new();
        while let Next::Event(event) =
            subscription.next_within(Duration::ZERO).map_err(|error| format!("subscription: {error}"))?
        {
            events.push((event.position(), event.version()));
        }
        same("subscribed", &events, &want)
    }
}

impl Model {
    /// Says how a log differs from this model when it is looked at from so many sides.
    pub fn look(&self, log: &EventLog, number: &mut dyn FnMut(u64) -> u64, sides: usize) -> Option<String> {
        let looked = self.look_at_events(log).and_then(|()| self.look_at_lists(log, number));
        if looked.is_err() {
            return looked.err();
        }
        (0..sides).find_map(|_| {
            let asked = Asked::draw(number, self.events.len() as u64);
            let looked = asked.read(self, log).and_then(|()| asked.follow(self, log));
            looked.err().map(|wrong| format!("{asked:?}: {wrong}"))
        })
    }

    fn look_at_events(&self, log: &EventLog) -> Result<(), String> {
        for (at, want) in self.events.iter().enumerate() {
            let position = at as u64 + 1;
            let event = log.event_at(position).map_err(|error| format!("event_at {position}: {error}"))?;
            let event = event.ok_or_else(|| format!("no event at {position}"))?;
            same("event_at", &(event.stream(), event.version()), &(want.stream, want.version))?;
            let found = log.event_by_id(event.id()).map_err(|error| format!("event_by_id: {error}"))?;
            let latest = match want.new.id {
                Some(id) => 1 + self.events.iter().rposition(|event| event.new.id == Some(id)).unwrap_or(at),
                None => at + 1,
            };
            same("event_by_id", &found.map(|event| event.position()), &Some(latest as u64))?;
        }
        for position in [0, self.events.len() as u64 + 1, u64::MAX] {
            same(
                "event where there is none",
                &log.event_at(position).map(|event| event.is_none()),
                &Ok(true),
            )?;
        }
        let unknown = log.event_by_id(Uuid::from_u128(0xBAD)).map(|event| event.is_none());
        same("event with an id that nobody gave", &unknown, &Ok(true))?;
        for id in STREAMS {
            let stream = self.streams.get(id).cloned().unwrap_or_default();
            let position = |event: annals::RecordedEvent| event.position();
            let last = self.events.iter().rposition(|event| event.stream == id).map(|at| at as u64 + 1);
            let want = match last {
                _ if stream.tombstoned => Err(ReadError::Gone { stream: id.to_owned() }),
                // All of it was cut.
                Some(_) if stream.first > stream.version => Ok(None),
                last => Ok(last),
            };
            same("last event", &log.last_event(id).map(|event| event.map(position)), &want)?;
        }
        for prefix in PREFIXES {
            let lives = |id: &str| {
                let stream = &self.streams[id];
                id.starts_with(prefix) && !stream.tombstoned && stream.first <= stream.version
            };
            let last = self.events.iter().rposition(|event| lives(event.stream)).map(|at| at as u64 + 1);
            let found = log.last_event_under(prefix).map_err(|error| format!("last_event_under: {error}"))?;
            same("last event under", &found.map(|event| event.position()), &last)?;
        }
        Ok(())
    }

    fn look_at_lists(&self, log: &EventLog, number: &mut dyn FnMut(u64) -> u64) -> Result<(), String> {
        for prefix in PREFIXES {
            let after = [None, Some(STREAMS[number(8) as usize]), Some("m")][number(3) as usize];
            let limit = number(4) as usize;
            let wanted = |id: &&str| id.starts_with(prefix) && after.is_none_or(|after| *id > after);
            let want: Vec<_> = self.ids().into_iter().filter(wanted).take(limit).collect();
            same("page of streams", &log.list_streams(prefix, after, limit), &want)?;
            let after = [None, Some(NAMES[number(6) as usize]), Some("b")][number(3) as usize];
            let wanted = |name: &&str| after.is_none_or(|after| *name > after);
            let names = self.kept_names(prefix);
            same("number of kept values", &log.count_kept(prefix), &(names.len() as u64))?;
            let want: Vec<_> = names.into_iter().filter(wanted).take(limit).collect();
            let page = log.list_kept(prefix, after, limit).map_err(|error| format!("list_kept: {error}"))?;
            same("page of kept values", &page.iter().map(|kept| &*kept.name).collect::<Vec<_>>(), &want)?;
        }
        for tenant in TENANTS {
            let (offset, limit) = (number(5), number(4) as usize);
            let page = log.tenant(tenant).list_streams(offset, limit);
            let newest = self.newest_first(tenant);
            let want: Vec<_> = newest.into_iter().skip(offset as usize).take(limit).collect();
            same("page of a tenant", &page.iter().map(|info| &*info.id).collect::<Vec<_>>(), &want)?;
        }
        Ok(())
    }
}
