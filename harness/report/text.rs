//! For people: a line a scenario, and for one that does not hold, what is needed to see why.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::outcome::{Failure, Outcome, PhaseState, Verdict};
use crate::expect::Style;
use crate::time::{IncidentTime, Span};
use crate::timeline::{Answer, EventKind, Timeline, brief, printable, render_at};

/// How many events are shown on either side of the moment.
const AROUND: usize = 6;

/// How many failures of one scenario are shown in full.
const FAILURES: usize = 5;

/// The outcome of one scenario: one line, and the story if it does not hold. With its line ends.
pub fn text(outcome: &Outcome, style: Style) -> String {
    let mut out = line(outcome, style);
    if outcome.verdict != Verdict::Holds {
        out.push('\n');
        out.push_str(&failure_text(outcome, style));
    }
    out
}

/// The last line of a report: how many scenarios there were, and what became of them.
pub fn summary(outcomes: &[Outcome], style: Style) -> String {
    const ORDER: [Verdict; 6] = [
        Verdict::Holds,
        Verdict::Violated,
        Verdict::SetupFailed,
        Verdict::Inconclusive,
        Verdict::Stalled,
        Verdict::Error,
    ];
    let mut parts = Vec::new();
    for verdict in ORDER {
        let count = outcomes.iter().filter(|outcome| outcome.verdict == verdict).count();
        if count > 0 || verdict == Verdict::Holds {
            let word = if verdict == Verdict::Holds && count != 1 { "hold".to_owned() } else { verdict.to_string() };
            let text = format!("{count} {word}");
            parts.push(if count > 0 { paint(&text, colour(verdict), style) } else { text });
        }
    }
    let incident = outcomes.iter().fold(Span::ZERO, |sum, outcome| sum + outcome.incident);
    let wall = outcomes.iter().fold(0_u64, |sum, outcome| sum.saturating_add(outcome.wall_us));
    let noun = if outcomes.len() == 1 { "scenario" } else { "scenarios" };
    format!(
        "{} {noun}: {} ({} of incident in {})\n",
        outcomes.len(),
        parts.join(", "),
        rounded(incident),
        rounded(Span::from_micros(wall))
    )
}

/// `✓ Title  path  5 cycles of 14.5s, incident 10min, wall 31ms`
fn line(outcome: &Outcome, style: Style) -> String {
    let mut facts = Vec::new();
    if let (Some(cycles), Some(period)) = (outcome.cycles, outcome.period()) {
        let noun = if cycles.cycles == 1 { "cycle" } else { "cycles" };
        facts.push(format!("{} {noun} of {period}", cycles.cycles));
    }
    if let Some(outage) = outcome.outage.as_ref().filter(|outage| outage.failed > 0) {
        facts.push(format!("outage {} ({} of {} requests)", brief(outage.length), outage.failed, outage.requests));
    }
    if let Some(slow) = outcome.outage.as_ref().map(|outage| outage.slow).filter(|slow| *slow > 0) {
        facts.push(format!("{slow} slow answer{}", if slow == 1 { "" } else { "s" }));
    }
    facts.push(format!("incident {}", rounded(outcome.incident)));
    facts.push(format!("wall {}", rounded(Span::from_micros(outcome.wall_us))));
    let verdict = match outcome.verdict {
        Verdict::Holds => String::new(),
        verdict => format!("{verdict}: "),
    };
    format!(
        "{} {}  {}  {}\n",
        paint(glyph(outcome.verdict), colour(outcome.verdict), style),
        paint(&format!("{verdict}{}", printable(&outcome.title)), BOLD, style),
        printable(&outcome.scenario),
        paint(&facts.join(", "), DIM, style)
    )
}

/// Everything below the line of a scenario that does not hold.
pub(super) fn failure_text(outcome: &Outcome, style: Style) -> String {
    let mut out = String::new();
    for failure in outcome.failures.iter().take(FAILURES) {
        out.push_str(&failure.render(style));
        out.push('\n');
    }
    if outcome.failures.len() > FAILURES {
        let _ = writeln!(out, "and {} more\n", outcome.failures.len() - FAILURES);
    }
    if !outcome.phases.is_empty() {
        out.push_str(&phases(outcome, style));
        out.push('\n');
    }
    if let Some(failure) = outcome.failures.first() {
        let around = around(&outcome.timeline, failure, style);
        if !around.is_empty() {
            out.push_str(&around);
            out.push('\n');
        }
    }
    if let Some(artifacts) = &outcome.artifacts {
        let _ = writeln!(out, "kept in  {}", printable(artifacts));
    }
    if !outcome.rerun.is_empty() {
        let _ = writeln!(out, "again    {}", printable(&outcome.rerun));
    }
    out
}

/// The phases, one line each.
fn phases(outcome: &Outcome, style: Style) -> String {
    let mut out = String::new();
    for phase in &outcome.phases {
        let (glyph, colour) = match phase.state {
            PhaseState::Passed => ("✓", GREEN),
            PhaseState::Failed => ("✗", RED),
            PhaseState::NotReached => ("·", DIM),
        };
        let _ = write!(out, "  {} {}", paint(glyph, colour, style), printable(&phase.title));
        if let Some((from, to)) = phase.time {
            let mut facts = format!("{} .. {}", clock(from), clock(to));
            for (count, noun) in [(phase.commands, "command"), (phase.claims, "claim")] {
                if count > 0 {
                    let plural = if count == 1 { "" } else { "s" };
                    let _ = write!(facts, ", {count} {noun}{plural}");
                }
            }
            let _ = write!(out, "  {}", paint(&facts, DIM, style));
        }
        out.push('\n');
    }
    out
}

/// The events around the moment of a failure, and those that show it, which are marked. Requests that were answered
/// are left out: a client makes many, and they all look alike.
fn around(timeline: &Timeline, failure: &Failure, style: Style) -> String {
    let events = timeline.events();
    let centre = match (failure.at, failure.evidence.last()) {
        // Events at the very moment that are no evidence come after it.
        (at, Some(index)) if events.get(*index).is_some_and(|event| at.is_none_or(|at| event.at == at)) => *index,
        (Some(at), _) => events.partition_point(|event| event.at <= at).saturating_sub(1),
        _ => return String::new(),
    };
    if events.is_empty() {
        return String::new();
    }
    let is_shown = |index: &usize| failure.evidence.contains(index) || !is_answer(&events[*index].kind);
    let centre = (0..=centre).rev().find(is_shown).unwrap_or(centre);
    let before = (0..centre).rev().filter(is_shown).take(AROUND);
    let after = (centre + 1..events.len()).filter(is_shown).take(AROUND);
    let evidence = failure.evidence.iter().rev().take(AROUND).copied().filter(|index| *index < events.len());
    let shown: BTreeSet<usize> = before.chain([centre]).chain(after).chain(evidence).collect();
    let mut out = String::new();
    let mut next = 0;
    let skip = |from: usize, to: usize| match (from..to).filter(is_shown).count() {
        0 => String::new(),
        left_out => format!("    {}\n", paint(&format!("… {left_out} more"), DIM, style)),
    };
    for (index, line) in render_at(timeline, &shown) {
        out.push_str(&skip(next, index));
        next = index + 1;
        if failure.evidence.contains(&index) {
            let _ = writeln!(out, "  {} {}", paint(">", RED, style), paint(&line, BOLD, style));
        } else {
            let _ = writeln!(out, "    {line}");
        }
    }
    out.push_str(&skip(next, events.len()));
    out
}

fn is_answer(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Request { answer: Answer::Status(_), .. })
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

fn colour(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => GREEN,
        Verdict::Violated | Verdict::Error => RED,
        _ => YELLOW,
    }
}

fn glyph(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "✓",
        Verdict::Violated | Verdict::Error => "✗",
        _ => "?",
    }
}

fn paint(text: &str, code: &str, style: Style) -> String {
    match style {
        Style::Plain => text.to_owned(),
        Style::Coloured => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
    }
}

fn clock(at: IncidentTime) -> String {
    at.strftime("%H:%M:%S%.3f")
}

/// A span to about three digits: nobody reads the microseconds of ten minutes.
fn rounded(span: Span) -> String {
    let micros = span.as_micros();
    let step = match micros {
        0..10_000 => 1,
        10_000..10_000_000 => 1_000,
        10_000_000..60_000_000 => 100_000,
        _ => 1_000_000,
    };
    brief(Span::from_micros(micros - micros % step))
}
