//! Values that are not what they look like: comments behind them, case, quotes, units of time.

use std::ops::Range;

use super::keys::consequence;
use super::rules::{self, Severity};
use super::sheet::Sheet;
use super::{MOST_FINDINGS, Spot};
use crate::expect::nearest;
use crate::unit::{Item, KeyKind, KillMode, NotifyAccess, Restart, ServiceType};

pub(super) fn look(sheet: &mut Sheet<'_>) {
    let rows: Vec<(usize, Item)> = sheet
        .assignments()
        .filter(|(file, item)| {
            (sheet.is_warned(*file, item.line) && !sheet.is_explained(*file, item.line))
                || item.value.contains('#')
                || item.value.contains('M')
        })
        .map(|(file, item)| (file, item.clone()))
        .take(4 * MOST_FINDINGS)
        .collect();
    for (file, item) in &rows {
        if sheet.is_explained(*file, item.line) {
            continue;
        }
        let Some(kind) = sheet.kind_of(item) else { continue };
        if comment(sheet, *file, item, kind) {
            continue;
        }
        if sheet.is_warned(*file, item.line) {
            let fatal = sheet.warnings_at(*file, item.line).iter().any(|warning| warning.priority <= 3);
            // That is a value, which systemd advises against.
            let deprecated = kind == KeyKind::KillMode && item.value == KillMode::None.as_str();
            if !fatal && !deprecated && single(kind) {
                refused_value(sheet, *file, item, kind);
            }
        } else {
            months(sheet, *file, item, kind);
        }
    }
}

/// Whether the setting has one value, so that a warning about it means that all of it is ignored.
fn single(kind: KeyKind) -> bool {
    use KeyKind as K;
    matches!(
        kind,
        K::Bool
            | K::OnFailureIsolate
            | K::Tristate
            | K::Span
            | K::SpanOrInfinity
            | K::Unsigned
            | K::Signed
            | K::Mode
            | K::Size
            | K::Signal
            | K::Limit
            | K::Choice(_)
            | K::Action
            | K::StartTimeout
            | K::AbortTimeout
            | K::JobTimeout
            | K::ExitStatus
            | K::Nice
            | K::SyslogLevel
            | K::SyslogFacility
            | K::OomScoreAdjust
            | K::Input
            | K::Output
    ) || kind == K::KillMode
}

/// What a comment behind a value does there.
enum Swallowed {
    /// The value is no value any more.
    Ignored,
    /// It is refused, and the unit with it.
    Refused,
    Arguments,
    Entries,
    Part,
    /// A description of things with numbers looks like that, too.
    Description,
}

/// A `#` behind the value, in the value's bytes.
fn comment_in(item: &Item, kind: KeyKind, warned: bool) -> Option<(Range<usize>, Swallowed)> {
    use KeyKind as K;
    let value = item.value.as_str();
    let listed = matches!(
        kind,
        K::Exec
            | K::Environment
            | K::Dependencies
            | K::ObsoleteDependencies
            | K::ExitStatusSet
            | K::PassEnvironment
            | K::UnsetEnvironment
            | K::Sockets
            | K::Install
            | K::Documentation
    );
    let at = hash(value, listed || matches!(kind, K::Text), if warned && single(kind) { &['#', ';'] } else { &['#'] })?;
    let comment = at..value.len();
    let spaced = value[at + 1..].starts_with([' ', '\t']);
    let swallowed = match kind {
        K::Exec if spaced => Swallowed::Arguments,
        K::Exec => return None,
        K::Text if item.key == "Description" => {
            if !spaced {
                return None;
            }
            Swallowed::Description
        }
        K::Text => Swallowed::Part,
        // Lists of which some words were warned about.
        _ if listed && warned => Swallowed::Entries,
        K::Install | K::Dependencies => Swallowed::Entries,
        _ if listed => return None,
        _ if warned && single(kind) => Swallowed::Ignored,
        _ if warned => Swallowed::Refused,
        K::Opaque if !spaced => return None,
        _ => Swallowed::Part,
    };
    Some((comment, swallowed))
}

/// The first `#` (or another of these characters) behind a blank, outside of quotes if they count.
fn hash(value: &str, quotes: bool, marks: &[char]) -> Option<usize> {
    let mut quote = None;
    let mut before = 'x';
    for (at, c) in value.char_indices() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) if quotes && matches!(before, ' ' | '\t' | '=' | 'x') => quote = Some(c),
            (c, None) if marks.contains(&c) && matches!(before, ' ' | '\t') && at > 0 => return Some(at),
            _ => {}
        }
        before = c;
    }
    None
}

fn comment(sheet: &mut Sheet<'_>, file: usize, item: &Item, kind: KeyKind) -> bool {
    let warned = sheet.is_warned(file, item.line);
    let Some((comment, swallowed)) = comment_in(item, kind, warned) else { return false };
    let (key, value) = (&item.key, &item.value);
    let bare = value[..comment.start].trim_end();
    // Where the value is no better without the comment, it is something else.
    if matches!(swallowed, Swallowed::Ignored) && !sheet.accepts(&item.section, key, bare) {
        return false;
    }
    let text = value[comment.clone()].trim_start_matches(['#', ';', ' ', '\t']);
    let fix = Some(format!("# {text}\n{key}={bare}"));
    let (message, label, severity) = match swallowed {
        Swallowed::Ignored => {
            let consequence = consequence(sheet, key);
            (
                format!(
                    "a unit file has no comments behind a value: this is no {key}=, and systemd ignores the line{consequence}"
                ),
                format!("belongs to the value of {key}="),
                Severity::Error,
            )
        }
        Swallowed::Refused => (
            format!("a unit file has no comments behind a value: systemd takes it as a part of {key}= and refuses it"),
            format!("belongs to the value of {key}="),
            Severity::Error,
        ),
        Swallowed::Arguments => (
            format!(
                "Exec lines have no comments at their ends: {} is given to the command as further arguments",
                quoted(&value[comment.clone()])
            ),
            "arguments of the command".to_owned(),
            Severity::Error,
        ),
        Swallowed::Entries => (
            format!("a unit file has no comments behind a value: each word of it is taken as one more entry of {key}="),
            format!("entries of {key}="),
            Severity::Error,
        ),
        Swallowed::Part => (
            format!("a unit file has no comments behind a value: it becomes part of it, {key}={}", quoted(value)),
            format!("belongs to the value of {key}="),
            Severity::Error,
        ),
        Swallowed::Description => (
            "a unit file has no comments behind a value: it is part of the description that is shown".to_owned(),
            "part of the description".to_owned(),
            Severity::Note,
        ),
    };
    sheet.explain(file, item.line);
    sheet.add(&rules::INLINE_COMMENT, severity, Spot { file, span: item.value_part(comment) }, message, &label, fix);
    true
}

/// Text of the unit in a message, cut where it gets long.
fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("\"{short}\"")
}

/// A value that systemd warned about and ignores.
fn refused_value(sheet: &mut Sheet<'_>, file: usize, item: &Item, kind: KeyKind) {
    let (key, value) = (&item.key, &item.value);
    let spot = Spot { file, span: if value.is_empty() { item.span() } else { item.value_span() } };
    let accepted = |sheet: &Sheet<'_>, other: &str| other != value && sheet.accepts(&item.section, key, other);
    sheet.explain(file, item.line);
    let effect = consequence(sheet, key);
    let other_case = [value.to_lowercase(), value.to_uppercase()].into_iter().find(|other| accepted(sheet, other));
    if let Some(right) = other_case {
        let message =
            format!("{key}= is case sensitive: {} is none of its values and is ignored{effect}", quoted(value));
        sheet.found(&rules::WRONG_CASE, spot, message, &format!("should be {right}"), Some(format!("{key}={right}")));
        return;
    }
    let bare = value.trim_matches(['"', '\'']);
    if bare.len() + 2 == value.len() && accepted(sheet, bare) {
        let message = format!("quotes belong to the value here: {value} is ignored{effect}");
        sheet.found(&rules::QUOTED_VALUE, spot, message, "with its quotes", Some(format!("{key}={bare}")));
        return;
    }
    let said = sheet.warnings_at(file, item.line).first().map(|warning| warning.text.clone()).unwrap_or_default();
    let near = nearest(value, &words(kind, key)).map(str::to_owned);
    let said: String = said.chars().take(160).collect();
    let message = if value.is_empty() {
        format!("an empty value resets lists only: {key}= is ignored{effect} (systemd: {said})")
    } else {
        format!("systemd ignores the line{effect} (it says: {said})")
    };
    let label = near.as_ref().map_or_else(|| format!("not a value of {key}="), |near| format!("did you mean {near}?"));
    sheet.found(&rules::BAD_VALUE, spot, message, &label, near.map(|near| format!("{key}={near}")));
}

/// The words that a setting takes, where they are few.
fn words(kind: KeyKind, key: &str) -> Vec<&'static str> {
    match (kind, key) {
        (_, "Restart") => Restart::ALL.iter().map(|word| word.as_str()).collect(),
        (_, "Type") => ServiceType::ALL.iter().map(|word| word.as_str()).collect(),
        (_, "NotifyAccess") => NotifyAccess::ALL.iter().map(|word| word.as_str()).collect(),
        (KeyKind::KillMode, _) => KillMode::ALL.iter().map(|word| word.as_str()).collect(),
        _ => Vec::new(),
    }
}

/// `RestartSec=5M`.
fn months(sheet: &mut Sheet<'_>, file: usize, item: &Item, kind: KeyKind) {
    use KeyKind as K;
    let spans = matches!(kind, K::Span | K::SpanOrInfinity | K::StartTimeout | K::AbortTimeout | K::JobTimeout);
    let Some(number) = item.value.strip_suffix('M').map(str::trim_end) else { return };
    if !spans || number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return;
    }
    let shown = sheet.property(&item.key).map(|(name, value)| format!(": {name}={value}")).unwrap_or_default();
    let message = format!("{}= is in months: M stands for months, m for minutes{shown}", item.key);
    let fix = Some(format!("{}={number}min", item.key));
    sheet.found(&rules::MONTHS, Spot { file, span: item.value_span() }, message, "months", fix);
}
