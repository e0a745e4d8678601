//! The summary: what became of each order, counted from the events and from nothing else.

use crate::Failure;
use annals::{EventLog, Query};

pub(crate) struct Summary {
    pub(crate) text: String,
    pub(crate) exactly_once: bool,
}

/// How many events of a type a stream has, and what the last of them says.
fn count(log: &EventLog, stream: &str, event_type: &str) -> Result<(u64, String), Failure> {
    let mut found = (0, String::new());
    let mut events = log.read(&Query::stream(stream).of_types([event_type]));
    while let Some(event) = events.next()? {
        found = (found.0 + 1, String::from_utf8_lossy(event.payload()).into_owned());
    }
    Ok(found)
}

pub(crate) fn summary(log: &EventLog) -> Result<Summary, Failure> {
    let mut text = format!("  {:<8}{:<12}{:>9}{:>9}   {}", "order", "to", "requested", "shipped", "by");
    let (mut orders, mut once) = (0, 0);
    let mut placed = log.read_stream("orders", 0);
    while let Some(order) = placed.next()? {
        let shipment = format!("shipment-{}", order.version());
        let (requested, _) = count(log, &shipment, "ShipmentRequested")?;
        let (shipped, by) = count(log, &shipment, "Shipped")?;
        let to = String::from_utf8_lossy(order.payload());
        text += &format!("\n  {:<8}{to:<12}{requested:>9}{shipped:>9}   {by}", order.version());
        orders += 1;
        once += u64::from((requested, shipped) == (1, 1));
    }
    let all = log.read(&Query::prefix("shipment-").of_types(["Shipped"])).into_iter().count() as u64;
    text += &format!("\n{orders} orders, {once} of them shipped exactly once; {all} shipments in all.");
    Ok(Summary { text, exactly_once: once == orders && all == orders })
}
