//! Writes and reads the format, from FORMAT.md alone: no line here comes from the crate, and none calls it.
//!
//! Owns a second opinion. The golden files are written by it, the fuzzer builds and re-seals its segments with it, and
//! logs that the engine wrote are read by it. Where the two disagree, one of them or FORMAT.md is wrong. Section numbers
//! are those of FORMAT.md.

mod layer;
mod layer_bytes;
mod pages;
mod reader;

pub(crate) use layer::Layer;
pub(crate) use pages::{Checkpoint, Footer, Header, seal_page};
pub(crate) use reader::{End, Log, SEALED_BODY, Segment, Standing, Stream, reaches, read_log, reseal};

use std::ops::Range;

pub(crate) const PAGE: usize = 4096;
const FRAME_HEAD: usize = 72;
const ENTRY: usize = 24;
const BODY_MAX: u64 = 1_073_741_824;
const SECTIONS_MAX: u32 = 1_048_576;
const NUMBER_MAX: u64 = (1 << 62) - 1;

pub(crate) const APPEND: u8 = 1;
pub(crate) const IDLE: u8 = 2;
pub(crate) const CLOSED: u8 = 3;
pub(crate) const PAD: u8 = 4;

pub(crate) const EVENTS: u8 = 1;
pub(crate) const CREATE: u8 = 2;
pub(crate) const TOMBSTONE: u8 = 3;
pub(crate) const TRUNCATE_BEFORE: u8 = 4;
pub(crate) const KEEP: u8 = 5;
pub(crate) const UNKEEP: u8 = 6;
pub(crate) const CARRY_STREAM: u8 = 7;
pub(crate) const CARRY_KEPT: u8 = 8;
pub(crate) const LOG_STARTS_AT: u8 = 9;

pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// The bytes at an offset, as many as are asked for.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

fn pad_to_8(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(256).all(|chunk| *chunk == [0; 256][..chunk.len()])
}

/// Section 4. `removed` is not 0 for a stub.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Event {
    pub(crate) id: Option<[u8; 16]>,
    pub(crate) attributes: Option<Vec<(u16, Vec<u8>)>>,
    pub(crate) event_type: String,
    pub(crate) metadata: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) removed: u64,
}

impl Event {
    pub(crate) fn new(event_type: &str, payload: &[u8]) -> Event {
        Event { event_type: event_type.to_owned(), payload: payload.to_vec(), ..Event::default() }
    }

    /// How many events it counts as.
    pub(crate) fn count(&self) -> u64 {
        self.removed.max(1)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let removed = self.removed.to_le_bytes();
        let payload = if self.removed > 0 { &removed[..] } else { &self.payload };
        let flags = u16::from(self.id.is_some())
            | u16::from(self.attributes.is_some()) << 1
            | u16::from(self.removed > 0) << 15;
        let mut bytes = vec![0; 4];
        bytes.extend((payload.len() as u32).to_le_bytes());
        bytes.extend((self.metadata.len() as u32).to_le_bytes());
        bytes.extend((self.event_type.len() as u16).to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(self.id.iter().flatten());
        if let Some(attributes) = &self.attributes {
            let len: usize = attributes.iter().map(|(_, value)| 4 + value.len()).sum();
            bytes.extend((len as u32).to_le_bytes());
            for (tag, value) in attributes {
                bytes.extend(tag.to_le_bytes());
                bytes.extend((value.len() as u16).to_le_bytes());
                bytes.extend(value);
            }
        }
        bytes.extend(self.event_type.as_bytes());
        bytes.extend(&self.metadata);
        bytes.extend(payload);
        pad_to_8(&mut bytes);
        let crc = crc32(&bytes[4..]);
        put(&mut bytes, 0, &crc.to_le_bytes());
        bytes
    }

    /// How long the event at the start of `bytes` is, if its lengths stay inside; its checksum is not looked at.
    fn extent(bytes: &[u8]) -> Option<usize> {
        if bytes.len() < 16 {
            return None;
        }
        let flags = u16_at(bytes, 14);
        let mut len = 16 + usize::from(flags & 1) * 16;
        if flags & 2 != 0 {
            len += 4 + u32_at(bytes.get(len..len + 4)?, 0) as usize;
        }
        len += u32_at(bytes, 4) as usize + u32_at(bytes, 8) as usize + usize::from(u16_at(bytes, 12));
        let len = len.next_multiple_of(8);
        (len <= bytes.len()).then_some(len)
    }

    fn decode(bytes: &[u8]) -> Result<(Event, usize), &'static str> {
        let len = Event::extent(bytes).ok_or("event lengths")?;
        let event = &bytes[..len];
        let flags = u16_at(event, 14);
        if u32_at(event, 0) != crc32(&event[4..]) || flags & !0x8003 != 0 {
            return Err("event checksum or flags");
        }
        let mut at = 16;
        let mut take = |len: usize| {
            at += len;
            &event[at - len..at]
        };
        let id = (flags & 1 != 0).then(|| array_at(take(16), 0));
        let attributes = if flags & 2 != 0 {
            let len = u32_at(take(4), 0) as usize;
            Some(read_attributes(take(len))?)
        } else {
            None
        };
        let event_type = take(usize::from(u16_at(event, 12)));
        let event_type = String::from_utf8(event_type.to_vec()).map_err(|_| "event type is not UTF-8")?;
        let metadata = take(u32_at(event, 8) as usize).to_vec();
        let payload = take(u32_at(event, 4) as usize).to_vec();
        if !is_zero(&event[at..]) {
            return Err("event padding");
        }
        if flags & 0x8000 == 0 {
            let right = (1..=1024).contains(&event_type.len());
            let event = Event { id, attributes, event_type, metadata, payload, removed: 0 };
            return if right { Ok((event, len)) } else { Err("event type length") };
        }
        let removed = if payload.len() == 8 { u64_at(&payload, 0) } else { 0 };
        if removed == 0 || removed > u64::from(u32::MAX) || !event_type.is_empty() || !metadata.is_empty() {
            return Err("stub");
        }
        Ok((Event { id, attributes, removed, ..Event::default() }, len))
    }
}

fn read_attributes(mut bytes: &[u8]) -> Result<Vec<(u16, Vec<u8>)>, &'static str> {
    let mut attributes = Vec::new();
    while !bytes.is_empty() {
        let head = bytes.get(..4).ok_or("attribute block")?;
        let len = usize::from(u16_at(head, 2));
        let value = bytes.get(4..4 + len).ok_or("attribute block")?;
        attributes.push((u16_at(head, 0), value.to_vec()));
        bytes = &bytes[4 + len..];
    }
    Ok(attributes)
}

/// What stands in a section behind its id block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Events(Vec<Event>),
    Control(Vec<u8>),
    /// Read, and something is wrong behind these events.
    Damaged(Vec<Event>, &'static str),
}

/// Sections 3.1, 3.2 and 6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) kind: u8,
    pub(crate) first: u64,
    /// How many events, as the section table says.
    pub(crate) events: u32,
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) content: Content,
}

impl Section {
    pub(crate) fn events(id: &str, first: u64, events: Vec<Event>) -> Section {
        let count = events.iter().map(|event| event.count() as u32).sum();
        Section {
            kind: EVENTS,
            first,
            events: count,
            id: id.to_owned(),
            tenant: String::new(),
            content: Content::Events(events),
        }
    }

    pub(crate) fn control(kind: u8, id: &str, first: u64, content: &[u8]) -> Section {
        let content = Content::Control(content.to_vec());
        Section { kind, first, events: 0, id: id.to_owned(), tenant: String::new(), content }
    }

    #[must_use]
    pub(crate) fn of_tenant(mut self, tenant: &str) -> Section {
        self.tenant = tenant.to_owned();
        self
    }

    fn id_block(&self) -> Vec<u8> {
        let mut bytes = (self.id.len() as u16).to_le_bytes().to_vec();
        bytes.extend((self.tenant.len() as u16).to_le_bytes());
        bytes.extend(self.id.as_bytes());
        bytes.extend(self.tenant.as_bytes());
        bytes
    }

    fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let mut body = self.id_block();
        let block_crc = crc32(&body);
        pad_to_8(&mut body);
        match &self.content {
            Content::Events(events) => events.iter().for_each(|event| body.extend(event.encode())),
            Content::Control(content) => {
                let mut record = vec![0; 4];
                record.extend((content.len() as u32).to_le_bytes());
                record.extend(content);
                pad_to_8(&mut record);
                let crc = crc32(&record[4..]);
                put(&mut record, 0, &crc.to_le_bytes());
                body.extend(record);
            }
            Content::Damaged(..) => {}
        }
        let mut entry = self.first.to_le_bytes().to_vec();
        entry.extend(self.events.to_le_bytes());
        entry.extend((body.len() as u32).to_le_bytes());
        entry.extend(block_crc.to_le_bytes());
        entry.extend([self.kind, 0, 0, 0]);
        (entry, body)
    }

    fn decode(entry: &[u8], body: &[u8]) -> Result<Section, &'static str> {
        let (kind, first, events) = (entry[20], u64_at(entry, 0), u32_at(entry, 8));
        let head = body.get(..4).ok_or("section without an id block")?;
        let (id_len, tenant_len) = (usize::from(u16_at(head, 0)), usize::from(u16_at(head, 2)));
        let block = body.get(..4 + id_len + tenant_len).ok_or("id block")?;
        let start = block.len().next_multiple_of(8);
        if id_len > 2048 || tenant_len > 2048 || (id_len == 0) != (kind == LOG_STARTS_AT) {
            return Err("id or tenant length");
        }
        if u32_at(entry, 16) != crc32(block) || !is_zero(body.get(block.len()..start).ok_or("id block")?) {
            return Err("id block checksum or padding");
        }
        if first > NUMBER_MAX || !is_zero(&entry[21..]) || !(EVENTS..=LOG_STARTS_AT).contains(&kind) {
            return Err("kind or number of a section");
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| "id is not UTF-8");
        let (id, tenant) = (text(&block[4..4 + id_len])?, text(&block[4 + id_len..])?);
        let content = if kind == EVENTS {
            if events == 0 || first == 0 || first.saturating_add(u64::from(events)) > NUMBER_MAX + 1 {
                return Err("versions of a section");
            }
            read_events(&body[start..], events)
        } else {
            if events != 0 {
                return Err("events in a control section");
            }
            Content::Control(read_control(kind, first, &body[start..])?)
        };
        Ok(Section { kind, first, events, id, tenant, content })
    }
}

fn read_events(mut bytes: &[u8], expected: u32) -> Content {
    let (mut events, mut count) = (Vec::new(), 0);
    while count < u64::from(expected) {
        match Event::decode(bytes) {
            Ok((event, len)) => {
                count += event.count();
                events.push(event);
                bytes = &bytes[len..];
            }
            Err(fault) => return Content::Damaged(events, fault),
        }
    }
    let right = count == u64::from(expected) && bytes.is_empty();
    if right { Content::Events(events) } else { Content::Damaged(events, "event count of a section") }
}

fn read_control(kind: u8, first: u64, bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let len = u32_at(bytes.get(..8).ok_or("control record")?, 4) as usize;
    let content = bytes.get(8..8 + len).ok_or("control record")?;
    if bytes.len() != (8 + len).next_multiple_of(8)
        || !is_zero(&bytes[8 + len..])
        || u32_at(bytes, 0) != crc32(&bytes[4..])
    {
        return Err("control record checksum, length or padding");
    }
    let right = match kind {
        CREATE => first == 0 && len <= 256,
        TOMBSTONE | TRUNCATE_BEFORE | UNKEEP => len == 0,
        KEEP | CARRY_KEPT => len <= 67_108_864,
        CARRY_STREAM => {
            let numbers = |content: &[u8]| u64_at(content, 0).max(u64_at(content, 24)) <= NUMBER_MAX;
            let flags = |content: &[u8]| u32_at(content, 32) <= 1;
            let attributes = |content: &[u8]| len - 40 == u32_at(content, 36) as usize && len - 40 <= 256;
            len >= 40 && numbers(content) && flags(content) && attributes(content)
        }
        _ => first == 0 && len == 16,
    };
    if right { Ok(content.to_vec()) } else { Err("control record content") }
}

/// Section 3. The batch start and the checksums are the writer's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) first_position: u64,
    pub(crate) time: u64,
    pub(crate) batch: u64,
    pub(crate) sections: Vec<Section>,
    /// Length of the body of a pad frame.
    pub(crate) zeros: usize,
}

impl Frame {
    pub(crate) fn events(&self) -> u64 {
        self.sections.iter().map(|section| u64::from(section.events)).sum()
    }
}

/// A frame and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) frame: Frame,
    pub(crate) span: Range<usize>,
    pub(crate) batch_start: u64,
    pub(crate) checksum: u32,
    pub(crate) body_checksum: u32,
}

/// Section 3: the frame checksum, for the frame at `offset`, `head` being its header with the section table.
fn frame_checksum(salt: u64, offset: usize, head: &[u8]) -> u32 {
    let mut covered = salt.to_le_bytes().to_vec();
    covered.extend((offset as u64).to_le_bytes());
    covered.extend(&head[..68]);
    covered.extend(&head[FRAME_HEAD..]);
    crc32(&covered)
}

/// Writes a segment frame by frame.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub(crate) header: Header,
    pub(crate) frames: Vec<Placed>,
    /// From the start of the file to the end of the last frame.
    pub(crate) bytes: Vec<u8>,
    footer: Option<Vec<u8>>,
    batch_start: u64,
    batch: u64,
    next_position: u64,
}

impl Writer {
    /// `batch` is the number of the last batch before this segment, 0 if none.
    pub(crate) fn new(header: Header, batch: u64) -> Writer {
        let (bytes, next_position) = (header.encode(), header.base_position);
        Writer { header, frames: Vec::new(), bytes, footer: None, batch_start: 0, batch, next_position }
    }

    /// The frames to come are a new batch.
    pub(crate) fn batch(&mut self) -> &mut Writer {
        (self.batch, self.batch_start) = (self.batch + 1, self.bytes.len() as u64);
        self
    }

    pub(crate) fn append(&mut self, time: u64, sections: Vec<Section>) -> &mut Writer {
        self.frame(APPEND, time, sections, 0)
    }

    /// An idle or a closed frame: a batch of its own.
    pub(crate) fn witness(&mut self, kind: u8, time: u64) -> &mut Writer {
        self.batch().frame(kind, time, Vec::new(), 0)
    }

    /// A frame of `zeros` zeros.
    pub(crate) fn pad(&mut self, time: u64, zeros: usize) -> &mut Writer {
        self.frame(PAD, time, Vec::new(), zeros)
    }

    fn frame(&mut self, kind: u8, time: u64, sections: Vec<Section>, zeros: usize) -> &mut Writer {
        let frame =
            Frame { kind, first_position: self.next_position, time, batch: self.batch, sections, zeros };
        let offset = self.bytes.len();
        let (mut table, mut body) = (Vec::new(), vec![0; zeros]);
        for section in &frame.sections {
            let (entry, bytes) = section.encode();
            table.extend(entry);
            body.extend(bytes);
        }
        let body_checksum = crc32(&body);
        let mut head = b"AFrm".to_vec();
        head.extend([kind, 0, 0, 0]);
        head.extend((frame.sections.len() as u32).to_le_bytes());
        head.extend((frame.events() as u32).to_le_bytes());
        head.extend((body.len() as u64).to_le_bytes());
        head.extend(frame.first_position.to_le_bytes());
        head.extend(time.to_le_bytes());
        head.extend(frame.batch.to_le_bytes());
        head.extend(self.batch_start.to_le_bytes());
        head.extend(self.last_checksum().to_le_bytes());
        head.extend(body_checksum.to_le_bytes());
        head.extend([0; 8]);
        head.extend(table);
        let checksum = frame_checksum(self.header.salt, offset, &head);
        put(&mut head, 68, &checksum.to_le_bytes());
        self.bytes.extend(head);
        self.bytes.extend(body);
        self.next_position += frame.events();
        let span = offset..self.bytes.len();
        let batch_start = self.batch_start;
        self.frames.push(Placed { frame, span, batch_start, checksum, body_checksum });
        self
    }

    fn last_checksum(&self) -> u32 {
        self.frames.last().map_or(self.header.previous_checksum, |placed| placed.checksum)
    }

    pub(crate) fn seal(&mut self) -> &mut Writer {
        self.rewritten(0)
    }

    /// Seals it as one that was rewritten so many times.
    pub(crate) fn rewritten(&mut self, generation: u32) -> &mut Writer {
        let footer = Footer { generation, ..footer_of(&self.header, &self.frames, self.batch) };
        self.footer = Some(footer.encode());
        self
    }

    /// The header of the segment after this one.
    pub(crate) fn next(&self, salt: u64, created: u64) -> Header {
        Header {
            salt,
            created,
            ordinal: self.header.ordinal + 1,
            base_position: self.next_position,
            previous_salt: self.header.salt,
            previous_end: self.bytes.len() as u64,
            previous_checksum: self.last_checksum(),
            ..self.header.clone()
        }
    }

    /// What a checkpoint written now says.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            log_id: self.header.log_id,
            ordinal: self.header.ordinal,
            salt: self.header.salt,
            offset: self.bytes.len() as u64,
            last_position: self.next_position - 1,
            batch: self.batch,
            checksum: self.last_checksum(),
            layers: Vec::new(),
        }
    }

    /// The whole file.
    pub(crate) fn image(&self) -> Vec<u8> {
        let mut image = self.bytes.clone();
        image.resize(self.header.capacity as usize, 0);
        if let Some(footer) = &self.footer {
            let at = image.len() - PAGE;
            put(&mut image, at, footer);
        }
        image
    }
}

fn footer_of(header: &Header, frames: &[Placed], batch: u64) -> Footer {
    let mut hashed = Vec::new();
    for placed in frames {
        hashed.extend(placed.checksum.to_le_bytes());
        hashed.extend(placed.body_checksum.to_le_bytes());
    }
    let events = frames.iter().map(|placed| placed.frame.events()).sum::<u64>();
    Footer {
        generation: 0,
        log_id: header.log_id,
        salt: header.salt,
        ordinal: header.ordinal,
        end: frames.last().map_or(PAGE, |placed| placed.span.end) as u64,
        frames: frames.len() as u64,
        events,
        base_position: header.base_position,
        last_position: header.base_position + events - 1,
        batch: frames.last().map_or(batch, |placed| placed.frame.batch),
        time: frames.last().map_or(0, |placed| placed.frame.time),
        checksum: frames.last().map_or(header.previous_checksum, |placed| placed.checksum),
        digest: xxhash_rust::xxh3::xxh3_128(&hashed).to_be_bytes(),
    }
}
