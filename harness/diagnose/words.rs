//! Moments, spans and commands as people write them.

use crate::time::{IncidentTime, Span};
use crate::timeline::brief;
use crate::unit::name;

/// A span to the second, to the tenth of one below a minute, to the hundredth below a second.
pub(super) fn about(span: Span) -> String {
    let unit = match span.as_micros() {
        0..1_000_000 => 10_000,
        1_000_000..60_000_000 => 100_000,
        _ => 1_000_000,
    };
    let rounded = Span::from_micros((span.as_micros().saturating_add(unit / 2) / unit).saturating_mul(unit));
    brief(rounded)
}

/// `2026-01-16 12:19:00 UTC (9min 5s ago)`.
pub(super) fn since(moment: IncidentTime, now: IncidentTime) -> String {
    let ago = now.since(moment);
    let ago = if ago < Span::from_secs(86_400) { about(ago) } else { ago.format(Span::from_secs(3_600)) };
    format!("{} UTC ({ago} ago)", moment.civil().strftime("%Y-%m-%d %H:%M:%S"))
}

/// A word that a shell reads as itself.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A unit's name for a command; `None` for what is no unit's name.
pub(super) fn unit(word: &str) -> Option<String> {
    name::is_valid(word).then(|| quoted(word))
}

/// `1 restart`, `2 restarts`.
pub(super) fn count(number: u32, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
