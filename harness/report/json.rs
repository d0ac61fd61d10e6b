//! One JSON object a scenario, one scenario a line.

use super::outcome::Outcome;

/// The outcome as one line of JSON, with its line end. What a terminal would obey is escaped.
pub fn json(outcome: &Outcome) -> String {
    // There is nothing in an outcome that JSON could refuse: no map with other keys than text, no float.
    let line = serde_json::to_string(outcome).unwrap_or_default();
    let mut out = crate::timeline::printable_json(&line);
    out.push('\n');
    out
}
