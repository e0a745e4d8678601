//! tephra: an event store with dynamic consistency boundaries; a stream is a tag.
//!
//! Owns the translation. Its coordinator gathers the appends of many threads by itself.

use crate::store::{Can, Entry, Place, Run, Store, Tally};
use crate::stores::dcb::{see, seen, tag};
use crate::workload::EVENT_TYPE;
use measure::Outcome;
use tephra::{
    AppendCondition, Event, EventType, Position, Query, QueryItem, SegmentConfig, SegmentSet, Tag, Tags,
    WriteCoordinator, WriteHandle, WriterConfig,
};

pub(crate) const ENTRY: Entry = Entry {
    name: "tephra",
    package: "tephra",
    used: "segments of 256 MiB, default writer; streams as tags, appends conditional on nothing newer with these tags",
    can: Can { version: false, ..Can::ALL },
    gathered: false,
    open,
};

fn open(place: &Place<'_>) -> Outcome<Box<dyn Store>> {
    see(0);
    let set = SegmentSet::open(place.dir.join("tephra"), SegmentConfig::new(256 << 20))?;
    let (coordinator, handle) = WriteCoordinator::start(set, WriterConfig::default())?;
    Ok(Box::new(Tephra { coordinator, handle, event_type: EventType::new(EVENT_TYPE)? }))
}

struct Tephra {
    coordinator: WriteCoordinator,
    handle: WriteHandle,
    event_type: EventType,
}

impl Tephra {
    fn read(&self, query: &Query, tally: &mut Tally) -> Outcome<()> {
        let mut reads = self.handle.read(query, Position::ZERO, None);
        while let Some(event) = reads.next() {
            tally.add(event?.event.data());
        }
        Ok(())
    }
}

fn tags(stream: &str) -> Outcome<Tags> {
    Ok(Tags::new([Tag::new(tag(stream))?])?)
}

impl Store for Tephra {
    fn append(&self, runs: &[Run<'_>]) -> Outcome<()> {
        let mut events = Vec::new();
        let mut items = Vec::with_capacity(runs.len());
        for run in runs {
            let tags = tags(run.stream)?;
            for payload in run.payloads {
                events.push(Event::new(&self.event_type, &tags, payload)?);
            }
            items.push(QueryItem::with_tags(tags));
        }
        let unchanged = AppendCondition::new(Query::items(items)).after(Position::new(seen()));
        see(self.handle.append(events, Some(unchanged))?.last.get());
        Ok(())
    }

    fn fold(&self, stream: &str, tally: &mut Tally) -> Outcome<()> {
        self.read(&Query::item(QueryItem::with_tags(tags(stream)?)), tally)
    }

    fn scan(&self) -> Outcome<Tally> {
        let mut tally = Tally::default();
        self.read(&Query::all(), &mut tally)?;
        Ok(tally)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        self.coordinator.shutdown();
        Ok(())
    }
}
