//! eventcore's own contract for backends, whole: on a directory for each test, and in namespaces of one log that others use, too.

use annals::{EventLog, ExpectedVersion, NewEvent};
use annals_eventcore::{EventCoreStore, Leadership, StoreError};
use eventcore_testing::contract::backend_contract_tests;
use eventcore_types::{
    CheckpointStore, CommandStateSnapshot, CommandStateSnapshotId, Event, EventFilter, EventPage,
    EventReader, EventStore, EventStoreError, EventStream, EventStreamSlice, ProjectorCoordinator, StreamId,
    StreamPosition, StreamVersion, StreamWrites,
};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

/// A store with its directory, which goes when it goes.
pub(crate) struct OnDisk {
    store: EventCoreStore,
    _dir: TempDir,
}

pub(crate) fn on_disk() -> OnDisk {
    let dir = tempfile::tempdir().unwrap();
    OnDisk { store: EventCoreStore::open(dir.path()).unwrap(), _dir: dir }
}

impl EventStore for OnDisk {
    async fn read_stream<E: Event>(&self, stream_id: StreamId) -> Result<EventStream<E>, EventStoreError> {
        self.store.read_stream(stream_id).await
    }

    async fn read_stream_after<E: Event>(
        &self,
        stream_id: StreamId,
        exclusive_version: StreamVersion,
    ) -> Result<EventStream<E>, EventStoreError> {
        self.store.read_stream_after(stream_id, exclusive_version).await
    }

    async fn append_events(&self, writes: StreamWrites) -> Result<EventStreamSlice, EventStoreError> {
        self.store.append_events(writes).await
    }

    async fn load_command_state_snapshot(
        &self,
        snapshot_id: CommandStateSnapshotId,
    ) -> Result<Option<CommandStateSnapshot>, EventStoreError> {
        self.store.load_command_state_snapshot(snapshot_id).await
    }

    async fn save_command_state_snapshot(
        &self,
        snapshot_id: CommandStateSnapshotId,
        snapshot: CommandStateSnapshot,
    ) -> Result<(), EventStoreError> {
        self.store.save_command_state_snapshot(snapshot_id, snapshot).await
    }
}

impl EventReader for OnDisk {
    type Error = StoreError;

    async fn read_events<E: Event>(
        &self,
        filter: EventFilter,
        page: EventPage,
    ) -> Result<Vec<(E, StreamPosition)>, StoreError> {
        self.store.read_events(filter, page).await
    }
}

impl CheckpointStore for OnDisk {
    type Error = StoreError;

    async fn load(&self, name: &str) -> Result<Option<StreamPosition>, StoreError> {
        self.store.load(name).await
    }

    async fn save(&self, name: &str, position: StreamPosition) -> Result<(), StoreError> {
        self.store.save(name, position).await
    }
}

impl ProjectorCoordinator for OnDisk {
    type Error = StoreError;
    type Guard = Leadership;

    async fn try_acquire(&self, subscription_name: &str) -> Result<Leadership, StoreError> {
        self.store.try_acquire(subscription_name).await
    }
}

backend_contract_tests! {
    suite = on_a_directory_each,
    make_store = || { crate::contract::on_disk() },
    make_checkpoint_store = || { crate::contract::on_disk() },
    make_coordinator = || { crate::contract::on_disk() },
}

/// One log, in which plain streams and a tenant's stand around the stores' own, and each store has a namespace.
static SHARED: LazyLock<EventLog> = LazyLock::new(|| {
    let log = EventLog::in_memory().unwrap();
    for stream in ["contract::plain", "eventcore", "eventcore/stream", "stream/contract::"] {
        log.append(stream, ExpectedVersion::Any, &[NewEvent::new("ContractTestEvent", "{}")]).unwrap();
    }
    log.tenant("shop").append("contract::shop", ExpectedVersion::Any, &[NewEvent::new("Added", "")]).unwrap();
    log
});

pub(crate) fn in_a_namespace() -> EventCoreStore {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let namespace = format!("contract/{}", NEXT.fetch_add(1, Ordering::Relaxed));
    EventCoreStore::in_namespace(SHARED.clone(), &namespace).unwrap()
}

backend_contract_tests! {
    suite = in_namespaces_of_one_log,
    make_store = || { crate::contract::in_a_namespace() },
    make_checkpoint_store = || { crate::contract::in_a_namespace() },
    make_coordinator = || { crate::contract::in_a_namespace() },
}
