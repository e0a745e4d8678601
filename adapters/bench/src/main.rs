//! Each adapter beside the stores that the adapted crate ships: the same work through the same trait, in one run.
//!
//! Owns the commands. What is measured on an interface stands in the file of that interface, who takes part in `store`, in
//! which order in `run`, how it is timed in `watch`, what is made of it in `report`. Must never time anything itself.

mod allsource;
mod arguments;
mod count;
mod enact;
mod eventcore;
mod events;
mod mako;
mod report;
mod results;
mod run;
mod store;
mod this_rs;
mod watch;

use arguments::{Arguments, Command, HELP};
use measure::Outcome;
use results::Results;
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
        Command::Counted { interface, store } => count::perform(interface, store, &arguments.dir),
        Command::Run => tell(&run::run(&arguments)?, &arguments),
        Command::Report(file) => {
            let results: Results = measure::json::read(file)?;
            tell(&results, &arguments)
        }
        Command::Stores => {
            store::all().iter().for_each(|entry| {
                println!(
                    "{:<10} {:<26} {}; {}",
                    entry.interface,
                    entry.name,
                    entry.promise.words(),
                    entry.used
                );
            });
            Ok(())
        }
        Command::Help => {
            println!("{HELP}");
            Ok(())
        }
    }
}

fn tell(results: &Results, arguments: &Arguments) -> Outcome<()> {
    println!("{}", report::text(results));
    arguments.write.as_deref().map_or(Ok(()), |file| report::write(results, file))
}
