//! The three traits of allsource: each call is the repository's own of that name.
//!
//! Owns nothing else.

use crate::repository::StreamRepository;
use allsource_core::domain::entities::{Event, EventStream};
use allsource_core::domain::repositories::{EventStreamReader, EventStreamRepository, EventStreamWriter};
use allsource_core::domain::value_objects::{EntityId, PartitionKey, TenantId};
use allsource_core::error::Result;
use async_trait::async_trait;

#[async_trait]
impl EventStreamRepository for StreamRepository {
    async fn get_or_create_stream(&self, stream_id: &EntityId) -> Result<EventStream> {
        self.get_or_create_stream(stream_id).await
    }

    async fn append_to_stream(&self, stream: &mut EventStream, event: Event) -> Result<u64> {
        self.append_to_stream(stream, event).await
    }

    async fn save_stream(&self, stream: &EventStream) -> Result<()> {
        self.save_stream(stream).await
    }

    async fn load_stream(&self, stream_id: &EntityId) -> Result<Option<EventStream>> {
        self.load_stream(stream_id).await
    }

    async fn get_streams_by_partition(&self, partition_key: &PartitionKey) -> Result<Vec<EventStream>> {
        self.get_streams_by_partition(partition_key).await
    }

    async fn get_watermark(&self, stream_id: &EntityId) -> Result<u64> {
        self.get_watermark(stream_id).await
    }

    async fn verify_gapless(&self, stream_id: &EntityId) -> Result<bool> {
        self.verify_gapless(stream_id).await
    }

    async fn count_streams(&self) -> Result<usize> {
        self.count_streams().await
    }

    async fn partition_stats(&self) -> Result<Vec<(u32, usize)>> {
        self.partition_stats().await
    }

    async fn get_streams_by_tenant(&self, tenant_id: &TenantId) -> Result<Vec<EventStream>> {
        self.get_streams_by_tenant(tenant_id).await
    }

    async fn count_streams_by_tenant(&self, tenant_id: &TenantId) -> Result<usize> {
        self.count_streams_by_tenant(tenant_id).await
    }
}

#[async_trait]
impl EventStreamReader for StreamRepository {
    async fn load_stream(&self, stream_id: &EntityId) -> Result<Option<EventStream>> {
        self.load_stream(stream_id).await
    }

    async fn get_watermark(&self, stream_id: &EntityId) -> Result<u64> {
        self.get_watermark(stream_id).await
    }

    async fn get_streams_by_partition(&self, partition_key: &PartitionKey) -> Result<Vec<EventStream>> {
        self.get_streams_by_partition(partition_key).await
    }

    async fn verify_gapless(&self, stream_id: &EntityId) -> Result<bool> {
        self.verify_gapless(stream_id).await
    }

    async fn get_streams_by_tenant(&self, tenant_id: &TenantId) -> Result<Vec<EventStream>> {
        self.get_streams_by_tenant(tenant_id).await
    }

    async fn count_streams_by_tenant(&self, tenant_id: &TenantId) -> Result<usize> {
        self.count_streams_by_tenant(tenant_id).await
    }
}

#[async_trait]
impl EventStreamWriter for StreamRepository {
    async fn get_or_create_stream(&self, stream_id: &EntityId) -> Result<EventStream> {
        self.get_or_create_stream(stream_id).await
    }

    async fn append_to_stream(&self, stream: &mut EventStream, event: Event) -> Result<u64> {
        self.append_to_stream(stream, event).await
    }

    async fn save_stream(&self, stream: &EventStream) -> Result<()> {
        self.save_stream(stream).await
    }
}
