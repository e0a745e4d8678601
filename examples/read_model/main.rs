//! A read model that survives restarts, and in which every event counts exactly once.
//!
//! ```text
//! cargo run --release --example read_model -- [--log DIR] [--events N] [--crash-after N]
//! ```
//!
//! Goods are delivered to a shop and ordered from it: those are the events. How many pieces of each article are in stock
//! is the read model: kept values in the same log, written in the same batch as the place of the consumer that works them
//! out. Run again, the program goes on where it was; crashed in the middle and run again, it does so, too, and the stock
//! is right. At its end it compares the read model with a fold over the whole log.
//!
//! `main.rs` owns the command line and the order of things; `events.rs` has what happens in the shop; `stock.rs` is the
//! part to copy.

mod events;
mod stock;

use annals::EventLog;
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const USAGE: &str = "\
Keeps the stock of a shop up to date, exactly once per event, however often it is stopped.

Usage: read_model [--log DIR] [--events N] [--crash-after N]

  --log DIR        where the log is kept; default: target/read-model
  --events N       how many orders and deliveries are appended first; default: 200
  --crash-after N  crash when so many events were counted in this run
  --help           show this text
";

struct Arguments {
    log: PathBuf,
    events: u64,
    crash_after: Option<u64>,
}

/// `None`: only help was asked for.
fn arguments(mut words: impl Iterator<Item = String>) -> Result<Option<Arguments>, Box<dyn Error>> {
    let mut arguments = Arguments { log: "target/read-model".into(), events: 200, crash_after: None };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match &*word {
            "--log" => arguments.log = value()?.into(),
            "--events" => arguments.events = value()?.parse()?,
            "--crash-after" => arguments.crash_after = Some(value()?.parse()?),
            "--help" | "-h" => return Ok(None),
            _ => return Err(format!("unknown argument {word}; try --help").into()),
        }
    }
    Ok(Some(arguments))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    match arguments(std::env::args().skip(1))? {
        Some(Arguments { log, events, crash_after }) => run(&log, events, crash_after, &mut out),
        None => Ok(out.write_all(USAGE.as_bytes())?),
    }
}

fn run(
    directory: &Path,
    events: u64,
    crash_after: Option<u64>,
    out: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    let log = EventLog::open(directory)?;
    let how = match log.recovery() {
        report if report.created => "a new log",
        report if report.closed_cleanly => "it was closed in order",
        _ => "the last run did not close it",
    };
    writeln!(out, "Opened    {}: {} events, {how}", directory.display(), log.last_position())?;

    events::append(&log, events)?;
    writeln!(out, "Appended  {events} orders and deliveries")?;

    writeln!(out, "Counted   up to event {} by earlier runs", log.acknowledged(stock::CONSUMER)?)?;
    let counted = stock::catch_up(&log, crash_after)?;
    writeln!(
        out,
        "          and {counted} more by this one, up to event {}",
        log.acknowledged(stock::CONSUMER)?
    )?;

    let kept = stock::read_model(&log)?;
    let (folded, events) = stock::fold(&log)?;
    writeln!(
        out,
        "\n{:<10}{:>11}{:>11}{:>11}{:>14}",
        "article", "delivered", "ordered", "in stock", "a fold says"
    )?;
    for (article, level) in &kept {
        let again = folded.get(article).map_or(0, stock::Level::in_stock);
        let (delivered, ordered, in_stock) = (level.delivered, level.ordered, level.in_stock());
        writeln!(out, "{article:<10}{delivered:>11}{ordered:>11}{in_stock:>11}{again:>14}")?;
    }
    log.close()?;
    if kept != folded {
        return Err(format!("the read model is wrong: the fold says {folded:?}").into());
    }
    writeln!(out, "\nThe read model and the fold agree: each of {events} events was counted exactly once.")?;
    Ok(())
}

#[cfg(test)]
mod tests;
