//! Counts instructions: `cargo run --release -p instructions`.
//!
//! Runs this very program under callgrind, each work once with some operations and once with twice as many: the difference is
//! what the operations cost, without opening, preparing and closing. Counts hardly depend on the load of the machine, so that a
//! few percent more are a regression and no noise. `expected.json` says what was counted; `-- --update` writes it anew, and a
//! change that makes something dearer on purpose does that in the same commit.
//!
//! Must never measure time, and uses the public API only. Logs have no threads of their own here: all that they do is the
//! caller's and is counted, up to the calls of the kernel.

mod count;
mod expected;
mod work;

use expected::{Expected, Verdict};
use std::path::Path;
use std::process::ExitCode;

type Outcome<T> = Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [count::CHILD, name, operations] => work::run(name, operations).map(|()| true),
        [] => compare(),
        ["--update"] => update().map(|()| true),
        _ => Err("usage: cargo run --release -p instructions [-- --update]".to_owned()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Counts, and says whether all is as expected.
fn compare() -> Outcome<bool> {
    if !count::is_possible() {
        println!("NOT RUN: instructions are counted by valgrind (3.18 or later), which is not installed");
        return Ok(true);
    }
    let expected = Expected::read(&file())?;
    let environment = expected::environment();
    if !expected.was_counted_in(&environment) {
        println!("Counted before with {}, now with {environment}: other bounds.", expected.environment);
    }
    let mut good = true;
    for work in work::ALL {
        let counted = count::per_operation(work)?;
        let verdict = expected.judge(work.name, counted, &environment);
        println!("{:28} {counted:>7} instructions per {}: {verdict}", work.name, work.unit);
        good &= !matches!(verdict, Verdict::Dearer { .. } | Verdict::Unknown);
    }
    if !good {
        println!("If that is on purpose: cargo run --release -p instructions -- --update");
    }
    Ok(good)
}

fn update() -> Outcome<()> {
    let mut counted = Expected::new(expected::environment());
    for work in work::ALL {
        counted.note(work.name, count::per_operation(work)?);
    }
    counted.write(&file())
}

fn file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("expected.json")
}
