//! What was found.

use std::fmt::Write as _;

use serde::Serialize;

use super::fact::Cause;
use super::gaps::Period;
use crate::time::Span;
use crate::timeline::{brief, printable, printable_json};

/// What a loop was recognised by; the strongest evidence is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signature {
    /// A manager's own words for a restart.
    RestartCounter,
    /// A manager's starts and exits, or the PIDs it shows.
    MainPid,
    /// Two that take turns on one port.
    DuplicateOwner,
    /// Bind errors of one process after another.
    PortConflict,
    /// A start-up line that repeats.
    Banner,
}

impl Signature {
    /// As JSON spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Signature::RestartCounter => "restart-counter",
            Signature::MainPid => "main-pid",
            Signature::DuplicateOwner => "duplicate-owner",
            Signature::PortConflict => "port-conflict",
            Signature::Banner => "banner",
        }
    }
}

/// How a loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// The input ends inside of it.
    Ongoing,
    /// Its manager gave up.
    StartLimit,
    /// A run held.
    Recovered,
    /// The input does not say.
    Unknown,
}

impl Ended {
    /// As JSON spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Ended::Ongoing => "ongoing",
            Ended::StartLimit => "start-limit",
            Ended::Recovered => "recovered",
            Ended::Unknown => "unknown",
        }
    }
}

/// A restart loop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loop {
    /// The unit, else the program, else the line that repeats.
    pub subject: String,
    /// What it was recognised by.
    pub signature: Signature,
    /// How many of its starts the input shows.
    pub starts: u64,
    /// The stamp of the first: RFC 3339 where year and zone are known, else as it was read; none without stamps.
    pub first: Option<String>,
    /// The stamp of the last.
    pub last: Option<String>,
    /// From start to start, in microseconds; none without stamps.
    pub period_us: Option<Period>,
    /// Whether the gaps are much the same.
    pub periodic: bool,
    /// What ends its runs, if it is shown.
    pub cause: Option<Cause>,
    /// How it ended.
    pub ended: Ended,
    /// Whether each gap is longer than the one before.
    pub growing: bool,
}

/// What an input comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The loops, in the order of their beginnings.
    pub loops: Vec<Loop>,
    /// Loops beyond those that a report has room for.
    pub more: u64,
}

#[derive(Serialize)]
struct Shown<'a> {
    input: &'a str,
    verdict: &'static str,
    loops: &'a [Loop],
    #[serde(skip_serializing_if = "is_zero")]
    more: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Report {
    /// Whether there is a loop.
    pub fn has_loop(&self) -> bool {
        !self.loops.is_empty()
    }

    /// `loop` or `clean`.
    pub fn verdict(&self) -> &'static str {
        if self.has_loop() { "loop" } else { "clean" }
    }

    /// One object on one line, without its end; what a terminal would obey is escaped.
    pub fn to_json(&self, input: &str) -> String {
        let shown = Shown { input, verdict: self.verdict(), loops: &self.loops, more: self.more };
        // Nothing in it that JSON could refuse.
        printable_json(&serde_json::to_string(&shown).unwrap_or_default())
    }

    /// A few lines for people, without the last one's end.
    pub fn to_text(&self, input: &str) -> String {
        let mut out = format!("{}: ", printable(input));
        match self.loops.len() {
            0 => out.push_str("no restart loop"),
            1 => out.push_str("a restart loop"),
            many => {
                let _ = write!(out, "{many} restart loops");
            }
        }
        for found in &self.loops {
            let _ = write!(out, "\n\n{}", found.to_text());
        }
        if self.more > 0 {
            let _ = write!(out, "\n\n{} more loops are not shown", self.more);
        }
        out
    }
}

impl Loop {
    /// What is to be said of it, for people.
    pub fn to_text(&self) -> String {
        let line = |name: &str, value: &str| format!("\n  {name:<9} {}", printable(value));
        let mut out = printable(&self.subject).into_owned();
        let since = self.first.as_deref().unwrap_or("a time that the lines do not tell");
        let last = self.last.as_deref().map(|last| format!(", last at {last}")).unwrap_or_default();
        out.push_str(&line("starts", &format!("{} since {since}{last}", self.starts)));
        if let Some(period) = self.period_us {
            let brief = |micros| brief(Span::from_micros(micros));
            let kind = match (self.periodic, self.growing) {
                (_, true) => "growing",
                (true, _) => "steady",
                _ => "irregular",
            };
            let range = match period.min == period.max {
                true => String::new(),
                false => format!(", from {} to {}", brief(period.min), brief(period.max)),
            };
            out.push_str(&line("period", &format!("{} ({kind}{range})", brief(period.median))));
        }
        out.push_str(&line("cause", &self.cause.as_ref().map_or("none is shown".to_owned(), Cause::in_words)));
        let ended = match self.ended {
            Ended::Ongoing => "it goes on at the end of the input",
            Ended::StartLimit => "its manager gave up: the start limit was hit",
            Ended::Recovered => "it recovered: a run held",
            Ended::Unknown => "the input does not say how",
        };
        out.push_str(&line("ended", ended));
        out.push_str(&line("seen by", self.signature.as_str()));
        out
    }
}

impl Cause {
    fn in_words(&self) -> String {
        match self {
            Cause::PortInUse { port: Some(port) } => format!("port {port} is in use"),
            Cause::PortInUse { port: None } => "its address is in use".to_owned(),
            Cause::ExitCode { status } => format!("it exits with status {status}"),
            Cause::Signal { signal } => format!("it is killed by SIG{signal}"),
            Cause::CoreDump { signal: Some(signal) } => format!("it dumps core (SIG{signal})"),
            Cause::CoreDump { signal: None } => "it dumps core".to_owned(),
            Cause::Timeout => "a timeout of its manager".to_owned(),
            Cause::Watchdog => "it does not feed its watchdog".to_owned(),
            Cause::Protocol => "it does not do what its Type= asks for (protocol)".to_owned(),
            Cause::Resources => "its manager could not set it up (resources)".to_owned(),
            Cause::Condition => "an ExecCondition= says no".to_owned(),
        }
    }
}
