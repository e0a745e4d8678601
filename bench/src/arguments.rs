//! The command line.
//!
//! Owns its words and their defaults.

use crate::stores;
use measure::Outcome;
use std::path::PathBuf;
use std::str::FromStr;

pub(crate) const HELP: &str = "\
annals-bench [run] [options]           measure, print, write JSON and charts
annals-bench report FILE... [options]  tables and charts from the JSON of one run or of several
annals-bench stores                    the stores that were built
annals-bench ways [--rounds N]         ways of making a write durable: write and fdatasync, O_DSYNC, O_DIRECT, io_uring

--events N        events of the comparison (default 1000000)
--streams N       streams they are spread over (default: a hundredth of the events, at most 10000)
--stores A,B      only these
--workloads A,B   only these: sync1 conc4 conc16 conc64 batch100 load (ingest and all reading); of Annals alone,
                  beside its floor: pipelined subscription lookup (1 M and 10 M streams) open (10 M events over
                  1 M streams) scale (1 M, 10 M, 100 M events; only when asked for)
--rounds N        (default 3)
--seconds S       how long one measurement may take (default 4; ingest ten times as long)
--dir PATH        where the stores are put: on the disk to be measured (default: results/data)
--json FILE       where the results go (default: results/EVENTS.json)
--charts DIR      where the charts go (default: charts)
--write FILE      the report, as Markdown
--quick           100000 events, one round, half a second each, nothing large: shows that it works, measures nothing
";

/// What is wanted.
pub(crate) struct Arguments {
    pub(crate) command: Command,
    pub(crate) events: usize,
    pub(crate) streams: usize,
    pub(crate) stores: Vec<String>,
    /// Empty: the usual ones.
    pub(crate) workloads: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) dir: PathBuf,
    pub(crate) json: PathBuf,
    pub(crate) charts: PathBuf,
    pub(crate) write: Option<PathBuf>,
    pub(crate) is_quick: bool,
}

/// The commands.
pub(crate) enum Command {
    Run,
    Report(Vec<PathBuf>),
    Stores,
    Ways,
    Help,
    /// What a child is told.
    Job(String),
}

const WORKLOADS: [&str; 11] = [
    "sync1",
    "conc4",
    "conc16",
    "conc64",
    "batch100",
    "load",
    "pipelined",
    "subscription",
    "lookup",
    "open",
    "scale",
];

impl Arguments {
    pub(crate) fn parse(given: impl Iterator<Item = String>) -> Outcome<Arguments> {
        let mut arguments = Arguments {
            command: Command::Run,
            events: 0,
            streams: 0,
            stores: stores::all().iter().map(|entry| entry.name.to_owned()).collect(),
            workloads: Vec::new(),
            rounds: 0,
            seconds: 0.0,
            dir: "results/data".into(),
            json: PathBuf::new(),
            charts: "charts".into(),
            write: None,
            is_quick: false,
        };
        arguments.take(given)?;
        arguments.fill();
        Ok(arguments)
    }

    fn take(&mut self, mut given: impl Iterator<Item = String>) -> Outcome<()> {
        while let Some(word) = given.next() {
            let mut value = || given.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "run" => self.command = Command::Run,
                "report" => self.command = Command::Report(Vec::new()),
                "stores" => self.command = Command::Stores,
                "ways" => self.command = Command::Ways,
                "help" | "--help" | "-h" => self.command = Command::Help,
                crate::child::ARGUMENT => self.command = Command::Job(value()?),
                "--events" => self.events = number(&value()?)?,
                "--streams" => self.streams = number(&value()?)?,
                "--rounds" => self.rounds = number(&value()?)?,
                "--seconds" => self.seconds = number(&value()?)?,
                "--stores" => self.stores = list(&value()?, |name| stores::find(name).is_some())?,
                "--workloads" => self.workloads = list(&value()?, |name| WORKLOADS.contains(&name))?,
                "--dir" => self.dir = value()?.into(),
                "--json" => self.json = value()?.into(),
                "--charts" => self.charts = value()?.into(),
                "--write" => self.write = Some(value()?.into()),
                "--quick" => self.is_quick = true,
                file => match &mut self.command {
                    Command::Report(files) => files.push(file.into()),
                    _ => return Err(format!("{file} is not an argument\n\n{HELP}").into()),
                },
            }
        }
        Ok(())
    }

    fn fill(&mut self) {
        let or = |given, quick, usual| match given {
            0 if self.is_quick => quick,
            0 => usual,
            given => given,
        };
        self.events = or(self.events, 100_000, 1_000_000);
        self.streams = or(self.streams, 1_000, (self.events / 100).clamp(100, 10_000));
        self.rounds = or(self.rounds, 1, 3);
        if self.seconds <= 0.0 {
            self.seconds = if self.is_quick { 0.5 } else { 4.0 };
        }
        if self.json.as_os_str().is_empty() {
            let name = if self.is_quick { "quick".to_owned() } else { self.events.to_string() };
            self.json = PathBuf::from("results").join(name).with_extension("json");
        }
    }
}

fn number<T: FromStr>(text: &str) -> Outcome<T> {
    text.replace('_', "").parse().map_err(|_| format!("{text} is not a number").into())
}

fn list(text: &str, is_known: impl Fn(&str) -> bool) -> Outcome<Vec<String>> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    match names.iter().find(|name| !is_known(name)) {
        Some(name) => Err(format!("{name} is not known here; see `stores` and `help`").into()),
        None => Ok(names),
    }
}
