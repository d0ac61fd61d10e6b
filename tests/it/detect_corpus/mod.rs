//! `relapse detect` on a corpus of logs that are made here, with what is to be found in each.
//!
//! Which lines are starts, what ended a loop and what caused it is said by the stories in `cases/`, from the issue's
//! rules; nothing of `relapse::detect` is used here. `RELAPSE_WRITE=1 cargo test --test it the_corpus` writes the files.

mod cases;
mod check;
mod large;
mod mixed;
mod recorded;
mod render;
pub(crate) mod story;
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use render::Input;

/// Some inputs that show one thing.
struct Case {
    name: &'static str,
    /// The rule that is tried.
    rule: &'static str,
    inputs: Vec<Input>,
}

impl Case {
    fn new(name: &'static str, rule: &'static str, inputs: Vec<Input>) -> Self {
        Self { name, rule, inputs }
    }

    /// What is to be found, by file.
    fn expected(&self) -> Map<String, Value> {
        let mut files = Map::new();
        for input in &self.inputs {
            let verdict = if input.loops.is_empty() { "clean" } else { "loop" };
            let mut expected = json!({"verdict": verdict, "loops": input.loops});
            if !input.args.is_empty() {
                expected["args"] = json!(input.args);
            }
            let before = files.insert(input.name.clone(), expected);
            assert!(before.is_none(), "{}: two files are called {}", self.name, input.name);
        }
        files
    }
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/logs/detect")
}

/// All files of the corpus, by their path below `fixtures/logs/detect`.
fn made() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut index = String::from(
        "# The cases and the rules they try\n\nWritten by the generator, see [the README](../README.md).\n\n\
         | case | rule | finds |\n|---|---|---|\n",
    );
    for case in cases::all() {
        let lines: Vec<String> =
            case.expected().into_iter().map(|(name, expected)| format!("{}: {expected}", json!(name))).collect();
        let expected = format!("{{\n{}\n}}\n", lines.join(",\n"));
        let mut add = |name: &str, bytes: Vec<u8>| {
            assert!(
                files.insert(Path::new(case.name).join(name), bytes).is_none(),
                "{}/{name} is there twice",
                case.name
            );
        };
        add("expected.json", expected.into_bytes());
        for input in &case.inputs {
            add(&input.name, input.bytes.clone());
        }
        let loops: std::collections::BTreeSet<usize> = case.inputs.iter().map(|input| input.loops.len()).collect();
        let loops: Vec<String> = loops.iter().map(usize::to_string).collect();
        index += &format!("| `{}` | {} | {} |\n", case.name, case.rule, loops.join(" or "));
    }
    files.insert(PathBuf::from("CASES.md"), index.into_bytes());
    files
}

fn on_disk(directory: &Path, below: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(directory).expect("the corpus").flatten() {
        let name = below.join(entry.file_name());
        if entry.path().is_dir() {
            on_disk(&entry.path(), &name, found);
        } else {
            found.insert(name, fs::read(entry.path()).expect("a file"));
        }
    }
}

#[test]
fn the_corpus_on_disk_is_what_the_generator_makes() {
    let made = made();
    if std::env::var_os("RELAPSE_WRITE").is_some() {
        let _ = fs::remove_dir_all(home());
        for (name, bytes) in &made {
            let path = home().join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(path, bytes).expect("a file");
        }
    }
    let mut found = BTreeMap::new();
    on_disk(&home(), Path::new(""), &mut found);
    let differ: Vec<String> = made
        .iter()
        .filter(|(name, bytes)| found.get(*name) != Some(bytes))
        .map(|(name, _)| name.display().to_string())
        .chain(found.keys().filter(|name| !made.contains_key(*name)).map(|name| name.display().to_string()))
        .collect();
    assert!(differ.is_empty(), "these differ; RELAPSE_WRITE=1 writes them anew:\n{}", differ.join("\n"));
}

#[test]
fn the_corpus_is_small() {
    let made = made();
    let sum: usize = made.values().map(Vec::len).sum();
    assert!(sum < 3 << 20, "{sum} bytes");
    for (name, bytes) in made {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        assert!(
            lines <= 100 || name.ends_with("expected.json") || name.ends_with("CASES.md"),
            "{}: {lines} lines",
            name.display()
        );
    }
}

/// A case's directory by the name of its test, `only_pairs`.
fn agrees(test: &str) {
    let directory = home().join(test.replace('_', "-"));
    let expected = fs::read(directory.join("expected.json")).expect("the case, RELAPSE_WRITE=1 writes it");
    let expected: Map<String, Value> = serde_json::from_slice(&expected).expect("an object of files");
    let mut wrong = Vec::new();
    for (name, expected) in &expected {
        if let Err(error) = check::file(&directory.join(name), expected) {
            wrong.push(format!("{}:\n{error}", directory.join(name).display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
