//! What happens in the shop, and a way to let some of it happen.
//!
//! Owns the event types. An event says of itself what it changes, so that whoever counts events counts them alike.

use crate::stock::Level;
use annals::typed::{Metadata, TypedEvent, Types};
use annals::{EventLog, ExpectedVersion};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::error::Error;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ShopEvent {
    GoodsDelivered { article: String, pieces: u64 },
    OrderPlaced { pieces: BTreeMap<String, u64> },
}

impl TypedEvent for ShopEvent {
    const TYPES: Types = Types::Variants(&["GoodsDelivered", "OrderPlaced"]);
}

impl ShopEvent {
    /// What it adds to which articles, each of them once.
    pub(crate) fn changes(self) -> BTreeMap<String, Level> {
        match self {
            ShopEvent::GoodsDelivered { article, pieces } => {
                BTreeMap::from([(article, Level { delivered: pieces, ordered: 0 })])
            }
            ShopEvent::OrderPlaced { pieces } => {
                let change = |(article, ordered)| (article, Level { delivered: 0, ordered });
                pieces.into_iter().map(change).collect()
            }
        }
    }
}

const ARTICLES: [&str; 5] = ["apples", "bread", "cheese", "eggs", "honey"];

/// Three orders, one delivery, three orders, ...: as many as asked for, all of them or none.
pub(crate) fn append(log: &EventLog, events: u64) -> Result<(), Box<dyn Error>> {
    if events == 0 {
        return Ok(()); // a batch of nothing is refused
    }
    let first = log.last_position() + 1;
    let everything = (first..first + events).try_fold(log.batch(), |batch, n| {
        let (stream, event) = some_event(n);
        batch.append_typed(&stream, ExpectedVersion::NoStream, &[event], &Metadata::new())
    })?;
    everything.commit()?;
    Ok(())
}

/// The event with this number, always the same.
fn some_event(n: u64) -> (String, ShopEvent) {
    let article = |k: u64| ARTICLES[(k % 5) as usize].to_owned();
    if n.is_multiple_of(4) {
        (format!("delivery-{n}"), ShopEvent::GoodsDelivered { article: article(n / 4), pieces: 18 + n % 7 })
    } else {
        let pieces = BTreeMap::from([(article(n), 1 + n % 4), (article(n * 3 + 1), 1 + n % 3)]);
        (format!("order-{n}"), ShopEvent::OrderPlaced { pieces })
    }
}
