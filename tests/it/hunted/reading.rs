//! Cursors, queries and subscriptions: promises that were once not kept, one a test.
//!
//! Owns the reading side of `hunted.rs`.

use super::*;

#[test]
fn budget_goes_on_within_a_batch() {
    let log = EventLog::in_memory().unwrap();
    log.batch()
        .append("a", ANY, &[ev()])
        .append("b", ANY, &[ev()])
        .append("m", ANY, &[ev()])
        .commit()
        .unwrap();
    for backward in [false, true] {
        let (mut at, mut seen) = (if backward { u64::MAX } else { 0 }, Vec::new());
        for round in 0.. {
            assert!(round < 100, "backward {backward}: no end, stands at {at}, seen {seen:?}");
            let query = Query::prefix(if backward { "a" } else { "m" }).budget(1);
            let query = if backward { query.before(at).backward() } else { query.after(at) };
            let mut events = log.read(&query).into_iter();
            seen.extend(events.by_ref().map(|e| e.unwrap().position()));
            match events.stopped_at() {
                Some(place) => at = place,
                None => break,
            }
        }
        assert_eq!(seen.len(), 1);
    }
}

#[test]
fn budget_gives_a_match_twice() {
    let log = EventLog::in_memory().unwrap();
    log.batch()
        .append("a", ANY, &[ev()])
        .append("m", ANY, &[ev()])
        .append("b", ANY, &[ev()])
        .commit()
        .unwrap();
    let mut first = log.read(&Query::prefix("m").budget(2)).into_iter();
    let a: Vec<_> = first.by_ref().map(|e| e.unwrap().position()).collect();
    let at = first.stopped_at().unwrap();
    let mut second = log.read(&Query::prefix("m").after(at).budget(1)).into_iter();
    let b: Vec<_> = second.by_ref().map(|e| e.unwrap().position()).collect();
    let at2 = second.stopped_at().unwrap();
    let c: Vec<_> =
        log.read(&Query::prefix("m").after(at2)).into_iter().map(|e| e.unwrap().position()).collect();
    assert_eq!((a, b, c), (vec![2], vec![], vec![]), "{at} {at2}");
}

#[test]
fn who_is_refused_looks_no_further() {
    let memory = Memory::new();
    let open = || layered().open_storage(Arc::new(memory.clone())).unwrap();
    let log = open();
    for _ in 0..20 {
        ["ended", "cut", "whole"].iter().for_each(|stream| _ = put(&log, stream));
    }
    log.tombstone("ended", ANY).unwrap();
    log.truncate_before("cut", 10, ANY).unwrap();
    fill(&log);
    log.close().unwrap();
    // The next one leaves nothing to be merged.
    open().close().unwrap();
    let log = open();
    assert!(log.read_stream("whole", 3).next().unwrap().is_some());
    // Where runs stand is damaged, and so is the segment without which that cannot be mended.
    for name in memory.list().unwrap().iter().filter(|name| name.ends_with(".idx")) {
        let file = memory.open(name, true).unwrap();
        let mut place = [0; 16];
        file.read_at(192 + 24 * 4, &mut place).unwrap();
        let [at, len] = [0, 8].map(|at| u64::from_le_bytes(place[at..at + 8].try_into().unwrap()));
        assert_eq!(file.write_at(at, &vec![9; len as usize]).unwrap(), len as usize);
    }
    let segment = memory.open(&shelf::segment_name(1), true).unwrap();
    assert_eq!(segment.write_at(5000, &[9; 3000]).unwrap(), 3000);
    let told = |mut cursor: Cursor| cursor.next().map(|event| event.is_some());
    let end = log.stream_version("whole");
    assert!(matches!(told(log.read_stream("ended", 0)), Err(ReadError::Gone { .. })));
    assert!(matches!(told(log.read_stream("cut", 3)), Err(ReadError::Truncated { first: 10 })));
    assert_eq!(told(log.read_stream("whole", end)), Ok(false));
    assert!(matches!(told(log.read_stream("whole", 3)), Err(ReadError::Corrupt(_))));
}

#[test]
fn a_cursor_over_a_stream_that_is_ended_meanwhile_says_so_or_goes_on() {
    let log = EventLog::in_memory().unwrap();
    (0..200).for_each(|_| _ = put(&log, "s"));
    let mut cursor = log.read_stream("s", 0);
    let mut seen = 0;
    let outcome = loop {
        match cursor.next() {
            Ok(Some(_)) => seen += 1,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
        if seen == 1 {
            log.tombstone("s", ANY).unwrap();
        }
    };
    assert!(seen == 200 || outcome.is_err(), "seen {seen} of 200, and then {outcome:?}");
}

#[test]
fn a_prefix_subscription_has_a_gap_when_a_stream_is_ended() {
    let log = EventLog::in_memory().unwrap();
    for _ in 0..200 {
        put(&log, "p-1");
        log.append("other", ANY, &[ev(); 10]).unwrap();
    }
    let mut subscription = log.subscribe(&Query::prefix("p-"));
    let mut seen = 0;
    while let Next::Event(_) = subscription.next_within(NOW).unwrap() {
        seen += 1;
        if seen == 1 {
            log.tombstone("p-1", ANY).unwrap();
        }
    }
    let all = log.read(&Query::prefix("p-")).into_iter().count();
    assert_eq!((seen, all), (200, 200), "place {}", subscription.place());
}

#[test]
fn backward_merge_beside_a_writer() {
    let log = Options::new().segment_bytes(64 << 10).open_in_memory().unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let big = vec![0u8; 30 << 10];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                log.batch()
                    .append("p", ANY, &[NewEvent::new("B", &big)])
                    .append("filler", ANY, &[ev(); 20])
                    .commit()
                    .unwrap();
            }
        });
        let begun = Instant::now();
        let mut wrong = None;
        while begun.elapsed() < Duration::from_secs(8) && wrong.is_none() {
            let got = log.read(&Query::prefix("p").backward().limit(1)).next().map(|_| ());
            wrong = got.err();
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(wrong, None);
    });
}

#[test]
fn the_place_of_a_bounded_subscription_is_within_its_bound() {
    let log = EventLog::in_memory().unwrap();
    (0..10).for_each(|_| _ = put(&log, "s"));
    let mut subscription = log.subscribe(&Query::everything().before(4));
    while let Next::Event(_) = subscription.next_within(NOW).unwrap() {}
    let rest = log.subscribe(&Query::everything().after(subscription.place()));
    assert_eq!((subscription.place(), rest.lag()), (3, 7));
}

#[test]
fn a_tenants_subscription_is_told_that_its_stream_is_gone() {
    let log = EventLog::in_memory().unwrap();
    log.tenant("t").append("s", ANY, &[ev()]).unwrap();
    let mut plain = log.subscribe(&Query::stream("s"));
    let mut bound = log.subscribe(&Query::stream("s").of_tenant("t"));
    for s in [&mut plain, &mut bound] {
        assert!(matches!(s.next_within(NOW), Ok(Next::Event(_))));
    }
    log.tombstone("s", ANY).unwrap();
    assert!(matches!(plain.next_within(NOW), Err(ReadError::Gone { .. })));
    let got = bound.next_within(NOW);
    assert!(matches!(got, Err(ReadError::Gone { .. })), "{got:?}");
}

#[test]
fn last_event_of_a_cut_stream() {
    let log = EventLog::in_memory().unwrap();
    put(&log, "s");
    log.truncate_before("s", 2, ANY).unwrap();
    assert!(matches!(log.last_event("s"), Ok(None)));
}

#[test]
fn stopped_at_after_the_last_of_the_limit() {
    let log = EventLog::in_memory().unwrap();
    (0..5).for_each(|_| _ = put(&log, "s"));
    let mut events = log.read(&Query::everything().limit(2)).into_iter();
    assert_eq!(events.by_ref().take(2).count(), 2);
    assert_eq!(events.stopped_at(), Some(2), "nothing is left of the limit");
}
#[test]
fn queries_against_brute_force() {
    use crate::simdisk::Rng;
    let streams = ["p", "pa", "pb", "q", "qa", "é", "éx"];
    let types = ["T", "U", "V"];
    let tenants = ["t1", "t2"];
    let mut wrong = Vec::new();
    for seed in 0..400u64 {
        let mut rng = Rng::new(seed);
        let log = shelf::options().open_in_memory().unwrap();
        let mut pick = |n: usize| rng.below(n as u64) as usize;
        let few = pick(2) == 0;
        for _ in 0..40 + pick(100) {
            let s = streams[if few { [0, 3, 3, 3, 3, 3, 3, 3, 3, 4][pick(10)] } else { pick(streams.len()) }];
            let n = 1 + pick(if few { 20 } else { 3 });
            let t = types[pick(3)];
            let events = vec![NewEvent::new(t, "x"); n];
            match pick(30) {
                0 => drop(log.tombstone(s, ANY)),
                1 => drop(log.truncate_before(s, log.stream_version(s) + 1, ANY)),
                2..=6 => drop(log.tenant(tenants[pick(2)]).append(s, ANY, &events)),
                7 => drop(log.append(s, ANY, &[NewEvent::new(t, &vec![0u8; 30 << 10])])),
                _ => drop(log.append(s, ANY, &events)),
            }
        }
        let end = log.last_position();
        let all: Vec<RecordedEvent> = log.read_all(0).into_iter().map(|e| e.unwrap()).collect();
        for case in 0..60 {
            let prefix = ["", "p", "pa", "q", "é", "zz", "\u{e9}x"][pick(7)];
            let tenant = [None, None, Some("t1"), Some("t2"), Some("t3")][pick(5)];
            let kinds: Vec<&str> = types.iter().copied().filter(|_| pick(3) == 0).collect();
            let after = [0, pick(end as usize + 3) as u64, u64::MAX][[0, 1, 1, 1, 2][pick(5)]];
            let before = [u64::MAX, pick(end as usize + 3) as u64][pick(2)];
            let backward = pick(2) == 0;
            let mut want: Vec<u64> = all
                .iter()
                .filter(|e| {
                    e.stream().starts_with(prefix)
                        && (kinds.is_empty() || kinds.contains(&e.event_type()))
                        && e.position() > after
                        && e.position() < before
                        && tenant
                            .is_none_or(|t| log.stream_info(e.stream()).unwrap().tenant.as_deref() == Some(t))
                })
                .map(|e| e.position())
                .collect();
            if backward {
                want.reverse()
            }
            let mut query = Query::prefix(prefix).of_types(&kinds).after(after).before(before);
            if let Some(t) = tenant {
                query = query.of_tenant(t)
            }
            if backward {
                query = query.backward()
            }
            let got: Vec<u64> = log.read(&query).into_iter().map(|e| e.unwrap().position()).collect();
            if got != want {
                wrong.push(format!("{seed}/{case} {query:?}: {got:?} want {want:?}"));
            }
            // Page by page.
            let (limit, budget) = (1 + pick(5) as u64, 1 + pick(5) as u64);
            let (limit, budget) = [(limit, u64::MAX), (u64::MAX, budget), (limit, budget)][pick(3)];
            let mut pages = Vec::new();
            let mut q = query.clone().limit(limit).budget(budget);
            for round in 0.. {
                if round > 2000 {
                    wrong.push(format!("{seed}/{case} endless {q:?}"));
                    break;
                }
                let mut events = log.read(&q).into_iter();
                let page: Vec<u64> = events.by_ref().map(|e| e.unwrap().position()).collect();
                if page.len() as u64 > limit {
                    wrong.push(format!("limit {q:?}"));
                }
                pages.extend(page);
                match events.stopped_at() {
                    None => break,
                    Some(at) => q = if backward { q.before(at) } else { q.after(at) },
                }
            }
            if pages != want {
                wrong
                    .push(format!("{seed}/{case} pages {query:?} {limit} {budget}: {pages:?} want {want:?}"));
            }
            // A subscription that begins there.
            if !backward && after < u64::MAX {
                let mut sub = log.subscribe(&query);
                let mut got = Vec::new();
                while let Next::Event(e) = sub.next_within(NOW).unwrap() {
                    got.push(e.position());
                }
                if got != want {
                    wrong.push(format!("{seed}/{case} sub {query:?}: {got:?} want {want:?}"));
                }
            }
        }
        if wrong.len() > 3 {
            break;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
