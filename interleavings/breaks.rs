//! The breaks: what is changed in the sources or in the models of their callers, and which scenarios must find it.
//!
//! Owns nothing but the list. To be extended with every rule that the protocol gets.

pub(crate) struct Break {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    /// What is changed to what, one after the other. Each text must occur exactly once.
    pub(crate) edits: &'static [(&'static str, &'static str)],
    /// The scenarios that find it.
    pub(crate) scenarios: &'static [&'static str],
    /// What the checker says then.
    pub(crate) complaint: &'static str,
}

/// Everybody who is left sleeps.
const ASLEEP: &str = "deadlock";

pub(crate) const PROGRESS: &str = "../src/engine/progress.rs";
pub(crate) const WATCHERS: &str = "../src/engine/watchers.rs";
pub(crate) const PROGRESS_SCENARIOS: &str = "src/scenarios/progress.rs";
pub(crate) const LOG: &str = "src/scenarios/log.rs";

/// In each, one rule is broken and everything else is as it was; two, where they guard the same thing.
pub(crate) const BREAKS: &[Break] = &[
    Break {
        name: "does_not_count_itself",
        file: PROGRESS,
        edits: &[
            ("lane.sleepers.add(1);", "lane.sleepers.add(0);"),
            ("lane.sleepers.take(1);", "lane.sleepers.take(0);"),
        ],
        scenarios: &["progress::synced", "progress::failed"],
        complaint: ASLEEP,
    },
    // Neither of the two alone loses a wake-up: who has looked too early finds another generation when it goes to sleep, and
    // who is counted too late looks after that.
    Break {
        name: "looks_before_it_counts_itself_and_is_counted_before_the_generation_changes",
        file: PROGRESS,
        edits: &[
            ("            let reached = self.look(batch, level);\n", ""),
            (
                "            lane.sleepers.add(1);",
                "            let reached = self.look(batch, level);\n            lane.sleepers.add(1);",
            ),
            (
                "        self.generation.advance();\n        if self.sleepers.get() > 0 {",
                "        let none = self.sleepers.get() == 0;
        self.generation.advance();
        if !none {",
            ),
        ],
        scenarios: &["progress::synced", "progress::failed"],
        complaint: ASLEEP,
    },
    Break {
        name: "counts_itself_early_after_it_looks",
        file: PROGRESS,
        edits: &[
            ("            lane.early_sleepers.add(early);\n", ""),
            (
                "if reached == Reached::NotYet {\n                lane",
                "lane.early_sleepers.add(early);
            if reached == Reached::NotYet {
                lane",
            ),
        ],
        scenarios: &["progress::written"],
        complaint: ASLEEP,
    },
    Break {
        name: "does_not_count_itself_early",
        file: PROGRESS,
        edits: &[("u32::from(level < Durability::Synced)", "0")],
        scenarios: &["progress::written", "progress::the_neighbour_ends_first"],
        complaint: ASLEEP,
    },
    Break {
        name: "asks_for_the_generation_after_it_looks",
        file: PROGRESS,
        edits: &[
            ("            let generation = lane.generation.get();\n", ""),
            ("wait_while(generation)", "wait_while(lane.generation.get())"),
        ],
        scenarios: &["progress::synced"],
        complaint: ASLEEP,
    },
    Break {
        name: "wakes_without_a_new_generation",
        file: PROGRESS,
        edits: &[("        self.generation.advance();\n", "")],
        scenarios: &["progress::synced"],
        complaint: ASLEEP,
    },
    Break {
        name: "a_new_generation_after_the_wake",
        file: PROGRESS,
        edits: &[
            ("        self.generation.advance();\n", ""),
            (
                "self.generation.wake_all();\n        }",
                "self.generation.wake_all();\n        }\n        self.generation.advance();",
            ),
        ],
        scenarios: &["progress::synced"],
        complaint: ASLEEP,
    },
    Break {
        name: "wakes_threads_before_it_advances",
        file: PROGRESS,
        edits: &[
            ("        self.lane(batch).wake();\n", ""),
            (
                "        self.durable.store(",
                "        self.lane(batch).wake();\n        self.durable.store(",
            ),
        ],
        scenarios: &["progress::synced"],
        complaint: ASLEEP,
    },
    Break {
        name: "counts_early_sleepers_before_it_advances",
        file: PROGRESS,
        edits: &[
            (
                "pub(crate) fn advance_written(&self, batch: u64) {
        self.written.store(batch, Ordering::SeqCst);
",
                "pub(crate) fn advance_written(&self, batch: u64) {\n",
            ),
            (
                "if lane.early_sleepers.get() > 0 {",
                "let none = lane.early_sleepers.get() == 0;
        self.written.store(batch, Ordering::SeqCst);
        if !none {",
            ),
        ],
        scenarios: &["progress::written"],
        complaint: ASLEEP,
    },
    Break {
        name: "wakes_tasks_before_it_advances",
        file: PROGRESS,
        edits: &[
            ("        self.wake_pollers(batch);\n", ""),
            ("        self.durable.store(", "        self.wake_pollers(batch);\n        self.durable.store("),
        ],
        scenarios: &["progress::polled"],
        complaint: ASLEEP,
    },
    Break {
        name: "wakes_the_other_lane",
        file: PROGRESS,
        edits: &[(
            "        self.lane(batch).wake();\n",
            "        self.lane(batch + 1).wake();\n",
        )],
        scenarios: &["progress::synced", "progress::two_lanes"],
        complaint: ASLEEP,
    },
    Break {
        name: "a_failure_wakes_one_lane",
        file: PROGRESS,
        edits: &[("self.lanes.iter().for_each(Lane::wake);", "self.lane(batch).wake();")],
        scenarios: &["progress::failed"],
        complaint: ASLEEP,
    },
    Break {
        name: "a_failure_is_told_before_it_is_known",
        file: PROGRESS,
        edits: &[
            ("        self.failed.store(batch, Ordering::SeqCst);\n", ""),
            (
                "        self.wake_pollers(u64::MAX);\n",
                "        self.wake_pollers(u64::MAX);\n        self.failed.store(batch, Ordering::SeqCst);\n",
            ),
        ],
        scenarios: &["progress::failed", "progress::polled_and_failed"],
        complaint: ASLEEP,
    },
    Break {
        name: "a_failure_wakes_no_later_tasks",
        file: PROGRESS,
        edits: &[("self.wake_pollers(u64::MAX)", "self.wake_pollers(batch)")],
        scenarios: &["progress::a_panic_elsewhere_during_a_commit"],
        complaint: ASLEEP,
    },
    Break {
        name: "advances_with_a_weaker_ordering",
        file: PROGRESS,
        edits: &[(
            "advance_written(&self, batch: u64) {\n        self.written.store(batch, Ordering::SeqCst);",
            "advance_written(&self, batch: u64) {\n        self.written.store(batch, Ordering::Release);",
        )],
        scenarios: &["progress::written"],
        complaint: ASLEEP,
    },
    Break {
        name: "looks_with_a_weaker_ordering",
        file: PROGRESS,
        edits: &[("if bound.load(Ordering::SeqCst)", "if bound.load(Ordering::Acquire)")],
        scenarios: &["progress::written"],
        complaint: ASLEEP,
    },
    Break {
        name: "looks_at_the_failure_last",
        file: PROGRESS,
        edits: &[
            ("        let failed = self.failed.load(Ordering::SeqCst);\n", ""),
            (
                "        if failed <= batch {",
                "        let failed = self.failed.load(Ordering::SeqCst);\n        if failed <= batch {",
            ),
        ],
        scenarios: &["progress::failed_after_the_write"],
        complaint: "assertion",
    },
    Break {
        name: "tells_a_batch_that_is_not_there",
        file: PROGRESS,
        edits: &[(
            "if reached == Reached::NotYet {
                lane.generation.wait_while(generation);
            }",
            "if reached == Reached::NotYet {
                lane.generation.wait_while(generation);
                return Reached::Yes;
            }",
        )],
        scenarios: &["progress::woken_for_a_batch_before"],
        complaint: "told, and not shown",
    },
    Break {
        name: "tells_before_it_shows",
        file: PROGRESS_SCENARIOS,
        edits: &[(
            "        self.shown.store(batch, Ordering::Relaxed);
        self.progress.advance_durable(batch);
",
            "        self.progress.advance_durable(batch);
        self.shown.store(batch, Ordering::Relaxed);
",
        )],
        scenarios: &["progress::synced", "progress::polled"],
        complaint: "told, and not shown",
    },
    Break {
        name: "a_task_does_not_look_again",
        file: PROGRESS_SCENARIOS,
        edits: &[(
            "                    registered = true;
                    reached = this.progress.reached(batch, Synced);
",
            "                    registered = true;\n",
        )],
        scenarios: &["progress::polled", "progress::polled_and_failed"],
        complaint: ASLEEP,
    },
    Break {
        name: "a_task_looks_again_before_it_registers",
        file: PROGRESS_SCENARIOS,
        edits: &[
            ("                    this.progress.register(batch, &token.waker());\n", ""),
            (
                "                    reached = this.progress.reached(batch, Synced);\n",
                "                    reached = this.progress.reached(batch, Synced);
                    this.progress.register(batch, &token.waker());
",
            ),
        ],
        scenarios: &["progress::polled"],
        complaint: ASLEEP,
    },
    Break {
        name: "a_subscriber_does_not_look_again",
        file: LOG,
        edits: &[(
            "let over = self.log.watchers.arm(&self.watcher, waker).err();
        if let Some(found) = self.look() {
            return Poll::Ready(found);
        }
",
            "let over = self.log.watchers.arm(&self.watcher, waker).err();\n",
        )],
        scenarios: &[
            "watchers::everything",
            "watchers::a_stream",
            "watchers::a_prefix",
            "watchers::cancelled",
        ],
        complaint: ASLEEP,
    },
    Break {
        name: "a_subscriber_ends_without_another_look",
        file: LOG,
        edits: &[(
            "let over = self.log.watchers.arm(&self.watcher, waker).err();\n",
            "let over = self.log.watchers.arm(&self.watcher, waker).err();
        if let Some(over) = over {
            return Poll::Ready(Next::Over(over));
        }
        let over: Option<Over> = None;
",
        )],
        scenarios: &["watchers::closed_for_everything", "watchers::poisoned_for_a_stream"],
        complaint: "assertion",
    },
    Break {
        name: "a_publisher_wakes_before_it_shows",
        file: LOG,
        edits: &[(
            "        self.view.lock().extend(batch);\n        self.wake_watchers(batch);\n",
            "        self.wake_watchers(batch);\n        self.view.lock().extend(batch);\n",
        )],
        scenarios: &["watchers::everything", "watchers::a_stream", "watchers::a_prefix"],
        complaint: ASLEEP,
    },
    Break {
        name: "a_publisher_wakes_while_it_shows",
        file: LOG,
        edits: &[(
            "        self.view.lock().extend(batch);\n        self.wake_watchers(batch);\n",
            "        let mut view = self.view.lock();
        view.extend(batch);
        self.wake_watchers(batch);
",
        )],
        scenarios: &["watchers::a_stream"],
        complaint: ASLEEP,
    },
    Break {
        name: "a_woken_watcher_stays_armed",
        file: WATCHERS,
        edits: &[("        state.armed = false;\n", "")],
        scenarios: &["watchers::everything", "watchers::given_up_and_tried_again"],
        complaint: ASLEEP,
    },
    Break {
        name: "disarmed_before_it_is_taken_out",
        file: WATCHERS,
        edits: &[
            (
                "        let woken = {\n            let mut tables",
                "        let early: Vec<_> = self.tables.lock().everything.iter().filter_map(|w| w.disarm()).collect();
        early.into_iter().for_each(Waker::wake);
        let woken = {
            let mut tables",
            ),
            ("        wake_all(woken.iter().filter_map(|watcher| watcher.disarm()));\n", ""),
        ],
        scenarios: &["watchers::given_up_and_tried_again"],
        complaint: ASLEEP,
    },
    Break {
        name: "the_first_waker_is_kept",
        file: WATCHERS,
        edits: &[(
            "state.waker.replace(waker))",
            "state.waker.is_none().then(|| state.waker.replace(waker)))",
        )],
        scenarios: &["watchers::polled_by_two_tasks"],
        complaint: ASLEEP,
    },
    Break {
        name: "arms_in_two_steps",
        file: WATCHERS,
        edits: &[(
            "        let (new, old) = {\n",
            "        drop(tables);
        let mut tables = self.tables.lock();
        let (new, old) = {
",
        )],
        scenarios: &["watchers::closed_for_everything", "watchers::poisoned_for_a_stream"],
        complaint: ASLEEP,
    },
    Break {
        name: "ends_in_two_steps",
        file: WATCHERS,
        edits: &[
            (
                "        // A poisoned log that is closed is closed; one that is closed is not poisoned any more.
        if tables.over != Some(Over::Closed) {
            tables.over = Some(over);
        }
",
                "",
            ),
            (
                "        drop(tables);\n        woken.iter()",
                "        drop(tables);
        let mut tables = self.tables.lock();
        if tables.over != Some(Over::Closed) {
            tables.over = Some(over);
        }
        drop(tables);
        woken.iter()",
            ),
        ],
        scenarios: &["watchers::closed_for_everything", "watchers::poisoned_for_a_stream"],
        complaint: ASLEEP,
    },
    Break {
        name: "an_end_replaces_the_close",
        file: WATCHERS,
        edits: &[(
            "if tables.over != Some(Over::Closed) {",
            "if tables.over != Some(Over::Closed) || true {",
        )],
        scenarios: &["watchers::poisoned_then_closed"],
        complaint: "assertion",
    },
    Break {
        name: "an_end_forgets_the_streams",
        file: WATCHERS,
        edits: &[(
            "        woken.extend(std::mem::take(&mut tables.streams).into_values().flatten());\n",
            "",
        )],
        scenarios: &["watchers::closed_for_a_stream", "watchers::poisoned_for_a_stream"],
        complaint: ASLEEP,
    },
    Break {
        name: "an_end_forgets_the_prefixes",
        file: WATCHERS,
        edits: &[(
            "        woken.extend(prefixes.into_values().flat_map(HashMap::into_values).flatten());\n",
            "",
        )],
        scenarios: &["watchers::closed_for_a_prefix", "watchers::poisoned_for_a_prefix"],
        complaint: ASLEEP,
    },
    Break {
        name: "cancels_after_it_took_the_waker",
        file: WATCHERS,
        edits: &[(
            "        self.cancelled.store(1, Ordering::SeqCst);
        let waker = self.state.lock().waker.take();
",
            "        let waker = self.state.lock().waker.take();
        self.cancelled.store(1, Ordering::SeqCst);
",
        )],
        scenarios: &["watchers::cancelled"],
        complaint: ASLEEP,
    },
    Break {
        name: "a_forgotten_watcher_stays_listed",
        file: WATCHERS,
        edits: &[("            if watcher.state.lock().armed {\n", "            if false {\n")],
        scenarios: &[
            "watchers::forgotten_while_it_wakes_of_everything",
            "watchers::forgotten_while_it_wakes_of_a_stream",
            "watchers::forgotten_while_it_wakes_of_a_prefix",
        ],
        complaint: "a table keeps the watcher",
    },
    Break {
        name: "a_forgotten_watcher_takes_its_list_along",
        file: WATCHERS,
        edits: &[(
            "if self.streams.get(id).is_some_and(Vec::is_empty) {",
            "if self.streams.contains_key(id) {",
        )],
        scenarios: &["watchers::forgotten_before_another"],
        complaint: ASLEEP,
    },
    Break {
        name: "the_longest_prefix_is_not_looked_at",
        file: WATCHERS,
        edits: &[("range_mut(..=id.len())", "range_mut(..id.len())")],
        scenarios: &["watchers::a_prefix"],
        complaint: ASLEEP,
    },
];
