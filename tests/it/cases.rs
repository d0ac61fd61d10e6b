//! What real systemd 252 did with units that were generated at random, one a case (`fixtures/systemd/cases*.jsonl`).

use relapse::conform::Recording;
use serde_json::Value;

pub use relapse::conform::DIR;

/// All of them, as they are written.
pub fn all() -> impl Iterator<Item = Value> {
    let files =
        [include_str!("../../fixtures/systemd/cases.jsonl"), include_str!("../../fixtures/systemd/cases-random.jsonl")];
    files.into_iter().flat_map(str::lines).map(|line| serde_json::from_str(line).expect("JSON"))
}

/// A case and what systemd answered.
pub fn recording(case: &Value) -> Recording {
    serde_json::from_value(case.clone()).unwrap_or_else(|error| panic!("{}: {error}", case["id"]))
}

/// A text of a recording.
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}
