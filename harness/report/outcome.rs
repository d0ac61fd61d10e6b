//! What became of one scenario.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::statistics::{Aftermath, Loop, Outage};
use crate::expect::{self, Diagnostic, Judged, Source, Style};
use crate::time::{IncidentTime, Span};
use crate::timeline::{Timeline, brief};

/// What became of one scenario. As JSON it is the object that `run --format json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The scenario's path.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// What it is for (`incident`, `fix`, …).
    pub kind: String,
    /// What became of it.
    pub verdict: Verdict,
    /// The clock it ran on (`virtual`, `scaled:20`, …).
    pub clock: String,
    /// The manager (`embedded`, `systemd`).
    pub manager: String,
    /// Whose words and rules (`252`, …).
    pub profile: String,
    /// How much incident time it took.
    #[serde(rename = "incident_us")]
    pub incident: Span,
    /// How much time it took on the wall, in microseconds.
    pub wall_us: u64,
    /// Its claims, those of extended scenarios first.
    pub claims: Vec<ClaimOutcome>,
    /// The loop that was seen.
    #[serde(rename = "loop")]
    pub cycles: Option<Loop>,
    /// What the polling client saw.
    pub outage: Option<Outage>,
    /// What the scenario's own actions have left; null before the first of them.
    pub aftermath: Option<Aftermath>,
    /// What the index says of it.
    #[serde(skip)]
    pub remark: String,
    /// Whether it is a check that answers the same, sick or healthy.
    #[serde(skip)]
    pub cannot_tell: bool,
    /// The directory that holds what is left of the run.
    pub artifacts: Option<String>,
    /// Its phases, those of extended scenarios first.
    #[serde(skip)]
    pub phases: Vec<PhaseOutcome>,
    /// Why it does not hold, in order; empty if it holds.
    #[serde(skip)]
    pub failures: Vec<Failure>,
    /// All that happened.
    #[serde(skip)]
    pub timeline: Timeline,
    /// The command that runs this scenario alone, as it was run.
    #[serde(skip)]
    pub rerun: String,
}

/// What became of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every claim holds.
    Holds,
    /// A claim is violated, or a command answered otherwise than the document says.
    Violated,
    /// The incident that it extends did not show.
    SetupFailed,
    /// The clock was too late to tell.
    Inconclusive,
    /// A process neither slept, parked nor ended.
    Stalled,
    /// It could not be run.
    Error,
}

impl Verdict {
    /// As JSON spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Violated => "violated",
            Verdict::SetupFailed => "setup-failed",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Stalled => "stalled",
            Verdict::Error => "error",
        }
    }
}

impl fmt::Display for Verdict {
    /// In words: `setup failed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Verdict::SetupFailed { "setup failed" } else { self.as_str() })
    }
}

/// The exit code of `run`: 1 if a claim is violated, else 2 if a scenario could not be run, else 3 if one is
/// undecided, else 0. A violated claim is the finding that nothing else may hide.
pub fn exit_code(outcomes: &[Outcome]) -> u8 {
    let has = |wanted: &[Verdict]| outcomes.iter().any(|outcome| wanted.contains(&outcome.verdict));
    if has(&[Verdict::Violated]) {
        1
    } else if has(&[Verdict::Error]) {
        2
    } else {
        u8::from(has(&[Verdict::SetupFailed, Verdict::Inconclusive, Verdict::Stalled])) * 3
    }
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimOutcome {
    /// The document it stands in, if that is not the scenario's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Its line there.
    pub line: u32,
    /// Its text.
    pub text: String,
    /// `holds`, `violated` or `open`.
    pub verdict: expect::Verdict,
    /// When it was decided, in microseconds since 1970 on the incident's clock; null if it was not.
    pub decided_at: Option<IncidentTime>,
}

impl ClaimOutcome {
    /// Of a claim of `document`, in a scenario whose own path is `scenario`.
    pub fn of(judged: &Judged, document: &Source, scenario: &str) -> Self {
        Self {
            document: (document.path() != scenario).then(|| document.path().to_owned()),
            line: judged.claim.line,
            text: judged.claim.text.clone(),
            verdict: judged.verdict,
            decided_at: judged.decided_at,
        }
    }
}

/// What became of a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseOutcome {
    /// Its heading.
    pub title: String,
    /// How far it came.
    pub state: PhaseState,
    /// When it began and ended (or where the run ended within it); `None` if it was not reached.
    pub time: Option<(IncidentTime, IncidentTime)>,
    /// How many commands it ran.
    pub commands: usize,
    /// How many of its claims hold.
    pub claims: usize,
}

/// How far a phase came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PhaseState {
    /// To its end, and all of it as it should be.
    Passed,
    /// Something in it was not as it should be.
    Failed,
    /// The run ended before it.
    NotReached,
}

/// Whether a failure is a finding or a hindrance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// Something is not as the document says.
    Violated,
    /// The document cannot be run, or its run came to no end.
    Error,
}

/// Why a scenario does not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which kind it is.
    pub kind: FailureKind,
    /// The document, and the place and message; `None` if it is about no place.
    pub place: Option<(Arc<Source>, Diagnostic)>,
    /// What to say without a place, or below the frame: a diff, a longer story.
    pub detail: String,
    /// When it happened.
    pub at: Option<IncidentTime>,
    /// Indexes of the events that show it.
    pub evidence: Vec<usize>,
}

impl Failure {
    /// A claim that is violated, or open at the end.
    pub fn of_claim(judged: &Judged, document: &Arc<Source>) -> Self {
        let reason = if judged.reason.is_empty() { "undecided when the run ended" } else { &judged.reason };
        let label = match judged.decided_at {
            Some(at) => format!("decided at {}", at.strftime("%H:%M:%S%.3f")),
            None => "never decided".into(),
        };
        Self {
            kind: FailureKind::Violated,
            place: Some((Arc::clone(document), Diagnostic::new(judged.claim.span.clone(), reason, label))),
            detail: String::new(),
            at: judged.decided_at,
            evidence: judged.evidence.clone(),
        }
    }

    /// A command that printed something else; `diff` shows what.
    pub fn of_output(document: &Arc<Source>, command: Range<usize>, diff: &str, at: IncidentTime) -> Self {
        let label = format!("at {}", at.strftime("%H:%M:%S%.3f"));
        Self {
            kind: FailureKind::Violated,
            place: Some((Arc::clone(document), Diagnostic::new(command, "the command printed something else", label))),
            detail: diff.to_owned(),
            at: Some(at),
            evidence: Vec::new(),
        }
    }

    /// A command that ended with another exit status.
    pub fn of_status(document: &Arc<Source>, command: Range<usize>, expected: u8, found: u8, at: IncidentTime) -> Self {
        let message = format!("the command's exit status is {found}, not {expected}");
        let label = format!("at {}", at.strftime("%H:%M:%S%.3f"));
        let mut diagnostic = Diagnostic::new(command, message, label);
        if expected == 0 {
            diagnostic =
                diagnostic.help(format!("a line `? {found}` below the output says that this is as it should be"));
        }
        Self {
            kind: FailureKind::Violated,
            place: Some((Arc::clone(document), diagnostic)),
            detail: String::new(),
            at: Some(at),
            evidence: Vec::new(),
        }
    }

    /// A place of the document that keeps it from being run, or from going on.
    pub fn of_document(document: &Arc<Source>, diagnostic: Diagnostic, at: Option<IncidentTime>) -> Self {
        let place = Some((Arc::clone(document), diagnostic));
        Self { kind: FailureKind::Error, place, detail: String::new(), at, evidence: Vec::new() }
    }

    /// An error of a scenario that only its run could find.
    pub fn of_error(error: &crate::scenario::Error, at: Option<IncidentTime>) -> Self {
        match error.place() {
            Some((source, diagnostic)) => Self::of_document(source, diagnostic.clone(), at),
            None => Self::other(error.message(), at),
        }
    }

    /// Something that no place of the document is to blame for: a stall, a run that could not be set up.
    pub fn other(message: impl Into<String>, at: Option<IncidentTime>) -> Self {
        Self { kind: FailureKind::Error, place: None, detail: message.into(), at, evidence: Vec::new() }
    }

    /// The frame or the message, without what happened around it.
    pub fn render(&self, style: Style) -> String {
        let mut out = String::new();
        if let Some((source, diagnostic)) = &self.place {
            out.push_str(&match self.kind {
                FailureKind::Violated => diagnostic.render_claim(source, style),
                FailureKind::Error => diagnostic.render(source, style),
            });
            out.push('\n');
        }
        out.push_str(&printable_lines(&self.detail));
        out
    }

    /// What went wrong in one line.
    pub fn message(&self) -> &str {
        match &self.place {
            Some((_, diagnostic)) => &diagnostic.message,
            None => self.detail.lines().next().unwrap_or_default(),
        }
    }
}

/// Several lines, each safe for a terminal and with its line end.
pub(super) fn printable_lines(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", crate::timeline::printable(line))).collect()
}

impl Outcome {
    /// `14.5s`, or `14.4s .. 14.7s` if the period varies; `None` without a loop.
    pub fn period(&self) -> Option<String> {
        let period = self.cycles?.period?;
        Some(if period.min == period.max {
            brief(period.min)
        } else {
            format!("{} .. {}", brief(period.min), brief(period.max))
        })
    }
}
