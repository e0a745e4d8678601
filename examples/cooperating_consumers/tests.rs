//! The whole story in a temporary directory, also with stops in between.

use super::*;
use std::sync::Mutex;

/// Everything that is said while `f` runs.
fn told(f: impl FnOnce(Say<'_>) -> Result<(), Failure>) -> Vec<String> {
    let lines = Mutex::new(Vec::new());
    f(&|line: &str| lines.lock().unwrap().push(line.to_owned())).unwrap();
    lines.into_inner().unwrap()
}

fn times(lines: &[String], what: &str) -> usize {
    lines.iter().filter(|line| line.contains(what)).count()
}

#[test]
fn the_whole_story() {
    let dir = tempfile::tempdir().unwrap();
    let first = told(|say| first_day(dir.path(), 8, say));
    assert_eq!(times(&first, ": requests shipment-"), 8, "{first:#?}");
    assert_eq!(times(&first, ": shipped"), 7, "{first:#?}");
    assert_eq!(times(&first, "the ferry is cancelled; to be tried again"), 2, "{first:#?}");
    assert_eq!(times(&first, "attempt 3: the ferry is cancelled; set aside"), 1, "{first:#?}");

    let second = told(|say| second_day(dir.path(), say));
    assert_eq!(
        times(&second, "set aside  shipment-3, tried 3 times: the ferry is cancelled"),
        1,
        "{second:#?}"
    );
    assert_eq!(times(&second, "shipment-3 to Helgoland: shipped, replayed"), 1, "{second:#?}");
    assert_eq!(
        times(&second, "8 orders, 8 of them shipped exactly once; 8 shipments in all."),
        1,
        "{second:#?}"
    );
}

#[test]
fn run_again_it_goes_on_with_new_orders() {
    let dir = tempfile::tempdir().unwrap();
    for days in 1..=3 {
        told(|say| first_day(dir.path(), 8, say));
        let lines = told(|say| second_day(dir.path(), say));
        let orders = 8 * days;
        let proof =
            format!("{orders} orders, {orders} of them shipped exactly once; {orders} shipments in all.");
        assert_eq!(times(&lines, &proof), 1, "{lines:#?}");
    }
}

/// Stopped while orders, shipments and attempts are on their way, more than once.
#[test]
fn stopped_in_the_middle_nothing_is_lost_and_nothing_done_twice() {
    let dir = tempfile::tempdir().unwrap();
    for stop in 0..10 {
        let log = EventLog::open(dir.path()).unwrap();
        let order = NewEvent::new("OrderPlaced", shipping::ISLAND);
        told(|say| {
            at_work(&log, false, say, |_| {
                for order in [order, NewEvent::new("OrderPlaced", "Oslo")] {
                    log.append("orders", ExpectedVersion::Any, &[order])?;
                }
                thread::sleep(Duration::from_millis(stop * 17 % 60));
                Ok(())
            })
        });
        log.close().unwrap();
    }
    let lines = told(|say| second_day(dir.path(), say));
    assert_eq!(
        times(&lines, "20 orders, 20 of them shipped exactly once; 20 shipments in all."),
        1,
        "{lines:#?}"
    );
}

#[test]
fn the_command_line_is_understood() {
    let words = |line: &str| arguments(line.split_whitespace().map(str::to_owned));
    let given = words("--orders 7 --log somewhere").unwrap().unwrap();
    assert_eq!((given.orders, given.log), (7, "somewhere".into()));
    assert!(words("--help").unwrap().is_none());
    for wrong in ["--orders", "--orders many", "--order 7", "somewhere"] {
        assert!(words(wrong).is_err(), "{wrong}");
    }
}
