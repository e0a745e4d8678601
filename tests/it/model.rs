//! The reference model: what a log should be, in the plainest possible code, and the operations that drive both.
//!
//! One `Op` enum and one model serve the property tests, the crash simulation and the fuzzer. An `Op` is drawn from any source
//! of numbers, so that each of them can bring its own.

use annals::{AppendError, EventLog, ExpectedVersion, NewEvent};
use std::collections::BTreeMap;

/// Stream names that invite confusion: prefixes of one another, separators, a NUL, more than one byte a letter.
pub const STREAMS: [&str; 8] = ["k", "k/0000000000000001", "k/", "a", "ä/ö", "nul\0", "order-42", "z"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A blocking append of events of this size; without events, a registration.
    Append {
        stream: usize,
        expected: Expect,
        events: usize,
        bytes: usize,
    },
    /// One batch: parts to write, streams to check.
    Batch {
        parts: Vec<(usize, Expect, usize, usize)>,
        checks: Vec<(usize, Expect)>,
    },
    /// An append whose handle is kept until the next blocking call on it.
    Submit {
        stream: usize,
        expected: Expect,
        events: usize,
        bytes: usize,
    },
    /// Waits for all kept handles.
    Wait,
    Tombstone {
        stream: usize,
    },
    Close,
    /// Drops the handle without closing first, and opens again.
    Reopen,
}

/// An expectation, relative to what the model knows, so that both outcomes are common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Any,
    NoStream,
    Exists,
    NotRegistered,
    /// The version that the stream has, plus this.
    Current(i8),
}

impl Expect {
    fn resolve(self, model: &Model, stream: usize) -> ExpectedVersion {
        match self {
            Expect::Any => ExpectedVersion::Any,
            Expect::NoStream => ExpectedVersion::NoStream,
            Expect::Exists => ExpectedVersion::StreamExists,
            Expect::NotRegistered => ExpectedVersion::NotRegistered,
            Expect::Current(off) => {
                let version = model.streams.get(STREAMS[stream]).map_or(0, |s| s.version);
                ExpectedVersion::Exact(version.saturating_add_signed(i64::from(off)))
            }
        }
    }
}

impl Op {
    /// Draws an operation. `number(n)` gives a number below `n`.
    pub fn draw(number: &mut dyn FnMut(u64) -> u64) -> Op {
        let stream = |number: &mut dyn FnMut(u64) -> u64| number(STREAMS.len() as u64) as usize;
        let expect = |number: &mut dyn FnMut(u64) -> u64| match number(10) {
            0..=3 => Expect::Any,
            4 => Expect::NoStream,
            5 => Expect::Exists,
            6 => Expect::NotRegistered,
            7..=8 => Expect::Current(0),
            _ => Expect::Current([-1, 1][number(2) as usize]),
        };
        let size = |number: &mut dyn FnMut(u64) -> u64| match number(12) {
            0 => 0,
            1..=7 => number(60) as usize,
            8..=10 => number(1500) as usize,
            _ => number(9000) as usize,
        };
        match number(20) {
            0..=6 => Op::Append {
                stream: stream(number),
                expected: expect(number),
                events: number(4) as usize,
                bytes: size(number),
            },
            7..=10 => {
                let parts = (0..1 + number(4))
                    .map(|_| (stream(number), expect(number), number(4) as usize, size(number)));
                let parts = parts.collect();
                let checks = (0..number(3)).map(|_| (stream(number), expect(number))).collect();
                Op::Batch { parts, checks }
            }
            11..=14 => Op::Submit {
                stream: stream(number),
                expected: expect(number),
                events: 1 + number(3) as usize,
                bytes: size(number),
            },
            15..=16 => Op::Wait,
            17 if number(4) == 0 => Op::Tombstone { stream: stream(number) },
            17 => Op::Wait,
            18 => Op::Close,
            _ => Op::Reopen,
        }
    }
}

/// One event as the model remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEvent {
    pub stream: &'static str,
    pub version: u64,
    pub payload: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModelStream {
    pub version: u64,
    pub tombstoned: bool,
}

/// A whole log: its events by position, its registered streams by id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Model {
    pub events: Vec<ModelEvent>,
    pub streams: BTreeMap<&'static str, ModelStream>,
}

/// What one append does, before it is known whether it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub conditions: Vec<(&'static str, ExpectedVersion, bool)>,
    /// Stream and payloads of each part; no payloads: a registration.
    pub parts: Vec<(&'static str, Vec<Vec<u8>>)>,
    pub tombstone: Option<&'static str>,
}

/// How an append should end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    Done,
    Conflict { stream: &'static str, actual: u64 },
    Gone,
    Contradiction,
}

impl Write {
    /// The write that an operation asks for. `salt` makes its payloads differ from all others.
    pub fn of(op: &Op, model: &Model, salt: u64) -> Option<Write> {
        let payload = |i: usize, bytes: usize| {
            let mut payload = format!("{salt}.{i}.").into_bytes();
            payload.extend((0..bytes).map(|b| (b as u64 ^ salt) as u8));
            payload
        };
        let part = |stream: usize, events: usize, bytes: usize, at: usize| {
            (STREAMS[stream], (0..events).map(|i| payload(at * 100 + i, bytes)).collect::<Vec<_>>())
        };
        match op {
            Op::Append { stream, expected, events, bytes }
            | Op::Submit { stream, expected, events, bytes } => Some(Write {
                conditions: vec![(STREAMS[*stream], expected.resolve(model, *stream), true)],
                parts: vec![part(*stream, *events, *bytes, 0)],
                tombstone: None,
            }),
            Op::Batch { parts, checks } => Some(Write {
                conditions: parts
                    .iter()
                    .map(|(stream, expected, ..)| (*stream, *expected, true))
                    .chain(checks.iter().map(|(stream, expected)| (*stream, *expected, false)))
                    .map(|(stream, expected, written)| {
                        (STREAMS[stream], expected.resolve(model, stream), written)
                    })
                    .collect(),
                parts: parts
                    .iter()
                    .enumerate()
                    .map(|(at, (stream, _, events, bytes))| part(*stream, *events, *bytes, at + 1))
                    .collect(),
                tombstone: None,
            }),
            Op::Tombstone { stream } => Some(Write {
                conditions: vec![(STREAMS[*stream], ExpectedVersion::Any, true)],
                parts: vec![],
                tombstone: Some(STREAMS[*stream]),
            }),
            Op::Wait | Op::Close | Op::Reopen => None,
        }
    }

    /// Sends the write off through a batch, so that every write takes the same way.
    pub fn submit(&self, log: &EventLog) -> Result<annals::Pending<annals::BatchAppended>, AppendError> {
        self.builder(log).submit()
    }

    pub fn commit(&self, log: &EventLog) -> Result<annals::BatchAppended, AppendError> {
        self.builder(log).commit()
    }

    fn builder<'a>(&self, log: &'a EventLog) -> annals::BatchBuilder<'a> {
        let mut batch = log.batch();
        for (at, (stream, payloads)) in self.parts.iter().enumerate() {
            let events: Vec<_> = payloads.iter().map(|payload| NewEvent::new("Tested", payload)).collect();
            batch = batch.append(stream, self.conditions[at].1, &events);
        }
        if let Some(stream) = self.tombstone {
            batch = batch.tombstone(stream, self.conditions[0].1);
        }
        for (stream, expected, _) in self.conditions.iter().filter(|(_, _, written)| !written) {
            batch = batch.require(stream, *expected);
        }
        batch
    }
}

impl Model {
    fn meets(&self, stream: &str, expected: ExpectedVersion) -> bool {
        let known = self.streams.get(stream);
        let version = known.map_or(0, |s| s.version);
        match expected {
            ExpectedVersion::Any => true,
            ExpectedVersion::NoStream => version == 0,
            ExpectedVersion::StreamExists => known.is_some(),
            ExpectedVersion::NotRegistered => known.is_none(),
            ExpectedVersion::Exact(exact) => version == exact,
            _ => unreachable!("the model knows every condition"),
        }
    }

    /// How the write should end, by the table of the design's section on conditions.
    pub fn judge(&self, write: &Write) -> Expected {
        let mut seen: BTreeMap<&str, ExpectedVersion> = BTreeMap::new();
        let mut order = Vec::new();
        for (stream, expected, _) in &write.conditions {
            match seen.insert(stream, *expected) {
                Some(before) if before != *expected => return Expected::Contradiction,
                Some(_) => {}
                None => order.push((*stream, *expected)),
            }
        }
        for (stream, expected) in order {
            let known = self.streams.get(stream).copied().unwrap_or_default();
            if known.tombstoned {
                return Expected::Gone;
            }
            if !self.meets(stream, expected) {
                return Expected::Conflict { stream, actual: known.version };
            }
        }
        Expected::Done
    }

    /// Does what a write does that may.
    pub fn apply(&mut self, write: &Write) {
        for (stream, payloads) in &write.parts {
            let known = self.streams.entry(stream).or_default();
            for payload in payloads {
                known.version += 1;
                self.events.push(ModelEvent { stream, version: known.version, payload: payload.clone() });
            }
        }
        if let Some(stream) = write.tombstone {
            self.streams.entry(stream).or_default().tombstoned = true;
        }
    }

    /// Says how a log differs from this model, through every way of reading it.
    pub fn difference(&self, log: &EventLog) -> Option<String> {
        let mut position = 0;
        let mut cursor = log.read_all(0);
        loop {
            match cursor.next() {
                Err(error) => return Some(format!("read_all at {position}: {error}")),
                Ok(None) => break,
                Ok(Some(event)) => {
                    let Some(want) = self.events.get(position as usize) else {
                        return Some(format!("an event too many at {}", position + 1));
                    };
                    position += 1;
                    let same = event.position() == position
                        && event.stream() == want.stream
                        && event.version() == want.version
                        && event.payload() == want.payload
                        && event.event_type() == "Tested";
                    if !same {
                        return Some(format!(
                            "position {position}: {event:?}, not {} {}",
                            want.stream, want.version
                        ));
                    }
                }
            }
        }
        if position != self.events.len() as u64 || log.last_position() != position {
            return Some(format!(
                "{position} events, last is {}, not {}",
                log.last_position(),
                self.events.len()
            ));
        }
        let ids: Vec<_> = self.streams.keys().map(|id| id.to_string()).collect();
        if log.list_streams("", None, usize::MAX) != ids {
            return Some(format!("streams {:?}, not {ids:?}", log.list_streams("", None, usize::MAX)));
        }
        self.streams.iter().find_map(|(id, stream)| self.stream_difference(log, id, stream))
    }

    fn stream_difference(&self, log: &EventLog, id: &str, stream: &ModelStream) -> Option<String> {
        let Some(info) = log.stream_info(id) else { return Some(format!("{id}: not registered")) };
        if (info.version, info.tombstoned, log.stream_version(id))
            != (stream.version, stream.tombstoned, stream.version)
        {
            return Some(format!("{id}: {info:?}, not {stream:?}"));
        }
        let read: Result<Vec<_>, _> = log.read_stream(id, 0).into_iter().collect();
        match read {
            Err(annals::ReadError::Gone { .. }) if stream.tombstoned => None,
            Err(error) => Some(format!("{id}: {error}")),
            Ok(_) if stream.tombstoned => Some(format!("{id}: read although it is gone")),
            Ok(events) => {
                let want = self.events.iter().filter(|event| event.stream == id);
                let same = events.len() as u64 == stream.version
                    && events
                        .iter()
                        .zip(want)
                        .all(|(a, b)| a.payload() == b.payload && a.version() == b.version);
                (!same).then(|| format!("{id}: other events in the stream"))
            }
        }
    }
}
