//! The read model: how much there is of each article.
//!
//! Owns the kept values `stock/ARTICLE` and the consumer that writes them. It remembers nothing between two events: what
//! it knows is in the log.

use crate::events::ShopEvent;
use annals::typed::TypedEvent;
use annals::{EventLog, Query};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Write, stderr};
use std::time::Duration;

/// The consumer's name, under which the log keeps its place.
pub(crate) const CONSUMER: &str = "stock";
/// What the names of the kept values begin with.
const STOCK: &str = "stock/";

/// What is known of one article.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Level {
    pub(crate) delivered: u64,
    pub(crate) ordered: u64,
}

impl Level {
    pub(crate) fn in_stock(&self) -> i64 {
        self.delivered as i64 - self.ordered as i64
    }

    fn add(&mut self, change: Level) {
        self.delivered += change.delivered;
        self.ordered += change.ordered;
    }
}

/// The events that matter, in their order.
fn shop_events() -> Query {
    Query::everything().of_types(ShopEvent::TYPES.names())
}

/// Counts the events that nobody has counted yet; how many they were.
///
/// A program that is to stay up to date says `for event in consumer` instead, which waits for more. Where events come
/// faster than syncs, several may share one: keep what all of them change in one batch, and acknowledge the last.
pub(crate) fn catch_up(log: &EventLog, crash_after: Option<u64>) -> Result<u64, Box<dyn Error>> {
    let mut consumer = log.consumer(CONSUMER, &shop_events())?;
    let mut counted = 0;
    while let Some(event) = consumer.next_within(Duration::ZERO)? {
        let mut batch = log.batch();
        for (article, change) in event.decode::<ShopEvent>()?.changes() {
            let name = format!("{STOCK}{article}");
            let mut level = match log.kept(&name)? {
                Some(kept) => serde_json::from_slice(&kept.value)?,
                None => Level::default(),
            };
            level.add(change);
            batch = batch.keep(&name, serde_json::to_vec(&level)?);
        }
        if crash_after == Some(counted) {
            // The worst moment: written perhaps, perhaps not, and nobody was told. But never the levels without the place.
            let _ = writeln!(stderr(), "          crashing in the middle of event {}", event.position());
            let _unknown = batch.acknowledge(CONSUMER, event.position()).submit()?;
            std::process::abort();
        }
        // Exactly once: the new levels and the consumer's place are durable together, or neither is.
        event.ack_with(batch)?;
        counted += 1;
    }
    Ok(counted)
}

/// The read model, all of it.
pub(crate) fn read_model(log: &EventLog) -> Result<BTreeMap<String, Level>, Box<dyn Error>> {
    let mut levels = BTreeMap::new();
    // A shop of more articles would ask page by page.
    for kept in log.list_kept(STOCK, None, 10_000)? {
        levels.insert(kept.name[STOCK.len()..].to_owned(), serde_json::from_slice(&kept.value)?);
    }
    Ok(levels)
}

/// The same, worked out anew from all events that were counted, and how many those are.
pub(crate) fn fold(log: &EventLog) -> Result<(BTreeMap<String, Level>, u64), Box<dyn Error>> {
    let mut levels: BTreeMap<String, Level> = BTreeMap::new();
    let mut events = 0;
    let counted = shop_events().before(log.acknowledged(CONSUMER)? + 1);
    for event in log.read(&counted).typed::<ShopEvent>() {
        for (article, change) in event?.value.changes() {
            levels.entry(article).or_default().add(change);
        }
        events += 1;
    }
    Ok((levels, events))
}
