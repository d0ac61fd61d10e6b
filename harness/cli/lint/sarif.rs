//! Findings as SARIF 2.1.0, the format that code scanning reads.

use serde_json::{Value, json};

use super::Found;
use crate::lint::{RULES, Severity};
use crate::timeline::printable_json;

pub(super) fn document(found: &[Found]) -> String {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id,
                "shortDescription": { "text": rule.title },
                "fullDescription": { "text": rule.help },
                "help": { "text": rule.help },
                "defaultConfiguration": { "level": rule.severity.as_str() },
            })
        })
        .collect();
    let results: Vec<Value> = found.iter().map(result).collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "relapse",
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "utf16CodeUnits",
            "results": results,
        }],
    });
    printable_json(&document.to_string())
}

fn result(found: &Found) -> Value {
    let span = found.span();
    let (start_line, start_column) = place(found, span.start);
    let (end_line, end_column) = place(found, span.end);
    let index = RULES.iter().position(|rule| rule.id == found.finding.rule.id).unwrap_or_default();
    let mut text = found.finding.message.clone();
    if let Some(fix) = &found.finding.fix {
        text.push_str(&format!("\nFix:\n{fix}"));
    }
    json!({
        "ruleId": found.finding.rule.id,
        "ruleIndex": index,
        "level": match found.finding.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        },
        "message": { "text": text },
        "locations": [{ "physicalLocation": {
            "artifactLocation": artifact(found.source.path()),
            "region": {
                "startLine": start_line,
                "startColumn": start_column,
                "endLine": end_line,
                "endColumn": end_column.max(start_column),
            },
        } }],
    })
}

/// Line from 1, column from 1 in UTF-16 code units.
fn place(found: &Found, offset: usize) -> (u32, u32) {
    let position = found.source.position(offset);
    let before = found.source.text().get(..offset.min(found.source.text().len())).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    let column = line.encode_utf16().count() + 1;
    (position.line, u32::try_from(column).unwrap_or(u32::MAX))
}

/// A relative reference, or a `file:` URI (RFC 3986; SARIF 2.1.0, 3.4).
fn artifact(path: &str) -> Value {
    let mut uri = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    if path.starts_with('/') { json!({ "uri": format!("file://{uri}") }) } else { json!({ "uri": uri }) }
}
