use annals::*;

#[test]
fn append_read_fold_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    for i in 0..1000u32 {
        let stream = format!("s{}", i % 7);
        let v = log.stream_version(&stream);
        let done = log
            .append(
                &stream,
                ExpectedVersion::Exact(v),
                &[NewEvent::new("T", &i.to_le_bytes()), NewEvent::new("U", "hello")],
            )
            .unwrap();
        assert_eq!(done.first_version, v + 1);
    }
    let n = log
        .fold_stream("s3", 0, 0, |n, e| {
            assert_eq!(e.stream(), "s3");
            n + e.payload().len()
        })
        .unwrap();
    assert!(n > 0);
    let all: Vec<_> = log.read_all(0).into_iter().map(|e| e.unwrap()).collect();
    assert_eq!(all.len(), 2000);
    for (i, e) in all.iter().enumerate() {
        assert_eq!(e.position(), i as u64 + 1);
    }
    let mut back: Vec<_> =
        log.read_all_backward(u64::MAX).into_iter().map(|e| e.unwrap().position()).collect();
    back.reverse();
    assert_eq!(back, (1..=2000).collect::<Vec<_>>());
    let mut back: Vec<_> =
        log.read_stream_backward("s2", 100).into_iter().map(|e| e.unwrap().version()).collect();
    back.reverse();
    assert_eq!(back, (1..=99).collect::<Vec<_>>());
    log.close().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    println!("{:?}", log.recovery());
    let again: Vec<_> = log.read_all(0).into_iter().map(|e| e.unwrap().payload().to_vec()).collect();
    assert_eq!(again.len(), 2000);
    for (a, b) in all.iter().zip(&again) {
        assert_eq!(a.payload(), &b[..]);
    }
}

#[test]
fn threads_and_pipelines() {
    let dir = tempfile::tempdir().unwrap();
    let log = EventLog::open(dir.path()).unwrap();
    std::thread::scope(|s| {
        for t in 0..16 {
            let log = &log;
            s.spawn(move || {
                for i in 0..50 {
                    let done = log
                        .append(&format!("t{t}"), ExpectedVersion::Exact(i), &[NewEvent::new("T", "x")])
                        .unwrap();
                    assert_eq!(done.last_version, i + 1);
                    assert_eq!(log.stream_version(&format!("t{t}")), i + 1);
                }
            });
        }
    });
    let pend: Vec<_> = (0..5000u64)
        .map(|i| log.submit("p", ExpectedVersion::Exact(i), &[NewEvent::new("T", &[0u8; 3000])]).unwrap())
        .collect();
    for (i, p) in pend.into_iter().enumerate() {
        assert_eq!(p.wait().unwrap().last_version, i as u64 + 1);
    }
    assert_eq!(log.last_position(), 5800);
}

#[test]
fn in_memory_and_inline() {
    let log = Options::new().background(false).open_in_memory().unwrap();
    for i in 0..3000u64 {
        log.append("s", ExpectedVersion::Exact(i), &[NewEvent::new("T", &[1u8; 500])]).unwrap();
    }
    assert_eq!(log.fold_stream("s", 0, 0, |n, _| n + 1).unwrap(), 3000);
}
