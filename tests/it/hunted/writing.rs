//! Appends, kept values and repeats: promises that were once not kept, one a test.
//!
//! Owns the writing side of `hunted.rs`.

use super::*;

#[test]
fn a_tenant_named_by_a_check_binds_in_memory_only() {
    let memory = Memory::new();
    let log = shelf::open(&memory).unwrap();
    log.batch().append("s", ANY, &[ev()]).in_tenant("shop").require("s", ANY).commit().unwrap();
    let before = log.stream_info("s").unwrap().tenant;
    let count = log.tenant("shop").stream_count();
    log.close().unwrap();
    drop(log);
    let log = shelf::open(&memory).unwrap();
    assert_eq!((before, count), (log.stream_info("s").unwrap().tenant, log.tenant("shop").stream_count()));
}

#[test]
fn a_value_set_later_stays() {
    let log = Options::new().background(false).batch_bytes(4 << 10).open_in_memory().unwrap();
    let _full = log.submit("s", ANY, &[NewEvent::new("T", &vec![0u8; 4000])]).unwrap();
    let old = log.batch().keep("x", vec![b'o'; 200]).submit().unwrap();
    assert!(old.assigned().is_none(), "queued");
    log.keep_lazily("x", "new").unwrap();
    assert_eq!(log.kept("x").unwrap().unwrap().value, "new");
    old.wait().unwrap();
    log.close().unwrap();
    assert_eq!(log.kept("x").unwrap().unwrap().value, "new");
}

#[test]
fn a_place_does_not_go_back() {
    let log = Options::new().background(false).batch_bytes(4 << 10).open_in_memory().unwrap();
    (0..5).for_each(|_| _ = put(&log, "e"));
    let _full = log.submit("s", ANY, &[NewEvent::new("T", &vec![0u8; 4000])]).unwrap();
    let one = log.batch().append("effect", ANY, &[ev()]).acknowledge("c", 1).submit().unwrap();
    assert!(one.assigned().is_none(), "queued");
    log.acknowledge("c", 5).unwrap();
    assert_eq!(log.acknowledged("c").unwrap(), 5);
    one.wait().unwrap();
    assert_eq!(log.acknowledged("c").unwrap(), 5);
}

#[test]
fn beyond_the_end_is_told_when_the_end_is_durable() {
    let log = Options::new().background(false).open_in_memory().unwrap();
    let _pending = log.submit("s", ANY, &[ev()]).unwrap();
    let told = log.truncate_before("s", 9, ANY);
    assert_eq!(
        (told.unwrap_err(), log.stream_version("s")),
        (AppendError::BeyondEnd { what: "version", asked: 9, end: 2 }, 1)
    );
}

#[test]
fn a_repeat_is_answered_as_the_original_was() {
    let log = EventLog::in_memory().unwrap();
    log.append("b", ANY, &[ev(); 3]).unwrap();
    let id = Uuid::from_u128(7);
    let batch = || log.batch().append("a", ANY, &[ev().with_id(id)]).create("b", ANY, b"").commit().unwrap();
    let first = batch().streams[1].clone();
    log.append("b", ANY, &[ev(); 2]).unwrap();
    assert_eq!(batch().streams[1], first);
    log.tombstone("b", ANY).unwrap();
    assert_eq!(batch().streams[1], first);
}

fn damage(memory: &Memory, needle: &[u8]) {
    let name = shelf::segment_name(1);
    let file = memory.open(&name, true).unwrap();
    let bytes = shelf::files_of(memory)[&name].clone();
    let at = bytes.windows(needle.len()).position(|w| w == needle).unwrap();
    file.write_at(at as u64, b"#").unwrap();
}

#[test]
fn a_damaged_original_is_not_another_append() {
    let memory = Memory::new();
    let log = shelf::options().read_mode(ReadMode::Pread).open_storage(Arc::new(memory.clone())).unwrap();
    let append =
        || log.append("a", ANY, &[NewEvent::new("T", "damaged payload").with_id(Uuid::from_u128(7))]);
    append().unwrap();
    damage(&memory, b"damaged payload");
    assert!(matches!(append(), Err(AppendError::OriginalUnreadable { .. })), "{:?}", append());
}

#[test]
fn damage_to_one_event_does_not_forget_the_ids_behind_it() {
    let memory = Memory::new();
    let log = shelf::open(&memory).unwrap();
    let append = |log: &EventLog, n: u128, payload| {
        log.append("a", ANY, &[NewEvent::new("T", payload).with_id(Uuid::from_u128(n))])
    };
    append(&log, 1, "damaged payload").unwrap();
    append(&log, 2, "sound").unwrap();
    put(&log, "z");
    log.close().unwrap();
    drop(log);
    // The log goes on in a second segment, so that the first is not read whole at open.
    let log = shelf::open(&memory).unwrap();
    for _ in 0..3 {
        log.append("z", ANY, &[NewEvent::new("T", &vec![0u8; 40 << 10])]).unwrap();
    }
    assert!(append(&log, 2, "sound").unwrap().repeated);
    log.close().unwrap();
    drop(log);
    damage(&memory, b"damaged payload");
    let log = shelf::open(&memory).unwrap();
    let one = append(&log, 1, "damaged payload");
    let two = append(&log, 2, "sound");
    assert!(matches!(one, Err(AppendError::OriginalUnreadable { .. })), "{one:?}");
    assert!(two.unwrap().repeated, "appended twice");
}

#[test]
fn done_means_that_wait_returns_at_once() {
    let log = Options::new().background(false).durability(Durability::Sequenced).open_in_memory().unwrap();
    let _one = log.submit("s", ANY, &[ev()]).unwrap();
    let conflict = log.submit("s", ExpectedVersion::NoStream, &[ev()]).unwrap();
    let done = conflict.is_done();
    let before = log.last_position();
    let _ = conflict.wait();
    assert!(!done || before == 1, "done {done}, and wait committed a batch");
}

#[test]
fn a_subscribers_waker_that_panics_harms_no_appender() {
    use futures_core::Stream;
    use std::task::{Context, Wake, Waker};
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("user code")
        }
    }
    let log = EventLog::in_memory().unwrap();
    let mut subscription = log.subscribe(&Query::everything());
    let waker = Waker::from(Arc::new(Bad));
    let polled = std::pin::Pin::new(&mut subscription).poll_next(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    let told = log.append("s", ANY, &[ev()]);
    assert!(told.is_ok(), "{told:?}, and {:?}", log.status());
}

#[test]
fn close_loses_no_lazy_value() {
    for _ in 0..200 {
        let memory = Memory::new();
        let log = Options::new().open_storage(Arc::new(memory.clone())).unwrap();
        let last: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|t| {
                    let log = log.clone();
                    scope.spawn(move || {
                        let mut last = 0;
                        for i in 1u64.. {
                            let ok = if i % 7 == 0 && t == 1 {
                                log.keep(&format!("k{t}"), KeptCondition::Any, i.to_le_bytes()).is_ok()
                            } else {
                                log.keep_lazily(&format!("k{t}"), i.to_le_bytes()).is_ok()
                            };
                            if !ok {
                                break;
                            }
                            last = i;
                            let seen = u64::from_le_bytes(
                                log.kept(&format!("k{t}")).unwrap().unwrap().value[..].try_into().unwrap(),
                            );
                            assert_eq!(seen, i);
                        }
                        last
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(3));
            log.close().unwrap();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        drop(log);
        let log = Options::new().open_storage(Arc::new(memory.clone())).unwrap();
        for (t, last) in last.into_iter().enumerate() {
            let seen = log
                .kept(&format!("k{t}"))
                .unwrap()
                .map_or(0, |k| u64::from_le_bytes(k.value[..].try_into().unwrap()));
            assert_eq!(seen, last, "k{t}");
        }
    }
}

#[test]
fn idempotency_over_crashes() {
    use crate::simdisk::{Rng, Survive};
    use std::collections::HashMap;
    for seed in 0..200u64 {
        let mut rng = Rng::new(seed);
        let mut disk = SimDisk::new(seed);
        let window = [3, 10, 1000][rng.below(3) as usize];
        let options = || {
            Options::new()
                .background(false)
                .segment_bytes(64 << 10)
                .batch_bytes(4 << 10)
                .idempotency_window(window)
        };
        // key -> first positions that were answered durably
        let mut told: HashMap<u64, (u64, u64)> = HashMap::new();
        for _ in 0..8 {
            let log = options().open_storage(Arc::new(disk.clone())).unwrap();
            disk.crash_at(disk.ops() + 5 + rng.below(150));
            let mut waiting = Vec::new();
            for _ in 0..60 {
                let key = rng.below(30);
                let size = if key.is_multiple_of(5) { 3000 } else { 10 };
                let payload = vec![key as u8; size];
                let s = format!("s{}", key % 4);
                let id = Uuid::from_u128(1000 + key as u128);
                let id2 = Uuid::from_u128(5000 + key as u128);
                let mut batch = log.batch();
                if key.is_multiple_of(3) {
                    batch = batch.keep(&format!("k{key}"), "v");
                }
                if key.is_multiple_of(4) {
                    batch = batch.create(&format!("c{key}"), ANY, b"");
                }
                batch = batch.append(&s, ANY, &[NewEvent::new("T", &payload).with_id(id)]);
                if key.is_multiple_of(2) {
                    batch = batch.append(
                        "z",
                        ANY,
                        &[NewEvent::new("T", "z"), NewEvent::new("T", "z").with_id(id2)],
                    );
                }
                waiting.push((key, batch.submit().unwrap()));
                if rng.chance(1, 6) {
                    for (key, p) in waiting.drain(..) {
                        if let Ok(done) = p.wait() {
                            let now = (done.first_position, done.last_position);
                            if done.repeated {
                                let end = log.last_position();
                                let known = told.get(&key);
                                if let Some(known) = known {
                                    assert!(
                                        *known == now || known.1 + window < now.0,
                                        "seed {seed} key {key} {known:?} {now:?} {window}"
                                    );
                                }
                                let _ = end;
                            } else if let Some(known) = told.get(&key) {
                                // Only beyond the window.
                                assert!(
                                    known.1 + window < now.0,
                                    "seed {seed} key {key} window {window}: {known:?} again at {now:?}"
                                );
                            }
                            told.insert(key, now);
                        }
                    }
                }
            }
            drop(waiting);
            drop(log);
            disk = disk.power_cut(&mut rng, if seed % 2 == 0 { Survive::Garbage } else { Survive::Random });
            let log = options().open_storage(Arc::new(disk.clone())).unwrap();
            let mut last: HashMap<Uuid, u64> = HashMap::new();
            for e in log.read_all(0) {
                let e = e.unwrap();
                if e.id().get_version_num() == 8 {
                    continue;
                }
                if let Some(before) = last.insert(e.id(), e.position()) {
                    assert!(
                        before + window <= e.position() + 1,
                        "seed {seed}: id at {before} and {}",
                        e.position()
                    );
                }
            }
            // What was told before the crash stays.
            for (key, (first, _)) in &told {
                let e = log.event_at(*first).unwrap().unwrap();
                let _ = (key, e);
            }
        }
    }
}

mod slow {
    use super::*;
    use annals::storage::*;
    use std::io;
    #[derive(Debug)]
    pub(super) struct Slow(pub(super) Memory, pub(super) Arc<std::sync::atomic::AtomicU64>);
    #[derive(Debug)]
    struct SlowFile(Arc<dyn File>, Arc<std::sync::atomic::AtomicU64>);
    impl Storage for Slow {
        fn name(&self) -> String {
            self.0.name()
        }
        fn list(&self) -> io::Result<Vec<String>> {
            self.0.list()
        }
        fn try_lock(&self) -> io::Result<Option<Lock>> {
            self.0.try_lock()
        }
        fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
            Ok(Arc::new(SlowFile(self.0.create(name)?, self.1.clone())))
        }
        fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn File>> {
            Ok(Arc::new(SlowFile(self.0.open(name, write)?, self.1.clone())))
        }
        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            self.0.rename(from, to)
        }
        fn remove(&self, name: &str) -> io::Result<()> {
            self.0.remove(name)
        }
        fn sync_directory(&self) -> io::Result<()> {
            self.0.sync_directory()
        }
    }
    impl File for SlowFile {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn allocate(&self, len: u64) -> io::Result<()> {
            self.0.allocate(len)
        }
        fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
            self.0.write_at(offset, bytes)
        }
        fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()> {
            self.0.write_zeros(offset, len)
        }
        fn sync(&self) -> io::Result<()> {
            std::thread::sleep(Duration::from_millis(self.1.load(std::sync::atomic::Ordering::SeqCst)));
            self.0.sync()
        }
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            self.0.read_at(offset, buffer)
        }
        fn read_device(&self, offset: u64, buffer: &mut [u8]) -> io::Result<DeviceRead> {
            self.0.read_device(offset, buffer)
        }
        fn map(&self, len: u64, access: Access) -> io::Result<Option<Mapping>> {
            self.0.map(len, access)
        }
    }
}

#[test]
fn lazy_values_do_not_wait_for_the_witness() {
    let ms = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let log = Options::new()
        .idle_witness_after(Duration::from_secs(10))
        .open_storage(Arc::new(slow::Slow(Memory::new(), ms.clone())))
        .unwrap();
    put(&log, "a");
    ms.store(150, std::sync::atomic::Ordering::SeqCst);
    std::thread::scope(|scope| {
        scope.spawn(|| put(&log, "a"));
        std::thread::sleep(Duration::from_millis(30));
        // While that commit is on its way:
        log.keep_lazily("x", "1").unwrap();
    });
    ms.store(0, std::sync::atomic::Ordering::SeqCst);
    let begun = Instant::now();
    while log.kept("x").unwrap().unwrap().revision.is_none() && begun.elapsed() < Duration::from_secs(12) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(begun.elapsed() < Duration::from_millis(500), "durable after {:?}", begun.elapsed());
}

#[test]
fn kept_never_goes_back() {
    let log = EventLog::in_memory().unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    let one = log
                        .kept("x")
                        .unwrap()
                        .map_or(0, |k| u64::from_le_bytes(k.value[..].try_into().unwrap()));
                    let list = log
                        .list_kept("", None, 9)
                        .unwrap()
                        .pop()
                        .map_or(0, |k| u64::from_le_bytes(k.value[..].try_into().unwrap()));
                    assert!(one >= last && list >= one, "{last} {one} {list}");
                    last = list;
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                put(&log, "noise");
            }
        });
        for i in 1..60_000u64 {
            match i % 5 {
                0 => drop(log.keep("x", KeptCondition::Any, i.to_le_bytes()).unwrap()),
                _ => log.keep_lazily("x", i.to_le_bytes()).unwrap(),
            }
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}
