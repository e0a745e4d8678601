//! Consumers that cooperate through the log, and an event that none of them can deal with until its cause is mended.
//!
//! ```text
//! cargo run --release --example cooperating_consumers -- [--log DIR] [--orders N]
//! ```
//!
//! A named consumer turns orders into requests for shipment, a group of threads ships them. One of the orders goes to an
//! island, and the ferry is cancelled: its shipment is tried, tried again and set aside with the reason, and the others go
//! on. The program is stopped. The next day the ferry runs, the shipment is replayed, and at the end the log proves that
//! each order was shipped exactly once.
//!
//! `main.rs` owns the story; `dispatch.rs` is the named consumer and `shipping.rs` the group, the parts to copy;
//! `summary.rs` counts.
//!
//! | stream | events |
//! |---|---|
//! | `orders` | `OrderPlaced`: where it is to go |
//! | `shipment-N`, of order N | `ShipmentRequested`: where to; `Shipped`: by whom |

mod dispatch;
mod shipping;
mod summary;

use annals::{EventLog, ExpectedVersion, Group, NewEvent, Next, Query};
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

const USAGE: &str = "\
Ships orders by consumers that cooperate, with one that fails until its cause is mended.

Usage: cooperating_consumers [--log DIR] [--orders N]

  --log DIR   where the log is kept; default: target/cooperating-consumers
  --orders N  how many orders are placed; default: 8
  --help      show this text
";

/// Errors travel from the threads to the end of `main`.
type Failure = Box<dyn Error + Send + Sync>;
/// Tells people what happens, from any thread.
type Say<'a> = &'a (dyn Fn(&str) + Sync);

const WORKERS: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(60);
const DESTINATIONS: [&str; 8] =
    ["Oslo", "Lisbon", shipping::ISLAND, "Vienna", "Dublin", "Bern", "Prague", "Athens"];

struct Arguments {
    log: PathBuf,
    orders: u64,
}

/// `None`: only help was asked for.
fn arguments(mut words: impl Iterator<Item = String>) -> Result<Option<Arguments>, Failure> {
    let mut arguments = Arguments { log: "target/cooperating-consumers".into(), orders: 8 };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match &*word {
            "--log" => arguments.log = value()?.into(),
            "--orders" => arguments.orders = value()?.parse()?,
            "--help" | "-h" => return Ok(None),
            _ => return Err(format!("unknown argument {word}; try --help").into()),
        }
    }
    Ok(Some(arguments))
}

fn main() -> Result<(), Failure> {
    let say = |line: &str| {
        let _ = writeln!(io::stdout(), "{line}");
    };
    match arguments(std::env::args().skip(1))? {
        Some(Arguments { log, orders }) => {
            first_day(&log, orders, &say)?;
            second_day(&log, &say)
        }
        None => Ok(io::stdout().write_all(USAGE.as_bytes())?),
    }
}

/// Orders come in and are shipped, as far as that is possible without the ferry.
fn first_day(directory: &Path, orders: u64, say: Say<'_>) -> Result<(), Failure> {
    let log = EventLog::open(directory)?;
    say(&format!("First day, without a ferry: {orders} orders, {WORKERS} workers"));
    at_work(&log, false, say, |group| {
        for order in 0..orders {
            let to = DESTINATIONS[(order % 8) as usize];
            log.append("orders", ExpectedVersion::Any, &[NewEvent::new("OrderPlaced", to)])?;
        }
        wait_until_settled(&log, group)
    })?;
    Ok(log.close()?)
}

/// What was set aside is replayed, and all of it is counted.
fn second_day(directory: &Path, say: Say<'_>) -> Result<(), Failure> {
    let log = EventLog::open(directory)?;
    say("\nSecond day, the log was closed and opened again, and the ferry runs");
    at_work(&log, true, say, |group| {
        wait_until_settled(&log, group)?;
        for parked in group.parked(0, 1000)? {
            let event = log.event_at(parked.position)?.ok_or("an event that was set aside is gone")?;
            let shipment = event.stream();
            say(&format!("  set aside  {shipment}, tried {} times: {}", parked.attempts, parked.reason));
            let shipped = Query::stream(shipment).of_types(["Shipped"]);
            let mut shipped = log.subscribe(&shipped);
            group.replay(parked.position)?;
            let Next::Event(_) = shipped.next_within(PATIENCE)? else {
                return Err(format!("{shipment} was replayed and not shipped").into());
            };
        }
        Ok(())
    })?;
    say("\nWhat the log says");
    let proof = summary::summary(&log)?;
    say(&proof.text);
    log.close()?;
    if proof.exactly_once { Ok(()) } else { Err("not every order was shipped exactly once".into()) }
}

/// Opens the consumers, has threads of their own work for them, and stops them when `meanwhile` is over.
fn at_work(
    log: &EventLog,
    ferry_runs: bool,
    say: Say<'_>,
    meanwhile: impl FnOnce(&Group) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let orders = dispatch::consumer(log)?;
    let no_more_orders = orders.canceller();
    let group = shipping::group(log)?;
    thread::scope(|scope| {
        let mut threads = vec![scope.spawn(|| dispatch::work(log, orders, say))];
        for worker in 1..=WORKERS {
            let member = group.clone();
            threads.push(scope.spawn(move || shipping::work(log, member, worker, ferry_runs, say)));
        }
        let done = meanwhile(&group);
        no_more_orders.cancel();
        group.stop();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        done
    })
}

/// Waits until each order led to a shipment, and each shipment was done or set aside.
fn wait_until_settled(log: &EventLog, group: &Group) -> Result<(), Failure> {
    let last_order = log.read_stream_backward("orders", u64::MAX).next()?.map_or(0, |order| order.position());
    let deadline = Instant::now() + PATIENCE;
    // In this order: what is dispatched by now, the group has still before it.
    while log.acknowledged(dispatch::CONSUMER)? < last_order || group.lag() > 0 {
        if Instant::now() > deadline {
            return Err("the consumers do not get on".into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
