//! The process registry.
//!
//! Owns where routing keys and tagged processes stand, and what a tag may be. Written by the registry and by an append, they are
//! the same.

use crate::change::Changes;
use crate::failure::{Failure, Part};
use crate::store::MakoStore;
use serde::de::DeserializeOwned;
use uuid::Uuid;

const PART: Part = Part::Registry;

/// How many bytes a tag may have: as many as a routing key.
const TAG_BYTES_MAX: usize = 256;

/// A process to be found under a tag.
pub(crate) struct Entry<'a> {
    pub(crate) tenant: Uuid,
    pub(crate) tag: &'a str,
    pub(crate) process: Uuid,
    pub(crate) json: Vec<u8>,
}

impl MakoStore {
    /// The name of a routing key.
    pub(crate) fn routing_name(&self, tenant: Uuid, key: &str) -> String {
        self.places.registry.under(&tenant.to_string()).name(key)
    }

    pub(crate) fn add_correlations(
        &self,
        changes: &mut Changes,
        entries: &[Entry<'_>],
    ) -> Result<(), Failure> {
        for entry in entries {
            let name = self.correlated_name(entry.tenant, entry.tag, entry.process)?;
            changes.set(PART, name, entry.json.clone());
        }
        Ok(())
    }

    /// The name of a process under a tag.
    pub(crate) fn correlated_name(&self, tenant: Uuid, tag: &str, process: Uuid) -> Result<String, Failure> {
        check_tag(tag)?;
        Ok(self.places.correlated(&tenant.to_string(), tag).name(&process.to_string()))
    }

    /// All processes under a tag.
    pub(crate) async fn correlated_values<T: DeserializeOwned>(
        &self,
        tenant: Uuid,
        tag: &str,
    ) -> Result<Vec<T>, Failure> {
        check_tag(tag)?;
        self.values(PART, self.places.correlated(&tenant.to_string(), tag).prefix()).await
    }
}

/// What the registry's documentation demands of a tag.
fn check_tag(tag: &str) -> Result<(), Failure> {
    if tag.contains('\0') {
        return Err(Failure::new(PART, "a tag must not contain NUL bytes"));
    }
    if tag.len() > TAG_BYTES_MAX {
        let len = tag.len();
        return Err(Failure::new(PART, format!("the tag has {len} bytes, allowed are {TAG_BYTES_MAX}")));
    }
    Ok(())
}
