//! Annals, through its public interface, with its default options.
//!
//! Owns nothing but the translation of calls.

use crate::store::{Can, Entry, Place, Run, Store, Tally};
use crate::workload::EVENT_TYPE;
use annals::{EventLog, ExpectedVersion, NewEvent, ReadError};
use measure::Outcome;

pub(crate) const ENTRY: Entry = Entry {
    name: "annals",
    package: "annals",
    used: "default options; every append expects an exact version; reads compare every checksum",
    can: Can::ALL,
    gathered: false,
    open,
};

fn open(place: &Place<'_>) -> Outcome<Box<dyn Store>> {
    Ok(Box::new(Annals { log: EventLog::open(place.dir.join("log"))? }))
}

struct Annals {
    log: EventLog,
}

/// The events of a run.
pub(crate) fn events<'a>(run: &Run<'a>) -> Vec<NewEvent<'a>> {
    run.payloads.iter().map(|payload| NewEvent::new(EVENT_TYPE, *payload)).collect()
}

impl Store for Annals {
    fn append(&self, runs: &[Run<'_>]) -> Outcome<()> {
        if let [run] = runs {
            self.log.append(run.stream, ExpectedVersion::Exact(run.after), &events(run))?;
            return Ok(());
        }
        let mut batch = self.log.batch();
        for run in runs {
            batch = batch.append(run.stream, ExpectedVersion::Exact(run.after), &events(run));
        }
        batch.commit()?;
        Ok(())
    }

    fn version(&self, stream: &str) -> Outcome<u64> {
        Ok(self.log.stream_version(stream))
    }

    fn fold(&self, stream: &str, tally: &mut Tally) -> Outcome<()> {
        *tally = self.log.fold_stream(stream, 0, *tally, |mut tally, event| {
            tally.add(event.payload());
            tally
        })?;
        Ok(())
    }

    fn scan(&self) -> Outcome<Tally> {
        let tally = self.log.read_all(0).try_fold(Tally::default(), |mut tally, event| {
            tally.add(event.payload());
            Ok::<Tally, ReadError>(tally)
        })?;
        Ok(tally)
    }

    /// The look-up cannot fail: nothing is unwrapped in the loop, as nothing is in that of the bare hash table.
    fn versions(&self, streams: &[&str]) -> Outcome<u64> {
        Ok(streams.iter().map(|stream| self.log.stream_version(stream)).sum())
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(self.log.close()?)
    }
}
