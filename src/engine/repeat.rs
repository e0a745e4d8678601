//! A repeat: an append that carries the key of one that was made before.
//!
//! Owns the comparison with the stored original, byte by byte, and the answer that the original was given, read from its
//! frame. Nothing is concluded from ids or checksums alone.

use crate::engine::answer::{Assigned, AssignedKept, AssignedRun, Repeat, Runs};
use crate::engine::frames::{missing_segment, read_header};
use crate::engine::request::Draft;
use crate::engine::shared::Shared;
use crate::engine::view::segment_at;
use crate::error::{AppendError, ReadError};
use crate::format::consumer::RESERVED;
use crate::format::section::{ENTRY_BYTES, IdBlock, SectionEntry, SectionKind};
use crate::index::streams::hash_of;

impl Repeat {
    /// What the original was given, if this is the same append. The original must be visible.
    pub(crate) fn answer(&self, shared: &Shared) -> Result<Assigned, AppendError> {
        match self.compare(shared) {
            Ok(Some(assigned)) => Ok(assigned),
            Ok(None) => Err(AppendError::IdReused { id: self.key }),
            Err(error) => Err(AppendError::unreadable(self.key, error)),
        }
    }

    fn compare(&self, shared: &Shared) -> Result<Option<Assigned>, ReadError> {
        let segments = shared.view.read().segments.clone();
        let segment = segment_at(&segments, self.place.segment).ok_or_else(|| missing_segment(self.place))?;
        let mut scratch = Vec::new();
        let (header, table) = read_header(segment, self.place.offset, &mut scratch)?;
        let mut entries = Vec::with_capacity(self.drafts.len());
        for raw in table.as_chunks::<ENTRY_BYTES>().0 {
            let fault = |fault| segment.corrupt(self.place.offset, fault);
            entries.push(SectionEntry::decode(raw).map_err(fault)?);
        }
        let body_at = self.place.offset + header.body_at();
        let body = segment.bytes(body_at..body_at + header.body_len, &mut scratch)?;
        let Some(entries) = self.same_sections(&entries, body) else {
            // Damaged bytes are not another append.
            header.check_body(body).map_err(|fault| segment.corrupt(self.place.offset, fault))?;
            return Ok(None);
        };
        let mut runs = Vec::new();
        let mut kept = Vec::new();
        let mut position = header.first_position;
        for (i, entry) in entries.iter().enumerate() {
            if entry.kind.is_kept() {
                kept.push(AssignedKept { revision: entry.number, replaced: None });
                continue;
            }
            let last_version = match entry.kind {
                SectionKind::Events => entry.number + u64::from(entry.events) - 1,
                SectionKind::Tombstone => entry.number,
                _ => self.version_at(shared, i, entries, header.first_position)?,
            };
            runs.push(AssignedRun {
                first_version: last_version + 1 - u64::from(entry.events),
                last_version,
                first_position: position,
                created: false,
            });
            position += u64::from(entry.events);
        }
        Ok(Some(Assigned {
            first_position: header.first_position,
            events: header.events,
            time: header.time,
            runs: Runs::Many(runs),
            kept,
            repeated: true,
        }))
    }

    /// Those of a frame's sections that are compared, if they are the same.
    fn same_sections<'e>(&self, entries: &'e [SectionEntry], body: &[u8]) -> Option<&'e [SectionEntry]> {
        let (entries, own) = entries.split_at_checked(self.compared)?;
        let same = |(entry, draft): (&SectionEntry, &Draft)| {
            (entry.kind, entry.events, entry.len, entry.id_checksum)
                == (draft.kind, draft.events, draft.len, draft.id_checksum)
                && (entry.kind != SectionKind::TruncateBefore || entry.number == draft.number)
        };
        let end = self.drafts.get(self.compared).map_or(self.body.len(), |draft| draft.at as usize);
        let (body, mut rest) = body.split_at_checked(end)?;
        if !entries.iter().zip(&self.drafts).all(same) || body != self.body.get(..end)? {
            return None;
        }
        // What the log has added for a consumer may differ: whoever acknowledges sees to it.
        for entry in own {
            let (section, behind) = rest.split_at_checked(entry.len as usize)?;
            let (block, _) = IdBlock::decode(section, entry).ok()?;
            if self.compared == self.drafts.len() || !entry.kind.is_kept() || !block.id.starts_with(RESERVED)
            {
                return None;
            }
            rest = behind;
        }
        Some(entries)
    }

    /// The version of a stream at a section without events: that behind its section with events before this one, or that
    /// before the one behind, or what it had before the frame.
    fn version_at(
        &self,
        shared: &Shared,
        at: usize,
        entries: &[SectionEntry],
        position: u64,
    ) -> Result<u64, ReadError> {
        let party = self.drafts[at].party;
        let of_party = |i: &usize| self.drafts[*i].party == party && entries[*i].kind == SectionKind::Events;
        if let Some(i) = (0..at).rev().find(of_party) {
            return Ok(entries[i].number + u64::from(entries[i].events) - 1);
        }
        if let Some(i) = (at..entries.len()).find(of_party) {
            return Ok(entries[i].number - 1);
        }
        let Some(id) = self.streams.get(party as usize) else { return Ok(0) };
        let hash = hash_of(id);
        shared.ask_whole(|view| view.index.version_before(id, hash, position))
    }
}
