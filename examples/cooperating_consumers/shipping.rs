//! Shipping: a group whose members share the work, try again what fails, and set aside what fails too often.

use crate::{Failure, Say};
use annals::{ConsumerError, EventLog, ExpectedVersion, Group, GroupOptions, NewEvent, Query};
use std::time::Duration;

/// Where only the ferry goes.
pub(crate) const ISLAND: &str = "Helgoland";

pub(crate) fn group(log: &EventLog) -> Result<Group, ConsumerError> {
    let requests = Query::prefix("shipment-").of_types(["ShipmentRequested"]);
    let options = GroupOptions::new().attempts_max(3).retry_after(Duration::from_millis(50));
    log.group("shipping", &requests, options)
}

/// What each member does, until the group is stopped.
pub(crate) fn work(
    log: &EventLog,
    group: Group,
    worker: u32,
    ferry_runs: bool,
    say: Say<'_>,
) -> Result<(), Failure> {
    for delivery in group {
        let delivery = delivery?;
        let shipment = delivery.stream().to_owned();
        let to = String::from_utf8_lossy(delivery.payload()).into_owned();
        let attempt = delivery.attempt();
        match hand_over(&to, ferry_runs) {
            Ok(()) => {
                let by = format!("worker {worker}");
                let shipped = NewEvent::new("Shipped", &by);
                // That it was shipped and that the group is done with it are one append.
                let batch = log.batch().append(&shipment, ExpectedVersion::Any, &[shipped]);
                let again = if delivery.is_replayed() { ", replayed" } else { "" };
                delivery.ack_with(batch)?;
                say(&format!("  {by}   {shipment} to {to}: shipped{again}"));
            }
            Err(reason) => {
                let next = if delivery.nack(&reason)? { "set aside" } else { "to be tried again" };
                say(&format!("  worker {worker}   {shipment} to {to}: attempt {attempt}: {reason}; {next}"));
            }
        }
    }
    Ok(())
}

/// What happens outside of the log. After a crash, it may happen again before anybody could write down that it had: a real
/// carrier is told the event's id, so that it knows the parcel again.
fn hand_over(to: &str, ferry_runs: bool) -> Result<(), String> {
    if to == ISLAND && !ferry_runs {
        return Err("the ferry is cancelled".to_owned());
    }
    Ok(())
}
