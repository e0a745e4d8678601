//! Small workloads, each with a point of its own.

use crate::model::{Cond, Expect, Ids, Op, Piece, Twist, Way};

pub(super) fn append(stream: usize, events: usize, bytes: usize) -> Op {
    Op::Append { stream, expected: Expect::Any, events, bytes }
}

fn submit(stream: usize, events: usize, bytes: usize) -> Op {
    Op::Submit { stream, expected: Expect::Any, events, bytes }
}

pub(super) fn workloads() -> Vec<(&'static str, Vec<Op>)> {
    use Op::{Close, Reopen, Wait};
    let batch = |parts: &[(usize, usize, usize)]| Op::Batch {
        parts: parts.iter().map(|(stream, events, bytes)| (*stream, Expect::Any, *events, *bytes)).collect(),
        checks: vec![],
    };
    let exact = |stream, off| Op::Append { stream, expected: Expect::Current(off), events: 1, bytes: 10 };
    let many = |op: Op, n: usize| vec![op; n];
    vec![
        ("nothing", vec![]),
        ("one append", vec![append(0, 1, 10)]),
        ("an empty append", vec![append(0, 0, 0)]),
        ("three appends", many(append(0, 1, 10), 3)),
        ("payload of zeros and none", vec![append(0, 1, 0), append(1, 2, 0)]),
        ("to the byte before a page", vec![append(0, 1, 3900), append(0, 1, 1)]),
        ("across pages", many(append(0, 1, 3000), 4)),
        ("a frame of many pages", vec![append(0, 1, 30), append(1, 3, 8000), append(0, 1, 30)]),
        (
            "two streams, one prefix of the other",
            vec![append(0, 1, 9), append(1, 1, 9), append(2, 1, 9), append(0, 1, 9)],
        ),
        ("one batch over streams", vec![batch(&[(0, 1, 9), (1, 2, 50), (0, 1, 9), (3, 0, 0)])]),
        ("batches", many(batch(&[(0, 1, 700), (4, 2, 900), (5, 1, 2000)]), 3)),
        ("conditions", vec![exact(0, 0), exact(0, 0), exact(0, -1), exact(0, 1), exact(0, 0)]),
        ("a conflict on something in flight", vec![submit(0, 1, 10), exact(0, -1), Wait]),
        ("pipelined", vec![submit(0, 1, 10), submit(0, 1, 10), submit(1, 1, 10), Wait]),
        (
            "pipelined over pages",
            vec![submit(0, 1, 2500), submit(0, 1, 2500), submit(1, 1, 2500), Wait, submit(0, 1, 9), Wait],
        ),
        ("pipelined until full", [many(submit(0, 1, 6000), 5), vec![Wait]].concat()),
        ("pipelined and dropped", vec![submit(0, 1, 10), submit(0, 1, 3000), Reopen]),
        (
            "pipelined and closed",
            vec![submit(0, 1, 10), submit(0, 1, 6000), submit(0, 1, 6000), submit(0, 1, 6000), Close],
        ),
        ("tombstone", vec![append(0, 2, 9), Op::Tombstone { stream: 0 }, append(0, 1, 9), append(1, 1, 9)]),
        ("tombstone of nothing", vec![Op::Tombstone { stream: 3 }, append(3, 1, 9)]),
        ("close", vec![append(0, 1, 10), Close]),
        ("close and reopen", vec![append(0, 1, 10), Close, Reopen, append(0, 1, 10), Close]),
        ("reopen again and again", vec![Reopen, append(0, 1, 10), Reopen, Reopen, append(0, 1, 10), Reopen]),
        ("roll", [many(append(0, 2, 8000), 4), vec![append(1, 1, 9)]].concat()),
        ("roll twice", many(append(0, 3, 8900), 6)),
        ("roll, pipelined", [many(submit(0, 2, 8000), 8), vec![Wait]].concat()),
        ("roll and close", [many(append(0, 3, 8900), 3), vec![Close, Reopen, append(0, 1, 10)]].concat()),
        ("a frame that needs a larger segment", vec![append(0, 1, 9), append(0, 9, 9000), append(0, 1, 9)]),
        ("larger segments in a row", vec![append(0, 9, 9000), append(1, 12, 9000), append(0, 1, 9)]),
        (
            "a full segment, then registrations",
            [many(append(0, 3, 8900), 2), many(append(1, 0, 0), 2)].concat(),
        ),
        (
            "registrations in a batch",
            vec![batch(&[(0, 0, 0), (1, 0, 0)]), batch(&[(0, 1, 5), (1, 0, 0)]), Reopen],
        ),
        (
            "checks only",
            vec![
                append(0, 1, 9),
                Op::Batch { parts: vec![], checks: vec![(0, Expect::Exists), (1, Expect::NotRegistered)] },
                Op::Batch { parts: vec![], checks: vec![(0, Expect::NoStream)] },
            ],
        ),
        (
            "a value",
            vec![keep(0, Cond::Absent, 10), keep(0, Cond::Current(0), 20), keep(0, Cond::Current(1), 30)],
        ),
        (
            "a value over pages",
            vec![keep(0, Cond::Any, 9000), keep(0, Cond::Any, 5000), unkeep(0), keep(0, Cond::Absent, 3)],
        ),
        ("values in one batch", vec![mixed(&[kept(0, 10), kept(1, 3000), kept(0, 20)], Way::Commit); 3]),
        (
            "events and values together",
            vec![
                mixed(&[event(0, Ids::None), kept(0, 2000), acknowledged(0)], Way::Commit),
                mixed(&[kept(0, 2000), event(0, Ids::None), unkept(1), acknowledged(0)], Way::Submit),
                mixed(&[event(1, Ids::None), kept(1, 4000), unkept(0)], Way::Commit),
                Reopen,
            ],
        ),
        ("a value in flight is refused", vec![submit_kept(0, 10), keep(0, Cond::Absent, 20), Wait]),
        ("a value set lazily and lost", vec![keep(0, Cond::Any, 10), lazy(0, 20), lazy(0, 30)]),
        (
            "set lazily, then a commit",
            vec![lazy(0, 20), lazy(1, 3000), append(0, 1, 10), lazy(0, 30), append(0, 1, 10)],
        ),
        ("set lazily, then closed", vec![lazy(0, 20), lazy(1, 5000), Close, Reopen, lazy(0, 5), Reopen]),
        (
            "set lazily, then a value",
            vec![lazy(0, 20), lazy(1, 10), keep(0, Cond::Present, 30), lazy(0, 40), unkeep(0)],
        ),
        (
            "set lazily under pressure",
            [
                many(submit(0, 1, 7000), 3),
                vec![lazy(0, 8000), lazy(1, 8000), Wait],
                many(append(0, 1, 7000), 3),
            ]
            .concat(),
        ),
        (
            "lazy places",
            vec![
                append(0, 2, 10),
                Op::Place { consumer: 0, ahead: -1 },
                append(0, 1, 10),
                Op::Place { consumer: 0, ahead: 0 },
                append(0, 1, 9),
            ],
        ),
        (
            "created with attributes",
            vec![
                Op::one(Piece::Create { stream: 0, expected: Expect::NotRegistered, bytes: 256 }, Way::Call),
                Op::one(Piece::Create { stream: 0, expected: Expect::Any, bytes: 7 }, Way::Call),
                mixed(
                    &[Piece::Create { stream: 1, expected: Expect::Any, bytes: 200 }, event(0, Ids::None)],
                    Way::Commit,
                ),
            ],
        ),
        (
            "cut",
            vec![
                append(0, 5, 700),
                cut(0, -3),
                cut(0, -4),
                cut(0, 1),
                append(0, 1, 10),
                cut(0, 0),
                Reopen,
                append(0, 1, 9),
            ],
        ),
        (
            "tenants",
            vec![
                append(0, 1, 9),
                mixed(&[Piece::Tenant(0), event(0, Ids::None), event(1, Ids::None)], Way::Submit),
                mixed(&[Piece::Tenant(2), event(1, Ids::None)], Way::Call),
                mixed(&[Piece::Tenant(2), event(2, Ids::None)], Way::Call),
                Reopen,
                mixed(&[Piece::Tenant(0), event(2, Ids::None)], Way::Call),
            ],
        ),
        (
            "repeated",
            vec![
                keyed(0, 3, 10),
                again(Twist::Exact),
                again(Twist::Content),
                again(Twist::Second),
                Reopen,
                again(Twist::Exact),
            ],
        ),
        (
            "repeated in flight",
            vec![
                Op::one(event(0, Ids::All), Way::Submit),
                Op::Again { back: 0, twist: Twist::Exact, way: Way::Submit },
                Op::Again { back: 0, twist: Twist::Longer, way: Way::Submit },
                Wait,
            ],
        ),
        (
            "repeated out of the window",
            vec![
                keyed(0, 2, 10),
                keyed(1, 3, 2000),
                append(0, 4, 9),
                Op::Again { back: 1, twist: Twist::Exact, way: Way::Call },
                append(0, 9, 9),
                again(Twist::Exact),
            ],
        ),
        (
            "a repeated batch of all kinds",
            vec![
                mixed(
                    &[
                        event(0, Ids::All),
                        kept(0, 10),
                        Piece::Create { stream: 1, expected: Expect::Any, bytes: 5 },
                        acknowledged(1),
                    ],
                    Way::Commit,
                ),
                again(Twist::Exact),
                append(1, 2, 9),
                Reopen,
                Op::Tombstone { stream: 1 },
                again(Twist::Conditions),
            ],
        ),
        (
            "repeated over a roll",
            [
                vec![keyed(0, 2, 9)],
                many(append(0, 1, 8900), 6),
                vec![again(Twist::Exact), Reopen, again(Twist::Exact)],
            ]
            .concat(),
        ),
        (
            "values over rolls",
            [many(keep(0, Cond::Any, 9000), 9), vec![lazy(1, 9000), Reopen, keep(1, Cond::Current(0), 5)]]
                .concat(),
        ),
    ]
}

fn mixed(pieces: &[Piece], way: Way) -> Op {
    Op::Mixed { pieces: pieces.to_vec(), way }
}

fn event(stream: usize, ids: Ids) -> Piece {
    Piece::Append { stream, expected: Expect::Any, events: 2, bytes: 40, ids }
}

fn kept(name: usize, bytes: usize) -> Piece {
    Piece::Keep { name, condition: Cond::Any, bytes }
}

fn unkept(name: usize) -> Piece {
    Piece::Unkeep { name, condition: Cond::Any }
}

fn acknowledged(consumer: usize) -> Piece {
    Piece::Acknowledge { consumer, ahead: 0 }
}

fn keep(name: usize, condition: Cond, bytes: usize) -> Op {
    Op::one(Piece::Keep { name, condition, bytes }, Way::Call)
}

fn unkeep(name: usize) -> Op {
    Op::one(unkept(name), Way::Call)
}

fn submit_kept(name: usize, bytes: usize) -> Op {
    Op::one(kept(name, bytes), Way::Submit)
}

fn lazy(name: usize, bytes: usize) -> Op {
    Op::Lazy { name, bytes }
}

fn cut(stream: usize, ahead: i8) -> Op {
    Op::one(Piece::Truncate { stream, expected: Expect::Any, ahead }, Way::Call)
}

/// An append whose events all carry ids; expects the stream as it is, so that a repeat would meet a conflict.
fn keyed(stream: usize, events: usize, bytes: usize) -> Op {
    Op::one(Piece::Append { stream, expected: Expect::Current(0), events, bytes, ids: Ids::All }, Way::Call)
}

fn again(twist: Twist) -> Op {
    Op::Again { back: 0, twist, way: Way::Call }
}
