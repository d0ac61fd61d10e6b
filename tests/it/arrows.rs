//! Dependencies point one way, and the pure half stays pure.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// module → what it may name. Everything may name `time` and `mapping`.
const ARROWS: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("mapping", &[]),
    ("unit", &[]),
    ("manager", &["unit"]),
    ("world", &["unit", "manager"]),
    ("journal", &[]),
    // `expect` for "did you mean", `timeline` for spans as people write them.
    ("lint", &["unit", "manager", "world", "expect", "timeline"]),
    ("ctl", &["unit", "manager", "journal"]),
    ("timeline", &[]),
    ("detect", &["journal", "timeline"]),
    ("diagnose", &["unit", "manager", "world", "journal", "timeline"]),
    ("expect", &["timeline"]),
    ("scenario", &["expect", "timeline", "unit"]),
    ("report", &["timeline", "expect", "scenario"]),
    ("sys", &[]),
    // What a machine is made of is said to its keeper.
    ("control", &["sys"]),
    ("conform", &["run", "sys", "unit", "manager", "journal", "control"]),
];

const PURE: &[&str] = &[
    "time", "mapping", "unit", "manager", "world", "journal", "ctl", "timeline", "detect", "expect", "scenario",
    "report", "lint", "diagnose",
];

const IMPURE_WORDS: &[&str] =
    &["std::thread", "std::process", "std::net", "std::fs", "std::os", "std::env", "Instant", "SystemTime", "nix::"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("harness")
}

fn sources(module: &str) -> Vec<(PathBuf, String)> {
    let mut open = vec![root().join(module), root().join(format!("{module}.rs"))];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("a directory").flatten().map(|entry| entry.path()));
        } else if path.is_file() {
            let text = fs::read_to_string(&path).expect("a file");
            // Comments may speak of what they like.
            let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
            found.push((path, code.join("\n")));
        }
    }
    found
}

/// Modules named by `crate::NAME` or in a group `crate::{A, B}`.
fn named(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let word = |text: &str| text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
        match rest.strip_prefix('{') {
            Some(group) => {
                names.extend(group.split('}').next().unwrap_or_default().split(',').map(|item| word(item.trim())))
            }
            None => {
                names.insert(word(rest));
            }
        }
    }
    names.remove("");
    names
}

#[test]
fn modules_name_only_what_the_design_lets_them() {
    let mut wrong = Vec::new();
    for (module, allowed) in ARROWS {
        let files = sources(module);
        assert!(!files.is_empty(), "module {module} is not there");
        for (path, code) in files {
            for name in named(&code) {
                if name != *module && name != "time" && name != "mapping" && !allowed.contains(&name.as_str()) {
                    wrong.push(format!("{}: {module} may not name {name}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_pure_half_has_no_io_no_threads_and_no_clock() {
    let mut wrong = Vec::new();
    for module in PURE {
        for (path, code) in sources(module) {
            for word in IMPURE_WORDS {
                if code.contains(word) {
                    wrong.push(format!("{}: names {word}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
