//! The report: a table for each interface, as text and as Markdown.
//!
//! Owns which figures are shown, and how a ratio is marked. Must show where Annals takes longer as it shows where it does not,
//! and must never show a ratio with a store that is not durable as if it were one.

use crate::results::{Figure, Note, Results};
use crate::store::{ANNALS, ANNALS_IN_MEMORY, Promise};
use measure::{Outcome, Series, Table, Unit};
use std::path::Path;

/// A load above this one means that the machine did other work.
const QUIET: f64 = 0.5;

/// The report for a terminal.
pub(crate) fn text(results: &Results) -> String {
    render(results, Table::to_string)
}

/// Puts the report as Markdown into a file that people write, too: between the marks, if it has them, else behind the rest.
pub(crate) fn write(results: &Results, file: &Path) -> Outcome<()> {
    measure::marks::put(file, "annals-adapters-bench --write", &render(results, Table::markdown))
}

fn render(results: &Results, show: impl Fn(&Table) -> String) -> String {
    let mut out = vec![about(results)];
    for interface in interfaces(results) {
        out.push(format!("### {interface}\n\n{}", show(&figures(results, interface))));
        out.push(promises(results, interface));
    }
    out.join("\n")
}

fn interfaces(results: &Results) -> Vec<&str> {
    let mut names: Vec<&str> = results.stores.iter().map(|note| note.interface.as_str()).collect();
    names.dedup();
    names
}

fn about(results: &Results) -> String {
    let machine = &results.machine;
    let device = |of: fn(&measure::SyncLatency) -> f64| -> String {
        results.device.iter().map(of).collect::<Series>().show(|value| format!("{value:.0}"))
    };
    let load = match results.load_before {
        load if load > QUIET => {
            format!("The machine did other work meanwhile: its load was {load:.1} before the run.\n")
        }
        _ => String::new(),
    };
    let counted = match &results.not_counted {
        Some(why) => format!("Syncs were not counted: {why}.\n"),
        None => "Syncs were counted in a run of their own, of a few calls each.\n".to_owned(),
    };
    format!(
        "{}, {} processors, {} GiB, {}, {}. {} round(s); median (least .. most).\n\
         Streams of {} events are read; what writes has at most as many calls, and is cut off after {} s.\n\
         The device writes and syncs a page in {} us (p50), {} us (p99).\n{load}{counted}",
        machine.processor,
        machine.processors,
        machine.memory_gib,
        machine.kernel,
        machine.file_system,
        results.rounds,
        results.events,
        results.seconds,
        device(|device| device.p50),
        device(|device| device.p99),
    )
}

fn figures(results: &Results, interface: &str) -> Table {
    let mut table = Table::new([
        "workload",
        "store",
        "us for one",
        "times Annals",
        "times Annals in memory",
        "syncs a call",
        "when it returns",
    ]);
    let of_interface = || results.figures.iter().filter(|figure| figure.interface == interface);
    let mut workloads: Vec<&str> = Vec::new();
    for figure in of_interface() {
        if !workloads.contains(&figure.workload.as_str()) {
            workloads.push(&figure.workload);
        }
    }
    for workload in workloads {
        for figure in of_interface().filter(|figure| figure.workload == workload) {
            let Some(note) = note(results, figure) else { continue };
            let in_memory = if note.promise == Promise::Memory {
                results.times(figure, ANNALS_IN_MEMORY).map_or("-".to_owned(), |ratio| show_times(&ratio))
            } else {
                String::new()
            };
            table.row([
                figure.workload.clone(),
                figure.store.clone(),
                figure.micros.show(|value| Unit::Micros.write(value)),
                times_annals(results, figure, note),
                in_memory,
                syncs(results, figure),
                state(figure, note).to_owned(),
            ]);
        }
    }
    table
}

fn note<'a>(results: &'a Results, figure: &Figure) -> Option<&'a Note> {
    results.stores.iter().find(|note| note.interface == figure.interface && note.name == figure.store)
}

/// The ratio to Annals, marked if it is one of things that cannot be compared.
fn times_annals(results: &Results, figure: &Figure, note: &Note) -> String {
    let Some(ratio) = results.times(figure, ANNALS) else { return "-".to_owned() };
    if figure.store == ANNALS {
        return "1".to_owned();
    }
    let ratio = show_times(&ratio);
    let is_annals_durable = results
        .figure(&figure.interface, &figure.workload, ANNALS)
        .is_none_or(|annals| !annals.lacks_syncs());
    match (is_durable(figure, note), is_annals_durable) {
        (true, true) => ratio,
        (true, false) => format!("{ratio}, of what is not durable"),
        (false, _) => format!("{ratio}, not durable"),
    }
}

fn is_durable(figure: &Figure, note: &Note) -> bool {
    note.promise == Promise::Synced && !figure.lacks_syncs()
}

/// What a call has done when it has returned: what the store promises, unless the count of its syncs says less.
fn state(figure: &Figure, note: &Note) -> &'static str {
    match note.promise {
        _ if figure.demanded.is_none() => match note.promise {
            Promise::Memory => "read from memory",
            _ => "read",
        },
        Promise::Synced if figure.lacks_syncs() => "not durable: fewer syncs than calls",
        promise => promise.words(),
    }
}

fn syncs(results: &Results, figure: &Figure) -> String {
    match (figure.demanded, figure.syncs) {
        (None, _) => String::new(),
        (Some(_), Some(syncs)) => format!("{syncs:.2}"),
        (Some(_), None) if results.not_counted.is_some() => "not counted".to_owned(),
        (Some(_), None) => "-".to_owned(),
    }
}

fn show_times(ratio: &Series) -> String {
    ratio.show(|times| match times {
        times if times >= 100.0 => format!("{times:.0}"),
        times if times >= 10.0 => format!("{times:.1}"),
        times if times >= 0.1 => format!("{times:.2}"),
        times => format!("{times:.4}"),
    })
}

/// A line for each store: tables are made for short cells.
fn promises(results: &Results, interface: &str) -> String {
    let of_interface = results.stores.iter().filter(|note| note.interface == interface);
    of_interface
        .map(|note| format!("- **{}** ({}): {}\n", note.name, note.promise.words(), note.used))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::results::tests::sample;

    #[test]
    fn a_ratio_with_what_is_not_durable_is_marked() {
        let text = text(&sample());
        assert!(text.contains("3.00 (2.00 .. 4.00), not durable"), "{text}");
        assert!(text.contains("not durable: memory only"), "{text}");
    }
}
