//! The state of a log, and what each write does to it: judged first, in the order in which the log judges.

use super::place_name;
use super::write::{Answer, Bytes, ModelNew, Part, Write};
use annals::{AppendError, ExpectedVersion, KeptCondition, Uuid};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One event as the model remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEvent {
    pub stream: &'static str,
    pub version: u64,
    pub new: ModelNew,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelStream {
    pub version: u64,
    pub tombstoned: bool,
    /// The first version that is kept.
    pub first: u64,
    pub tenant: Option<&'static str>,
    pub attributes: Bytes,
    pub ordinal: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelKept {
    pub revision: u64,
    pub value: Bytes,
    /// It was set lazily: until its batch is visible, the log does not tell its revision.
    pub lazily: bool,
}

/// What an append that carried ids was, and what it was given.
#[derive(Debug, PartialEq, Eq)]
pub struct Original {
    pub write: Write,
    pub answer: Answer,
    sections: Vec<Section>,
    ids: Vec<Uuid>,
    keyed: bool,
}

/// What is stored of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Section {
    Events(&'static str, Option<&'static str>, Vec<ModelNew>),
    Create(&'static str, Option<&'static str>, Bytes),
    Truncate(&'static str, Option<&'static str>, u64),
    Tombstone(&'static str, Option<&'static str>),
    Keep(String, Bytes),
    Unkeep(String),
}

/// A whole log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Model {
    /// For how many positions ids are remembered.
    pub window: u64,
    /// By position.
    pub events: Vec<Arc<ModelEvent>>,
    /// The registered ones.
    pub streams: BTreeMap<&'static str, ModelStream>,
    /// What was written.
    pub kept: BTreeMap<String, ModelKept>,
    /// What was set lazily, and waits to be written.
    pub lazy: BTreeMap<String, Bytes>,
    pub last_revision: u64,
    /// In the order of the log.
    pub originals: Vec<Arc<Original>>,
}

/// A stream that a write names.
struct Party {
    stream: &'static str,
    expected: ExpectedVersion,
    tenant: Option<&'static str>,
    ended: bool,
}

#[derive(Default)]
struct Parties {
    streams: Vec<Party>,
    kept: Vec<(String, KeptCondition)>,
}

impl Parties {
    /// What a write demands of whom, or what is wrong with it, whatever the log holds.
    fn of(write: &Write) -> Result<Parties, AppendError> {
        let mut parties = Parties::default();
        let mut tenant = None;
        for part in &write.parts {
            match part {
                Part::Tenant(named) => tenant = Some(*named),
                Part::Append { stream, expected, .. }
                | Part::Create { stream, expected, .. }
                | Part::Truncate { stream, expected, .. } => {
                    parties.living(stream, *expected, tenant)?;
                }
                Part::Tombstone { stream, expected } => {
                    parties.living(stream, *expected, tenant)?.ended = true;
                }
                Part::Require { stream, expected } => {
                    parties.stream(stream, *expected, tenant)?;
                }
                Part::Keep { name, condition, .. }
                | Part::Unkeep { name, condition }
                | Part::RequireKept { name, condition } => parties.kept((*name).to_owned(), *condition)?,
                Part::Acknowledge { consumer, position } => {
                    if *position > write.visible {
                        let (asked, end) = (*position, write.visible);
                        return Err(AppendError::BeyondEnd { what: "position", asked, end });
                    }
                    parties.kept(place_name(consumer), KeptCondition::Any)?;
                }
            }
        }
        if parties.streams.is_empty() && parties.kept.is_empty() {
            return Err(AppendError::EmptyBatch);
        }
        let (mut ids, _) = write.ids();
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(AppendError::IdReused { id: pair[0] }),
            None => Ok(parties),
        }
    }

    fn stream(
        &mut self,
        stream: &'static str,
        expected: ExpectedVersion,
        tenant: Option<&'static str>,
    ) -> Result<&mut Party, AppendError> {
        let at = self.streams.iter().position(|party| party.stream == stream).unwrap_or_else(|| {
            self.streams.push(Party { stream, expected, tenant, ended: false });
            self.streams.len() - 1
        });
        let party = &mut self.streams[at];
        if party.expected != expected {
            return Err(AppendError::ContradictoryConditions { stream: stream.to_owned() });
        }
        if let (Some(bound), Some(named)) = (party.tenant, tenant)
            && bound != named
        {
            return Err(AppendError::ForeignTenant { stream: stream.to_owned(), named: named.to_owned() });
        }
        party.tenant = party.tenant.or(tenant);
        Ok(party)
    }

    fn living(
        &mut self,
        stream: &'static str,
        expected: ExpectedVersion,
        tenant: Option<&'static str>,
    ) -> Result<&mut Party, AppendError> {
        let party = self.stream(stream, expected, tenant)?;
        if party.ended { Err(AppendError::Gone { stream: stream.to_owned() }) } else { Ok(party) }
    }

    fn kept(&mut self, name: String, condition: KeptCondition) -> Result<(), AppendError> {
        match self.kept.iter().find(|(known, _)| *known == name) {
            Some((_, known)) if *known != condition => {
                Err(AppendError::ContradictoryConditions { stream: name })
            }
            Some(_) => Ok(()),
            None => {
                self.kept.push((name, condition));
                Ok(())
            }
        }
    }
}

/// What would be stored of a write.
fn sections(write: &Write) -> Vec<Section> {
    let mut tenant = None;
    let mut sections = Vec::new();
    for part in &write.parts {
        sections.push(match part {
            Part::Tenant(named) => {
                tenant = Some(*named);
                continue;
            }
            Part::Require { .. } | Part::RequireKept { .. } => continue,
            Part::Append { stream, events, .. } if events.is_empty() => {
                Section::Create(stream, tenant, [].into())
            }
            Part::Append { stream, events, .. } => Section::Events(stream, tenant, events.clone()),
            Part::Create { stream, attributes, .. } => Section::Create(stream, tenant, attributes.clone()),
            Part::Truncate { stream, first, .. } => Section::Truncate(stream, tenant, (*first).max(1)),
            Part::Tombstone { stream, .. } => Section::Tombstone(stream, tenant),
            Part::Keep { name, value, .. } => Section::Keep((*name).to_owned(), value.clone()),
            Part::Unkeep { name, .. } => Section::Unkeep((*name).to_owned()),
            Part::Acknowledge { consumer, position } => {
                Section::Keep(place_name(consumer), position.to_le_bytes().as_slice().into())
            }
        });
    }
    sections
}

impl Model {
    pub fn new(window: u64) -> Model {
        Model { window, ..Model::default() }
    }

    /// What is wrong with a write, whatever the log holds.
    pub fn malformed(write: &Write) -> Option<AppendError> {
        Parties::of(write).err()
    }

    /// Writes what was set lazily, in the order of the names, as far as `wanted` says.
    pub fn flush(&mut self, wanted: impl Fn(&str) -> bool) {
        let (written, left) = std::mem::take(&mut self.lazy).into_iter().partition(|(name, _)| wanted(name));
        self.lazy = left;
        let written: BTreeMap<String, Bytes> = written;
        for (name, value) in written {
            self.last_revision += 1;
            self.kept.insert(name, ModelKept { revision: self.last_revision, value, lazily: true });
        }
    }

    /// The append among the last ones that carries an id.
    fn with_id(&self, id: &Uuid) -> Option<&Original> {
        let end = self.events.len() as u64;
        let recent = |original: &&Arc<Original>| original.answer.last_position + self.window > end;
        self.originals
            .iter()
            .rev()
            .filter(recent)
            .find(|original| original.ids.contains(id))
            .map(|found| &**found)
    }

    /// What a write that was made before was given then; what is wrong with its ids; or nothing, if they are new.
    fn seen(&self, write: &Write) -> Result<Option<Answer>, AppendError> {
        let (ids, has_key) = write.ids();
        if let (Some(key), true) = (ids.first(), has_key)
            && let Some(original) = self.with_id(key)
            && original.keyed
            && original.ids[0] == *key
        {
            if original.sections != sections(write) {
                return Err(AppendError::IdReused { id: *key });
            }
            let mut answer = Answer { repeated: true, ..original.answer.clone() };
            // Whether it made something new is not stored.
            answer.streams.iter_mut().for_each(|stream| stream.4 = false);
            answer.kept.iter_mut().for_each(|kept| kept.2 = None);
            return Ok(Some(answer));
        }
        match ids.iter().find(|id| self.with_id(id).is_some()) {
            Some(id) => Err(AppendError::IdReused { id: *id }),
            None => Ok(None),
        }
    }

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

    fn judge(&self, parties: &Parties) -> Result<(), AppendError> {
        for Party { stream, expected, tenant, .. } in &parties.streams {
            let known = self.streams.get(stream).cloned().unwrap_or_default();
            let stream = (*stream).to_owned();
            match (known.tenant, tenant) {
                (Some(bound), Some(named)) if bound != *named => {
                    return Err(AppendError::ForeignTenant { stream, named: (*named).to_owned() });
                }
                _ if known.tombstoned => return Err(AppendError::Gone { stream }),
                _ if !self.meets(&stream, *expected) => {
                    return Err(AppendError::Conflict { stream, expected: *expected, actual: known.version });
                }
                _ => {}
            }
        }
        for (name, condition) in &parties.kept {
            let actual = self.kept.get(name).map(|kept| kept.revision);
            let meets = match condition {
                KeptCondition::Any => true,
                KeptCondition::Absent => actual.is_none(),
                KeptCondition::Present => actual.is_some(),
                KeptCondition::Revision(revision) => actual == Some(*revision),
                _ => unreachable!("the model knows every condition"),
            };
            if !meets {
                return Err(AppendError::KeptConflict { name: name.clone(), expected: *condition, actual });
            }
        }
        Ok(())
    }

    /// The log behind a write, and what the write is told. What was set lazily must have been flushed if the write is
    /// about kept values.
    pub fn perform(&self, write: &Write) -> Result<(Model, Answer), AppendError> {
        let parties = Parties::of(write)?;
        if let Some(answer) = self.seen(write)? {
            return Ok((self.clone(), answer));
        }
        self.judge(&parties)?;
        let sections = sections(write);
        let is_known = |section: &Section| match section {
            Section::Create(stream, tenant, _) => {
                self.streams.get(stream).is_some_and(|known| known.tenant.is_some() || tenant.is_none())
            }
            _ => false,
        };
        let nothing_new = sections.iter().all(is_known);
        let mut next = self.clone();
        let mut answer = Answer { first_position: self.events.len() as u64 + 1, ..Answer::default() };
        for section in &sections {
            next.store(section, &mut answer)?;
        }
        answer.last_position = next.events.len() as u64;
        if nothing_new {
            return Ok((self.clone(), answer));
        }
        let (ids, keyed) = write.ids();
        if !ids.is_empty() {
            let original = Original { write: write.clone(), answer: answer.clone(), sections, ids, keyed };
            next.originals.push(Arc::new(original));
        }
        Ok((next, answer))
    }

    fn store(&mut self, section: &Section, answer: &mut Answer) -> Result<(), AppendError> {
        let (stream, tenant) = match section {
            Section::Keep(name, value) => {
                self.last_revision += 1;
                let kept = ModelKept { revision: self.last_revision, value: value.clone(), lazily: false };
                let replaced = self.kept.insert(name.clone(), kept);
                answer.kept.push((name.clone(), self.last_revision, replaced.map(|kept| kept.revision)));
                return Ok(());
            }
            Section::Unkeep(name) => {
                self.last_revision += 1;
                let replaced = self.kept.remove(name);
                answer.kept.push((name.clone(), self.last_revision, replaced.map(|kept| kept.revision)));
                return Ok(());
            }
            Section::Events(stream, tenant, _)
            | Section::Create(stream, tenant, _)
            | Section::Truncate(stream, tenant, _)
            | Section::Tombstone(stream, tenant) => (*stream, *tenant),
        };
        let ordinal = self.streams.len() as u64 + 1;
        let created = !self.streams.contains_key(stream);
        let known =
            self.streams.entry(stream).or_insert(ModelStream { first: 1, ordinal, ..ModelStream::default() });
        known.tenant = known.tenant.or(tenant);
        let first_version = known.version + 1;
        let first_position = self.events.len() as u64 + 1;
        match section {
            Section::Events(_, _, events) => {
                for new in events {
                    known.version += 1;
                    let event = ModelEvent { stream, version: known.version, new: new.clone() };
                    self.events.push(Arc::new(event));
                }
            }
            Section::Create(_, _, attributes) if created => known.attributes = attributes.clone(),
            Section::Truncate(_, _, first) if *first > known.version + 1 => {
                let end = known.version + 1;
                return Err(AppendError::BeyondEnd { what: "version", asked: *first, end });
            }
            Section::Truncate(_, _, first) => known.first = known.first.max(*first),
            Section::Tombstone(..) => known.tombstoned = true,
            _ => {}
        }
        answer.streams.push((stream, first_version, known.version, first_position, created));
        Ok(())
    }
}
