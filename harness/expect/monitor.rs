//! The monitor: judges the claims of one block, event by event.

use std::collections::BTreeMap;

use super::claim::*;
use super::matching::{is_main_start, matches};
use super::source::Diagnostic;
use super::state::{State, is_answered};
use crate::time::{IncidentTime, Span};
use crate::timeline::{Event, EventKind, Timeline, brief};

/// Whole cycles that `each cycle:` wants to see at least.
pub const CYCLES_TO_SEE: u32 = 3;

/// Events that are kept as evidence of one claim; the first ones and the last ones.
const EVIDENCE: usize = 32;

/// What the claims of a block are said of.
#[derive(Clone, Debug)]
pub struct Context {
    /// The scenario's unit, by its full name: the default subject.
    pub unit: String,
    /// What console outputs have bound so far: name without brackets → word.
    pub vars: BTreeMap<String, String>,
    /// How long claims without a window of their own may take.
    pub budget: Span,
}

/// What has become of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Judges the claims of one block. Feed it every event from the block's start on, in order.
#[derive(Clone, Debug)]
pub struct Monitor {
    context: Context,
    start: IncidentTime,
    budget_ends: IncidentTime,
    state: State,
    seen: usize,
    starts: u32,
    claims: Vec<Judged>,
}

impl Monitor {
    /// Begins a block at `now`: `timeline` is all that happened before, and is what conditions see at first.
    ///
    /// # Errors
    ///
    /// A claim needs a `[NAME]` that is not bound, or that is not a PID where a process is meant.
    pub fn begin(
        claims: &[Claim],
        context: Context,
        timeline: &Timeline,
        now: IncidentTime,
    ) -> Result<Self, Diagnostic> {
        Self::resume(claims, context, State::of(timeline), timeline.events().len(), now)
    }

    /// As [`Monitor::begin`], with the state after the first `seen` events given.
    ///
    /// # Errors
    ///
    /// As [`Monitor::begin`].
    pub fn resume(
        claims: &[Claim],
        context: Context,
        state: State,
        seen: usize,
        now: IncidentTime,
    ) -> Result<Self, Diagnostic> {
        claims.iter().try_for_each(|claim| check_vars(claim, &context))?;
        let budget_ends = now + context.budget;
        let claims = claims.iter().map(|claim| Judged::new(claim, now, budget_ends)).collect();
        let mut monitor = Self { context, start: now, budget_ends, state, seen, starts: 0, claims };
        for claim in &mut monitor.claims {
            claim.look(&monitor.state, &monitor.context, now, None);
        }
        monitor.close_companions(now);
        Ok(monitor)
    }

    /// The claims and their verdicts, in the order of the block.
    pub fn claims(&self) -> &[Judged] {
        &self.claims
    }

    /// When the block began.
    pub fn start(&self) -> IncidentTime {
        self.start
    }

    /// Whether a claim is undecided.
    pub fn is_open(&self) -> bool {
        self.claims.iter().any(|claim| claim.verdict == Verdict::Open)
    }

    /// Whether a claim is violated.
    pub fn is_violated(&self) -> bool {
        self.claims.iter().any(|claim| claim.verdict == Verdict::Violated)
    }

    /// The next moment at which a claim is decided by time alone; `None` once none is open.
    pub fn next_deadline(&self) -> Option<IncidentTime> {
        self.claims.iter().filter_map(|claim| claim.deadline(self.budget_ends)).min()
    }

    /// Feeds the events that the timeline has got since the last call.
    pub fn follow(&mut self, timeline: &Timeline) {
        for event in timeline.events().iter().skip(self.seen) {
            self.feed(event);
        }
    }

    /// Feeds the next event. All claims that time alone decides before it are decided first.
    pub fn feed(&mut self, event: &Event) {
        self.settle(event.at, false);
        let index = self.seen;
        self.seen += 1;
        let down_since = self.state.down_since();
        self.state.apply(event);
        let is_start = is_main_start(event, &self.context.unit);
        self.starts += u32::from(is_start);
        for claim in self.claims.iter_mut().filter(|claim| claim.verdict == Verdict::Open) {
            if claim.has_cycles(self.starts) {
                claim.end(&self.state, &self.context, event.at);
                continue;
            }
            claim.observe(event, index, &self.context, is_start, self.starts);
            if let EventKind::Request { answer, sent, .. } = &event.kind {
                claim.request(is_answered(answer), down_since, *sent, event.at, index);
            }
            if State::is_moved_by(&event.kind) {
                claim.look(&self.state, &self.context, event.at, Some(index));
            }
        }
        self.close_companions(event.at);
    }

    /// Says that nothing more will happen up to and including `now`: decides what time alone decides.
    pub fn advance(&mut self, now: IncidentTime) {
        self.settle(now, true);
        self.close_companions(now);
    }

    /// Decides the claims whose deadline lies before `now`, or at it if `inclusive`.
    fn settle(&mut self, now: IncidentTime, inclusive: bool) {
        while let Some(deadline) = self.next_deadline()
            && (deadline < now || (inclusive && deadline == now))
        {
            for claim in self.claims.iter_mut().filter(|claim| claim.deadline(self.budget_ends) == Some(deadline)) {
                claim.expire(&self.state, &self.context, deadline, self.starts);
            }
            self.close_companions(deadline);
        }
    }

    /// `each cycle` and `outage` have no end of their own: they end with the block, which lasts as long as any
    /// other claim does, or until they have seen enough, whichever is later.
    fn close_companions(&mut self, now: IncidentTime) {
        let outage_only = self.claims.iter().all(|claim| matches!(claim.claim.kind, ClaimKind::Outage { .. }));
        let is_down = self.state.down_since().is_some();
        let mut open = self.claims.iter().filter(|claim| claim.verdict == Verdict::Open);
        let needs_more = open.any(|claim| outage_only || !claim.is_content(is_down));
        if !needs_more {
            for claim in self.claims.iter_mut().filter(|claim| claim.verdict == Verdict::Open) {
                claim.end(&self.state, &self.context, now);
            }
        }
    }
}

/// Names must be bound, and a process be named by a number.
fn check_vars(claim: &Claim, context: &Context) -> Result<(), Diagnostic> {
    for var in claim.vars() {
        if !context.vars.contains_key(&var.name) {
            return Err(Diagnostic::new(
                var.span.clone(),
                format!("`[{}]` is not bound", var.name),
                "no console output has bound it",
            )
            .help("a `[NAME]` is bound where it first stands in the output of a `console` block"));
        }
    }
    for event in claim.events() {
        if let Subject::Var(var) = &event.subject
            && let Some(value) = context.vars.get(&var.name)
            && value.parse::<u32>().is_err()
        {
            return Err(Diagnostic::new(
                var.span.clone(),
                format!("`[{}]` is `{value}`, which is not a PID", var.name),
                "expected the PID of a process",
            ));
        }
    }
    Ok(())
}

impl Judged {
    fn new(claim: &Claim, now: IncidentTime, budget_ends: IncidentTime) -> Self {
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
            ClaimKind::Eventually { within, .. } => window(within.map(Window::For)),
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
    fn deadline(&self, budget_ends: IncidentTime) -> Option<IncidentTime> {
        if self.verdict != Verdict::Open {
            return None;
        }
        Some(match (&self.progress, &self.claim.kind) {
            (Progress::Window { ends, .. }, _) => *ends,
            (Progress::Repeats { last: Some(last), .. }, ClaimKind::Repeats { most, .. }) => {
                (*last + *most).min(budget_ends)
            }
            _ => budget_ends,
        })
    }

    /// Whether a window of whole cycles is over: the start that ends the last one has come.
    fn has_cycles(&self, starts: u32) -> bool {
        matches!(self.progress, Progress::Window { cycles: Some(cycles), .. } if starts > cycles)
    }

    /// Whether the claim could end now if nothing else kept the block going.
    fn is_content(&self, is_down: bool) -> bool {
        match &self.progress {
            Progress::Cycle { whole, .. } => *whole >= CYCLES_TO_SEE,
            Progress::Outage { requests, .. } => *requests > 0 && !is_down,
            _ => false,
        }
    }

    /// An event that is not the end of the claim's window.
    fn observe(&mut self, event: &Event, index: usize, context: &Context, is_start: bool, starts: u32) {
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
                    && (gap < *least || gap > *most)
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
    fn request(
        &mut self,
        answered: bool,
        down_since: Option<IncidentTime>,
        sent: IncidentTime,
        at: IncidentTime,
        index: usize,
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
        if so_far > span && matches!(op, Op::AtMost | Op::Equal) {
            let still = if answered { "" } else { " and is not over" };
            self.decide(Verdict::Violated, at, format!("the outage lasted {so_far}{still}, {failed} requests failed"));
        } else if so_far >= span && op == Op::AtLeast {
            self.decide(Verdict::Holds, at, format!("the outage lasted {}, {failed} requests failed", brief(so_far)));
        }
    }

    /// Looks at the conditions as they are now.
    fn look(&mut self, state: &State, context: &Context, at: IncidentTime, index: Option<usize>) {
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
    fn expire(&mut self, state: &State, context: &Context, at: IncidentTime, starts: u32) {
        let budget = brief(context.budget);
        let reason = match (&self.progress, &self.claim.kind) {
            (Progress::Repeats { seen, last }, ClaimKind::Repeats { count, most, .. }) => match last {
                Some(last) if *last + *most <= at => {
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
    fn end(&mut self, state: &State, context: &Context, at: IncidentTime) {
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
                    Op::AtMost => still.is_empty() && so_far <= *span,
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
