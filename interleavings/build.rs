//! Breaks the protocol on purpose: for each break of `breaks.rs` a copy of the sources and of the models of their callers, with
//! a few words changed, and a test that demands that a scenario fails over it, with the complaint that fits.
//!
//! Owns the making of the copies. A change that no longer applies fails the build.

mod breaks;
mod breaks_of_versions;

use breaks::{BREAKS, Break, LOG, PROGRESS, PROGRESS_SCENARIOS, WATCHERS};
use breaks_of_versions::{VERSIONS, VERSIONS_SCENARIOS};
use std::path::Path;
use std::{env, fs};

/// What a break is a copy of, for each of the protocols: modules, and the files that become these.
const FILES: [&[(&str, &str)]; 3] = [
    &[("engine::progress", PROGRESS), ("scenarios::progress", PROGRESS_SCENARIOS)],
    &[
        ("engine::watchers", WATCHERS),
        ("scenarios::log", LOG),
        ("scenarios::watchers", "src/scenarios/watchers.rs"),
    ],
    &[("index::versions", VERSIONS), ("scenarios::versions", VERSIONS_SCENARIOS)],
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=breaks.rs");
    println!("cargo::rerun-if-changed=breaks_of_versions.rs");
    for (_, file) in FILES.concat() {
        println!("cargo::rerun-if-changed={file}");
    }
    let text: String = BREAKS.iter().chain(breaks_of_versions::BREAKS).map(copy).collect();
    fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join("broken.rs"), text).unwrap();
}

/// A module with the broken copy and its tests.
fn copy(broken: &Break) -> String {
    let name = broken.name;
    let Some(files) = FILES.iter().find(|files| files.iter().any(|(_, file)| *file == broken.file)) else {
        panic!("{name}: {} belongs to no protocol", broken.file)
    };
    let mut text = format!("mod {name} {{\n");
    for folder in ["engine", "index", "scenarios"] {
        text += &format!("mod {folder} {{\n");
        for (path, file) in files.iter() {
            if let Some(("", module)) = path.split_once(folder) {
                let module = module.trim_start_matches(':');
                text += &format!("pub(crate) mod {module} {{\n{}}}\n", module_text(broken, files, file));
            }
        }
        text += "}\n";
    }
    for scenario in broken.scenarios {
        let test = scenario.split("::").last().unwrap();
        let complaint = broken.complaint;
        text += &format!(
            "#[test]\nfn {test}() {{ crate::model::finds({complaint:?}, scenarios::{scenario}); }}\n"
        );
    }
    text + "}\n"
}

/// A file as broken, with the names of its neighbours in the copy.
fn module_text(broken: &Break, files: &[(&str, &str)], file: &str) -> String {
    let mut text = fs::read_to_string(file).unwrap();
    if broken.file == file {
        for (from, to) in broken.edits {
            assert_eq!(text.matches(from).count(), 1, "{}: {from:?} is not there once", broken.name);
            text = text.replacen(from, to, 1);
        }
    }
    for (path, _) in files {
        text = text.replace(&format!("crate::{path}"), &format!("crate::broken::{}::{path}", broken.name));
    }
    text.lines().filter(|line| !line.starts_with("//!")).map(|line| format!("{line}\n")).collect()
}
