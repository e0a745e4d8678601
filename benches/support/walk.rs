//! The floor under reads: a walk over a mapped file that holds the same records in the same places as the ingested log.
//!
//! Owns that file and its mapping. The places are known ahead and nothing is checked but, where asked for, each record's
//! checksum: no cursor can be faster, so the ratio to it is the price of having a log.

use crate::support::floor::{ID_BYTES, RECORD_BYTES, SECTION_BYTES};
use crate::support::{EVENT_TYPE, INGEST_EVENTS, INGEST_STREAMS, Outcome, PAYLOAD_BYTES, Workload, digest};
use memmap2::Mmap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;

const HEAD: usize = 16;
const PAYLOAD_AT: usize = HEAD + EVENT_TYPE.len();
const LINE: usize = 64;

/// Records in a mapped file.
pub(crate) struct Walk {
    bytes: Mmap,
    /// Where the runs of each stream begin, ten records each.
    streams: Vec<Vec<usize>>,
    /// Where all runs begin, in the order of the file.
    runs: Vec<usize>,
}

impl Walk {
    /// Writes the file, syncs it and maps it.
    pub(crate) fn new(path: &Path, work: &Workload) -> Outcome<Walk> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        let mut streams = vec![Vec::new(); work.ids.len()];
        let mut runs = Vec::with_capacity(work.plan.len());
        let mut out = Counted { out: BufWriter::with_capacity(1 << 20, file), at: 0 };
        out.put(&[0; 4096])?;
        let mut n = 0;
        for group in work.ingest_groups() {
            out.put(&[1; 72 + INGEST_STREAMS * (SECTION_BYTES - ID_BYTES)])?;
            for stream in group {
                out.put(&[2; ID_BYTES])?;
                streams[*stream as usize].push(out.at);
                runs.push(out.at);
                for _ in 0..INGEST_EVENTS {
                    out.put(&record(work.payload(n)))?;
                    n += 1;
                }
            }
        }
        let file = out.out.into_inner().map_err(|error| error.into_error())?;
        file.sync_all()?;
        Ok(Walk { bytes: map(&file)?, streams, runs })
    }

    /// Every record of a stream: read, not checked.
    pub(crate) fn fold(&self, stream: usize, mut sum: u64) -> u64 {
        for at in &self.streams[stream] {
            let mut at = *at;
            for _ in 0..INGEST_EVENTS {
                let (payload, next) = self.record(at);
                sum = digest(sum, payload);
                at = next;
            }
        }
        sum
    }

    /// Every record of a stream, its checksum compared, while the next run is on its way from memory.
    pub(crate) fn fold_verified(&self, stream: usize, sum: u64) -> Option<u64> {
        self.verified(&self.streams[stream], sum)
    }

    /// Every record of the file.
    pub(crate) fn scan(&self) -> u64 {
        let mut sum = 0;
        for at in &self.runs {
            let mut at = *at;
            for _ in 0..INGEST_EVENTS {
                let (payload, next) = self.record(at);
                sum = digest(sum, payload);
                at = next;
            }
        }
        sum
    }

    /// Every record of the file, its checksum compared.
    pub(crate) fn scan_verified(&self) -> Option<u64> {
        self.verified(&self.runs, 0)
    }

    fn verified(&self, runs: &[usize], mut sum: u64) -> Option<u64> {
        for (i, at) in runs.iter().enumerate() {
            let mut at = *at;
            // One record of the next run for each of this one: more at once would only queue.
            let mut ahead = runs.get(i + 1).copied();
            for _ in 0..INGEST_EVENTS {
                if let Some(ahead) = &mut ahead {
                    for line in (0..RECORD_BYTES).step_by(LINE) {
                        self.prefetch(*ahead + line);
                    }
                    *ahead += RECORD_BYTES;
                }
                let (payload, next) = self.record(at);
                let stored = u32::from_le_bytes(*self.bytes[at..].first_chunk()?);
                if crc32fast::hash(&self.bytes[at + 4..next]) != stored {
                    return None;
                }
                sum = digest(sum, payload);
                at = next;
            }
        }
        Some(sum)
    }

    #[inline]
    fn record(&self, at: usize) -> (&[u8], usize) {
        let length = u32::from_le_bytes([
            self.bytes[at + 4],
            self.bytes[at + 5],
            self.bytes[at + 6],
            self.bytes[at + 7],
        ]) as usize;
        let start = at + PAYLOAD_AT;
        (&self.bytes[start..start + length], at + (PAYLOAD_AT + length).next_multiple_of(8))
    }

    #[inline]
    #[allow(unsafe_code)]
    fn prefetch(&self, at: usize) {
        #[cfg(target_arch = "x86_64")]
        if at < self.bytes.len() {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch reads nothing that the program can see, and the address lies inside the mapping.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.bytes.as_ptr().add(at).cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }
}

/// A record as FORMAT.md section 4 has it.
fn record(payload: &[u8; PAYLOAD_BYTES]) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record[4..8].copy_from_slice(&(PAYLOAD_BYTES as u32).to_le_bytes());
    record[12] = EVENT_TYPE.len() as u8;
    record[HEAD..PAYLOAD_AT].copy_from_slice(EVENT_TYPE.as_bytes());
    record[PAYLOAD_AT..PAYLOAD_AT + PAYLOAD_BYTES].copy_from_slice(payload);
    let checksum = crc32fast::hash(&record[4..]);
    record[..4].copy_from_slice(&checksum.to_le_bytes());
    record
}

/// A writer that knows where it is.
struct Counted {
    out: BufWriter<File>,
    at: usize,
}

impl Counted {
    fn put(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len();
        Ok(())
    }
}

/// Opens and maps a file that nobody writes to.
pub(crate) fn map_file(path: &Path) -> Outcome<Mmap> {
    map(&File::open(path)?)
}

#[allow(unsafe_code)]
fn map(file: &File) -> Outcome<Mmap> {
    // SAFETY: the file is in a directory of this bench's own and was written before; nobody writes to it or truncates it
    // while it is mapped.
    Ok(unsafe { Mmap::map(file)? })
}
