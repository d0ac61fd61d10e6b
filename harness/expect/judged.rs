//! One claim while it is judged: what it has seen, and what decides it.

use super::claim::*;
use super::matching::matches;
use super::monitor::Context;
use super::state::State;
use crate::time::{IncidentTime, Span};
use crate::timeline::{Event, brief};

/// Whole cycles that `each cycle:` wants to see at least.
pub const CYCLES_TO_SEE: u32 = 3;

/// Events that are kept as evidence of one claim; the first ones and the last ones.
const EVIDENCE: usize = 32;

/// What has become of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Not yet decided.
    Open,
    /// It is true.
    Holds,
    /// It is false.
    Violated,
}

/// A claim and what has become of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The claim.
    pub claim: Claim,
    /// The verdict.
    pub verdict: Verdict,
    /// When it was decided.
    pub decided_at: Option<IncidentTime>,
    /// Indexes of the events that decided it, in the timeline.
    pub evidence: Vec<usize>,
    /// Why, in a few words; empty while open.
    pub reason: String,
    progress: Progress,
}

/// What a claim has to remember.
#[derive(Clone, Debug)]
enum Progress {
    Repeats { seen: u32, last: Option<IncidentTime> },
    Cycle { next: usize, began: Option<usize>, whole: u32 },
    Order { next: usize },
    Window { ends: IncidentTime, cycles: Option<u32>, seen: u32 },
    Outage { total: Span, requests: u64, failed: u64 },
}

impl Judged {
    pub(super) fn new(claim: &Claim, now: IncidentTime, budget_ends: IncidentTime, slack: Span) -> Self {
        let window = |window: Option<Window>| {
            let (ends, cycles) = match window {
                Some(Window::For(span)) => (now + span, None),
                Some(Window::Cycles(count)) => (budget_ends, Some(count)),
                None => (budget_ends, None),
            };
            Progress::Window { ends, cycles, seen: 0 }
        };
        let progress = match &claim.kind {
            ClaimKind::Repeats { .. } => Progress::Repeats { seen: 0, last: None },
            ClaimKind::EachCycle(_) => Progress::Cycle { next: 0, began: None, whole: 0 },
            ClaimKind::InOrder(_) => Progress::Order { next: 0 },
            ClaimKind::Eventually { within, .. } => window(within.map(|span| Window::For(span + slack))),
            ClaimKind::Always { window: w, .. }
            | ClaimKind::Never { window: w, .. }
            | ClaimKind::Count { window: w, .. } => window(*w),
            ClaimKind::Outage { .. } => Progress::Outage { total: Span::ZERO, requests: 0, failed: 0 },
        };
        Self {
            claim: claim.clone(),
            verdict: Verdict::Open,
            decided_at: None,
            evidence: Vec::new(),
            reason: String::new(),
            progress,
        }
    }

    fn decide(&mut self, verdict: Verdict, at: IncidentTime, reason: impl Into<String>) {
        self.verdict = verdict;
        self.decided_at = Some(at);
        self.reason = reason.into();
    }

    fn witness(&mut self, index: usize) {
        if self.evidence.last() == Some(&index) {
            return;
        }
        if self.evidence.len() >= EVIDENCE {
            self.evidence.remove(EVIDENCE / 2);
        }
        self.evidence.push(index);
    }

    /// When time alone decides the claim.
    pub(super) fn deadline(&self, budget_ends: IncidentTime, slack: Span) -> Option<IncidentTime> {
        if self.verdict != Verdict::Open {
            return None;
        }
        Some(match (&self.progress, &self.claim.kind) {
            (Progress::Window { ends, .. }, _) => *ends,
            (Progress::Repeats { last: Some(last), .. }, ClaimKind::Repeats { most, .. }) => {
                (*last + *most + slack).min(budget_ends)
            }
            _ => budget_ends,
        })
    }

    /// Whether a window of whole cycles is over: the start that ends the last one has come.
    pub(super) fn has_cycles(&self, starts: u32) -> bool {
        matches!(self.progress, Progress::Window { cycles: Some(cycles), .. } if starts > cycles)
    }

    /// Whether the claim could end now if nothing else kept the block going.
    pub(super) fn is_content(&self, is_down: bool) -> bool {
        match &self.progress {
            Progress::Cycle { whole, .. } => *whole >= CYCLES_TO_SEE,
            Progress::Outage { requests, .. } => *requests > 0 && !is_down,
            _ => false,
        }
    }

    /// An event that is not the end of the claim's window.
    pub(super) fn observe(&mut self, event: &Event, index: usize, context: &Context, is_start: bool, starts: u32) {
        let is = |pattern: &EventPattern| matches(pattern, event, &context.unit, &context.vars);
        match (&mut self.progress, &self.claim.kind) {
            (Progress::Repeats { seen, last }, ClaimKind::Repeats { count, event: pattern, least, most }) => {
                if !is(pattern) {
                    return;
                }
                let gap = last.replace(event.at).map(|last| event.at.since(last));
                *seen += 1;
                let (seen, count) = (*seen, *count);
                if let Some(gap) = gap
                    && (gap < *least || gap > *most + context.slack)
                {
                    let reason = format!("{} passed between number {} and number {seen}", brief(gap), seen - 1);
                    self.witness(index);
                    self.decide(Verdict::Violated, event.at, reason);
                } else {
                    self.witness(index);
                    if seen == count {
                        self.decide(Verdict::Holds, event.at, format!("seen {count} times"));
                    }
                }
            }
            (Progress::Cycle { next, began, whole }, ClaimKind::EachCycle(patterns)) => {
                if is_start {
                    if let Some(began) = began.replace(index) {
                        if let Some(missing) = patterns.get(*next) {
                            let reason = format!("a cycle ended without `{}`", missing.text);
                            self.witness(began);
                            self.witness(index);
                            self.decide(Verdict::Violated, event.at, reason);
                            return;
                        }
                        *whole += 1;
                    }
                    *next = 0;
                }
                if began.is_some() && patterns.get(*next).is_some_and(is) {
                    *next += 1;
                    self.witness(index);
                }
            }
            (Progress::Order { next }, ClaimKind::InOrder(patterns)) if patterns.get(*next).is_some_and(is) => {
                *next += 1;
                let done = *next == patterns.len();
                self.witness(index);
                if done {
                    self.decide(Verdict::Holds, event.at, "all seen in this order");
                }
            }
            (Progress::Window { .. }, ClaimKind::Never { what: Absent::Event(pattern), .. }) if is(pattern) => {
                let reason = format!("`{}` happened", pattern.text);
                self.witness(index);
                self.decide(Verdict::Violated, event.at, reason);
            }
            (Progress::Window { cycles, seen, .. }, ClaimKind::Count { bound, count, event: pattern, .. }) => {
                // A window of whole cycles begins with the first of them.
                if (cycles.is_some() && starts == 0) || !is(pattern) {
                    return;
                }
                *seen = seen.saturating_add(1);
                let (seen, bound, count) = (*seen, *bound, *count);
                self.witness(index);
                match bound {
                    Bound::AtLeast if seen >= count => {
                        self.decide(Verdict::Holds, event.at, format!("seen {seen} times"))
                    }
                    Bound::AtMost | Bound::Exactly if seen > count => {
                        self.decide(Verdict::Violated, event.at, format!("this is number {seen}"));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// The client's request has ended.
    pub(super) fn request(
        &mut self,
        answered: bool,
        down_since: Option<IncidentTime>,
        sent: IncidentTime,
        at: IncidentTime,
        index: usize,
        slack: Span,
    ) {
        let (Progress::Outage { total, requests, failed }, ClaimKind::Outage { op, span }) =
            (&mut self.progress, &self.claim.kind)
        else {
            return;
        };
        *requests += 1;
        *failed += u64::from(!answered);
        let current = match (answered, down_since) {
            (false, since) => at.since(since.unwrap_or(sent)),
            (true, Some(since)) => at.since(since),
            (true, None) => return,
        };
        let so_far = *total + current;
        if answered {
            *total = so_far;
        }
        let (op, span, failed) = (*op, *span, *failed);
        self.witness(index);
        if so_far > span + slack && matches!(op, Op::AtMost | Op::Equal) {
            let still = if answered { "" } else { " and is not over" };
            self.decide(Verdict::Violated, at, format!("the outage lasted {so_far}{still}, {failed} requests failed"));
        } else if so_far >= span && op == Op::AtLeast {
            self.decide(Verdict::Holds, at, format!("the outage lasted {}, {failed} requests failed", brief(so_far)));
        }
    }

    /// Looks at the conditions as they are now.
    pub(super) fn look(&mut self, state: &State, context: &Context, at: IncidentTime, index: Option<usize>) {
        if self.verdict != Verdict::Open {
            return;
        }
        let (cond, wanted, decided) = match &self.claim.kind {
            ClaimKind::Eventually { cond, .. } => (cond, true, Verdict::Holds),
            ClaimKind::Always { cond, .. } => (cond, false, Verdict::Violated),
            ClaimKind::Never { what: Absent::Cond(cond), .. } => (cond, true, Verdict::Violated),
            _ => return,
        };
        let (truth, reason) = judge(cond, state, context);
        // What is not known is not true; `always` says that it is.
        if truth.unwrap_or(false) == wanted {
            if let Some(index) = index {
                self.witness(index);
            }
            self.decide(decided, at, reason);
        }
    }

    /// Time alone decides: the window, the distance or the budget is over.
    pub(super) fn expire(&mut self, state: &State, context: &Context, at: IncidentTime, starts: u32) {
        let budget = brief(context.budget);
        let reason = match (&self.progress, &self.claim.kind) {
            (Progress::Repeats { seen, last }, ClaimKind::Repeats { count, most, .. }) => match last {
                Some(last) if *last + *most + context.slack <= at => {
                    format!("number {} did not come within {}", seen + 1, brief(*most))
                }
                _ => format!("seen {seen} of {count} times by the end of the budget ({budget})"),
            },
            (Progress::Cycle { whole, .. }, _) if *whole < CYCLES_TO_SEE => {
                format!("seen {whole} whole cycles by the end of the budget ({budget}), {CYCLES_TO_SEE} are wanted")
            }
            (Progress::Order { next }, ClaimKind::InOrder(patterns)) => {
                let missing = patterns.get(*next).map_or("", |pattern| pattern.text.as_str());
                format!("`{missing}` did not come by the end of the budget ({budget})")
            }
            (Progress::Window { cycles: Some(cycles), .. }, _) => {
                format!("only {} of {cycles} cycles by the end of the budget ({budget})", starts.saturating_sub(1))
            }
            _ => return self.end(state, context, at),
        };
        self.decide(Verdict::Violated, at, reason);
    }

    /// The claim's window, or the block, is over, and nothing has decided the claim.
    pub(super) fn end(&mut self, state: &State, context: &Context, at: IncidentTime) {
        let (holds, reason) = match (&self.progress, &self.claim.kind) {
            (_, ClaimKind::Eventually { cond, .. }) => (false, judge(cond, state, context).1),
            (_, ClaimKind::Always { cond, .. } | ClaimKind::Never { what: Absent::Cond(cond), .. }) => {
                // A property that the manager never showed is a slip of the pen; it must not make absence true.
                match unknown(cond, state, context) {
                    Some(text) => (false, format!("`{text}` was never known")),
                    None => (true, "to the end of the window".into()),
                }
            }
            (_, ClaimKind::Never { .. }) => (true, "to the end of the window".into()),
            (Progress::Window { seen, .. }, ClaimKind::Count { bound, count, .. }) => {
                let holds = match bound {
                    Bound::AtLeast => seen >= count,
                    Bound::Exactly => seen == count,
                    Bound::AtMost => seen <= count,
                };
                (holds, format!("seen {seen} times"))
            }
            (Progress::Cycle { whole, .. }, _) => (true, format!("in {whole} whole cycles")),
            (Progress::Outage { requests: 0, .. }, _) => {
                (false, "no client made a request; the header's `client` sets one up".into())
            }
            (Progress::Outage { total, requests, failed }, ClaimKind::Outage { op, span }) => {
                let (so_far, still) = match state.down_since() {
                    Some(since) => (*total + at.since(since), " and is not over"),
                    None => (*total, ""),
                };
                let holds = match op {
                    Op::AtMost => still.is_empty() && so_far <= *span + context.slack,
                    Op::AtLeast => so_far >= *span,
                    Op::Equal | Op::NotEqual => still.is_empty() && so_far == *span,
                };
                let so_far = brief(so_far);
                (holds, format!("the outage lasted {so_far}{still}, {failed} of {requests} requests failed"))
            }
            _ => (false, "it was never decided".into()),
        };
        self.decide(if holds { Verdict::Holds } else { Verdict::Violated }, at, reason);
    }
}

/// All terms at once, and each left side as it is.
fn judge(cond: &Cond, state: &State, context: &Context) -> (Option<bool>, String) {
    let mut truth = Some(true);
    let mut reasons = Vec::new();
    for term in &cond.terms {
        let judged = state.judge(term, &context.unit, &context.vars);
        truth = match (truth, judged.truth) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        };
        reasons.push(format!("{} is {}", term.text, judged.found));
    }
    (truth, reasons.join(", "))
}

/// The first term whose sides cannot be compared, if any.
fn unknown(cond: &Cond, state: &State, context: &Context) -> Option<String> {
    let is_unknown = |term: &&Term| state.judge(term, &context.unit, &context.vars).truth.is_none();
    cond.terms.iter().find(is_unknown).map(|term| term.text.clone())
}
