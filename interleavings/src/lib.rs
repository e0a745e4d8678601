//! Runs the protocols of waiting and waking, and of the table of versions, through the interleavings of their threads: `cargo
//! test --release -p interleavings`.
//!
//! Compiles the very files of the crate, `progress.rs`, `watchers.rs` and `wake.rs` of `src/engine` and `versions.rs` of
//! `src/index`, with loom's primitives in the place of `src/sync.rs`. Loom runs a scenario once for each order of its threads'
//! steps that can make a difference, and fails if all threads sleep: that is what a lost wake-up looks like. All orders are
//! explored, but where `tests` names a number: there, all in which a thread that could go on is interrupted at most so often in
//! total. Two minutes on one core.
//!
//! Owns the scenarios, the checker's primitives (`sync.rs`), and models of the callers, who have the other half of the
//! protocol: the publisher of `commit.rs`, the subscription's `poll_event`, the handle's `poll`. These are copies, to be kept
//! like the originals. Owns, too, what shows that the scenarios can fail: `breaks.rs` breaks the sources and the models, one
//! rule at a time, and for each break a scenario must be seen to fail, with at most three interruptions.
//!
//! Must never change what it compiles, ask it for a `cfg`, or be built into the crate. Does not check what is no part of the
//! protocol: sleeps that end for no reason, a generation that comes round after 2^32 wakes, time limits. A scenario has no two
//! keys in one hash map: in which order these come out is not the checker's to choose.
#![cfg(test)]

mod engine;
mod error;
mod index;
mod model;
mod scenarios;
mod sync;
#[path = "../../src/types.rs"]
#[allow(dead_code)]
mod types;

/// The sources and models, each time with another rule broken, and the tests that see it.
#[allow(unused, clippy::all)]
mod broken {
    include!(concat!(env!("OUT_DIR"), "/broken.rs"));
}

/// The scenarios, over the sources as they are.
mod tests {
    /// One test for each scenario, with at most so many preemptions where a number is named.
    macro_rules! explored {
        ($module:ident: $($scenario:ident $(at most $preemptions:literal)?,)*) => {
            mod $module {
                $(#[test]
                fn $scenario() {
                    crate::model::explore([$($preemptions)?].first().copied(), crate::scenarios::$module::$scenario);
                })*
            }
        };
    }

    explored! { primitives:
        a_store_and_a_look_at_the_other,
        a_generation_that_changes,
        a_token_left_and_taken,
    }

    explored! { progress:
        sequenced_is_reached_at_once,
        written,
        written_by_one_that_goes_on,
        synced,
        synced_for_one_awake,
        failed_for_one_awake at most 4,
        two_levels_of_one_batch at most 4,
        two_lanes at most 5,
        the_neighbour_ends_first,
        woken_for_a_batch_before at most 8,
        failed at most 5,
        failed_after_the_write at most 4,
        one_is_durable_the_next_fails at most 5,
        a_panic_elsewhere_during_a_commit at most 3,
        polled,
        polled_while_the_neighbour_ends,
        polled_and_failed,
        polled_by_two_tasks at most 5,
    }

    explored! { watchers:
        one_event_of_everything,
        one_event_of_a_stream,
        one_event_of_a_prefix,
        everything,
        a_stream,
        a_stream_beside_another,
        a_prefix,
        a_prefix_beside_another,
        two_subscribers at most 4,
        two_subscribers_of_one_stream at most 5,
        forgotten_while_it_wakes_of_everything,
        forgotten_while_it_wakes_of_a_stream,
        forgotten_while_it_wakes_of_a_prefix,
        forgotten_before_another,
        cancelled,
        cancelled_while_it_wakes at most 6,
        closed_for_everything,
        closed_for_a_stream,
        closed_for_a_prefix,
        closed_for_one_who_does_not_look,
        poisoned_for_everything,
        poisoned_for_a_stream,
        poisoned_for_a_prefix,
        poisoned_then_closed,
        poisoned_during_a_commit at most 6,
        polled_by_two_tasks,
        given_up_and_tried_again,
    }

    explored! { versions:
        a_version_moves,
        no_old_version_after_a_new_one at most 4,
        a_stream_twice_in_a_batch,
        kept_while_it_moves at most 4,
        kept_by_two_and_moved at most 3,
        two_streams_for_one_place at most 4,
        a_place_is_taken_while_it_is_read at most 4,
    }

    /// The checker's primitives are not stronger than the real ones.
    mod primitives_are_no_stronger {
        use crate::model::finds;
        use crate::scenarios::primitives;

        #[test]
        fn a_weak_store_and_a_look_at_the_other() {
            finds("neither saw the other", primitives::a_weak_store_and_a_look_at_the_other);
        }

        #[test]
        fn a_generation_that_changes_in_silence() {
            finds("deadlock", primitives::a_generation_that_changes_in_silence);
        }

        #[test]
        fn a_token_taken_twice() {
            finds("deadlock", primitives::a_token_taken_twice);
        }
    }
}
