//! Anything in any order: what the outbox and the deadlines answer is what the stores in memory answer, also after reopening.

use crate::shelf::names;
use crate::v0_23::make::{ago, changed, deadline, json_of, message, second, stream};
use annals::Options;
use annals_mako::MakoStore;
use mako_engine::deadline::{Deadline, DeadlineStore, InMemoryDeadlineStore};
use mako_engine::outbox::{InMemoryOutboxStore, OutboxMessage, OutboxStore};
use proptest::prelude::*;
use proving::FaultyDisk;
use std::sync::Arc;
use time::OffsetDateTime;

/// Messages and deadlines have slots; times have numbers. No two messages ever have one creation time: the store in memory gives
/// those in any order.
#[derive(Debug, Clone)]
enum Op {
    Enqueue(Vec<(usize, i64, Option<i64>)>),
    Acknowledge(usize),
    Reschedule(usize, i64),
    FirstAttempt(usize, i64),
    Register(usize, bool, i64),
    Cancel(usize),
    Reopen,
}

const SLOTS: usize = 5;

fn op() -> impl Strategy<Value = Op> {
    let (slot, time) = (0..SLOTS, 0..6i64);
    let sent = (slot.clone(), time.clone(), proptest::option::of(time.clone()));
    prop_oneof![
        4 => proptest::collection::vec(sent, 0..4).prop_map(Op::Enqueue),
        3 => slot.clone().prop_map(Op::Acknowledge),
        3 => (slot.clone(), time.clone()).prop_map(|(slot, time)| Op::Reschedule(slot, time)),
        1 => (slot.clone(), time.clone()).prop_map(|(slot, time)| Op::FirstAttempt(slot, time)),
        4 => (slot.clone(), any::<bool>(), time).prop_map(|(slot, of, time)| Op::Register(slot, of, time)),
        2 => slot.prop_map(Op::Cancel),
        1 => Just(Op::Reopen),
    ]
}

/// The same calls, on the log and in memory.
struct Both {
    disk: FaultyDisk,
    log: MakoStore,
    outbox: InMemoryOutboxStore,
    deadlines: InMemoryDeadlineStore,
    messages: Vec<OutboxMessage>,
    due: Vec<Deadline>,
}

impl Both {
    fn new() -> Both {
        let disk = FaultyDisk::default();
        Both {
            log: open(&disk),
            disk,
            outbox: InMemoryOutboxStore::new(),
            deadlines: InMemoryDeadlineStore::new(),
            messages: (0..SLOTS).map(|_| message(second(0), None)).collect(),
            due: (0..SLOTS).map(|slot| deadline(&stream("a"), &slot.to_string(), ago(0))).collect(),
        }
    }

    async fn apply(&mut self, op: Op) {
        let id = |slot: usize| self.messages[slot].message_id;
        match op {
            Op::Enqueue(sent) => {
                let sent: Vec<_> = sent.into_iter().map(|sent| self.sent(sent)).collect();
                self.log.enqueue(&sent).await.unwrap();
                self.outbox.enqueue(&sent).await.unwrap();
            }
            Op::Acknowledge(slot) => {
                self.log.acknowledge(id(slot)).await.unwrap();
                self.outbox.acknowledge(id(slot)).await.unwrap();
            }
            Op::Reschedule(slot, time) => {
                self.log.reschedule(id(slot), second(time)).await.unwrap();
                self.outbox.reschedule(id(slot), second(time)).await.unwrap();
            }
            Op::FirstAttempt(slot, time) => {
                let one = self.log.record_first_attempt(id(slot), second(time)).await.unwrap();
                let two = self.outbox.record_first_attempt(id(slot), second(time)).await.unwrap();
                assert_eq!(one, two);
            }
            Op::Register(slot, of_a, time) => {
                // Half of them are due.
                let due =
                    changed(&self.due[slot], &stream(if of_a { "a" } else { "b" }), ago(1_000 * (3 - time)));
                DeadlineStore::register(&self.log, &due).await.unwrap();
                self.deadlines.register(&due).await.unwrap();
            }
            Op::Cancel(slot) => {
                self.log.cancel(self.due[slot].deadline_id()).await.unwrap();
                self.deadlines.cancel(self.due[slot].deadline_id()).await.unwrap();
            }
            Op::Reopen => {
                self.log.log().close().unwrap();
                self.log = open(&self.disk);
            }
        }
    }

    fn sent(&self, (slot, created, deferred): (usize, i64, Option<i64>)) -> OutboxMessage {
        let mut sent = self.messages[slot].clone();
        sent.created_at = second(created * 10 + slot as i64);
        sent.deliver_after = deferred.map(second);
        sent
    }

    async fn compare(&self) {
        let len = OutboxStore::len(&self.log).await.unwrap();
        assert_eq!(len, self.outbox.len().await.unwrap());
        for (limit, now) in [(SLOTS, 9), (SLOTS, 2), (2, 9), (1, 3), (2, 0)] {
            let one = self.log.pending(limit, second(now)).await.unwrap();
            let two = self.outbox.pending(limit, second(now)).await.unwrap();
            assert_eq!(json_of(&one), json_of(&two), "{limit} at {now}");
        }
        let registered = DeadlineStore::len(&self.log).await.unwrap();
        assert_eq!(registered, self.deadlines.len().await.unwrap());
        for limit in [SLOTS, 2, 1, 0] {
            let (one, two) =
                (self.log.due_now(limit).await.unwrap(), self.deadlines.due_now(limit).await.unwrap());
            assert_eq!(times(&one.deadlines), times(&two.deadlines));
            assert_eq!(one.has_more, two.has_more);
        }
        for of in ["a", "b"] {
            let one = sorted(self.log.for_stream(&stream(of)).await.unwrap());
            assert_eq!(one, sorted(self.deadlines.for_stream(&stream(of)).await.unwrap()));
        }
        assert_eq!(names(&self.log, "").len(), 2 * len + 3 * registered, "nothing stands beside them");
    }
}

fn open(disk: &FaultyDisk) -> MakoStore {
    MakoStore::new(Options::new().open_storage(Arc::new(disk.clone())).unwrap())
}

/// Those that are due at one time are given in any order by the store in memory.
fn times(deadlines: &[Deadline]) -> Vec<OffsetDateTime> {
    deadlines.iter().map(Deadline::due_at).collect()
}

fn sorted(mut deadlines: Vec<Deadline>) -> serde_json::Value {
    deadlines.sort_by_key(Deadline::deadline_id);
    json_of(&deadlines)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_answers_as_memory_does(ops in proptest::collection::vec(op(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut both = Both::new();
            for op in ops {
                both.apply(op).await;
                both.compare().await;
            }
        });
    }
}
