//! Event streams of `allsource-core`, kept in an Annals log: durable, gapless, never overwritten.
//!
//! [`StreamRepository`] implements `EventStreamRepository`, `EventStreamReader` and `EventStreamWriter`.
//!
//! ```
//! use allsource_core::domain::{entities::Event, value_objects::EntityId};
//! use annals_allsource::StreamRepository;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let repository = StreamRepository::new(annals::EventLog::in_memory()?); // on disk: StreamRepository::open("data")?
//! let order = EntityId::new("order-42".into())?;
//! let event = |kind: &str| {
//!     Event::from_strings(kind.into(), "order-42".into(), "shop".into(), serde_json::json!({"total": 7}), None)
//! };
//!
//! let mut mine = repository.get_or_create_stream(&order).await?;
//! let mut theirs = repository.get_or_create_stream(&order).await?;
//! assert_eq!(repository.append_to_stream(&mut mine, event("order.placed")?).await?, 1);
//!
//! // Another handle has not seen that: it is told, and loads the stream again.
//! assert!(repository.append_to_stream(&mut theirs, event("order.paid")?).await.is_err());
//! let mut theirs = repository.load_stream(&order).await?.ok_or("no such stream")?;
//! assert_eq!(repository.append_to_stream(&mut theirs, event("order.paid")?).await?, 2);
//! assert_eq!(repository.get_watermark(&order).await?, 2);
//! # Ok(()) }
//! ```
//!
//! # Where things stand in the log
//!
//! Below the namespace, which is `allsource` unless another one is chosen:
//!
//! * stream `allsource/stream/<entity>`: the events, their versions being those of allsource. The payload is the event's, as
//!   JSON; the metadata is a JSON object with its `id`, `tenant`, `timestamp`, `version`, and `metadata` if it has any. The
//!   attributes of the stream are a JSON object with its `partition` of how many `partitions`, and when it was `created_at`;
//! * kept value `allsource/partition/<partition>/<entity>`, empty: the streams of each partition;
//! * tenant `allsource/<tenant>`, to which a stream is bound by its first event.

mod birth;
mod codec;
mod errors;
mod listing;
mod names;
mod reading;
mod repository;
mod rules;
mod traits;
mod turn;
mod writing;

pub use repository::StreamRepository;

/// The README's examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
