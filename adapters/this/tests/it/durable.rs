//! What survives, from when on, and that nobody's thread waits for the disk.

use crate::common::{created, fill, killed, memory, place, resumes, soon, until};
use annals::{AppendError, Durability, Options};
use annals_this::ThisLog;
use futures_util::future::join_all;
use proving::{Gated, gives_way};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use this::events::EventLog;
use this::events::SeekPosition::{Beginning, Latest, Sequence};

fn gated(options: &Options) -> (Gated, ThisLog) {
    let gated = Gated::default();
    let log = options.open_storage(Arc::new(gated.clone())).unwrap();
    (gated, ThisLog::new(log))
}

/// Lets all syncs through at the end of a test, also if it fails: a log that is dropped waits for them.
struct OpensUp(Gated);

impl Drop for OpensUp {
    fn drop(&mut self) {
        self.0.open_up();
    }
}

/// What a call says when it is looked at once.
fn at_once<T>(call: impl Future<Output = T>) -> Poll<T> {
    std::pin::pin!(call).poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn what_append_seek_and_durable_acknowledgements_have_answered_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let log = ThisLog::open(dir.path()).unwrap().durable_acks(true);
    for n in 1..=5 {
        log.append(created(&format!("type_{n}"))).await.unwrap();
        log.ack("acknowledged", n).await.unwrap();
        log.seek("sought", if n % 2 == 0 { Beginning } else { Latest }).await.unwrap();
        let (_dir, after) = killed(dir.path());
        assert_eq!(after.last_seq_no().await, Some(n));
        assert_eq!(place(&after, "acknowledged"), Some(n));
        assert_eq!(place(&after, "sought"), Some(if n % 2 == 0 { 0 } else { n }));
        assert_eq!(resumes(&after, "new").await, 1);
    }
}

/// Without threads of its own, the log writes lazily only with the next commit: before that, a kill finds the place before.
#[tokio::test]
async fn a_lazy_acknowledgement_is_durable_with_the_next_commit_and_lost_whole_before() {
    let dir = tempfile::tempdir().unwrap();
    let log = ThisLog::open(dir.path()).unwrap();
    fill(&log, 5).await;
    log.seek("a", Sequence(2)).await.unwrap();
    log.log().close().unwrap();

    let log = ThisLog::new(Options::new().background(false).open(dir.path()).unwrap());
    log.ack("a", 3).await.unwrap();
    log.ack("a", 4).await.unwrap();
    assert_eq!(place(&log, "a"), Some(4), "seen at once");
    let (_before, after) = killed(dir.path());
    assert_eq!(place(&after, "a"), Some(1));
    log.log().append("other", annals::ExpectedVersion::Any, &[]).unwrap();
    let (_before, after) = killed(dir.path());
    assert_eq!(place(&after, "a"), Some(4));
}

#[tokio::test]
async fn a_lazy_acknowledgement_becomes_durable_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let log = ThisLog::open(dir.path()).unwrap();
    fill(&log, 3).await;
    log.ack("a", 2).await.unwrap();
    until(async || log.log().kept("this/consumer/a").unwrap().unwrap().revision.is_some()).await;
    let (_dir, after) = killed(dir.path());
    assert_eq!(place(&after, "a"), Some(2));
}

#[tokio::test]
async fn closing_writes_what_was_acknowledged_lazily() {
    let dir = tempfile::tempdir().unwrap();
    let log = ThisLog::open(dir.path()).unwrap();
    fill(&log, 3).await;
    log.ack("a", 3).await.unwrap();
    log.log().close().unwrap();
    let log = ThisLog::open(dir.path()).unwrap();
    assert_eq!(place(&log, "a"), Some(3));
    log.ack("a", 1).await.unwrap();
    drop(log);
    assert_eq!(place(&ThisLog::open(dir.path()).unwrap(), "a"), Some(1), "dropping the last handle closes");
}

/// Lazy and durable writes of one place keep the order of their calls, also on disk.
#[tokio::test]
async fn the_last_of_acknowledgements_and_seeks_is_the_one_that_survives() {
    let dir = tempfile::tempdir().unwrap();
    let log = ThisLog::open(dir.path()).unwrap();
    let durable = log.clone().durable_acks(true);
    fill(&log, 9).await;
    for round in 0..20u64 {
        let n = round % 9 + 1;
        log.ack("a", n).await.unwrap();
        log.seek("a", Beginning).await.unwrap();
        assert_eq!(place(&log, "a"), Some(0));
        log.ack("b", 10 - n).await.unwrap();
        durable.ack("b", n).await.unwrap();
        assert_eq!(place(&log, "b"), Some(n));
        let (_dir, after) = killed(dir.path());
        assert_eq!((place(&after, "a"), place(&after, "b")), (Some(0), Some(n)));
        log.ack("a", n).await.unwrap();
        assert_eq!(place(&log, "a"), Some(n));
    }
}

#[test]
fn appends_give_way() {
    let (gated, log) = gated(&Options::new());
    assert_eq!(gives_way(&gated, log.append(created("user"))).unwrap(), 1);
}

#[test]
fn seeks_give_way() {
    let (gated, log) = gated(&Options::new());
    gives_way(&gated, log.seek("a", Sequence(7))).unwrap();
    assert_eq!(place(&log, "a"), Some(6));
}

#[test]
fn durable_acknowledgements_give_way() {
    let (gated, log) = gated(&Options::new());
    let log = log.durable_acks(true);
    gives_way(&gated, log.append(created("user"))).unwrap();
    gives_way(&gated, log.ack("a", 1)).unwrap();
    assert_eq!(place(&log, "a"), Some(1));
}

/// Holds back the commits of a log, and fills what may wait to be written lazily.
fn fill_the_lazy_ones(gated: &Gated, log: &ThisLog) {
    let value = vec![7; 60 << 10];
    drop(log.log().submit("other", annals::ExpectedVersion::Any, &[]).unwrap());
    gated.wait_until_held();
    for i in 0..9 {
        match log.log().try_keep_lazily(&format!("filler-{i}"), &value) {
            Err(AppendError::Full) => return,
            kept => kept.unwrap(),
        }
    }
    panic!("everything fits");
}

#[test]
fn acknowledgements_give_way_when_too_many_wait_to_be_written() {
    let (gated, log) = gated(&Options::new());
    gives_way(&gated, log.append(created("user"))).unwrap();
    let acknowledged = gives_way(&gated, async {
        fill_the_lazy_ones(&gated, &log);
        // What is small fits still, until it does not.
        for i in 0..100 {
            let consumer = format!("{i}-{}", "c".repeat(2000));
            let mut ack = log.ack(&consumer, 1);
            if ack.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                ack.await.unwrap();
                return consumer;
            }
        }
        panic!("everything fits");
    });
    assert_eq!(place(&log, &acknowledged), Some(1));
}

/// An acknowledgement that has to wait is no weaker than the others: it is there when it returns, and in order.
#[tokio::test]
async fn an_acknowledgement_that_does_not_fit_the_lazy_ones_is_made_all_the_same() {
    let log = memory();
    fill(&log, 9).await;
    let value = vec![7; 255 << 10];
    let long = "c".repeat(2000);
    for n in 1..=9 {
        log.ack(&long, 10 - n).await.unwrap();
        let _ = log.log().try_keep_lazily("filler", &value);
        log.ack(&long, n).await.unwrap();
        assert_eq!((place(&log, &long), resumes(&log, "other").await), (Some(n), 1));
    }
}

/// FlowRuntime acknowledges every event by itself: it must not cost a sync, nor wait for one.
#[tokio::test]
async fn a_lazy_acknowledgement_costs_no_sync_and_waits_for_none() {
    let gated = Gated::default();
    let log = ThisLog::new(Options::new().open_storage(Arc::new(gated.clone())).unwrap());
    fill(&log, 100).await;
    log.log().close().unwrap();
    let options = Options::new().background(false);
    let log = ThisLog::new(options.open_storage(Arc::new(gated.clone())).unwrap());
    let _at_the_end = OpensUp(gated.clone());
    gated.close();
    let before = gated.syncs();
    for n in 1..=100 {
        let Poll::Ready(done) = at_once(log.ack("a", n)) else { panic!("{n} waits") };
        done.unwrap();
    }
    assert_eq!((gated.syncs(), place(&log, "a")), (before, Some(100)));
}

/// While one sync is under way, all others get ready for the next one.
#[tokio::test]
async fn callers_at_once_share_their_syncs() {
    let (gated, log) = gated(&Options::new());
    let log = log.durable_acks(true);
    fill(&log, 1).await;
    let _at_the_end = OpensUp(gated.clone());
    gated.close();
    let before = gated.syncs();
    let mut appends = std::pin::pin!(join_all((0..500).map(|_| log.append(created("user")))));
    let mut acks = std::pin::pin!(join_all((0..500).map(|i| {
        let (log, consumer) = (log.clone(), format!("consumer-{i}"));
        async move { log.ack(&consumer, 1).await }
    })));
    let mut context = Context::from_waker(Waker::noop());
    assert!(
        appends.as_mut().poll(&mut context).is_pending() && acks.as_mut().poll(&mut context).is_pending()
    );
    gated.open_up();
    let mut numbers: Vec<_> = soon(appends).await.into_iter().map(Result::unwrap).collect();
    soon(acks).await.into_iter().for_each(Result::unwrap);
    numbers.sort_unstable();
    assert_eq!(numbers, (2..=501).collect::<Vec<_>>());
    let syncs = gated.syncs() - before;
    assert!(syncs < 50, "{syncs} syncs for 1000 callers");
}

/// Whoever opened the log may have asked for less: not on behalf of this trait.
#[test]
fn an_append_is_durable_and_seen_however_the_log_was_opened() {
    for durability in [Durability::Sequenced, Durability::Written, Durability::Synced] {
        let (gated, log) = gated(&Options::new().durability(durability));
        let log = log.durable_acks(true);
        let seen = gives_way(&gated, async {
            let seq_no = log.append(created("user")).await.unwrap();
            (seq_no, log.last_seq_no().await)
        });
        assert_eq!(seen, (1, Some(1)));
        gives_way(&gated, log.ack("a", 1)).unwrap();
        assert_eq!(place(&log, "a"), Some(1));
        gives_way(&gated, log.seek("a", Beginning)).unwrap();
        assert_eq!(place(&log, "a"), Some(0));
    }
}
