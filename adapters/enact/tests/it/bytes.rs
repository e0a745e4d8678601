//! Where things stand in the log, to be read without the adapter: the README's table.

use crate::kit::{as_json, in_memory, tenant};
use crate::persistence::of_each_kind;
use enact_core::kernel::persistence::EventStore as _;
use enact_core::kernel::{ExecutionContext, ExecutionEvent, ExecutionEventType, ExecutionId};
use enact_core::streaming::EventStore as _;
use serde_json::Value;

#[tokio::test]
async fn events_of_the_kernel_stand_as_the_readme_says() {
    let (log, store, _) = in_memory();
    let e = ExecutionId::from("exec_1/a");
    store.append_batch(&e, &tenant("shop/1"), of_each_kind()).await.unwrap();
    assert_eq!(log.list_streams("", None, 9), ["enact/execution/exec_1/a"]);
    assert_eq!(log.list_tenants(None, 9), ["enact/shop/1"]);
    let loaded = store.load_events(&e).await.unwrap();
    for (event, loaded) in log.read_stream("enact/execution/exec_1/a", 0).into_iter().zip(&loaded) {
        let event = event.unwrap();
        let payload: Value = serde_json::from_slice(event.payload()).unwrap();
        assert_eq!(event.payload(), serde_json::to_vec(&loaded.event).unwrap(), "verbatim");
        assert_eq!(event.event_type(), payload["type"], "the type is the tag");
        let metadata: Value = serde_json::from_slice(event.metadata()).unwrap();
        let expected = serde_json::json!({ "tenant_id": "shop/1", "timestamp": as_json(&loaded.timestamp) });
        assert_eq!(metadata, expected);
        assert_eq!(event.version(), loaded.sequence);
    }
    assert_eq!((loaded.len(), log.stream_version("enact/execution/exec_1/a")), (16, 16));
}

#[tokio::test]
async fn events_of_the_runtime_stand_as_the_readme_says() {
    let (log, _, store) = in_memory();
    let context = ExecutionContext::new(ExecutionId::from("exec_1"));
    let entry = store.append(ExecutionEvent::new(ExecutionEventType::ToolCallEnd, context)).await.unwrap();
    let event = log.event_at(entry.sequence).unwrap().unwrap();
    assert_eq!((event.stream(), event.event_type()), ("enact/streaming/exec_1", "tool.end"));
    assert_eq!(
        (event.payload(), event.metadata()),
        (&*serde_json::to_vec(&entry.event).unwrap(), &b"{}"[..])
    );
    let payload: Value = serde_json::from_slice(event.payload()).unwrap();
    assert_eq!(
        (&payload["event_id"], &payload["event_type"]),
        (&as_json(&entry.event.event_id), &"tool_call_end".into())
    );
}
