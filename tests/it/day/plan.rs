//! Who takes part: 8 writers, 100 subscribers, 14 consumers and 6 groups, and which events each of them is to get.
//!
//! Owns the list, the same for those who live it and for the checker.

use crate::simdisk::Rng;
use annals::Query;

pub(crate) const WRITERS: u64 = 8;
const STREAMS: u64 = 3;
const TYPES: [&str; 4] = ["Placed", "Paid", "Sent", "Noted"];

/// Which events a party gets, in words of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Which {
    pub(crate) stream: Option<String>,
    pub(crate) prefix: String,
    pub(crate) types: Vec<&'static str>,
}

impl Which {
    fn prefix(prefix: impl Into<String>, types: &[&'static str]) -> Which {
        Which { stream: None, prefix: prefix.into(), types: types.to_vec() }
    }

    fn stream(id: String) -> Which {
        Which { stream: Some(id), ..Which::default() }
    }

    pub(crate) fn has(&self, stream: &str, kind: &str) -> bool {
        self.stream.as_ref().is_none_or(|id| id == stream)
            && stream.starts_with(&self.prefix)
            && (self.types.is_empty() || self.types.contains(&kind))
    }

    pub(crate) fn query(&self) -> Query {
        let query = match &self.stream {
            Some(id) => Query::stream(id),
            None => Query::prefix(&self.prefix),
        };
        query.of_types(&self.types)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    After(u64),
    Now,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Blocking,
    Timed,
    Polled,
}

#[derive(Debug, Clone)]
pub(crate) struct Subscriber {
    pub(crate) name: String,
    pub(crate) which: Which,
    pub(crate) start: Start,
    pub(crate) mode: Mode,
    /// After a kill, it goes on behind what it noted last; else it begins anew.
    pub(crate) resumes: bool,
    /// Sleeps so many microseconds at every so many events.
    pub(crate) pause: Option<(u64, u64)>,
}

pub(crate) fn subscribers() -> Vec<Subscriber> {
    let one = |i: u64| {
        let writer = i / 5 % WRITERS;
        let which = match i % 5 {
            0 => Which::default(),
            1 => Which::stream(format!("in-{writer}-{}", i / 7 % STREAMS)),
            2 => Which::prefix(if i.is_multiple_of(2) { "in-".into() } else { format!("in-{writer}-") }, &[]),
            3 => Which::prefix("", &[TYPES[(i / 5 % 4) as usize]]),
            _ => Which::prefix(format!("in-{writer}-"), &["Paid", "Noted"]),
        };
        let start = match i / 5 % 3 {
            0 => Start::After(0),
            1 => Start::Now,
            _ => Start::After(if which.stream.is_some() { 3 } else { 40 }),
        };
        let mode = [Mode::Blocking, Mode::Polled, Mode::Timed][(i / 15 % 3) as usize];
        let pause = match i % 7 {
            0 => Some((2_000, 1)),
            1 => Some((50_000, 100)),
            _ => None,
        };
        Subscriber {
            name: format!("subscriber-{i}"),
            which,
            start,
            mode,
            resumes: i.is_multiple_of(2),
            pause,
        }
    };
    (0..100).map(one).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ack {
    Lazy,
    Durable,
    /// With a result that the same batch appends.
    Exact,
}

#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) which: Which,
    pub(crate) start: Start,
    pub(crate) ack: Ack,
    /// For groups.
    pub(crate) window: usize,
}

impl Worker {
    pub(crate) fn results(&self) -> String {
        format!("out-{}", self.name)
    }
}

pub(crate) fn consumers() -> Vec<Worker> {
    let plan = [
        (Which::default(), Start::After(0), Ack::Lazy),
        (Which::prefix("in-", &[]), Start::After(25), Ack::Lazy),
        (Which::stream("in-2-1".into()), Start::After(0), Ack::Lazy),
        (Which::prefix("", &["Paid"]), Start::Now, Ack::Lazy),
        (Which::prefix("in-4-", &["Sent", "Noted"]), Start::After(0), Ack::Lazy),
        (Which::prefix("in-", &["Placed"]), Start::After(0), Ack::Lazy),
        (Which::stream("in-7-0".into()), Start::After(0), Ack::Durable),
        (Which::prefix("in-1-", &[]), Start::After(0), Ack::Durable),
        (Which::prefix("in-3-", &["Paid"]), Start::Now, Ack::Durable),
        (Which::prefix("", &["Sent"]), Start::After(100), Ack::Durable),
        (Which::prefix("in-0-", &[]), Start::After(0), Ack::Exact),
        (Which::stream("in-5-2".into()), Start::After(0), Ack::Exact),
        (Which::prefix("in-", &["Noted"]), Start::After(50), Ack::Exact),
        (Which::prefix("in-6-", &["Placed", "Paid"]), Start::After(0), Ack::Exact),
    ];
    let named = |(i, (which, start, ack))| Worker { name: format!("c{i}"), which, start, ack, window: 0 };
    plan.into_iter().enumerate().map(named).collect()
}

/// One name is the beginning of another.
pub(crate) fn groups() -> Vec<Worker> {
    let plan = [
        ("g", Which::prefix("in-", &[]), Start::After(0), Ack::Lazy, 256),
        ("g/1", Which::stream("in-1-0".into()), Start::After(0), Ack::Lazy, 8),
        ("g/1/2", Which::prefix("in-", &["Placed", "Paid"]), Start::After(60), Ack::Lazy, 32),
        ("h", Which::prefix("in-5-", &[]), Start::After(0), Ack::Exact, 32),
        ("h/1", Which::prefix("in-", &["Sent"]), Start::After(0), Ack::Exact, 256),
        ("h/", Which::prefix("in-6-", &["Paid", "Noted"]), Start::After(30), Ack::Exact, 4),
    ];
    let named = |(name, which, start, ack, window): (&str, _, _, _, _)| Worker {
        name: name.into(),
        which,
        start,
        ack,
        window,
    };
    plan.into_iter().map(named).collect()
}

/// An event to be appended.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) stream: String,
    pub(crate) kind: &'static str,
    pub(crate) id: u128,
    pub(crate) payload: Vec<u8>,
}

/// The n-th append of a writer, for one stream of its own or two: always the same.
pub(crate) fn append(seed: u64, writer: u64, n: u64) -> Vec<Input> {
    let mut rng = Rng::new(seed ^ (writer << 32) ^ n.wrapping_mul(0x9e37_79b9));
    let first = rng.below(STREAMS);
    let mut inputs = Vec::new();
    for part in 0..1 + u64::from(rng.chance(1, 3)) {
        for _ in 0..1 + rng.below(3) {
            let i = inputs.len() as u128;
            let mut payload = format!("{writer} {n} {i} ").into_bytes();
            payload.resize(payload.len() + rng.below(300) as usize, b'a' + (n % 26) as u8);
            inputs.push(Input {
                stream: format!("in-{writer}-{}", (first + part) % STREAMS),
                kind: TYPES[rng.below(4) as usize],
                id: u128::from(seed) << 64 | u128::from(writer) << 48 | u128::from(n) << 8 | (i + 1),
                payload,
            });
        }
    }
    inputs
}

/// What one party notes of an event, and the checker compares.
pub(crate) fn digest(stream: &str, version: u64, kind: &str, time: u64, payload: &[u8]) -> u64 {
    let (version, time) = (version.to_le_bytes(), time.to_le_bytes());
    let parts = [stream.as_bytes(), b"\n", kind.as_bytes(), b"\n", &version, &time, payload];
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    parts.into_iter().flatten().fold(0xcbf2_9ce4_8422_2325, step)
}
