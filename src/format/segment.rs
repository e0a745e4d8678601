//! Segment header and footer (FORMAT.md section 2).
//!
//! Owns both pages. A [`SegmentHeader`] or [`SegmentFooter`] exists only if its bytes were valid by themselves; whether it
//! fits its file name and its neighbours is for recovery to say.

use super::bytes::{
    at_most, crc32, expect, expect_checksum, is_zero, put_u16, put_u32, put_u64, u16_at, u32_at, u64_at,
};
use super::{FIRST_FRAME, FORMAT_VERSION, PAGE_BYTES};
use crate::error::Fault;
use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

pub(crate) const HEADER_MAGIC: [u8; 8] = *b"ANNALSEG";
pub(crate) const FOOTER_MAGIC: [u8; 8] = *b"ANNALEND";
/// The least capacity of a segment, in bytes: header, footer, and two pages for frames.
pub(crate) const CAPACITY_MIN: u64 = 16_384;
const CHECKSUM_AT: usize = PAGE_BYTES - 4;

/// Feature bits of each class that this build knows (FORMAT.md section 11): none yet.
const KNOWN_WRITE_FEATURES: u32 = 0;
const KNOWN_READ_FEATURES: u32 = 0;

/// What the header of a segment says of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Link {
    pub(crate) salt: u64,
    pub(crate) end: u64,
    /// Frame checksum of its last frame: the start of this segment's chain.
    pub(crate) checksum: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) rewritten: bool,
    pub(crate) log_id: Uuid,
    pub(crate) salt: u64,
    pub(crate) ordinal: u64,
    pub(crate) base_position: u64,
    pub(crate) capacity: u64,
    pub(crate) created: u64,
    pub(crate) previous: Link,
    /// Unknown bits that forbid writing; 0 in all that this build makes.
    pub(crate) unknown_write_features: u32,
}

/// Why a page is not a segment header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// A valid page of a newer format.
    NewerVersion(u16),
    /// A valid page with features that forbid reading.
    UnknownFeature(u32),
    Fault(Fault),
}

impl From<Fault> for HeaderFault {
    fn from(fault: Fault) -> Self {
        HeaderFault::Fault(fault)
    }
}

impl SegmentHeader {
    /// Where frames must end: the footer's space is not theirs.
    pub(crate) fn frames_end_max(&self) -> u64 {
        self.capacity - PAGE_BYTES as u64
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; PAGE_BYTES];
        page[0..8].copy_from_slice(&HEADER_MAGIC);
        put_u16(&mut page, 8, FORMAT_VERSION);
        put_u16(&mut page, 10, u16::from(self.rewritten));
        put_u32(&mut page, 12, PAGE_BYTES as u32);
        put_u32(&mut page, 20, self.unknown_write_features);
        page[32..48].copy_from_slice(self.log_id.as_bytes());
        put_u64(&mut page, 48, self.salt);
        put_u64(&mut page, 56, self.ordinal);
        put_u64(&mut page, 64, self.base_position);
        put_u64(&mut page, 72, self.capacity);
        put_u64(&mut page, 80, self.created);
        put_u64(&mut page, 88, self.previous.salt);
        put_u64(&mut page, 96, self.previous.end);
        put_u32(&mut page, 104, self.previous.checksum);
        seal_page(page)
    }

    pub(crate) fn decode(page: &[u8; PAGE_BYTES]) -> Result<Self, HeaderFault> {
        check_page("segment header", &HEADER_MAGIC, page)?;
        let version = u16_at(page, 8);
        if version > FORMAT_VERSION {
            return Err(HeaderFault::NewerVersion(version));
        }
        expect("format version", u64::from(FORMAT_VERSION), u64::from(version))?;
        let unknown = u32_at(page, 24) & !KNOWN_READ_FEATURES;
        if unknown != 0 {
            return Err(HeaderFault::UnknownFeature(unknown));
        }
        at_most("segment layout", 1, u64::from(u16_at(page, 10)))?;
        expect("offset of the first frame", FIRST_FRAME, u64::from(u32_at(page, 12)))?;
        let header = SegmentHeader {
            rewritten: u16_at(page, 10) == 1,
            log_id: uuid_at(page, 32),
            salt: u64_at(page, 48),
            ordinal: u64_at(page, 56),
            base_position: u64_at(page, 64),
            capacity: u64_at(page, 72),
            created: u64_at(page, 80),
            previous: Link { salt: u64_at(page, 88), end: u64_at(page, 96), checksum: u32_at(page, 104) },
            unknown_write_features: u32_at(page, 20) & !KNOWN_WRITE_FEATURES,
        };
        if header.capacity < CAPACITY_MIN || !header.capacity.is_multiple_of(PAGE_BYTES as u64) {
            return Err(Fault::Field {
                what: "segment capacity",
                expected: CAPACITY_MIN,
                found: header.capacity,
            }
            .into());
        }
        at_most("ordinal", u64::from(u32::MAX), header.ordinal)?;
        if header.salt == 0 || header.ordinal == 0 || header.base_position == 0 {
            return Err(Fault::Zeros { what: "salt, ordinal or base position" }.into());
        }
        expect(
            "zeros of the segment header",
            1,
            u64::from(u32_at(page, 28) == 0 && is_zero(&page[108..CHECKSUM_AT])),
        )?;
        Ok(header)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentFooter {
    pub(crate) generation: u32,
    pub(crate) log_id: Uuid,
    pub(crate) salt: u64,
    pub(crate) ordinal: u64,
    pub(crate) end: u64,
    pub(crate) frames: u64,
    pub(crate) events: u64,
    pub(crate) base_position: u64,
    pub(crate) last_position: u64,
    pub(crate) last_batch: u64,
    pub(crate) last_time: u64,
    pub(crate) last_checksum: u32,
    pub(crate) digest: u128,
}

impl SegmentFooter {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; PAGE_BYTES];
        page[0..8].copy_from_slice(&FOOTER_MAGIC);
        put_u16(&mut page, 8, FORMAT_VERSION);
        put_u32(&mut page, 12, self.generation);
        page[16..32].copy_from_slice(self.log_id.as_bytes());
        put_u64(&mut page, 32, self.salt);
        put_u64(&mut page, 40, self.ordinal);
        put_u64(&mut page, 48, self.end);
        put_u64(&mut page, 56, self.frames);
        put_u64(&mut page, 64, self.events);
        put_u64(&mut page, 72, self.base_position);
        put_u64(&mut page, 80, self.last_position);
        put_u64(&mut page, 88, self.last_batch);
        put_u64(&mut page, 96, self.last_time);
        put_u32(&mut page, 104, self.last_checksum);
        page[112..128].copy_from_slice(&self.digest.to_be_bytes());
        seal_page(page)
    }

    /// Valid by FORMAT.md section 2.2, for the segment with this header.
    pub(crate) fn decode(page: &[u8; PAGE_BYTES], header: &SegmentHeader) -> Result<Self, Fault> {
        check_page("segment footer", &FOOTER_MAGIC, page)?;
        expect("format version of the footer", u64::from(FORMAT_VERSION), u64::from(u16_at(page, 8)))?;
        let mut digest = [0; 16];
        digest.copy_from_slice(&page[112..128]);
        let footer = SegmentFooter {
            generation: u32_at(page, 12),
            log_id: uuid_at(page, 16),
            salt: u64_at(page, 32),
            ordinal: u64_at(page, 40),
            end: u64_at(page, 48),
            frames: u64_at(page, 56),
            events: u64_at(page, 64),
            base_position: u64_at(page, 72),
            last_position: u64_at(page, 80),
            last_batch: u64_at(page, 88),
            last_time: u64_at(page, 96),
            last_checksum: u32_at(page, 104),
            digest: u128::from_be_bytes(digest),
        };
        expect("log id of the footer", 1, u64::from(footer.log_id == header.log_id))?;
        expect("salt of the footer", header.salt, footer.salt)?;
        expect("ordinal of the footer", header.ordinal, footer.ordinal)?;
        expect("base position of the footer", header.base_position, footer.base_position)?;
        at_most("end offset of the footer", header.frames_end_max(), footer.end)?;
        at_most("offset of the first frame", footer.end, FIRST_FRAME)?;
        Ok(footer)
    }
}

/// The digest of a footer, as it grows with the frames.
#[derive(Clone)]
pub(crate) struct Digest {
    taken: Xxh3,
    /// What comes next, taken together: the digest takes in many bytes about as fast as eight.
    next: [u8; DIGEST_STEP],
    len: usize,
}

const DIGEST_STEP: usize = 1024;

impl Digest {
    pub(crate) fn new() -> Digest {
        Digest { taken: Xxh3::new(), next: [0; DIGEST_STEP], len: 0 }
    }

    #[inline]
    pub(crate) fn add(&mut self, frame_checksum: u32, body_checksum: u32) {
        put_u32(&mut self.next, self.len, frame_checksum);
        put_u32(&mut self.next, self.len + 4, body_checksum);
        self.len += 8;
        if self.len == DIGEST_STEP {
            self.taken.update(&self.next);
            self.len = 0;
        }
    }

    /// Adds the checksums of many frames, each as a [`FrameSums`](crate::format::cell::FrameSums) is written.
    pub(crate) fn add_all(&mut self, raw: &[u8]) {
        self.taken.update(&self.next[..self.len]);
        self.len = 0;
        self.taken.update(raw);
    }

    pub(crate) fn value(&self) -> u128 {
        let mut taken = self.taken.clone();
        taken.update(&self.next[..self.len]);
        taken.digest128()
    }
}

/// Puts the checksum of a page into its last four bytes.
pub(super) fn seal_page(mut page: Vec<u8>) -> Vec<u8> {
    let checksum = crc32(&page[..CHECKSUM_AT]);
    put_u32(&mut page, CHECKSUM_AT, checksum);
    page
}

/// Checks magic and checksum of a page that [`seal_page`] made.
pub(super) fn check_page(what: &'static str, magic: &[u8; 8], page: &[u8; PAGE_BYTES]) -> Result<(), Fault> {
    if is_zero(page) {
        return Err(Fault::Zeros { what });
    }
    expect("magic", u64_at(magic, 0), u64_at(page, 0))?;
    expect_checksum(what, crc32(&page[..CHECKSUM_AT]), u32_at(page, CHECKSUM_AT))
}

pub(super) fn uuid_at(bytes: &[u8], at: usize) -> Uuid {
    let mut raw = [0; 16];
    raw.copy_from_slice(&bytes[at..at + 16]);
    Uuid::from_bytes(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            rewritten: false,
            log_id: Uuid::from_u128(7),
            salt: 99,
            ordinal: 3,
            base_position: 1001,
            capacity: 65_536,
            created: 5,
            previous: Link { salt: 98, end: 60_000, checksum: 0xABCD },
            unknown_write_features: 0,
        }
    }

    fn footer() -> SegmentFooter {
        SegmentFooter {
            generation: 0,
            log_id: Uuid::from_u128(7),
            salt: 99,
            ordinal: 3,
            end: 8192,
            frames: 2,
            events: 9,
            base_position: 1001,
            last_position: 1009,
            last_batch: 44,
            last_time: 6,
            last_checksum: 0x1234,
            digest: 1 << 100,
        }
    }

    fn page(bytes: &[u8]) -> [u8; PAGE_BYTES] {
        bytes.try_into().unwrap()
    }

    #[test]
    fn header_and_footer_round_trip() {
        assert_eq!(SegmentHeader::decode(&page(&header().encode())), Ok(header()));
        assert_eq!(SegmentFooter::decode(&page(&footer().encode()), &header()), Ok(footer()));
    }

    #[test]
    fn every_flipped_bit_of_a_page_is_seen() {
        let (head, foot) = (page(&header().encode()), page(&footer().encode()));
        for bit in 0..PAGE_BYTES * 8 {
            let (mut a, mut b) = (head, foot);
            a[bit / 8] ^= 1 << (bit % 8);
            b[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&a).is_err(), "header bit {bit}");
            assert!(SegmentFooter::decode(&b, &header()).is_err(), "footer bit {bit}");
        }
    }

    #[test]
    fn newer_versions_and_features_are_told_apart_from_damage() {
        let change = |at: usize, value: u8| {
            let mut bytes = header().encode();
            bytes[at] = value;
            page(&seal_page(bytes))
        };
        assert_eq!(SegmentHeader::decode(&change(8, 2)), Err(HeaderFault::NewerVersion(2)));
        assert_eq!(SegmentHeader::decode(&change(24, 4)), Err(HeaderFault::UnknownFeature(4)));
        assert_eq!(SegmentHeader::decode(&change(20, 4)).unwrap().unknown_write_features, 4);
        assert!(SegmentHeader::decode(&change(16, 4)).is_ok(), "bits that may be ignored are");
        assert!(matches!(SegmentHeader::decode(&change(8, 0)), Err(HeaderFault::Fault(_))));
    }

    #[test]
    fn a_footer_of_another_segment_is_refused() {
        let other = SegmentHeader { salt: 100, ..header() };
        assert!(SegmentFooter::decode(&page(&footer().encode()), &other).is_err());
        let far = SegmentFooter { end: 65_536, ..footer() };
        assert!(SegmentFooter::decode(&page(&far.encode()), &header()).is_err());
    }

    /// However its bytes come, and where they are taken in together.
    #[test]
    fn a_digest_is_that_of_all_checksums_in_order() {
        let frames: Vec<(u32, u32)> = (0..300).map(|i: u32| (i.wrapping_mul(2_654_435_761), !i)).collect();
        let raw: Vec<u8> = frames
            .iter()
            .flat_map(|(frame, body)| [frame.to_le_bytes(), body.to_le_bytes()])
            .flatten()
            .collect();
        for count in [0, 1, 127, 128, 129, 300] {
            let mut one_by_one = Digest::new();
            frames[..count].iter().for_each(|(frame, body)| one_by_one.add(*frame, *body));
            assert_eq!(one_by_one.value(), xxhash_rust::xxh3::xxh3_128(&raw[..8 * count]));
            frames[count..].iter().for_each(|(frame, body)| one_by_one.add(*frame, *body));
            let mut together = Digest::new();
            frames[..count].iter().for_each(|(frame, body)| together.add(*frame, *body));
            together.add_all(&raw[8 * count..]);
            assert_eq!([one_by_one.value(), together.value()], [xxhash_rust::xxh3::xxh3_128(&raw); 2]);
        }
    }
}
