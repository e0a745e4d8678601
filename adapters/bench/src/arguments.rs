//! The command line.
//!
//! Owns its words and their defaults. Must never look at the disk or at a store.

use crate::store;
use measure::Outcome;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub(crate) const HELP: &str = "\
annals-adapters-bench [run] [options]           measure, print, write JSON
annals-adapters-bench report FILE [--write F]   the tables again, from the JSON of a run
annals-adapters-bench stores                    who takes part, what each promises and how it is used

--events N      events of the streams that are read, and the most calls of a workload that writes (default 10000)
--seconds S     when a workload that writes is cut off (default 0.8)
--rounds N      (default 3)
--only A,B      only these interfaces: mako, eventcore, enact, allsource, this
--dir PATH      where the stores are put: on the disk to be measured (default: results/data)
--json FILE     where the results go (default: results/run.json, or results/quick.json)
--write FILE    puts the tables into this file, between its marks
--quick         500 events, one round, a fifth of a second each: shows that it works, measures nothing
";

/// The word with which the program calls itself, to have its syncs counted.
pub(crate) const COUNTED: &str = "counted";

/// What is wanted.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) command: Command,
    pub(crate) events: usize,
    pub(crate) limit: Duration,
    pub(crate) rounds: usize,
    /// Interfaces; empty: all.
    pub(crate) only: Vec<String>,
    pub(crate) dir: PathBuf,
    pub(crate) json: PathBuf,
    pub(crate) write: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Run,
    Report(PathBuf),
    Stores,
    Help,
    /// What the program tells itself, under `strace`.
    Counted {
        interface: String,
        store: String,
    },
}

impl Arguments {
    pub(crate) fn parse(given: impl Iterator<Item = String>) -> Outcome<Arguments> {
        let mut given = given.peekable();
        let (mut command, mut only, mut write) = (Command::Run, Vec::new(), None);
        let (mut events, mut seconds, mut rounds): (Option<usize>, Option<f64>, Option<usize>) =
            (None, None, None);
        let (mut dir, mut json, mut is_quick) = (PathBuf::from("results/data"), None, false);
        while let Some(word) = given.next() {
            let mut value = || given.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "run" => command = Command::Run,
                "report" => command = Command::Report(value()?.into()),
                "stores" => command = Command::Stores,
                "help" | "--help" | "-h" => command = Command::Help,
                COUNTED => command = Command::Counted { interface: value()?, store: value()? },
                "--events" => events = Some(number(&value()?)?),
                "--seconds" => seconds = Some(number(&value()?)?),
                "--rounds" => rounds = Some(number(&value()?)?),
                "--only" => only = interfaces(&value()?)?,
                "--dir" => dir = value()?.into(),
                "--json" => json = Some(value()?.into()),
                "--write" => write = Some(value()?.into()),
                "--quick" => is_quick = true,
                other => return Err(format!("{other} is not an argument\n\n{HELP}").into()),
            }
        }
        let quick = |quick, usual| if is_quick { quick } else { usual };
        let name = if is_quick { "results/quick.json" } else { "results/run.json" };
        let arguments = Arguments {
            command,
            events: events.unwrap_or(quick(500, 10_000)),
            limit: Duration::try_from_secs_f64(seconds.unwrap_or(if is_quick { 0.2 } else { 0.8 }))
                .map_err(|error| format!("--seconds: {error}"))?,
            rounds: rounds.unwrap_or(quick(1, 3)),
            only,
            dir,
            json: json.unwrap_or_else(|| name.into()),
            write,
        };
        if arguments.events == 0 || arguments.rounds == 0 || arguments.limit.is_zero() {
            return Err("--events, --rounds and --seconds must be more than 0".into());
        }
        Ok(arguments)
    }
}

fn number<T: FromStr>(text: &str) -> Outcome<T> {
    text.replace('_', "").parse().map_err(|_| format!("{text} is not a number").into())
}

fn interfaces(text: &str) -> Outcome<Vec<String>> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    match names.iter().find(|name| !store::all().iter().any(|entry| entry.interface == name.as_str())) {
        Some(name) => Err(format!("{name} is not an interface here; see `stores`").into()),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::{Arguments, Command};
    use measure::Outcome;
    use std::time::Duration;

    fn parse(line: &str) -> Outcome<Arguments> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let usual = parse("").expect("nothing is needed");
        assert_eq!((usual.command, usual.events, usual.rounds), (Command::Run, 10_000, 3));
        let quick = parse("--quick --events 7").expect("known words");
        assert_eq!((quick.events, quick.rounds, quick.limit), (7, 1, Duration::from_millis(200)));
        assert_eq!(quick.json.to_str(), Some("results/quick.json"));
    }

    #[test]
    fn what_is_said_counts() {
        let given =
            parse("--only mako,this --rounds 5 --events 1_000 --write README.md").expect("known words");
        assert_eq!(given.only, ["mako", "this"]);
        assert_eq!((given.rounds, given.events), (5, 1_000));
        assert_eq!(given.write.as_deref().and_then(|file| file.to_str()), Some("README.md"));
        let report = parse("report a.json --write b.md").expect("known words");
        assert_eq!(report.command, Command::Report("a.json".into()));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "--events",
            "--events many",
            "--events 0",
            "--rounds 0",
            "--seconds 0",
            "--seconds -1",
            "--only x",
            "y",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
