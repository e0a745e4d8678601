//! What is decided of a stream when it is made, and never again: its partition, and when that was.
//!
//! Owns the bytes of it, which are the attributes of the stream in the log. Never computes a partition.

use crate::errors::damaged;
use allsource_core::domain::entities::EventStream;
use allsource_core::domain::value_objects::{EntityId, PartitionKey};
use allsource_core::error::{AllSourceError, Result};
use annals::StreamInfo;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt::Display;

/// As it is stored. allsource works partitions out with a hash that may be another one with the next Rust: a stream stays
/// where it was put.
#[derive(Serialize, Deserialize)]
pub(crate) struct Birth {
    partition: u32,
    partitions: u32,
    pub(crate) created_at: DateTime<Utc>,
}

impl Birth {
    /// What is decided of the stream that this handle makes.
    pub(crate) fn of(stream: &EventStream) -> Birth {
        let key = stream.partition_key();
        Birth {
            partition: key.partition_id(),
            partitions: key.partition_count(),
            created_at: stream.created_at(),
        }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// If the partition is none: handles can be deserialized, and then say anything.
    pub(crate) fn encode(&self, entity: &EntityId) -> Result<Vec<u8>> {
        self.partition_key().map_err(|error| {
            AllSourceError::InvalidInput(format!("stream {:?} cannot be made: {error}", entity.as_str()))
        })?;
        Ok(serde_json::to_vec(self)?)
    }

    /// What was decided of a stream of the log.
    ///
    /// # Errors
    /// If its attributes do not say so: it is no stream of ours.
    pub(crate) fn decode(info: &StreamInfo) -> Result<Birth> {
        let foreign = |why: &dyn Display| {
            damaged(&info.id, format_args!("its attributes do not say its partition ({why}); who made it?"))
        };
        let birth: Birth = serde_json::from_slice(&info.attributes).map_err(|error| foreign(&error))?;
        birth.partition_key().map_err(|error| foreign(&error))?;
        Ok(birth)
    }

    pub(crate) fn partition(&self) -> u32 {
        self.partition
    }

    pub(crate) fn partition_key(&self) -> Result<PartitionKey> {
        PartitionKey::from_partition_id(self.partition, self.partitions)
    }
}
