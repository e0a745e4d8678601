//! The house rules as a test: imports point down, no circles, one place for `unsafe`, FORMAT.md and the code say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder of the repository, with their texts, by path from the root.
fn files(folder: &str, extension: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(!found.is_empty(), "nothing in {folder}");
    found
}

/// The part of a source file that is not its unit tests.
fn production(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

/// Modules of the crate that a file names: `crate::a::b::...`, also inside braces of one line.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let path: String =
            text[at + 7..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_' || *c == ':').collect();
        let parts: Vec<&str> = path.split("::").filter(|part| !part.is_empty()).collect();
        if let Some(first) = parts.first() {
            found.insert(parts[..parts.len().min(2)].join("/"));
            found.insert((*first).to_owned());
        }
    }
    found
}

/// From the top down. A file may name its own floor and those that stand further to the right.
const FLOORS: [&str; 14] = [
    "typed", "consumer", "engine", "query", "options", "index", "layer", "segment", "format", "storage",
    "event", "error", "types", "sync",
];

#[test]
fn imports_point_down() {
    let floor = |name: &str| FLOORS.iter().position(|floor| *floor == name);
    for (name, text) in files("src", "rs") {
        let module =
            name.trim_start_matches("src/").trim_end_matches(".rs").split('/').next().unwrap().to_owned();
        let Some(own) = floor(&module) else { continue };
        for import in imports(production(&text)) {
            let target = import.split('/').next().unwrap();
            let Some(target) = floor(target) else { continue };
            assert!(own <= target, "{name} is below {import}, and imports it");
        }
    }
}

#[test]
fn no_two_files_import_each_other_by_any_way() {
    let texts = files("src", "rs");
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, text) in &texts {
        for import in imports(production(text)) {
            let file = [format!("src/{import}.rs"), format!("src/{import}/mod.rs")];
            // A folder's `mod.rs` only lists its files: to name the folder is to name none of them.
            if let Some((target, _)) = texts.get_key_value(&file[0])
                && target != name
            {
                edges.entry(name).or_default().push(target);
            }
        }
    }
    fn visit<'a>(
        at: &'a str,
        edges: &BTreeMap<&'a str, Vec<&'a str>>,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) {
        assert!(!way.contains(&at), "a circle: {way:?} and back to {at}");
        if done.contains(at) {
            return;
        }
        way.push(at);
        for next in edges.get(at).into_iter().flatten() {
            visit(next, edges, way, done);
        }
        way.pop();
        done.insert(at);
    }
    let mut done = BTreeSet::new();
    for name in texts.keys() {
        visit(name, &edges, &mut Vec::new(), &mut done);
    }
    assert!(edges.len() > 20, "the imports were not found");
}

/// The sources of what is published: the crate, and its adapters.
fn published() -> BTreeMap<String, String> {
    let mut found = files("adapters", "rs");
    found.retain(|name, _| name.split('/').nth(2) == Some("src"));
    found.extend(files("src", "rs"));
    found
}

#[test]
fn files_are_short_and_say_what_they_own() {
    for (name, text) in published() {
        assert!(text.starts_with("//!"), "{name} does not begin with its purpose");
        assert!(text.lines().count() <= 500, "{name} has {} lines", text.lines().count());
        for (i, line) in text.lines().enumerate() {
            assert!(
                line.chars().count() <= 130,
                "{name}:{} is {} characters long",
                i + 1,
                line.chars().count()
            );
        }
        // Tests may, and a program that measures speaks to who runs it.
        if name.ends_with("tests.rs") || name.starts_with("adapters/bench/") {
            continue;
        }
        for word in ["todo!(", "unimplemented!(", "dbg!(", "println!(", "panic!(", ".unwrap()", ".expect("] {
            let code = production(&text).lines().filter(|line| !line.trim_start().starts_with("//"));
            assert!(!code.collect::<String>().contains(word), "{name} says {word}");
        }
    }
    for folder in ["adapters", "benches", "examples", "interleavings", "mutants", "proving", "tests"] {
        for (name, text) in files(folder, "rs") {
            assert!(text.starts_with("//!"), "{name} does not begin with its purpose");
        }
    }
}

#[test]
fn unsafe_is_in_one_file_with_its_arguments() {
    for (name, text) in published() {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !code.contains("unsafe") || code.contains("unsafe_code") {
                continue;
            }
            assert_eq!(name, "src/storage/mapping.rs", "line {}", i + 1);
            let argued = lines[..i].iter().rev().take_while(|above| above.trim_start().starts_with("//"));
            assert!(
                argued.into_iter().any(|above| above.contains("SAFETY:")),
                "{name}:{} has no argument",
                i + 1
            );
        }
    }
}

/// Every number and word of FORMAT.md that the code names, too.
#[test]
fn the_format_and_the_code_have_the_same_constants() {
    let format = fs::read_to_string(root().join("FORMAT.md")).unwrap();
    let code: String = files("src/format", "rs").into_values().collect();
    let both = |in_code: &str, in_format: &str| {
        assert!(code.contains(in_code), "the code does not say {in_code}");
        assert!(format.contains(in_format), "FORMAT.md does not say {in_format}");
    };
    both("FORMAT_VERSION: u16 = 1;", "| 8 | 2 | format version | 1 |");
    both("PAGE_BYTES: usize = 4096;", "### 2.1 Segment header, 4096 bytes");
    both("*b\"ANNALSEG\"", "`ANNALSEG`");
    both("*b\"ANNALEND\"", "`ANNALEND`");
    both("*b\"ANNALCHK\"", "`ANNALCHK`");
    both("*b\"AFrm\"", "`AFrm`");
    both("CAPACITY_MIN: u64 = 16_384;", "16384 or more");
    both("NAME_BYTES_MAX: usize = 2048;", "| stream id, tenant, kept name | 1..=2048 bytes");
    both("EVENT_TYPE_BYTES_MAX: usize = 1024;", "| event type | 1..=1024 bytes");
    both("ATTRIBUTES_BYTES_MAX: usize = 256;", "| attributes of a stream | 256 bytes |");
    both("BODY_BYTES_MAX: u64 = 1 << 30;", "| body of one frame | 1073741824 bytes |");
    both("SECTIONS_MAX: u32 = 1 << 20;", "| sections in one frame | 1048576 |");
    both("KEPT_BYTES_MAX: usize = 64 << 20;", "at most 67108864 bytes");
    both("FRAME_HEADER_BYTES: usize = 72;", "| 72 | 24 x sections | section table |");
    both("ENTRY_BYTES: usize = 24;", "### 3.1 Section table entry, 24 bytes");
    both("FLAG_REMOVED: u16 = 1 << 15;", "bit 15 removed");
    both("CHECKPOINT_VERSION: u16 = 2;", "| 8 | 2 | checkpoint version, 2 |");
    both("LAYERS_MAX: usize = 248;", "number of index files, at most 248");
    both("*b\"ANNALIDX\"", "`ANNALIDX`");
    both("LAYER_VERSION: u16 = 1;", "| 8 | 2 | version, 1 |");
    both("PARTS: usize = 12;", "| 192 | 24 x 12 | parts:");
    both("CELL_BYTES: usize = 512;", "A **cell** has 512 bytes");
    both("BUCKET_BYTES: usize = 64;", "A **bucket** has 64 bytes");
    both("BUCKET_SLOTS: usize = 7;", "7 slots of 8");
    for (kind, number) in [("Append", 1), ("Idle", 2), ("Closed", 3), ("Pad", 4)] {
        both(&format!("{kind} = {number},"), &format!("| {number} {} |", kind.to_lowercase()));
    }
    let sections = [
        "events",
        "create",
        "tombstone",
        "truncate-before",
        "keep",
        "unkeep",
        "carry-stream",
        "carry-kept",
        "log-starts-at",
    ];
    for (i, kind) in sections.into_iter().enumerate() {
        assert!(format.contains(&format!("| {} | {kind}", i + 1)), "FORMAT.md lacks section kind {kind}");
    }
    let types = fs::read_to_string(root().join("src/types.rs")).unwrap();
    assert!(types.contains("NUMBER_MAX: u64 = (1 << 62) - 1;") && format.contains("1..=2^62 - 1"));
}
