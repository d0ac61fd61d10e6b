//! What a claim is, once parsed.

use std::fmt;
use std::ops::Range;

use regex::Regex;

use crate::time::Span;

/// A claim of an `expect` block and where it stands.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Its text, without comment and surrounding blanks.
    pub text: String,
    /// Its bytes in the source.
    pub span: Range<usize>,
    /// Its line in the source, from 1.
    pub line: u32,
    /// What it says.
    pub kind: ClaimKind,
}

/// The forms of claims; the module's documentation says when each is decided.
#[derive(Clone, Debug)]
pub enum ClaimKind {
    /// `5x log "…" every 14s .. 15s`
    Repeats {
        /// How many.
        count: u32,
        /// Of what.
        event: EventPattern,
        /// The least distance from one to the next.
        least: Span,
        /// The greatest.
        most: Span,
    },
    /// `each cycle: …, …`
    EachCycle(Vec<EventPattern>),
    /// `in order: …, …`
    InOrder(Vec<EventPattern>),
    /// `eventually …`
    Eventually {
        /// What is to become true.
        cond: Cond,
        /// By when; the budget if not said.
        within: Option<Span>,
    },
    /// `always …`
    Always {
        /// What is to stay true.
        cond: Cond,
        /// For how long; the budget if not said.
        window: Option<Window>,
    },
    /// `never …`
    Never {
        /// What must not be.
        what: Absent,
        /// For how long; the budget if not said.
        window: Option<Window>,
    },
    /// `exactly N …`, `at least N …`, `at most N …`
    Count {
        /// Which of the three.
        bound: Bound,
        /// The number.
        count: u32,
        /// Of what.
        event: EventPattern,
        /// For how long; the budget if not said.
        window: Option<Window>,
    },
    /// `outage <= 9s`
    Outage {
        /// `<=`, `>=` or `=`.
        op: Op,
        /// Compared with this.
        span: Span,
    },
}

/// How long a claim watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// `for 5min`
    For(Span),
    /// `for 5 cycles`
    Cycles(u32),
}

/// What `never` is said of.
#[derive(Clone, Debug)]
pub enum Absent {
    /// An event.
    Event(EventPattern),
    /// A condition.
    Cond(Cond),
}

/// Which side of a number is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the words of the claim")]
pub enum Bound {
    Exactly,
    AtLeast,
    AtMost,
}

/// An event as a claim names it.
#[derive(Clone, Debug)]
pub struct EventPattern {
    /// Whose event.
    pub subject: Subject,
    /// Which.
    pub act: Act,
    /// Its bytes in the source.
    pub span: Range<usize>,
    /// Its text.
    pub text: String,
}

/// Whose event is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The scenario's unit.
    Default,
    /// Another unit, by its full name.
    Unit(String),
    /// The process whose incident PID a console output bound.
    Var(Var),
}

/// A name that a console output bound, without its brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Var {
    /// The name.
    pub name: String,
    /// Its bytes in the source, with the brackets.
    pub span: Range<usize>,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Act {
    /// `log "…"`
    Log(Pattern),
    /// `start`
    Start,
    /// `exit 1`
    Exit(u8),
    /// `killed KILL`: the signal's number.
    Killed(i32),
    /// `listening 8000`
    Listening(u16),
    /// `refused 8000`
    Refused(u16),
    /// `restart in 10s`
    RestartIn(Span),
    /// `restart scheduled`
    RestartScheduled,
    /// `start-limit-hit`
    StartLimitHit,
    /// `journal "…"`
    Journal(Pattern),
}

/// A text to look for in a line.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// `"…"`: anywhere in the line, case and blanks as they are.
    Literal(String),
    /// `/…/`: a regular expression, anywhere in the line.
    Regex(Regex),
}

impl Pattern {
    /// Whether the line has it.
    pub fn matches(&self, line: &str) -> bool {
        match self {
            Pattern::Literal(text) => line.contains(text.as_str()),
            Pattern::Regex(regex) => regex.is_match(line),
        }
    }
}

/// Terms that must all be true at one moment.
#[derive(Clone, Debug)]
pub struct Cond {
    /// The terms, at least one.
    pub terms: Vec<Term>,
}

/// A comparison.
#[derive(Clone, Debug)]
pub struct Term {
    /// Of what.
    pub quantity: Quantity,
    /// How.
    pub op: Op,
    /// With what.
    pub value: Value,
    /// Its bytes in the source.
    pub span: Range<usize>,
    /// The text of the left side.
    pub text: String,
}

/// The left side of a term.
#[derive(Clone, Debug)]
pub enum Quantity {
    /// `unit.ActiveState`
    Property(PropertyName),
    /// `port 8000 owner`
    Owner(u16),
    /// `port 8000 owners`
    Owners(u16),
    /// `processes "uvicorn"`
    Processes(Pattern),
}

/// A property of a unit, as `systemctl show` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyName {
    /// The unit's full name; `None` for the scenario's unit.
    pub unit: Option<String>,
    /// The property.
    pub name: String,
}

/// A comparison's sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Display says it")]
pub enum Op {
    Equal,
    NotEqual,
    AtLeast,
    AtMost,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::Equal => "=",
            Op::NotEqual => "!=",
            Op::AtLeast => ">=",
            Op::AtMost => "<=",
        })
    }
}

/// The right side of a term.
#[derive(Clone, Debug)]
pub enum Value {
    /// `[NAME]`
    Var(Var),
    /// `unit.MainPID`
    Property(PropertyName),
    /// `none`, of a port's owner.
    None,
    /// Any other word, number or span, or a text in quotes: as it stands.
    Word(String),
}

impl Claim {
    /// Every `[NAME]` the claim needs.
    pub fn vars(&self) -> Vec<&Var> {
        let of_events = self.events().iter().filter_map(|event| match &event.subject {
            Subject::Var(var) => Some(var),
            _ => None,
        });
        let of_terms = self.terms().iter().filter_map(|term| match &term.value {
            Value::Var(var) => Some(var),
            _ => None,
        });
        of_events.chain(of_terms).collect()
    }

    /// Every unit the claim names.
    pub fn units(&self) -> Vec<&str> {
        let of_events = self.events().iter().filter_map(|event| match &event.subject {
            Subject::Unit(name) => Some(name.as_str()),
            _ => None,
        });
        let of_terms = self.terms().iter().flat_map(Term::properties).filter_map(|name| name.unit.as_deref());
        of_events.chain(of_terms).collect()
    }

    /// Whether the claim needs to know which unit is the scenario's.
    pub fn speaks_of_default_unit(&self) -> bool {
        matches!(&self.kind, ClaimKind::EachCycle(_))
            || self.window().is_some_and(|window| matches!(window, Window::Cycles(_)))
            || self.events().iter().any(|event| event.subject == Subject::Default)
            || self.terms().iter().any(|term| {
                term.properties().any(|name| name.unit.is_none())
                    || matches!((&term.quantity, &term.value), (Quantity::Owner(_), Value::Word(word)) if word == "unit")
            })
    }

    /// The claim's own window.
    pub fn window(&self) -> Option<Window> {
        match &self.kind {
            ClaimKind::Always { window, .. } | ClaimKind::Never { window, .. } | ClaimKind::Count { window, .. } => {
                *window
            }
            ClaimKind::Eventually { within, .. } => within.map(Window::For),
            _ => None,
        }
    }

    /// The events it names.
    pub fn events(&self) -> &[EventPattern] {
        match &self.kind {
            ClaimKind::Repeats { event, .. }
            | ClaimKind::Count { event, .. }
            | ClaimKind::Never { what: Absent::Event(event), .. } => std::slice::from_ref(event),
            ClaimKind::EachCycle(events) | ClaimKind::InOrder(events) => events,
            _ => &[],
        }
    }

    /// The terms of its condition.
    pub fn terms(&self) -> &[Term] {
        match &self.kind {
            ClaimKind::Eventually { cond, .. }
            | ClaimKind::Always { cond, .. }
            | ClaimKind::Never { what: Absent::Cond(cond), .. } => &cond.terms,
            _ => &[],
        }
    }
}

impl Term {
    /// The properties on both sides.
    fn properties(&self) -> impl Iterator<Item = &PropertyName> {
        let left = match &self.quantity {
            Quantity::Property(name) => Some(name),
            _ => None,
        };
        let right = match &self.value {
            Value::Property(name) => Some(name),
            _ => None,
        };
        left.into_iter().chain(right)
    }
}

/// Unit types: what a unit's name may end in (systemd.unit(5), "Description").
pub const UNIT_TYPES: &[&str] =
    &["service", "socket", "target", "device", "mount", "automount", "swap", "timer", "path", "slice", "scope"];

/// Whether a word is a full unit name.
pub fn is_unit_name(word: &str) -> bool {
    word.rsplit_once('.').is_some_and(|(stem, suffix)| !stem.is_empty() && UNIT_TYPES.contains(&suffix))
}

/// The full name of a unit that may be named without its `.service`.
pub fn full_unit_name(word: &str) -> String {
    if is_unit_name(word) { word.to_owned() } else { format!("{word}.service") }
}
