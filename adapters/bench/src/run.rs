//! The order in which everything is measured: rounds outermost, then interfaces, then stores.
//!
//! Owns the directories and the runtimes. Each store and round has its own, and nothing of it is left when the next begins.

use crate::arguments::Arguments;
use crate::count;
use crate::results::{Note, Results};
use crate::store::{self, Entry};
use crate::watch::{Lap, Watch};
use measure::{Context, Machine, Outcome, SyncLatency, disk, json, syncs};
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long a store's tasks may go on after it was closed.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the disk gets to come to rest after something was removed.
const REST: Duration = Duration::from_millis(300);

/// Measures everything that is wanted.
pub(crate) fn run(arguments: &Arguments) -> Outcome<Results> {
    fs::create_dir_all(&arguments.dir).context(|| format!("make {}", arguments.dir.display()))?;
    // The trace has true paths, and so have the stores.
    let dir = arguments.dir.canonicalize()?;
    if disk::is_memory(&dir)? {
        return Err(format!(
            "{} is in memory, where a sync does nothing: choose a --dir on a disk",
            dir.display()
        )
        .into());
    }
    if let Some(parent) = arguments.json.parent() {
        fs::create_dir_all(parent).context(|| format!("make {}", parent.display()))?;
    }
    let mut entries = store::all();
    let is_wanted = |entry: &Entry| {
        arguments.only.is_empty() || arguments.only.iter().any(|name| name == entry.interface)
    };
    entries.retain(is_wanted);
    let mut results = Results {
        machine: Machine::look(&dir)?,
        load_before: load(),
        rounds: arguments.rounds,
        events: arguments.events,
        seconds: arguments.limit.as_secs_f64(),
        device: Vec::new(),
        stores: entries.iter().map(note).collect(),
        figures: Vec::new(),
        not_counted: None,
    };
    for round in 1..=arguments.rounds {
        results.device.push(SyncLatency::measure(&dir, 500)?);
        // There and back: nobody is always the first.
        let mut order: Vec<&Entry> = entries.iter().collect();
        if round % 2 == 0 {
            order.reverse();
        }
        for entry in order {
            eprintln!("round {round}: {}, {}", entry.interface, entry.name);
            let work = tempfile::tempdir_in(&dir)?;
            let watch = Watch::new(arguments.events, arguments.limit, None);
            let laps =
                once(entry, work.path(), watch).context(|| format!("{}, {}", entry.interface, entry.name))?;
            for lap in laps {
                let figure = results.figure_mut(entry.interface, lap.workload, entry.name, lap.demanded);
                figure.units = figure.units.max(lap.units);
                figure.micros.push(lap.micros);
            }
            // What is freed shall be told to the device now, and not in the next store's measurement.
            work.close()?;
            File::open(&dir)?.sync_all()?;
            std::thread::sleep(REST);
        }
        json::write(&arguments.json, &results)?;
    }
    count_syncs(&entries, &dir, &mut results)?;
    json::write(&arguments.json, &results)?;
    Ok(results)
}

/// Runs the workloads of a store once, in an empty directory.
pub(crate) fn once(entry: &Entry, dir: &Path, mut watch: Watch) -> Outcome<Vec<Lap>> {
    let runtime = Runtime::new()?;
    let done = runtime.block_on((entry.run)(dir, &mut watch));
    runtime.shutdown_timeout(PATIENCE);
    done.map(|()| watch.into_laps())
}

fn count_syncs(entries: &[Entry], dir: &Path, results: &mut Results) -> Outcome<()> {
    if !syncs::can_count() {
        results.not_counted = Some("there is no strace that works here".to_owned());
        return Ok(());
    }
    for entry in entries {
        eprintln!("counting syncs: {}, {}", entry.interface, entry.name);
        let counted = count::count(entry, dir);
        let counted =
            counted.context(|| format!("count the syncs of {}, {}", entry.interface, entry.name))?;
        for figure in &mut results.figures {
            let is_it = figure.interface == entry.interface && figure.store == entry.name;
            let found = counted.iter().find(|counted| is_it && counted.workload == figure.workload);
            figure.syncs = found.map(|counted| counted.syncs).or(figure.syncs);
        }
    }
    Ok(())
}

fn note(entry: &Entry) -> Note {
    Note {
        interface: entry.interface.to_owned(),
        name: entry.name.to_owned(),
        promise: entry.promise,
        used: entry.used.to_owned(),
    }
}

/// How many programs wanted a processor in the last minute; 0 where that is not told.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}
