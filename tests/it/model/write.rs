//! Writes: what an operation comes to once the state that it meets is known, and how it is sent off.

use super::ops::{Cond, Expect, Ids, Op, Piece, Twist, Way};
use super::state::Model;
use super::{CONSUMERS, NAMES, STREAMS, TENANTS, TYPES, place_name};
use annals::{
    AppendError, Appended, BatchAppended, BatchBuilder, EventLog, ExpectedVersion, KeptChanged,
    KeptCondition, NewEvent, Pending, Uuid,
};
use std::sync::Arc;

pub type Bytes = Arc<[u8]>;

/// An event to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelNew {
    pub id: Option<Uuid>,
    pub event_type: &'static str,
    pub metadata: Bytes,
    pub payload: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Tenant(&'static str),
    Append { stream: &'static str, expected: ExpectedVersion, events: Vec<ModelNew> },
    Create { stream: &'static str, expected: ExpectedVersion, attributes: Bytes },
    Truncate { stream: &'static str, first: u64, expected: ExpectedVersion },
    Tombstone { stream: &'static str, expected: ExpectedVersion },
    Require { stream: &'static str, expected: ExpectedVersion },
    Keep { name: &'static str, condition: KeptCondition, value: Bytes },
    Unkeep { name: &'static str, condition: KeptCondition },
    RequireKept { name: &'static str, condition: KeptCondition },
    Acknowledge { consumer: &'static str, position: u64 },
}

/// One atomic write, before it is known whether it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub parts: Vec<Part>,
    pub way: Way,
    /// The last position that was visible when it was made: what an acknowledgement is compared with.
    pub visible: u64,
}

/// What a write is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    pub first_position: u64,
    pub last_position: u64,
    /// Stream, first and last version, first position, created.
    pub streams: Vec<(&'static str, u64, u64, u64, bool)>,
    /// Name, revision, the one that was replaced.
    pub kept: Vec<(String, u64, Option<u64>)>,
    pub repeated: bool,
}

/// What the log said.
#[derive(Debug)]
pub enum Told {
    Batch(BatchAppended),
    One(Appended),
    Kept(KeptChanged),
}

impl Told {
    /// Whether this is what the model says.
    pub fn agrees(&self, want: &Answer) -> bool {
        match self {
            Told::Batch(done) => {
                let streams = |s: &annals::StreamAppended| {
                    (s.first_version, s.last_version, s.first_position, s.created)
                };
                done.streams.iter().map(|s| &*s.stream).eq(want.streams.iter().map(|s| s.0))
                    && done.streams.iter().map(streams).eq(want.streams.iter().map(|s| (s.1, s.2, s.3, s.4)))
                    && done
                        .kept
                        .iter()
                        .map(|k| (k.name.clone(), k.revision, k.replaced))
                        .eq(want.kept.iter().cloned())
                    && (done.first_position, done.last_position) == (want.first_position, want.last_position)
                    && done.repeated == want.repeated
            }
            Told::One(done) => {
                want.streams.first().is_some_and(|s| {
                    (done.first_version, done.last_version, done.first_position, done.created)
                        == (s.1, s.2, s.3, s.4)
                }) && (done.first_position, done.last_position) == (want.first_position, want.last_position)
                    && done.repeated == want.repeated
            }
            Told::Kept(done) => want
                .kept
                .first()
                .is_some_and(|k| (&done.name, done.revision, done.replaced) == (&k.0, k.1, k.2)),
        }
    }
}

fn expected(expect: Expect, model: &Model, stream: usize) -> ExpectedVersion {
    match expect {
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

fn condition(cond: Cond, model: &Model, name: usize) -> KeptCondition {
    match cond {
        Cond::Any => KeptCondition::Any,
        Cond::Absent => KeptCondition::Absent,
        Cond::Present => KeptCondition::Present,
        Cond::Current(minus) => {
            let revision = model.kept.get(NAMES[name]).map_or(0, |kept| kept.revision);
            KeptCondition::Revision(revision.saturating_sub(u64::from(minus)))
        }
    }
}

/// Bytes that no other operation writes.
fn bytes(salt: u64, at: usize, len: usize) -> Bytes {
    let mut bytes = format!("{salt}.{at}.").into_bytes();
    bytes.extend((0..len).map(|b| (b as u64 ^ salt) as u8));
    bytes.into()
}

fn new_event(salt: u64, at: usize, len: usize, has_id: bool) -> ModelNew {
    let which = salt as usize + at;
    ModelNew {
        id: has_id.then(|| Uuid::from_u128(u128::from(salt) << 64 | 0xE << 32 | at as u128)),
        event_type: TYPES[which % TYPES.len()],
        metadata: if which.is_multiple_of(5) { bytes(salt, at, 3) } else { [].into() },
        payload: bytes(salt, at, len),
    }
}

fn part(piece: &Piece, model: &Model, salt: u64, at: usize, visible: u64) -> Part {
    match *piece {
        Piece::Tenant(tenant) => Part::Tenant(TENANTS[tenant]),
        Piece::Append { stream, expected: e, events, bytes, ids } => {
            let has_id = |i: usize| match ids {
                Ids::None => false,
                Ids::All => true,
                Ids::First => i == 0,
                Ids::Rest => i > 0,
            };
            let events = (0..events).map(|i| new_event(salt, at * 100 + i, bytes, has_id(i))).collect();
            Part::Append { stream: STREAMS[stream], expected: expected(e, model, stream), events }
        }
        Piece::Create { stream, expected: e, bytes: len } => Part::Create {
            stream: STREAMS[stream],
            expected: expected(e, model, stream),
            attributes: (0..len).map(|i| (i as u64 ^ salt) as u8).collect(),
        },
        Piece::Truncate { stream, expected: e, ahead } => Part::Truncate {
            stream: STREAMS[stream],
            first: (model.streams.get(STREAMS[stream]).map_or(0, |s| s.version) + 1)
                .saturating_add_signed(i64::from(ahead)),
            expected: expected(e, model, stream),
        },
        Piece::Tombstone { stream, expected: e } => {
            Part::Tombstone { stream: STREAMS[stream], expected: expected(e, model, stream) }
        }
        Piece::Require { stream, expected: e } => {
            Part::Require { stream: STREAMS[stream], expected: expected(e, model, stream) }
        }
        Piece::Keep { name, condition: c, bytes: len } => Part::Keep {
            name: NAMES[name],
            condition: condition(c, model, name),
            value: bytes(salt, at * 100, len),
        },
        Piece::Unkeep { name, condition: c } => {
            Part::Unkeep { name: NAMES[name], condition: condition(c, model, name) }
        }
        Piece::RequireKept { name, condition: c } => {
            Part::RequireKept { name: NAMES[name], condition: condition(c, model, name) }
        }
        Piece::Acknowledge { consumer, ahead } => Part::Acknowledge {
            consumer: CONSUMERS[consumer],
            position: visible.saturating_add_signed(i64::from(ahead)),
        },
    }
}

impl Write {
    /// The write that an operation asks for, if it asks for one. `salt` makes its bytes differ from all others.
    pub fn of(op: &Op, model: &Model, salt: u64, visible: u64) -> Option<Write> {
        let (pieces, way) = match op {
            Op::Append { stream, expected, events, bytes } => {
                (vec![append(*stream, *expected, *events, *bytes)], Way::Call)
            }
            Op::Submit { stream, expected, events, bytes } => {
                (vec![append(*stream, *expected, *events, *bytes)], Way::Submit)
            }
            Op::Batch { parts, checks } => {
                let parts = parts
                    .iter()
                    .map(|(stream, expected, events, bytes)| append(*stream, *expected, *events, *bytes));
                let require = |(stream, expected): &(usize, Expect)| Piece::Require {
                    stream: *stream,
                    expected: *expected,
                };
                (parts.chain(checks.iter().map(require)).collect(), Way::Commit)
            }
            Op::Tombstone { stream } => {
                (vec![Piece::Tombstone { stream: *stream, expected: Expect::Any }], Way::Call)
            }
            Op::Mixed { pieces, way } => (pieces.clone(), *way),
            Op::Again { back, twist, way } => {
                let at = model.originals.len().checked_sub(1 + back % model.originals.len().max(1))?;
                return Some(Write { way: *way, visible, ..model.originals[at].write.twisted(*twist, salt) });
            }
            Op::Lazy { .. } | Op::Place { .. } | Op::Wait | Op::Close | Op::Reopen => return None,
        };
        let parts = pieces.iter().enumerate().map(|(at, piece)| part(piece, model, salt, at + 1, visible));
        Some(Write { parts: parts.collect(), way, visible })
    }

    fn twisted(&self, twist: Twist, salt: u64) -> Write {
        let mut write = self.clone();
        if twist == Twist::Conditions {
            for part in &mut write.parts {
                if let Part::Append { expected, .. }
                | Part::Create { expected, .. }
                | Part::Truncate { expected, .. }
                | Part::Tombstone { expected, .. }
                | Part::Require { expected, .. } = part
                {
                    *expected = ExpectedVersion::Any;
                }
            }
        }
        let mut lists: Vec<&mut Vec<ModelNew>> = write
            .parts
            .iter_mut()
            .filter_map(|part| match part {
                Part::Append { events, .. } if !events.is_empty() => Some(events),
                _ => None,
            })
            .collect();
        match twist {
            Twist::Exact | Twist::Conditions => {}
            Twist::Second => _ = lists[0].remove(0),
            _ => {
                let last = lists.pop().unwrap();
                match twist {
                    Twist::Content => {
                        let event = last.last_mut().unwrap();
                        event.payload = [&event.payload, &b"!"[..]].concat().into();
                    }
                    Twist::Shorter => _ = last.pop(),
                    _ => last.push(new_event(salt, 99, 5, true)),
                }
            }
        }
        write
    }

    /// Whether it is about kept values, if only to check them: then what was set lazily is written before it.
    pub fn has_kept(&self) -> bool {
        self.parts.iter().any(|part| {
            matches!(
                part,
                Part::Keep { .. } | Part::Unkeep { .. } | Part::RequireKept { .. } | Part::Acknowledge { .. }
            )
        })
    }

    pub fn acknowledges(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Acknowledge { .. }))
    }

    /// The ids that it carries, in order, and whether the first event has one.
    pub fn ids(&self) -> (Vec<Uuid>, bool) {
        let events = || {
            self.parts.iter().flat_map(|part| match part {
                Part::Append { events, .. } => &events[..],
                _ => &[],
            })
        };
        (
            events().filter_map(|event| event.id).collect(),
            events().next().is_some_and(|event| event.id.is_some()),
        )
    }

    /// Sends it off as a batch and waits for nothing.
    pub fn submit(&self, log: &EventLog) -> Result<Pending<BatchAppended>, AppendError> {
        self.builder(log).submit()
    }

    /// Sends it off and waits, by the call that there is for it.
    pub fn send(&self, log: &EventLog) -> Result<Told, AppendError> {
        let (tenant, part) = match &self.parts[..] {
            [Part::Tenant(tenant), part] if self.way == Way::Call => (Some(log.tenant(tenant)), part),
            [part] if self.way == Way::Call => (None, part),
            _ => return self.builder(log).commit().map(Told::Batch),
        };
        match (part, tenant) {
            (Part::Append { stream, expected, events }, tenant) => {
                let events: Vec<_> = events.iter().map(ModelNew::lent).collect();
                match tenant {
                    Some(tenant) => tenant.append(stream, *expected, &events),
                    None => log.append(stream, *expected, &events),
                }
                .map(Told::One)
            }
            (Part::Create { stream, expected, attributes }, None) => {
                log.create_stream(stream, *expected, attributes).map(Told::One)
            }
            (Part::Create { stream, expected, attributes }, Some(tenant)) => {
                tenant.create_stream(stream, *expected, attributes).map(Told::One)
            }
            (Part::Truncate { stream, first, expected }, None) => {
                log.truncate_before(stream, *first, *expected).map(Told::One)
            }
            (Part::Truncate { stream, first, expected }, Some(tenant)) => {
                tenant.truncate_before(stream, *first, *expected).map(Told::One)
            }
            (Part::Tombstone { stream, expected }, None) => log.tombstone(stream, *expected).map(Told::One),
            (Part::Tombstone { stream, expected }, Some(tenant)) => {
                tenant.tombstone(stream, *expected).map(Told::One)
            }
            (Part::Keep { name, condition, value }, None) => {
                log.keep(name, *condition, value).map(Told::Kept)
            }
            (Part::Unkeep { name, condition }, None) => log.unkeep(name, *condition).map(Told::Kept),
            _ => self.builder(log).commit().map(Told::Batch),
        }
    }

    fn builder<'a>(&self, log: &'a EventLog) -> BatchBuilder<'a> {
        let mut batch = log.batch();
        for part in &self.parts {
            batch = match part {
                Part::Tenant(tenant) => batch.in_tenant(tenant),
                Part::Append { stream, expected, events } => {
                    let events: Vec<_> = events.iter().map(ModelNew::lent).collect();
                    batch.append(stream, *expected, &events)
                }
                Part::Create { stream, expected, attributes } => batch.create(stream, *expected, attributes),
                Part::Truncate { stream, first, expected } => {
                    batch.truncate_before(stream, *first, *expected)
                }
                Part::Tombstone { stream, expected } => batch.tombstone(stream, *expected),
                Part::Require { stream, expected } => batch.require(stream, *expected),
                Part::Keep { name, condition, value } => batch.keep_if(name, *condition, value),
                Part::Unkeep { name, condition } => batch.unkeep(name, *condition),
                Part::RequireKept { name, condition } => batch.require_kept(name, *condition),
                Part::Acknowledge { consumer, position } => batch.acknowledge(consumer, *position),
            };
        }
        batch
    }
}

fn append(stream: usize, expected: Expect, events: usize, bytes: usize) -> Piece {
    Piece::Append { stream, expected, events, bytes, ids: Ids::None }
}

impl ModelNew {
    pub fn lent(&self) -> NewEvent<'_> {
        let event = NewEvent::new(self.event_type, &*self.payload).with_metadata(&*self.metadata);
        match self.id {
            Some(id) => event.with_id(id),
            None => event,
        }
    }
}

/// Does what an operation does lazily, in the log and in the model.
pub fn set_lazily(op: &Op, log: &EventLog, model: &mut Model, salt: u64) -> Result<(), AppendError> {
    match *op {
        Op::Lazy { name, bytes: len } => {
            let value = bytes(salt, 0, len);
            log.keep_lazily(NAMES[name], &value)?;
            model.lazy.insert(NAMES[name].to_owned(), value);
        }
        Op::Place { consumer, ahead } => {
            let end = log.last_position();
            let position = end.saturating_add_signed(i64::from(ahead));
            let is_known = log.acknowledged(CONSUMERS[consumer]).is_ok_and(|place| position <= place);
            let result = log.acknowledge(CONSUMERS[consumer], position);
            if position > end {
                let beyond = AppendError::BeyondEnd { what: "position", asked: position, end };
                assert_eq!(result, Err(beyond));
                return Ok(());
            }
            result?;
            if is_known {
                // It stands there already.
                return Ok(());
            }
            model.lazy.insert(place_name(CONSUMERS[consumer]), position.to_le_bytes().as_slice().into());
        }
        _ => unreachable!("{op:?} is not lazy"),
    }
    Ok(())
}
