//! Conditions: whether an append may be, against all that was sequenced before it.
//!
//! Owns the verdict and which batch it rests on. Changes nothing.

use crate::engine::head::{Head, Heads, KeptHead};
use crate::engine::request::Request;
use crate::engine::sequencer::Sequencer;
use crate::engine::view::View;
use crate::error::AppendError;
use crate::format::section::SectionKind;
use crate::index::tenants::NO_TENANT;
use crate::types::NUMBER_MAX;
use parking_lot::RwLock;

impl Sequencer {
    /// Finds each party's head and compares it with the condition. Says which batch the answer rests on.
    pub(crate) fn check(
        &self,
        heads: &mut Heads,
        request: &Request,
        view: &RwLock<View>,
    ) -> Result<u64, (AppendError, u64)> {
        let view = view.read();
        let mut rests_on = 0;
        for party in &*request.streams {
            let number = view.index.streams.find(&party.id);
            let head = number.map_or_else(Head::default, |number| {
                let settled = || Head::visible(view.index.streams.get(number));
                self.unsettled.get(&number).copied().unwrap_or_else(settled)
            });
            rests_on = rests_on.max(head.batch);
            let refuse = |error| Err((error, head.batch));
            if let Some(named) = &party.tenant
                && head.tenant != NO_TENANT
                && view.index.streams.tenants.find(named) != Some(head.tenant)
            {
                return refuse(AppendError::ForeignTenant {
                    stream: party.id.to_string(),
                    named: named.to_string(),
                });
            }
            if head.tombstoned {
                return refuse(AppendError::Gone { stream: party.id.to_string() });
            }
            if !head.meets(party.condition) {
                let (stream, expected, actual) = (party.id.to_string(), party.condition, head.version);
                return refuse(AppendError::Conflict { stream, expected, actual });
            }
            heads.streams.push((number, head));
        }
        for party in &*request.kept {
            let head = self.unsettled_kept.get(&party.id).copied().unwrap_or_else(|| KeptHead {
                revision: view.index.kept.get(&party.id).map(|place| place.revision),
                batch: 0,
            });
            rests_on = rests_on.max(head.batch);
            if !head.meets(party.condition) {
                let (name, expected, actual) = (party.id.to_string(), party.condition, head.revision);
                return Err((AppendError::KeptConflict { name, expected, actual }, head.batch));
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
        for (_, head) in &heads.streams {
            bound("version", head.version, events)?;
        }
        if !request.drafts.iter().any(|draft| draft.kind == SectionKind::TruncateBefore) {
            return Ok(());
        }
        let mut versions: Vec<u64> = heads.streams.iter().map(|(_, head)| head.version).collect();
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
