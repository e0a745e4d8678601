//! Many streams at once: by partition, by tenant, and how many there are.
//!
//! Owns the paging: a few hundred names at a time, with turns for other tasks between them.

use crate::errors::damaged;
use crate::repository::{Known, StreamRepository};
use crate::turn::turn;
use allsource_core::domain::entities::EventStream;
use allsource_core::domain::value_objects::{EntityId, PartitionKey, TenantId};
use allsource_core::error::Result;
use annals::StreamInfo;
use annals_adapter::Names;
use serde_json::Value;
use std::collections::BTreeMap;

/// How many names are looked at in a row.
const PAGE: usize = 256;

impl StreamRepository {
    /// All streams of a partition with all their events, in the byte order of their ids, also those without events. A partition
    /// is known by its id: of how many the caller thinks it is one makes no difference, as in
    /// [`StreamRepository::partition_stats`].
    ///
    /// Costs what the streams of the partition cost, and holds them in memory. Streams that are made meanwhile may be in it.
    ///
    /// # Errors
    /// As [`StreamRepository::load_stream`], for the first stream that cannot be read.
    pub async fn get_streams_by_partition(&self, partition_key: &PartitionKey) -> Result<Vec<EventStream>> {
        let names = self.names.partition(partition_key.partition_id());
        let mut streams = Vec::new();
        let mut after = None;
        loop {
            let page = self.log.list_kept(names.prefix(), after.as_deref(), PAGE);
            let page = page.map_err(|error| damaged(names.prefix(), error))?;
            for kept in &page {
                let entity = entity(&names, &kept.name)?;
                let stream = self.load_stream(&entity).await?;
                streams.push(stream.ok_or_else(|| damaged(&kept.name, "there is no such stream"))?);
            }
            if page.len() < PAGE {
                return Ok(streams);
            }
            after = page.last().map(|last| last.name.clone());
            turn().await;
        }
    }

    /// All streams whose events are a tenant's, with all their events, in the byte order of their ids. Streams without events
    /// belong to nobody.
    ///
    /// Costs what the tenant's streams cost, and holds them in memory. Streams that are made meanwhile may be in it.
    ///
    /// # Errors
    /// As [`StreamRepository::load_stream`], for the first stream that cannot be read.
    pub async fn get_streams_by_tenant(&self, tenant_id: &TenantId) -> Result<Vec<EventStream>> {
        let tenant = self.log.tenant(&self.names.tenant(tenant_id));
        let mut streams = Vec::new();
        let (mut offset, mut oldest) = (0, u64::MAX);
        loop {
            let page = tenant.list_streams(offset, PAGE);
            let is_last = page.len() < PAGE;
            offset += page.len() as u64;
            for info in page {
                // The newest come first: when others are bound meanwhile, what was given moves to later pages.
                if info.creation_ordinal >= oldest {
                    continue;
                }
                oldest = info.creation_ordinal;
                let entity = entity(&self.names.streams, &info.id)?;
                streams.push(self.load(&entity, Known::of(info)?).await?);
            }
            if is_last {
                break;
            }
            turn().await;
        }
        streams.sort_by(|a, b| a.stream_id().as_str().cmp(b.stream_id().as_str()));
        Ok(streams)
    }

    /// How many streams have events of a tenant. A look at the log's index, however many they are.
    ///
    /// # Errors
    /// None; the signature is the trait's.
    pub async fn count_streams_by_tenant(&self, tenant_id: &TenantId) -> Result<usize> {
        let count = self.log.tenant(&self.names.tenant(tenant_id)).stream_count();
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// How many streams there are, with or without events. Goes through the names of all, in memory.
    ///
    /// # Errors
    /// None; the signature is the trait's.
    pub async fn count_streams(&self) -> Result<usize> {
        let mut count = 0;
        self.each_stream(|_| {
            count += 1;
            Ok(())
        })
        .await?;
        Ok(count)
    }

    /// How many streams each partition has, by the id of the partition; those without streams are left out. Goes through what
    /// is known of all streams, in memory.
    ///
    /// # Errors
    /// `StorageError` if a stream of the namespace does not say its partition, since this crate did not make it, or was ended.
    pub async fn partition_stats(&self) -> Result<Vec<(u32, usize)>> {
        let mut counts = BTreeMap::new();
        self.each_stream(|info| {
            *counts.entry(Known::of(info)?.birth.partition()).or_insert(0) += 1;
            Ok(())
        })
        .await?;
        Ok(counts.into_iter().collect())
    }

    async fn each_stream(&self, mut look: impl FnMut(StreamInfo) -> Result<()>) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let page = self.log.list_stream_infos(self.names.streams.prefix(), after.as_deref(), PAGE);
            let is_last = page.len() < PAGE;
            after = page.last().map(|last| last.id.clone());
            page.into_iter().try_for_each(&mut look)?;
            if is_last {
                return Ok(());
            }
            turn().await;
        }
    }
}

/// Whose name this is in a branch. It was an id when it was stored; what ids must look like today is not asked.
fn entity(branch: &Names, name: &str) -> Result<EntityId> {
    let id =
        branch.foreign(name).ok_or_else(|| damaged(name, "it is listed here, and is no stream of ours"))?;
    Ok(serde_json::from_value(Value::String(id.to_owned()))?)
}
