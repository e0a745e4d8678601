//! Model and log compared: everything that a log shows, on the shortest way to it.

use super::state::{Model, ModelStream};
use super::{CONSUMERS, NAMES, TENANTS, place_name};
use annals::{EventLog, KeptValue, ReadError, StreamInfo};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// Says what differs.
pub fn same<T: PartialEq<U> + Debug, U: Debug>(what: &str, is: &T, want: &U) -> Result<(), String> {
    if is == want { Ok(()) } else { Err(format!("{what}: {is:?}, not {want:?}")) }
}

impl Model {
    /// Says how a log differs from this model. What was appended must be visible, and nothing under way.
    pub fn difference(&self, log: &EventLog) -> Option<String> {
        self.compare(log).err()
    }

    fn compare(&self, log: &EventLog) -> Result<(), String> {
        let times = self.compare_events(log)?;
        self.compare_streams(log, &times)?;
        self.compare_tenants(log)?;
        self.compare_kept(log)
    }

    /// All events; the times of each stream's first and last one.
    fn compare_events(&self, log: &EventLog) -> Result<BTreeMap<&'static str, (u64, u64)>, String> {
        let mut position = 0;
        let mut time = 0;
        let mut times = BTreeMap::new();
        let mut cursor = log.read_all(0);
        while let Some(event) = cursor.next().map_err(|error| format!("read_all at {position}: {error}"))? {
            let Some(want) = self.events.get(position as usize) else {
                return Err(format!("an event too many at {}", position + 1));
            };
            position += 1;
            let is_it = (event.position(), event.stream(), event.version())
                == (position, want.stream, want.version)
                && (event.payload(), event.metadata()) == (&*want.new.payload, &*want.new.metadata)
                && event.event_type() == want.new.event_type
                && want.new.id.is_none_or(|id| event.id() == id)
                && event.time_nanos() >= time;
            if !is_it {
                return Err(format!("position {position}: {event:?}, not {want:?}"));
            }
            time = event.time_nanos();
            times.entry(want.stream).or_insert((time, time)).1 = time;
        }
        same("events", &position, &(self.events.len() as u64))?;
        same("last position", &log.last_position(), &position)?;
        Ok(times)
    }

    fn compare_streams(
        &self,
        log: &EventLog,
        times: &BTreeMap<&'static str, (u64, u64)>,
    ) -> Result<(), String> {
        let infos = log.list_stream_infos("", None, usize::MAX);
        same("streams", &infos.iter().map(|info| &*info.id).collect::<Vec<_>>(), &self.ids())?;
        same("number of streams", &log.stream_count(), &(self.streams.len() as u64))?;
        for (info, (id, stream)) in infos.iter().zip(&self.streams) {
            let last = self.events.iter().rposition(|event| event.stream == *id).map_or(0, |at| at + 1);
            let readable = !stream.tombstoned && stream.first <= stream.version;
            let last = if readable { last as u64 } else { 0 };
            let want = (
                (stream.version, stream.first, last, stream.tombstoned),
                (stream.tenant, &*stream.attributes, stream.ordinal),
            );
            let is = (
                (info.version, info.first_version, info.last_position, info.tombstoned),
                (info.tenant.as_deref(), &*info.attributes, info.creation_ordinal),
            );
            same(id, &is, &want)?;
            let (first, last) = times.get(id).copied().unwrap_or_default();
            same("time of the last append", &info.last_append_nanos, &last)?;
            if info.created_nanos == 0 || first > 0 && info.created_nanos > first {
                return Err(format!("{id} was created at {}", info.created_nanos));
            }
            same("one info", &log.stream_info(id).as_ref(), &Some(info))?;
            same("version", &log.stream_version(id), &stream.version)?;
            self.compare_stream(log, id, stream)?;
        }
        let versions: Vec<u64> = self.streams.values().map(|stream| stream.version).collect();
        same("versions", &log.stream_versions(&self.ids()), &versions)
    }

    fn compare_stream(&self, log: &EventLog, id: &str, stream: &ModelStream) -> Result<(), String> {
        let from_its_start = stream.first - 1;
        let read: Result<Vec<_>, _> = log.read_stream(id, from_its_start).into_iter().collect();
        match read {
            Err(ReadError::Gone { stream: gone }) if stream.tombstoned => same("what is gone", &gone, &id)?,
            Err(error) => return Err(format!("{id}: {error}")),
            Ok(_) if stream.tombstoned => return Err(format!("{id}: read although it is gone")),
            Ok(events) => {
                let want =
                    self.events.iter().filter(|event| event.stream == id && event.version >= stream.first);
                let want = want.map(|event| (event.version, &*event.new.payload));
                if !events.iter().map(|event| (event.version(), event.payload())).eq(want) {
                    return Err(format!("{id}: other events in the stream"));
                }
            }
        }
        if stream.first > 1 && !stream.tombstoned {
            let all: Result<Vec<_>, _> = log.read_stream(id, from_its_start - 1).into_iter().collect();
            same("what was cut", &all.err(), &Some(ReadError::Truncated { first: stream.first }))?;
        }
        Ok(())
    }

    fn compare_tenants(&self, log: &EventLog) -> Result<(), String> {
        for name in TENANTS {
            let newest: Vec<_> = self.newest_first(name);
            let tenant = log.tenant(name);
            let listed = tenant.list_streams(0, usize::MAX);
            same(name, &listed.iter().map(|info| &*info.id).collect::<Vec<_>>(), &newest)?;
            let whole = |info: &StreamInfo| log.stream_info(&info.id).as_ref() == Some(info);
            same("a tenant's infos", &listed.iter().all(whole), &true)?;
            same("a tenant's number of streams", &tenant.stream_count(), &(newest.len() as u64))?;
        }
        let mut named: Vec<_> = self.streams.values().filter_map(|stream| stream.tenant).collect();
        named.sort_unstable();
        named.dedup();
        same("tenants", &log.list_tenants(None, usize::MAX), &named)
    }

    fn compare_kept(&self, log: &EventLog) -> Result<(), String> {
        let wanted = self.kept_names("");
        let listed = log.list_kept("", None, usize::MAX).map_err(|error| format!("list_kept: {error}"))?;
        same("kept names", &listed.iter().map(|kept| &*kept.name).collect::<Vec<_>>(), &wanted)?;
        listed.iter().try_for_each(|kept| self.compare_value(kept))?;
        for name in NAMES.into_iter().map(str::to_owned).chain(CONSUMERS.into_iter().map(place_name)) {
            let one = log.kept(&name).map_err(|error| format!("{name}: {error}"))?;
            same("one kept value", &one.as_ref(), &listed.iter().find(|kept| kept.name == name))?;
        }
        for consumer in CONSUMERS {
            let place = self.value(&place_name(consumer));
            let place = place.map_or(0, |value| u64::from_le_bytes(value.try_into().unwrap()));
            same(consumer, &log.acknowledged(consumer), &Ok(place))?;
        }
        same("number of kept values", &log.count_kept(""), &(wanted.len() as u64))
    }

    fn compare_value(&self, is: &KeptValue) -> Result<(), String> {
        same(&is.name, &Some(&*is.value), &self.value(&is.name))?;
        match (self.lazy.get(&is.name), self.kept.get(&is.name), is.revision) {
            (Some(_), _, None) => Ok(()),
            (None, Some(want), Some(revision)) if want.revision == revision => Ok(()),
            // In a batch already, which nobody has waited for.
            (None, Some(want), None) if want.lazily => Ok(()),
            (_, want, revision) => Err(format!("{}: revision {revision:?}, not {want:?}", is.name)),
        }
    }

    fn value(&self, name: &str) -> Option<&[u8]> {
        let written = self.kept.get(name).map(|kept| &*kept.value);
        self.lazy.get(name).map(|value| &**value).or(written)
    }

    pub fn ids(&self) -> Vec<&'static str> {
        self.streams.keys().copied().collect()
    }

    /// A tenant's streams, the last one created first.
    pub fn newest_first(&self, tenant: &str) -> Vec<&'static str> {
        let mut streams: Vec<_> =
            self.streams.iter().filter(|(_, stream)| stream.tenant == Some(tenant)).collect();
        streams.sort_by_key(|(_, stream)| std::cmp::Reverse(stream.ordinal));
        streams.into_iter().map(|(id, _)| *id).collect()
    }

    /// Names with values, in byte order.
    pub fn kept_names(&self, prefix: &str) -> Vec<&str> {
        let mut names: Vec<_> = self.kept.keys().chain(self.lazy.keys()).map(|name| &**name).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort_unstable();
        names.dedup();
        names
    }
}
