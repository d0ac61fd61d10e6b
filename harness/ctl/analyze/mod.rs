//! What `systemd-analyze` says of the unit language: time spans, exit statuses, unit files. Pure.
//!
//! Words and order are systemd's; only the exit codes of refusals are our own ([`Output::code`] is 2 where the input
//! makes no sense, 1 where a unit is not as it should be).

mod desk;
mod exec;
mod verify;

use std::collections::BTreeMap;

use super::Output;
use crate::time::{Span, SpanError};
use crate::unit::exit_status;
use crate::unit::{Files, Profile};

pub use exec::{Argv, Commands};
pub use verify::{Programs, Recursive};

/// The exit code of a refusal.
const USAGE: u8 = 2;

/// Unit files that are looked at without a machine.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    /// Whose words and rules.
    pub profile: Profile,
    /// The unit directories. What somebody wants to look at lies in `/etc/systemd/system`, as if it were installed.
    pub files: Files,
    /// Where a file of `files` really lies, if messages and properties are to say so.
    pub shown: BTreeMap<String, String>,
    /// Whether `files` holds all units there are. If not, a unit that it lacks may well exist elsewhere, and that it is
    /// missing is no error.
    pub complete: bool,
}

impl Shelf {
    fn shown<'a>(&'a self, path: &'a str) -> &'a str {
        self.shown.get(path).map_or(path, String::as_str)
    }
}

/// `systemd-analyze timespan SPAN…` (systemd-analyze(1)).
pub fn timespan(spans: &[String]) -> Output {
    let mut output = Output::default();
    for (index, text) in spans.iter().enumerate() {
        match Span::parse(text) {
            Ok(span) => {
                if index > 0 {
                    output.say("");
                }
                output.say(format!("Original: {text}\n      μs: {}\n   Human: {span}", span.as_micros()));
            }
            Err(error) => {
                let errno = match error {
                    SpanError::Overflow | SpanError::Negative => "Numerical result out of range",
                    SpanError::Empty | SpanError::Number | SpanError::Unit => "Invalid argument",
                };
                output.complain(format!("Failed to parse time span '{text}': {errno}"));
                if crate::journal::parse_timestamp(text, desk::NOW).is_ok() {
                    output.complain(format!(
                        "Hint: this expression is a valid timestamp. Use 'systemd-analyze timestamp \"{text}\"' instead?"
                    ));
                }
                output.code = USAGE;
                return output;
            }
        }
    }
    output
}

/// `systemd-analyze exit-status [STATUS…]`: names, numbers and classes, of all that have a name if none is asked for.
pub fn exit_status(asked: &[String]) -> Output {
    let mut rows: Vec<[String; 3]> = vec![["NAME", "STATUS", "CLASS"].map(str::to_owned)];
    let row = |status: u8| match exit_status::name(status) {
        Some((name, class)) => [name.to_owned(), status.to_string(), class.as_str().to_owned()],
        None => ["-".to_owned(), status.to_string(), "-".to_owned()],
    };
    if asked.is_empty() {
        rows.extend((0..=u8::MAX).filter(|status| exit_status::name(*status).is_some()).map(row));
    }
    for word in asked {
        match exit_status::from_name(word) {
            Some(status) => rows.push(row(status)),
            None => {
                let mut output = Output { code: USAGE, ..Output::default() };
                output.complain(format!("Invalid exit status \"{word}\"."));
                return output;
            }
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let (names, numbers) = (width(0), width(1));
    let mut output = Output::default();
    for [name, number, class] in &rows {
        output.say(format!("{name:names$} {number:>numbers$} {class}"));
    }
    output
}

/// Which properties `show` prints, and how (systemctl(1), `--property=`, `--value`, `--all`).
#[derive(Clone, Debug, Default)]
pub struct Show {
    /// Only these; empty for all.
    pub properties: Vec<String>,
    /// Values without their names.
    pub value_only: bool,
    /// Empty ones too.
    pub all: bool,
}

/// The properties of units that were just loaded, as `systemctl show` prints them; what was found wrong with their
/// files goes to standard error, in systemd's words.
pub fn show(shelf: &Shelf, units: &[String], what: &Show) -> Output {
    let mut output = Output::default();
    let mut desk = desk::Desk::new(shelf);
    for (index, unit) in units.iter().enumerate() {
        for said in desk.show(unit) {
            output.complain(said.text);
        }
        if index > 0 {
            output.say("");
        }
        for (key, value) in desk.properties(unit) {
            let wanted = what.properties.is_empty() || what.properties.iter().any(|name| name == key);
            if wanted && (!value.is_empty() || what.all || !what.properties.is_empty()) {
                output.say(if what.value_only { value } else { format!("{key}={value}") });
            }
        }
    }
    output
}

/// `systemd-analyze verify FILE…`: loads the units and everything they refer to, tries what a start would pull in, and
/// looks for the programs if it is told how (systemd-analyze(1)).
///
/// As with systemd, what is warned about is no failure unless `recursive` says so.
pub fn verify(shelf: &Shelf, units: &[String], recursive: Option<Recursive>, programs: Option<Programs<'_>>) -> Output {
    verify::verify(shelf, units, recursive, programs)
}

/// The commands of a service as they would be run. The messages of its files come beside it; `None` if it cannot be
/// loaded, or is no service.
pub fn exec(shelf: &Shelf, unit: &str, read: Option<exec::Read<'_>>) -> (Option<Commands>, Output) {
    exec::exec(shelf, unit, read)
}

/// Splits a list of properties as `-p` takes them (`A,B`).
pub fn property_names(lists: &[String]) -> Vec<String> {
    lists.iter().flat_map(|list| list.split(',')).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
