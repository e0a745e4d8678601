//! FORMAT.md in code: bytes to values and back, nothing else.
//!
//! Owns every constant and every offset of the format. Pure: must never see a file, a path, a clock or a lock. Each file
//! holds one structure's encoder, decoder and limits side by side; the section of FORMAT.md is named at its top.

pub(crate) mod bytes;
pub(crate) mod cell;
pub(crate) mod checkpoint;
pub(crate) mod consumer;
pub(crate) mod frame;
pub(crate) mod layer;
pub(crate) mod record;
pub(crate) mod row;
pub(crate) mod section;
pub(crate) mod segment;

/// The format version that this build writes, and the newest it reads (FORMAT.md section 11).
pub(crate) const FORMAT_VERSION: u16 = 1;

/// Size of the pages that are written whole; also of the segment header, the footer and the checkpoint.
pub(crate) const PAGE_BYTES: usize = 4096;

/// The same as an offset: where the first frame of a segment stands.
pub(crate) const FIRST_FRAME: u64 = PAGE_BYTES as u64;

/// Longest stream id, tenant or kept name, in bytes (FORMAT.md section 7).
pub const NAME_BYTES_MAX: usize = 2048;

/// Longest event type, in bytes.
pub const EVENT_TYPE_BYTES_MAX: usize = 1024;

/// Most bytes of attributes that a stream may carry.
pub const ATTRIBUTES_BYTES_MAX: usize = 256;

/// Longest body of one frame, in bytes.
pub(crate) const BODY_BYTES_MAX: u64 = 1 << 30;

/// Most sections in one frame.
pub(crate) const SECTIONS_MAX: u32 = 1 << 20;

/// Longest kept value, in bytes.
pub(crate) const KEPT_BYTES_MAX: usize = 64 << 20;
