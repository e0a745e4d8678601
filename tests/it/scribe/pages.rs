//! The pages with a checksum of their own: segment header, segment footer, checkpoint (FORMAT.md sections 2 and 9).
//!
//! Owns their fields, in the order of FORMAT.md's tables.

use super::*;

/// Seals a header, a footer or a checkpoint: the checksum of all but the last four bytes is in the last four.
pub(crate) fn seal_page(page: &mut [u8]) {
    let crc = crc32(&page[..PAGE - 4]);
    put(page, PAGE - 4, &crc.to_le_bytes());
}

fn page_is_sealed(page: &[u8]) -> bool {
    u32_at(page, PAGE - 4) == crc32(&page[..PAGE - 4])
}

/// Section 2.1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Header {
    pub(crate) layout: u16,
    pub(crate) may_ignore: u32,
    pub(crate) must_not_write: u32,
    pub(crate) must_not_read: u32,
    pub(crate) log_id: [u8; 16],
    pub(crate) salt: u64,
    pub(crate) ordinal: u64,
    pub(crate) base_position: u64,
    pub(crate) capacity: u64,
    pub(crate) created: u64,
    pub(crate) previous_salt: u64,
    pub(crate) previous_end: u64,
    pub(crate) previous_checksum: u32,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; PAGE];
        put(&mut page, 0, b"ANNALSEG");
        put(&mut page, 8, &1u16.to_le_bytes());
        put(&mut page, 10, &self.layout.to_le_bytes());
        put(&mut page, 12, &4096u32.to_le_bytes());
        put(&mut page, 16, &self.may_ignore.to_le_bytes());
        put(&mut page, 20, &self.must_not_write.to_le_bytes());
        put(&mut page, 24, &self.must_not_read.to_le_bytes());
        put(&mut page, 32, &self.log_id);
        put(&mut page, 48, &self.salt.to_le_bytes());
        put(&mut page, 56, &self.ordinal.to_le_bytes());
        put(&mut page, 64, &self.base_position.to_le_bytes());
        put(&mut page, 72, &self.capacity.to_le_bytes());
        put(&mut page, 80, &self.created.to_le_bytes());
        put(&mut page, 88, &self.previous_salt.to_le_bytes());
        put(&mut page, 96, &self.previous_end.to_le_bytes());
        put(&mut page, 104, &self.previous_checksum.to_le_bytes());
        seal_page(&mut page);
        page
    }

    pub(crate) fn decode(page: &[u8]) -> Result<Header, &'static str> {
        let page = page.get(..PAGE).ok_or("no header")?;
        if &page[..8] != b"ANNALSEG" || !page_is_sealed(page) {
            return Err("header magic or checksum");
        }
        let header = Header {
            layout: u16_at(page, 10),
            may_ignore: u32_at(page, 16),
            must_not_write: u32_at(page, 20),
            must_not_read: u32_at(page, 24),
            log_id: array_at(page, 32),
            salt: u64_at(page, 48),
            ordinal: u64_at(page, 56),
            base_position: u64_at(page, 64),
            capacity: u64_at(page, 72),
            created: u64_at(page, 80),
            previous_salt: u64_at(page, 88),
            previous_end: u64_at(page, 96),
            previous_checksum: u32_at(page, 104),
        };
        let fields = u16_at(page, 8) == 1
            && header.layout <= 1
            && u32_at(page, 12) == 4096
            && header.must_not_read == 0
            && is_zero(&page[28..32])
            && header.salt != 0
            && (1..=u64::from(u32::MAX)).contains(&header.ordinal)
            && (1..=NUMBER_MAX + 1).contains(&header.base_position)
            && header.capacity >= 16384
            && header.capacity.is_multiple_of(4096)
            && is_zero(&page[108..PAGE - 4]);
        let first = (header.previous_salt, header.previous_end, header.previous_checksum) == (0, 0, 0);
        if !fields || (header.ordinal == 1 && !first) { Err("a header field") } else { Ok(header) }
    }
}

/// Section 2.2.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Footer {
    pub(crate) generation: u32,
    pub(crate) log_id: [u8; 16],
    pub(crate) salt: u64,
    pub(crate) ordinal: u64,
    pub(crate) end: u64,
    pub(crate) frames: u64,
    pub(crate) events: u64,
    pub(crate) base_position: u64,
    pub(crate) last_position: u64,
    pub(crate) batch: u64,
    pub(crate) time: u64,
    pub(crate) checksum: u32,
    pub(crate) digest: [u8; 16],
}

impl Footer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; PAGE];
        put(&mut page, 0, b"ANNALEND");
        put(&mut page, 8, &1u16.to_le_bytes());
        put(&mut page, 12, &self.generation.to_le_bytes());
        put(&mut page, 16, &self.log_id);
        put(&mut page, 32, &self.salt.to_le_bytes());
        put(&mut page, 40, &self.ordinal.to_le_bytes());
        put(&mut page, 48, &self.end.to_le_bytes());
        put(&mut page, 56, &self.frames.to_le_bytes());
        put(&mut page, 64, &self.events.to_le_bytes());
        put(&mut page, 72, &self.base_position.to_le_bytes());
        put(&mut page, 80, &self.last_position.to_le_bytes());
        put(&mut page, 88, &self.batch.to_le_bytes());
        put(&mut page, 96, &self.time.to_le_bytes());
        put(&mut page, 104, &self.checksum.to_le_bytes());
        put(&mut page, 112, &self.digest);
        seal_page(&mut page);
        page
    }

    /// The footer, if it is valid beside this header.
    pub(crate) fn decode(page: &[u8], header: &Header) -> Option<Footer> {
        if &page[..8] != b"ANNALEND" || u16_at(page, 8) != 1 || !page_is_sealed(page) {
            return None;
        }
        let footer = Footer {
            generation: u32_at(page, 12),
            log_id: array_at(page, 16),
            salt: u64_at(page, 32),
            ordinal: u64_at(page, 40),
            end: u64_at(page, 48),
            frames: u64_at(page, 56),
            events: u64_at(page, 64),
            base_position: u64_at(page, 72),
            last_position: u64_at(page, 80),
            batch: u64_at(page, 88),
            time: u64_at(page, 96),
            checksum: u32_at(page, 104),
            digest: array_at(page, 112),
        };
        let belongs = footer.log_id == header.log_id
            && footer.salt == header.salt
            && footer.ordinal == header.ordinal
            && footer.base_position == header.base_position
            && (4096..=header.capacity - 4096).contains(&footer.end);
        belongs.then_some(footer)
    }
}

/// Section 9.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Checkpoint {
    pub(crate) log_id: [u8; 16],
    pub(crate) ordinal: u64,
    pub(crate) salt: u64,
    pub(crate) offset: u64,
    pub(crate) last_position: u64,
    pub(crate) batch: u64,
    pub(crate) checksum: u32,
    /// Index files: number, and checksum of the head.
    pub(crate) layers: Vec<(u64, u64)>,
}

impl Checkpoint {
    /// In version 2 only if it names index files.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; PAGE];
        put(&mut page, 0, b"ANNALCHK");
        put(&mut page, 8, &(1 + u16::from(!self.layers.is_empty())).to_le_bytes());
        put(&mut page, 16, &self.log_id);
        put(&mut page, 32, &self.ordinal.to_le_bytes());
        put(&mut page, 40, &self.salt.to_le_bytes());
        put(&mut page, 48, &self.offset.to_le_bytes());
        put(&mut page, 56, &self.last_position.to_le_bytes());
        put(&mut page, 64, &self.batch.to_le_bytes());
        put(&mut page, 72, &self.checksum.to_le_bytes());
        put(&mut page, 76, &(self.layers.len() as u32).to_le_bytes());
        for (index, (number, proof)) in self.layers.iter().enumerate() {
            put(&mut page, 88 + 16 * index, &number.to_le_bytes());
            put(&mut page, 96 + 16 * index, &proof.to_le_bytes());
        }
        seal_page(&mut page);
        page
    }

    /// Version 1 names no index files, version 2 may.
    pub(crate) fn decode(page: &[u8]) -> Option<Checkpoint> {
        let layers = |count: usize| -> Option<Vec<(u64, u64)>> {
            let raw = page.get(88..88 + 16 * count)?;
            Some(raw.chunks(16).map(|raw| (u64_at(raw, 0), u64_at(raw, 8))).collect())
        };
        let whole = page.len() == PAGE && &page[..8] == b"ANNALCHK" && page_is_sealed(page);
        let count = if whole { u32_at(page, 76) as usize } else { return None };
        let right = match u16_at(page, 8) {
            1 => count == 0,
            2 => count <= 248,
            _ => false,
        };
        let layers = layers(count.min(248))?;
        let zeros = is_zero(&page[10..16]) && is_zero(&page[80..88]);
        let rest = is_zero(&page[88 + 16 * layers.len()..PAGE - 4]);
        (right && zeros && rest).then(|| Checkpoint {
            log_id: array_at(page, 16),
            ordinal: u64_at(page, 32),
            salt: u64_at(page, 40),
            offset: u64_at(page, 48),
            last_position: u64_at(page, 56),
            batch: u64_at(page, 64),
            checksum: u32_at(page, 72),
            layers,
        })
    }
}
