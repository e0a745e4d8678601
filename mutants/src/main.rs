//! Breaks the crate on purpose, one guarantee at a time, and demands that a test fails.
//!
//! `cargo run --release -p mutants` copies the tracked files to `target/mutants/tree`, applies one change at a time there, and
//! runs the tests named beside it. A mutant that lives, or a change that no longer applies, makes the command fail. Half an
//! hour on two cores. With a word as argument: only the mutants whose names contain it.

mod around;
mod engine;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

struct Mutant {
    name: &'static str,
    file: &'static str,
    /// Must occur exactly once in the file.
    from: &'static str,
    to: &'static str,
    /// Filters of the test runs, each of which may catch it.
    tests: &'static [&'static str],
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_owned);
    let only = std::env::args().nth(1).unwrap_or_default();
    let tree = root.join("target/mutants/tree");
    if let Err(error) = copy_tracked(&root, &tree) {
        eprintln!("cannot copy the tree: {error}");
        return ExitCode::FAILURE;
    }
    let mut alive = 0;
    let mut killed = 0;
    for mutant in engine::MUTANTS.iter().chain(around::MUTANTS).filter(|mutant| mutant.name.contains(&only)) {
        match survives(&tree, mutant) {
            Ok(None) => {
                alive += 1;
                println!("ALIVE   {}", mutant.name);
            }
            Ok(Some(test)) => {
                killed += 1;
                println!("caught  {} (by `{test}`)", mutant.name);
            }
            Err(error) => {
                alive += 1;
                println!("BROKEN  {}: {error}", mutant.name);
            }
        }
    }
    println!("{killed} mutants caught, {alive} not");
    if alive == 0 && killed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Copies what git tracks, as it stands in the work tree.
fn copy_tracked(root: &Path, tree: &Path) -> std::io::Result<()> {
    let _ = fs::remove_dir_all(tree);
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output()?;
    for name in String::from_utf8_lossy(&listed.stdout).split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (root.join(name), tree.join(name));
        if from.is_file() {
            fs::create_dir_all(to.parent().unwrap_or(tree))?;
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

/// The test run that caught the mutant, if one did.
fn survives(tree: &Path, mutant: &Mutant) -> Result<Option<&'static str>, String> {
    let path = tree.join(mutant.file);
    let original = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    if original.matches(mutant.from).count() != 1 {
        return Err(format!("the text to change does not occur exactly once in {}", mutant.file));
    }
    fs::write(&path, original.replacen(mutant.from, mutant.to, 1)).map_err(|error| error.to_string())?;
    let verdict = run(tree, mutant);
    fs::write(&path, original).map_err(|error| error.to_string())?;
    verdict
}

fn run(tree: &Path, mutant: &Mutant) -> Result<Option<&'static str>, String> {
    let cargo = |args: &[&str]| {
        let target = tree.with_file_name("build");
        // A mutant may well hang where the crate does not: that counts as caught, after five minutes.
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", "300", "cargo"])
            .args(args)
            .current_dir(tree)
            .env("CARGO_TARGET_DIR", target)
            .env("RUST_BACKTRACE", "0");
        command.output().map_err(|error| error.to_string())
    };
    // A mutant that does not compile proves nothing.
    let built = cargo(&["test", "--no-run", "--lib", "--test", "it"])?;
    if !built.status.success() {
        return Err(format!("does not compile:\n{}", String::from_utf8_lossy(&built.stderr)));
    }
    for test in mutant.tests {
        if !cargo(&["test", "--lib", "--test", "it", "--no-fail-fast", "--", test])?.status.success() {
            return Ok(Some(test));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sources move on: a mutant whose change applies no longer breaks nothing.
    #[test]
    fn every_mutant_still_applies() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for mutant in engine::MUTANTS.iter().chain(around::MUTANTS) {
            let source = fs::read_to_string(root.join(mutant.file)).unwrap();
            assert_eq!(source.matches(mutant.from).count(), 1, "{} in {}", mutant.name, mutant.file);
        }
    }
}
