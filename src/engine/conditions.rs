//! Conditions: whether an append may be, against all that was sequenced before it.
//!
//! Owns the verdict and which batch it rests on. Changes nothing.

use crate::engine::answer::Refusal;
use crate::engine::head::{Head, Heads, KeptHead};
use crate::engine::parties::Party;
use crate::engine::request::Request;
use crate::engine::sequencer::Sequencer;
use crate::engine::view::View;
use crate::error::AppendError;
use crate::format::section::SectionKind;
use crate::index::streams::state_in;
use crate::types::{ExpectedVersion, NUMBER_MAX};
use parking_lot::RwLock;
use std::sync::Arc;

impl Sequencer {
    /// Finds each party's head and compares it with the condition. Says which batch the answer rests on.
    pub(crate) fn check(
        &self,
        heads: &mut Heads,
        request: &Request,
        view: &RwLock<View>,
    ) -> Result<u64, Refusal> {
        let view = view.read();
        let mut rests_on = 0;
        for party in &*request.streams {
            let (id, head) = self.head(party, &view)?;
            rests_on = rests_on.max(head.batch);
            let refuse = |error| Err(Refusal::Told(error, head.batch));
            if let (Some(named), Some(bound)) = (&party.tenant, &head.state.tenant)
                && named != bound
            {
                return refuse(AppendError::ForeignTenant {
                    stream: party.id.to_string(),
                    named: named.to_string(),
                });
            }
            if head.state.tombstoned {
                return refuse(AppendError::Gone { stream: party.id.to_string() });
            }
            if !head.meets(party.condition) {
                let (expected, actual) = (party.condition, head.state.version);
                return refuse(AppendError::Conflict { stream: party.id.to_string(), expected, actual });
            }
            heads.streams.push((id, head));
        }
        for party in &*request.kept {
            let head = match self.unsettled_kept.get(&party.id) {
                Some(head) => *head,
                None => {
                    KeptHead { revision: view.index.kept(&party.id)?.map(|place| place.revision), batch: 0 }
                }
            };
            rests_on = rests_on.max(head.batch);
            if !head.meets(party.condition) {
                let (name, expected, actual) = (party.id.to_string(), party.condition, head.revision);
                let error = AppendError::KeptConflict { name, expected, actual };
                return Err(Refusal::Told(error, head.batch));
            }
            heads.kept.push(head);
        }
        Ok(rests_on)
    }

    /// The head of a stream, and its id as others share it, if somebody does.
    #[inline]
    fn head(&self, party: &Party<ExpectedVersion>, view: &View) -> Result<(Option<Arc<str>>, Head), Refusal> {
        if let Some((id, head)) = self.unsettled.get(&party.id, party.hash) {
            return Ok((Some(id.clone()), head.clone()));
        }
        if let Some(entry) = view.index.entry(&party.id, party.hash) {
            return Ok((Some(entry.id.clone()), Head { state: entry.state.clone(), batch: 0 }));
        }
        let state = state_in(&view.index.layers, &party.id, party.hash)?;
        Ok((None, Head { state: state.unwrap_or_default(), batch: 0 }))
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
        for (_, head) in &heads.streams {
            bound("version", head.state.version, events)?;
        }
        if !request.drafts.iter().any(|draft| draft.kind == SectionKind::TruncateBefore) {
            return Ok(());
        }
        let mut versions: Vec<u64> = heads.streams.iter().map(|(_, head)| head.state.version).collect();
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
