//! Differences that are known and accepted: `fixtures/systemd/known-differences.md`.

use std::sync::LazyLock;

use regex::Regex;

use super::compare::Difference;
use crate::unit::Profile;

const LIST: &str = include_str!("../../fixtures/systemd/known-differences.md");

/// A row of the list.
#[derive(Debug)]
pub struct Known {
    /// Matches what is said of such a difference.
    pattern: Regex,
    /// The version it is known of; all, if none is given.
    version: Option<u16>,
    /// Why it is accepted.
    pub why: String,
}

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| rows(LIST).filter_map(Result::ok).collect());

/// The row that accounts for a difference.
pub fn find(difference: &Difference, profile: Profile) -> Option<&'static Known> {
    KNOWN.iter().find(|known| {
        known.version.is_none_or(|version| version == profile.version()) && known.pattern.is_match(&difference.text)
    })
}

/// The rows of a list: `| `pattern` | profile | why |`, the pattern a regular expression in backticks.
pub fn rows(list: &str) -> impl Iterator<Item = Result<Known, String>> {
    list.lines().filter(|line| line.starts_with("| `")).map(|line| {
        let wrong = |why: &str| format!("{line}: {why}");
        // A `|` of the pattern is written `\|`, as Markdown has it.
        let cells: Vec<String> =
            line.replace("\\|", "\u{1}").split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect();
        let [_, pattern, profile, why, ..] = cells.as_slice() else {
            return Err(wrong("a pattern, a profile and a reason are needed"));
        };
        let version = match profile.as_str() {
            "all" => None,
            version => Some(version.parse().map_err(|_| wrong("the profile is `all` or a version"))?),
        };
        let pattern = Regex::new(pattern.trim_matches('`')).map_err(|error| wrong(&error.to_string()))?;
        if why.is_empty() {
            return Err(wrong("a reason is needed"));
        }
        Ok(Known { pattern, version, why: why.clone() })
    })
}
