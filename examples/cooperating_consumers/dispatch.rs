//! The dispatcher: a named consumer that turns orders into requests for shipment, exactly once.

use crate::{Failure, Say};
use annals::{Consumer, ConsumerError, EventLog, ExpectedVersion, NewEvent, Query};

/// The consumer's name, under which the log keeps its place.
pub(crate) const CONSUMER: &str = "dispatch";

pub(crate) fn consumer(log: &EventLog) -> Result<Consumer, ConsumerError> {
    log.consumer(CONSUMER, &Query::stream("orders"))
}

/// Waits for orders, until the consumer is cancelled.
pub(crate) fn work(log: &EventLog, orders: Consumer, say: Say<'_>) -> Result<(), Failure> {
    for order in orders {
        let order = order?;
        let shipment = format!("shipment-{}", order.version());
        let to = String::from_utf8_lossy(order.payload());
        say(&format!("  dispatch   order {} to {to}: requests {shipment}", order.version()));
        let request = NewEvent::new("ShipmentRequested", order.payload());
        // The request and the consumer's place are one append: no crash comes between them. So there is no need to ask
        // whether the order was requested before.
        order.ack_with(log.batch().append(&shipment, ExpectedVersion::Any, &[request]))?;
    }
    Ok(())
}
