//! `date`: the incident's clock, in the forms of coreutils.

use crate::journal::parse_timestamp;
use crate::program::link::Link;
use crate::time::{IncidentTime, Span};

/// What `date` prints without a format, in the C locale.
const PLAIN: &str = "%a %b %e %H:%M:%S UTC %Y";

/// The directives of coreutils, but `%%` and `%N`.
const LETTERS: &str = "aAbBcCdDeFgGhHIjklmMnpPqrRsStTuUVwWxXyYzZ";

/// date(1): a format, `-d` with a moment, `-I`, `-R`, `--rfc-3339`. The incident's clock cannot be set.
pub(super) fn main(link: &mut Link, args: &[String]) -> u8 {
    let mut at = link.now();
    let mut format = None;
    let mut rest = args.iter().skip(1);
    while let Some(arg) = rest.next() {
        let chosen = match arg.as_str() {
            "-u" | "--utc" | "--universal" => continue,
            "-R" | "--rfc-email" => "%a, %d %b %Y %H:%M:%S +0000".to_owned(),
            "-d" | "--date" => {
                let text = rest.next().cloned().unwrap_or_default();
                let Some(moment) = moment(&text, link.now()) else { return invalid(link, &text) };
                at = moment;
                continue;
            }
            word => {
                if let Some(text) = word.strip_prefix("--date=").or_else(|| word.strip_prefix("-d")) {
                    let Some(moment) = moment(text, link.now()) else { return invalid(link, text) };
                    at = moment;
                    continue;
                }
                let standard = match (word.strip_prefix("--iso-8601"), word.strip_prefix("--rfc-3339=")) {
                    (Some(precision), _) => iso(precision.strip_prefix('=').unwrap_or(precision), 'T'),
                    (_, Some("")) => None,
                    (_, Some(precision)) => iso(precision, ' '),
                    _ => word.strip_prefix("-I").and_then(|precision| iso(precision, 'T')),
                };
                match (standard, word.strip_prefix('+')) {
                    (Some(standard), _) => standard,
                    (None, Some(own)) => own.to_owned(),
                    (None, None) if word.starts_with('-') => {
                        return refuse(link, &format!("unrecognized option '{word}' (this date knows -d, -I, -R, -u)"));
                    }
                    (None, None) => return refuse(link, &format!("extra operand ‘{word}’")),
                }
            }
        };
        if format.replace(chosen).is_some() {
            return refuse(link, "multiple output formats specified");
        }
    }
    let text = format!("{}\n", expand(format.as_deref().unwrap_or(PLAIN), at));
    link.stdout(text.as_bytes());
    0
}

fn invalid(link: &mut Link, text: &str) -> u8 {
    link.stderr(&format!("date: invalid date ‘{text}’"));
    1
}

fn refuse(link: &mut Link, message: &str) -> u8 {
    link.stderr(&format!("date: {message}"));
    link.stderr("Try 'date --help' for more information.");
    1
}

/// `@SECONDS`, the words of coreutils that systemd takes otherwise, and what systemd.time(7) takes.
fn moment(text: &str, now: IncidentTime) -> Option<IncidentTime> {
    const DAY: Span = Span::from_secs(86_400);
    match text {
        "" | "now" | "today" => Some(now),
        "yesterday" => Some(now - DAY),
        "tomorrow" => Some(now + DAY),
        _ => parse_timestamp(text, now).ok(),
    }
}

fn iso(precision: &str, between: char) -> Option<String> {
    let time = match precision {
        "" | "date" => return Some("%Y-%m-%d".to_owned()),
        "hours" => "%H",
        "minutes" => "%H:%M",
        "s" | "seconds" => "%H:%M:%S",
        "ns" if between == 'T' => "%H:%M:%S,%N",
        "ns" => "%H:%M:%S.%N",
        _ => return None,
    };
    Some(format!("%Y-%m-%d{between}{time}+00:00"))
}

/// A format of date(1). A directive that is none stands for itself, as there.
fn expand(format: &str, at: IncidentTime) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(start) = rest.find('%') {
        out.push_str(&rest[..start]);
        let directive = &rest[start..];
        let flags = directive[1..].find(|c: char| !matches!(c, '-' | '_' | '0'..='9' | '^' | '#' | ':' | 'E' | 'O'));
        let Some(letter) = flags.and_then(|flags| directive[1 + flags..].chars().next().map(|c| (1 + flags, c))) else {
            out.push_str(directive);
            return out;
        };
        let (length, letter) = (letter.0 + letter.1.len_utf8(), letter.1);
        let directive = &directive[..length];
        rest = &rest[start + length..];
        match letter {
            '%' => out.push('%'),
            'N' => {
                let nanos = format!("{:09}", at.as_micros() % 1_000_000 * 1000);
                let digits = directive[1..length - 1].parse::<usize>().unwrap_or(9);
                out.push_str(nanos.get(..digits).unwrap_or(&nanos));
            }
            _ if LETTERS.contains(letter) => match at.strftime(directive) {
                shown if shown.is_empty() => out.push_str(directive),
                shown => out.push_str(&shown),
            },
            _ => out.push_str(directive),
        }
    }
    out.push_str(rest);
    out
}
