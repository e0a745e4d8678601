//! Values that are kept as JSON under one name and need nothing beside them: routing keys, snapshots, partners.
//!
//! Owns their reading and writing.

use crate::change::Changes;
use crate::failure::{Failure, Part};
use crate::store::MakoStore;
use annals::KeptValue;
use annals_adapter::json;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The value that stands in a kept value's JSON.
pub(crate) fn decode<T: DeserializeOwned>(part: Part, found: &KeptValue) -> Result<T, Failure> {
    serde_json::from_slice(&found.value).map_err(|error| Failure::decode(part, &found.name, &error))
}

/// The JSON of a value that is to be kept under a name.
pub(crate) fn encode(part: Part, name: &str, value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    json::encode(value).map_err(|error| Failure::encode(part, name, &error))
}

impl MakoStore {
    /// The value under a name.
    pub(crate) fn value<T: DeserializeOwned>(&self, part: Part, name: &str) -> Result<Option<T>, Failure> {
        self.kept(part, name)?.map(|found| decode(part, &found)).transpose()
    }

    /// All values whose names begin with this, in the order of the names.
    pub(crate) async fn values<T: DeserializeOwned>(
        &self,
        part: Part,
        prefix: &str,
    ) -> Result<Vec<T>, Failure> {
        let mut values = Vec::new();
        self.scan(part, prefix, |found| {
            values.push(decode(part, &found)?);
            Ok(true)
        })
        .await?;
        Ok(values)
    }

    /// Sets the value under a name, whatever is there.
    pub(crate) async fn set_value(
        &self,
        part: Part,
        name: String,
        value: &impl Serialize,
    ) -> Result<(), Failure> {
        let json = encode(part, &name, value)?;
        let mut changes = Changes::default();
        changes.set(part, name, json);
        // There is no condition to fail.
        self.submit(part, self.log.batch(), &changes).await.map(drop)
    }

    /// Sets the value under a name to what `merge` makes of the one that is there. If that is the same, nothing is written.
    pub(crate) async fn merge_value<T: Serialize + DeserializeOwned + PartialEq>(
        &self,
        part: Part,
        name: String,
        merge: impl Fn(Option<&T>) -> T,
    ) -> Result<(), Failure> {
        self.change(part, |changes| {
            let found = self.kept(part, &name)?;
            let old: Option<T> = found.as_ref().map(|found| decode(part, found)).transpose()?;
            let new = merge(old.as_ref());
            if old.as_ref() != Some(&new) {
                changes.keep(part, name.clone(), found.as_ref(), encode(part, &name, &new)?);
            }
            Ok(())
        })
        .await
    }
}
