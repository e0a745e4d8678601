//! Operations, as they are drawn: relative to what the model will know when their turn comes, so that every outcome is common.

use super::{CONSUMERS, NAMES, STREAMS, TENANTS};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A blocking append of events of this size; without events, a registration.
    Append {
        stream: usize,
        expected: Expect,
        events: usize,
        bytes: usize,
    },
    /// One batch: parts to write, streams to check.
    Batch {
        parts: Vec<(usize, Expect, usize, usize)>,
        checks: Vec<(usize, Expect)>,
    },
    /// An append whose handle is kept until the next blocking call on it.
    Submit {
        stream: usize,
        expected: Expect,
        events: usize,
        bytes: usize,
    },
    /// One batch of pieces of any kind.
    Mixed {
        pieces: Vec<Piece>,
        way: Way,
    },
    /// An append that carried ids once more: which one before the last, and what is different about it.
    Again {
        back: usize,
        twist: Twist,
        way: Way,
    },
    /// A value that is set lazily.
    Lazy {
        name: usize,
        bytes: usize,
    },
    /// An acknowledgement on its own, which is lazy, too.
    Place {
        consumer: usize,
        ahead: i8,
    },
    /// Waits for all kept handles.
    Wait,
    Tombstone {
        stream: usize,
    },
    Close,
    /// Drops the handle without closing first, and opens again.
    Reopen,
}

/// How a write goes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By the call of its own, if it is one part; else as a batch.
    Call,
    Commit,
    Submit,
}

/// A part of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// What follows names this tenant.
    Tenant(usize),
    Append {
        stream: usize,
        expected: Expect,
        events: usize,
        bytes: usize,
        ids: Ids,
    },
    Create {
        stream: usize,
        expected: Expect,
        bytes: usize,
    },
    /// Cuts so many events before the next one to come, or behind it.
    Truncate {
        stream: usize,
        expected: Expect,
        ahead: i8,
    },
    Tombstone {
        stream: usize,
        expected: Expect,
    },
    Require {
        stream: usize,
        expected: Expect,
    },
    Keep {
        name: usize,
        condition: Cond,
        bytes: usize,
    },
    Unkeep {
        name: usize,
        condition: Cond,
    },
    RequireKept {
        name: usize,
        condition: Cond,
    },
    Acknowledge {
        consumer: usize,
        ahead: i8,
    },
}

/// Which events of an append carry ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    None,
    All,
    First,
    /// All but the first: such an append has no key.
    Rest,
}

/// What is different when an append is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twist {
    /// Nothing.
    Exact,
    /// Its conditions, which are no part of what was stored.
    Conditions,
    /// The last payload.
    Content,
    /// The last event is missing.
    Shorter,
    /// There is one more event.
    Longer,
    /// The first event is missing: it begins with an id that stands elsewhere in the original.
    Second,
}

/// An expectation, relative to what the model knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Any,
    NoStream,
    Exists,
    NotRegistered,
    /// The version that the stream has, plus this.
    Current(i8),
}

/// What is demanded of a kept value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cond {
    Any,
    Absent,
    Present,
    /// The revision that it has, minus this; 0 if it has none.
    Current(u8),
}

type Number<'a> = &'a mut dyn FnMut(u64) -> u64;

fn index(number: Number<'_>, len: usize) -> usize {
    number(len as u64) as usize
}

fn expect(number: Number<'_>) -> Expect {
    match number(10) {
        0..=3 => Expect::Any,
        4 => Expect::NoStream,
        5 => Expect::Exists,
        6 => Expect::NotRegistered,
        7..=8 => Expect::Current(0),
        _ => Expect::Current([-1, 1][number(2) as usize]),
    }
}

/// Most pieces of a batch must be welcome, or no batch ever is.
fn mostly_any(number: Number<'_>) -> Expect {
    if number(3) > 0 { Expect::Any } else { expect(number) }
}

fn condition(number: Number<'_>) -> Cond {
    match number(8) {
        0..=2 => Cond::Any,
        3 => Cond::Absent,
        4 => Cond::Present,
        5..=6 => Cond::Current(0),
        _ => Cond::Current(1),
    }
}

fn size(number: Number<'_>) -> usize {
    match number(12) {
        0 => 0,
        1..=7 => number(60) as usize,
        8..=10 => number(1500) as usize,
        _ => number(9000) as usize,
    }
}

fn way(number: Number<'_>) -> Way {
    [Way::Call, Way::Commit, Way::Submit][number(3) as usize]
}

fn ids(number: Number<'_>) -> Ids {
    [Ids::All, Ids::All, Ids::First, Ids::Rest, Ids::None][number(5) as usize]
}

impl Piece {
    pub fn draw(number: Number<'_>) -> Piece {
        let stream = index(number, STREAMS.len());
        let name = index(number, NAMES.len());
        let consumer = index(number, CONSUMERS.len());
        match number(24) {
            0..=1 => Piece::Tenant(index(number, TENANTS.len())),
            2..=7 => Piece::Append {
                stream,
                expected: mostly_any(number),
                events: number(4) as usize,
                bytes: size(number),
                ids: ids(number),
            },
            8..=9 => Piece::Create { stream, expected: mostly_any(number), bytes: number(257) as usize },
            10..=11 => {
                let ahead = [-100, -3, -1, -1, 0, 0, 1, 5][number(8) as usize];
                Piece::Truncate { stream, expected: mostly_any(number), ahead }
            }
            12 if number(3) == 0 => Piece::Tombstone { stream, expected: mostly_any(number) },
            12 => Piece::Require { stream, expected: expect(number) },
            13..=17 => Piece::Keep { name, condition: condition(number), bytes: size(number) },
            18..=19 => Piece::Unkeep { name, condition: condition(number) },
            20..=21 => Piece::RequireKept { name, condition: condition(number) },
            _ => Piece::Acknowledge { consumer, ahead: [-100, -2, -1, 0, 0, 0, 0, 1][number(8) as usize] },
        }
    }
}

impl Op {
    /// A batch of one piece.
    pub fn one(piece: Piece, way: Way) -> Op {
        Op::Mixed { pieces: vec![piece], way }
    }

    /// Draws an operation. `number(n)` gives a number below `n`.
    pub fn draw(number: Number<'_>) -> Op {
        let stream = index(number, STREAMS.len());
        match number(40) {
            0..=6 => Op::Append {
                stream,
                expected: expect(number),
                events: number(4) as usize,
                bytes: size(number),
            },
            7..=10 => {
                let parts = (0..1 + number(4)).map(|_| {
                    (index(number, STREAMS.len()), expect(number), number(4) as usize, size(number))
                });
                let parts = parts.collect();
                let checks = (0..number(3)).map(|_| (index(number, STREAMS.len()), expect(number))).collect();
                Op::Batch { parts, checks }
            }
            11..=14 => Op::Submit {
                stream,
                expected: expect(number),
                events: 1 + number(3) as usize,
                bytes: size(number),
            },
            15..=16 => Op::Wait,
            17 if number(4) == 0 => Op::Tombstone { stream },
            17 => Op::Wait,
            18 => Op::Close,
            19 => Op::Reopen,
            20..=24 => Op::one(Piece::draw(number), way(number)),
            25..=28 => {
                let pieces = (0..1 + number(5)).map(|_| Piece::draw(number)).collect();
                Op::Mixed { pieces, way: way(number) }
            }
            29 => {
                let append = Piece::Append {
                    stream,
                    expected: mostly_any(number),
                    events: 1 + number(3) as usize,
                    bytes: size(number),
                    ids: Ids::All,
                };
                Op::Mixed {
                    pieces: vec![Piece::Tenant(index(number, TENANTS.len())), append],
                    way: way(number),
                }
            }
            30..=31 => Op::one(
                Piece::Append {
                    stream,
                    expected: expect(number),
                    events: 1 + number(3) as usize,
                    bytes: size(number),
                    ids: ids(number),
                },
                way(number),
            ),
            32..=34 => {
                let twist = match number(8) {
                    0..=2 => Twist::Exact,
                    3 => Twist::Conditions,
                    4 => Twist::Content,
                    5 => Twist::Shorter,
                    6 => Twist::Longer,
                    _ => Twist::Second,
                };
                Op::Again { back: number(6) as usize, twist, way: way(number) }
            }
            35..=38 => Op::Lazy { name: index(number, NAMES.len()), bytes: size(number) },
            _ => Op::Place {
                consumer: index(number, CONSUMERS.len()),
                ahead: [-100, -1, 0, 0, 1][number(5) as usize],
            },
        }
    }
}
