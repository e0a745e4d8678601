//! The process registry of this version.
//!
//! Compiled against each version of mako-engine.

use super::mako::error::EngineError;
use super::mako::ids::{ProcessId, ProcessIdentity, TenantId};
use super::mako::registry::{ProcessRegistry, RegistryKey};
use crate::failure::Part;
use crate::store::MakoStore;

const PART: Part = Part::Registry;

/// Durable when they return. A process that an append has put under a tag is the same as one that was put there here.
impl ProcessRegistry for MakoStore {
    async fn register(
        &self,
        tenant_id: TenantId,
        key: &RegistryKey,
        identity: ProcessIdentity,
    ) -> Result<(), EngineError> {
        let name = self.routing_name(tenant_id.as_uuid(), key.as_str());
        Ok(self.set_value(PART, name, &identity).await?)
    }

    async fn lookup(
        &self,
        tenant_id: TenantId,
        key: &RegistryKey,
    ) -> Result<Option<ProcessIdentity>, EngineError> {
        Ok(self.value(PART, &self.routing_name(tenant_id.as_uuid(), key.as_str()))?)
    }

    async fn remove(&self, tenant_id: TenantId, key: &RegistryKey) -> Result<(), EngineError> {
        Ok(self.unset(PART, self.routing_name(tenant_id.as_uuid(), key.as_str())).await?)
    }

    async fn len(&self) -> Result<usize, EngineError> {
        Ok(self.count(self.places.registry.prefix()))
    }

    async fn register_correlated(
        &self,
        tenant_id: TenantId,
        tag: &str,
        process_id: ProcessId,
        identity: ProcessIdentity,
    ) -> Result<(), EngineError> {
        let name = self.correlated_name(tenant_id.as_uuid(), tag, process_id.as_uuid())?;
        Ok(self.set_value(PART, name, &identity).await?)
    }

    async fn lookup_correlated(
        &self,
        tenant_id: TenantId,
        tag: &str,
    ) -> Result<Vec<ProcessIdentity>, EngineError> {
        Ok(self.correlated_values(tenant_id.as_uuid(), tag).await?)
    }

    async fn remove_correlated(
        &self,
        tenant_id: TenantId,
        tag: &str,
        process_id: ProcessId,
    ) -> Result<(), EngineError> {
        let name = self.correlated_name(tenant_id.as_uuid(), tag, process_id.as_uuid())?;
        Ok(self.unset(PART, name).await?)
    }
}
