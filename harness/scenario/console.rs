//! What an operator types, and what comes back.

use std::ops::Range;

use super::fence::{Attribute, Timing};
use crate::expect::{Diagnostic, Location};
use crate::time::{IncidentTime, Span};

/// A `console` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Console {
    /// When it runs.
    pub when: When,
    /// Where that is said, if it is.
    pub when_at: Option<Location>,
    /// The commands, in order, at least one.
    pub commands: Vec<Command>,
}

/// When a block runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// As soon as the block before it is over.
    Now,
    /// `at=`: at this moment.
    At(IncidentTime),
    /// `after=`: so long after the block before it.
    After(Span),
}

/// A command, and what it should print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// As typed, continuation lines joined by newlines.
    pub text: String,
    /// From `$` to the end of the last continuation line.
    pub location: Location,
    /// The lines it should print, as written: with `...`, `[..]` and `[NAME]`.
    pub output: Vec<Line>,
    /// The bytes of these lines, with their line ends; empty but in place if there are none.
    pub output_span: Range<usize>,
    /// The exit status it should have.
    pub status: u8,
}

/// A line of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The text, without its line end and the blanks before that.
    pub text: String,
    /// Its bytes.
    pub span: Range<usize>,
}

type Result<T> = std::result::Result<T, Diagnostic>;

/// A line of the block with its place, without its line end.
fn lines(text: &str, block: Range<usize>) -> impl Iterator<Item = (&str, Range<usize>)> {
    let mut start = block.start;
    text.get(block).unwrap_or_default().split_inclusive('\n').map(move |line| {
        let at = start;
        start += line.len();
        (line.trim_end(), at..start)
    })
}

/// Reads the commands of a block.
pub(super) fn commands(
    text: &str,
    block: Range<usize>,
    locate: impl Fn(Range<usize>) -> Location,
) -> Result<Vec<Command>> {
    let mut commands: Vec<Command> = Vec::new();
    // Whether the last thing read is a command line, a status line, or (neither) output.
    let mut is_typing = false;
    let mut status_at: Option<Range<usize>> = None;
    for (line, span) in lines(text, block.clone()) {
        let bytes = span.start..span.start + line.len();
        if let Some(command) = typed(line, '$') {
            if command.trim().is_empty() {
                return Err(Diagnostic::new(bytes, "an empty command", "expected a command after `$`"));
            }
            commands.push(Command {
                text: command.to_owned(),
                location: locate(bytes),
                output: Vec::new(),
                output_span: span.end..span.end,
                status: 0,
            });
            is_typing = true;
            status_at = None;
            continue;
        }
        let Some(command) = commands.last_mut() else {
            if line.is_empty() {
                continue;
            }
            return Err(Diagnostic::new(bytes, "output without a command", "expected `$ COMMAND`"));
        };
        if is_typing && let Some(more) = typed(line, '>') {
            command.text.push('\n');
            command.text.push_str(more);
            command.location.span.end = bytes.end;
            command.output_span = span.end..span.end;
            continue;
        }
        is_typing = false;
        if let Some(status) = status_at.as_ref() {
            if line.is_empty() {
                continue;
            }
            return Err(Diagnostic::new(
                bytes,
                "output after the exit status",
                "expected `$ COMMAND` or the end of the block",
            )
            .related(status.clone(), "the status stands last"));
        }
        if let Some(status) = status_line(line) {
            command.status = status.map_err(|label| Diagnostic::new(bytes.clone(), "not an exit status", label))?;
            status_at = Some(bytes);
            continue;
        }
        command.output.push(Line { text: line.to_owned(), span: bytes });
    }
    commands.iter_mut().for_each(|command| trim(command, text));
    if commands.is_empty() {
        return Err(Diagnostic::new(
            block.start..block.start,
            "a console block without a command",
            "expected `$ COMMAND`",
        ));
    }
    Ok(commands)
}

/// What was typed after a prompt.
fn typed(line: &str, prompt: char) -> Option<&str> {
    let rest = line.strip_prefix(prompt)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(' ') }
}

/// `? 3`: the exit status of the command above.
fn status_line(line: &str) -> Option<std::result::Result<u8, &'static str>> {
    let rest = line.strip_prefix("? ")?.trim();
    if rest.is_empty() || !rest.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(rest.parse().map_err(|_| "expected 0 to 255"))
}

/// Blank lines after the output part the commands; they are not output.
fn trim(command: &mut Command, text: &str) {
    while command.output.last().is_some_and(|line| line.text.is_empty()) {
        command.output.pop();
    }
    if let (Some(first), Some(last)) = (command.output.first(), command.output.last()) {
        let rest = text.get(last.span.end..).unwrap_or_default();
        let end = rest.find('\n').map_or(text.len(), |newline| last.span.end + newline + 1);
        command.output_span = first.span.start..end;
    }
}

/// Reads `at=` or `after=`. `today` is the date that a time of day belongs to.
pub(super) fn when(timing: Option<&Timing>, today: IncidentTime) -> Result<When> {
    match timing {
        None => Ok(When::Now),
        Some(Timing::After(Attribute { value, span })) => match Span::parse(value) {
            Ok(after) if !after.is_infinite() => Ok(When::After(after)),
            Ok(_) => Err(Diagnostic::new(span.clone(), "the block would never run", "expected a span such as `14.5s`")),
            Err(error) => Err(Diagnostic::new(span.clone(), "not a time span", error.to_string())),
        },
        Some(Timing::At(Attribute { value, span })) => moment(value, today).map(When::At).ok_or_else(|| {
            Diagnostic::new(
                span.clone(),
                format!("`{value}` is not a time"),
                "expected `HH:MM:SS`, `HH:MM:SS.fff` or a date with it, as in `2026-01-16T12:31:45`",
            )
        }),
    }
}

fn moment(text: &str, today: IncidentTime) -> Option<IncidentTime> {
    let civil = if text.contains(['T', ' ']) || text.matches('-').count() == 2 {
        if !text.contains(':') {
            return None;
        }
        text.parse::<jiff::civil::DateTime>().ok()?
    } else {
        if text.matches(':').count() != 2 {
            return None;
        }
        today.civil().date().to_datetime(text.parse::<jiff::civil::Time>().ok()?)
    };
    (civil.year() >= 1970).then(|| IncidentTime::from_civil(civil))
}
