//! Findings as text with source frames, as JSON lines, and as workflow commands of GitHub.

use serde::Serialize;

use super::Found;
use crate::cli::run::say;
use crate::lint::Severity;
use crate::timeline::{printable, printable_json};

pub(super) fn text(found: &[Found]) {
    let mut out = String::new();
    for found in found {
        out.push_str(&found.frame());
        out.push('\n');
        if let Some(fix) = &found.finding.fix {
            out.push_str("   fix:\n");
            for line in fix.lines() {
                out.push_str(&format!("      {}\n", printable(line)));
            }
        }
        out.push('\n');
    }
    let count = |severity: Severity| found.iter().filter(|found| found.finding.severity == severity).count();
    let all = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
    let counted = all.iter().filter_map(|(severity, word)| match count(*severity) {
        0 => None,
        1 => Some(format!("1 {word}")),
        many => Some(format!("{many} {word}s")),
    });
    let counted: Vec<String> = counted.collect();
    out.push_str(&if counted.is_empty() { "nothing found".to_owned() } else { counted.join(", ") });
    say(&out);
}

/// The object that `--format json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    rule: &'a str,
    severity: Severity,
    file: &'a str,
    line: u32,
    column: u32,
    end_column: u32,
    message: &'a str,
    fix: Option<&'a str>,
}

pub(super) fn json(found: &[Found]) {
    for found in found {
        let span = found.span();
        let (start, end) = (found.source.position(span.start), found.source.position(span.end));
        let shown = Shown {
            rule: found.finding.rule.id,
            severity: found.finding.severity,
            file: found.source.path(),
            line: start.line,
            column: start.column,
            end_column: end.column.max(start.column),
            message: &found.finding.message,
            fix: found.finding.fix.as_deref(),
        };
        // Nothing in it that JSON could refuse.
        say(&printable_json(&serde_json::to_string(&shown).unwrap_or_default()));
    }
}

/// Workflow commands: what GitHub shows beside the lines of a change. Nothing that a file says can end a command or begin
/// another one.
pub(super) fn github(found: &[Found]) {
    for found in found {
        let span = found.span();
        let (start, end) = (found.source.position(span.start), found.source.position(span.end));
        let level = match found.finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let mut message = found.message();
        if let Some(fix) = &found.finding.fix {
            let lines: Vec<String> = fix.lines().map(|line| printable(line).into_owned()).collect();
            message.push_str(&format!("\nFix:\n{}", lines.join("\n")));
        }
        say(&format!(
            "::{level} file={},line={},col={},endColumn={},title={}::{}",
            property(&printable(found.source.path())),
            start.line,
            start.column,
            end.column.max(start.column),
            property(found.finding.rule.id),
            data(&message)
        ));
    }
}

/// What follows `::` (@actions/core, `escapeData`).
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property (@actions/core, `escapeProperty`).
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
