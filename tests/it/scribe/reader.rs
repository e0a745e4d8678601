//! The reader: what a segment holds, how it ends, and whether the log must be refused (FORMAT.md sections 3, 6 and 8).
//!
//! Owns a second opinion on every log: [`read_log`] says what the engine should say. And [`reseal`], which makes the
//! checksums of a changed image right again, so that a test gets past them to what lies behind.

use super::*;
use std::collections::{BTreeMap, HashSet};

/// What is read of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) header: Header,
    pub(crate) frames: Vec<Placed>,
    pub(crate) end: usize,
    pub(crate) how: End,
}

/// How a segment ends, by the table of section 8. Every other row is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Sealed(Footer),
    Clean,
    TornTail,
    TornFooter,
}

/// Why a log is refused whose damage a reader may also leave to be found later: it lies in the body of a frame of a
/// sealed segment, and the footer vouches for everything else.
pub(crate) const SEALED_BODY: &str = "the body of a frame in a sealed segment";

/// What stands at an offset.
enum Look {
    /// No valid frame header.
    Nothing,
    /// A valid header and a body that is not its.
    OtherBody,
    Frame(Placed, u32),
    Refused(&'static str),
}

/// What a log holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Log {
    pub(crate) segments: Vec<Segment>,
    /// The registered streams.
    pub(crate) streams: BTreeMap<String, Stream>,
    /// Kept values by name, with their revisions.
    pub(crate) kept: BTreeMap<String, (u64, Vec<u8>)>,
    /// Ordinal and position of the last `log-starts-at`.
    pub(crate) starts_at: Option<(u64, u64)>,
}

/// What the sections say of a stream (section 6).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Stream {
    pub(crate) version: u64,
    pub(crate) first_kept: u64,
    pub(crate) tombstoned: bool,
    pub(crate) tenant: String,
    pub(crate) attributes: Vec<u8>,
    pub(crate) created: u64,
    pub(crate) last_append: u64,
    pub(crate) creation_ordinal: u64,
}

/// An event and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing<'a> {
    pub(crate) stream: &'a str,
    pub(crate) version: u64,
    pub(crate) position: u64,
    pub(crate) time: u64,
    pub(crate) event: &'a Event,
}

impl Log {
    /// All events in order, stubs left out, up to the first that is damaged; and whether there is such a one.
    pub(crate) fn events(&self) -> (Vec<Standing<'_>>, bool) {
        let mut standing = Vec::new();
        for frame in self.segments.iter().flat_map(|segment| &segment.frames).map(|placed| &placed.frame) {
            let mut position = frame.first_position;
            for section in &frame.sections {
                let (events, damaged) = match &section.content {
                    Content::Events(events) => (events, false),
                    Content::Damaged(events, _) => (events, true),
                    Content::Control(_) => continue,
                };
                let mut version = section.first;
                for event in events {
                    if event.removed == 0 {
                        let (stream, time) = (&*section.id, frame.time);
                        standing.push(Standing { stream, version, position, time, event });
                    }
                    version += event.count();
                    position += event.count();
                }
                if damaged {
                    return (standing, true);
                }
            }
        }
        (standing, false)
    }

    /// Section 8: the first position that a reader beside a live writer does not show yet.
    pub(crate) fn first_unproven(&self) -> u64 {
        let last = &self.segments[self.segments.len() - 1];
        let next = last
            .frames
            .last()
            .map_or(last.header.base_position, |placed| placed.frame.first_position + placed.frame.events());
        let proven = last.frames.last().map_or(0, |placed| placed.batch_start as usize);
        let unproven = last.frames.iter().find(|placed| placed.span.start >= proven);
        match &last.how {
            End::Sealed(_) => next,
            _ => unproven.map_or(next, |placed| placed.frame.first_position),
        }
    }

    /// Section 4: the id of an event, its own or the one that it has all the same.
    pub(crate) fn id_of(&self, standing: &Standing<'_>) -> [u8; 16] {
        let log_id = self.segments[0].header.log_id;
        standing.event.id.unwrap_or_else(|| {
            let mut id = [0; 16];
            id[..6].copy_from_slice(&log_id[..6]);
            id[6] = 0x80 | (log_id[6] & 0x0F);
            id[7] = log_id[7];
            id[8..].copy_from_slice(&(1 << 63 | standing.position).to_be_bytes());
            id
        })
    }
}

/// Reads a whole log: the segments' bytes in the order of their ordinals.
pub(crate) fn read_log(images: &[Vec<u8>]) -> Result<Log, &'static str> {
    let mut reader = Reader::default();
    for (index, image) in images.iter().enumerate() {
        let segment = reader.segment(image, index + 1 == images.len())?;
        reader.log.segments.push(segment);
    }
    let first = reader.log.segments.first().map_or(1, |segment| segment.header.ordinal);
    if first != 1 && reader.log.starts_at.is_none_or(|(ordinal, _)| ordinal < first) {
        return Err("a segment is missing");
    }
    Ok(reader.log)
}

/// What one frame tells the next one, over all segments.
#[derive(Debug, Default)]
struct Reader {
    log: Log,
    before: Option<Header>,
    end: u64,
    checksum: u32,
    position: u64,
    time: u64,
    batch: u64,
    batch_start: Option<u64>,
    /// Tombstoned ids, registered or not.
    gone: HashSet<String>,
    creations: u64,
    revision: u64,
}

impl Reader {
    fn segment(&mut self, image: &[u8], last: bool) -> Result<Segment, &'static str> {
        let header = Header::decode(image)?;
        if (image.len() as u64) < header.capacity {
            return Err("the file is shorter than its capacity");
        }
        let image = &image[..header.capacity as usize];
        self.enter(&header)?;
        let limit = image.len() - PAGE;
        let (mut frames, mut at) = (Vec::new(), PAGE);
        loop {
            match look(image, at, header.salt) {
                Look::OtherBody if !last => return Err(SEALED_BODY),
                Look::Nothing | Look::OtherBody => break,
                Look::Refused(why) => return Err(why),
                Look::Frame(placed, previous) => {
                    self.follow(&placed, previous)?;
                    at = placed.span.end;
                    frames.push(placed);
                }
            }
        }
        self.end = at as u64;
        let (rest, foot) = (&image[at..limit], &image[limit..]);
        let how = match Footer::decode(foot, &header) {
            Some(footer) if footer.end != at as u64 => {
                return Err("the frames do not reach the footer's end");
            }
            Some(footer) => {
                let of_frames = |f: &Footer| (f.frames, f.events, f.last_position, f.checksum, f.digest);
                if of_frames(&footer) != of_frames(&footer_of(&header, &frames, footer.batch)) {
                    return Err("the footer does not agree with the frames");
                }
                End::Sealed(footer)
            }
            None if !last => return Err("a sealed segment without a footer"),
            None if is_zero(foot) && is_zero(rest) => End::Clean,
            None if is_zero(foot) && witness(image, at, header.salt) => {
                return Err("damage before a witness");
            }
            None if is_zero(foot) => End::TornTail,
            None if is_zero(rest) => End::TornFooter,
            None => return Err("a torn batch and a torn footer"),
        };
        Ok(Segment { header, frames, end: at, how })
    }

    /// Sections 2.1 and 8, "chain".
    fn enter(&mut self, header: &Header) -> Result<(), &'static str> {
        if let Some(before) = &self.before {
            let chain = header.ordinal == before.ordinal + 1
                && header.log_id == before.log_id
                && header.previous_salt == before.salt
                && header.previous_end == self.end
                && header.previous_checksum == self.checksum
                && header.base_position == self.position;
            if !chain {
                return Err("chain");
            }
        } else if header.ordinal == 1 && header.base_position != 1 {
            return Err("base position of the first segment");
        }
        (self.position, self.checksum) = (header.base_position, header.previous_checksum);
        (self.before, self.batch_start) = (Some(header.clone()), None);
        Ok(())
    }

    /// Section 3, "a frame follows", and section 6.
    fn follow(&mut self, placed: &Placed, previous: u32) -> Result<(), &'static str> {
        let frame = &placed.frame;
        let same_batch = frame.batch == self.batch && Some(placed.batch_start) == self.batch_start;
        let new_batch = frame.batch > self.batch && placed.batch_start == placed.span.start as u64;
        let follows = previous == self.checksum
            && frame.first_position == self.position
            && frame.time >= self.time
            && (same_batch || new_batch);
        if !follows {
            return Err("a frame that does not follow");
        }
        self.checksum = placed.checksum;
        self.position += frame.events();
        (self.time, self.batch, self.batch_start) = (frame.time, frame.batch, Some(placed.batch_start));
        frame.sections.iter().try_for_each(|section| self.section(section, frame.time))
    }

    fn section(&mut self, section: &Section, time: u64) -> Result<(), &'static str> {
        let content = match &section.content {
            Content::Control(content) => &content[..],
            _ => &[],
        };
        if self.gone.contains(&section.id) && matches!(section.kind, EVENTS | CREATE | TRUNCATE_BEFORE) {
            return Err("a section for a tombstoned stream");
        }
        let registers = matches!(section.kind, EVENTS | CREATE | TOMBSTONE | TRUNCATE_BEFORE | CARRY_STREAM);
        if section.kind == LOG_STARTS_AT {
            self.log.starts_at = Some((u64_at(content, 0), u64_at(content, 8)));
        }
        if registers && !self.log.streams.contains_key(&section.id) {
            self.creations += 1;
            let attributes = if section.kind == CREATE { content.to_vec() } else { Vec::new() };
            let creation_ordinal = self.creations;
            let stream =
                Stream { first_kept: 1, attributes, created: time, creation_ordinal, ..Stream::default() };
            self.log.streams.insert(section.id.clone(), stream);
        }
        if section.kind == TOMBSTONE {
            self.gone.insert(section.id.clone());
        }
        if matches!(section.kind, KEEP | UNKEEP) {
            let late = self.log.segments.first().map_or(self.before.as_ref(), |first| Some(&first.header));
            let starts_late = late.is_some_and(|header| header.ordinal != 1);
            if section.first <= self.revision || !starts_late && section.first != self.revision + 1 {
                return Err("revision of a kept value");
            }
            self.revision = section.first;
        }
        let kept = self.log.kept.get(&section.id).map_or(0, |(revision, _)| *revision);
        match section.kind {
            KEEP | CARRY_KEPT if section.first >= kept => {
                self.revision = self.revision.max(section.first);
                self.log.kept.insert(section.id.clone(), (section.first, content.to_vec()));
            }
            UNKEEP => _ = self.log.kept.remove(&section.id),
            _ => {}
        }
        let Some(stream) = self.log.streams.get_mut(&section.id) else { return Ok(()) };
        if registers && stream.tenant.is_empty() {
            stream.tenant.clone_from(&section.tenant);
        }
        match section.kind {
            EVENTS if section.first != stream.version + 1 => return Err("first version of a section"),
            EVENTS => {
                (stream.version, stream.last_append) = (stream.version + u64::from(section.events), time)
            }
            TOMBSTONE => stream.tombstoned = true,
            TRUNCATE_BEFORE if section.first > stream.version + 1 => {
                return Err("a cut behind the end of a stream");
            }
            TRUNCATE_BEFORE => stream.first_kept = stream.first_kept.max(section.first),
            CARRY_STREAM => {
                let number = |at| u64_at(content, at);
                // Where the log still shows the stream, it has reached at least what was carried.
                stream.version = stream.version.max(section.first);
                stream.first_kept = stream.first_kept.max(number(0));
                stream.last_append = stream.last_append.max(number(16));
                (stream.created, stream.creation_ordinal) = (number(8), number(24));
                self.creations = self.creations.max(number(24));
                stream.attributes = content[40..].to_vec();
                if u32_at(content, 32) & 1 != 0 {
                    stream.tombstoned = true;
                    self.gone.insert(section.id.clone());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The header at an offset, with its section table, if it is valid: section 3, rules (1) to (5).
fn valid_head(image: &[u8], at: usize, salt: u64) -> Option<&[u8]> {
    let limit = image.len() - PAGE;
    let head = image[..limit].get(at..at + FRAME_HEAD)?;
    let (sections, body_len) = (u32_at(head, 8), u64_at(head, 16));
    if !at.is_multiple_of(8) || &head[..4] != b"AFrm" || !body_len.is_multiple_of(8) {
        return None;
    }
    if body_len > BODY_MAX || sections > SECTIONS_MAX || !(4096..=at as u64).contains(&u64_at(head, 48)) {
        return None;
    }
    let head_len = FRAME_HEAD + ENTRY * sections as usize;
    let end = at + head_len + body_len as usize;
    let head = image.get(at..at + head_len).filter(|_| end <= limit)?;
    (u32_at(head, 68) == frame_checksum(salt, at, head)).then_some(head)
}

fn look(image: &[u8], at: usize, salt: u64) -> Look {
    let Some(head) = valid_head(image, at, salt) else {
        return Look::Nothing;
    };
    let (kind, sections, events) = (head[4], u32_at(head, 8), u32_at(head, 12));
    let last = u64_at(head, 24).saturating_add(u64::from(events).saturating_sub(1));
    if !(APPEND..=PAD).contains(&kind) || !is_zero(&head[5..8]) || !is_zero(&head[64..68]) {
        return Look::Refused("kind or a zero field of a frame");
    }
    if last > NUMBER_MAX || u64_at(head, 40) > NUMBER_MAX {
        return Look::Refused("position or batch number of a frame");
    }
    if kind != APPEND && (sections, events) != (0, 0) {
        return Look::Refused("sections in a frame that has none");
    }
    let span = at..at + head.len() + u64_at(head, 16) as usize;
    let body = &image[at + head.len()..span.end];
    if u32_at(head, 60) != crc32(body) {
        return Look::OtherBody;
    }
    let mut frame = Frame {
        kind,
        first_position: u64_at(head, 24),
        time: u64_at(head, 32),
        batch: u64_at(head, 40),
        sections: Vec::new(),
        zeros: 0,
    };
    if kind == PAD && is_zero(body) {
        frame.zeros = body.len();
    } else if kind != APPEND && !body.is_empty() {
        return Look::Refused("body of a frame that has none");
    }
    let mut rest = body;
    for entry in head[FRAME_HEAD..].chunks(ENTRY) {
        let len = u32_at(entry, 12) as usize;
        let Some((section, more)) = rest.split_at_checked(len).filter(|_| len.is_multiple_of(8)) else {
            return Look::Refused("section lengths");
        };
        match Section::decode(entry, section) {
            Ok(section) => frame.sections.push(section),
            Err(why) => return Look::Refused(why),
        }
        rest = more;
    }
    if kind == APPEND && (!rest.is_empty() || frame.events() != u64::from(events)) {
        return Look::Refused("section lengths or event counts do not add up");
    }
    let placed = Placed {
        frame,
        span,
        batch_start: u64_at(head, 48),
        checksum: u32_at(head, 68),
        body_checksum: u32_at(head, 60),
    };
    Look::Frame(placed, u32_at(head, 56))
}

/// Section 8: whether anything beyond `x` proves that the bytes at `x` had been durable.
fn witness(image: &[u8], x: usize, salt: u64) -> bool {
    let beyond = (x + 8..image.len() - PAGE).step_by(8);
    beyond.into_iter().any(|at| valid_head(image, at, salt).is_some_and(|head| u64_at(head, 48) > x as u64))
}

/// Section 9: whether a log has the place that a checkpoint names. One of another log says nothing.
pub(crate) fn reaches(log: &Log, checkpoint: &Checkpoint) -> bool {
    let first = &log.segments[0].header;
    checkpoint.log_id != first.log_id
        || checkpoint.ordinal < first.ordinal
        || log.segments.iter().any(|segment| {
            let starts = [(PAGE, segment.header.previous_checksum)];
            let ends = segment.frames.iter().map(|placed| (placed.span.end, placed.checksum));
            let here = (checkpoint.offset as usize, checkpoint.checksum);
            (segment.header.ordinal, segment.header.salt) == (checkpoint.ordinal, checkpoint.salt)
                && starts.into_iter().chain(ends).any(|place| place == here)
        })
}

/// Makes the checksums right again after somebody has changed the bytes of an image: those of the header, and of the
/// frames at these offsets from the events outwards, as far as the lengths that now stand there stay inside the file.
/// `what` says which: 1 header, 2 events and control records, 4 id blocks, 8 bodies, 16 the link to the frame before,
/// 32 frames.
pub(crate) fn reseal(image: &mut [u8], offsets: &[usize], what: u8) {
    if what & 1 != 0 {
        seal_page(&mut image[..PAGE]);
    }
    let (salt, mut previous) = (u64_at(image, 48), u32_at(image, 104));
    for &at in offsets {
        let limit = image.len() - PAGE;
        let Some(frame) = image[..limit].get_mut(at..).filter(|frame| frame.len() >= FRAME_HEAD) else {
            continue;
        };
        let sections = u32_at(frame, 8) as usize;
        let head_len = FRAME_HEAD + ENTRY * sections;
        let body_end = (head_len as u64).saturating_add(u64_at(frame, 16));
        if body_end <= frame.len() as u64 {
            let (head, body) = frame[..body_end as usize].split_at_mut(head_len);
            reseal_sections(&mut head[FRAME_HEAD..], body, what);
            if what & 8 != 0 {
                put(head, 60, &crc32(body).to_le_bytes());
            }
        }
        if what & 16 != 0 {
            put(frame, 56, &previous.to_le_bytes());
        }
        if what & 32 != 0 && head_len <= frame.len() {
            let checksum = frame_checksum(salt, at, &frame[..head_len]);
            put(frame, 68, &checksum.to_le_bytes());
        }
        previous = u32_at(frame, 68);
    }
}

fn reseal_sections(table: &mut [u8], mut body: &mut [u8], what: u8) {
    for entry in table.chunks_mut(ENTRY) {
        let Some((section, rest)) = body.split_at_mut_checked(u32_at(entry, 12) as usize) else {
            return;
        };
        body = rest;
        if section.len() < 4 {
            continue;
        }
        let block = 4 + usize::from(u16_at(section, 0)) + usize::from(u16_at(section, 2));
        if what & 4 != 0 && block <= section.len() {
            put(entry, 16, &crc32(&section[..block]).to_le_bytes());
        }
        let mut records = section.get_mut(block.next_multiple_of(8)..).unwrap_or_default();
        while what & 2 != 0 && records.len() >= 8 {
            let len = if entry[20] == EVENTS { Event::extent(records) } else { Some(records.len()) };
            let Some((record, rest)) = len.map(|len| records.split_at_mut(len)) else {
                break;
            };
            let crc = crc32(&record[4..]);
            put(record, 0, &crc.to_le_bytes());
            records = rest;
        }
    }
}
