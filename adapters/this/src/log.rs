//! The event log of the framework, over a stream and some kept values of an Annals log.
//!
//! Owns what each call means: numbers, places, and when which of them is durable. Must never block the thread that polls it.

use crate::envelope::Written;
use crate::error::ThisError;
use crate::followed::Followed;
use annals::limits::NAME_BYTES_MAX;
use annals::{AppendError, BatchBuilder, Durability, ExpectedVersion, OpenError, Pending, Query, ReadError};
use annals_adapter::Names;
use async_trait::async_trait;
use futures_core::Stream;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use this::core::events::EventEnvelope;
use this::events::{ConsumerState, EventLog, SeekPosition, SeqNo};

/// The namespace of a log that has only one [`ThisLog`].
const NAMESPACE: &str = "this";
/// A place that no event ever comes to, before which a subscription waits.
const NEVER: u64 = u64::MAX - 2;

/// An event log of this-rs on disk: a cheap handle, to be cloned and shared.
///
/// Clones, and other handles of the same namespace on the same log, are one event log: each sees at once what another has done.
/// The calls of the trait are described at [`ThisLog`'s implementation](#impl-EventLog-for-ThisLog) of it. None of them blocks
/// its thread; they run on any executor. A call that is dropped before it has returned may be made or not.
///
/// The log is open as long as there is a handle to it. Dropping the last one closes it, and blocks for a sync: in async code,
/// close it first, on a thread that may block, with [`annals::EventLog::close`] of [`ThisLog::log`]. Streams do not keep it open:
/// they give what is there, and end.
#[derive(Debug, Clone)]
pub struct ThisLog {
    log: annals::EventLog,
    /// The stream that holds the events.
    stream: Arc<str>,
    /// The names of consumers' places.
    places: Arc<Names>,
    durable_acks: bool,
}

impl ThisLog {
    /// The event log in the namespace `this` of a log. The log needs its threads
    /// ([`Options::background`](annals::Options::background), the default): without them, nothing commits what is awaited.
    pub fn new(log: annals::EventLog) -> ThisLog {
        ThisLog::named(log, NAMESPACE)
    }

    /// Opens the log in a directory, making both if there is none, for [`ThisLog::new`]. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: impl AsRef<Path>) -> Result<ThisLog, OpenError> {
        annals::EventLog::open(path).map(ThisLog::new)
    }

    /// The event log in another namespace: several that know nothing of one another can live in one log.
    ///
    /// # Errors
    /// [`ThisError::ReservedNamespace`] for `annals`, [`ThisError::NameTooLong`] if the names in it would be too long for a log:
    /// at some 2,000 bytes.
    pub fn in_namespace(log: annals::EventLog, namespace: &str) -> Result<ThisLog, ThisError> {
        let named = ThisLog::named(log, namespace);
        if namespace == "annals" {
            return Err(ThisError::ReservedNamespace);
        }
        fitting("namespace", named.places.prefix().len(), NAME_BYTES_MAX)?;
        Ok(named)
    }

    fn named(log: annals::EventLog, namespace: &str) -> ThisLog {
        let names = Names::new(namespace);
        let (stream, places) = (names.name("events").into(), names.under("consumer").into());
        ThisLog { log, stream, places, durable_acks: false }
    }

    /// Whether [`ack`](EventLog::ack) of this handle, and of clones made from now on, waits until the acknowledgement is durable.
    /// Default: no; then it costs no sync of its own, and a crash may lose those of the last 50 ms.
    #[must_use]
    pub fn durable_acks(mut self, durable: bool) -> ThisLog {
        self.durable_acks = durable;
        self
    }

    /// The log underneath.
    pub fn log(&self) -> &annals::EventLog {
        &self.log
    }

    /// Where a consumer is: `last_acked` is the number of the last event that counts as processed, by an acknowledgement or by a
    /// seek; 0 if it starts from the beginning, `None` if it has neither acknowledged nor sought anything. Does not block.
    ///
    /// # Errors
    /// [`ThisError::NameTooLong`], [`ThisError::NotAPlace`] and [`ThisError::Read`].
    pub fn consumer_state(&self, consumer: &str) -> Result<ConsumerState, ThisError> {
        let kept = self.log.kept(&self.place_name(consumer)?)?;
        let place = |value: &[u8]| std::str::from_utf8(value).ok()?.parse().ok();
        let last_acked = kept.map(|kept| {
            place(&kept.value).ok_or_else(|| ThisError::NotAPlace {
                consumer: consumer.to_owned(),
                found: String::from_utf8_lossy(&kept.value).into_owned(),
            })
        });
        Ok(ConsumerState { name: consumer.to_owned(), last_acked: last_acked.transpose()? })
    }

    /// The number of the last event, 0 if there is none.
    fn last(&self) -> SeqNo {
        self.log.stream_version(&self.stream)
    }

    /// What a consumer's place is called.
    fn place_name(&self, consumer: &str) -> Result<String, ThisError> {
        fitting("consumer", consumer.len(), NAME_BYTES_MAX - self.places.prefix().len())?;
        Ok(self.places.name(consumer))
    }

    /// Sends a batch off. Awaited, it is durable and visible, however the log was opened.
    fn submit(batch: BatchBuilder<'_>) -> Result<Pending<annals::BatchAppended>, ThisError> {
        Ok(batch.durability(Durability::Synced).submit()?)
    }

    /// Sets a place, durably.
    async fn keep(&self, name: &str, place: &str) -> Result<(), ThisError> {
        ThisLog::submit(self.log.batch().keep(name, place))?.await?;
        Ok(())
    }

    /// The place behind which a subscription begins. To begin behind nothing is to begin with what is kept.
    fn begin(&self, place: u64) -> Result<u64, ThisError> {
        let first = self.log.stream_info(&self.stream).map_or(1, |info| info.first_version);
        match place {
            0 => Ok(first - 1),
            _ if place < first - 1 => Err(ReadError::Truncated { first }.into()),
            _ => Ok(place.min(NEVER)),
        }
    }
}

fn fitting(what: &'static str, len: usize, max: usize) -> Result<(), ThisError> {
    if len <= max { Ok(()) } else { Err(ThisError::NameTooLong { what, len, max }) }
}

/// In every method, `anyhow::Error` holds a [`ThisError`].
#[async_trait]
impl EventLog for ThisLog {
    /// Appends an event, and gives its number: 1, 2, 3, ... without gaps. Durable and visible when it returns. Many callers at
    /// once share their syncs. Whatever number the envelope comes with is replaced; all else comes back as it was.
    ///
    /// # Errors
    /// [`ThisError::TooDeep`] for data that could not be read again, else [`ThisError::Append`].
    async fn append(&self, envelope: EventEnvelope) -> anyhow::Result<SeqNo> {
        let written = Written::new(&envelope)?;
        let batch = self.log.batch().append(&self.stream, ExpectedVersion::Any, &[written.as_event()]);
        let done = ThisLog::submit(batch)?.await.map_err(ThisError::from)?;
        Ok(done.streams.first().map_or(0, |stream| stream.last_version))
    }

    /// Follows the events from a position, which is resolved by this call: first those that are there, then those that come,
    /// each once, in order, none before it is durable. It moves no place, and several streams of one consumer each give
    /// everything.
    ///
    /// * `Beginning`: from the first event that is there.
    /// * `Latest`: only events that are not there yet.
    /// * `Sequence(n)`: from event `n` on, which is waited for if it is not there yet; 0 is the beginning.
    /// * `LastAcknowledged`: behind the last event that the consumer has acknowledged, or from where a seek has put it; from the
    ///   beginning if it has done neither.
    ///
    /// The stream ends when the log is closed, after it has given all there is, and when there is something that it cannot give:
    /// a damaged event, one that this adapter has not written, or a poisoned log. That is an error in the program's traces, with
    /// the number of the last event that was given. It passes over nothing.
    ///
    /// # Errors
    /// [`ThisError::NameTooLong`]; [`ThisError::NotAPlace`]; [`ThisError::Read`], also if events from that position on were
    /// removed.
    async fn subscribe(
        &self,
        consumer: &str,
        position: SeekPosition,
    ) -> anyhow::Result<Pin<Box<dyn Stream<Item = EventEnvelope> + Send>>> {
        // A consumer that could never acknowledge is told at once.
        self.place_name(consumer)?;
        let place = match position {
            SeekPosition::Beginning => 0,
            SeekPosition::Latest => self.last(),
            SeekPosition::Sequence(seq_no) => seq_no.saturating_sub(1),
            SeekPosition::LastAcknowledged => self.consumer_state(consumer)?.last_acked.unwrap_or(0),
        };
        let query = Query::stream(&self.stream).after(self.begin(place)?);
        Ok(Box::pin(Followed::new(self.log.subscribe(&query), &self.stream, consumer)))
    }

    /// Notes that a consumer has processed every event up to this one. The last call counts, also if it goes back; 0 is the
    /// beginning. Seen at once by everybody; durable within 50 ms, mostly with what is appended next, or when the log is closed;
    /// with [`ThisLog::durable_acks`], when it returns. A burst of acknowledgements is one small write.
    ///
    /// # Errors
    /// [`ThisError::BeyondEnd`] if there is no such event yet, [`ThisError::NameTooLong`], [`ThisError::Append`]. The place is as
    /// it was.
    async fn ack(&self, consumer: &str, seq_no: SeqNo) -> anyhow::Result<()> {
        let (name, last) = (self.place_name(consumer)?, self.last());
        if seq_no > last {
            return Err(ThisError::BeyondEnd { consumer: consumer.to_owned(), seq_no, last }.into());
        }
        let place = seq_no.to_string();
        if !self.durable_acks {
            match self.log.try_keep_lazily(&name, &place) {
                // Too much waits to be written: this one waits with it.
                Err(AppendError::Full) => {}
                kept => return Ok(kept.map_err(ThisError::from)?),
            }
        }
        Ok(self.keep(&name, &place).await?)
    }

    /// Moves a consumer: the next stream from `LastAcknowledged` begins where one from this position would begin now. Durable
    /// when it returns. `LastAcknowledged` changes nothing; an event that is not there yet will be waited for. Streams that are
    /// being read go on where they are, and their acknowledgements overwrite the place.
    ///
    /// # Errors
    /// [`ThisError::NameTooLong`], [`ThisError::Append`].
    async fn seek(&self, consumer: &str, position: SeekPosition) -> anyhow::Result<()> {
        let name = self.place_name(consumer)?;
        let place = match position {
            SeekPosition::Beginning => 0,
            SeekPosition::Latest => self.last(),
            SeekPosition::Sequence(seq_no) => seq_no.saturating_sub(1),
            SeekPosition::LastAcknowledged => return Ok(()),
        };
        Ok(self.keep(&name, &place.to_string()).await?)
    }

    /// The number of the last event, or `None` if there is none. Never one that could vanish.
    async fn last_seq_no(&self) -> Option<SeqNo> {
        Some(self.last()).filter(|last| *last > 0)
    }
}
