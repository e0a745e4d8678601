//! Processes that are really killed: what they were told is there, and what they were not told is whole or not there.

use crate::common::{created, entity_type, first, place, until};
use crate::flows::{flow, run};
use annals_this::ThisLog;
use proving::{Child, told};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use this::config::sinks::SinkType;
use this::events::SeekPosition::{Beginning, LastAcknowledged, Sequence};
use this::events::sinks::Sink;
use this::events::{CompiledFlow, EventLog};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

/// Not a test by itself: several tasks append, one consumer acknowledges lazily, one durably, one seeks.
#[test]
fn child_that_appends() {
    let Some(dir) = proving::child() else { return };
    runtime().block_on(async {
        let log = ThisLog::open(dir).unwrap();
        let durable = log.clone().durable_acks(true);
        for task in 0..3 {
            let log = log.clone();
            tokio::spawn(async move {
                for i in 0.. {
                    let name = format!("{task}-{i}");
                    let seq_no = log.append(created(&name)).await.unwrap();
                    told(&format!("appended {seq_no} {name}"));
                }
            });
        }
        loop {
            let n = log.append(created("last")).await.unwrap();
            told(&format!("appended {n} last"));
            durable.ack("durable", n).await.unwrap();
            told(&format!("durable {n}"));
            log.seek("sought", Sequence(n)).await.unwrap();
            told(&format!("sought {n}"));
            log.ack("lazy", n).await.unwrap();
            // It becomes durable by itself, or with what the others append.
            until(async || log.log().kept("this/consumer/lazy").unwrap().unwrap().revision.is_some()).await;
            told(&format!("lazy {n}"));
        }
    });
}

/// The last number that was told behind a word; 0 if there is none.
fn last_told(lines: &[String], word: &str) -> u64 {
    let numbers = lines.iter().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok());
    numbers.max().unwrap_or(0)
}

#[test]
fn what_a_killed_process_was_told_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut appended: HashMap<u64, String> = HashMap::new();
    let mut told_places = 0;
    for cycle in 0..8u64 {
        let child = Child::start("kill::child_that_appends", dir.path());
        let lines = child.kill_after(12, Duration::from_millis(10 + cycle * 13 % 40));
        for line in &lines {
            if let Some((seq_no, name)) = line.strip_prefix("appended ").and_then(|rest| rest.split_once(' '))
            {
                appended.insert(seq_no.parse().unwrap(), name.to_owned());
            }
        }
        runtime().block_on(async {
            let log = ThisLog::open(dir.path()).unwrap();
            let last = log.last_seq_no().await.unwrap();
            let mut events = log.subscribe("judge", Beginning).await.unwrap();
            for n in 1..=last {
                let event = crate::common::next(&mut events).await;
                assert_eq!(event.seq_no, Some(n));
                if let Some(name) = appended.remove(&n) {
                    assert_eq!(entity_type(&event), name, "cycle {cycle}");
                    appended.insert(n, name);
                }
            }
            assert!(appended.keys().all(|n| *n <= last), "cycle {cycle}: told, and not there");
            for consumer in ["durable", "lazy"] {
                let told = last_told(&lines, &format!("{consumer} "));
                told_places += u64::from(told > 0);
                let place = place(&log, consumer).unwrap_or(0);
                assert!((told..=last).contains(&place), "cycle {cycle}: {consumer} at {place}, told {told}");
            }
            let told = last_told(&lines, "sought ");
            let resumes = first(&log, "sought", LastAcknowledged, 1).await[0];
            assert!((told..=last).contains(&resumes), "cycle {cycle}: sought {told}, resumes with {resumes}");
            tokio::task::spawn_blocking(move || log.log().close()).await.unwrap().unwrap();
        });
    }
    assert!(appended.len() > 100 && told_places > 0, "{} appends, {told_places} places", appended.len());
}

/// A sink that notes what it has delivered, and tells its parent before the runtime acknowledges it.
#[derive(Debug, Default)]
struct Telling(Mutex<BTreeSet<u64>>);

#[async_trait::async_trait]
impl Sink for Telling {
    async fn deliver(
        &self,
        payload: Value,
        _: Option<&str>,
        _: &HashMap<String, Value>,
    ) -> anyhow::Result<()> {
        let title = payload["title"].as_str().unwrap();
        if proving::child().is_some() {
            told(&format!("delivered {title}"));
        }
        self.0.lock().unwrap().insert(title.parse()?);
        Ok(())
    }

    fn name(&self) -> &str {
        "shown"
    }

    fn sink_type(&self) -> SinkType {
        SinkType::Custom
    }
}

/// One flow, which delivers the name of every entity.
fn deliver_all() -> Vec<CompiledFlow> {
    vec![flow("all", json!({"kind": "entity.created"}), vec![], "{{ entity_type }}")]
}

/// Not a test by itself: appends events that are named by their numbers, and delivers them with the framework's runtime.
#[test]
fn child_that_delivers() {
    let Some(dir) = proving::child() else { return };
    let durable = dir.ends_with("durable");
    runtime().block_on(async {
        let log = Arc::new(ThisLog::open(dir).unwrap().durable_acks(durable));
        let _runtime =
            run(log.clone(), deliver_all(), Arc::new(Telling::default()), "mail", LastAcknowledged);
        let mut n = log.last_seq_no().await.unwrap_or(0);
        loop {
            n += 1;
            assert_eq!(log.append(created(&n.to_string())).await.unwrap(), n);
        }
    });
}

/// At least once: whatever the places say was delivered, and the rest is delivered by the next start. Each event whose
/// acknowledgement a durable place has seen is delivered once.
fn at_least_once(dir: &Path, durable: bool) {
    std::fs::create_dir_all(dir).unwrap();
    let mut delivered = BTreeSet::new();
    let (mut again, mut last) = (0, 0);
    for cycle in 0..6u64 {
        let child = Child::start("kill::child_that_delivers", dir);
        let lines = child.kill_after(30, Duration::from_millis(10 + cycle * 17 % 40));
        for n in lines.iter().filter_map(|line| line.strip_prefix("delivered ")?.parse::<u64>().ok()) {
            again += u64::from(!delivered.insert(n));
        }
        let log = ThisLog::open(dir).unwrap();
        let place = place(&log, "mail").unwrap_or(0);
        assert!((1..=place).all(|n| delivered.contains(&n)), "acknowledged up to {place}, and not delivered");
        last = runtime().block_on(log.last_seq_no()).unwrap();
        log.log().close().unwrap();
    }
    runtime().block_on(async {
        let log = Arc::new(ThisLog::open(dir).unwrap());
        let sink = Arc::new(Telling::default());
        let runtime = run(log.clone(), deliver_all(), sink.clone(), "mail", LastAcknowledged);
        until(async || place(&log, "mail") == Some(last)).await;
        runtime.abort();
        let _ = runtime.await;
        delivered.extend(sink.0.lock().unwrap().iter());
    });
    assert!(delivered.into_iter().eq(1..=last), "an event was never delivered");
    // One event can be delivered and not acknowledged yet when the kill comes.
    assert!(
        !durable || again <= 6,
        "{again} events were delivered again in spite of durable acknowledgements"
    );
}

#[test]
fn every_event_is_delivered_at_least_once_over_kills() {
    let dir = tempfile::tempdir().unwrap();
    at_least_once(&dir.path().join("lazy"), false);
}

#[test]
fn durable_acknowledgements_survive_every_kill() {
    let dir = tempfile::tempdir().unwrap();
    at_least_once(&dir.path().join("durable"), true);
}
