//! Checkpoints of projections: a cursor for each stream.

use super::append;
use super::make::{events, stream};
use super::mako::envelope::EventEnvelope;
use super::mako::error::EngineError;
use super::mako::event_store::ExpectedVersion;
use super::mako::projection::{
    GlobalProjectionCheckpoint, Projection, ProjectionCheckpointStore, ProjectionRunner,
};
use crate::shelf::{fresh, in_memory, kept, names};
use annals_mako::MakoStore;

fn checkpoint(cursors: &[(&str, u64)]) -> GlobalProjectionCheckpoint {
    let cursors = cursors.iter().map(|(id, cursor)| (stream(id), *cursor)).collect();
    GlobalProjectionCheckpoint { cursors }
}

async fn cursors(store: &MakoStore, name: &str) -> Vec<(String, u64)> {
    let found = store.load_projection_checkpoint(name).await.unwrap();
    found.cursors.into_iter().map(|(id, cursor)| (id.as_str().to_owned(), cursor)).collect()
}

fn owned(cursors: &[(&str, u64)]) -> Vec<(String, u64)> {
    cursors.iter().map(|(id, cursor)| ((*id).to_owned(), *cursor)).collect()
}

#[tokio::test]
async fn what_is_saved_is_loaded() {
    let store = fresh();
    assert!(cursors(&store, "billing").await.is_empty(), "nothing yet: from the beginning");
    let saved = [("a", 1), ("a/b", u64::MAX), ("ä", 0)];
    store.save_projection_checkpoint("billing", &checkpoint(&saved)).await.unwrap();
    assert_eq!(cursors(&store, "billing").await, owned(&saved));
    assert_eq!(names(&store, "").len(), 3);
    assert_eq!(kept(&store, "mako/checkpoint/billing/a/b").unwrap(), u64::MAX.to_string());
}

/// "Overwriting any previously stored value": one of the reference stores keeps the cursors that are not there any more.
#[tokio::test]
async fn saving_replaces_all() {
    let store = fresh();
    let first: Vec<(String, u64)> = (0..600).map(|n| (format!("s{n:03}"), n)).collect();
    let first: Vec<(&str, u64)> = first.iter().map(|(id, cursor)| (id.as_str(), *cursor)).collect();
    store.save_projection_checkpoint("p", &checkpoint(&first)).await.unwrap();
    assert_eq!(cursors(&store, "p").await, owned(&first));
    let revision = |name| store.log().kept(name).unwrap().unwrap().revision;
    let untouched = revision("mako/checkpoint/p/s001");
    store.save_projection_checkpoint("p", &checkpoint(&[("s001", 1), ("s002", 7), ("t", 3)])).await.unwrap();
    assert_eq!(cursors(&store, "p").await, owned(&[("s001", 1), ("s002", 7), ("t", 3)]), "also backwards");
    assert_eq!(revision("mako/checkpoint/p/s001"), untouched, "what is the same is not written");
    store.save_projection_checkpoint("p", &checkpoint(&[])).await.unwrap();
    assert!(names(&store, "").is_empty());
}

#[tokio::test]
async fn projections_do_not_mix() {
    let store = fresh();
    let all = ["p", "p/q", "p%2Fq", "", "q"];
    for (i, name) in all.iter().enumerate() {
        store.save_projection_checkpoint(name, &checkpoint(&[("q/s", i as u64)])).await.unwrap();
    }
    store.save_projection_checkpoint("q", &checkpoint(&[])).await.unwrap();
    for (i, name) in all[..4].iter().enumerate() {
        assert_eq!(cursors(&store, name).await, owned(&[("q/s", i as u64)]), "{name:?}");
    }
    assert!(cursors(&store, "q").await.is_empty());
}

#[tokio::test]
async fn advancing_writes_what_has_advanced() {
    let store = fresh();
    let old = checkpoint(&[("a", 1), ("b", 5), ("c", 9)]);
    store.save_projection_checkpoint("p", &old).await.unwrap();
    let before = store.log().list_kept("", None, 9).unwrap();
    let new = checkpoint(&[("a", 1), ("b", 6), ("c", 8), ("d", 2)]);
    store.advance_projection_cursors("p", &old, &new).await.unwrap();
    assert_eq!(cursors(&store, "p").await, owned(&[("a", 1), ("b", 6), ("c", 9), ("d", 2)]));
    let after = store.log().list_kept("", None, 9).unwrap();
    assert_eq!((&before[0], &before[2]), (&after[0], &after[2]), "the others are as they were");
    store.advance_projection_cursors("p", &new, &new).await.unwrap();
    assert_eq!(store.log().list_kept("", None, 9).unwrap(), after, "nothing is nothing");
}

/// More than fit into one commit of this crate.
#[tokio::test]
async fn very_many_cursors_are_written_and_removed() {
    let store = in_memory();
    let all: Vec<String> = (0..20_500).map(|n| format!("process/{n:06}")).collect();
    let all: Vec<(&str, u64)> = all.iter().map(|id| (id.as_str(), 1)).collect();
    store.advance_projection_cursors("p", &checkpoint(&[]), &checkpoint(&all)).await.unwrap();
    assert_eq!(cursors(&store, "p").await, owned(&all));
    store.save_projection_checkpoint("p", &checkpoint(&[])).await.unwrap();
    assert!(names(&store, "").is_empty());
}

/// Counts what it is shown.
struct Counter(Vec<(String, u64)>);

impl Projection for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn handle_event(&mut self, event: &EventEnvelope) {
        self.0.push((event.stream_id.as_str().to_owned(), event.sequence_number));
    }
}

/// The framework's own runner, over restarts.
#[tokio::test]
async fn a_projection_goes_on_where_it_was() {
    let store = fresh();
    let ids = [stream("process/a"), stream("process/b"), stream("partner/c")];
    for id in &ids {
        append(&*store, id, ExpectedVersion::NoStream, &events(2)).await.unwrap();
    }
    let mut counter = Counter(Vec::new());
    ProjectionRunner::catch_up_persistent(&mut counter, &*store, Some("process/"), "p").await.unwrap();
    let seen = owned(&[("process/a", 1), ("process/a", 2), ("process/b", 1), ("process/b", 2)]);
    assert_eq!(counter.0, seen);
    append(&*store, &ids[1], ExpectedVersion::Exact(2), &events(1)).await.unwrap();
    let store = store.reopen();
    let mut counter = Counter(Vec::new());
    let done =
        ProjectionRunner::catch_up_persistent(&mut counter, &*store, Some("process/"), "p").await.unwrap();
    assert_eq!(counter.0, owned(&[("process/b", 3)]));
    assert_eq!(done.cursors, store.load_projection_checkpoint("p").await.unwrap().cursors);
    let mut all = Counter(Vec::new());
    ProjectionRunner::run_matching_streams(&mut all, &*store, None).await.unwrap();
    assert_eq!(all.0.len(), 7);
}

#[tokio::test]
async fn a_name_that_is_too_long_is_refused() {
    let store = fresh();
    let name = "/".repeat(1_000);
    let refused = store.save_projection_checkpoint(&name, &checkpoint(&[("s", 1)])).await;
    assert!(matches!(refused, Err(EngineError::Store { transient: false, .. })), "{refused:?}");
    assert!(names(&store, "").is_empty());
}
