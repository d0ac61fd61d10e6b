//! Text from strangers, made safe for a terminal.

use std::borrow::Cow;

use crate::time::Span;

/// The text with every character that a terminal would obey replaced by one that it shows: ESC becomes `␛`,
/// and so on; tabs stay. Text that is to be printed goes through here once, when it is rendered.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| replacement(c).is_some()) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| replacement(c).unwrap_or(c)).collect())
}

/// Whether a terminal would do something else with a character than show it.
pub fn is_obeyed(c: char) -> bool {
    replacement(c).is_some()
}

/// JSON in which everything that a terminal would obey is escaped, also where JSON would let it through: a line of it may
/// be looked at.
pub fn printable_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // Outside of strings there is none of these. All of them have one UTF-16 unit.
        if is_obeyed(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// What stands for a character that must not reach a terminal.
fn replacement(c: char) -> Option<char> {
    match c {
        '\t' => None,
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)),
        '\u{7f}' => Some('\u{2421}'),
        // C1 controls (CSI among them), line and paragraph separators, and what turns the direction of text.
        '\u{80}'..='\u{9f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {
            Some('\u{fffd}')
        }
        _ => None,
    }
}

/// A span as people write it: as systemd shows it, without the zeros that end a fraction (`14.5s`, not `14.500000s`).
pub fn brief(span: Span) -> String {
    let text = span.to_string();
    match text.split_once('.') {
        Some((whole, fraction)) => {
            let digits = fraction.trim_end_matches(|c: char| !c.is_ascii_digit());
            let unit = &fraction[digits.len()..];
            let digits = digits.trim_end_matches('0');
            let dot = if digits.is_empty() { "" } else { "." };
            format!("{whole}{dot}{digits}{unit}")
        }
        None => text,
    }
}
