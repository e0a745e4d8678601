//! Whether a call leaves its executor's thread to others while the disk is busy.
//!
//! Owns an executor with one thread, and a watch that ends the test if that thread is blocked. Timings do not decide: the sync
//! is held back until others had their turn.

use crate::gate::Gated;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Runs a call on an executor with one thread, over a log whose segments are not synced until another task of that thread has
/// had its turn many times. What the call returns; it must be something that waits for the disk.
///
/// # Panics
/// If the call blocks the thread, or is done without waiting for the disk.
pub fn gives_way<T>(gated: &Gated, call: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (done, blocked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    gated.close();
    let watch = std::thread::spawn({
        let (gated, done, blocked) = (gated.clone(), done.clone(), blocked.clone());
        move || {
            for _ in 0..200 {
                std::thread::sleep(Duration::from_millis(100));
                if done.load(Ordering::SeqCst) {
                    return;
                }
            }
            // Lets it go on, or the test would hang instead of failing.
            blocked.store(true, Ordering::SeqCst);
            gated.open_up();
        }
    });
    let value = runtime.block_on(async {
        let mut others = std::pin::pin!(async {
            // Many turns, and one that comes from a timer: the executor's thread is free to look at it.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        });
        let mut call = std::pin::pin!(call);
        std::future::poll_fn(|context| {
            let over = others.as_mut().poll(context);
            if over.is_pending() && call.as_mut().poll(context).is_ready() {
                gated.open_up();
                assert!(blocked.load(Ordering::SeqCst), "it did not wait for the disk");
                panic!("it blocks its executor's thread");
            }
            over
        })
        .await;
        gated.open_up();
        call.await
    });
    done.store(true, Ordering::SeqCst);
    watch.join().unwrap();
    assert!(!blocked.load(Ordering::SeqCst), "it blocks its executor's thread");
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use annals::{EventLog, ExpectedVersion, NewEvent, Options};

    fn log(gated: &Gated) -> EventLog {
        Options::new().open_storage(Arc::new(gated.clone())).unwrap()
    }

    #[test]
    fn what_is_awaited_gives_way() {
        let gated = Gated::default();
        let log = log(&gated);
        let call = async { log.submit("s", ExpectedVersion::Any, &[NewEvent::new("T", "")]).unwrap().await };
        assert_eq!(gives_way(&gated, call).unwrap().last_version, 1);
    }

    #[test]
    #[should_panic(expected = "it did not wait for the disk")]
    fn what_only_submits_is_told() {
        let gated = Gated::default();
        let log = log(&gated);
        gives_way(&gated, async { drop(log.submit("s", ExpectedVersion::Any, &[]).unwrap()) });
    }
}
