//! Counting: this program again, under callgrind.
//!
//! Owns the call of valgrind and what it prints. Knows nothing of what is counted.

use crate::Outcome;
use crate::work::Work;
use std::process::{Command, Stdio};

/// The argument that tells a child from a user.
pub(crate) const CHILD: &str = "--child";

/// Whether there is something to count with.
pub(crate) fn is_possible() -> bool {
    let asked =
        Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Instructions of one operation.
pub(crate) fn per_operation(work: &Work) -> Outcome<u64> {
    let (some, more) = (total(work, work.operations)?, total(work, 2 * work.operations)?);
    let units = work.operations * work.units_per_operation;
    more.checked_sub(some)
        .map(|cost| (cost + units / 2) / units)
        .ok_or_else(|| format!("{}: twice as many operations cost less ({some}, {more})", work.name))
}

/// Instructions of a whole run with so many operations.
fn total(work: &Work, operations: u64) -> Outcome<u64> {
    let program = std::env::current_exe().map_err(|error| format!("where this program is: {error}"))?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    let output = command
        .args([CHILD, work.name, &operations.to_string()])
        .output()
        .map_err(|error| format!("valgrind cannot be run: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{} failed under valgrind ({}):\n{told}", work.name, output.status));
    }
    collected(&told).ok_or_else(|| format!("valgrind tells no count:\n{told}"))
}

/// The number in callgrind's line `Collected : 1234`.
fn collected(told: &str) -> Option<u64> {
    let line = told.lines().find_map(|line| line.split_once("Collected :"))?.1;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_callgrind_prints() {
        let told = "==7== Callgrind, a call-graph generating cache profiler\n==7== \n==7== Events    : Ir\n\
                    ==7== Collected : 1483831497\n==7== \n==7== I   refs:      1,483,831,497\n";
        assert_eq!(collected(told), Some(1_483_831_497));
        assert_eq!(collected("==7== I   refs:      1,483,831,497\n"), None);
    }
}
