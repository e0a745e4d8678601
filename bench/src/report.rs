//! The report: tables of medians with their spread, and ratios, as text and as Markdown.
//!
//! Owns which figures are shown, in which order, under which titles. Must show what Annals loses as it shows what it wins, and
//! must compare nothing that was refused.

use crate::arguments::Arguments;
use crate::charts;
use crate::results::{Results, Size};
use measure::{Context, Outcome, Series, Table, Unit, Verdict};
use std::fs;
use std::path::Path;

/// A figure that stores are compared by.
pub(crate) struct Column {
    pub(crate) figure: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: Unit,
}

const fn column(figure: &'static str, title: &'static str, unit: Unit) -> Column {
    Column { figure, title, unit }
}

/// What all stores are compared by.
pub(crate) const COLUMNS: [Column; 17] = [
    column("sync1.p50", "sync1 p50", Unit::Micros),
    column("sync1.p99", "sync1 p99", Unit::Micros),
    column("conc4.rate", "conc4", Unit::PerSecond),
    column("conc16.rate", "conc16", Unit::PerSecond),
    column("conc64.rate", "conc64", Unit::PerSecond),
    column("conc64.p50", "conc64 p50", Unit::Micros),
    column("conc64.p99", "conc64 p99", Unit::Micros),
    column("batch100.rate", "batch100", Unit::PerSecond),
    column("ingest.rate", "ingest", Unit::PerSecond),
    column("version", "version", Unit::Nanos),
    column("fold", "fold", Unit::Nanos),
    column("cold.fold", "fold of a stream, cold", Unit::Micros),
    column("scan.rate", "scan", Unit::PerSecond),
    column("reopen.closed", "reopen, closed", Unit::Millis),
    column("reopen.killed", "reopen, killed", Unit::Millis),
    column("bytes", "bytes/event, allocated", Unit::Bytes),
    column("ingest.written", "bytes/event, written", Unit::Bytes),
];

/// What Annals is measured by beside its floor.
const OWN: [Column; 17] = [
    column("pipelined.rate", "pipelined: one event per append, 4,096 in flight", Unit::PerSecond),
    column("subscription.append", "append alone, p50", Unit::Micros),
    column("subscription.delivery", "append to delivery in another thread, p50", Unit::Micros),
    column("subscription.beside", "append beside 1,000 idle subscribers, p50", Unit::Micros),
    column("subscription.everybody", "1,000 subscribers read the same events", Unit::PerSecond),
    column("lookup", "look-up of a version, by who wrote the streams", Unit::Nanos),
    column("lookup.opened", "look-up of a version, by who opened them", Unit::Nanos),
    column("lookup.chained", "the same one after the other, by who wrote the streams", Unit::Nanos),
    column("lookup.opened.chained", "the same one after the other, by who opened them", Unit::Nanos),
    column("lookup.together", "a thousand to a call, by who wrote the streams", Unit::Nanos),
    column("lookup.opened.together", "a thousand to a call, by who opened them", Unit::Nanos),
    column("lookup.memory", "anonymous memory after writing these streams", Unit::Bytes),
    column("lookup.open", "open, closed, so many streams", Unit::Millis),
    column("lookup.open.memory", "anonymous memory after opening them", Unit::Bytes),
    column("reopen.closed.memory", "anonymous memory after opening a loaded log", Unit::Bytes),
    column("ingest.memory", "anonymous memory after the ingest workload", Unit::Bytes),
    column("bytes.used", "bytes/event without space reserved ahead", Unit::Bytes),
];

/// What is looked at over several sizes.
const SCALE: [Column; 7] = [
    column("ingest.rate", "ingest", Unit::PerSecond),
    column("version", "version", Unit::Nanos),
    column("fold", "fold", Unit::Nanos),
    column("cold.fold", "fold of a stream, cold", Unit::Micros),
    column("scan.rate", "scan", Unit::PerSecond),
    column("reopen.closed", "reopen, closed", Unit::Millis),
    column("reopen.killed", "reopen, killed", Unit::Millis),
];

const ANNALS: &str = "annals";
const RAW: &str = "raw";

/// The tables for a terminal.
pub(crate) fn text(results: &Results) -> String {
    render(results, Table::to_string)
}

/// Writes the charts, and the Markdown if it is asked for.
pub(crate) fn write(results: &Results, arguments: &Arguments) -> Outcome<()> {
    let Some(size) = results.main_size() else { return Ok(()) };
    let charts = &arguments.charts;
    fs::create_dir_all(charts).context(|| format!("make {}", charts.display()))?;
    let mut images = Vec::new();
    for column in &COLUMNS {
        let Some(svg) = charts::bars(results, column, size) else { continue };
        let path = charts.join(format!("{}.svg", column.figure.replace('.', "-")));
        fs::write(&path, svg).context(|| format!("write {}", path.display()))?;
        images.push((column.title, path));
    }
    for column in SCALE.iter().chain(OWN.iter().filter(|column| column.figure == "lookup")) {
        let Some(svg) = charts::sizes(results, column, &[ANNALS, RAW, "raw+crc32"]) else { continue };
        let path = charts.join(format!("sizes-{}.svg", column.figure.replace('.', "-")));
        fs::write(&path, svg).context(|| format!("write {}", path.display()))?;
        images.push((column.title, path));
    }
    let Some(target) = &arguments.write else { return Ok(()) };
    let mut markdown = render(results, Table::markdown);
    for (title, image) in images {
        markdown += &format!("\n![{title}]({})\n", beside(target, &image)?);
    }
    measure::marks::put(target, "annals-bench report", &markdown)
}

/// The path of a file as a Markdown file names it.
fn beside(markdown: &Path, file: &Path) -> Outcome<String> {
    let parent = markdown.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (parent, file) = (parent.canonicalize()?, file.canonicalize()?);
    Ok(file.strip_prefix(parent).unwrap_or(&file).to_string_lossy().into_owned())
}

fn render(results: &Results, show: impl Fn(&Table) -> String) -> String {
    let mut out = vec![about(results)];
    if let Some(size) = results.main_size() {
        let title = format!("{} events, {} streams: medians", grouped(size.events), grouped(size.streams));
        out.push(section(&title, &show(&medians(results, size))));
        out.push(section("The same, with least and most", &show(&spreads(results, size))));
        out.push(section(
            "Annals beside the floor and the best of the others",
            &show(&ratios(results, size)),
        ));
    }
    let tables = [
        ("Annals alone, beside its floor", own(results)),
        ("Over sizes", scale(results)),
        ("Whether commits were synced", durability(results)),
        ("How each store was used", used(results)),
        ("What failed, or came to no end", failures(results)),
    ];
    for (title, table) in &tables {
        if !table.is_empty() {
            out.push(section(title, &show(table)));
        }
    }
    out.join("\n")
}

fn section(title: &str, table: &str) -> String {
    format!("### {title}\n\n{table}")
}

fn about(results: &Results) -> String {
    let machine = &results.machine;
    let device = |of: fn(&measure::SyncLatency) -> f64| -> Series { results.device.iter().map(of).collect() };
    let show = |series: Series| series.show(|value| format!("{value:.0}"));
    format!(
        "{}, {} processors, {} GiB, {}, {}. {} rounds; median (least .. most).\n\
         The device writes and syncs a page in {} us (p50), {} us (p99).\n",
        machine.processor,
        machine.processors,
        machine.memory_gib,
        machine.kernel,
        machine.file_system,
        results.rounds,
        show(device(|device| device.p50)),
        show(device(|device| device.p99)),
    )
}

fn medians(results: &Results, size: Size) -> Table {
    let title = |column: &Column| format!("{}, {}", column.title, column.unit.name());
    let mut table = Table::new(["store".to_owned()].into_iter().chain(COLUMNS.iter().map(title)));
    for note in &results.stores {
        let cell = |column: &Column| {
            let median = results.series(&note.name, column.figure, size).median();
            let not_atomic =
                if column.figure == "ingest.rate" && !note.is_atomic { " (not atomic)" } else { "" };
            let write = |median| column.unit.write(median) + not_atomic;
            median.map_or_else(|| missing(results, &note.name, column), write)
        };
        table.row([note.name.clone()].into_iter().chain(COLUMNS.iter().map(cell)));
    }
    table
}

fn spreads(results: &Results, size: Size) -> Table {
    let names = results.stores.iter().map(|note| note.name.clone());
    let mut table = Table::new([String::new()].into_iter().chain(names));
    for column in &COLUMNS {
        let cell = |store: &str| {
            let series = results.series(store, column.figure, size);
            if series.is_empty() {
                missing(results, store, column)
            } else {
                series.show(|value| column.unit.write(value))
            }
        };
        let cells = results.stores.iter().map(|note| cell(&note.name));
        table.row([format!("{}, {}", column.title, column.unit.name())].into_iter().chain(cells));
    }
    table
}

fn missing(results: &Results, store: &str, column: &Column) -> String {
    if results.is_refused(store, column.figure) { "not durable".to_owned() } else { "-".to_owned() }
}

/// Each figure of Annals over that of the raw file and that of the best other store, formed round by round.
fn ratios(results: &Results, size: Size) -> Table {
    let mut table =
        Table::new(["", "annals", "to the raw file", "the best other", "its figure", "to the best other"]);
    for column in &COLUMNS {
        let annals = results.series(ANNALS, column.figure, size);
        if annals.is_empty() {
            continue;
        }
        let ratio = |other: &Series| annals.ratio(other).show(|ratio| format!("{ratio:.2}"));
        let best = best_other(results, column, size);
        table.row([
            format!("{}, {}", column.title, column.unit.name()),
            annals.show(|value| column.unit.write(value)),
            ratio(&results.series(RAW, column.figure, size)),
            best.as_ref().map_or("-".to_owned(), |(name, _)| name.clone()),
            best.as_ref().map_or("-".to_owned(), |(_, series)| series.show(|value| column.unit.write(value))),
            best.as_ref().map_or("-".to_owned(), |(_, series)| ratio(series)),
        ]);
    }
    table
}

fn best_other(results: &Results, column: &Column, size: Size) -> Option<(String, Series)> {
    let others = results.stores.iter().filter(|note| note.name != ANNALS && !note.name.starts_with(RAW));
    let others = others.filter_map(|note| {
        let series = results.series(&note.name, column.figure, size);
        Some((series.median()?, note.name.clone(), series))
    });
    let best = others.min_by(|left, right| {
        let order = left.0.total_cmp(&right.0);
        if column.unit.is_cost() { order } else { order.reverse() }
    });
    best.map(|(_, name, series)| (name, series))
}

fn own(results: &Results) -> Table {
    let mut table = Table::new(["", "events", "streams", "floor", "annals", "ratio"]);
    for column in &OWN {
        for size in results.sizes(column.figure) {
            let annals = results.series(ANNALS, column.figure, size);
            // The floor of a delivery is the append without one.
            let floor = match column.figure {
                "subscription.delivery" | "subscription.beside" => {
                    results.series(ANNALS, "subscription.append", size)
                }
                "lookup.opened" | "lookup.together" | "lookup.opened.together" => {
                    results.series(RAW, "lookup", size)
                }
                "lookup.opened.chained" => results.series(RAW, "lookup.chained", size),
                figure => results.series(RAW, figure, size),
            };
            if annals.is_empty() {
                continue;
            }
            table.row([
                format!("{}, {}", column.title, column.unit.name()),
                grouped(size.events),
                grouped(size.streams),
                floor.show(|value| column.unit.write(value)),
                annals.show(|value| column.unit.write(value)),
                annals.ratio(&floor).show(|ratio| format!("{ratio:.2}")),
            ]);
        }
    }
    table
}

fn scale(results: &Results) -> Table {
    let mut table = Table::new(["", "events", "streams", "raw", "raw+crc32", "annals", "annals to raw"]);
    let is_several = results.sizes("scan.rate").len() > 1;
    for column in SCALE.iter().filter(|_| is_several) {
        for size in results.sizes(column.figure) {
            let [raw, checked, annals] =
                [RAW, "raw+crc32", ANNALS].map(|store| results.series(store, column.figure, size));
            let show = |series: &Series| series.show(|value| column.unit.write(value));
            table.row([
                format!("{}, {}", column.title, column.unit.name()),
                grouped(size.events),
                grouped(size.streams),
                show(&raw),
                show(&checked),
                show(&annals),
                annals.ratio(&raw).show(|ratio| format!("{ratio:.2}")),
            ]);
        }
    }
    table
}

fn durability(results: &Results) -> Table {
    let mut table = Table::new(["store", "workload", "syncs demanded", "syncs seen", ""]);
    for check in &results.checks {
        let (demanded, seen, word) = match &check.verdict {
            Verdict::Durable { demanded, seen } => (demanded.to_string(), seen.to_string(), "durable"),
            Verdict::NotDurable { demanded, seen } => {
                (demanded.to_string(), seen.to_string(), "not durable: refused")
            }
            Verdict::NotChecked { why } => (String::new(), String::new(), why.as_str()),
        };
        let word = if let Verdict::NotChecked { .. } = check.verdict {
            format!("not checked: {word}")
        } else {
            word.to_owned()
        };
        table.row([check.store.clone(), check.workload.clone(), demanded, seen, word]);
    }
    table
}

fn used(results: &Results) -> Table {
    let mut table =
        Table::new(["store", "version", "checks versions", "atomic over streams", "appends gathered", "use"]);
    let word = |is: bool| if is { "yes" } else { "no" }.to_owned();
    for note in &results.stores {
        table.row([
            note.name.clone(),
            note.version.clone(),
            word(note.checks_versions),
            word(note.is_atomic),
            word(note.is_gathered),
            note.used.clone(),
        ]);
    }
    table
}

fn failures(results: &Results) -> Table {
    let mut table = Table::new(["store", "workload", "events", "round", "why"]);
    for failure in &results.failures {
        table.row([
            failure.store.clone(),
            failure.workload.clone(),
            grouped(failure.size.events),
            (failure.round + 1).to_string(),
            failure.why.replace(['\n', '|'], " "),
        ]);
    }
    table
}

/// A number with its thousands apart.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(super::grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
