//! [`EventCoreStore`]: the one type that carries all traits, and where its things stand in the log.
//!
//! Owns the constructors and the branches of names. What the traits do is in the files beside this one.

use crate::error::StoreError;
use crate::watermark::Watermark;
use annals::{BatchBuilder, Durability, EventLog, Options};
use annals_adapter::Names;
use eventcore_types::DeliverySourceId;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The namespace, unless another one is chosen.
const NAMESPACE: &str = "eventcore";

/// The longest namespace, as it is written: leaves room for every stream id and snapshot id that eventcore allows.
const NAMESPACE_BYTES_MAX: usize = 512;
/// The largest snapshot in a log that is opened here: as large as the format of the log allows.
const SNAPSHOT_BYTES_MAX: u64 = 64 << 20;

/// An event store, event reader, checkpoint store, projector coordinator and projection source of eventcore, on an
/// [`EventLog`].
///
/// A cheap handle: clones are the same store, and so are stores that were made of one log with one namespace. What a method
/// has said `Ok` to is durable. No method blocks on the disk or on a lock that is held while something waits for the disk.
///
/// A future that is dropped before it is done may have written or not, but all or nothing. Dropping the last handle of a log
/// closes it and waits for that, see [`EventLog`]: let go of it where blocking is allowed.
#[derive(Clone)]
pub struct EventCoreStore {
    inner: Arc<Inner>,
}

struct Inner {
    log: EventLog,
    source_id: DeliverySourceId,
    watermark: Watermark,
    streams: Names,
    snapshots: Names,
    checkpoints: Names,
    projectors: Names,
}

impl EventCoreStore {
    /// Opens the log in a directory, making both if there is none, for this adapter with its own namespace. Blocks until the
    /// log is recovered.
    ///
    /// Takes the log's defaults, but for the size of kept values: command snapshots may be as large as 64 MiB.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub fn open(path: impl AsRef<Path>) -> Result<EventCoreStore, StoreError> {
        EventCoreStore::new(Options::new().kept_bytes_max(SNAPSHOT_BYTES_MAX).open(path)?)
    }

    /// A store on a log that others may use, too. Command snapshots may be as large as the log's
    /// [`Options::kept_bytes_max`], by default 1 MiB. Writes nothing, and does not block.
    ///
    /// # Errors
    /// None with this namespace; the signature is that of all constructors.
    pub fn new(log: EventLog) -> Result<EventCoreStore, StoreError> {
        EventCoreStore::in_namespace(log, NAMESPACE)
    }

    /// The same under another name (1 to 512 bytes, `%` and `/` counted three times), beside other stores in the same log: they
    /// see nothing of each other.
    ///
    /// # Errors
    /// [`StoreError::Namespace`] for one that is empty, too long, or `annals`, which is the log's own.
    pub fn in_namespace(log: EventLog, namespace: &str) -> Result<EventCoreStore, StoreError> {
        let refused = |why| Err(StoreError::Namespace { namespace: namespace.to_owned(), why });
        let names = Names::new(namespace);
        if namespace.is_empty() {
            return refused("is empty");
        }
        if namespace == "annals" {
            return refused("is the log's own");
        }
        if names.prefix().len() > NAMESPACE_BYTES_MAX + 1 {
            return refused("is longer than 512 bytes");
        }
        // Between two parts that are not blank: blanks at the ends of an identity are cut off.
        let source_id = format!("annals/{}{}", names.prefix(), log.id());
        let Ok(source_id) = DeliverySourceId::try_new(source_id) else {
            return refused("makes no source id");
        };
        let inner = Inner {
            source_id,
            watermark: Watermark::default(),
            streams: names.under("stream"),
            snapshots: names.under("snapshot"),
            checkpoints: names.under("checkpoint"),
            projectors: names.under("projector"),
            log,
        };
        Ok(EventCoreStore { inner: Arc::new(inner) })
    }

    /// The log that the store is on, for all that eventcore has no call for: its status, closing it, other streams beside.
    pub fn log(&self) -> &EventLog {
        &self.inner.log
    }

    /// A batch that is durable when it is told, whatever else the log would wait for: what is not durable is not visible either,
    /// and a command that is executed next must see it.
    pub(crate) fn batch(&self) -> BatchBuilder<'_> {
        self.inner.log.batch().durability(Durability::Synced)
    }

    /// Who the store is as a projection source: made of the log's id and the namespace.
    pub(crate) fn source(&self) -> &DeliverySourceId {
        &self.inner.source_id
    }

    /// How far the store has looked at the log.
    pub(crate) fn watermark(&self) -> &Watermark {
        &self.inner.watermark
    }

    /// Streams, by stream id.
    pub(crate) fn streams(&self) -> &Names {
        &self.inner.streams
    }

    /// Kept values: command snapshots, by snapshot id.
    pub(crate) fn snapshots(&self) -> &Names {
        &self.inner.snapshots
    }

    /// Kept values: checkpoints, by the name of the subscription.
    pub(crate) fn checkpoints(&self) -> &Names {
        &self.inner.checkpoints
    }

    /// Claims: who leads a projector, by the name of the subscription.
    pub(crate) fn projectors(&self) -> &Names {
        &self.inner.projectors
    }
}

impl fmt::Debug for EventCoreStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventCoreStore")
            .field("log", &self.inner.log)
            .field("source_id", &self.inner.source_id.as_ref())
            .finish_non_exhaustive()
    }
}
