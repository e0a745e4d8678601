//! Annals, the raw file and other stores under the same workloads, in one run.
//!
//! Owns the commands. What is measured is in `workloads`, who takes part in `stores`, in which order in `run`, what is made of
//! it in `report`.

mod arguments;
mod charts;
mod child;
mod job;
mod report;
mod results;
mod run;
mod store;
mod stores;
mod ways;
mod workload;
mod workloads;

use arguments::{Arguments, Command, HELP};
use measure::Outcome;
use results::Results;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    match perform() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn perform() -> Outcome<()> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    match &arguments.command {
        Command::Job(job) => workloads::perform(&serde_json::from_str(job)?),
        Command::Run => {
            let results = run::run(&arguments)?;
            measure::json::write(&arguments.json, &results)?;
            println!("{}", report::text(&results));
            report::write(&results, &arguments)
        }
        Command::Report(files) => {
            let results = read(files)?;
            println!("{}", report::text(&results));
            report::write(&results, &arguments)
        }
        Command::Stores => {
            stores::all().iter().for_each(|entry| println!("{:<12} {}", entry.name, entry.used));
            Ok(())
        }
        Command::Ways => ways::measure(&arguments.dir, arguments.rounds),
        Command::Help => {
            println!("{HELP}");
            Ok(())
        }
    }
}

/// The results of several runs, as if they were one.
fn read(files: &[PathBuf]) -> Outcome<Results> {
    let mut files = files.iter();
    let mut results: Results = measure::json::read(files.next().ok_or("report needs a file")?)?;
    for file in files {
        results.merge(measure::json::read(file)?);
    }
    Ok(results)
}
