//! The index of a library of scenarios: what people do, whether it helps, what it costs and what it leaves behind.

use std::fmt::Write as _;

use super::outcome::Outcome;
use crate::time::Span;
use crate::timeline::brief;

/// Between these lines of a document stands the index.
const BEGIN: &str = "<!-- relapse run --index: begin -->";
const END: &str = "<!-- relapse run --index: end -->";

/// A part of the index: its heading, the kinds of scenarios in it, and its columns.
struct Part {
    heading: &'static str,
    kinds: &'static [&'static str],
    columns: &'static [(&'static str, Cell)],
}

/// What a column says of a scenario.
type Cell = fn(&Outcome) -> String;

const PARTS: &[Part] = &[
    Part {
        heading: "What people do about it",
        kinds: &["fix", "limit", "non-fix"],
        columns: &[
            ("action", link),
            ("stops the loop", stops),
            ("cycles after", cycles_after),
            ("nobody is served", outage),
            ("the unit then", state),
            ("what it leaves behind", remark),
        ],
    },
    Part {
        heading: "The incident, and its variants",
        kinds: &["incident"],
        columns: &[("incident", link), ("the loop", cycles), ("", remark)],
    },
    Part {
        heading: "What is written, and what happens",
        kinds: &["trap", "behaviour"],
        columns: &[("trap", link), ("the unit then", state), ("", remark)],
    },
    Part {
        heading: "Ways to look",
        kinds: &["check"],
        columns: &[("check", link), ("tells sick from healthy", tells), ("", remark)],
    },
];

/// The scenario's row in the index of the library, as a line of Markdown.
pub fn index_row(outcome: &Outcome) -> String {
    let part = PARTS.iter().find(|part| part.kinds.contains(&outcome.kind.as_str())).unwrap_or(&PARTS[0]);
    let cells: Vec<String> = part.columns.iter().map(|(_, cell)| cell(outcome).replace('|', "\\|")).collect();
    format!("| {} |", cells.join(" | "))
}

/// The whole index, as Markdown: a table for each part, fixes before limits before what does not help.
pub fn index(outcomes: &[Outcome]) -> String {
    let mut out = String::new();
    for part in PARTS {
        let mut rows: Vec<(usize, &Outcome)> = outcomes
            .iter()
            .filter_map(|outcome| Some((part.kinds.iter().position(|kind| *kind == outcome.kind)?, outcome)))
            .collect();
        if rows.is_empty() {
            continue;
        }
        rows.sort_by_key(|(kind, outcome)| (*kind, outcome.scenario.clone()));
        let names: Vec<&str> = part.columns.iter().map(|(name, _)| *name).collect();
        let _ = writeln!(out, "### {}\n\n| {} |\n|{}", part.heading, names.join(" | "), "---|".repeat(names.len()));
        for (_, outcome) in rows {
            let _ = writeln!(out, "{}", index_row(outcome));
        }
        out.push('\n');
    }
    out
}

/// The document with the index in its place; `None` if it has none.
pub fn with_index(document: &str, index: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{index}{END}{after}"))
}

fn link(outcome: &Outcome) -> String {
    let path = outcome.scenario.rsplit_once("scenarios/").map_or(outcome.scenario.as_str(), |(_, path)| path);
    format!("[{}]({path})", outcome.title)
}

fn stops(outcome: &Outcome) -> String {
    match outcome.kind.as_str() {
        "fix" => "yes",
        "limit" => "yes, but somebody must act later",
        _ => "**no**",
    }
    .to_owned()
}

fn tells(outcome: &Outcome) -> String {
    if outcome.cannot_tell { "**no**" } else { "yes" }.to_owned()
}

fn cycles(outcome: &Outcome) -> String {
    let seen = outcome.cycles.filter(|seen| seen.cycles > 0);
    seen.and_then(|seen| Some(format!("{} cycles of {}", seen.cycles, outcome.period()?))).unwrap_or_default()
}

fn cycles_after(outcome: &Outcome) -> String {
    outcome.aftermath.as_ref().map(|after| after.restarts.to_string()).unwrap_or_default()
}

/// For so long nothing comes back by itself.
const PATIENCE: Span = Span::from_secs(60);

/// How long nobody was served, as the client saw it; where there was none, how long nobody listened.
fn outage(outcome: &Outcome) -> String {
    let after = outcome.aftermath.as_ref();
    let (length, goes_on) = match (&outcome.outage, after) {
        (Some(outage), _) => (outage.length, after.is_some_and(|after| after.is_down)),
        (None, Some(after)) => (after.unheld, after.is_unheld),
        (None, None) => return String::new(),
    };
    // How long a page waits for somebody says nothing about anybody.
    if outcome.kind == "limit" && length >= PATIENCE {
        return "until somebody acts".to_owned();
    }
    format!("{}{}", brief(length), if goes_on { " and on" } else { "" })
}

fn state(outcome: &Outcome) -> String {
    let Some(after) = &outcome.aftermath else { return String::new() };
    // What a limit does is done before somebody acts.
    let after = after.rest.as_ref().filter(|_| outcome.kind == "limit").unwrap_or(&after.state);
    let result = Some(&after.result).filter(|result| !result.is_empty() && *result != "success");
    let result = result.map(|result| format!(", {result}")).unwrap_or_default();
    format!("{} ({}{result}), NRestarts={}", after.active_state, after.sub_state, after.nrestarts)
}

fn remark(outcome: &Outcome) -> String {
    outcome.remark.clone()
}
