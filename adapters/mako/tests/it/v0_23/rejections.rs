//! Rejections of 0.23: `Ok` means that it is on the disk.

use super::mako::dead_letter::{AuditContext, DeadLetterReason, DeadLetterSink};
use super::mako::error::EngineError;
use crate::shelf::{fresh, in_memory};
use std::sync::Arc;

fn reason(message: &str) -> DeadLetterReason {
    DeadLetterReason::ProcessingError { message: message.to_owned(), context: AuditContext::now() }
}

#[tokio::test]
async fn a_closed_log_refuses() {
    let store = fresh();
    store.log().close().unwrap();
    let error = store.reject(&reason("late")).await.unwrap_err();
    assert!(
        matches!(&error, EngineError::DeadLetter { message, .. } if message == "the log is closed"),
        "{error}"
    );
}

#[tokio::test]
async fn one_that_is_too_large_is_refused() {
    let store = fresh();
    let error = store.reject(&reason(&"x".repeat(65 << 20))).await.unwrap_err();
    assert!(matches!(&error, EngineError::DeadLetter { transient: false, .. }));
    assert_eq!(store.log().last_position(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_them_is_kept() {
    let store: Arc<dyn DeadLetterSink> = Arc::new(in_memory());
    let kept = in_memory();
    let mut at_once = tokio::task::JoinSet::new();
    for n in 0..600 {
        let (store, kept) = (store.clone(), kept.clone());
        at_once.spawn(async move {
            let reason = reason(&n.to_string());
            store.reject(&reason).await.unwrap();
            kept.reject(&reason).await.unwrap();
        });
    }
    at_once.join_all().await;
    assert_eq!(kept.log().stream_version(kept.dead_letter_stream()), 600);
}
