//! UmaDB's core: an event store with dynamic consistency boundaries; a stream is a tag.
//!
//! Owns the translation, and the writer thread that UmaDB's server runs in front of the core: it gathers the appends of many
//! threads into one commit.

use crate::store::{Can, Entry, Place, Run, Store, Tally};
use crate::stores::dcb::{see, seen, tag};
use crate::workload::EVENT_TYPE;
use measure::Outcome;
use parking_lot::Mutex;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot, watch};
use umadb_core::db::UmaDb;
use umadb_core::mvcc::{Mvcc, StorageOptions};
use umadb_core::pager::ReadMethod;
use umadb_core::writer_thread_blocking::writer_thread_blocking;
use umadb_core::writer_thread_request::WriterThreadRequest;
use umadb_dcb::{DcbAppendCondition, DcbEvent, DcbEventStoreSync, DcbQuery, DcbQueryItem};

pub(crate) const ENTRY: Entry = Entry {
    name: "umadb",
    package: "umadb-core",
    used: "the core with its blocking writer thread and mapped reads; streams as tags, appends conditional on nothing \
           newer with these tags",
    can: Can { version: false, ..Can::ALL },
    gathered: false,
    open,
};

const QUEUE: usize = 10_000;
/// A commit takes no more events than this from the queue.
const BATCH_EVENTS: usize = 2_000;
/// Events to a read: all of them at once would be a copy of the log in memory.
const PAGE: u32 = 10_000;

fn open(place: &Place<'_>) -> Outcome<Box<dyn Store>> {
    see(0);
    let path = place.dir.join("uma.db");
    let mvcc =
        Arc::new(Mvcc::new(false, StorageOptions::default().db_path(path).read_method(ReadMethod::Mmap))?);
    let (requests, received) = mpsc::channel(QUEUE);
    let (head, _) = watch::channel(None);
    let written = mvcc.clone();
    let writer = std::thread::spawn(move || writer_thread_blocking(written, received, head, BATCH_EVENTS));
    Ok(Box::new(Uma { core: UmaDb::from_arc(mvcc), requests, writer: Mutex::new(Some(writer)) }))
}

struct Uma {
    core: UmaDb,
    requests: mpsc::Sender<WriterThreadRequest>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

fn item(stream: &str) -> DcbQueryItem {
    DcbQueryItem::new().tags([tag(stream)])
}

impl Store for Uma {
    fn append(&self, runs: &[Run<'_>]) -> Outcome<()> {
        let mut events = Vec::new();
        for run in runs {
            for payload in run.payloads {
                events.push(DcbEvent::new().event_type(EVENT_TYPE).data(*payload).tags([tag(run.stream)]));
            }
        }
        let query = DcbQuery::with_items(runs.iter().map(|run| item(run.stream)));
        // The first position is 1.
        let after = Some(seen()).filter(|position| *position > 0);
        let condition = Some(DcbAppendCondition::new(query).after(after));
        let (response_tx, response) = oneshot::channel();
        let request =
            WriterThreadRequest::Append { events, condition, tracking_info: None, response_tx, cancel: None };
        self.requests.blocking_send(request).map_err(|_| "the writer thread is gone")?;
        see(response.blocking_recv()??);
        Ok(())
    }

    fn fold(&self, stream: &str, tally: &mut Tally) -> Outcome<()> {
        for event in self.core.read(Some(DcbQuery::with_items([item(stream)])), None, false, None)? {
            tally.add(&event?.event.data);
        }
        Ok(())
    }

    fn scan(&self) -> Outcome<Tally> {
        let mut tally = Tally::default();
        let mut from = 1;
        loop {
            let mut page = self.core.read(None, Some(from), false, Some(PAGE))?;
            let events = page.next_batch()?;
            let Some(last) = events.last() else { return Ok(tally) };
            from = last.position + 1;
            events.iter().for_each(|event| tally.add(&event.event.data));
        }
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        self.requests
            .blocking_send(WriterThreadRequest::Shutdown)
            .map_err(|_| "the writer thread is gone")?;
        let writer = self.writer.lock().take();
        writer.map_or(Ok(()), JoinHandle::join).map_err(|_| "the writer thread panicked".into())
    }
}
