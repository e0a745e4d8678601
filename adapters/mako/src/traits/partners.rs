//! Trading partners of this version.
//!
//! Compiled against each version of mako-engine.

use super::mako::error::EngineError;
use super::mako::ids::TenantId;
use super::mako::partner::{PartnerRecord, PartnerStore};
use super::mako::types::MarktpartnerCode;
use crate::failure::Part;
use crate::store::MakoStore;

const PART: Part = Part::Partners;

/// Durable when they return. Two updates of one partner at once are merged one after the other.
impl PartnerStore for MakoStore {
    async fn upsert(&self, tenant_id: TenantId, record: &PartnerRecord) -> Result<(), EngineError> {
        let name = self.places.partners(&tenant_id.to_string()).name(record.mp_id.as_str());
        let merge = |old: Option<&PartnerRecord>| match old {
            None => record.clone(),
            Some(old) => {
                let mut merged = old.clone();
                merged.merge_from_partin(record.clone());
                merged
            }
        };
        Ok(self.merge_value(PART, name, merge).await?)
    }

    async fn get(
        &self,
        tenant_id: TenantId,
        mp_id: &MarktpartnerCode,
    ) -> Result<Option<PartnerRecord>, EngineError> {
        Ok(self.value(PART, &self.places.partners(&tenant_id.to_string()).name(mp_id.as_str()))?)
    }

    async fn remove(&self, tenant_id: TenantId, mp_id: &MarktpartnerCode) -> Result<(), EngineError> {
        Ok(self.unset(PART, self.places.partners(&tenant_id.to_string()).name(mp_id.as_str())).await?)
    }

    async fn list(&self, tenant_id: TenantId) -> Result<Vec<PartnerRecord>, EngineError> {
        Ok(self.values(PART, self.places.partners(&tenant_id.to_string()).prefix()).await?)
    }
}
