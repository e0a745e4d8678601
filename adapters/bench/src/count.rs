//! How often each store syncs: its workloads are run once more, small, by a child under `strace`.
//!
//! Owns the child and the reading of what it leaves. Must never time: a traced program is slow.

use crate::arguments::COUNTED;
use crate::run;
use crate::store::{self, Entry};
use crate::watch::Watch;
use measure::{Context, Outcome, syncs};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Calls of each workload: enough to see syncs that are shared or left out, few enough for a store that takes 100 ms a call.
const CALLS: usize = 20;

/// What a workload demands, and what it was seen to do, for each call.
pub(crate) struct Counted {
    pub(crate) workload: String,
    pub(crate) syncs: f64,
}

/// Counts the syncs of all workloads of a store that write.
pub(crate) fn count(entry: &Entry, dir: &Path) -> Outcome<Vec<Counted>> {
    let work = tempfile::tempdir_in(dir)?;
    let (trace, store) = (work.path().join("trace"), work.path().join("store"));
    fs::create_dir(&store)?;
    let mut child = syncs::traced(&std::env::current_exe()?, &trace);
    let output = child.args([COUNTED, entry.interface, entry.name, "--dir"]).arg(&store).output();
    let output = output.context(|| "run strace".to_owned())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let calls: Vec<(String, usize)> = serde_json::from_slice(&output.stdout)?;
    let text = String::from_utf8_lossy(&fs::read(&trace)?).into_owned();
    let parts = parts(&text);
    if parts.len() != calls.len() {
        return Err(format!("{} marks for {} workloads", parts.len(), calls.len()).into());
    }
    let counted = calls.into_iter().zip(parts).map(|((workload, calls), part)| {
        fs::write(&trace, part)?;
        let syncs = syncs::count(&trace, &store)?.durable() as f64 / calls as f64;
        Ok(Counted { workload, syncs })
    });
    counted.collect()
}

/// What the child does: runs the workloads, with marks, and says how many calls each had.
pub(crate) fn perform(interface: &str, name: &str, dir: &Path) -> Outcome<()> {
    let entries = store::all();
    let entry = entries.iter().find(|entry| entry.interface == interface && entry.name == name);
    let entry = entry.ok_or_else(|| format!("{interface} has no store {name}"))?;
    // Nothing is cut off: so many calls end.
    let watch = Watch::new(CALLS, Duration::MAX, Some(dir.to_owned()));
    let laps = run::once(entry, dir, watch)?;
    let writing = laps.iter().filter(|lap| lap.demanded.is_some());
    let calls: Vec<(&str, usize)> = writing.map(|lap| (lap.workload, lap.units)).collect();
    println!("{}", serde_json::to_string(&calls)?);
    Ok(())
}

/// The trace of each workload, from its first mark to that of the next.
fn parts(trace: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for line in trace.lines() {
        if line.contains("fdatasync(") && line.contains("measure.begin") {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_workload_has_its_part_of_the_trace() {
        let trace = "1 fsync(3</d/a>) = 0\n1 fdatasync(4</d/measure.begin>) = 0\n1 fsync(3</d/a>) = 0\n\
                     1 fdatasync(4</d/measure.end>) = 0\n2 fdatasync(4</d/measure.begin> <unfinished ...>\n";
        let parts = super::parts(trace);
        assert_eq!(parts.iter().map(|part| part.lines().count()).collect::<Vec<_>>(), [3, 1]);
    }
}
