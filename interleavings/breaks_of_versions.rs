//! The breaks of the table of versions, as `breaks.rs` has those of waiting and waking.
//!
//! Owns nothing but the list. To be extended with every rule that the table gets.

use crate::breaks::Break;

/// What a reader of versions must not see.
const BACKWARD: &str = "an old version after a new one";
const MIDDLE: &str = "a version in the middle of a batch";
const STALE: &str = "another version than the view shows";

pub(crate) const VERSIONS: &str = "../src/index/versions.rs";
pub(crate) const VERSIONS_SCENARIOS: &str = "src/scenarios/versions.rs";

pub(crate) const BREAKS: &[Break] = &[
    Break {
        name: "shows_versions_that_were_not_hidden",
        file: VERSIONS,
        edits: &[("            self.slots_of(id, hash).for_each(Slot::begin);\n", "")],
        scenarios: &["versions::no_old_version_after_a_new_one"],
        complaint: BACKWARD,
    },
    Break {
        name: "hides_without_a_fence",
        file: VERSIONS,
        edits: &[(
            "            self.sequence.store(sequence + 1, Relaxed);\n            fence(Release);\n",
            "            self.sequence.store(sequence + 1, Relaxed);\n",
        )],
        scenarios: &["versions::a_stream_twice_in_a_batch"],
        complaint: MIDDLE,
    },
    Break {
        name: "does_not_look_at_the_sequence_again",
        file: VERSIONS,
        edits: &[("(self.sequence.load(Relaxed) == sequence).then_some(version)", "Some(version)")],
        scenarios: &["versions::a_stream_twice_in_a_batch"],
        complaint: MIDDLE,
    },
    Break {
        name: "looks_at_the_sequence_again_without_a_fence",
        file: VERSIONS,
        edits: &[("        fence(Acquire);\n", "")],
        scenarios: &["versions::a_stream_twice_in_a_batch"],
        complaint: MIDDLE,
    },
    Break {
        name: "trusts_a_slot_that_is_being_written",
        file: VERSIONS,
        edits: &[("sequence == 0 || sequence % 2 == 1 || !self.is_of", "sequence == 0 || !self.is_of")],
        scenarios: &["versions::a_stream_twice_in_a_batch"],
        complaint: MIDDLE,
    },
    Break {
        name: "shows_each_version_at_once",
        file: VERSIONS,
        edits: &[(
            "for_each(|slot| slot.version.store(version, Relaxed));",
            "for_each(|slot| { slot.version.store(version, Relaxed); slot.end() });",
        )],
        scenarios: &["versions::a_stream_twice_in_a_batch"],
        complaint: MIDDLE,
    },
    Break {
        name: "moves_one_slot_only",
        file: VERSIONS,
        edits: &[(
            "slots.filter(move |slot| slot.is_of(id, hash))",
            "slots.filter(move |slot| slot.is_of(id, hash)).take(1)",
        )],
        scenarios: &["versions::kept_by_two_and_moved"],
        complaint: STALE,
    },
    Break {
        name: "takes_a_place_that_is_being_written",
        file: VERSIONS,
        edits: &[("        if taken {\n            return false;\n        }\n", "")],
        scenarios: &["versions::two_streams_for_one_place"],
        complaint: STALE,
    },
    Break {
        name: "keeps_without_the_lock",
        file: VERSIONS_SCENARIOS,
        edits: &[(
            "        let view = self.view.read().unwrap();\n        self.versions.keep(",
            "        let view = *self.view.read().unwrap();\n        self.versions.keep(",
        )],
        scenarios: &["versions::kept_while_it_moves"],
        complaint: STALE,
    },
];
