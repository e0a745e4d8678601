//! Conditions: whether an append may be, against all that was sequenced before it.
//!
//! Owns the verdict and which batch it rests on. Changes nothing.

use crate::engine::answer::Refusal;
use crate::engine::head::{Head, Heads, KeptHead};
use crate::engine::request::Request;
use crate::engine::sequencer::Sequencer;
use crate::engine::view::View;
use crate::error::AppendError;
use crate::format::section::SectionKind;
use crate::index::streams::{TOGETHER, prefetch_in, state_in};
use crate::types::NUMBER_MAX;
use parking_lot::RwLock;
use smallvec::SmallVec;

impl Sequencer {
    /// Finds each party's head and compares it with the condition. Says which batch the answer rests on.
    pub(crate) fn check(
        &self,
        heads: &mut Heads,
        request: &Request,
        view: &RwLock<View>,
    ) -> Result<u64, Refusal> {
        // Taken when it is needed: while a batch is being shown, others may not look.
        let mut guard = None;
        let mut rests_on = 0;
        // Of many streams, what memory has to bring for the last one is on its way while the first one is looked at.
        if request.streams.len() > 1 {
            let unknown = |party: &&_| self.last_heads.get(request.streams.id(party), party.hash).is_none();
            let hashes: SmallVec<[u64; 128]> =
                request.streams.iter().filter(unknown).map(|party| party.hash).collect();
            for hashes in hashes.chunks(TOGETHER) {
                let layers = &guard.get_or_insert_with(|| view.read()).index.layers;
                prefetch_in(layers, hashes.iter().copied());
            }
        }
        for party in &*request.streams {
            let name = request.streams.id(party);
            let head = match self.last_heads.get(name, party.hash) {
                Some(head) => head.clone(),
                None => visible_head(name, party.hash, guard.get_or_insert_with(|| view.read()))?,
            };
            rests_on = rests_on.max(head.batch);
            let refuse = |error| Err(Refusal::Told(error, head.batch));
            if let (Some(named), Some(bound)) = (&party.tenant, &head.state.tenant)
                && named != bound
            {
                return refuse(AppendError::ForeignTenant {
                    stream: name.to_owned(),
                    named: named.to_string(),
                });
            }
            if head.state.tombstoned {
                return refuse(AppendError::Gone { stream: name.to_owned() });
            }
            if !head.meets(party.condition) {
                let (expected, actual) = (party.condition, head.state.version);
                return refuse(AppendError::Conflict { stream: name.to_owned(), expected, actual });
            }
            heads.streams.push(head);
        }
        for party in &*request.kept {
            let name = request.kept.id(party);
            let head = match self.unsettled_kept.get(name) {
                Some(head) => *head,
                None => {
                    let place = guard.get_or_insert_with(|| view.read()).index.kept(name)?;
                    KeptHead { revision: place.map(|place| place.revision), batch: 0 }
                }
            };
            rests_on = rests_on.max(head.batch);
            if !head.meets(party.condition) {
                let (name, expected, actual) = (name.to_owned(), party.condition, head.revision);
                let error = AppendError::KeptConflict { name, expected, actual };
                return Err(Refusal::Told(error, head.batch));
            }
            heads.kept.push(head);
        }
        Ok(rests_on)
    }

    /// Whether the numbers to be given exist, and whether no stream is cut behind its end.
    pub(crate) fn check_numbers(&self, heads: &Heads, request: &Request) -> Result<(), AppendError> {
        let bound = |what, last: u64, more: u64| match last.checked_add(more) {
            Some(last) if last <= NUMBER_MAX => Ok(()),
            last => Err(AppendError::TooLarge { what, len: last.unwrap_or(u64::MAX), max: NUMBER_MAX }),
        };
        let events = u64::from(request.events);
        bound("position", self.tail.chain.next_position, events)?;
        bound("revision", self.last_revision, request.drafts.len() as u64)?;
        for head in &heads.streams {
            bound("version", head.state.version, events)?;
        }
        if !request.drafts.iter().any(|draft| draft.kind == SectionKind::TruncateBefore) {
            return Ok(());
        }
        let mut versions: Vec<u64> = heads.streams.iter().map(|head| head.state.version).collect();
        for draft in &request.drafts {
            match draft.kind {
                SectionKind::Events => versions[draft.party as usize] += u64::from(draft.events),
                SectionKind::TruncateBefore if draft.number > versions[draft.party as usize] + 1 => {
                    let end = versions[draft.party as usize] + 1;
                    return Err(AppendError::BeyondEnd { what: "version", asked: draft.number, end });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The head of a stream that did not change of late.
fn visible_head(id: &str, hash: u64, view: &View) -> Result<Head, Refusal> {
    if let Some(entry) = view.index.entry(id, hash) {
        return Ok(Head { state: entry.state.clone(), batch: 0 });
    }
    let state = state_in(&view.index.layers, id, hash)?;
    Ok(Head { state: state.unwrap_or_default(), batch: 0 })
}
