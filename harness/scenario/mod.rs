//! Scenario files: CommonMark → blocks with their places → a plan. Pure.
//!
//! [`Scenario::load_with`] reads a document and those it extends, and refuses what it does not understand: every
//! fence, attribute, key, claim and name is either used or an [`Error`] with file, line, column and a caret. Prose is
//! ignored, and so are fences in other languages (```` ```bash ````, ```` ```ini ```` without `unit=`), but not those
//! that are nearly one of ours.
//!
//! | fence | block |
//! |---|---|
//! | ```` ```toml scenario ```` | the header: [`Settings`], [`Kind`], `extends` |
//! | ```` ```toml program=NAME ```` | [`ProgramBlock`], a stand-in |
//! | ```` ```ini unit=NAME.service ```` | [`UnitBlock`], a unit file or a drop-in |
//! | ```` ```LANGUAGE file=/PATH ```` | [`FileBlock`], executable if it begins with `#!` |
//! | ```` ```console [at=TIME \| after=SPAN] ```` | [`Console`], what an operator types and sees |
//! | ```` ```expect ```` | [`Expect`], claims |
//!
//! The blocks are the steps of the plan, from top to bottom, those of the extended scenario first. [`compare`] and
//! [`update`] are for console outputs, [`crate::mapping::Mapping`] is for the paths and ports in them, and [`scan`] reads where a
//! command writes.

mod check;
mod console;
mod error;
mod fence;
mod load;
mod markdown;
mod output;
mod settings;
mod shell;

use std::ops::Range;
use std::sync::Arc;

use crate::expect::{Claim, Location, Source};

pub use console::{Command, Console, Line, When};
pub use error::Error;
pub use load::Loader;
pub use output::{Bindings, Mismatch, compare, compare_but_for_numbers, update};
pub use settings::{Bind, Client, Kind, OnTerm, Program, Says, Settings, Startup};
pub use shell::{Scan, Target, scan};

/// A scenario with everything it extends, ready to be run from top to bottom.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file it was read from.
    pub source: Arc<Source>,
    /// Its H1.
    pub title: String,
    /// What it is for.
    pub kind: Kind,
    /// The path of the scenario it extends, resolved.
    pub extends: Option<String>,
    /// All documents it was read from, those that it extends first.
    pub documents: Vec<Arc<Source>>,
    /// Its header, over those of the scenarios it extends.
    pub settings: Settings,
    /// All H2, those of the extended scenarios first.
    pub phases: Vec<Phase>,
    /// All blocks, those of the extended scenarios first.
    pub steps: Vec<Step>,
    /// How many of the steps come from extended scenarios.
    pub inherited: usize,
    /// Whether it is an incident or extends one.
    pub has_incident: bool,
    /// The full name of the scenario's unit: the first `.service` in a block, else the first unit.
    pub unit: Option<String>,
}

/// A phase: what follows an H2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// The heading.
    pub title: String,
    /// Where it stands.
    pub location: Location,
}

/// A block.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its phase, as an index into [`Scenario::phases`]; `None` before the first H2.
    pub phase: Option<usize>,
    /// The whole block, with its fences.
    pub location: Location,
    /// What it is.
    pub kind: StepKind,
}

/// What a block is. Units, files and programs are put in place when the run reaches them.
#[derive(Clone, Debug)]
pub enum StepKind {
    /// `toml program=NAME`
    Program(Box<ProgramBlock>),
    /// `ini unit=NAME`
    Unit(UnitBlock),
    /// any language with `file=PATH`
    File(FileBlock),
    /// `console`
    Console(Console),
    /// `expect`
    Expect(Expect),
}

/// A stand-in by name.
#[derive(Clone, Debug)]
pub struct ProgramBlock {
    /// The name of the block.
    pub name: String,
    /// What it does.
    pub program: Program,
    /// Its text.
    pub location: Location,
}

/// A unit file or a drop-in.
#[derive(Clone, Debug)]
pub struct UnitBlock {
    /// The name below `/etc/systemd/system`: `x.service`, `x.service.d/10.conf`.
    pub name: String,
    /// Its text.
    pub location: Location,
}

impl UnitBlock {
    /// The incident path.
    pub fn path(&self) -> String {
        format!("/etc/systemd/system/{}", self.name)
    }

    /// The unit file, byte for byte.
    pub fn text(&self) -> &str {
        self.location.text()
    }

    /// Whether it is a drop-in.
    pub fn is_drop_in(&self) -> bool {
        self.name.contains('/')
    }

    /// The unit it is about.
    pub fn unit(&self) -> &str {
        self.name.split_once(".d/").map_or(self.name.as_str(), |(unit, _)| unit)
    }
}

/// A file of the incident's machine.
#[derive(Clone, Debug)]
pub struct FileBlock {
    /// Its absolute incident path.
    pub path: String,
    /// Whether it is written in the language of shells: the fence or the first line says so.
    pub is_shell: bool,
    /// Its text.
    pub location: Location,
}

impl FileBlock {
    /// The file, byte for byte.
    pub fn text(&self) -> &str {
        self.location.text()
    }

    /// Whether it is to be executable: a script.
    pub fn is_executable(&self) -> bool {
        self.text().starts_with("#!")
    }
}

/// An `expect` block.
#[derive(Clone, Debug)]
pub struct Expect {
    /// The text its claims point into.
    pub source: Arc<Source>,
    /// The claims, at least one.
    pub claims: Vec<Claim>,
}

impl Scenario {
    /// The stand-ins, in order; a later one of the same name replaces an earlier one.
    pub fn programs(&self) -> impl Iterator<Item = &ProgramBlock> {
        self.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Program(program) => Some(&**program),
            _ => None,
        })
    }

    /// The unit files and drop-ins, in order.
    pub fn units(&self) -> impl Iterator<Item = &UnitBlock> {
        self.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Unit(unit) => Some(unit),
            _ => None,
        })
    }

    /// The files, in order.
    pub fn files(&self) -> impl Iterator<Item = &FileBlock> {
        self.steps.iter().filter_map(|step| match &step.kind {
            StepKind::File(file) => Some(file),
            _ => None,
        })
    }

    /// The console blocks, in order.
    pub fn consoles(&self) -> impl Iterator<Item = &Console> {
        self.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Console(console) => Some(console),
            _ => None,
        })
    }

    /// The `expect` blocks, in order.
    pub fn expects(&self) -> impl Iterator<Item = &Expect> {
        self.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Expect(expect) => Some(expect),
            _ => None,
        })
    }
}

fn location(source: &Arc<Source>, span: Range<usize>) -> Location {
    Location { source: Arc::clone(source), span }
}
