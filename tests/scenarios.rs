//! One test per file under `scenarios/`: a new file is a new test, without any Rust.
//!
//! `cargo test --test scenarios kill-the-manual-process` runs one of them. What the index says of it is checked, too, and
//! that `relapse predict` would have known what becomes of its units.

#[path = "scenarios/predictions.rs"]
mod predictions;
#[path = "scenarios/rows.rs"]
mod rows;

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use relapse::expect::Style;
use relapse::{Options, Scenario, Verdict, report};

fn main() {
    relapse::init();
    let args = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(!files.is_empty(), "no scenario below {}", root.display());
    let trials = files
        .into_iter()
        .map(|file| {
            let name = file.strip_prefix(&root).unwrap_or(&file).with_extension("").to_string_lossy().into_owned();
            Trial::test(name, move || run(&file))
        })
        .collect();
    libtest_mimic::run(&args, trials).exit();
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|end| end == "md") && path.file_name().is_some_and(|n| n != "README.md")
        {
            files.push(path);
        }
    }
}

fn run(file: &Path) -> Result<(), Failed> {
    let path = file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(file);
    let scenario = Scenario::load(path).map_err(|error| error.render(Style::Plain))?;
    let outcome = scenario.run(&Options::default()).map_err(|fault| fault.to_string())?;
    if outcome.verdict != Verdict::Holds {
        return Err(report::text(&outcome, Style::Plain).into());
    }
    let page = path.strip_prefix("scenarios").unwrap_or(path).to_string_lossy().into_owned();
    rows::check(&page, &scenario, &outcome)?;
    predictions::check(&scenario, &outcome)?;
    let row = report::index_row(&outcome);
    let index = std::fs::read_to_string("scenarios/README.md").map_err(|error| error.to_string())?;
    match index.lines().any(|line| line == row) {
        true => Ok(()),
        false => Err(format!(
            "its row in scenarios/README.md is not, or no longer,\n{row}\nwrite it anew: cargo run --release -- run --index \
             scenarios/README.md"
        )
        .into()),
    }
}
