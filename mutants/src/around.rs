//! Mutants of what the engine stands on, and of what stands on it: format, index, storage, consumers.
//!
//! Owns their list, and nothing of how they are tried.

use crate::Mutant;

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "give out a replay that was withdrawn while it was looked up",
        file: "src/consumer/lanes.rs",
        from: "let wanted = self.announced.remove(&work.event.position());",
        to: "let wanted = self.announced.remove(&work.event.position()) || true;",
        tests: &["hunted::consuming"],
    },
    Mutant {
        name: "what stands behind an empty slot is somebody's",
        file: "src/format/cell.rs",
        from: "left: alike & !(u32::MAX << first)",
        to: "left: alike",
        tests: &["cell::"],
    },
    Mutant {
        name: "a bucket that is full says all",
        file: "src/layer/search.rs",
        from: "if !is_full {",
        to: "if true || is_full {",
        tests: &["layer::"],
    },
    Mutant {
        name: "keep all else waiting while layers are merged",
        file: "src/layer/part.rs",
        from: "bytes: &[u8]) -> Result<(), MakeError> {\n        (self.meanwhile)()?;\n",
        to: "bytes: &[u8]) -> Result<(), MakeError> {\n",
        tests: &["layer::"],
    },
    Mutant {
        name: "merge layers without the tenants' new numbers",
        file: "src/layer/merge.rs",
        from: "let row = StreamRow { tenant: tenant.copied().unwrap_or(0), ..row };",
        to: "let _ = tenant;",
        tests: &["layer::"],
    },
    Mutant {
        name: "take the run for granted that would be the right one if all were of one length",
        file: "src/layer/reader.rs",
        from: "() if run.last_version() < version => (at + 1, end),\n            () if run.first_version > version => (first, at),\n            ",
        to: "",
        tests: &["layer::"],
    },
    Mutant {
        name: "change the index files without telling",
        file: "src/format/row.rs",
        from: "const BOUND_HERE: u16 = 4;",
        to: "const BOUND_HERE: u16 = 8;",
        tests: &["golden::index"],
    },
    Mutant {
        name: "a merged row forgets that the stream was bound in the older range",
        file: "src/layer/merge.rs",
        from: "        bound_here: old.bound_here || new.bound_here,\n",
        to: "",
        tests: &["golden::index"],
    },
    Mutant {
        name: "a group's place stays behind what was acknowledged plainly",
        file: "src/consumer/group.rs",
        from: "        if place > before.max(position) {\n",
        to: "        if place < before {\n",
        tests: &["groups::the_place_passes"],
    },
    Mutant {
        name: "a repeated result acknowledges nothing",
        file: "src/consumer/group.rs",
        from: "        if appended.repeated {\n",
        to: "        if appended.repeated && work.replayed {\n",
        tests: &["groups::a_result_with_an_id"],
    },
    Mutant {
        name: "make buckets of rows that were read wrong",
        file: "src/layer/buckets.rs",
        from: "let len = sound(row, draft.salt, rows.offset + place).map_err(|_| wrong())?;",
        to: "let len = (u32_at(row, 8) as usize).max(ROW_HEAD_BYTES);",
        tests: &["buckets::tests"],
    },
    Mutant {
        name: "move a consumer after its marks are gone",
        file: "src/consumer/named.rs",
        from: "    if value.is_some() {\n",
        to: "    if value.is_some() && names.is_empty() {\n",
        tests: &["consumers::a_seek_that_fails"],
    },
    Mutant {
        name: "believe a damaged bucket that a stream is not there",
        file: "src/layer/search.rs",
        from: "            self.prove_bucket(buckets, bucket, &raw)?;\n",
        to: "",
        tests: &["layers", "layer::"],
    },
    Mutant {
        name: "follow a bad length",
        file: "src/format/frame.rs",
        from: "        at_most(\"end of the frame\", place.end_max, place.offset + body_at + body_len)?;\n",
        to: "",
        tests: &["frame", "damage"],
    },
    Mutant {
        name: "believe an event without its checksum",
        file: "src/format/record.rs",
        from: "            expect_checksum(\"event\", crc32(&bytes[4..]), u32_at(bytes, 0))?;\n        }\n        let type_len",
        to: "        }\n        let type_len",
        tests: &["record", "damage"],
    },
    Mutant {
        name: "let a group's place pass what is open",
        file: "src/consumer/group.rs",
        from: "self.lanes.first_open().map_or(read, |first| first - 1).max(self.begun_at)",
        to: "read.max(self.begun_at)",
        tests: &["groups"],
    },
    Mutant {
        name: "leave no mark of what is done exactly once",
        file: "src/consumer/group.rs",
        from: "batch.keep_reserved(&at_position(&marks, position), Some(&[]))",
        to: "batch",
        tests: &["groups"],
    },
    Mutant {
        name: "give out two events of a stream at once",
        file: "src/consumer/lanes.rs",
        from: "                lane.busy = true;\n                return Some(work);",
        to: "                return Some(work);",
        tests: &["groups"],
    },
];
