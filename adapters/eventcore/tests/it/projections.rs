//! eventcore's `run_projection` with events, checkpoints and leadership in one store: its documented behaviour, on both stores.

use crate::kit::{Backend, Kit, Noted, note, on_both, position, shouted, writes};
use annals::Uuid;
use eventcore::{
    FailureContext, FailureStrategy, ProjectionConfig, ProjectionError, Projector, StreamPosition,
    run_projection,
};
use eventcore_memory::InMemoryEventStore;
use eventcore_types::{CheckpointStore, MaxRetryAttempts};
use std::sync::{Arc, Mutex};
use std::time::Duration;

on_both!(
    a_projection_gets_what_is_there,
    a_projection_gets_its_own_type_only,
    a_projection_goes_on_behind_its_checkpoint,
    a_projection_that_runs_on_gets_what_comes,
    who_is_not_the_leader_gets_nothing,
    a_projection_leads_as_long_as_it_runs,
    a_fatal_failure_is_met_again,
    a_skipped_event_is_behind,
    a_failure_is_retried_so_often,
);

/// Collects texts, and fails on some.
struct Collect {
    texts: Arc<Mutex<Vec<String>>>,
    /// What to fail on, how often, and what to do then.
    fails: (&'static str, u32, FailureStrategy),
}

impl Projector for Collect {
    type Event = Noted;
    type Error = String;
    type Context = ();

    fn apply(&mut self, event: Noted, _: StreamPosition, (): &mut ()) -> Result<(), String> {
        if event.text == self.fails.0 && self.fails.1 > 0 {
            self.fails.1 -= 1;
            self.texts.lock().unwrap().push(format!("not {}", event.text));
            return Err("on purpose".to_owned());
        }
        self.texts.lock().unwrap().push(event.text);
        Ok(())
    }

    fn name(&self) -> &str {
        "collect"
    }

    fn on_error(&mut self, _: FailureContext<'_, String>) -> FailureStrategy {
        self.fails.2
    }
}

fn config() -> ProjectionConfig {
    let tick = Duration::from_millis(1);
    ProjectionConfig::default().poll_interval(tick).empty_poll_backoff(tick).event_retry_delay(tick)
}

const NEVER: (&str, u32, FailureStrategy) = ("", 0, FailureStrategy::Fatal);

/// Runs the projection over what is there: what it was given, and how it ended.
async fn run(
    store: &impl Backend,
    fails: (&'static str, u32, FailureStrategy),
) -> (Vec<String>, Result<(), ProjectionError>) {
    let texts = Arc::new(Mutex::new(Vec::new()));
    let config = config().event_retry_max_attempts(MaxRetryAttempts::new(2));
    let done = run_projection(Collect { texts: texts.clone(), fails }, store, config).await;
    let texts = texts.lock().unwrap().clone();
    (texts, done)
}

async fn a_projection_gets_what_is_there(store: &impl Backend) {
    note(store, "a", 0, &["1", "2"]).await;
    note(store, "b", 0, &["3"]).await;
    let (texts, done) = run(store, NEVER).await;
    done.unwrap();
    assert_eq!(texts, ["1", "2", "3"]);
}

async fn a_projection_gets_its_own_type_only(store: &impl Backend) {
    let loud = (0..5).map(|_| shouted("a", "LOUD"));
    store.append_events(writes(&[("a", 0)], loud)).await.map(|_| ()).unwrap();
    note(store, "b", 0, &["quiet"]).await;
    assert_eq!(run(store, NEVER).await.0, ["quiet"]);
}

async fn a_projection_goes_on_behind_its_checkpoint(store: &impl Backend) {
    note(store, "a", 0, &["1", "2"]).await;
    assert_eq!(run(store, NEVER).await.0, ["1", "2"]);
    assert_eq!(run(store, NEVER).await.0, Vec::<String>::new());
    note(store, "a", 2, &["3"]).await;
    assert_eq!(run(store, NEVER).await.0, ["3"]);
}

/// Runs the projection on and on beside something else, until that is done.
async fn run_beside(store: &impl Backend, texts: Arc<Mutex<Vec<String>>>, other: impl Future<Output = ()>) {
    tokio::select! {
        ended = run_projection(Collect { texts, fails: NEVER }, store, config().continuous()) => panic!("{ended:?}"),
        () = other => {}
        () = tokio::time::sleep(Duration::from_secs(60)) => panic!("nothing came"),
    }
}

/// Waits until so many texts were collected.
async fn collected(texts: &Mutex<Vec<String>>, count: usize) {
    while texts.lock().unwrap().len() < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn a_projection_that_runs_on_gets_what_comes(store: &impl Backend) {
    let texts = Arc::new(Mutex::new(Vec::new()));
    run_beside(store, texts.clone(), async {
        for version in 0..4 {
            note(store, "a", version, &[&version.to_string()]).await;
            collected(&texts, version + 1).await;
        }
    })
    .await;
    assert_eq!(*texts.lock().unwrap(), ["0", "1", "2", "3"]);
}

async fn who_is_not_the_leader_gets_nothing(store: &impl Backend) {
    note(store, "a", 0, &["1"]).await;
    let leading = store.try_acquire("collect").await.unwrap();
    let (texts, refused) = run(store, NEVER).await;
    assert!(matches!(refused, Err(ProjectionError::LeadershipError(_))) && texts.is_empty());
    drop(leading);
    assert_eq!(run(store, NEVER).await.0, ["1"]);
}

async fn a_projection_leads_as_long_as_it_runs(store: &impl Backend) {
    let texts = Arc::new(Mutex::new(Vec::new()));
    note(store, "a", 0, &["1"]).await;
    run_beside(store, texts.clone(), async {
        collected(&texts, 1).await;
        assert!(store.try_acquire("collect").await.is_err());
        assert!(store.try_acquire("another").await.is_ok());
    })
    .await;
    // It was dropped in the middle, and with it its leadership.
    assert!(store.try_acquire("collect").await.is_ok());
}

async fn a_fatal_failure_is_met_again(store: &impl Backend) {
    note(store, "a", 0, &["1", "2", "3"]).await;
    let (texts, failed) = run(store, ("2", 1, FailureStrategy::Fatal)).await;
    assert!(matches!(failed, Err(ProjectionError::Failed(_))));
    assert_eq!(texts, ["1", "not 2"]);
    assert_eq!(run(store, NEVER).await.0, ["2", "3"]);
}

async fn a_skipped_event_is_behind(store: &impl Backend) {
    note(store, "a", 0, &["1", "2", "3"]).await;
    assert_eq!(run(store, ("3", 1, FailureStrategy::Skip)).await.0, ["1", "2", "not 3"]);
    assert_eq!(run(store, NEVER).await.0, Vec::<String>::new());
}

async fn a_failure_is_retried_so_often(store: &impl Backend) {
    note(store, "a", 0, &["1", "2"]).await;
    let (texts, failed) = run(store, ("1", 9, FailureStrategy::Retry)).await;
    assert!(matches!(failed, Err(ProjectionError::Failed(_))));
    assert_eq!(texts, ["not 1", "not 1", "not 1"], "once, and two more times");
    assert_eq!(run(store, ("1", 2, FailureStrategy::Retry)).await.0, ["not 1", "not 1", "1", "2"]);
}

#[tokio::test]
async fn a_projection_goes_on_after_reopening() {
    let mut kit = Kit::new();
    for version in 0..3 {
        note(&kit.store, "a", version, &[&version.to_string()]).await;
        assert_eq!(run(&kit.store, NEVER).await.0, [version.to_string()]);
        kit = kit.reopened();
    }
}

/// The difference: a checkpoint that comes from another kind of store. In memory, positions are times, and a later time than all
/// of them gives nothing, for ever, without a word. Here the projection ends with an error that says so.
#[tokio::test]
async fn a_checkpoint_from_elsewhere_is_told() {
    async fn with_a_foreign_checkpoint(store: &impl Backend) -> (Vec<String>, Result<(), ProjectionError>) {
        note(store, "a", 0, &["1"]).await;
        let foreign: Uuid = "ffffffff-5a3f-7c6e-8f10-4a4f0f2b9d11".parse().unwrap();
        store.save("collect", StreamPosition::new(foreign)).await.unwrap();
        let texts = Arc::new(Mutex::new(Vec::new()));
        let config = config().poll_failure_backoff(Duration::from_millis(1));
        let done = run_projection(Collect { texts: texts.clone(), fails: NEVER }, store, config).await;
        let texts = texts.lock().unwrap().clone();
        (texts, done)
    }
    let (texts, done) = with_a_foreign_checkpoint(&InMemoryEventStore::new()).await;
    assert!(texts.is_empty() && done.is_ok());
    let Kit { store, dir: _dir } = Kit::new();
    let (_, done) = with_a_foreign_checkpoint(&store).await;
    let expected = "projection failed: failed to read events after max retries: \
                    ffffffff-5a3f-7c6e-8f10-4a4f0f2b9d11 is not a position of this store";
    assert_eq!(done.unwrap_err().to_string(), expected);
    // From the beginning, if that is what is wanted.
    store.save("collect", position(0)).await.unwrap();
    assert_eq!(run(&store, NEVER).await.0, ["1"]);
}
