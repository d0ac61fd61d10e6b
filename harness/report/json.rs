//! One JSON object a scenario, one scenario a line.

use super::outcome::Outcome;

/// The outcome as one line of JSON, with its line end. What a terminal would obey is escaped, also where JSON would
/// let it through: the line may be looked at.
pub fn json(outcome: &Outcome) -> String {
    // There is nothing in an outcome that JSON could refuse: no map with other keys than text, no float.
    let line = serde_json::to_string(outcome).unwrap_or_default();
    let mut out = String::with_capacity(line.len() + 1);
    for c in line.chars() {
        // Outside of strings there is none of these. All of them have one UTF-16 unit.
        if crate::timeline::is_obeyed(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out.push('\n');
    out
}
