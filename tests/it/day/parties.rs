//! Writers and subscribers: they live until they are killed, and go on from their own notes.

use super::life::Day;
use super::notes::{Notes, Report, number};
use super::plan::{Mode, Start, Subscriber, append, digest};
use crate::simdisk::Rng;
use annals::{ExpectedVersion, NewEvent, Next, Query, RecordedEvent, Subscription, Uuid};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

/// Appends under ids of its own; what was not answered is repeated first, as it was.
pub(crate) fn write(day: &Day, writer: u64) {
    let party = format!("writer-{writer}");
    let report = Report::read(&day.notes, &party);
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    let mut n = 0;
    for words in report.words().filter(|words| words[0] == "ok") {
        n = number(words[1]) + 1;
        for part in &words[4..] {
            let part: Vec<&str> = part.split(':').collect();
            versions.insert(part[0].to_owned(), number(part[2]));
        }
    }
    drop(report);
    let notes = Notes::open(&day.notes, &party, day.life);
    let mut rng = Rng::new(day.seed ^ writer ^ day.life << 8);
    // Some send off several before they wait for the first.
    let burst = if writer % 4 == 3 { 3 } else { 1 };
    while !day.enough.load(Ordering::Relaxed) {
        let mut pending = VecDeque::new();
        for n in n..n + burst {
            let inputs = append(day.seed, writer, n);
            let mut line = format!("try {n}");
            for input in &inputs {
                let content = digest(&input.stream, 0, input.kind, 0, &input.payload);
                line += &format!(" {}:{content:x}:{:x}", input.stream, input.id);
            }
            notes.line(&line);
            let mut batch = day.log.batch();
            for part in inputs.chunk_by(|a, b| a.stream == b.stream) {
                let stream = &part[0].stream;
                let version = versions.entry(stream.clone()).or_default();
                let expected = if writer.is_multiple_of(2) {
                    ExpectedVersion::Any
                } else {
                    ExpectedVersion::Exact(*version)
                };
                *version += part.len() as u64;
                let events: Vec<NewEvent<'_>> = part
                    .iter()
                    .map(|input| NewEvent::new(input.kind, &input.payload).with_id(Uuid::from_u128(input.id)))
                    .collect();
                batch = batch.append(stream, expected, &events);
            }
            pending.push_back((n, batch.submit().unwrap()));
        }
        for (n, pending) in pending {
            let done = pending.wait().unwrap_or_else(|error| panic!("{party}, append {n}: {error}"));
            let mut line = format!("ok {n} {} {}", done.time_nanos, done.repeated);
            for part in &done.streams {
                let (first, last) = (part.first_version, part.last_version);
                line += &format!(" {}:{first}:{last}:{}", part.stream, part.first_position);
            }
            notes.line(&line);
        }
        n += burst;
        thread::sleep(Duration::from_micros(rng.below(25_000) * burst));
    }
}

/// A subscription and what its owner notes.
pub(crate) struct Follower<'a> {
    day: &'a Day,
    plan: Subscriber,
    notes: Notes,
    subscription: Subscription,
    seen: u64,
}

impl<'a> Follower<'a> {
    pub(crate) fn new(day: &'a Day, plan: Subscriber) -> Follower<'a> {
        let report = Report::read(&day.notes, &plan.name);
        let by_version = plan.which.stream.is_some();
        let last = report.last("saw").filter(|_| plan.resumes);
        let start = match last {
            Some(saw) => Start::After(number(saw[if by_version { 2 } else { 1 }])),
            None => plan.start,
        };
        drop(report);
        let notes = Notes::open(&day.notes, &plan.name, day.life);
        let end = || match &plan.which.stream {
            Some(id) => day.log.stream_version(id),
            None => day.log.last_position(),
        };
        let (from, subscription, to);
        match start {
            Start::After(place) => {
                subscription = day.log.subscribe(&plan.which.query().after(place));
                (from, to) = (place, place);
            }
            Start::Now => {
                from = end();
                let query: Query = plan.which.query().from_now();
                subscription = day.log.subscribe(&query);
                to = end();
            }
        }
        notes.line(&format!("from {from} {to}"));
        Follower { day, plan, notes, subscription, seen: 0 }
    }

    fn saw(&mut self, event: &RecordedEvent) {
        let digest =
            digest(event.stream(), event.version(), event.event_type(), event.time_nanos(), event.payload());
        self.notes.line(&format!("saw {} {} {digest:x}", event.position(), event.version()));
        self.seen += 1;
        if let Some((micros, every)) = self.plan.pause
            && self.seen.is_multiple_of(every)
            && !self.day.enough.load(Ordering::Relaxed)
        {
            thread::sleep(Duration::from_micros(micros));
        }
    }

    /// Follows on the calling thread until the log is closed.
    pub(crate) fn follow(mut self) {
        if self.plan.mode == Mode::Blocking {
            while let Some(event) = self.subscription.next() {
                self.saw(&event.unwrap());
            }
        } else {
            loop {
                match self.subscription.next_within(Duration::from_millis(7)).unwrap() {
                    Next::Event(event) => self.saw(&event),
                    Next::TimedOut => {}
                    Next::Ended => break,
                }
            }
        }
        self.notes.line("end");
    }
}

/// Who was woken, and how to tell.
#[derive(Default)]
struct Woken {
    indices: Mutex<VecDeque<usize>>,
    bell: Condvar,
}

struct Tap {
    index: usize,
    woken: Arc<Woken>,
}

impl Wake for Tap {
    fn wake(self: Arc<Self>) {
        self.woken.indices.lock().unwrap().push_back(self.index);
        self.woken.bell.notify_one();
    }
}

/// Polls many subscriptions on one thread: each only when it was woken.
pub(crate) fn poll_all(mut followers: Vec<Follower<'_>>) {
    let woken = Arc::<Woken>::default();
    let wakers: Vec<Waker> = (0..followers.len())
        .map(|index| Waker::from(Arc::new(Tap { index, woken: woken.clone() })))
        .collect();
    woken.indices.lock().unwrap().extend(0..followers.len());
    let mut left = followers.len();
    while left > 0 {
        let mut indices = woken.indices.lock().unwrap();
        while indices.is_empty() {
            indices = woken.bell.wait(indices).unwrap();
        }
        let index = indices.pop_front().unwrap();
        drop(indices);
        let follower = &mut followers[index];
        let mut context = Context::from_waker(&wakers[index]);
        for polls in 0.. {
            if polls == 32 {
                wakers[index].wake_by_ref();
                break;
            }
            match futures_core::Stream::poll_next(Pin::new(&mut follower.subscription), &mut context) {
                Poll::Ready(Some(event)) => follower.saw(&event.unwrap()),
                Poll::Ready(None) => {
                    follower.notes.line("end");
                    left -= 1;
                    break;
                }
                Poll::Pending => break,
            }
        }
    }
}
