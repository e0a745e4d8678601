//! The framework itself on it: its container hands out ours; its three traits at once.

use crate::given::{event, event_of, id, ours, tenant, unsaved};
use allsource_core::domain::repositories::{EventStreamReader, EventStreamRepository, EventStreamWriter};
use allsource_core::infrastructure::di::ContainerBuilder;
use annals_allsource::StreamRepository;
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn the_container_hands_it_out() {
    let repository = ours();
    let container = ContainerBuilder::new()
        .with_in_memory_repositories()
        .with_event_stream_repository(Arc::new(repository.clone()))
        .try_build()
        .unwrap();
    let handed_out = container.event_stream_repository();
    assert!(Arc::ptr_eq(&handed_out, &container.clone().event_stream_repository()));
    let stream = handed_out.get_or_create_stream(&id("entity-1")).await.unwrap();
    assert_eq!((stream.current_version(), handed_out.count_streams().await.unwrap()), (0, 1));
    assert_eq!(repository.count_streams().await.unwrap(), 1);
}

#[tokio::test]
async fn what_the_writer_writes_the_reader_reads() {
    let repository = ours();
    let writer: Arc<dyn EventStreamWriter> = Arc::new(repository.clone());
    let reader: Arc<dyn EventStreamReader> = Arc::new(repository.clone());
    let mut stream = writer.get_or_create_stream(&id("entity-1")).await.unwrap();
    assert_eq!(writer.append_to_stream(&mut stream, event("entity-1", 1)).await.unwrap(), 1);
    stream.append_event(event("entity-1", 2)).unwrap();
    writer.save_stream(&stream).await.unwrap();
    assert_eq!(reader.load_stream(&id("entity-1")).await.unwrap().unwrap().event_count(), 2);
    assert_eq!(reader.get_watermark(&id("entity-1")).await.unwrap(), 2);
    assert!(reader.verify_gapless(&id("entity-1")).await.unwrap());
    assert_eq!(reader.get_streams_by_partition(stream.partition_key()).await.unwrap().len(), 1);
    assert_eq!(reader.get_streams_by_tenant(&tenant("acme")).await.unwrap().len(), 1);
    assert_eq!(reader.count_streams_by_tenant(&tenant("acme")).await.unwrap(), 1);
}

/// Nobody has to say which of the three traits is meant, although all of them are imported here.
#[tokio::test]
async fn it_is_called_by_the_names_of_the_traits() {
    let repository = Arc::new(ours());
    repository.save_stream(&unsaved("entity-1", 2)).await.unwrap();
    let mut stream = repository.get_or_create_stream(&id("entity-1")).await.unwrap();
    repository.append_to_stream(&mut stream, event("entity-1", 3)).await.unwrap();
    assert_eq!(repository.get_watermark(&id("entity-1")).await.unwrap(), 3);
}

#[tokio::test]
async fn a_tenant_does_not_get_the_streams_of_another() {
    let repository: &dyn EventStreamRepository = &ours();
    let mut stream = repository.get_or_create_stream(&id("entity-1")).await.unwrap();
    let of_one = event_of("tenant-1", "entity-1", json!({"data": "tenant1"}));
    repository.append_to_stream(&mut stream, of_one).await.unwrap();
    assert_eq!(repository.get_streams_by_tenant(&tenant("tenant-1")).await.unwrap().len(), 1);
    assert!(repository.get_streams_by_tenant(&tenant("tenant-2")).await.unwrap().is_empty());
}

#[test]
fn it_is_shared_between_threads() {
    fn send_sync<T: Send + Sync + Clone + 'static>() {}
    fn send<T: Send>(_: T) {}
    send_sync::<StreamRepository>();
    let repository = ours();
    let (id, mut stream) = (id("entity-1"), unsaved("entity-1", 1));
    send(repository.load_stream(&id));
    send(repository.save_stream(&stream));
    send(repository.append_to_stream(&mut stream, event("entity-1", 2)));
    send(repository.partition_stats());
}
