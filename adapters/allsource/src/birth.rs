//! What is decided of a stream when it is made, and never again: its partition, and when that was.
//!
//! Owns the bytes of it, which are the attributes of the stream in the log. Never computes a partition.

use crate::errors::damaged;
use allsource_core::domain::entities::EventStream;
use allsource_core::domain::value_objects::PartitionKey;
use allsource_core::error::{AllSourceError, Result};
use annals::StreamInfo;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt::Display;

/// As it is stored. allsource works partitions out with a hash that may be another one with the next Rust: a stream stays
/// where it was put.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
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

    /// Its bytes, which will be read as what they are made of.
    ///
    /// # Errors
    /// If they would not: allsource lets handles be deserialized without looking at what they say.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let refuse = |why: &dyn Display| {
            let (partition, partitions, made) = (self.partition, self.partitions, self.created_at);
            AllSourceError::InvalidInput(format!(
                "a stream cannot be made in partition {partition} of {partitions}, at {made:?}: {why}"
            ))
        };
        self.partition_key().map_err(|error| refuse(&error))?;
        let bytes = serde_json::to_vec(self).map_err(|error| refuse(&error))?;
        let back: Birth = serde_json::from_slice(&bytes).map_err(|error| refuse(&error))?;
        if back == *self { Ok(bytes) } else { Err(refuse(&"it would be read as another time")) }
    }

    /// What was decided of a stream of the log.
    pub(crate) fn decode(info: &StreamInfo) -> Result<Birth> {
        serde_json::from_slice(&info.attributes).map_err(|error| {
            damaged(&info.id, format_args!("its attributes do not say its partition ({error}); who made it?"))
        })
    }

    pub(crate) fn partition(&self) -> u32 {
        self.partition
    }

    pub(crate) fn partition_key(&self) -> Result<PartitionKey> {
        PartitionKey::from_partition_id(self.partition, self.partitions)
    }
}
