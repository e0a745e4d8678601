//! Breaks the crate on purpose, one guarantee at a time, and demands that a test fails.
//!
//! `cargo run --release -p mutants` copies the tracked files to `target/mutants/tree`, applies one change at a time there, and
//! runs the tests named beside it. A mutant that lives, or a change that no longer applies, makes the command fail. Some twenty
//! minutes on two cores. With a word as argument: only the mutants whose names contain it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

struct Mutant {
    name: &'static str,
    file: &'static str,
    /// Must occur exactly once in the file.
    from: &'static str,
    to: &'static str,
    /// Filters of the test runs, each of which may catch it.
    tests: &'static [&'static str],
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "fold a run of which only a part is wanted",
        file: "src/engine/folding.rs",
        from: "let whole = extent.wanted.start <= first_version && run.last_version() < extent.wanted.end;",
        to: "let whole = extent.wanted.start <= first_version;",
        tests: &["folding"],
    },
    Mutant {
        name: "fold the events of a run once more before the one that is wrong",
        file: "src/engine/folding.rs",
        from: "                (self.here, self.left) = (here, left);\n",
        to: "                let _ = (here, left);\n",
        tests: &["folding"],
    },
    Mutant {
        name: "fold a section without asking whose it is",
        file: "src/engine/runs.rs",
        from: "let first_at = self.prove(bytes, segment, start)?;",
        to: "let first_at = self.prove(bytes, segment, start).unwrap_or_else(|_| IdBlock::skip(bytes));",
        tests: &["folding"],
    },
    Mutant {
        name: "leave an index file behind that could not be made",
        file: "src/engine/layering.rs",
        from: "            if step.is_err() {",
        to: "            if false && step.is_err() {",
        tests: &["layers::a_file_that_could_not"],
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
        name: "an append in memory that is awaited keeps the thread to itself",
        file: "src/engine/pending.rs",
        from: "mem::take(&mut this.gives_way)",
        to: "false && mem::take(&mut this.gives_way)",
        tests: &["calls::memory_commits_at_once"],
    },
    Mutant {
        name: "hand what is submitted in memory to another thread",
        file: "src/engine/commit.rs",
        from: "self.see_to_it(seq, written && self.options.background && self.storage.is_memory())",
        to: "self.see_to_it(seq, written && self.storage.name().is_empty())",
        tests: &["calls::memory_commits_at_once"],
    },
    Mutant {
        name: "write zeros ahead of a log that is filled in bulk",
        file: "src/engine/maintenance.rs",
        from: "let more_at = if in_bulk {",
        to: "let more_at = if in_bulk && used == 0 {",
        tests: &["space::space_is_zeroed"],
    },
    Mutant {
        name: "let what is frozen wait for the end of a merge",
        file: "src/engine/layering.rs",
        from: "            while self.settle_oldest(next_number, stop)? {}\n",
        to: "",
        tests: &["layers::a_merge_keeps"],
    },
    Mutant {
        name: "tell nobody that who waited a turn needs space",
        file: "src/engine/sequencer.rs",
        from: "                        self.need_space(bytes);\n",
        to: "                        self.needs_space = Some(bytes);\n",
        tests: &["space::space_is_found_for_who_waited"],
    },
    Mutant {
        name: "find no space for who does not wait for it",
        file: "src/engine/log.rs",
        from: "            seq.want_space(bytes);\n",
        to: "            drop(bytes);\n",
        tests: &["space::space_is_found_for_who_does_not"],
    },
    Mutant {
        name: "write no zeros for the rest of a segment after a bulk load",
        file: "src/engine/stamp.rs",
        from: "if was_in_bulk && !self.is_filled_in_bulk() {",
        to: "if was_in_bulk && self.zero_at == 0 {",
        tests: &["space::zeros_come_back"],
    },
    Mutant {
        name: "make a segment of a spare whose sync failed",
        file: "src/engine/maintenance.rs",
        from: "            spoiled = spare.fault().cloned();\n",
        to: "",
        tests: &["space::a_spare_whose_sync_failed"],
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
        name: "offer a spare without asking who else does",
        file: "src/engine/maintenance.rs",
        from: "        let mut spare = self.spare.lock();\n        let found = self.find_space(&mut spare);\n",
        to: "        let found = self.find_space(&mut self.spare.lock());\n        let spare = ();\n",
        tests: &["space::a_spare_becomes"],
    },
    Mutant {
        name: "close the log beside those who still make files",
        file: "src/engine/lifecycle.rs",
        from: "            lock = self.lock.write().take();\n",
        to: "            let _: &Option<crate::storage::Lock> = &lock;\n",
        tests: &["space::to_close_waits"],
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
        name: "take any append with an acknowledgement for a repeat",
        file: "src/engine/repeat.rs",
        from: "|| !block.id.starts_with(RESERVED)",
        to: "|| block.id.starts_with('\\0')",
        tests: &["groups::a_result_with_an_id"],
    },
    Mutant {
        name: "a cursor takes the end of a broken index for the end of the stream",
        file: "src/engine/cursor.rs",
        from: "(Ok(false), None) => self.extent.shared.view.read().broken.clone().map_or(Ok(false), Err),\n",
        to: "",
        tests: &["layers::who_cannot_know"],
    },
    Mutant {
        name: "make buckets of rows that were read wrong",
        file: "src/layer/buckets.rs",
        from: "let len = sound(row, draft.salt, rows.offset + place).map_err(|_| wrong())?;",
        to: "let len = (u32_at(row, 8) as usize).max(ROW_HEAD_BYTES);",
        tests: &["buckets::tests"],
    },
    Mutant {
        name: "forget a lazily set value that a condition in the queue follows",
        file: "src/engine/lazies.rs",
        from: "        state.followed = state.sets;\n",
        to: "",
        tests: &["lazily::a_condition_in"],
    },
    Mutant {
        name: "refuse for space who came during the attempt",
        file: "src/engine/sequencer.rs",
        from: "is_some_and(|slot| slot.number < queued)",
        to: "is_some_and(|slot| slot.number < u64::MAX.max(queued))",
        tests: &["space::who_comes_during"],
    },
    Mutant {
        name: "take away a segment that cannot grow",
        file: "src/engine/maintenance.rs",
        from: "                found.ready = ready(spare);\n",
        to: "                found.ready = ready(spare).filter(|_| found.fault.is_none());\n",
        tests: &["space::a_segment_that_cannot_grow"],
    },
    Mutant {
        name: "say of a repeat on a poisoned log that it was not written",
        file: "src/engine/sequencer.rs",
        from: "            Ok(Some(seen)) => return seen,\n            Ok(None) => Outcome",
        to: "            Ok(_) => Outcome",
        tests: &["repeats::a_repeat_on_a_poisoned"],
    },
    Mutant {
        name: "close on the thread that commits",
        file: "src/engine/log.rs",
        from: "self.shared.is_own_thread() || self.shared.sequencer().is_driven_here()",
        to: "self.shared.is_own_thread()",
        tests: &["calls::a_waker_may_hold"],
    },
    Mutant {
        name: "let the second who closes go before the directory is free",
        file: "src/engine/lifecycle.rs",
        from: "while waits && !seq.left {",
        to: "while waits && !seq.left && seq.phase == Phase::Closing {",
        tests: &["calls::to_close_at_the_same_time"],
    },
    Mutant {
        name: "make a spare anew for nobody",
        file: "src/engine/maintenance.rs",
        from: "            (seq.ready, seq.disk_full) = (None, spoiled);\n",
        to: "            seq.ready = None;\n            return true;\n",
        tests: &["space::a_spare_that_cannot"],
    },
    Mutant {
        name: "forget what somebody who does not wait wanted",
        file: "src/engine/maintenance.rs",
        from: "seq.wants_space.take().max(seq.needs_space)",
        to: "seq.needs_space",
        tests: &["space::the_next_blocking_call"],
    },
    Mutant {
        name: "move a consumer after its marks are gone",
        file: "src/consumer/named.rs",
        from: "    if value.is_some() {\n",
        to: "    if value.is_some() && names.is_empty() {\n",
        tests: &["consumers::a_seek_that_fails"],
    },
    Mutant {
        name: "write no more zeros once they are ahead",
        file: "src/engine/stamp.rs",
        from: "let due = self.open.end() >= self.zero_at;",
        to: "let due = self.zero_at == 0;",
        tests: &["space::zeros_keep_ahead"],
    },
    Mutant {
        name: "a hint of work that is being done keeps the writer from staying awake",
        file: "src/engine/writer.rs",
        from: "        hint.store(false, Ordering::Relaxed);\n        let idle_since",
        to: "        let idle_since",
        tests: &["writer::tests"],
    },
    Mutant {
        name: "show the streams of a batch one after the other",
        file: "src/engine/commit.rs",
        from: "        self.versions.hide(batch.moves());\n",
        to: "",
        tests: &["threads"],
    },
    Mutant {
        name: "forget the states that are not visible yet",
        file: "src/engine/head.rs",
        from: "if self.table.len() > SETTLED_MAX {\n            self.table.retain(|(_, _, head)| head.batch > batch);",
        to: "{\n            self.table.retain(|(_, _, head)| head.batch > batch + 1);",
        tests: &["model", "calls"],
    },
    Mutant {
        name: "believe a damaged bucket that a stream is not there",
        file: "src/layer/search.rs",
        from: "            self.prove_bucket(buckets, bucket, &raw)?;\n",
        to: "",
        tests: &["layers", "layer::"],
    },
    Mutant {
        name: "believe that a log was closed which goes on",
        file: "src/engine/recovery.rs",
        from: "            reopen(storage, closed)?;\n",
        to: "",
        tests: &["crash", "layers"],
    },
    Mutant {
        name: "skip the directory sync of a new segment",
        file: "src/engine/spare.rs",
        from: "storage.sync_directory().map_err(|error| IoFault::new(\"sync the directory of\", &name, &error))?;",
        to: "",
        tests: &["crash"],
    },
    Mutant {
        name: "retry a failed sync",
        file: "src/engine/commit.rs",
        from: "live.file.sync().map_err(|error| fault(\"sync\", error))?;\n        batch.bytes.truncate(end);",
        to: "live.file.sync().or_else(|_| live.file.sync()).map_err(|error| fault(\"sync\", error))?;\n        batch.bytes.truncate(end);",
        tests: &["crash"],
    },
    Mutant {
        name: "acknowledge without a sync",
        file: "src/engine/commit.rs",
        from: "live.file.sync().map_err(|error| fault(\"sync\", error))?;\n        batch.bytes.truncate(end);",
        to: "batch.bytes.truncate(end);",
        tests: &["crash"],
    },
    Mutant {
        name: "show a batch before it is durable",
        file: "src/engine/commit.rs",
        from: "            self.write(&mut batch)?;\n            self.publish(&batch);",
        to: "            self.publish(&batch);\n            self.write(&mut batch)?;",
        tests: &["crash", "calls"],
    },
    Mutant {
        name: "trust the page cache at recovery",
        file: "src/engine/last_segment.rs",
        from: "let sure = file.read_device(offset, buffer).map_err(fault)?;",
        to: "let sure = crate::storage::DeviceRead::Direct;\n        file.read_at(offset, buffer).map_err(fault)?;",
        tests: &["crash"],
    },
    Mutant {
        name: "show what was found without syncing it",
        file: "src/engine/last_segment.rs",
        from: "file.sync().map_err(|error| open_fault(\"sync\", &segment_name(ordinal), &error))?;",
        to: "",
        tests: &["crash"],
    },
    Mutant {
        name: "follow a bad length",
        file: "src/format/frame.rs",
        from: "        at_most(\"end of the frame\", place.end_max, place.offset + body_at + body_len)?;\n",
        to: "",
        tests: &["frame", "damage"],
    },
    Mutant {
        name: "zero a live segment",
        file: "src/engine/maintenance.rs",
        from: "        let more_at = ",
        to: "        let live = self.live.lock().clone();\n        let _ = live.file.write_zeros(crate::format::FIRST_FRAME, 4096);\n        let more_at = ",
        tests: &["crash"],
    },
    Mutant {
        name: "take the first batch before the footer is durable",
        file: "src/engine/commit.rs",
        from: "        Ok(live.file.sync().map_err(|error| fault(\"sync\", error))?)\n",
        to: "        Ok(())\n",
        tests: &["crash"],
    },
    Mutant {
        name: "stamp batch_start wrong",
        file: "src/engine/stamp.rs",
        from: "            batch_start: self.open.start,",
        to: "            batch_start: offset,",
        tests: &["crash"],
    },
    Mutant {
        name: "take damage for a torn tail",
        file: "src/engine/diagnosis.rs",
        from: "(true, Zeros, Rest::Witness) => Verdict::Corrupt,",
        to: "(true, Zeros, Rest::Witness) => Verdict::TornTail,",
        tests: &["damage"],
    },
    Mutant {
        name: "leave the torn bytes where they are",
        file: "src/engine/last_segment.rs",
        from: "self.clear(file, at.segment, page_at, &pages)?;",
        to: "",
        tests: &["damage", "crash"],
    },
    Mutant {
        name: "answer a conflict before it is durable",
        file: "src/engine/commit.rs",
        from: "let level = if sequenced.written { level } else { Durability::Synced };\n        match self.wait_batch",
        to: "let level = if sequenced.written { level } else { Durability::Sequenced };\n        match self.wait_batch",
        tests: &["crash"],
    },
    Mutant {
        name: "believe an event without its checksum",
        file: "src/format/record.rs",
        from: "            expect_checksum(\"event\", crc32(&bytes[4..]), u32_at(bytes, 0))?;\n        }\n        let type_len",
        to: "        }\n        let type_len",
        tests: &["record", "damage"],
    },
    Mutant {
        name: "let two writers in",
        file: "src/engine/log.rs",
        from: "let Some(lock) = lock else { return Err(OpenError::AlreadyOpen { path: storage.name() }) };",
        to: "let lock = lock.unwrap_or_else(|| Box::new(()));",
        tests: &["only_one_writer"],
    },
    Mutant {
        name: "ignore the checkpoint",
        file: "src/engine/last_segment.rs",
        from: "        self.check_checkpoint(header.log_id, first)?;\n",
        to: "",
        tests: &["damage"],
    },
    Mutant {
        name: "assign before space is known",
        file: "src/engine/sequencer.rs",
        from: "let fits =\n            !self.tail.sealed && self.tail.reserved && end + bytes <= self.tail.header.frames_end_max();",
        to: "let fits = true;",
        tests: &["crash"],
    },
    Mutant {
        name: "go on after poison",
        file: "src/engine/sequencer.rs",
        from: "if let Some((_, cause)) = &self.poisoned {\n            return Some",
        to: "if let Some((_, cause)) = &self.poisoned && false {\n            return Some",
        tests: &["calls"],
    },
    Mutant {
        name: "take a repeat for granted without comparing it",
        file: "src/engine/repeat.rs",
        from: "if !entries.iter().zip(&self.drafts).all(same) || body != self.body.get(..end)? {",
        to: "if !entries.iter().zip(&self.drafts).all(same) {",
        tests: &["properties"],
    },
    Mutant {
        name: "forget the ids at open",
        file: "src/engine/log.rs",
        from: "(window == 0 || view.visible.position == 0).then(|| RecentIds::new(window));",
        to: "Some(RecentIds::new(window));",
        tests: &["properties"],
    },
    Mutant {
        name: "answer a conflict of a kept value before it is durable",
        file: "src/engine/conditions.rs",
        from: "return Err(Refusal::Told(error, head.batch));\n            }\n            heads.kept",
        to: "return Err(Refusal::Told(error, 0));\n            }\n            heads.kept",
        tests: &["winners", "crash"],
    },
    Mutant {
        name: "let another tenant write",
        file: "src/engine/conditions.rs",
        from: "&& named != bound",
        to: "&& false",
        tests: &["properties"],
    },
    Mutant {
        name: "forget a lazily set value before the index shows it",
        file: "src/engine/lazies.rs",
        from: "state.values.retain(|_, lazy| lazy.batch.is_none_or(|of| of > batch));",
        to: "state.values.retain(|_, lazy| lazy.batch.is_none_or(|of| of > batch + 1));",
        tests: &["lazies"],
    },
    Mutant {
        name: "write lazily set values last",
        file: "src/engine/sequencer.rs",
        from: "self.stamp_lazies_before(follows, now, view)?;",
        to: "",
        tests: &["properties"],
    },
    Mutant {
        name: "sleep without arming",
        file: "src/engine/watchers.rs",
        from: "tables.list(&watcher.key).push(watcher.clone());",
        to: "",
        tests: &["follow"],
    },
    Mutant {
        name: "give a subscription what is there twice",
        file: "src/engine/subscription.rs",
        from: "let query = self.query.clone().after(self.place).limit(u64::MAX);",
        to: "let query = self.query.clone().after(self.place.saturating_sub(1)).limit(u64::MAX);",
        tests: &["follow"],
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

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_owned);
    let only = std::env::args().nth(1).unwrap_or_default();
    let tree = root.join("target/mutants/tree");
    if let Err(error) = copy_tracked(&root, &tree) {
        eprintln!("cannot copy the tree: {error}");
        return ExitCode::FAILURE;
    }
    let mut alive = 0;
    let mut killed = 0;
    for mutant in MUTANTS.iter().filter(|mutant| mutant.name.contains(&only)) {
        match survives(&tree, mutant) {
            Ok(None) => {
                alive += 1;
                println!("ALIVE   {}", mutant.name);
            }
            Ok(Some(test)) => {
                killed += 1;
                println!("caught  {} (by `{test}`)", mutant.name);
            }
            Err(error) => {
                alive += 1;
                println!("BROKEN  {}: {error}", mutant.name);
            }
        }
    }
    println!("{killed} mutants caught, {alive} not");
    if alive == 0 && killed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Copies what git tracks, as it stands in the work tree.
fn copy_tracked(root: &Path, tree: &Path) -> std::io::Result<()> {
    let _ = fs::remove_dir_all(tree);
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output()?;
    for name in String::from_utf8_lossy(&listed.stdout).split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (root.join(name), tree.join(name));
        if from.is_file() {
            fs::create_dir_all(to.parent().unwrap_or(tree))?;
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

/// The test run that caught the mutant, if one did.
fn survives(tree: &Path, mutant: &Mutant) -> Result<Option<&'static str>, String> {
    let path = tree.join(mutant.file);
    let original = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    if original.matches(mutant.from).count() != 1 {
        return Err(format!("the text to change does not occur exactly once in {}", mutant.file));
    }
    fs::write(&path, original.replacen(mutant.from, mutant.to, 1)).map_err(|error| error.to_string())?;
    let verdict = run(tree, mutant);
    fs::write(&path, original).map_err(|error| error.to_string())?;
    verdict
}

fn run(tree: &Path, mutant: &Mutant) -> Result<Option<&'static str>, String> {
    let cargo = |args: &[&str]| {
        let target = tree.with_file_name("build");
        // A mutant may well hang where the crate does not: that counts as caught, after five minutes.
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", "300", "cargo"])
            .args(args)
            .current_dir(tree)
            .env("CARGO_TARGET_DIR", target)
            .env("RUST_BACKTRACE", "0");
        command.output().map_err(|error| error.to_string())
    };
    // A mutant that does not compile proves nothing.
    let built = cargo(&["test", "--no-run", "--lib", "--test", "it"])?;
    if !built.status.success() {
        return Err(format!("does not compile:\n{}", String::from_utf8_lossy(&built.stderr)));
    }
    for test in mutant.tests {
        if !cargo(&["test", "--lib", "--test", "it", "--no-fail-fast", "--", test])?.status.success() {
            return Ok(Some(test));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sources move on: a mutant whose change applies no longer breaks nothing.
    #[test]
    fn every_mutant_still_applies() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for mutant in MUTANTS {
            let source = fs::read_to_string(root.join(mutant.file)).unwrap();
            assert_eq!(source.matches(mutant.from).count(), 1, "{} in {}", mutant.name, mutant.file);
        }
    }
}
