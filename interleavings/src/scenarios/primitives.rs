//! The checker's primitives themselves: that they are as strong as the real ones, and not stronger.

use crate::model::{Token, spawn};
use crate::sync::{AtomicU64, Generation, Ordering};
use std::sync::Arc;

fn both_look_at_the_other(ordering: Ordering, look: Ordering) {
    let numbers = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let theirs = numbers.clone();
    let other = spawn(move || {
        theirs[0].store(1, ordering);
        theirs[1].load(look)
    });
    numbers[1].store(1, ordering);
    let seen = numbers[0].load(look);
    assert_ne!((seen, other.join().unwrap()), (0, 0), "neither saw the other");
}

/// Of two who each store and then look at what the other stores, one sees the other: everything here rests on that.
pub(crate) fn a_store_and_a_look_at_the_other() {
    both_look_at_the_other(Ordering::SeqCst, Ordering::SeqCst);
}

/// With weaker orderings neither may.
pub(crate) fn a_weak_store_and_a_look_at_the_other() {
    both_look_at_the_other(Ordering::Release, Ordering::Acquire);
}

/// Who sleeps on a number is awake after it was changed and all were woken, whatever came first.
pub(crate) fn a_generation_that_changes() {
    let generation = Arc::new(Generation::default());
    let theirs = generation.clone();
    let sleeper = spawn(move || theirs.wait_while(0));
    generation.advance();
    generation.wake_all();
    sleeper.join().unwrap();
}

/// A number that changes wakes nobody by itself.
pub(crate) fn a_generation_that_changes_in_silence() {
    let generation = Arc::new(Generation::default());
    let theirs = generation.clone();
    let sleeper = spawn(move || theirs.wait_while(0));
    generation.advance();
    sleeper.join().unwrap();
}

pub(crate) fn a_token_left_and_taken() {
    let token = Token::new();
    let waker = token.waker();
    let waking = spawn(move || waker.wake());
    token.park();
    waking.join().unwrap();
}

/// A token is good for one sleep.
pub(crate) fn a_token_taken_twice() {
    let token = Token::new();
    let waker = token.waker();
    let waking = spawn(move || waker.wake());
    token.park();
    token.park();
    waking.join().unwrap();
}
