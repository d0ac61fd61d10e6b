//! The mistakes that make a unit loop, or keep it from doing what it seems to say. Pure.
//!
//! A rule speaks only where the text alone makes it certain. What the unit does is asked of the manager
//! ([`crate::world::Forecast`]), never worked out a second time.

mod codes;
mod commands;
mod course;
mod keys;
mod kills;
mod limits;
mod ports;
mod program;
mod rest;
mod restarts;
mod rules;
mod sheet;
mod shell;
mod types;
mod values;

use std::ops::Range;

use crate::manager::Exit;
use crate::time::Span;
use crate::unit::{Files, Profile};

pub use rules::{RULES, Rule, Severity, rule};
pub use sheet::Finding;

/// What is known beside the text.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whose rules.
    pub profile: Profile,
    /// What the program takes from its start to its end.
    pub starts_in: Option<Span>,
    /// How it ends.
    pub exits: Option<Exit>,
    /// The rest of the unit is elsewhere, and only the drop-ins are here: what is said of the unit as a whole is not.
    pub partial: bool,
    /// Other units of the same files that are meant for the same machine.
    pub together: Vec<String>,
}

/// The most findings of one unit.
pub const MOST_FINDINGS: usize = 500;

/// Looks at a unit of these files; findings in the order of files and places, at most [`MOST_FINDINGS`].
pub fn lint(files: &Files, unit: &str, options: &Options) -> Vec<Finding> {
    let mut sheet = sheet::Sheet::new(files, unit, options);
    keys::look(&mut sheet);
    values::look(&mut sheet);
    if !options.partial && sheet.is_usable() {
        limits::look(&mut sheet);
        restarts::look(&mut sheet);
        codes::look(&mut sheet);
        types::look(&mut sheet);
        ports::look(&mut sheet);
    }
    commands::look(&mut sheet);
    kills::look(&mut sheet);
    rest::look(&mut sheet);
    sheet.done()
}

/// A place in one of the unit's files.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spot {
    /// Which file, in the order in which they apply.
    file: usize,
    span: Range<usize>,
}
