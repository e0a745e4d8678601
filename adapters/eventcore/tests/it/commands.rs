//! eventcore's `execute` on the store: the documented examples of commands, and what its own tests demand, on both stores.

use crate::kit::{Backend, Kit, conflict, id, on_both, read, writes};
use eventcore::{
    Command, CommandError, CommandLogic, CommandStreams, Event, NewEvents, RetryPolicy, StreamDeclarations,
    StreamId, StreamResolver, execute, require,
};
use eventcore_testing::chaos::{ChaosConfig, ChaosEventStoreExt};
use eventcore_testing::deterministic::DeterministicConflictStore;
use eventcore_types::{
    CommandStateSnapshot, CommandStateSnapshotId, EventStore, EventStoreError, EventStream, EventStreamSlice,
    StreamVersion, StreamWrites,
};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

on_both!(
    a_command_appends_its_events,
    a_transfer_writes_to_both_streams_or_to_none,
    a_command_that_emits_nothing_writes_nothing,
    a_command_that_emits_nothing_is_still_checked,
    a_conflict_is_retried_on_what_is_there_then,
    retries_come_to_an_end,
    a_stream_that_is_discovered_is_read_and_checked,
    a_snapshot_spares_the_history,
    a_snapshot_keeps_the_order_of_several_streams,
    conflicts_that_are_made_up_are_survived,
    failures_that_are_made_up_are_told,
);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Money {
    Deposited { account: StreamId, amount: i64 },
    Withdrawn { account: StreamId, amount: i64 },
}

use Money::{Deposited, Withdrawn};

impl Event for Money {
    fn stream_id(&self) -> &StreamId {
        match self {
            Deposited { account, .. } | Withdrawn { account, .. } => account,
        }
    }

    fn event_type_name() -> &'static str {
        "Money"
    }
}

fn deposited(account: &str, amount: i64) -> Money {
    Deposited { account: id(account), amount }
}

fn withdrawn(account: &str, amount: i64) -> Money {
    Withdrawn { account: id(account), amount }
}

#[derive(Command, Clone)]
struct Deposit {
    #[stream]
    account: StreamId,
    amount: i64,
}

impl CommandLogic for Deposit {
    type Event = Money;
    type State = ();

    fn apply(&self, (): (), _: &Money) {}

    fn handle(&self, (): ()) -> Result<NewEvents<Money>, CommandError> {
        Ok(vec![Deposited { account: self.account.clone(), amount: self.amount }].into())
    }
}

#[derive(Command, Clone)]
struct Transfer {
    #[stream]
    from: StreamId,
    #[stream]
    to: StreamId,
    amount: i64,
}

impl CommandLogic for Transfer {
    type Event = Money;
    /// The balance of the account that is drawn from.
    type State = i64;

    fn apply(&self, balance: i64, event: &Money) -> i64 {
        match event {
            Deposited { account, amount } if *account == self.from => balance + amount,
            Withdrawn { account, amount } if *account == self.from => balance - amount,
            _ => balance,
        }
    }

    /// Nothing happens for nothing.
    fn handle(&self, balance: i64) -> Result<NewEvents<Money>, CommandError> {
        require!(balance >= self.amount, "not enough: {}", balance);
        if self.amount == 0 {
            return Ok(NewEvents::default());
        }
        let withdrawn = Withdrawn { account: self.from.clone(), amount: self.amount };
        Ok(vec![withdrawn, Deposited { account: self.to.clone(), amount: self.amount }].into())
    }
}

fn transfer(from: &str, to: &str, amount: i64) -> Transfer {
    Transfer { from: id(from), to: id(to), amount }
}

async fn deposit(store: &impl Backend, account: &str, amount: i64) {
    execute(store, Deposit { account: id(account), amount }, RetryPolicy::new()).await.unwrap();
}

/// A store on which somebody else is faster: each append comes behind the next of these.
struct Overtaken<'a, S> {
    store: &'a S,
    by: Mutex<Vec<StreamWrites>>,
}

impl<'a, S> Overtaken<'a, S> {
    fn new(store: &'a S, mut by: Vec<StreamWrites>) -> Self {
        by.reverse();
        Overtaken { store, by: Mutex::new(by) }
    }
}

impl<S: EventStore> EventStore for Overtaken<'_, S> {
    async fn read_stream<E: Event>(&self, stream_id: StreamId) -> Result<EventStream<E>, EventStoreError> {
        self.store.read_stream(stream_id).await
    }

    async fn read_stream_after<E: Event>(
        &self,
        stream_id: StreamId,
        exclusive_version: StreamVersion,
    ) -> Result<EventStream<E>, EventStoreError> {
        self.store.read_stream_after(stream_id, exclusive_version).await
    }

    async fn append_events(&self, writes: StreamWrites) -> Result<EventStreamSlice, EventStoreError> {
        let overtaking = self.by.lock().unwrap().pop();
        if let Some(overtaking) = overtaking {
            self.store.append_events(overtaking).await?;
        }
        self.store.append_events(writes).await
    }

    async fn load_command_state_snapshot(
        &self,
        snapshot_id: CommandStateSnapshotId,
    ) -> Result<Option<CommandStateSnapshot>, EventStoreError> {
        self.store.load_command_state_snapshot(snapshot_id).await
    }

    async fn save_command_state_snapshot(
        &self,
        snapshot_id: CommandStateSnapshotId,
        snapshot: CommandStateSnapshot,
    ) -> Result<(), EventStoreError> {
        self.store.save_command_state_snapshot(snapshot_id, snapshot).await
    }
}

async fn a_command_appends_its_events(store: &impl Backend) {
    let done = execute(store, Deposit { account: id("a"), amount: 100 }, RetryPolicy::new()).await.unwrap();
    assert_eq!(done.attempts(), 1);
    assert_eq!(read(store, "a").await, Ok(vec![deposited("a", 100)]));
}

async fn a_transfer_writes_to_both_streams_or_to_none(store: &impl Backend) {
    deposit(store, "a", 100).await;
    execute(store, transfer("a", "b", 60), RetryPolicy::new()).await.unwrap();
    let refused = execute(store, transfer("a", "b", 60), RetryPolicy::new()).await;
    assert!(matches!(&refused, Err(CommandError::BusinessRuleViolation(_))));
    assert_eq!(refused.unwrap_err().to_string(), "not enough: 40");
    assert_eq!(read(store, "a").await, Ok(vec![deposited("a", 100), withdrawn("a", 60)]));
    assert_eq!(read(store, "b").await, Ok(vec![deposited("b", 60)]));
}

async fn a_command_that_emits_nothing_writes_nothing(store: &impl Backend) {
    let done = execute(store, transfer("a", "b", 0), RetryPolicy::new()).await.unwrap();
    assert_eq!(done.attempts(), 1);
    assert_eq!((read::<Money>(store, "a").await, read::<Money>(store, "b").await), (Ok(vec![]), Ok(vec![])));
    deposit(store, "b", 1).await;
}

async fn a_command_that_emits_nothing_is_still_checked(store: &impl Backend) {
    let by = vec![writes(&[("b", 0)], [deposited("b", 5)])];
    let done = execute(Overtaken::new(store, by), transfer("a", "b", 0), RetryPolicy::new()).await.unwrap();
    assert_eq!(done.attempts(), 2);
}

async fn a_conflict_is_retried_on_what_is_there_then(store: &impl Backend) {
    deposit(store, "a", 100).await;
    // One overtakes on the stream that is drawn from, one on the other.
    let by = vec![writes(&[("a", 1)], [deposited("a", 7)]), writes(&[("b", 0)], [deposited("b", 1)])];
    let done = execute(Overtaken::new(store, by), transfer("a", "b", 107), RetryPolicy::new()).await;
    // On what was there at first, it would be refused.
    assert!(matches!(done, Err(CommandError::BusinessRuleViolation(_))));
    let by = vec![writes(&[("a", 1)], [deposited("a", 7)]), writes(&[("b", 0)], [deposited("b", 1)])];
    let done = execute(Overtaken::new(store, by), transfer("a", "b", 100), RetryPolicy::new()).await.unwrap();
    assert_eq!(done.attempts(), 3);
    assert_eq!(read(store, "a").await, Ok(vec![deposited("a", 100), deposited("a", 7), withdrawn("a", 100)]));
    assert_eq!(read(store, "b").await, Ok(vec![deposited("b", 1), deposited("b", 100)]));
}

async fn retries_come_to_an_end(store: &impl Backend) {
    let by = (0..9).map(|version| writes(&[("a", version)], [deposited("a", 1)])).collect();
    let command = Deposit { account: id("a"), amount: 1_000 };
    let ended = execute(Overtaken::new(store, by), command, RetryPolicy::new().max_retries(2)).await;
    assert!(matches!(ended, Err(CommandError::ConcurrencyError(2))));
    assert_eq!(read(store, "a").await, Ok(vec![deposited("a", 1); 3]));
}

/// Withdraws from an account all that another one has: which one, stands in the first.
struct Follow {
    account: StreamId,
    other: StreamId,
}

impl CommandStreams for Follow {
    fn stream_declarations(&self) -> StreamDeclarations {
        StreamDeclarations::single(self.account.clone())
    }
}

impl CommandLogic for Follow {
    type Event = Money;
    type State = (bool, i64);

    fn apply(&self, (_, balance): (bool, i64), event: &Money) -> (bool, i64) {
        match event {
            Deposited { account, amount } if *account == self.other => (true, balance + amount),
            _ => (true, balance),
        }
    }

    fn handle(&self, (_, balance): (bool, i64)) -> Result<NewEvents<Money>, CommandError> {
        Ok(vec![Withdrawn { account: self.other.clone(), amount: balance }].into())
    }

    fn stream_resolver(&self) -> Option<&(dyn StreamResolver<(bool, i64)> + Sync)> {
        Some(self)
    }
}

impl StreamResolver<(bool, i64)> for Follow {
    fn discover_related_streams(&self, (known, _): &(bool, i64)) -> Vec<StreamId> {
        if *known { vec![self.other.clone(), self.account.clone()] } else { Vec::new() }
    }
}

async fn a_stream_that_is_discovered_is_read_and_checked(store: &impl Backend) {
    deposit(store, "a", 1).await;
    deposit(store, "b", 30).await;
    let by = vec![writes(&[("b", 1)], [deposited("b", 12)])];
    let command = Follow { account: id("a"), other: id("b") };
    let done = execute(Overtaken::new(store, by), command, RetryPolicy::new()).await.unwrap();
    assert_eq!(done.attempts(), 2);
    assert_eq!(read::<Money>(store, "b").await.unwrap().last(), Some(&withdrawn("b", 42)));
}

/// Looks at two accounts, and remembers in a snapshot what it has seen, in order.
#[derive(Command, Clone)]
struct Observe {
    #[stream]
    first: StreamId,
    #[stream]
    second: StreamId,
    applied: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<i64>>>,
}

impl CommandLogic for Observe {
    type Event = Money;
    type State = Vec<i64>;

    fn apply(&self, mut state: Vec<i64>, event: &Money) -> Vec<i64> {
        self.applied.fetch_add(1, Ordering::SeqCst);
        let (Deposited { amount, .. } | Withdrawn { amount, .. }) = event;
        state.push(*amount);
        state
    }

    fn handle(&self, state: Vec<i64>) -> Result<NewEvents<Money>, CommandError> {
        *self.seen.lock().unwrap() = state;
        Ok(NewEvents::default())
    }

    fn command_state_snapshot_id(&self) -> Option<CommandStateSnapshotId> {
        CommandStateSnapshotId::try_new(format!("observe/{}/{}", self.first, self.second)).ok()
    }

    fn serialize_command_state_snapshot(&self, state: &Vec<i64>) -> Result<serde_json::Value, CommandError> {
        Ok(serde_json::json!(state))
    }

    fn deserialize_command_state_snapshot(&self, state: serde_json::Value) -> Result<Vec<i64>, CommandError> {
        serde_json::from_value(state).map_err(|error| CommandError::ValidationError(error.to_string()))
    }
}

fn observe() -> Observe {
    let (applied, seen) = (Arc::default(), Arc::default());
    Observe { first: id("a"), second: id("b"), applied, seen }
}

/// How many events were applied, and what was seen.
async fn observed(store: &impl Backend) -> (usize, Vec<i64>) {
    let command = observe();
    execute(store, command.clone(), RetryPolicy::new()).await.unwrap();
    let seen = command.seen.lock().unwrap().clone();
    (command.applied.load(Ordering::SeqCst), seen)
}

/// As many events as it takes for a snapshot.
async fn a_hundred(store: &impl Backend, account: &str, from: i64) {
    let events = (from..from + 100).map(|amount| deposited(account, amount));
    store.append_events(writes(&[(account, 0)], events)).await.map(|_| ()).unwrap();
}

async fn a_snapshot_spares_the_history(store: &impl Backend) {
    a_hundred(store, "a", 0).await;
    assert_eq!(observed(store).await.0, 100);
    assert_eq!(observed(store).await, (0, (0..100).collect()));
    deposit(store, "b", 100).await;
    assert_eq!(observed(store).await, (1, (0..101).collect()));
    assert_eq!(observed(store).await, (0, (0..101).collect()));
}

/// As documented: what is new in an early stream is applied to the state after that stream, then the later ones come again.
async fn a_snapshot_keeps_the_order_of_several_streams(store: &impl Backend) {
    a_hundred(store, "a", 0).await;
    a_hundred(store, "b", 200).await;
    assert_eq!(observed(store).await.0, 200);
    store.append_events(writes(&[("a", 100)], [deposited("a", 100)])).await.map(|_| ()).unwrap();
    assert_eq!(observed(store).await, (101, (0..=100).chain(200..300).collect()));
}

async fn conflicts_that_are_made_up_are_survived(store: &impl Backend) {
    let conflicting = DeterministicConflictStore::new(store, 3);
    let done =
        execute(&conflicting, Deposit { account: id("a"), amount: 1 }, RetryPolicy::new()).await.unwrap();
    assert_eq!(done.attempts(), 4);
    assert_eq!(conflict(store, writes(&[("a", 0)], [deposited("a", 2)])).await, ("a".to_owned(), 0, 1));
}

async fn failures_that_are_made_up_are_told(store: &impl Backend) {
    let failing = store.with_chaos(ChaosConfig::deterministic().with_failure_probability(1.0));
    let failed = execute(&failing, Deposit { account: id("a"), amount: 1 }, RetryPolicy::new()).await;
    assert!(matches!(failed, Err(CommandError::EventStoreError(EventStoreError::StoreFailure { .. }))));
    assert_eq!(read::<Money>(store, "a").await, Ok(vec![]));
}

/// What a snapshot spares, it spares after reopening, too.
#[tokio::test]
async fn a_snapshot_spares_the_history_after_reopening() {
    let kit = Kit::new();
    a_hundred(&kit.store, "a", 0).await;
    assert_eq!(observed(&kit.store).await.0, 100);
    assert_eq!(observed(&kit.reopened().store).await, (0, (0..100).collect()));
}

/// Commands of many tasks on two accounts, each retried until it gets through: nothing is lost, nothing counts twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_get_through() {
    let Kit { store, dir: _dir } = Kit::new();
    deposit(&store, "a", 1_000).await;
    let tasks = (0..6).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut attempts = 0;
            for amount in 1..=10 {
                let policy = RetryPolicy::new().max_retries(u32::MAX).backoff_strategy(
                    eventcore::BackoffStrategy::Fixed { delay_ms: eventcore::DelayMilliseconds::new(1) },
                );
                attempts += execute(&store, transfer("a", "b", amount), policy).await.unwrap().attempts();
            }
            attempts
        })
    });
    let mut attempts = 0;
    for task in tasks.collect::<Vec<_>>() {
        attempts += task.await.unwrap();
    }
    assert!(attempts >= 60);
    let total = |events: Vec<Money>| -> (usize, i64) {
        let sum = events.iter().map(|event| match event {
            Deposited { amount, .. } => *amount,
            Withdrawn { amount, .. } => -*amount,
        });
        (events.len(), sum.sum())
    };
    assert_eq!(total(read(&store, "a").await.unwrap()), (61, 1_000 - 6 * 55));
    assert_eq!(total(read(&store, "b").await.unwrap()), (60, 6 * 55));
}
